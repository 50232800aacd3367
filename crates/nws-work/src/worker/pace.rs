//! How many tasks a worker asks for at a time.

/// How much work one fetch is to bring, in nanoseconds: long against what a fetch costs, short
/// against what anybody waits for.
const BATCH_NS: u64 = 2_000_000;
/// Most tasks in one fetch.
const BATCH_TASKS: u32 = 8192;
/// A worker whose tasks take longer than this fetches none ahead, in nanoseconds: a fetch costs
/// little against them, and a task that nobody holds can be begun by whoever is free first.
const AHEAD_NS: f64 = 5e6;

/// Learns from the tasks' durations how many make a batch. Starts at one chunk, at most doubles from
/// batch to batch, so that a first short task does not decide over thousands.
#[derive(Debug)]
pub(super) struct Pace {
    /// How many tasks are taken together however long they are.
    chunk: u32,
    batch: u32,
    mean_ns: f64,
    measured: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Self { chunk: 1, batch: 1, mean_ns: 0.0, measured: false }
    }
}

impl Pace {
    /// Forgets; from now on takes whole chunks of `chunk_size`, where one is given.
    pub(super) fn begin_run(&mut self, chunk_size: Option<u32>) {
        let chunk = chunk_size.unwrap_or(1).clamp(1, BATCH_TASKS);
        *self = Self { chunk, batch: chunk, ..Self::default() };
    }

    /// So many tasks took this long together.
    pub(super) fn tasks_took(&mut self, duration_ns: u64, tasks: u32) {
        let duration_ns = duration_ns as f64 / f64::from(tasks);
        // Follows longer tasks faster than shorter ones: too small a batch costs little.
        let rest: f64 = if duration_ns > self.mean_ns { 0.75 } else { 0.97 };
        let weight = match (self.measured, tasks) {
            (false, _) => 1.0,
            (true, 1) => 1.0 - rest,
            (true, tasks) => 1.0 - rest.powf(tasks.into()),
        };
        self.mean_ns += (duration_ns - self.mean_ns) * weight;
        self.measured = true;
    }

    /// How many to ask for now.
    pub(super) fn next_batch(&mut self) -> u32 {
        if self.measured {
            let fit = (BATCH_NS as f64 / self.mean_ns.max(1.0)) as u32;
            let most = self.batch.saturating_mul(2).min(BATCH_TASKS - BATCH_TASKS % self.chunk);
            self.batch = (fit - fit % self.chunk).clamp(self.chunk, most.max(self.chunk));
        }
        self.batch
    }

    /// With how many tasks left it is time for the next fetch; `None`: with none left and none being
    /// run.
    pub(super) fn low_water(&self) -> Option<usize> {
        let ahead = self.measured && self.mean_ns < AHEAD_NS;
        ahead.then_some(self.batch as usize / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(duration_ns: u64, batches: usize) -> u32 {
        let mut pace = Pace::default();
        let mut batch = pace.next_batch();
        for _ in 0..batches {
            (0..batch).for_each(|_| pace.tasks_took(duration_ns, 1));
            batch = pace.next_batch();
        }
        batch
    }

    #[test]
    fn batches_of_short_tasks_double_until_they_hold_two_milliseconds() {
        assert_eq!(after(100, 1), 2);
        assert_eq!(after(100, 4), 16);
        assert_eq!(after(10_000, 20), 200);
        assert_eq!(after(100, 20), BATCH_TASKS);
    }

    #[test]
    fn long_tasks_come_one_by_one() {
        assert_eq!(after(5_000_000, 20), 1);
    }

    #[test]
    fn one_long_task_among_short_ones_makes_batches_small_again() {
        let mut pace = Pace::default();
        for _ in 0..10 {
            pace.tasks_took(1_000, 1);
            pace.next_batch();
        }
        assert!(pace.next_batch() > 500);
        pace.tasks_took(100_000_000, 1);
        assert_eq!(pace.next_batch(), 1);
    }

    #[test]
    fn nothing_is_fetched_ahead_of_long_tasks_or_of_the_first() {
        let mut pace = Pace::default();
        assert_eq!(pace.low_water(), None);
        pace.tasks_took(1_000, 1);
        assert_eq!(pace.low_water(), Some(0));
        pace.tasks_took(1_000_000_000, 1);
        assert_eq!(pace.low_water(), None);
    }

    #[test]
    fn a_chunk_stays_together_and_short_ones_share_a_batch() {
        let mut pace = Pace::default();
        pace.begin_run(Some(7));
        assert_eq!(pace.next_batch(), 7);
        pace.tasks_took(100_000_000, 1);
        assert_eq!(pace.next_batch(), 7, "however long its tasks are");
        pace.begin_run(Some(7));
        pace.tasks_took(1_000, 1);
        assert_eq!([0; 3].map(|_| pace.next_batch()), [14, 28, 56]);
        let most = (0..20).map(|_| pace.next_batch()).max();
        assert_eq!(most, Some(1995), "whole chunks of two milliseconds");
        pace.begin_run(Some(0));
        assert_eq!(pace.next_batch(), 1);
        pace.begin_run(Some(u32::MAX));
        pace.tasks_took(1, 1);
        assert_eq!(pace.next_batch(), BATCH_TASKS);
    }
}
