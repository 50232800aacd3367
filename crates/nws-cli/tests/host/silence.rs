//! Processes that are stopped: they do not end, and are noticed all the same.

use nws_work::control::WorkerCommand;
use rustix::process::Signal;

use crate::processes::{Process, command_line, limit, tree};
use crate::roles::worker_command;
use crate::sleighs::{Everything, Outcomes, error_of, run, start, start_with, until};

/// Stops one of the processes of an idle sleigh; what its master is told.
fn stop(find: impl Fn(&Everything) -> &Process) -> String {
    let sleigh = start(2).unwrap();
    assert_eq!(run(&sleigh, 1, &["echo a"]).good(), ["a"]);
    let everything = Everything::of(sleigh.host_pid(), sleigh.server().unix.as_ref().unwrap());
    find(&everything).signal(Signal::STOP);
    let error = error_of(&sleigh);
    drop(sleigh);
    everything.assert_gone();
    error
}

#[test]
fn a_server_that_is_stopped_ends_the_sleigh_and_is_named() {
    let _limit = limit();
    let error = stop(|everything| everything.named("serve --embedded"));
    assert!(error.contains("server was silent for 4000 ms"), "{error}");
}

#[test]
fn a_host_that_is_stopped_is_ended_by_its_warden() {
    let _limit = limit();
    let error = stop(|everything| everything.named("host --warden"));
    assert!(error.contains("host") && error.contains("it was silent (stopped, or hanging)"), "{error}");
}

#[test]
fn a_warden_that_is_stopped_ends_the_sleigh() {
    let _limit = limit();
    let error = stop(|everything| &everything.processes[0]);
    assert!(error.contains("its warden process was silent (stopped, or hanging)"), "{error}");
}

#[test]
fn a_worker_that_is_stopped_before_it_joins_is_replaced() {
    let _limit = limit();
    let folder = tempfile::tempdir().unwrap();
    let works = worker_command();
    let script = format!("mkdir {} && kill -STOP $$; exec \"$0\" \"$@\"", folder.path().join("once").display());
    let mut args = vec!["-c".to_owned(), script, works.program.to_str().unwrap().to_owned()];
    args.extend(works.args);
    let sleigh = start_with(1, WorkerCommand { program: "/bin/sh".into(), args, ..works }).unwrap();
    assert!(tree(sleigh.host_pid()).iter().any(|process| command_line(process.pid).contains("kill -STOP")));
    let mut outcomes = Outcomes::default();
    until(&sleigh, &mut outcomes, |outcomes| outcomes.deaths.len() == 1 && outcomes.joined.len() == 1);
    assert!(outcomes.deaths[0].text.contains("it was silent (stopped"), "{:?}", outcomes.deaths);
    assert_eq!(run(&sleigh, 0, &["echo a"]).good(), ["a"]);
}
