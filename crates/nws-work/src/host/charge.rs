//! Whom a death belongs to: the task that was being run, and no other.

use nws_proto::{LeaseId, OrphanedLease};
use nws_supervise::{End, OutOfMemory, Status};

use crate::page::Running;

/// Workers that others kill while they load what a run needs cost its tasks nothing, unless so many
/// are killed one after the other, and no task is done meanwhile, that it must be the loading.
const KILLED_LOADS: u32 = 1000;

/// What becomes of the leases of a worker that has ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The task that was being run goes back with one death more.
    pub(super) charged: Option<LeaseId>,
    /// The task that was being run has cost as many workers as allowed, this many: it fails.
    pub(super) failed: Option<(LeaseId, u32)>,
    /// The others go back as if nothing had happened.
    pub(super) untouched: Vec<LeaseId>,
}

/// Decides. `running` is what the worker's page shows, `leases` what the server says it held, `before` how many
/// workers the task that was being run had cost already beyond what the server counts, and `retries` how often a
/// task of the run is run again.
pub(super) fn judge(running: Option<Running>, leases: &[OrphanedLease], before: u32, retries: u32) -> Verdict {
    let mut verdict = Verdict::default();
    for orphan in leases {
        if running.is_none_or(|running| running.lease != orphan.lease) {
            verdict.untouched.push(orphan.lease);
            continue;
        }
        // What the server counts for a bundle is not of one task.
        let counted = if running.is_some_and(|running| running.bundled) { 0 } else { u32::from(orphan.deaths) };
        let deaths = counted.saturating_add(before).saturating_add(1);
        if deaths > retries {
            verdict.failed = Some((orphan.lease, deaths));
        } else {
            verdict.charged = Some(orphan.lease);
        }
    }
    verdict
}

/// Tells deaths while loading that came from outside from those that the loading brought about.
#[derive(Debug, Default)]
pub(super) struct Loads {
    /// Killed while they loaded, one after the other, and no task was done meanwhile.
    killed: u32,
    tasks_done: u64,
}

impl Loads {
    /// Whether this death of a worker that was loading came from outside, as far as can be told.
    /// `tasks_done`: by all workers so far.
    pub(super) fn is_innocent(&mut self, end: &End, tasks_done: u64) -> bool {
        if !is_killed(end) || end.out_of_memory == OutOfMemory::Yes {
            return false;
        }
        if tasks_done != self.tasks_done {
            (self.killed, self.tasks_done) = (0, tasks_done);
        }
        self.killed += 1;
        self.killed <= KILLED_LOADS
    }
}

/// Whether a signal ended it that programs do not send themselves by accident.
pub(super) fn is_killed(end: &End) -> bool {
    let killing = [libc::SIGKILL, libc::SIGTERM, libc::SIGINT, libc::SIGHUP];
    matches!(end.status, Status::Signaled { signal, .. } if killing.contains(&signal))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nws_proto::Index;

    use super::*;

    fn end(status: Status, out_of_memory: OutOfMemory) -> End {
        let (cpu, ran) = (Duration::ZERO, Duration::ZERO);
        End { status, peak_memory_bytes: 0, cpu, out_of_memory, stderr_tail: Vec::new(), ran }
    }

    #[test]
    fn a_kill_while_loading_is_innocent_until_nothing_else_happens() {
        let killed = end(Status::Signaled { signal: libc::SIGKILL, core_dumped: false }, OutOfMemory::Unknown);
        let mut loads = Loads::default();
        for _ in 0..KILLED_LOADS {
            assert!(loads.is_innocent(&killed, 0));
        }
        assert!(!loads.is_innocent(&killed, 0));
        assert!(loads.is_innocent(&killed, 1), "a task was done meanwhile");
    }

    #[test]
    fn an_end_of_its_own_or_for_want_of_memory_while_loading_is_charged() {
        let mut loads = Loads::default();
        let signaled = |signal| Status::Signaled { signal, core_dumped: false };
        assert!(!loads.is_innocent(&end(Status::Exited(3), OutOfMemory::No), 0));
        assert!(!loads.is_innocent(&end(signaled(libc::SIGSEGV), OutOfMemory::No), 0));
        assert!(!loads.is_innocent(&end(signaled(libc::SIGKILL), OutOfMemory::Yes), 0));
    }

    fn orphan(lease: u64, deaths: u16) -> OrphanedLease {
        OrphanedLease { lease: LeaseId(lease), index: Index(lease), deaths }
    }

    fn running(lease: u64) -> Option<Running> {
        Some(Running { lease: LeaseId(lease), run: 1, index: 0, began_ns: 0, loading: false, bundled: false })
    }

    #[test]
    fn only_the_task_that_was_being_run_is_charged() {
        let verdict = judge(running(2), &[orphan(1, 0), orphan(2, 0), orphan(3, 5)], 0, 1);
        let untouched = vec![LeaseId(1), LeaseId(3)];
        assert_eq!(verdict, Verdict { charged: Some(LeaseId(2)), failed: None, untouched });
    }

    #[test]
    fn an_idle_worker_charges_nobody() {
        let verdict = judge(None, &[orphan(1, 9)], 0, 0);
        assert_eq!(verdict, Verdict { untouched: vec![LeaseId(1)], ..Verdict::default() });
    }

    #[test]
    fn a_task_fails_when_it_has_cost_one_worker_more_than_it_is_run_again() {
        assert_eq!(judge(running(1), &[orphan(1, 0)], 0, 0).failed, Some((LeaseId(1), 1)));
        assert_eq!(judge(running(1), &[orphan(1, 0)], 0, 1).charged, Some(LeaseId(1)));
        assert_eq!(judge(running(1), &[orphan(1, 1)], 0, 1).failed, Some((LeaseId(1), 2)));
        assert_eq!(judge(running(1), &[orphan(1, 9)], 0, 10).charged, Some(LeaseId(1)));
        assert_eq!(judge(running(1), &[orphan(1, u16::MAX)], 0, u32::MAX).failed, None);
    }

    #[test]
    fn a_task_of_a_bundle_pays_for_the_deaths_that_were_its_own() {
        let bundled = running(1).map(|running| Running { bundled: true, ..running });
        assert_eq!(judge(bundled, &[orphan(1, 7)], 0, 1).charged, Some(LeaseId(1)));
        assert_eq!(judge(bundled, &[orphan(1, 7)], 1, 1).failed, Some((LeaseId(1), 2)));
        assert_eq!(judge(running(1), &[orphan(1, 1)], 1, 2).failed, Some((LeaseId(1), 3)), "it was in one before");
    }

    #[test]
    fn a_task_that_was_finished_just_before_is_not_charged() {
        // The page still shows it, but its lease has ended.
        assert_eq!(
            judge(running(1), &[orphan(2, 0)], 0, 0),
            Verdict { untouched: vec![LeaseId(2)], ..Verdict::default() }
        );
    }
}
