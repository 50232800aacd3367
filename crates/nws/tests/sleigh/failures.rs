//! Tasks that fail, workers that die, sleighs that end.

use std::num::ParseIntError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nws::sleigh::{Error, FailureKind, TaskFailure};

use crate::{builder, limited, sleigh};

/// Ends in many ways; gives back what it was told where it knows no such way.
#[nws::task]
pub(crate) fn end(how: &str) -> String {
    match how {
        "panic" => panic!("as it was told"),
        "abort" => std::process::abort(),
        "exit" => std::process::exit(0),
        "kill" => rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap(),
        "overflow" => assert_ne!(recurse(1), 0),
        "sleep" => loop {
            thread::sleep(Duration::from_secs(3600));
        },
        "complain" => {
            eprintln!("this is why");
            std::process::exit(3);
        }
        _ => {}
    }
    how.to_owned()
}

#[allow(unconditional_recursion, reason = "what a stack overflow looks like is the question")]
fn recurse(depth: u64) -> u64 {
    std::hint::black_box([depth; 512])[7] + recurse(depth + 1)
}

#[nws::task]
fn parse(text: &str) -> Result<i64, ParseIntError> {
    text.parse()
}

/// A number that is written as what it is not read from.
#[derive(Debug)]
struct Odd(u32);

impl serde::Serialize for Odd {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            13 => Err(serde::ser::Error::custom("thirteen is not written")),
            number => number.serialize(serializer),
        }
    }
}

impl<'de> serde::Deserialize<'de> for Odd {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            7 => Err(serde::de::Error::custom("seven is not read")),
            number => Ok(Odd(number)),
        }
    }
}

#[nws::task]
fn odd(number: u32) -> Odd {
    Odd(number)
}

fn failure(error: Error) -> TaskFailure {
    let Error::Tasks(mut failures) = error else { panic!("expected failed tasks, got {error:?}") };
    assert_eq!(failures.failed.len(), 1, "{failures}");
    failures.failed.remove(0)
}

#[test]
fn an_error_fails_its_task_alone_with_type_and_text() {
    limited(|| {
        let sleigh = sleigh(2);
        let error = sleigh.each_elem(parse::task(), ["1", "x", "3"]).unwrap_err();
        assert_eq!(
            error.to_string().replace("worker 1", "worker 0"),
            "1 of 3 tasks failed; task 1 on worker 0 failed: invalid digit found in string"
        );
        let failure = failure(error);
        assert_eq!((failure.index, failure.kind), (1, FailureKind::Error));
        assert_eq!(failure.type_name.as_deref(), Some("core::num::error::ParseIntError"));
        let outcomes = sleigh.call(parse::task()).each_elem_outcomes(["1", "x", "3"]).unwrap();
        assert_eq!((&outcomes[0], &outcomes[2]), (&Ok(1), &Ok(3)));
        let mut results = sleigh.imap(parse::task(), ["1", "x", "3"]).unwrap();
        assert_eq!(results.next().unwrap().unwrap(), 1);
        assert!(matches!(results.next().unwrap(), Err(Error::Task(failure)) if failure.index == 1));
        assert_eq!(results.next().unwrap().unwrap(), 3);
        assert!(results.next().is_none());
    });
}

#[test]
fn a_panic_fails_its_task_alone_and_tells_where_it_was() {
    limited(|| {
        let sleigh = sleigh(1);
        let before = sleigh.worker_info().unwrap();
        let failure = failure(sleigh.each_elem(end::task(), ["a", "panic", "b"]).unwrap_err());
        assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Panic, "as it was told"));
        let location = failure.location.clone().unwrap();
        assert!(location.starts_with("crates/nws/tests/sleigh/failures.rs:"), "{location}");
        assert!(failure.to_string().starts_with("task 1 on worker 0 panicked at crates/nws"), "{failure}");
        assert_eq!(sleigh.worker_info().unwrap(), before, "the worker lives on");
    });
}

