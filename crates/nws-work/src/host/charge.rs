//! Whom a death belongs to: the task that was being run, and no other.

use nws_proto::{LeaseId, OrphanedLease};

use crate::page::Running;

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

/// Decides. `running` is what the worker's page shows, `leases` what the server says it held, and
/// `retries` how often a task of the run is run again.
pub(super) fn judge(running: Option<Running>, leases: &[OrphanedLease], retries: u32) -> Verdict {
    let mut verdict = Verdict::default();
    for orphan in leases {
        if running.is_none_or(|running| running.lease != orphan.lease) {
            verdict.untouched.push(orphan.lease);
            continue;
        }
        let deaths = u32::from(orphan.deaths) + 1;
        if deaths > retries {
            verdict.failed = Some((orphan.lease, deaths));
        } else {
            verdict.charged = Some(orphan.lease);
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use nws_proto::Index;

    use super::*;

    fn orphan(lease: u64, deaths: u16) -> OrphanedLease {
        OrphanedLease { lease: LeaseId(lease), index: Index(lease), deaths }
    }

    fn running(lease: u64) -> Option<Running> {
        Some(Running { lease: LeaseId(lease), run: 1, index: 0, began_ns: 0 })
    }

    #[test]
    fn only_the_task_that_was_being_run_is_charged() {
        let verdict = judge(running(2), &[orphan(1, 0), orphan(2, 0), orphan(3, 5)], 1);
        let untouched = vec![LeaseId(1), LeaseId(3)];
        assert_eq!(verdict, Verdict { charged: Some(LeaseId(2)), failed: None, untouched });
    }

    #[test]
    fn an_idle_worker_charges_nobody() {
        let verdict = judge(None, &[orphan(1, 9)], 0);
        assert_eq!(verdict, Verdict { untouched: vec![LeaseId(1)], ..Verdict::default() });
    }

    #[test]
    fn a_task_fails_when_it_has_cost_one_worker_more_than_it_is_run_again() {
        assert_eq!(judge(running(1), &[orphan(1, 0)], 0).failed, Some((LeaseId(1), 1)));
        assert_eq!(judge(running(1), &[orphan(1, 0)], 1).charged, Some(LeaseId(1)));
        assert_eq!(judge(running(1), &[orphan(1, 1)], 1).failed, Some((LeaseId(1), 2)));
        assert_eq!(judge(running(1), &[orphan(1, 9)], 10).charged, Some(LeaseId(1)));
        assert_eq!(judge(running(1), &[orphan(1, u16::MAX)], u32::MAX).failed, None);
    }

    #[test]
    fn a_task_that_was_finished_just_before_is_not_charged() {
        // The page still shows it, but its lease has ended.
        assert_eq!(
            judge(running(1), &[orphan(2, 0)], 0),
            Verdict { untouched: vec![LeaseId(2)], ..Verdict::default() }
        );
    }
}
