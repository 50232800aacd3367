//! What has come in for the master and has not been taken yet.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::control::FromHost;
use crate::envelope::{RESULT_HEAD_BYTES, ResultHead};
use crate::error::WorkError;

/// No further results are fetched while more than this waits to be taken, in bytes.
const WAITING_BYTES: usize = 16 << 20;

/// One thing that came in.
#[derive(Debug)]
pub enum Arrival {
    /// A task's result.
    Result(TaskResult),
    /// Word from the host.
    Host(FromHost),
}

/// A task's result.
#[derive(Debug)]
pub struct TaskResult {
    /// Which task, and how it went.
    pub head: ResultHead,
    value: Bytes,
}

impl TaskResult {
    pub(super) fn read(value: Bytes) -> Option<Self> {
        let (head, _) = ResultHead::decode(&value)?;
        Some(Self { head, value })
    }

    /// The encoded value, or failure.
    pub fn payload(&self) -> &[u8] {
        self.value.get(RESULT_HEAD_BYTES..).unwrap_or_default()
    }
}

#[derive(Debug, Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    arrivals: Vec<Arrival>,
    waiting_bytes: usize,
    /// Fetching was stopped because too much waits.
    stopped: bool,
    disconnected: Option<String>,
}

impl Inbox {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock, so the state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what came; says whether more results should be fetched.
    pub(super) fn put(&self, mut arrivals: Vec<Arrival>, bytes: usize) -> bool {
        let mut state = self.state();
        if state.arrivals.is_empty() {
            state.arrivals = arrivals;
        } else {
            state.arrivals.append(&mut arrivals);
        }
        state.waiting_bytes += bytes;
        self.changed.notify_all();
        let more = state.waiting_bytes <= WAITING_BYTES;
        if bytes > 0 {
            state.stopped = !more;
        }
        more
    }

    /// Nothing will come from the server any more.
    pub(super) fn disconnect(&self, reason: &str) {
        self.state().disconnected.get_or_insert_with(|| reason.to_owned());
        self.changed.notify_all();
    }

    /// Takes all there is, and says whether fetching is to go on that had been stopped.
    pub(super) fn take(&self, timeout: Duration) -> Result<(Vec<Arrival>, bool), WorkError> {
        let state = self.state();
        let idle = |state: &mut State| state.arrivals.is_empty() && state.disconnected.is_none();
        let (mut state, _) =
            self.changed.wait_timeout_while(state, timeout, idle).unwrap_or_else(PoisonError::into_inner);
        if let (true, Some(reason)) = (state.arrivals.is_empty(), &state.disconnected) {
            return Err(WorkError::Ended(reason.clone()));
        }
        state.waiting_bytes = 0;
        let fetch = std::mem::take(&mut state.stopped);
        Ok((std::mem::take(&mut state.arrivals), fetch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{Outcome, TaskHead};

    fn result(index: u64) -> Arrival {
        let task = TaskHead { run: 1, index };
        let head = ResultHead { task, rank: 0, outcome: Outcome::Done, began_ns: 0, duration_ns: 0 };
        Arrival::Result(TaskResult::read(Bytes::from(head.to_bytes().to_vec())).unwrap())
    }

    #[test]
    fn fetching_stops_while_too_much_waits_and_goes_on_when_it_is_taken() {
        let inbox = Inbox::default();
        assert!(inbox.put(vec![result(0)], WAITING_BYTES));
        assert!(!inbox.put(vec![result(1)], 1));
        let (arrivals, fetch) = inbox.take(Duration::ZERO).unwrap();
        assert_eq!(arrivals.len(), 2);
        assert!(fetch);
        assert!(inbox.put(vec![result(2)], 1));
        assert!(!inbox.take(Duration::ZERO).unwrap().1);
    }

    #[test]
    fn what_came_before_the_end_is_taken_before_the_end_is_told() {
        let inbox = Inbox::default();
        inbox.put(vec![result(0)], 1);
        inbox.disconnect("cut");
        assert_eq!(inbox.take(Duration::from_secs(60)).unwrap().0.len(), 1);
        let error = inbox.take(Duration::from_secs(60)).unwrap_err();
        assert_eq!(error.to_string(), "cut");
    }
}
