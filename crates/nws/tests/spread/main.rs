//! Jobs of real commands. What watches them is this test program, started again for the one test that
//! calls `nws::init()` and nothing else; another of its tests is a worker.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test an unwrap is an assertion")]

#[path = "../limited/mod.rs"]
mod limited;

use std::io::{Seek, Write};
use std::sync::mpsc;
use std::time::Duration;

use limited::limited;
use nws::spread::{Command, Event, Failure, Framing, Job, Outcome, Reason, Refusal, serve};

/// Makes this program a worker.
const WORKS: &str = "NWS_SPREAD_TEST_WORKS";

#[test]
fn what_watches_commands_begins_here() {
    nws::init();
}

fn job<'a>(commands: impl IntoIterator<Item = Command>) -> Job<'a> {
    nws::init();
    Job::new(commands).args(["what_watches_commands_begins_here", "--exact", "--nocapture", "--test-threads=1"])
}

fn sh(script: &str) -> Command {
    Command::new("sh").args(["-c", script])
}

/// Answers with twice the number.
const TWICE: &str = r#"while read x; do echo "{\"result\": $((x * 2))}"; done"#;

/// Not a test: a worker by [`serve`]. The harness has written a line before, so it is asked for one first.
#[test]
fn a_worker() {
    if std::env::var_os(WORKS).is_none() {
        return;
    }
    // Ends the line that the harness has begun.
    println!();
    if std::env::var(WORKS).is_ok_and(|how| how == "after a line") {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).unwrap();
        assert_eq!(line, "first\n");
    }
    let mut refused = 0;
    serve(|(x, mood): (i64, String)| match mood.as_str() {
        "busy" if refused < 3 => {
            refused += 1;
            Err(Refusal::TooBusy { delay_s: 0.01 })
        }
        "reads and prints" => {
            println!("{{\"result\": -1}}");
            let read = std::io::stdin().lines().count();
            Ok(x + 10 * i64::try_from(read)?)
        }
        "fails" => Ok(i64::from("no number".parse::<i32>()?)),
        _ => Ok(x + 1),
    })
    .unwrap();
    std::process::exit(0);
}

/// This program as a worker: only what comes after the harness's own words goes on.
fn own_worker() -> Command {
    let program = std::env::current_exe().unwrap();
    let script = r#""$0" a_worker --exact --nocapture --test-threads=1 | grep --line-buffered '^{'"#;
    sh(script).arg(program).env(WORKS, "1")
}

#[test]
fn results_come_in_order_and_tails_with_them() {
    limited(|| {
        let worker = sh(&format!("{TWICE}; echo done"));
        let done = job([worker.clone(), worker.clone(), worker]).run::<u64, u64>(0..500).unwrap();
        assert_eq!(done.results, (0..500).map(|x| 2 * x).collect::<Vec<_>>());
        assert_eq!(done.tails, [b"done\n", b"done\n", b"done\n"]);
    });
}

#[test]
fn without_tasks_every_command_runs() {
    limited(|| {
        let done = job([sh("echo a"), sh("cat")]).first(&"b").run::<(), ()>([]).unwrap();
        assert_eq!(done.tails, [b"a\n".to_vec(), b"\"b\"\n".to_vec()]);
    });
}

#[test]
fn a_worker_in_rust_answers_refuses_and_fails() {
    limited(|| {
        let mut refusals = 0;
        let tasks = [(1, "well"), (2, "busy"), (3, "well")];
        let count = |event: Event| refusals += u32::from(matches!(event, Event::TooBusy { .. }));
        let done = job([own_worker()]).on_event(count).run::<_, i64>(tasks).unwrap();
        assert_eq!(done.results, [2, 3, 4]);
        assert_eq!(refusals, 3);
        let failure = job([own_worker()]).run::<_, i64>([(1, "well"), (2, "fails"), (3, "well")]).unwrap_err();
        assert_eq!(failure.results[0], Some(2));
        let Reason::Remote { task: 1, worker: 0, message } = failure.reason else { panic!("{failure}") };
        assert!(message.contains("invalid digit"), "{message}");
    });
}

