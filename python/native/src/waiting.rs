//! Waiting for the server without the interpreter: other threads run, and a signal ends it.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use bytes::Bytes;
use nws_client::{ConnectOptions, Connection, Endpoint, Error, Pending};
use nws_proto::Reply;
use pyo3::prelude::*;

use crate::errors;

/// How often a wait looks for signals.
const TICK: Duration = Duration::from_millis(40);
/// How long an interrupted wait stays for an answer that was on its way.
const GRACE: Duration = Duration::from_millis(100);

/// How a wait ended.
pub(crate) enum Waited {
    /// With the server's answer.
    Answered(Result<Reply<Bytes>, Error>),
    /// With what a signal's handler raised. The request was canceled; this is what came nevertheless.
    Interrupted(PyErr, Option<Reply<Bytes>>),
}

/// Waits for an answer.
pub(crate) fn wait(py: Python<'_>, mut pending: Pending) -> Waited {
    loop {
        if let Some(outcome) = py.detach(|| pending.wait_timeout(TICK)) {
            return Waited::Answered(outcome);
        }
        if let Err(interrupt) = py.check_signals() {
            pending.cancel();
            let late = py.detach(|| pending.wait_timeout(GRACE));
            return Waited::Interrupted(interrupt, late.and_then(Result::ok));
        }
    }
}

/// Waits for an answer that holds nothing worth keeping.
pub(crate) fn answer(py: Python<'_>, pending: Pending) -> PyResult<Reply<Bytes>> {
    match wait(py, pending) {
        Waited::Answered(outcome) => outcome.map_err(|error| errors::from_client(py, &error)),
        Waited::Interrupted(interrupt, _) => Err(interrupt),
    }
}

/// Connects. On a thread of its own, as names are looked up and addresses tried there without a
/// look at signals; one that is given up ends by its timeout.
pub(crate) fn connect(py: Python<'_>, endpoint: Endpoint, options: ConnectOptions) -> PyResult<Connection> {
    let (outcome, arrived) = channel();
    let started = std::thread::Builder::new().name("nws connect".into()).spawn(move || {
        // Nobody listens any more where a signal came: then the connection ends here.
        let _ = outcome.send(Connection::connect(&endpoint, options));
    });
    started?;
    let arrived = std::sync::Mutex::new(arrived);
    loop {
        let received = py.detach(|| match arrived.lock() {
            Ok(arrived) => arrived.recv_timeout(TICK),
            Err(_) => Err(RecvTimeoutError::Disconnected),
        });
        match received {
            Ok(connected) => return connected.map_err(|error| errors::from_client(py, &error)),
            Err(RecvTimeoutError::Timeout) => py.check_signals()?,
            Err(RecvTimeoutError::Disconnected) => {
                let error = errors::Exception::Server;
                return Err(error.error(py, "the thread that connects has ended without a word", "internal"));
            }
        }
    }
}
