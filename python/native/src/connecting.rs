//! Connecting without the interpreter: other threads run, and a signal ends it.

use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, channel};

use nws_client::{ConnectOptions, Connection, Endpoint};
use pyo3::prelude::*;

use crate::call::TICK;
use crate::errors;

/// Connects. On a thread of its own, as names are looked up and addresses tried there without a
/// look at signals; one that is given up ends by its timeout.
pub(crate) fn connect(py: Python<'_>, endpoint: Endpoint, options: ConnectOptions) -> PyResult<Connection> {
    let (outcome, arrived) = channel();
    let started = std::thread::Builder::new().name("nws connect".into()).spawn(move || {
        // Nobody listens any more where a signal came: then the connection ends here.
        let _ = outcome.send(Connection::connect(&endpoint, options));
    });
    started?;
    let arrived = Mutex::new(arrived);
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
