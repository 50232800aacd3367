//! Deaths of workers: who is charged, and what is told.

use nws_work::control::WorkerCommand;
use nws_work::envelope::FailureKind;
use nws_work::master::Tasks;
use rustix::process::Signal;

use crate::processes::{Process, limit};
use crate::roles::{LEAVES, worker_command};
use crate::sleighs::{Outcomes, begin, error_of, push, run, start, start_with, until};

#[test]
fn a_task_whose_worker_is_killed_is_run_again() {
    let _limit = limit();
    let folder = tempfile::tempdir().unwrap();
    let sleigh = start(2).unwrap();
    let killer = format!("kill-once {}", folder.path().join("once").display());
    let mut outcomes = run(&sleigh, 1, &["echo a", &killer, "echo b"]);
    until(&sleigh, &mut outcomes, |outcomes| outcomes.deaths.len() == 1);
    let death = &outcomes.deaths[0];
    assert_eq!((death.signal, death.task, death.failed), (Some(9), Some(1), false), "{death:?}");
    assert_eq!(outcomes.good(), ["a", "again", "b"]);
}

#[test]
fn a_task_that_has_cost_two_workers_fails_alone_with_the_cause() {
    let _limit = limit();
    let sleigh = start(2).unwrap();
    let outcomes = run(&sleigh, 1, &["echo a", "kill", "echo b", "exit 3"]);
    let result = |index: usize| outcomes.results[index].as_ref().unwrap();
    assert_eq!((result(0), result(2)), (&Ok("a".to_owned()), &Ok("b".to_owned())));
    let failure = result(1).as_ref().unwrap_err();
    assert_eq!((failure.kind, failure.deaths), (FailureKind::Died, 2));
    let cause = failure.cause.as_ref().unwrap();
    assert_eq!((cause.signal, cause.exit_code, cause.out_of_memory), (Some(9), None, Some(false)));
    assert!(cause.peak_memory_bytes > 1 << 20);
    assert_eq!(cause.stderr_tail, ["last words"]);
    assert!(failure.message.contains("2 times") && failure.message.contains("SIGKILL"), "{}", failure.message);
    let cause = result(3).as_ref().unwrap_err().cause.as_ref().unwrap();
    assert_eq!((cause.signal, cause.exit_code), (None, Some(3)));
}

#[test]
fn without_retries_the_first_death_fails_the_task() {
    let _limit = limit();
    let sleigh = start(1).unwrap();
    let outcomes = run(&sleigh, 0, &["kill", "echo a"]);
    assert_eq!(outcomes.results[0].as_ref().unwrap().as_ref().unwrap_err().deaths, 1);
    assert_eq!(outcomes.results[1], Some(Ok("a".to_owned())));
}

#[test]
fn a_worker_that_is_killed_while_idle_is_replaced_and_charges_nobody() {
    let _limit = limit();
    let sleigh = start(2).unwrap();
    let mut outcomes = Outcomes::default();
    until(&sleigh, &mut outcomes, |outcomes| outcomes.joined.len() == 2);
    let (rank, pid) = outcomes.joined[0];
    Process::of(pid).unwrap().signal(Signal::KILL);
    until(&sleigh, &mut outcomes, |outcomes| outcomes.deaths.len() == 1 && outcomes.joined.len() == 3);
    let death = &outcomes.deaths[0];
    assert_eq!((death.pid, death.signal, death.task, death.failed), (pid, Some(9), None, false));
    assert_eq!(outcomes.joined[2].0, rank, "it is replaced under its rank");
    assert_eq!(run(&sleigh, 0, &["echo a", "echo b", "echo c"]).good(), ["a", "b", "c"]);
}

#[test]
fn a_worker_that_is_stopped_is_ended_and_its_task_run_again() {
    let _limit = limit();
    let folder = tempfile::tempdir().unwrap();
    let sleigh = start(2).unwrap();
    let stopper = format!("stop-once {}", folder.path().join("once").display());
    let mut outcomes = run(&sleigh, 1, &[&stopper, "echo a"]);
    until(&sleigh, &mut outcomes, |outcomes| outcomes.deaths.len() == 1);
    assert!(outcomes.deaths[0].text.contains("silent"), "{:?}", outcomes.deaths);
    assert_eq!(outcomes.good(), ["again", "a"]);
}

