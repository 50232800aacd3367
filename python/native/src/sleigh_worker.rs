//! The loop of a worker process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nws_work::envelope::{Failure, FailureKind, Outcome, RESULT_HEAD_BYTES, Said};
use nws_work::page::Wanted;
use nws_work::platform::fork_generation;
use nws_work::worker::{Joining, Marks, Newcomer, Next, Task, Worker};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use crate::client::Connection;
use crate::compact;
use crate::stream::Stream;

/// How long a wait goes on before Python's signal handlers get a turn.
const SIGNAL_TURN: Duration = Duration::from_millis(200);
/// Longest result with its head, in bytes.
const RESULT_BYTES: usize = nws_proto::limits::VALUE_BYTES as usize;

/// A worker that has joined.
#[pyclass(module = "nws._native", frozen)]
pub(crate) struct WorkerLoop {
    joining: Joining,
    /// The task that runs has drawn random numbers, or set their state: the next one is to be seeded.
    seed_next: AtomicBool,
}

/// What a worker was told at its start: rank, number of workers, and the text of the settings.
#[pyfunction]
pub(crate) fn worker_bootstrap(py: Python<'_>) -> PyResult<Option<(u32, u32, String, WorkerStart)>> {
    let Some(newcomer) = py.detach(Newcomer::receive)? else { return Ok(None) };
    let bootstrap = newcomer.bootstrap();
    let settings = bootstrap.settings.as_str().unwrap_or_default().to_owned();
    let (rank, count) = (bootstrap.rank, bootstrap.worker_count);
    Ok(Some((rank, count, settings, WorkerStart { newcomer: Some(newcomer) })))
}

/// A worker that knows its server and has not connected yet.
#[pyclass(module = "nws._native")]
pub(crate) struct WorkerStart {
    newcomer: Option<Newcomer>,
}

#[pymethods]
impl WorkerStart {
    /// Connects. The worker gets no tasks before it says that it is ready.
    fn join(&mut self, py: Python<'_>) -> PyResult<WorkerLoop> {
        let newcomer = self.newcomer.take();
        let mut newcomer = newcomer.ok_or_else(|| PyRuntimeError::new_err("this worker has joined already"))?;
        if newcomer.is_too_late() {
            let message = "too late: the group of workers was closed before this one had joined";
            newcomer.fail(&format!("SleighJoinException: {message}"));
            let class = py.import("nws._sleigh.exceptions")?.getattr("SleighJoinException")?;
            return Err(PyErr::from_value(class.call1((message,))?));
        }
        let joining = py.detach(|| newcomer.connect());
        let joining = joining.map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        Ok(WorkerLoop { joining, seed_next: AtomicBool::new(false) })
    }
}

/// The function of a run as Python prepared it.
struct Definition {
    run: u32,
    function: Result<Py<PyAny>, Vec<u8>>,
    /// The task's payload is the tuple of its arguments, rather than the only one.
    spread: bool,
    /// Called before a task, where the call has a seed and the task before has used it.
    seeder: Option<Py<PyAny>>,
}

#[pymethods]
impl WorkerLoop {
    /// This worker's rank.
    #[getter]
    fn rank(&self) -> u32 {
        self.joining.bootstrap.rank
    }

    /// The worker's connection, for other workspaces on the same server.
    fn connection(&self) -> Connection {
        Connection::of(self.worker().connection().clone())
    }

    /// The index of the task that runs.
    #[getter]
    fn index(&self) -> Option<u64> {
        self.worker().running().map(|task| task.index)
    }

    /// The task that runs has drawn random numbers or set their state, so that the next one is to be
    /// seeded anew.
    fn seed_next(&self) {
        self.seed_next.store(true, Ordering::Relaxed);
    }

    /// The name of the sleigh's workspace.
    #[getter]
    fn workspace(&self) -> &str {
        &self.joining.bootstrap.workspace
    }

    /// Captures what is written to standard output and error from now on, at most `limit` bytes a
    /// task of each: returns what Python is to print to instead, or `None` where the host gave no
    /// descriptors for it.
    fn capture(&self, limit: usize) -> PyResult<Option<(Stream, Stream)>> {
        let Some(descriptors) = self.joining.take_capture() else { return Ok(None) };
        let capture = self.worker().capture(descriptors, limit, Marks::Yes)?;
        Ok(Some((Stream { capture: capture.clone(), error: false }, Stream { capture, error: true })))
    }