#[test]
fn what_a_worker_reads_and_prints_disturbs_nothing() {
    limited(|| {
        let done = job([own_worker()]).run::<_, i64>([(1, "reads and prints"), (2, "reads and prints")]).unwrap();
        assert_eq!(done.results, [1, 2]);
    });
}

#[test]
fn a_worker_may_read_its_first_line_itself_although_more_is_there() {
    limited(|| {
        let mut input = tempfile::tempfile().unwrap();
        input.write_all(b"first\n[1, \"well\"]\n[2, \"well\"]\n").unwrap();
        input.rewind().unwrap();
        let program = std::env::current_exe().unwrap();
        let worker = std::process::Command::new(program)
            .args(["a_worker", "--exact", "--nocapture", "--test-threads=1"])
            .env(WORKS, "after a line")
            .stdin(input)
            .output()
            .unwrap();
        let written = String::from_utf8(worker.stdout).unwrap();
        let answers: Vec<&str> = written.lines().filter(|line| line.starts_with('{')).collect();
        assert_eq!(answers, ["{\"result\":2}", "{\"result\":3}"], "{written}");
    });
}

#[test]
fn the_first_things_are_read_before_the_tasks() {
    limited(|| {
        let script = r#"read a; read b; while read x; do echo "{\"result\": [$a, $b, $x]}"; done"#;
        let done = job([sh(script)]).first(&10).first(&20).run::<u8, (u8, u8, u8)>([1, 2]).unwrap();
        assert_eq!(done.results, [(10, 20, 1), (10, 20, 2)]);
    });
}

#[test]
fn bytes_of_ones_own_making_are_handed_over_as_they_are() {
    limited(|| {
        let tasks = [b"a b\n".to_vec(), b"c\n".to_vec()];
        let read = |bytes: &[u8]| Ok(Outcome::Result(bytes.to_vec()).into());
        let done = job([Command::new("cat")]).run_raw(Framing::Lines, tasks.clone(), read).unwrap();
        assert_eq!(done.results, tasks);
        // A pickle of (1, None, None), of protocol 2.
        let pickle = b"\x80\x02K\x01NN\x87q\x00.".to_vec();
        let read = |bytes: &[u8]| Ok(Outcome::Result(bytes.len()).into());
        let job = job([Command::new("cat")]);
        assert_eq!(job.run_raw(Framing::Pickle, [pickle.clone()], read).unwrap().results, [pickle.len()]);
    });
}

#[test]
fn a_worker_that_dies_or_writes_junk_is_started_again_and_given_up_in_the_end() {
    limited(|| {
        let dies_each_time = r#"read x; echo "{\"result\": $x}"; kill -9 $$"#;
        let done = job([sh(dies_each_time)]).run::<u8, u8>(0..10).unwrap();
        assert_eq!(done.results, (0..10).collect::<Vec<u8>>());
        let mut given_up = Vec::new();
        let note = |event: Event| {
            if let Event::Ended { worker, given_up: true, .. } = event {
                given_up.push(worker);
            }
        };
        let commands = [sh("read x; echo why >&2; kill -9 $$"), sh("read x; echo hello; sleep 1000")];
        let failure: Failure<u8> = job(commands).on_event(note).run::<u8, u8>([1, 2, 3]).unwrap_err();
        let Reason::NoWorkers(ends) = &failure.reason else { panic!("{failure}") };
        assert!(ends[0].how.contains("SIGKILL") && ends[0].how.contains("why"), "{failure}");
        assert!(ends[1].how.contains("expected a line of JSON, an object"), "{failure}");
        given_up.sort_unstable();
        assert_eq!(given_up, [0, 1]);
        assert_eq!(failure.results, [None; 3]);
    });
}

