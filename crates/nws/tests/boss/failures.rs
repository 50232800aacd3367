//! Workers that fail, die or cannot be had, and what else may go wrong.

use std::collections::VecDeque;

use nws::boss::scheduler::{MaxMemory, Scheduler, Unlimited, Working};
use nws::boss::{Boss, Error, TroubleKind, WorkerFailure, WorkerReport};
use rustix::process::{Pid, Signal, kill_process};

use super::{Order, builder, is_there, limited, noted, obey, until};

/// The failure of a Boss with these instructions, of which the first never ends by itself.
fn failure(guilty: Order) -> WorkerFailure<Order> {
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("note");
    let boss = builder().scheduler(Unlimited).build(obey::task()).unwrap();
    boss.set_instructions([Order::Stay(note.clone())]).unwrap();
    boss.make_them_work().unwrap();
    let innocent = noted(&note);
    boss.set_instructions([guilty.clone()]).unwrap();
    let Err(Error::Worker(failure)) = boss.wait_till_finished() else { panic!("{guilty:?} did not fail") };
    assert_eq!((&failure.name, &failure.instructions), (&"worker-1".to_owned(), &guilty));
    assert!(!is_there(innocent), "the others are stopped");
    assert_eq!(boss.report(), Err(Error::Worker(failure.clone())), "it is told to whoever asks");
    assert!(boss.set_instructions([Order::Return(1)]).is_err());
    *failure
}

#[test]
fn an_error_stops_the_others_and_is_returned_with_the_guilty_instructions() {
    limited(|| {
        let failure = failure(Order::Fail("no ink".into()));
        assert_eq!((failure.trouble.kind, failure.trouble.message.as_str()), (TroubleKind::Error, "no ink"));
        assert!(failure.trouble.type_name.as_ref().unwrap().ends_with("String"));
        assert_eq!(failure.to_string(), "the worker worker-1 failed: no ink; its instructions: Fail(\"no ink\")");
    });
}

#[test]
fn a_panic_is_an_error_that_tells_where() {
    limited(|| {
        let failure = failure(Order::Panic("at the disco".into()));
        assert_eq!((failure.trouble.kind, failure.trouble.message.as_str()), (TroubleKind::Panic, "at the disco"));
        assert!(failure.trouble.location.unwrap().contains("tests/boss/main.rs:"));
    });
}

#[test]
fn a_worker_that_is_killed_is_such_an_error() {
    limited(|| {
        for signal in [9, 6, 15] {
            let failure = failure(Order::Kill(signal));
            assert_eq!(failure.trouble.kind, TroubleKind::Died);
            assert_eq!(failure.trouble.cause.unwrap().signal, Some(signal));
        }
    });
}

#[test]
fn a_worker_that_dies_with_its_report_done_is_such_an_error() {
    limited(|| {
        let failure = failure(Order::AbortAtEnd);
        assert_eq!(failure.trouble.kind, TroubleKind::Died);
        assert_eq!(failure.trouble.cause.unwrap().signal, Some(6));
    });
}

#[test]
fn a_worker_that_leaves_before_its_task_is_done_is_such_an_error() {
    limited(|| {
        for code in [0, 7] {
            let failure = failure(Order::Exit(code));
            assert_eq!(failure.trouble.kind, TroubleKind::Died);
            assert_eq!(failure.trouble.cause.unwrap().exit_code, Some(code));
        }
    });
}

#[test]
fn the_death_of_the_host_is_told_and_leaves_no_worker() {
    limited(|| {
        let folder = tempfile::tempdir().unwrap();
        let note = folder.path().join("note");
        let boss = builder().build(obey::task()).unwrap();
        boss.set_instructions([Order::Stay(note.clone())]).unwrap();
        boss.make_them_work().unwrap();
        let worker = noted(&note);
        let stat = std::fs::read_to_string(format!("/proc/{worker}/stat")).unwrap();
        let host: i32 = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(1).unwrap().parse().unwrap();
        kill_process(Pid::from_raw(host).unwrap(), Signal::KILL).unwrap();
        let Err(Error::Lost(told)) = boss.wait_till_finished() else { panic!("it went on") };
        assert!(told.starts_with("the process that holds the workers has ended"), "{told}");
        until(|| !is_there(worker));
    });
}

#[test]
fn what_needs_more_memory_than_there_is_ends_the_boss() {
    limited(|| {
        let memory = MaxMemory::new(|_: &Order| 11).limit_bytes(10);
        let boss: Boss<Order, u32> = builder().scheduler(memory).build(obey::task()).unwrap();
        boss.set_instructions([Order::Return(1)]).unwrap();
        boss.make_them_work().unwrap();
        let Err(Error::Scheduler(told)) = boss.wait_till_finished() else { panic!("it went on") };
        assert_eq!(told, "instructions need 11 bytes of memory, and the limit is 10");
    });
}

struct Broken;

impl<I: Send, R> Scheduler<I, R> for Broken {
    fn launchable(&mut self, _: &mut VecDeque<I>, _: &[Working<I>], _: &[WorkerReport<R>]) -> Result<Vec<I>, String> {
        panic!("no idea")
    }
}

#[test]
fn a_scheduler_that_panics_ends_the_boss() {
    limited(|| {
        let boss: Boss<Order, u32> = builder().scheduler(Broken).build(obey::task()).unwrap();
        boss.set_instructions([Order::Return(1)]).unwrap();
        boss.make_them_work().unwrap();
        assert_eq!(boss.wait_till_finished(), Err(Error::Scheduler("the scheduler panicked: no idea".into())));
    });
}

#[test]
fn a_program_that_is_no_folder_to_work_in_is_told() {
    limited(|| {
        let boss: Boss<Order, u32> = builder().working_dir("/no/such/folder").build(obey::task()).unwrap();
        boss.set_instructions([Order::Return(1)]).unwrap();
        boss.make_them_work().unwrap();
        let Err(Error::Worker(failure)) = boss.wait_till_finished() else { panic!("it worked nowhere") };
        assert_eq!(failure.trouble.kind, TroubleKind::NotStarted);
        assert!(failure.trouble.message.contains("/no/such/folder"), "{}", failure.trouble.message);
    });
}
