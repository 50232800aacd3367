//! The group of workers: who has joined, and who comes too late.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nws_work::control::WorkerCommand;
use nws_work::master::Tasks;
use nws_work::sleigh::{Group, Sleigh};

use crate::processes::{LIMIT, limit};
use crate::roles::{HOLDS, worker_command};
use crate::sleighs::{Outcomes, push, run, start, start_with, until};

/// A sleigh of two workers, of which one does not say that it has joined before there is this file.
fn half(folder: &Path) -> (Sleigh, PathBuf, u32) {
    let path = folder.join("come");
    let mut command: WorkerCommand = worker_command();
    command.env.push((HOLDS.to_owned(), Some(path.display().to_string())));
    let sleigh = start_with(2, command).unwrap();
    let mut outcomes = Outcomes::default();
    until(&sleigh, &mut outcomes, |outcomes| outcomes.joined.len() == 1);
    let (rank, _) = outcomes.joined[0];
    (sleigh, path, rank)
}

#[test]
fn a_group_closes_by_itself_when_all_have_joined() {
    let _limit = limit();
    let sleigh = start(2).unwrap();
    let all = Group { joined: vec![0, 1], closed: true };
    assert_eq!(sleigh.group(LIMIT).unwrap(), all);
    assert_eq!(sleigh.close_group().unwrap(), all);
    assert_eq!(sleigh.ranks(), [0, 1]);
}

#[test]
fn the_group_is_waited_for_no_longer_than_was_asked_for() {
    let _limit = limit();
    let folder = tempfile::tempdir().unwrap();
    let (sleigh, path, rank) = half(folder.path());
    let open = Group { joined: vec![rank], closed: false };
    assert_eq!(sleigh.group(Duration::from_millis(10)).unwrap(), open);
    std::fs::write(path, "").unwrap();
    assert!(sleigh.group(LIMIT).unwrap().closed);
}

#[test]
fn who_is_connected_when_the_group_is_closed_is_ended_and_nothing_is_charged_for_it() {
    let _limit = limit();
    let folder = tempfile::tempdir().unwrap();
    let (sleigh, _path, rank) = half(folder.path());
    let closed = Group { joined: vec![rank], closed: true };
    // It is connected, and may hold tasks of this run until it is ended.
    let number = sleigh.begin_run(Vec::new(), 0, None).unwrap();
    let mut tasks = Tasks::new(number, sleigh.worker_count(), None);
    (0..200).for_each(|_| push(&mut tasks, "echo a"));
    sleigh.submit(&mut tasks);
    assert_eq!(sleigh.close_group().unwrap(), closed);
    assert_eq!(sleigh.ranks(), [rank]);
    let mut outcomes = Outcomes::default();
    until(&sleigh, &mut outcomes, |outcomes| outcomes.count() == 200 && outcomes.deaths.len() == 1);
    assert!(outcomes.deaths[0].text.contains("after the group of workers was closed"), "{:?}", outcomes.deaths);
    assert!(!outcomes.deaths[0].failed);
    assert_eq!(outcomes.good(), ["a"; 200]);
    assert_eq!(sleigh.group(Duration::ZERO).unwrap(), closed);
    assert_eq!(run(&sleigh, 1, &["echo b"]).good(), ["b"]);
}

#[test]
fn tasks_of_who_is_too_late_fail_at_once() {
    let _limit = limit();
    let folder = tempfile::tempdir().unwrap();
    let (sleigh, _path, rank) = half(folder.path());
    let number = sleigh.begin_run(Vec::new(), 0, None).unwrap();
    let mut tasks = Tasks::new(number, sleigh.worker_count(), None);
    push(&mut tasks, "echo before");
    sleigh.master().submit_to(1 - rank, &mut tasks);
    sleigh.close_group().unwrap();
    push(&mut tasks, "echo after");
    sleigh.master().submit_to(1 - rank, &mut tasks);
    let mut outcomes = Outcomes::default();
    until(&sleigh, &mut outcomes, |outcomes| outcomes.count() == 2);
    for result in outcomes.results {
        let failure = result.unwrap().unwrap_err();
        assert!(failure.message.contains("the group of workers was closed"), "{}", failure.message);
    }
}