#[test]
fn a_command_that_cannot_be_started_is_told_and_left_out() {
    limited(|| {
        let mut told = Vec::new();
        let note = |event: Event| {
            if let Event::NotStarted { worker, message } = event {
                told.push((worker, message));
            }
        };
        let nowhere = Command::new("no-such-program-anywhere");
        let done = job([nowhere.clone(), sh(TWICE)]).on_event(note).run::<u8, u8>([1]).unwrap();
        assert_eq!(done.results, [2]);
        assert!(told.len() == 1 && told[0].0 == 0 && told[0].1.contains("no such program"), "{told:?}");
        let failure = job([nowhere]).on_event(drop).run::<u8, u8>([1]).unwrap_err();
        assert!(matches!(failure.reason, Reason::NoneStarted(_)), "{failure}");
        let failure = job([]).run::<u8, u8>([1]).unwrap_err();
        assert!(failure.to_string().contains("at least one command"), "{failure}");
    });
}

#[test]
fn a_task_that_takes_too_long_ends_the_job_at_the_third_time() {
    limited(|| {
        let hangs = r#"while read x; do [ $x = 1 ] && sleep 1000; echo "{\"result\": $x}"; done"#;
        // Where the machine is so slow that others took too long as well, it is tried with more time.
        let failures = (0..7).map(|attempt| {
            let timeout = Duration::from_millis(100 << attempt);
            job([sh(hangs), sh(hangs)]).timeout(timeout).on_event(drop).run::<u8, u8>(0..5).unwrap_err()
        });
        let expected = [Some(0), None, Some(2), Some(3), Some(4)];
        let mut failures = failures.skip_while(|failure| failure.results != expected);
        let failure = failures.next().expect("the others have no results");
        assert!(matches!(failure.reason, Reason::TimedOut { task: 1 }), "{failure}");
    });
}

#[test]
fn a_command_that_writes_without_end_is_an_error() {
    limited(|| {
        let failure = job([Command::new("yes")]).limit_bytes(10_000).run::<(), ()>([]).unwrap_err();
        assert!(matches!(failure.reason, Reason::TooMuchOutput { worker: 0 }), "{failure}");
    });
}

#[test]
fn a_killed_host_is_told() {
    limited(|| {
        let failure = job([sh("read x; kill -9 $PPID; sleep 1000")]).run::<u8, u8>([1]).unwrap_err();
        let Reason::HostDied(cause) = &failure.reason else { panic!("{failure}") };
        assert!(cause.text.contains("SIGKILL"), "{failure}");
    });
}

#[test]
fn tasks_are_taken_from_the_iterator_as_they_are_needed() {
    limited(|| {
        let taken = std::cell::Cell::new(0_u32);
        let mut most_ahead = 0;
        let mut done = 0;
        let note = |event: Event| {
            if matches!(event, Event::Answered { .. }) {
                done += 1;
                most_ahead = most_ahead.max(taken.get() - done);
            }
        };
        let tasks = (0..20_000_u32).inspect(|_| taken.set(taken.get() + 1));
        job([Command::new("sed").args(["-u", r#"s/.*/{"result": &}/"#])])
            .on_event(note)
            .run::<u32, u32>(tasks)
            .unwrap();
        assert!(most_ahead < 1000, "{most_ahead} tasks were taken too early");
    });
}

#[test]
fn what_comes_is_heard_while_a_slow_feed_goes_on() {
    limited(|| {
        let folder = tempfile::tempdir().unwrap();
        let failed = folder.path().join("failed");
        let script = r#"read x; : > "$FAILED"; echo '{"error": "no"}'; sleep 1000"#;
        let worker = sh(script).env("FAILED", &failed);
        let (_sender, nothing) = mpsc::channel::<()>();
        let slow = (0..).inspect(|number| {
            // The second task comes when the first has failed, and all others slowly.
            while *number > 0 && nothing.recv_timeout(Duration::from_millis(20)).is_err() && !failed.exists() {}
        });
        let failure = job([worker]).run::<u32, u32>(slow).unwrap_err();
        assert!(matches!(failure.reason, Reason::Remote { task: 0, .. }), "{failure}");
        assert!(failure.results.len() < 256, "{} tasks were taken first", failure.results.len());
    });
}