#[test]
fn a_run_that_is_given_up_takes_its_workers_along_and_charges_nobody() {
    let _limit = limit();
    let folder = tempfile::tempdir().unwrap();
    let sleigh = start(1).unwrap();
    let path = folder.path().join("family");
    let given_up = begin(&sleigh, 0, &[&format!("family {}", path.display())]);
    crate::sleighs::wait_for_file(&path);
    let family = crate::processes::tree(sleigh.host_pid());
    assert!(
        family.iter().filter(|process| crate::processes::command_line(process.pid).contains("sleep 1000")).count() >= 3
    );
    sleigh.give_up(given_up);
    assert_eq!(run(&sleigh, 0, &["echo a"]).good(), ["a"]);
    let sleepers = crate::processes::tree(sleigh.host_pid());
    assert!(!sleepers.iter().any(|process| crate::processes::command_line(process.pid).contains("sleep 1000")));
}

#[test]
fn every_result_comes_however_many_workers_are_killed() {
    let _limit = limit();
    let sleigh = start(2).unwrap();
    let words: Vec<String> = (0..2000).map(|number| format!("echo {number}")).collect();
    let payloads: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut outcomes = Outcomes::default();
    until(&sleigh, &mut outcomes, |outcomes| outcomes.joined.len() == 2);
    let all = begin(&sleigh, 10, &payloads);
    for kill in 0..30 {
        let pid = outcomes.joined.last().unwrap().1;
        if let Some(worker) = Process::of(pid) {
            worker.signal(Signal::KILL);
        }
        until(&sleigh, &mut outcomes, |outcomes| outcomes.joined.len() == 3 + kill);
    }
    until(&sleigh, &mut outcomes, |outcomes| outcomes.count() == payloads.len() && outcomes.deaths.len() == 30);
    sleigh.end_run(all);
    let good = outcomes.good();
    assert!(good.iter().enumerate().all(|(number, word)| number.to_string() == *word));
}

#[test]
fn workers_that_cannot_begin_are_given_up_with_their_last_words() {
    let _limit = limit();
    let shell = |script: &str| WorkerCommand {
        program: "/bin/sh".into(),
        args: vec!["-c".into(), script.into()],
        ..WorkerCommand::default()
    };
    let error = error_of_start(2, shell("echo 'No module named nws' >&2; exit 1"));
    for words in ["no worker is left", "worker 0: ended with exit code 1", "worker 1: ", "No module named nws"] {
        assert!(error.contains(words), "{error}");
    }
    let mut leaving = worker_command();
    leaving.env.push((LEAVES.to_owned(), Some("1".to_owned())));
    let error = error_of_start(1, leaving);
    assert!(error.contains("worker 0: ended with exit code 5"), "{error}");
    let nowhere = WorkerCommand { program: "/no/such/python".into(), ..worker_command() };
    let error = error_of_start(1, nowhere);
    assert!(error.contains("/no/such/python: no such program"), "{error}");
}

#[test]
fn tasks_for_a_rank_that_is_given_up_fail_with_the_cause() {
    let _limit = limit();
    let folder = tempfile::tempdir().unwrap();
    // The first process to come works, all others do not.
    let works = worker_command();
    let script = format!("mkdir {} || exit 7; exec \"$0\" \"$@\"", folder.path().join("first").display());
    let mut args = vec!["-c".to_owned(), script, works.program.to_str().unwrap().to_owned()];
    args.extend(works.args);
    let sleigh = start_with(2, WorkerCommand { program: "/bin/sh".into(), args, ..works }).unwrap();
    // Before the rank is given up, and after.
    for _ in 0..2 {
        let mut outcomes = Outcomes::default();
        let run = sleigh.begin_run(Vec::new(), 1, None).unwrap();
        let mut tasks = Tasks::new(run, 2, None);
        for rank in 0..2 {
            push(&mut tasks, "echo a");
            sleigh.master().submit_to(rank, &mut tasks);
        }
        until(&sleigh, &mut outcomes, |outcomes| outcomes.count() == 2);
        let failed: Vec<_> = outcomes.results.iter().flatten().filter_map(|result| result.as_ref().err()).collect();
        assert_eq!(failed.len(), 1, "{:?}", outcomes.results);
        let message = &failed[0].message;
        assert!(message.contains("can be started any more: ended with exit code 7"), "{message}");
    }
}

/// The error may come before the sleigh is complete or after.
fn error_of_start(worker_count: u32, worker: WorkerCommand) -> String {
    match start_with(worker_count, worker) {
        Ok(sleigh) => error_of(&sleigh),
        Err(error) => error.to_string(),
    }
}