#[test]
fn each_way_of_dying_fails_its_task_alone_with_the_cause() {
    limited(|| {
        let sleigh = sleigh(2);
        let ways = [
            ("abort", "SIGABRT"),
            ("exit", "exit code 0"),
            ("kill", "SIGKILL"),
            ("overflow", "SIGABRT"),
            ("complain", "this is why"),
        ];
        for (way, words) in ways {
            let inputs: Vec<&str> = (0..20).map(|n| if n == 7 { way } else { "." }).collect();
            let outcomes = sleigh.call(end::task()).retries(1).each_elem_outcomes(&inputs).unwrap();
            for (index, outcome) in outcomes.iter().enumerate() {
                match outcome {
                    Ok(text) => assert_eq!((text.as_str(), index != 7), (".", true)),
                    Err(failure) => {
                        assert_eq!((failure.index, failure.kind, failure.deaths), (7, FailureKind::Died, 2), "{way}");
                        assert!(failure.message.contains(words), "{way}: {}", failure.message);
                        assert!(failure.cause.is_some());
                    }
                }
            }
        }
    });
}

#[test]
fn a_task_that_takes_longer_than_its_timeout_is_ended_alone() {
    limited(|| {
        let sleigh = sleigh(2);
        let call = sleigh.call(end::task()).timeout(Duration::from_millis(300));
        let failure = failure(call.each_elem([".", "sleep", "."]).unwrap_err());
        assert_eq!((failure.index, failure.kind), (1, FailureKind::TimedOut));
        assert!(failure.message.contains("its timeout of 0.3 s"), "{failure}");
        for wrong in [Duration::ZERO, Duration::MAX] {
            let refused = sleigh.call(end::task()).timeout(wrong).each_elem(["."]).unwrap_err();
            assert!(matches!(refused, Error::Argument(_)), "{refused:?}");
        }
    });
}

#[test]
fn a_result_that_cannot_be_written_or_read_fails_its_task_alone() {
    limited(|| {
        let sleigh = sleigh(1);
        let outcomes = sleigh.call(odd::task()).each_elem_outcomes([1, 7, 13, 2]).unwrap();
        assert_eq!((outcomes[0].as_ref().unwrap().0, outcomes[3].as_ref().unwrap().0), (1, 2));
        let messages = [1, 2].map(|index: usize| outcomes[index].as_ref().unwrap_err().to_string());
        assert!(messages[0].contains("cannot be read here: seven is not read"), "{}", messages[0]);
        assert!(messages[1].contains("cannot be encoded: thirteen is not written"), "{}", messages[1]);
    });
}

#[test]
fn a_worker_whose_first_task_fails_is_given_up_with_the_reason() {
    limited(|| {
        let sleigh = builder(2).first(end::task(), "panic").build().unwrap();
        let error = sleigh.each_elem(end::task(), ["."]).unwrap_err();
        let Error::Lost(text) = error else { panic!("expected a lost sleigh, got {error:?}") };
        assert!(text.starts_with("no worker is left:"), "{text}");
        assert!(text.contains("worker 0:") && text.contains("worker 1:"), "{text}");
        assert!(text.contains("runs first has failed at crates/nws/tests/sleigh/failures.rs"), "{text}");
        assert!(matches!(sleigh.each_elem(end::task(), ["."]), Err(Error::Lost(_))), "it stays lost");
    });
}

#[nws::task]
fn delete_the_definition(_: ()) -> Result<(), nws::Error> {
    let workspace = nws::worker::workspace()?;
    let definitions = workspace.list_variables()?.into_iter().filter(|variable| variable.name.starts_with(b"run "));
    for definition in definitions {
        workspace.delete_variable(definition.name)?;
    }
    std::process::abort()
}

#[test]
fn tasks_whose_definition_somebody_deleted_fail_with_the_reason() {
    limited(|| {
        let outcomes = sleigh(1).call(delete_the_definition::task()).each_elem_outcomes([()]).unwrap();
        let failure = outcomes.into_iter().next().unwrap().unwrap_err();
        assert!(failure.message.contains("somebody deleted it"), "{failure}");
    });
}

