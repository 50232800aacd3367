//! What the client does in several steps, waited for as a [`crate::call::Call`] is.
//!
//! A step polls a future of the client: blocking code looks for signals between, and an event loop is
//! told by a [`Bell`]. One that is given up leaves what it was about as it was.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use nws_client::Connection;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::bell::{Bell, PyBell};
use crate::call::{GRACE, TICK, check_process, lock};

/// Makes the result, in Python's own thread.
pub(crate) type Finish = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;

/// What is waited for. Nothing of it needs the interpreter.
pub(crate) trait Doing: Send {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Finish>;
    /// Asks the server to end a wait.
    fn cancel(&mut self) {}
}

/// What needs no more than to be polled.
impl<F: FnMut(&mut Context<'_>) -> Poll<Finish> + Send> Doing for F {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Finish> {
        self(context)
    }
}

/// Something that goes on.
#[pyclass(frozen, module = "nws._native")]
pub(crate) struct Step {
    client: Connection,
    doing: Mutex<Option<Box<dyn Doing>>>,
    /// What has come of it and was not taken.
    finish: Mutex<Option<Finish>>,
    awake: Arc<Awake>,
}

/// Woken by the I/O thread, which must not wait for the interpreter.
#[derive(Default)]
struct Awake {
    state: Mutex<Alarm>,
    ready: Condvar,
}

#[derive(Default)]
struct Alarm {
    rung: bool,
    bell: Option<(Arc<Bell>, u64)>,
}

impl Wake for Awake {
    fn wake(self: Arc<Self>) {
        let mut state = lock(&self.state);
        state.rung = true;
        let bell = state.bell.take();
        self.ready.notify_all();
        drop(state);
        if let Some((bell, key)) = bell {
            bell.ring(key);
        }
    }
}

impl Awake {
    fn wait(&self, timeout: Duration) {
        let until = Instant::now() + timeout;
        let mut state = lock(&self.state);
        while !std::mem::take(&mut state.rung) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.ready.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Step {
    pub(crate) fn new(client: &Connection, doing: impl Doing + 'static) -> Self {
        let doing: Box<dyn Doing> = Box::new(doing);
        Self { client: client.clone(), doing: Mutex::new(Some(doing)), finish: Mutex::default(), awake: Arc::default() }
    }

    /// One that is over.
    pub(crate) fn over(
        client: &Connection,
        finish: impl FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> Self {
        let finish: Finish = Box::new(finish);
        Self {
            client: client.clone(),
            doing: Mutex::default(),
            finish: Mutex::new(Some(finish)),
            awake: Arc::default(),
        }
    }

    /// Whether it is over; what comes of it is kept.
    fn advance(&self) -> bool {
        let mut doing = lock(&self.doing);
        let Some(polled) = doing.as_mut() else { return true };
        let waker = Waker::from(Arc::clone(&self.awake));
        let Poll::Ready(finish) = polled.poll(&mut Context::from_waker(&waker)) else { return false };
        *lock(&self.finish) = Some(finish);
        *doing = None;
        true
    }

    fn take(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let finish = lock(&self.finish).take();
        match finish {
            Some(finish) => finish(py),
            None => Err(PyRuntimeError::new_err("expected a step that has its result, which nobody took yet")),
        }
    }

    /// Gives up. What was on its way goes back before the user can ask for it again.
    fn give_up(&self) {
        self.ask_to_end();
        let until = Instant::now() + GRACE;
        while !self.advance() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.awake.wait(left);
        }
        self.forget();
    }

    fn ask_to_end(&self) {
        if let Some(doing) = lock(&self.doing).as_mut() {
            doing.cancel();
        }
    }

    fn forget(&self) {
        let doing = lock(&self.doing).take();
        let finish = lock(&self.finish).take();
        drop((doing, finish));
    }
}

#[pymethods]
impl Step {
    /// Waits for the result without the interpreter: other threads run, and a signal ends it.
    fn wait(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        check_process(py, &self.client)?;
        while !py.detach(|| self.advance()) {
            py.detach(|| self.awake.wait(TICK));
            if let Err(interrupt) = py.check_signals() {
                py.detach(|| self.give_up());
                return Err(interrupt);
            }
        }
        self.take(py)
    }

    /// Has `bell` tell `key` when it is worth while to ask again. False: the result is there.
    fn ring(&self, py: Python<'_>, bell: &Bound<'_, PyBell>, key: u64) -> PyResult<bool> {
        check_process(py, &self.client)?;
        lock(&self.awake.state).bell = Some((bell.get().bell(), key));
        let over = py.detach(|| self.advance());
        if over {
            lock(&self.awake.state).bell = None;
        }
        Ok(!over)
    }

    /// The result that is there.
    fn result(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        check_process(py, &self.client)?;
        self.take(py)
    }

    /// Looks for the result no more; what is there, or comes, goes back.
    fn abandon(&self, py: Python<'_>) -> PyResult<()> {
        check_process(py, &self.client)?;
        lock(&self.awake.state).bell = None;
        py.detach(|| {
            self.ask_to_end();
            self.forget();
        });
        Ok(())
    }

    /// Asks the server to end the wait.
    fn cancel(&self) {
        self.ask_to_end();
    }
}
