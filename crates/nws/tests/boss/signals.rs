//! The control signals, each with its effect.

use std::fs;

use nws::boss::scheduler::MaxThreads;
use nws::boss::{Boss, Error, Signal, Status};

use super::{Order, builder, is_there, limited, noted, obey, until};

fn boss(threads: u32, orders: &[Order]) -> Boss<Order, u32> {
    let boss = builder().scheduler(MaxThreads::new(threads)).build(obey::task()).unwrap();
    boss.set_instructions(orders.to_vec()).unwrap();
    boss.make_them_work().unwrap();
    boss
}

#[test]
fn interim_reports_tell_what_was_done_so_far() {
    limited(|| {
        let folder = tempfile::tempdir().unwrap();
        let go = folder.path().join("go");
        let boss = boss(2, &[Order::Return(1), Order::WaitFor(go.clone(), 2)]);
        until(|| boss.report().unwrap().workers_report.len() == 1);
        let report = boss.report().unwrap();
        assert_eq!((report.status, report.workers_report[0].report), (Status::Interim, 1));
        assert_eq!(boss.final_report(), Ok(None));
        fs::write(go, "").unwrap();
        assert_eq!(boss.wait_till_finished().unwrap().workers_report.len(), 2);
        assert_eq!(boss.final_report().unwrap().unwrap().status, Status::Finished);
    });
}

#[test]
fn a_halt_lasts_until_it_is_resumed() {
    limited(|| {
        let folder = tempfile::tempdir().unwrap();
        let go = folder.path().join("go");
        let boss = boss(1, &[Order::WaitFor(go.clone(), 1), Order::Return(2)]);
        boss.control(Signal::Halt);
        fs::write(go, "").unwrap();
        until(|| boss.report().unwrap().workers_report.len() == 1);
        // The scheduler would hand it out at once.
        assert_eq!(boss.wait_till_finished(), Err(Error::Halted));
        boss.control(Signal::Resume);
        assert_eq!(boss.wait_till_finished().unwrap().workers_report.len(), 2);
    });
}

#[test]
fn a_stop_lets_those_who_work_finish() {
    limited(|| {
        let folder = tempfile::tempdir().unwrap();
        let go = folder.path().join("go");
        let boss = boss(1, &[Order::WaitFor(go.clone(), 1), Order::Return(2)]);
        // It has begun before it is stopped, as messages are heard in order.
        assert_eq!(boss.report().unwrap().status, Status::Interim);
        boss.control(Signal::Stop);
        fs::write(go, "").unwrap();
        let report = boss.wait_till_finished().unwrap();
        assert_eq!((report.status, report.workers_report[0].report), (Status::Pending, 1));
        assert_eq!(report.pending, [Order::Return(2)]);
    });
}

#[test]
fn workers_are_stopped_at_once_with_all_that_they_started() {
    limited(|| {
        let folder = tempfile::tempdir().unwrap();
        let note = folder.path().join("note");
        let orders = [Order::Stay(note.clone()), Order::Return(2)];
        let boss = boss(1, &orders);
        let pid = noted(&note);
        boss.stop_them_working();
        let report = boss.wait_till_finished().unwrap();
        assert_eq!((report.status, report.pending), (Status::Pending, orders.to_vec()));
        assert!(!is_there(pid));
    });
}

#[test]
fn who_is_not_listened_to_goes_on_as_long_as_the_boss_is_there() {
    limited(|| {
        let folder = tempfile::tempdir().unwrap();
        let note = folder.path().join("note");
        let boss = boss(1, &[Order::Stay(note.clone()), Order::Return(2)]);
        let pid = noted(&note);
        boss.control(Signal::StopListening);
        let report = boss.wait_till_finished().unwrap();
        assert_eq!((report.status, report.pending), (Status::Pending, vec![Order::Return(2)]));
        assert!(is_there(pid));
        drop(boss);
        assert!(!is_there(pid));
    });
}
