//! What is done, in what order, where.

use std::fs;
use std::time::Duration;

use nws::boss::scheduler::{LongestFirst, MaxThreads, OnCores, Scheduler, Unlimited, Working};
use nws::boss::{Boss, Error, Status, WorkerReport};

use super::{Order, builder, limited, obey};

#[nws::task]
fn describe(number: u32, text: &str, #[fixed] common: &[u32]) -> String {
    format!("{number} {text} {common:?}")
}

#[nws::task]
fn double(bytes: Vec<u8>) -> Vec<u8> {
    bytes.repeat(2)
}

#[nws::task]
fn cores_and_place(name: String) -> (usize, String, String) {
    let cores = rustix::thread::sched_getaffinity(None).unwrap().count();
    let folder = std::env::current_dir().unwrap().display().to_string();
    (cores as usize, folder, std::env::var(name).unwrap_or_default())
}

#[nws::task]
fn own_name(_number: u32) -> Option<String> {
    std::env::args().next()
}

#[test]
fn workers_bear_the_name_of_the_program_in_lists_of_processes() {
    limited(|| {
        let boss = builder().build(own_name::task()).unwrap();
        boss.set_instructions([1]).unwrap();
        boss.make_them_work().unwrap();
        let report = boss.wait_till_finished().unwrap();
        assert_eq!(report.workers_report[0].report, std::env::args().next());
    });
}

