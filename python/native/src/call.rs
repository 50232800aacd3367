//! One operation on its way: sent when it was made, waited for afterwards.
//!
//! Every operation of a connection or workspace is a [`Call`], so that blocking and asynchronous
//! code share all of it but the waiting: [`Call::wait`] looks for signals, [`Call::ring`] has a
//! [`Bell`] tell an event loop. What a call gets when nobody waits any more is not dropped: its
//! [`Late`] says what becomes of it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use nws_client::{Connection, Error, Pieces};
use nws_proto::{Reply, Request, RequestId};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::bell::Bell;
use crate::errors;

/// How often a wait looks for signals.
pub(crate) const TICK: Duration = Duration::from_millis(40);
/// How long an interrupted wait stays for an answer that was on its way.
pub(crate) const GRACE: Duration = Duration::from_millis(100);

pub(crate) type Outcome = Result<Reply<Bytes>, Error>;
/// Makes the result of an outcome, in Python's own thread.
type Read = Box<dyn FnOnce(Python<'_>, Outcome) -> PyResult<Py<PyAny>> + Send>;
/// What becomes of an answer that nobody takes; without the interpreter, on any thread.
pub(crate) type Late = Box<dyn FnOnce(Reply<Bytes>) + Send>;

/// An operation that was begun.
#[pyclass(frozen, module = "nws._native")]
pub(crate) struct Call {
    /// None where nothing was sent.
    sent: Option<(Connection, RequestId)>,
    slot: Arc<Slot>,
    read: Mutex<Option<Read>>,
}

/// Where the I/O thread puts the outcome.
#[derive(Default)]
struct Slot {
    state: Mutex<State>,
    ready: Condvar,
}

#[derive(Default)]
struct State {
    outcome: Option<Outcome>,
    late: Option<Late>,
    bell: Option<(Arc<Bell>, u64)>,
    /// Nobody will look here any more.
    abandoned: bool,
}

impl Slot {
    /// Never takes the interpreter's lock: whoever holds it may compute for long, and the I/O thread
    /// must answer pings meanwhile.
    fn complete(&self, outcome: Outcome) {
        let mut state = lock(&self.state);
        if state.abandoned {
            let late = state.late.take();
            drop(state);
            let_late(late, Some(outcome));
            return;
        }
        state.outcome = Some(outcome);
        let bell = state.bell.take();
        self.ready.notify_all();
        drop(state);
        if let Some((bell, key)) = bell {
            bell.ring(key);
        }
    }

    fn wait(&self, timeout: Duration) -> Option<Outcome> {
        let until = Instant::now() + timeout;
        let mut state = lock(&self.state);
        loop {
            if let Some(outcome) = state.outcome.take() {
                state.late = None;
                return Some(outcome);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            state = self.ready.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn abandon(&self) {
        let mut state = lock(&self.state);
        state.abandoned = true;
        state.bell = None;
        if let Some(outcome) = state.outcome.take() {
            let late = state.late.take();
            drop(state);
            let_late(late, Some(outcome));
        }
    }
}

fn let_late(late: Option<Late>, outcome: Option<Outcome>) {
    if let (Some(late), Some(Ok(reply))) = (late, outcome) {
        late(reply);
    }
}

impl Call {
    /// Sends a request. `read` makes its result; `late` takes an answer that comes when nobody waits
    /// any more.
    pub(crate) fn send(
        client: &Connection,
        request: Request<Bytes>,
        late: Option<Late>,
        read: impl FnOnce(Python<'_>, Outcome) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> Self {
        let (slot, then) = slot(late);
        let id = client.request_then(request, then);
        Self { sent: Some((client.clone(), id)), slot, read: Mutex::new(Some(Box::new(read))) }
    }

    /// As [`Call::send`], for values in pieces.
    pub(crate) fn send_pieces(
        client: &Connection,
        request: Request<Pieces>,
        read: impl FnOnce(Python<'_>, Outcome) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> Self {
        let (slot, then) = slot(None);
        let id = client.request_pieces_then(request, then);
        Self { sent: Some((client.clone(), id)), slot, read: Mutex::new(Some(Box::new(read))) }
    }

    /// One that is over, as this answer came before anybody asked for it.
    pub(crate) fn answered(
        reply: Reply<Bytes>,
        late: Option<Late>,
        read: impl FnOnce(Python<'_>, Outcome) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> Self {
        let (slot, then) = slot(late);
        then(Ok(reply));
        Self { sent: None, slot, read: Mutex::new(Some(Box::new(read))) }
    }

    /// Whether a request is on its way, or was answered.
    pub(crate) fn was_sent(&self) -> bool {
        self.sent.as_ref().is_some_and(|(_, id)| id.0 != 0)
    }

    fn finish(&self, py: Python<'_>, outcome: Outcome) -> PyResult<Py<PyAny>> {
        let read = lock(&self.read).take();
        match read {
            Some(read) => read(py, outcome),
            None => Err(PyRuntimeError::new_err("the outcome of this call was taken already")),
        }
    }

    /// In a forked child nobody will ever answer, and locks may be held by threads that are not there.
    fn check_process(&self, py: Python<'_>) -> PyResult<()> {
        match &self.sent {
            Some((client, _)) => check_process(py, client),
            None => Ok(()),
        }
    }

    fn is_foreign(&self) -> bool {
        self.sent.as_ref().is_some_and(|(client, _)| is_foreign(client))
    }
}

#[pymethods]
impl Call {
    /// Waits for the result without the interpreter: other threads run, and a signal ends it.
    fn wait(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.check_process(py)?;
        loop {
            if let Some(outcome) = py.detach(|| self.slot.wait(TICK)) {
                return self.finish(py, outcome);
            }
            if let Err(interrupt) = py.check_signals() {
                self.cancel();
                // What was on its way is kept before the user can ask for it again.
                py.detach(|| self.slot.wait_untaken(GRACE));
                self.slot.abandon();
                return Err(interrupt);
            }
        }
    }

    /// Has `bell` tell `key` when the result is there. False: it is there already.
    fn ring(&self, py: Python<'_>, bell: &Bound<'_, crate::bell::PyBell>, key: u64) -> PyResult<bool> {
        self.check_process(py)?;
        let mut state = lock(&self.slot.state);
        if state.outcome.is_some() {
            return Ok(false);
        }
        state.bell = Some((bell.get().bell(), key));
        Ok(true)
    }

    /// The result that is there.
    fn result(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.check_process(py)?;
        match self.slot.wait(Duration::ZERO) {
            Some(outcome) => self.finish(py, outcome),
            None => Err(PyRuntimeError::new_err("expected a call that has its result, got one that waits for it")),
        }
    }

    /// Looks for the result no more; what is there, or comes, is kept or given back.
    fn abandon(&self, py: Python<'_>) -> PyResult<()> {
        self.check_process(py)?;
        self.cancel();
        self.slot.abandon();
        Ok(())
    }

    /// Asks the server to end the wait.
    fn cancel(&self) {
        if let Some((client, id)) = &self.sent {
            client.cancel(*id);
        }
    }
}

impl Slot {
    /// Waits until the outcome is there and leaves it there.
    fn wait_untaken(&self, timeout: Duration) {
        let until = Instant::now() + timeout;
        let mut state = lock(&self.state);
        while state.outcome.is_none() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.ready.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // A child of a fork leaves everything as it is: it is the parent's.
        if self.is_foreign() {
            return;
        }
        let unread = self.read.get_mut().unwrap_or_else(PoisonError::into_inner).is_some();
        if unread {
            self.cancel();
            self.slot.abandon();
        }
    }
}

fn slot(late: Option<Late>) -> (Arc<Slot>, impl FnOnce(Outcome) + Send + 'static) {
    let slot = Arc::new(Slot { state: Mutex::new(State { late, ..State::default() }), ready: Condvar::new() });
    let told = Arc::clone(&slot);
    (slot, move |outcome| told.complete(outcome))
}

/// An error in another process than the one that connected.
pub(crate) fn check_process(py: Python<'_>, client: &Connection) -> PyResult<()> {
    if is_foreign(client) { Err(errors::from_client(py, &Error::Forked)) } else { Ok(()) }
}

fn is_foreign(client: &Connection) -> bool {
    matches!(client.closed(), Some(Error::Forked))
}

/// Locks, also where somebody panicked once: what is under our locks is whole between statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