#[test]
fn a_lost_host_ends_the_call_with_the_cause() {
    limited(|| {
        let sleigh = sleigh(1);
        let host = sleigh.each_elem(parent::task(), [()]).unwrap()[0];
        let pending = sleigh.call(end::task()).start(["sleep"]).unwrap();
        kill(host);
        let error = pending.wait().unwrap_err();
        assert!(matches!(&error, Error::Lost(text) if text.contains("SIGKILL")), "{error:?}");
    });
}

#[test]
fn a_lost_server_ends_the_call_with_the_cause() {
    limited(|| {
        let sleigh = sleigh(1);
        let host = sleigh.each_elem(parent::task(), [()]).unwrap()[0];
        let pending = sleigh.call(end::task()).start(["sleep"]).unwrap();
        kill(server_of(host));
        let error = pending.wait().unwrap_err();
        let told = matches!(&error, Error::Lost(text) if text.contains("server") && text.contains("SIGKILL"));
        assert!(told, "{error:?}");
    });
}

/// The embedded server among the processes of this machine.
fn server_of(host: i32) -> i32 {
    let is_server = |pid: &i32| {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let parent = read("stat").rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
        parent == Some(host) && read("environ").contains("NWS_ROLE=server:")
    };
    let processes = std::fs::read_dir("/proc").unwrap();
    let mut pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.find(is_server).expect("the host has a server")
}

#[nws::task]
fn parent(_: ()) -> i32 {
    rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get())
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    // It may have ended meanwhile.
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

#[test]
fn a_sleigh_that_is_stopped_in_the_middle_ends_its_call() {
    limited(|| {
        let sleigh = sleigh(2);
        let pending = sleigh.call(end::task()).start(["sleep"; 3]).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| sleigh.stop());
            let error = pending.wait().unwrap_err();
            assert!(matches!(error, Error::Stopped), "{error:?}");
        });
        assert!(matches!(sleigh.each_elem(end::task(), ["."]), Err(Error::Stopped)));
        sleigh.stop();
    });
}

#[nws::task]
fn spin(milliseconds: u64) -> u32 {
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(milliseconds) {}
    std::process::id()
}

#[test]
fn a_thousand_tasks_survive_kills_at_random_moments() {
    limited(|| {
        let sleigh = sleigh(3);
        let kills = AtomicU64::new(0);
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move |below: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % below
        };
        let results = sleigh.call(spin::task()).retries(1000).load_factor(4).imap((0..1000).map(|n| n % 3)).unwrap();
        let mut done = 0;
        for pid in results {
            let pid = pid.unwrap();
            done += 1;
            if kills.load(Ordering::Relaxed) < 60 && random(10) == 0 {
                kills.fetch_add(1, Ordering::Relaxed);
                // Whoever brought this result may be busy, idle, or dead by now.
                kill(pid.cast_signed());
            }
        }
        assert_eq!(done, 1000);
        assert!(kills.into_inner() > 30);
    });
}

/// Holds so many bytes, and those from a certain number on until it is ended.
#[nws::task]
fn hold(bytes: usize) -> usize {
    let held = std::hint::black_box(vec![1u8; bytes]);
    if bytes >= 300 << 20 {
        thread::sleep(Duration::from_secs(3600));
    }
    held.len()
}

#[test]
fn a_task_that_takes_more_memory_than_a_worker_may_fails_alone() {
    limited(|| {
        let sleigh = builder(1).memory_limit(200 << 20).build().unwrap();
        let outcomes = sleigh.call(hold::task()).each_elem_outcomes([1000, 300 << 20, 2000]).unwrap();
        let failure = outcomes[1].as_ref().unwrap_err();
        assert_eq!(failure.kind, FailureKind::Died);
        assert!(failure.message.contains("at most 200 MiB are allowed"), "{}", failure.message);
        assert_eq!((outcomes[0].as_ref().unwrap(), outcomes[2].as_ref().unwrap()), (&1000, &2000));
    });
}