    /// Sends a log record (or a `warning`) of the task that runs to the master. `False` in a child that a
    /// task has forked, which cannot.
    fn say(&self, warning: bool, payload: &[u8]) -> bool {
        self.worker().say(if warning { Said::Warning } else { Said::Record }, payload)
    }

    /// The worker is set up: tells the host, and asks for tasks.
    fn ready(&self) {
        self.joining.set_ready();
    }

    /// Tells the host why neither this worker nor another of its rank can work.
    fn fail(&self, message: &str) {
        self.joining.fail(message);
    }

    /// Runs tasks until the sleigh is over, and says why it is. `define` makes `(function, spread,
    /// chunk_size)` of a run's definition; `describe` makes a failure's JSON of an exception.
    fn run(
        &self,
        py: Python<'_>,
        define: &Bound<'_, PyAny>,
        loads: &Bound<'_, PyAny>,
        dumps: &Bound<'_, PyAny>,
        describe: &Bound<'_, PyAny>,
    ) -> PyResult<String> {
        let calls = Calls { define, loads, dumps, describe, seed_next: &self.seed_next };
        let generation = fork_generation();
        let mut definition: Option<Definition> = None;
        let (mut next, mut result, mut ended_ns) = (None, Vec::new(), None);
        loop {
            match self.worker().try_next(&mut next) {
                Next::Task => {}
                Next::Over(reason) => return Ok(reason),
                Next::Nothing => {
                    ended_ns = None;
                    py.detach(|| self.worker().wait(SIGNAL_TURN));
                    py.check_signals()?;
                }
            }
            let Some(task) = &mut next else { continue };
            if definition.as_ref().is_none_or(|known| known.run != task.head.run) {
                ended_ns = None;
                definition = Some(self.load(py, &calls, task));
            }
            let Some(known) = &definition else { continue };
            let began_ns = self.worker().begin(task, ended_ns);
            let Some(outcome) = self.answer(py, &calls, known, task, &mut result)? else { continue };
            if fork_generation() != generation {
                // The task forked, and this is the child that came back from it.
                return Ok(String::from("a child of a task"));
            }
            ended_ns = self.finish(py, task, began_ns, outcome, &mut result);
        }
    }

    /// Sends what waits and ends the connection.
    fn leave(&self, py: Python<'_>) {
        py.detach(|| self.worker().leave());
    }
}

impl WorkerLoop {
    fn worker(&self) -> &Worker {
        &self.joining.worker
    }

    /// Makes ready for the tasks of another run.
    fn load(&self, py: Python<'_>, calls: &Calls<'_, '_>, task: &Task) -> Definition {
        // A function may kill already when it is loaded: the task pays for that as well, or the next worker would
        // begin with the same, without end.
        self.worker().load(task);
        self.definition(py, calls, task.head.run)
    }

    /// Runs a task, or says that it was cancelled; `None` where nobody wants an answer.
    fn answer(
        &self,
        py: Python<'_>,
        calls: &Calls<'_, '_>,
        known: &Definition,
        task: &mut Task,
        result: &mut Vec<u8>,
    ) -> PyResult<Option<Outcome>> {
        result.resize(RESULT_HEAD_BYTES, 0);
        match self.worker().wanted(task) {
            Wanted::Yes => calls.call(py, known, task, result).map(Some),
            Wanted::Cancelled => {
                result.extend(Failure::cancelled().to_json());
                Ok(Some(Outcome::Failed))
            }
            Wanted::Dropped => {
                self.worker().pass_over(task);
                Ok(None)
            }
        }
    }

    /// Sends a result, and says when the task ended, where the next one begins at once.
    fn finish(
        &self,
        py: Python<'_>,
        task: &mut Task,
        began_ns: u64,
        outcome: Outcome,
        result: &mut Vec<u8>,
    ) -> Option<u64> {
        let mut finish = || self.worker().finish(task, began_ns, outcome, result);
        // Threads of the task go on while this one waits for the server.
        let finished = if self.worker().is_careful() { py.detach(finish) } else { finish() };
        if finished.is_behind {
            py.detach(|| self.worker().pause());
            return None;
        }
        Some(finished.at_ns)
    }

