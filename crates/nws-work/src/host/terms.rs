//! What the host knows of the runs: how often their tasks are run again, and how long they may take.

use std::collections::HashMap;
use std::time::Duration;

use crate::page::Running;

/// How often a task is run again where the master did not say.
const RETRIES: u32 = 1;

#[derive(Debug)]
struct Run {
    retries: u32,
    timeout_ms: Option<u64>,
    /// How many workers tasks have cost while they were in a bundle, by index.
    deaths: HashMap<u64, u32>,
}

/// The runs that go on.
#[derive(Debug, Default)]
pub(super) struct Terms {
    runs: HashMap<u32, Run>,
}

impl Terms {
    pub(super) fn begin(&mut self, run: u32, retries: u32, timeout_ms: Option<u64>) {
        self.runs.insert(run, Run { retries, timeout_ms, deaths: HashMap::new() });
    }

    /// The run is over; whether tasks of it have cost workers while they were in a bundle.
    pub(super) fn end(&mut self, run: u32) -> bool {
        self.runs.remove(&run).is_some_and(|run| !run.deaths.is_empty())
    }

    /// How many workers a task has cost while it was in a bundle.
    pub(super) fn deaths(&self, task: &Running) -> u32 {
        self.runs.get(&task.run).and_then(|run| run.deaths.get(&task.index)).copied().unwrap_or(0)
    }

    /// A task has cost a worker while it was in a bundle.
    pub(super) fn charge(&mut self, task: &Running) {
        if let Some(run) = self.runs.get_mut(&task.run) {
            *run.deaths.entry(task.index).or_default() += 1;
        }
    }

    /// How often a task of the run is run again.
    pub(super) fn retries(&self, run: u32) -> u32 {
        self.runs.get(&run).map_or(RETRIES, |run| run.retries)
    }

    /// By how long the task of a worker has passed its timeout at `now_ns`: the timeout.
    pub(super) fn overdue_ms(&self, running: &Running, now_ns: u64) -> Option<u64> {
        let timeout_ms = self.runs.get(&running.run)?.timeout_ms?;
        let ran_ns = now_ns.saturating_sub(running.began_ns);
        (!running.loading && ran_ns >= timeout_ms.saturating_mul(1_000_000)).then_some(timeout_ms)
    }

    /// When to look at the workers again: no task that is being run, or begins meanwhile, passes its
    /// timeout before.
    pub(super) fn patience(&self, running: impl Iterator<Item = Option<Running>>, now_ns: u64) -> Option<Duration> {
        let shortest_ms = self.runs.values().filter_map(|run| run.timeout_ms).min()?;
        let shortest = Duration::from_millis(shortest_ms);
        let left = running.flatten().filter_map(|running| {
            let timeout_ms = self.runs.get(&running.run)?.timeout_ms?;
            let ends_ns = running.began_ns.saturating_add(timeout_ms.saturating_mul(1_000_000));
            Some(Duration::from_nanos(ends_ns.saturating_sub(now_ns)))
        });
        Some(left.fold(shortest, Duration::min))
    }
}

#[cfg(test)]
mod tests {
    use nws_proto::LeaseId;

    use super::*;

    const MS: u64 = 1_000_000;

    fn running(run: u32, began_ms: u64) -> Running {
        Running { lease: LeaseId(1), run, index: 0, began_ns: began_ms * MS, loading: false, bundled: false }
    }

    #[test]
    fn a_task_is_overdue_when_it_has_run_for_its_timeout() {
        let mut terms = Terms::default();
        terms.begin(1, 0, Some(100));
        terms.begin(2, 0, None);
        assert_eq!(terms.overdue_ms(&running(1, 50), 149 * MS), None);
        assert_eq!(terms.overdue_ms(&running(1, 50), 150 * MS), Some(100));
        assert_eq!(terms.overdue_ms(&running(2, 50), u64::MAX), None);
        assert_eq!(terms.overdue_ms(&Running { loading: true, ..running(1, 50) }, 999 * MS), None);
        terms.end(1);
        assert_eq!(terms.overdue_ms(&running(1, 50), 999 * MS), None);
    }

    #[test]
    fn deaths_in_bundles_are_counted_until_the_run_is_over() {
        let mut terms = Terms::default();
        let task = running(1, 0);
        terms.charge(&task);
        assert_eq!(terms.deaths(&task), 0, "nothing is known of its run");
        terms.begin(1, 0, None);
        assert_eq!([(); 2].map(|()| (terms.charge(&task), terms.deaths(&task)).1), [1, 2]);
        assert_eq!(terms.deaths(&Running { index: 9, ..task }), 0);
        assert!(terms.end(1) && !terms.end(1));
        assert_eq!(terms.deaths(&task), 0);
    }

    #[test]
    fn the_next_look_is_before_any_timeout_can_pass() {
        let mut terms = Terms::default();
        assert_eq!(terms.patience([None].into_iter(), 0), None);
        terms.begin(1, 0, Some(100));
        assert_eq!(terms.patience([None].into_iter(), 0), Some(Duration::from_millis(100)));
        let workers = [Some(running(1, 50)), None];
        assert_eq!(terms.patience(workers.into_iter(), 140 * MS), Some(Duration::from_millis(10)));
        assert_eq!(terms.patience(workers.into_iter(), 999 * MS), Some(Duration::ZERO));
    }
}
