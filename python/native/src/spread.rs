//! Tasks for commands: see `nws_work::spread`. Python makes tasks of objects and reads answers.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nws_work::commands::Command;
use nws_work::spread::dispatch;
use nws_work::spread::framing::{Framing, PickleScanner};
use nws_work::spread::{Answer, Arrival, Options, Over, SUBMIT_FOR, Spread};
use pyo3::exceptions::{PyBaseException, PyException, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyIterator, PyList, PyTuple};

use crate::call::{TICK, lock};
use crate::commands::{PyCause, raise};

/// An answer that has come.
#[pyclass(frozen, module = "nws._native")]
pub(crate) struct SpreadAnswer {
    answer: Answer,
    /// What it was unpickled to, where that is done already. Given away, as it may be an error that
    /// comes to hold this.
    read: Mutex<Option<Py<PyAny>>>,
}

#[pymethods]
impl SpreadAnswer {
    /// Whose answer, from 0 in the order of submission.
    #[getter]
    fn task(&self) -> u64 {
        self.answer.task
    }

    /// From which command.
    #[getter]
    fn worker(&self) -> usize {
        self.answer.worker
    }

    /// What it wrote.
    #[getter]
    fn payload<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.answer.bytes)
    }

    /// What it was unpickled to; None where that was not done, or cannot be, or was asked already.
    fn read(&self) -> Option<Py<PyAny>> {
        lock(&self.read).take()
    }

    /// When the task was sent and when the answer had come, in seconds since 1970.
    #[getter]
    fn times(&self) -> (f64, f64) {
        (seconds(self.answer.sent), seconds(self.answer.came))
    }
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Something else that has come: `kind` is `not_started`, `ended`, `misbehaved`, `output`, `done`,
/// `no_workers`, `timed_out`, `too_much_output` or `host_died`.
#[pyclass(frozen, get_all, module = "nws._native")]
pub(crate) struct SpreadEvent {
    kind: &'static str,
    worker: Option<usize>,
    task: Option<u64>,
    message: Option<String>,
    cause: Option<Py<PyCause>>,
    given_up: bool,
    output: Option<Py<PyBytes>>,
    answers: u32,
}

impl SpreadEvent {
    fn of(py: Python<'_>, arrival: Arrival) -> PyResult<Py<PyAny>> {
        let (worker, task, message, cause, output) = (None, None, None, None, None);
        let mut event = Self { kind: "", worker, task, message, cause, given_up: false, output, answers: 0 };
        let mut ended = None;
        match arrival {
            Arrival::Answer(answer) => {
                return Ok(Py::new(py, SpreadAnswer { answer, read: Mutex::new(None) })?.into_any());
            }
            Arrival::NotStarted { worker, message } => {
                (event.kind, event.worker, event.message) = ("not_started", Some(worker), Some(message));
            }
            Arrival::Ended { worker, cause, task, given_up } => {
                (event.kind, event.worker, event.task, event.given_up) = ("ended", Some(worker), task, given_up);
                ended = Some(cause);
            }
            Arrival::Misbehaved { worker, message } => {
                (event.kind, event.worker, event.message) = ("misbehaved", Some(worker), Some(message));
            }
            Arrival::Output { worker, bytes, answers } => {
                (event.kind, event.worker, event.answers) = ("output", Some(worker), answers);
                event.output = Some(PyBytes::new(py, &bytes).unbind());
            }
            Arrival::Over(Over::Done) => event.kind = "done",
            Arrival::Over(Over::NoWorkers) => event.kind = "no_workers",
            Arrival::Over(Over::TimedOut { task }) => (event.kind, event.task) = ("timed_out", Some(task)),
            Arrival::Over(Over::TooMuchOutput { worker }) => {
                (event.kind, event.worker) = ("too_much_output", Some(worker));
            }
            Arrival::Over(Over::HostDied { cause }) => {
                event.kind = "host_died";
                ended = Some(cause);
            }
        }
        event.cause = ended.map(|cause| Py::new(py, PyCause::from(cause))).transpose()?;
        Ok(Py::new(py, event)?.into_any())
    }
}