#[test]
fn each_set_of_instructions_is_carried_out_by_a_worker_of_its_own() {
    limited(|| {
        let boss = builder()
            .name(|(number, _): &(u32, &str)| format!("no {number}"))
            .build(describe::with(&[7, 8][..]))
            .unwrap();
        boss.set_instructions([(1, "one"), (2, "two")]).unwrap();
        boss.set_instructions([(3, "three")]).unwrap();
        boss.make_them_work().unwrap();
        let report = boss.wait_till_finished().unwrap();
        assert_eq!((report.status, report.pending.len()), (Status::Finished, 0));
        let mut told: Vec<(String, String)> =
            report.workers_report.into_iter().map(|one| (one.name, one.report)).collect();
        told.sort();
        let expected = [("no 1", "1 one [7, 8]"), ("no 2", "2 two [7, 8]"), ("no 3", "3 three [7, 8]")];
        assert_eq!(told, expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
        assert_eq!(boss.report().unwrap().status, Status::Finished, "it is told as often as it is asked for");
    });
}

#[test]
fn instructions_and_reports_may_be_long() {
    limited(|| {
        let boss = builder().scheduler(MaxThreads::new(1)).build(double::task()).unwrap();
        let long: Vec<u8> = (0..3_000_000_u32).map(|number| number as u8).collect();
        boss.set_instructions([long.clone(), vec![]]).unwrap();
        boss.make_them_work().unwrap();
        let report = boss.wait_till_finished().unwrap();
        assert!(report.workers_report[0].report == long.repeat(2));
        assert_eq!(report.workers_report[1].report, b"");
    });
}

#[test]
fn workers_have_the_core_the_folder_and_the_environment_that_were_said() {
    limited(|| {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let boss = builder().scheduler(OnCores(MaxThreads::new(1))).working_dir(&folder).env("TONE", "A");
        let boss = boss.build(cores_and_place::task()).unwrap();
        boss.set_instructions(["TONE".to_owned()]).unwrap();
        boss.make_them_work().unwrap();
        let report = boss.wait_till_finished().unwrap();
        assert_eq!(report.workers_report[0].report, (1, folder.display().to_string(), "A".to_owned()));
    });
}

#[test]
fn the_longest_goes_first_and_what_was_learnt_is_kept() {
    limited(|| {
        let folder = tempfile::tempdir().unwrap();
        let (path, go) = (folder.path().join("durations"), folder.path().join("go"));
        let orders = [Order::Return(1), Order::WaitFor(go.clone(), 2), Order::Return(3)];
        let run = |threads: u32| {
            let longest = LongestFirst::remembered(&path, |order: &Order| format!("{order:?}")).unwrap();
            let boss = builder().scheduler(longest.max_threads(threads)).build(obey::task()).unwrap();
            boss.set_instructions(orders.clone()).unwrap();
            boss.make_them_work().unwrap();
            if threads == 3 {
                // The second takes longest, as it ends after the others have.
                super::until(|| boss.report().unwrap().workers_report.len() == 2);
                fs::write(&go, "").unwrap();
            }
            boss.wait_till_finished().unwrap().workers_report.iter().map(|one| one.report).collect::<Vec<u32>>()
        };
        assert_eq!(run(3).last(), Some(&2));
        assert_eq!(run(1).first(), Some(&2));
    });
}

/// The last first, one after the other.
struct Backwards;

impl<I: Send, R> Scheduler<I, R> for Backwards {
    fn launchable(
        &mut self,
        pending: &mut std::collections::VecDeque<I>,
        workers: &[Working<I>],
        reports: &[WorkerReport<R>],
    ) -> Result<Vec<I>, String> {
        assert!(reports.len() < 4 && workers.len() < 2);
        Ok(if workers.is_empty() { pending.pop_back().into_iter().collect() } else { Vec::new() })
    }
}

#[test]
fn a_scheduler_may_be_ones_own() {
    limited(|| {
        let boss = builder().scheduler(Backwards).build(obey::task()).unwrap();
        boss.set_instructions([1, 2, 3].map(Order::Return)).unwrap();
        boss.make_them_work().unwrap();
        let report = boss.wait_till_finished().unwrap();
        let told: Vec<(&str, u32)> = report.workers_report.iter().map(|one| (one.name.as_str(), one.report)).collect();
        assert_eq!(told, [("worker-0", 3), ("worker-1", 2), ("worker-2", 1)]);
        assert!(report.workers_report.iter().all(|one| one.took > Duration::ZERO));
    });
}

#[test]
fn any_number_of_workers_may_work_at_a_time() {
    limited(|| {
        let boss = builder().scheduler(Unlimited).build(obey::task()).unwrap();
        boss.set_instructions((0..40).map(Order::Return)).unwrap();
        boss.make_them_work().unwrap();
        let report = boss.wait_till_finished().unwrap();
        let mut values: Vec<u32> = report.workers_report.iter().map(|one| one.report).collect();
        values.sort_unstable();
        assert_eq!(values, (0..40).collect::<Vec<u32>>());
    });
}

#[test]
fn a_boss_that_was_never_told_to_work_says_so_rather_than_wait_for_ever() {
    limited(|| {
        let boss: Boss<Order, u32> = builder().build(obey::task()).unwrap();
        boss.set_instructions([Order::Return(1)]).unwrap();
        assert_eq!(boss.wait_till_finished(), Err(Error::Halted));
        boss.make_them_work().unwrap();
        assert_eq!(boss.wait_till_finished().unwrap().workers_report[0].report, 1);
        assert_eq!(boss.set_instructions([Order::Return(2)]), Err(Error::Ending));
    });
}

#[test]
fn instructions_that_come_too_late_are_refused_and_never_lost() {
    limited(|| {
        let boss: Boss<Order, u32> = builder().build(obey::task()).unwrap();
        let ends_meanwhile = [1, 2].into_iter().map(|value| {
            boss.end();
            Order::Return(value)
        });
        assert_eq!(boss.set_instructions(ends_meanwhile), Err(Error::Ending));
        assert_eq!(boss.wait_till_finished().unwrap().workers_report.len(), 0);
    });
}

unsafe extern "C" {
    /// Of the C library, which every program is linked to.
    fn fork() -> i32;
    fn _exit(status: i32) -> !;
}

#[test]
fn a_fork_may_drop_its_copy_of_a_boss() {
    limited(|| {
        let boss: Boss<Order, u32> = builder().build(obey::task()).unwrap();
        boss.set_instructions([Order::Return(1)]).unwrap();
        // SAFETY: the child drops its copy, and ends.
        let child = unsafe { fork() };
        if child == 0 {
            drop(boss);
            // SAFETY: it ends at once.
            unsafe { _exit(7) };
        }
        let child = rustix::process::Pid::from_raw(child).unwrap();
        let (_, status) =
            rustix::process::waitpid(Some(child), rustix::process::WaitOptions::empty()).unwrap().unwrap();
        assert_eq!(status.exit_status(), Some(7));
        boss.make_them_work().unwrap();
        assert_eq!(boss.wait_till_finished().unwrap().workers_report.len(), 1);
    });
}

#[test]
fn a_boss_without_instructions_is_finished() {
    limited(|| {
        let boss: Boss<Order, u32> = builder().build(obey::task()).unwrap();
        let report = boss.wait_till_finished().unwrap();
        assert_eq!((report.status, report.workers_report.len()), (Status::Finished, 0));
    });
}