    /// What the tasks of a run have in common, or why they fail.
    fn definition(&self, py: Python<'_>, calls: &Calls<'_, '_>, run: u32) -> Definition {
        let Ok(bytes) = py.detach(|| self.worker().definition(run)) else {
            self.worker().begin_run(None);
            // The run was given up while its task was on the way here, and then nobody takes this
            // answer; or it goes on, and without an answer would do so for ever.
            let message =
                format!("the function of run {run} is gone: somebody deleted its variable in the sleigh's workspace");
            let function = Err(failure(String::from("SleighException"), message));
            return Definition { run, function, spread: false, seeder: None };
        };
        let prepared = calls
            .define
            .call1((PyBytes::new(py, &bytes),))
            .and_then(|made| made.extract::<(Py<PyAny>, bool, Option<u32>, Option<Py<PyAny>>)>());
        match prepared {
            Ok((function, spread, chunk_size, seeder)) => {
                self.worker().begin_run(chunk_size);
                Definition { run, function: Ok(function), spread, seeder }
            }
            Err(error) => {
                self.worker().begin_run(None);
                Definition { run, function: Err(calls.describe(py, error, false)), spread: false, seeder: None }
            }
        }
    }
}

struct Calls<'a, 'py> {
    define: &'a Bound<'py, PyAny>,
    loads: &'a Bound<'py, PyAny>,
    dumps: &'a Bound<'py, PyAny>,
    describe: &'a Bound<'py, PyAny>,
    seed_next: &'a AtomicBool,
}

impl Calls<'_, '_> {
    /// Runs one task and appends its encoded result or failure.
    fn call(&self, py: Python<'_>, known: &Definition, task: &Task, result: &mut Vec<u8>) -> PyResult<Outcome> {
        let function = match &known.function {
            Ok(function) => function.bind(py),
            Err(failure) => {
                result.extend_from_slice(failure);
                return Ok(Outcome::Failed);
            }
        };
        let mut renewed = Ok(());
        if let Some(seeder) = &known.seeder
            && self.seed_next.load(Ordering::Relaxed)
        {
            self.seed_next.store(false, Ordering::Relaxed);
            renewed = seeder.call0(py).map(drop);
        }
        let argument = renewed.and_then(|()| compact::decode(py, task.payload(), self.loads));
        let value = argument.and_then(|argument| match known.spread {
            true => function.call1(argument.cast_into::<PyTuple>().map_err(PyErr::from)?),
            false => function.call1((argument,)),
        });
        let failure = match value {
            Err(error) => self.describe(py, error, false),
            Ok(value) => match compact::encode_into(result, &value, self.dumps) {
                Ok(()) if result.len() <= RESULT_BYTES => return Ok(Outcome::Done),
                Ok(()) => too_long(result.len()),
                Err(error) => self.describe(py, error, true),
            },
        };
        result.truncate(RESULT_HEAD_BYTES);
        result.extend_from_slice(&failure);
        Ok(Outcome::Failed)
    }

    /// The failure's JSON. Where even describing fails, what can be said without Python.
    fn describe(&self, py: Python<'_>, error: PyErr, of_result: bool) -> Vec<u8> {
        let type_name = error.get_type(py).name().map(|name| name.to_string());
        let described =
            self.describe.call1((error.into_value(py), of_result)).and_then(|json| json.extract::<Vec<u8>>());
        described.unwrap_or_else(|second| {
            let type_name = type_name.unwrap_or_else(|_| String::from("Exception"));
            failure(type_name, format!("(it cannot be described: {second})"))
        })
    }
}

fn too_long(bytes: usize) -> Vec<u8> {
    let message = format!(
        "the result takes {bytes} bytes; at most {RESULT_BYTES} fit: store it in a file or a workspace and return the name"
    );
    failure(String::from("ValueError"), message)
}

fn failure(type_name: String, message: String) -> Vec<u8> {
    let failure =
        Failure { kind: FailureKind::Exception, type_name, message, traceback: String::new(), cause: None, deaths: 0 };
    // A struct of strings and numbers has a JSON form.
    serde_json::to_vec(&failure).unwrap_or_default()
}