/// A job that goes on.
#[pyclass(frozen, module = "nws._native")]
pub(crate) struct SpreadCore {
    spread: Spread,
    /// How many plain answers each command has brought, and how many seconds they took.
    tally: Mutex<Vec<(u64, f64)>>,
}

#[pymethods]
impl SpreadCore {
    /// Starts all commands, in this order; each reads `prelude` first.
    #[new]
    #[pyo3(signature = (*, binary, commands, order, prelude, framing, timeout_s, limit_bytes))]
    #[allow(clippy::too_many_arguments, reason = "Python names them all")]
    fn new(
        py: Python<'_>,
        binary: PathBuf,
        commands: Vec<Vec<OsString>>,
        order: Vec<usize>,
        prelude: Vec<u8>,
        framing: &str,
        timeout_s: Option<f64>,
        limit_bytes: usize,
    ) -> PyResult<Self> {
        let framing = match framing {
            "pickle" => Framing::Pickle,
            "json" => Framing::Json,
            other => return Err(PyValueError::new_err(format!("expected 'pickle' or 'json', got {other:?}"))),
        };
        let commands = commands.into_iter().map(|args| {
            let mut args = args.into_iter();
            Command::new(args.next().unwrap_or_default()).args(args)
        });
        let timeout = timeout_s.and_then(|timeout_s| Duration::try_from_secs_f64(timeout_s).ok());
        let commands = commands.collect();
        let options = Options { binary, own_args: None, commands, order, prelude, framing, timeout, limit_bytes };
        let tally = Mutex::new(vec![(0, 0.0); options.commands.len()]);
        let spread = py.detach(|| Spread::start(options)).map_err(|error| raise(&error))?;
        Ok(Self { spread, tally })
    }

    /// Makes tasks of items while there is room and nothing urgent has come, and appends `place` to the
    /// results for each; whether there may be more. The end of the items is told to the engine.
    fn submit(
        &self,
        py: Python<'_>,
        items: &Bound<'_, PyIterator>,
        dumps: &Bound<'_, PyAny>,
        results: &Bound<'_, PyList>,
        place: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let mut items = items.clone();
        let until = Instant::now() + SUBMIT_FOR;
        for _ in 0..self.spread.room() {
            if Instant::now() >= until || self.spread.is_urgent() {
                break;
            }
            let Some(item) = items.next() else {
                self.spread.close();
                return Ok(false);
            };
            let item = item?;
            let written = dumps.call1((item,)).and_then(|written| Ok(written.cast::<PyBytes>()?.as_bytes().to_vec()));
            let written = written.inspect_err(|error| {
                // An interrupt has nothing to do with the task.
                if error.is_instance_of::<PyException>(py) {
                    let note = format!("This is task {} of todo, which cannot be sent.", results.len());
                    // An exception that takes no note is raised without.
                    let _ = error.value(py).call_method1("add_note", (note,));
                }
            })?;
            results.append(place)?;
            self.spread.submit(written);
        }
        py.check_signals()?;
        Ok(true)
    }

