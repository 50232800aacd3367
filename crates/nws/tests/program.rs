//! A program of its own with a `main` of its own, and what becomes of it when it is run in many ways.
//!
//! Started by cargo it runs itself again for each test; told a part by the environment it plays that.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test an unwrap is an assertion")]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nws::sleigh::{Output, Sleigh};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// Longer than anything takes that does not hang.
const PATIENCE: Duration = Duration::from_secs(60);
/// Tells this program which part of a test it is.
const PART: &str = "NWS_TEST_PART";

#[nws::task]
fn shout(line: &str) -> String {
    println!("a task got {line}");
    line.to_uppercase()
}

#[nws::task]
fn own_arguments() -> Vec<String> {
    std::env::args().collect()
}

#[nws::task]
fn read_all() -> usize {
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap()
}

/// Runs this program as anybody would, from within a task.
#[nws::task]
fn run_the_program(part: &str) -> String {
    let output = Command::new(std::env::current_exe().unwrap()).env(PART, part).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The processes that this worker is and comes from, up to the session's first.
#[nws::task]
fn ancestors() -> Vec<i32> {
    let parent = |pid: i32| -> Option<i32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name may hold anything, but no later field has a bracket.
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    std::iter::successors(Some(std::process::id().cast_signed()), |pid| parent(*pid)).take(3).collect()
}

#[nws::task]
fn sleep(_: u32) {
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

fn sleigh() -> Sleigh {
    Sleigh::builder().workers(2).build().unwrap()
}

#[nws::main]
fn main() {
    match std::env::var(PART).as_deref() {
        Ok("pipe") => pipe(),
        Ok("arguments") => println!("{}", sleigh().each_worker(own_arguments::task(), ()).unwrap().concat().join(" ")),
        Ok("nested") => println!("{}", sleigh().each_elem(run_the_program::task(), ["plain"]).unwrap()[0]),
        Ok("plain") => println!("a program like any other"),
        Ok("sleep") => print_pids_and_sleep(),
        Ok("boss") => print_pids_and_sleep_as_a_boss(),
        Ok("settings") => store_too_much(),
        Ok("show") => show(Output::Show),
        Ok("prefix") => show(Output::Prefix),
        Ok("progress") => show_progress(),
        _ => {
            let tests: [(&str, fn()); 9] = [
                ("standard input and output are the program's own", standard_input_and_output_are_the_programs_own),
                ("workers have the program's arguments", workers_have_the_programs_arguments),
                ("a task may run the program itself", a_task_may_run_the_program_itself),
                ("what tasks write is shown as it is asked for", what_tasks_write_is_shown_as_it_is_asked_for),
                ("a long call has a bar on a terminal", a_long_call_has_a_bar_on_a_terminal),
                ("a part that is nobody's is ignored", a_part_that_is_nobodys_is_ignored),
                ("the server has the settings of the environment", the_server_has_the_settings_of_the_environment),
                ("a killed program leaves nothing", a_killed_program_leaves_nothing),
                ("a killed program with a boss leaves nothing", a_killed_program_with_a_boss_leaves_nothing),
            ];
            for (name, test) in tests {
                test();
                println!("test {name} ... ok");
            }
        }
    }
}

/// The first line is read before there is a sleigh, the others when it has worked.
fn pipe() {
    let mut lines = std::io::stdin().lines().map(Result::unwrap);
    let first = lines.next().unwrap();
    let sleigh = sleigh();
    assert_eq!(sleigh.each_worker(read_all::task(), ()).unwrap(), [0, 0]);
    println!("{}", sleigh.each_elem(shout::task(), [first]).unwrap()[0]);
    let rest: Vec<String> = lines.collect();
    println!("{}", sleigh.each_elem(shout::task(), &rest).unwrap().join(" "));
}

fn print_pids_and_sleep() {
    let sleigh = sleigh();
    let mut pids = sleigh.each_worker(ancestors::task(), ()).unwrap().concat();
    pids.sort_unstable();
    pids.dedup();
    println!("{}", pids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
    let _ = sleigh.each_elem(sleep::task(), 0..2);
}

fn show(output: Output) {
    let sleigh = Sleigh::builder().workers(1).output(output).build().unwrap();
    sleigh.each_elem(shout::task(), ["one", "two\nlines"]).unwrap();
}

/// Waits for a value, when it has told that it is there.
#[nws::task]
fn wait_for_the_end(_: u32) -> Result<(), nws::Error> {
    println!("a task waits");
    nws::worker::user_workspace()?.find("the end")
}

/// A call that ends when a line is read.
fn show_progress() {
    let sleigh = Sleigh::builder().workers(1).output(Output::Show).progress(true).build().unwrap();
    let calling = sleigh.call(wait_for_the_end::task()).start(0..3).unwrap();
    let space = sleigh.user_workspace().clone();
    thread::spawn(move || {
        std::io::stdin().read_line(&mut String::new()).unwrap();
        space.store("the end", ()).unwrap();
    });
    calling.wait().unwrap();
}

/// Tells its process, and those that it comes from, and never ends.
#[nws::task]
fn tell_and_sleep(_: u32) {
    println!("{}", ancestors().iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
    sleep(0);
}

/// Prints why a value of 65 bytes cannot be stored, or why there is no sleigh.
fn store_too_much() {
    match Sleigh::builder().workers(1).build() {
        Ok(sleigh) => println!("{}", sleigh.user_workspace().store("x", "x".repeat(65)).unwrap_err()),
        Err(error) => println!("{error}"),
    }
}

fn print_pids_and_sleep_as_a_boss() {
    let _ = nws::boss::batch(tell_and_sleep::task(), [1]);
}

fn start(part: &str, arguments: &[&str]) -> Child {
    command(part).args(arguments).spawn().unwrap()
}

fn command(part: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(PART, part).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn finish(program: Child) -> String {
    let (sender, ended) = mpsc::channel();
    thread::spawn(move || sender.send(program.wait_with_output()));
    let output = ended.recv_timeout(PATIENCE).expect("the program ends in time").unwrap();
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn standard_input_and_output_are_the_programs_own() {
    let mut program = start("pipe", &[]);
    program.stdin.take().unwrap().write_all(b"one\ntwo\nthree\n").unwrap();
    let printed = finish(program);
    let mut lines: Vec<&str> = printed.lines().collect();
    lines.retain(|line| !line.is_empty());
    lines.sort_unstable();
    assert_eq!(lines, ["ONE", "TWO THREE", "a task got one", "a task got three", "a task got two"]);
}

fn what_tasks_write_is_shown_as_it_is_asked_for() {
    assert_eq!(finish(start("show", &[])), "a task got one\na task got two\nlines\n");
    assert_eq!(finish(start("prefix", &[])), "[0:0] a task got one\n[0:1] a task got two\n[0:1] lines\n");
}

/// Standard error is a terminal here, and what is written to it is read until the bar has come.
fn a_long_call_has_a_bar_on_a_terminal() {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let end = std::fs::OpenOptions::new().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(PART, "progress").env("TERM", "xterm").env_remove("NO_COLOR");
    let mut program = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(end).spawn().unwrap();
    drop(command);
    let mut shown = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&shown).contains("0/3 tasks") {
        let patience = Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
        let ready = poll(&mut [PollFd::new(&terminal, PollFlags::IN)], Some(&patience)).unwrap();
        assert_eq!(ready, 1, "no bar has come: {}", String::from_utf8_lossy(&shown));
        let count = rustix::io::read(&terminal, &mut buffer[..]).unwrap();
        shown.extend_from_slice(&buffer[..count]);
    }
    program.stdin.take().unwrap().write_all(b"end\n").unwrap();
    assert_eq!(finish(program), "a task waits\n".repeat(3));
}

fn workers_have_the_programs_arguments() {
    let printed = finish(start("arguments", &["--fast", "two words"]));
    let words = printed.split_whitespace().filter(|word| *word == "--fast").count();
    assert_eq!(words, 2, "{printed}");
    assert_eq!(printed.matches("two words").count(), 2, "{printed}");
}

fn a_task_may_run_the_program_itself() {
    assert_eq!(finish(start("nested", &[])).trim(), "a program like any other");
}

fn a_part_that_is_nobodys_is_ignored() {
    for part in ["worker:1", "hired:1", "server:1", "warden:1", "host:1:1", "server"] {
        let program = command("plain").env("NWS_ROLE", part).spawn().unwrap();
        assert_eq!(finish(program).trim(), "a program like any other", "{part}");
    }
}

fn the_server_has_the_settings_of_the_environment() {
    let printed = |variable: &str, value: &str| {
        let mut command = command("settings");
        finish(command.env(variable, value).spawn().unwrap())
    };
    let told = printed("NWS_VALUE_SIZE", "64");
    assert!(told.contains("a value has at most 64 bytes (setting value-size)"), "{told}");
    let told = printed("NWS_TMP_DIR", "/no/such/folder");
    assert!(told.contains("long values cannot be kept in /no/such/folder"), "{told}");
    let told = printed("NWS_CONNECTIONS", "many");
    assert!(told.contains("NWS_CONNECTIONS: expected a number from 1 to 1000000, got \"many\""), "{told}");
}

fn a_killed_program_leaves_nothing() {
    kill("sleep", 4);
}

fn a_killed_program_with_a_boss_leaves_nothing() {
    kill("boss", 3);
}

/// Kills a program that plays this part when it has told of at least so many of its processes, which
/// are then gone.
fn kill(part: &str, least: usize) {
    let mut program = start(part, &[]);
    let mut output = BufReader::new(program.stdout.take().unwrap());
    let mut line = String::new();
    while line.trim().is_empty() {
        line.clear();
        assert_ne!(output.read_line(&mut line).unwrap(), 0, "the program ended early");
    }
    let open = |pid: &str| -> OwnedFd {
        let pid = Pid::from_raw(pid.parse().unwrap()).unwrap();
        pidfd_open(pid, PidfdFlags::empty()).unwrap()
    };
    let processes: Vec<OwnedFd> = line.split_whitespace().map(open).collect();
    assert!(processes.len() >= least, "workers, host and warden: {line}");
    kill_process(Pid::from_raw(program.id().cast_signed()).unwrap(), Signal::KILL).unwrap();
    program.wait().unwrap();
    for process in &processes {
        let patience = Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
        let ended = poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&patience)).unwrap();
        assert_eq!(ended, 1, "one of the processes {line} is left");
    }
    // The server holds the other end of this, too.
    output.read_to_string(&mut line).unwrap();
}
