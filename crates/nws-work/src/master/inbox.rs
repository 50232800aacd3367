//! What has come in for the master and has not been taken yet.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use nws_proto::Grant;

use crate::control::FromHost;
use crate::envelope::{Results, Said, TaskHead, results};
use crate::error::WorkError;

/// No further results are fetched while more than this waits to be taken, in bytes.
const WAITING_BYTES: usize = 16 << 20;

/// One thing that came in.
#[derive(Debug)]
pub enum Arrival {
    /// Results, as they came.
    Results(Vec<TaskResult>),
    /// Word from the host.
    Host(FromHost),
    /// Somebody has deleted a variable with what the run still needs.
    Vanished {
        /// The run.
        run: u32,
        /// The variable, in the sleigh's workspace.
        name: String,
    },
}

/// Results of tasks, or what one said.
#[derive(Debug)]
pub struct TaskResult(pub(super) Grant<Bytes>);

impl TaskResult {
    /// Of each result which task, how it went, and the encoded value or failure. Nothing where it is
    /// none: somebody else has stored it.
    pub fn read(&self) -> Results<'_> {
        results(&self.0.item.value)
    }

    /// What a task said while it ran, which task, on which worker; [`TaskHead::NONE`] between tasks.
    pub fn said(&self) -> Option<(Said, TaskHead, u32, &[u8])> {
        Said::decode(&self.0.item.value)
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
    pub(super) fn put(&self, arrival: Arrival, bytes: usize) -> bool {
        let mut state = self.state();
        state.arrivals.push(arrival);
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

    fn results() -> Arrival {
        Arrival::Results(Vec::new())
    }

    #[test]
    fn fetching_stops_while_too_much_waits_and_goes_on_when_it_is_taken() {
        let inbox = Inbox::default();
        assert!(inbox.put(results(), WAITING_BYTES));
        assert!(!inbox.put(results(), 1));
        let (arrivals, fetch) = inbox.take(Duration::ZERO).unwrap();
        assert_eq!(arrivals.len(), 2);
        assert!(fetch);
        assert!(inbox.put(results(), 1));
        assert!(!inbox.take(Duration::ZERO).unwrap().1);
    }

    #[test]
    fn what_came_before_the_end_is_taken_before_the_end_is_told() {
        let inbox = Inbox::default();
        inbox.put(results(), 1);
        inbox.disconnect("cut");
        assert_eq!(inbox.take(Duration::from_secs(60)).unwrap().0.len(), 1);
        let error = inbox.take(Duration::from_secs(60)).unwrap_err();
        assert_eq!(error.to_string(), "cut");
    }
}
