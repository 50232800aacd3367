//! Tasks that a worker has by lease and has not begun.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nws_proto::LeaseId;

use super::hand::Hand;
use super::pace::Pace;
use super::task::Task;

/// What was in the queue.
#[derive(Debug)]
pub(super) enum Popped {
    Task(Task),
    Nothing,
    /// And will not be, for this reason.
    Over(String),
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    /// What was taken from here and is a bundle.
    pub(super) hand: Hand,
}

#[derive(Debug, Default)]
struct State {
    /// Each alone, or the first of a bundle.
    tasks: VecDeque<Task>,
    /// How many tasks these are in all.
    count: usize,
    /// How many tasks came with a lease lately.
    bundle: u32,
    pace: Pace,
    fetching: bool,
    run: u32,
    dropped_run: Option<u32>,
    over: Option<String>,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock, so the state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many tasks the first fetch asks for; afterwards `pop` says when to ask again.
    pub(super) fn first_fetch(&self) -> Option<u32> {
        self.state().next_fetch(true)
    }

    /// The next task, or the first of a bundle, and how many more to ask for if it is time to. `took_ns` and
    /// `tasks`: how long those before took together.
    pub(super) fn pop(&self, took_ns: u64, tasks: u32) -> (Popped, Option<u32>) {
        let mut state = self.state();
        if tasks > 0 {
            state.pace.tasks_took(took_ns, tasks);
        }
        while let Some(task) = state.tasks.pop_front() {
            state.count -= task.count as usize;
            if state.dropped_run != Some(task.head.run) {
                if state.run != task.head.run {
                    // Nothing is known yet of how long its tasks take.
                    state.run = task.head.run;
                    state.pace.begin_run(None);
                }
                return (Popped::Task(task), state.next_fetch(false));
            }
        }
        match &state.over {
            Some(reason) => (Popped::Over(reason.clone()), None),
            None => (Popped::Nothing, state.next_fetch(true)),
        }
    }

    pub(super) fn wait(&self, timeout: Duration) {
        let state = self.state();
        let idle = |state: &mut State| state.tasks.is_empty() && state.over.is_none();
        drop(self.changed.wait_timeout_while(state, timeout, idle));
    }

    /// Tasks have come, for this worker alone (`own`) or from what is shared.
    pub(super) fn push(&self, tasks: impl Iterator<Item = Task>, own: bool) {
        let mut state = self.state();
        let was_idle = state.tasks.is_empty();
        let (values, count) = (state.tasks.len(), state.count);
        for task in tasks {
            state.count += task.count as usize;
            state.tasks.push_back(task);
        }
        if !own {
            state.fetching = false;
            let values = (state.tasks.len() - values).max(1);
            state.bundle = u32::try_from((state.count - count) / values).unwrap_or(u32::MAX);
        }
        if was_idle {
            self.changed.notify_all();
        }
    }

    /// What the server would not take back is to be run here, and first.
    pub(super) fn put_back(&self, task: Task) {
        let mut state = self.state();
        state.count += task.count as usize;
        state.tasks.push_front(task);
        self.changed.notify_all();
    }

    /// Up to `wanted` leases, the last first, are not this worker's any more.
    pub(super) fn give_back(&self, wanted: u32) -> Vec<LeaseId> {
        let mut state = self.state();
        let keep = state.tasks.len().saturating_sub(wanted as usize);
        let given = state.tasks.split_off(keep);
        state.count -= given.iter().map(|task| task.count as usize).sum::<usize>();
        given.into_iter().map(|task| task.lease).collect()
    }

    /// The leases of this run have ended: what is left of it need not be run.
    pub(super) fn drop_run(&self, run: u32) {
        self.state().dropped_run = Some(run);
    }

    pub(super) fn begin_run(&self, chunk_size: Option<u32>) {
        self.state().pace.begin_run(chunk_size);
    }

    /// Nothing will come any more. The first reason stays; what is here is not worth running, as
    /// its results could not be sent.
    pub(super) fn close(&self, reason: &str) {
        let mut state = self.state();
        state.tasks.clear();
        state.count = 0;
        self.hand.close();
        state.over.get_or_insert_with(|| reason.to_owned());
        self.changed.notify_all();
    }
}

impl State {
    /// How many values to ask for, if it is time to: mostly when half a batch is left, so that the
    /// next arrives while this one is worked on.
    fn next_fetch(&mut self, idle: bool) -> Option<u32> {
        let low = if idle { Some(0) } else { self.pace.low_water() };
        let due = !self.fetching && self.over.is_none() && low.is_some_and(|low| self.count <= low);
        self.fetching |= due;
        due.then(|| (self.pace.next_batch() / self.bundle.max(1)).max(1))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use nws_proto::Index;

    use super::*;
    use crate::envelope::{Bundle, TaskHead};

    fn task(index: u64, run: u32) -> Task {
        let mut value = Vec::new();
        TaskHead { run, index }.encode(&mut value);
        let bundle = Bundle::decode(&value).unwrap();
        Task::new(LeaseId(index + 1), Index(index), 0, bundle, Bytes::from(value)).unwrap()
    }

    #[test]
    fn the_next_fetch_goes_out_while_a_short_task_runs() {
        let queue = Queue::default();
        assert_eq!(queue.first_fetch(), Some(1));
        assert!(matches!(queue.pop(0, 0), (Popped::Nothing, None)));
        queue.push([task(0, 1)].into_iter(), false);
        assert!(matches!(queue.pop(0, 0), (Popped::Task(_), None)), "how long it takes is not known");
        assert!(matches!(queue.pop(1_000, 1), (Popped::Nothing, Some(2))));
        queue.push([task(1, 1), task(2, 1)].into_iter(), false);
        assert!(matches!(queue.pop(0, 0), (Popped::Task(_), Some(4))));
    }

    #[test]
    fn of_bundles_as_many_are_asked_for_as_hold_a_batch() {
        let queue = Queue::default();
        queue.first_fetch();
        queue.push([Task { count: 100, ..task(0, 1) }].into_iter(), false);
        assert!(matches!(queue.pop(0, 0), (Popped::Task(_), None)));
        for expected in [1, 1, 1, 1, 1, 1, 1, 2, 5, 10, 20] {
            let (_, asked) = queue.pop(1_000_000, 1000);
            assert_eq!(asked, Some(expected), "batches double from one task on");
            queue.push([Task { count: 100, ..task(0, 1) }].into_iter(), false);
        }
    }

    #[test]
    fn a_recall_takes_the_tasks_that_would_come_last() {
        let queue = Queue::default();
        queue.push((0..5).map(|index| task(index, 1)), false);
        assert_eq!(queue.give_back(2), [LeaseId(4), LeaseId(5)]);
        assert_eq!(queue.give_back(9).len(), 3);
        assert!(queue.give_back(9).is_empty());
    }

    #[test]
    fn tasks_of_a_run_that_was_given_up_are_passed_over() {
        let queue = Queue::default();
        queue.push([task(0, 1), task(1, 1), task(0, 2)].into_iter(), false);
        queue.drop_run(1);
        assert!(matches!(queue.pop(0, 0).0, Popped::Task(task) if task.head.run == 2));
        assert!(matches!(queue.pop(0, 0).0, Popped::Nothing));
    }

    #[test]
    fn a_closed_queue_says_why_and_wakes_who_waits() {
        let queue = Queue::default();
        std::thread::scope(|scope| {
            scope.spawn(|| queue.wait(Duration::from_secs(60)));
            queue.close("gone");
        });
        assert!(matches!(queue.pop(0, 0), (Popped::Over(reason), None) if reason == "gone"));
    }
}
