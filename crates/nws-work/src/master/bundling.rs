//! How many tasks of a run share a lease.

use crate::envelope::BUNDLE_TASKS;

/// How much work a bundle is to hold, in nanoseconds: long against what a lease costs, short against what a
/// worker fetches at a time, so that there are some to share.
const BUNDLE_NS: f64 = 200_000.0;
/// How many bundles each worker should find among the tasks that are under way.
const SHARES: u64 = 8;
/// So many tasks are taken to be as long as each that has ended.
const TRUST: u64 = 8;

/// Learns from the tasks that have ended how many make a bundle: those of unknown length are leased one by one.
#[derive(Debug)]
pub(super) struct Bundling {
    worker_count: u64,
    chunk: u32,
    /// By how many are under way.
    room: u32,
    mean_ns: f64,
    seen: u64,
}

impl Bundling {
    pub(super) fn new(worker_count: u32, chunk_size: Option<u32>) -> Self {
        let (worker_count, chunk) = (u64::from(worker_count).max(1), chunk_size.unwrap_or(u32::MAX));
        Self { worker_count, chunk, room: u32::MAX, mean_ns: 0.0, seen: 0 }
    }

    /// So many tasks have ended, which took so long together.
    pub(super) fn took(&mut self, duration_ns: u64, tasks: u64) {
        if tasks == 0 {
            return;
        }
        let mean_ns = duration_ns as f64 / tasks as f64;
        // Follows longer tasks faster than shorter ones: a bundle that is too small costs little.
        let rest: f64 = if mean_ns > self.mean_ns { 0.75 } else { 0.97 };
        let weight = if self.seen == 0 { 1.0 } else { 1.0 - rest.powf(tasks as f64) };
        self.mean_ns += (mean_ns - self.mean_ns) * weight;
        self.seen += tasks;
    }

    /// At most so many tasks are under way.
    pub(super) fn set_under_way(&mut self, most: u64) {
        self.room = u32::try_from(most / (SHARES * self.worker_count)).unwrap_or(u32::MAX);
    }

    /// Most tasks of a bundle now.
    pub(super) fn most(&self) -> u32 {
        let seen = u32::try_from(self.seen.saturating_mul(TRUST)).unwrap_or(u32::MAX);
        let fit = (BUNDLE_NS / self.mean_ns.max(1.0)) as u32;
        fit.min(seen).min(self.chunk).min(self.room).clamp(1, BUNDLE_TASKS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(took: &[(u64, u64)]) -> u32 {
        let mut bundling = Bundling::new(2, None);
        took.iter().for_each(|(duration_ns, tasks)| bundling.took(*duration_ns, *tasks));
        bundling.most()
    }

    #[test]
    fn tasks_share_a_lease_as_far_as_they_are_known_to_be_short() {
        assert_eq!(after(&[]), 1);
        assert_eq!(after(&[(0, 0)]), 1);
        assert_eq!(after(&[(600, 3)]), 24);
        assert_eq!(after(&[(200_000, 1000)]), BUNDLE_TASKS);
        assert_eq!(after(&[(10_000_000, 1000)]), 20);
        assert_eq!(after(&[(1_000_000_000, 1000)]), 1);
    }

    #[test]
    fn some_long_tasks_part_the_others_and_many_short_ones_bring_them_together() {
        assert_eq!(after(&[(200_000, 1000), (5_000_000_000, 1)]), 1);
        assert_eq!(after(&[(5_000_000_000, 1), (200_000, 1000)]), BUNDLE_TASKS);
    }

    #[test]
    fn neither_a_chunk_nor_what_is_under_way_is_exceeded() {
        let mut bundling = Bundling::new(2, Some(10));
        bundling.took(200_000, 1000);
        assert_eq!(bundling.most(), 10);
        bundling.set_under_way(64);
        assert_eq!(bundling.most(), 4);
        bundling.set_under_way(10);
        assert_eq!(bundling.most(), 1);
        bundling.set_under_way(u64::MAX);
        assert_eq!(bundling.most(), 10);
    }
}
