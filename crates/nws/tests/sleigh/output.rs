//! What tasks write to standard output and error.

use std::process::Command;

use nws::sleigh::{FailureKind, Output, Sleigh};

use crate::{builder, limited};

#[nws::task]
fn write(index: u32) -> u32 {
    println!("task {index}");
    if index.is_multiple_of(2) {
        eprint!("{index} is even");
        print!("an unended line");
    }
    index
}

#[nws::task]
fn run_a_child(word: &str) {
    assert!(Command::new("sh").args(["-c", &format!("echo {word}; echo and {word} >&2")]).status().unwrap().success());
}

#[nws::task]
fn complain(how: &str) -> Result<(), String> {
    println!("about to {how}");
    match how {
        "exit" => std::process::exit(3),
        "panic" => panic!("as it was told"),
        _ => Err(how.to_owned()),
    }
}

#[nws::task]
fn write_much(bytes: usize) {
    print!("{}", "x".repeat(bytes));
}

/// Writes a line, and goes on until the master says that it has it.
#[nws::task]
fn write_and_wait(word: &str) -> Result<(), nws::Error> {
    println!("{word}");
    nws::worker::user_workspace()?.fetch("go on")
}

fn keeping() -> Sleigh {
    builder(2).output(Output::Keep).build().unwrap()
}

#[test]
fn what_a_task_writes_is_kept_as_its_own() {
    limited(|| {
        let sleigh = keeping();
        sleigh.each_elem(write::task(), 0..1000).unwrap();
        let outputs = sleigh.outputs();
        assert_eq!(outputs.len(), 1000);
        for (index, output) in outputs {
            let even = index.is_multiple_of(2);
            let rest = if even { "an unended line" } else { "" };
            assert_eq!(output.stdout, format!("task {index}\n{rest}"));
            assert_eq!(output.stderr, if even { format!("{index} is even") } else { String::new() });
        }
        sleigh.each_elem(run_a_child::task(), ["one", "two"]).unwrap();
        assert_eq!(sleigh.output(0).stdout, "one\n");
        assert_eq!(sleigh.output(1).stderr, "and two\n");
        assert_eq!(sleigh.outputs().len(), 2, "those of the call before are gone");
    });
}

#[test]
fn a_failure_has_what_its_task_wrote() {
    limited(|| {
        let sleigh = keeping();
        let outcomes = sleigh.call(complain::task()).retries(0).each_elem_outcomes(["fail", "panic", "exit"]).unwrap();
        let failures: Vec<_> = outcomes.into_iter().map(Result::unwrap_err).collect();
        let kinds = failures.iter().map(|failure| failure.kind);
        assert!(kinds.eq([FailureKind::Error, FailureKind::Panic, FailureKind::Died]));
        let told: Vec<_> = failures.iter().map(|failure| failure.output.stdout.as_str()).collect();
        assert_eq!(told, ["about to fail\n", "about to panic\n", "about to exit\n"]);
    });
}

#[test]
fn of_much_output_the_limit_is_kept() {
    limited(|| {
        let sleigh = builder(1).output(Output::Keep).output_limit(100).build().unwrap();
        sleigh.each_elem(write_much::task(), [50, 5_000_000]).unwrap();
        assert_eq!(sleigh.output(0).stdout, "x".repeat(50));
        let cut = sleigh.output(1).stdout;
        assert!(cut.starts_with(&"x".repeat(100)) && cut.contains("4999900 bytes more were left out"), "{cut}");
    });
}

#[test]
fn what_a_task_writes_is_there_while_it_goes_on() {
    limited(|| {
        let sleigh = keeping();
        let mut pending = sleigh.call(write_and_wait::task()).start(["hello"]).unwrap();
        while sleigh.output(0).stdout != "hello\n" {
            let turn = std::time::Duration::from_millis(20);
            assert_eq!(pending.wait_timeout(turn).unwrap(), 1, "the task waits for the word");
        }
        sleigh.user_workspace().store("go on", ()).unwrap();
        pending.wait().unwrap();
    });
}

#[test]
fn a_worker_that_replaces_another_is_captured_as_well() {
    limited(|| {
        let sleigh = builder(1).output(Output::Keep).retries(0).build().unwrap();
        let outcomes = sleigh.call(complain::task()).each_elem_outcomes(["exit", "fail"]).unwrap();
        assert!(outcomes.iter().all(Result::is_err));
        assert_eq!(sleigh.output(1).stdout, "about to fail\n");
    });
}