    /// What has come: waits for it, or until there is room for tasks. Answers of the last call that were
    /// neither refused nor rejected are results. Where `loads` is given, plain answers are put into
    /// `results` and counted, and only the others are returned.
    fn take<'py>(
        &self,
        py: Python<'py>,
        results: &Bound<'py, PyList>,
        loads: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let arrivals = py.detach(|| self.spread.take(Instant::now() + TICK));
        py.check_signals()?;
        let left = PyList::empty(py);
        for arrival in arrivals {
            let arrival = match (arrival, loads) {
                (Arrival::Answer(answer), Some(loads)) => match self.place(answer, results, loads)? {
                    Some(answer) => Py::new(py, answer)?.into_any(),
                    None => continue,
                },
                (arrival, _) => SpreadEvent::of(py, arrival)?,
            };
            left.append(arrival)?;
        }
        Ok(left)
    }

    /// For each command how many plain answers `take` has put in their places, and how many seconds they
    /// took together.
    fn tally(&self) -> Vec<(u64, f64)> {
        lock(&self.tally).clone()
    }

    /// The answer was that the command is too busy.
    fn refuse(&self, answer: &SpreadAnswer, delay_s: f64) {
        self.spread.refuse(&answer.answer, delay_s);
    }

    /// The answer was none.
    fn reject(&self, answer: &SpreadAnswer, why: &str) {
        self.spread.reject(&answer.answer, why);
    }

    /// Ends all commands.
    fn stop(&self, py: Python<'_>) {
        py.detach(|| self.spread.stop());
    }
}

impl SpreadCore {
    /// Puts a plain answer into its place: a tuple of a result and twice None. Gives back any other.
    fn place<'py>(
        &self,
        answer: Answer,
        results: &Bound<'py, PyList>,
        loads: &Bound<'py, PyAny>,
    ) -> PyResult<Option<SpreadAnswer>> {
        let py = results.py();
        let read = match loads.call1((PyBytes::new(py, &answer.bytes),)) {
            Ok(read) => read,
            Err(error) if error.is_instance_of::<PyException>(py) => {
                return Ok(Some(SpreadAnswer { answer, read: Mutex::new(None) }));
            }
            Err(error) => return Err(error),
        };
        if let Ok(items) = read.cast_exact::<PyTuple>()
            && items.len() == 3
            && items.get_item(1)?.is_none()
            && items.get_item(2)?.is_none()
        {
            let value = items.get_item(0)?;
            // An exception may be a refusal or a failure.
            if !value.is_instance_of::<PyBaseException>() {
                results.set_item(usize::try_from(answer.task)?, value)?;
                if let Some((count, seconds)) = lock(&self.tally).get_mut(answer.worker) {
                    *count += 1;
                    *seconds += answer.came.duration_since(answer.sent).map_or(0.0, |took| took.as_secs_f64());
                }
                return Ok(None);
            }
        }
        Ok(Some(SpreadAnswer { answer, read: Mutex::new(Some(read.unbind())) }))
    }
}

impl Drop for SpreadCore {
    fn drop(&mut self) {
        // Also where other threads of Python wait to go on.
        Python::attach(|py| py.detach(|| self.spread.stop()));
    }
}

/// How long a worker rests that has been too busy: see `nws_work::spread::dispatch`.
#[pyfunction]
fn rest_s(delay_s: f64, refusals: u32, queued: usize, workers: usize) -> f64 {
    dispatch::rest_s(delay_s, refusals, queued, workers)
}

/// How many ends in a row without an answer there were after one more; None: the worker is given up.
#[pyfunction]
fn ends_after(before: u32, answered: bool) -> Option<u32> {
    dispatch::ends_after(before, answered)
}

/// The nearest time that a worker may rest.
#[pyfunction]
fn sane_rest_s(rest_s: f64) -> f64 {
    dispatch::sane_rest_s(rest_s)
}

/// The length of the pickle that the bytes begin with; None where its end is not among them.
#[pyfunction]
fn pickle_end(data: &[u8]) -> PyResult<Option<usize>> {
    PickleScanner::default().end(data).map_err(PyValueError::new_err)
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<SpreadAnswer>()?;
    module.add_class::<SpreadCore>()?;
    module.add_class::<SpreadEvent>()?;
    module.add_function(wrap_pyfunction!(ends_after, module)?)?;
    module.add_function(wrap_pyfunction!(rest_s, module)?)?;
    module.add_function(wrap_pyfunction!(sane_rest_s, module)?)?;
    module.add_function(wrap_pyfunction!(pickle_end, module)?)
}
