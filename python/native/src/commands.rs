//! Processes that a host starts for a Python master: see `nws_work::commands`.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nws_work::WorkError;
use nws_work::commands::{Command, CommandEvent, CommandHost, CommandId, Output, Streams};
use nws_work::control;
use pyo3::exceptions::{PyChildProcessError, PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use rustix::event::{EventfdFlags, eventfd};

use crate::call::{TICK, lock};

/// How a process ended.
#[pyclass(frozen, get_all, name = "Cause", module = "nws._native")]
pub(crate) struct PyCause {
    text: String,
    exit_code: Option<i32>,
    signal: Option<i32>,
    peak_memory_bytes: u64,
    out_of_memory: Option<bool>,
    stderr_tail: Vec<String>,
}

impl From<control::Cause> for PyCause {
    fn from(cause: control::Cause) -> Self {
        let control::Cause { text, exit_code, signal, peak_memory_bytes, out_of_memory, stderr_tail } = cause;
        Self { text, exit_code, signal, peak_memory_bytes, out_of_memory, stderr_tail }
    }
}

#[pymethods]
impl PyCause {
    fn __str__(&self) -> &str {
        &self.text
    }
}

/// What became of a command: `kind` is `started`, `not_started`, `ended` or `host_died`.
#[pyclass(frozen, get_all, name = "CommandEvent", module = "nws._native")]
pub(crate) struct PyCommandEvent {
    kind: &'static str,
    id: Option<u64>,
    pid: Option<u32>,
    message: Option<String>,
    cause: Option<Py<PyCause>>,
}

impl PyCommandEvent {
    fn of(py: Python<'_>, event: CommandEvent) -> PyResult<Self> {
        let (kind, id, pid, message, cause) = match event {
            CommandEvent::Started { id, pid } => ("started", Some(id), Some(pid), None, None),
            CommandEvent::NotStarted { id, message, .. } => ("not_started", Some(id), None, Some(message), None),
            CommandEvent::Ended { id, cause } => ("ended", Some(id), None, None, Some(cause)),
            CommandEvent::HostDied { cause } => ("host_died", None, None, None, Some(cause)),
        };
        let cause = cause.map(|cause| Py::new(py, PyCause::from(cause))).transpose()?;
        Ok(Self { kind, id: id.map(|id| id.0), pid, message, cause })
    }
}

/// What has happened and was not asked for yet.
struct Events {
    queue: Mutex<VecDeque<CommandEvent>>,
    came: Condvar,
    /// Readable while the queue holds something.
    descriptor: OwnedFd,
}

impl Events {
    fn put(&self, event: CommandEvent) {
        let mut queue = lock(&self.queue);
        queue.push_back(event);
        if queue.len() == 1 {
            // It fails where the counter is full, and then it is readable already.
            let _ = rustix::io::write(&self.descriptor, &1_u64.to_ne_bytes());
        }
        self.came.notify_one();
    }

    fn take(&self, timeout: Duration) -> Option<CommandEvent> {
        let until = Instant::now() + timeout;
        let mut queue = lock(&self.queue);
        loop {
            if let Some(event) = queue.pop_front() {
                if queue.is_empty() {
                    // It fails where it is not readable, which is what is wanted.
                    let _ = rustix::io::read(&self.descriptor, &mut [0; 8]);
                }
                return Some(event);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            queue = self.came.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Starts commands, and ends them all when it is stopped or forgotten.
#[pyclass(frozen, name = "CommandHost", module = "nws._native")]
pub(crate) struct PyCommandHost {
    host: Arc<CommandHost>,
    events: Arc<Events>,
    owner_pid: u32,
}

#[pymethods]
impl PyCommandHost {
    /// Starts the host, with the program `nws`.
    #[new]
    fn new(py: Python<'_>, binary: PathBuf) -> PyResult<Self> {
        let descriptor = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).map_err(std::io::Error::from)?;
        let events = Arc::new(Events { queue: Mutex::default(), came: Condvar::new(), descriptor });
        let told = Arc::clone(&events);
        let host = py.detach(|| CommandHost::start(&binary, move |event| told.put(event)));
        Ok(Self { host: Arc::new(host.map_err(|error| raise(&error))?), events, owner_pid: std::process::id() })
    }

    /// Has a command started; returns its number. The descriptors stay the caller's, who closes them:
    /// the command gets copies. Without `stdin` it reads nothing; without `stdout` or `stderr` its
    /// lines go to ours, and the last ones of standard error are kept for its cause. `descriptors` are
    /// pairs of a further descriptor and the number, 3 to 63, that the command finds it under.
    #[pyo3(signature = (args, *, stdin=None, stdout=None, stderr=None, descriptors=Vec::new(), env=Vec::new(), cwd=None))]
    #[allow(clippy::too_many_arguments, reason = "Python names them all")]
    fn launch(
        &self,
        py: Python<'_>,
        args: Vec<OsString>,
        stdin: Option<RawFd>,
        stdout: Option<RawFd>,
        stderr: Option<RawFd>,
        descriptors: Vec<(RawFd, RawFd)>,
        env: Vec<(OsString, Option<OsString>)>,
        cwd: Option<PathBuf>,
    ) -> PyResult<u64> {
        let mut args = args.into_iter();
        let program =
            args.next().ok_or_else(|| PyValueError::new_err("expected a program, got no arguments at all"))?;
        let command = Command { program, args: args.collect(), env, cwd };
        let output = |descriptor: Option<RawFd>| descriptor.map_or(Ok(Output::Lines), |it| copy(it).map(Output::To));
        let others = descriptors.into_iter().map(|(descriptor, number)| Ok((copy(descriptor)?, number)));
        let streams = Streams {
            stdin: stdin.map(copy).transpose()?,
            stdout: output(stdout)?,
            stderr: output(stderr)?,
            others: others.collect::<PyResult<_>>()?,
        };
        let id = py.detach(|| self.host.launch(command, streams)).map_err(|error| raise(&error))?;
        Ok(id.0)
    }

    /// Asks a command to end, by SIGTERM.
    fn ask_to_end(&self, py: Python<'_>, id: u64) {
        py.detach(|| self.host.ask_to_end(CommandId(id)));
    }

    /// Ends a command and all that it started. The event of its end follows.
    fn end(&self, py: Python<'_>, id: u64) {
        py.detach(|| self.host.end(CommandId(id)));
    }

    /// What happened next; waits for it, but no longer than `timeout_s`, and gives None then.
    #[pyo3(signature = (timeout_s=None))]
    fn next_event(&self, py: Python<'_>, timeout_s: Option<f64>) -> PyResult<Option<PyCommandEvent>> {
        if std::process::id() != self.owner_pid {
            let problem = "this process was forked from the one that started its commands' host; start one here";
            return Err(PyRuntimeError::new_err(problem));
        }
        let timeout =
            timeout_s.map(|timeout_s| Duration::try_from_secs_f64(timeout_s.max(0.0)).unwrap_or(Duration::MAX));
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            let left = until.map_or(TICK, |until| until.saturating_duration_since(Instant::now()).min(TICK));
            if let Some(event) = py.detach(|| self.events.take(left)) {
                return PyCommandEvent::of(py, event).map(Some);
            }
            py.check_signals()?;
            if until.is_some_and(|until| Instant::now() >= until) {
                return Ok(None);
            }
        }
    }

    /// A descriptor that is readable while an event waits to be asked for.
    fn fileno(&self) -> RawFd {
        self.events.descriptor.as_raw_fd()
    }

    /// Ends everything, and waits for that. In a fork's copy it does nothing.
    fn stop(&self, py: Python<'_>) {
        py.detach(|| self.host.stop());
    }

    /// The process id of the host's warden.
    #[getter]
    fn pid(&self) -> u32 {
        self.host.pid()
    }
}

impl Drop for PyCommandHost {
    fn drop(&mut self) {
        // Also where other threads of Python wait to go on.
        Python::attach(|py| py.detach(|| self.host.stop()));
    }
}

fn copy(descriptor: RawFd) -> PyResult<OwnedFd> {
    if descriptor < 0 {
        return Err(PyValueError::new_err(format!("expected an open descriptor, got {descriptor}")));
    }
    // SAFETY: it is only copied, and one that is not open gives an error.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    Ok(borrowed.try_clone_to_owned()?)
}

pub(crate) fn raise(error: &WorkError) -> PyErr {
    match error {
        WorkError::Argument(message) => PyValueError::new_err(message.clone()),
        WorkError::Ended(message) => PyChildProcessError::new_err(message.clone()),
        WorkError::Start(_) | WorkError::Io(_) | WorkError::Client(_) => PyOSError::new_err(error.to_string()),
    }
}
