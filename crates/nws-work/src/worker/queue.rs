//! Tasks that a worker has by lease and has not begun.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use nws_proto::LeaseId;

use super::pace::Pace;
use crate::envelope::{TASK_HEAD_BYTES, TaskHead};

/// One task, held by lease.
#[derive(Debug)]
pub struct Task {
    /// The lease.
    pub lease: LeaseId,
    /// Which task it is.
    pub head: TaskHead,
    pub(super) value: Bytes,
}

impl Task {
    /// The encoded arguments.
    pub fn payload(&self) -> &[u8] {
        self.value.get(TASK_HEAD_BYTES..).unwrap_or_default()
    }
}

/// What a worker is to do next.
#[derive(Debug)]
pub enum Next {
    /// Run this.
    Task(Task),
    /// Wait.
    Nothing,
    /// End, for this reason.
    Over(String),
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    tasks: VecDeque<Task>,
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

    /// The next task, and how many more to ask for if it is time to. `took_ns`: how long the one before
    /// took, where there was one.
    pub(super) fn pop(&self, took_ns: Option<u64>) -> (Next, Option<u32>) {
        let mut state = self.state();
        if let Some(took_ns) = took_ns {
            state.pace.task_took(took_ns);
        }
        while let Some(task) = state.tasks.pop_front() {
            if state.dropped_run != Some(task.head.run) {
                if state.run != task.head.run {
                    // Nothing is known yet of how long its tasks take.
                    state.run = task.head.run;
                    state.pace.begin_run(None);
                }
                return (Next::Task(task), state.next_fetch(false));
            }
        }
        match &state.over {
            Some(reason) => (Next::Over(reason.clone()), None),
            None => (Next::Nothing, state.next_fetch(true)),
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
        state.tasks.extend(tasks);
        state.fetching &= own;
        if was_idle {
            self.changed.notify_all();
        }
    }

    /// Up to `wanted` tasks, the last first, are not this worker's any more.
    pub(super) fn give_back(&self, wanted: u32) -> Vec<LeaseId> {
        let mut state = self.state();
        let keep = state.tasks.len().saturating_sub(wanted as usize);
        state.tasks.split_off(keep).into_iter().map(|task| task.lease).collect()
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
        state.over.get_or_insert_with(|| reason.to_owned());
        self.changed.notify_all();
    }
}

impl State {
    /// How many tasks to ask for, if it is time to: mostly when half a batch is left, so that the
    /// next arrives while this one is worked on.
    fn next_fetch(&mut self, idle: bool) -> Option<u32> {
        let low = if idle { Some(0) } else { self.pace.low_water() };
        let due = !self.fetching && self.over.is_none() && low.is_some_and(|low| self.tasks.len() <= low);
        self.fetching |= due;
        due.then(|| self.pace.next_batch())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(index: u64, run: u32) -> Task {
        Task { lease: LeaseId(index + 1), head: TaskHead { run, index }, value: Bytes::new() }
    }

    #[test]
    fn the_next_fetch_goes_out_while_a_short_task_runs() {
        let queue = Queue::default();
        assert_eq!(queue.first_fetch(), Some(1));
        assert!(matches!(queue.pop(None), (Next::Nothing, None)));
        queue.push([task(0, 1)].into_iter(), false);
        assert!(matches!(queue.pop(None), (Next::Task(_), None)), "how long it takes is not known");
        assert!(matches!(queue.pop(Some(1_000)), (Next::Nothing, Some(2))));
        queue.push([task(1, 1), task(2, 1)].into_iter(), false);
        assert!(matches!(queue.pop(None), (Next::Task(_), Some(4))));
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
        assert!(matches!(queue.pop(None).0, Next::Task(task) if task.head.run == 2));
        assert!(matches!(queue.pop(None).0, Next::Nothing));
    }

    #[test]
    fn a_closed_queue_says_why_and_wakes_who_waits() {
        let queue = Queue::default();
        std::thread::scope(|scope| {
            scope.spawn(|| queue.wait(Duration::from_secs(60)));
            queue.close("gone");
        });
        assert!(matches!(queue.pop(None), (Next::Over(reason), None) if reason == "gone"));
    }
}
