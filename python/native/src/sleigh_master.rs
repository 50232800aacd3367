//! The master's side of a sleigh: starts it, submits tasks, collects results.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nws_work::WorkError;
use nws_work::control::{ServerAddress, Start, WorkerCommand};
use nws_work::envelope::{Outcome, ResultHead, TaskHead};
use nws_work::master::{Arrival, Missing, TaskResult, Tasks};
use nws_work::sleigh::{Options, Sleigh};
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyIterator, PyList};

use crate::client::Connection;
use crate::compact;
use crate::events::EventLog;

/// How long a wait goes on before Python's signal handlers get a turn.
const SIGNAL_TURN: Duration = Duration::from_millis(50);

/// A started sleigh.
#[pyclass(module = "nws._native", frozen)]
pub(crate) struct SleighCore {
    sleigh: Arc<Sleigh>,
}

#[pymethods]
impl SleighCore {
    /// Starts host, server where none is named, and workers.
    #[new]
    #[pyo3(signature = (*, binary, template, server, worker_server, worker_count, program, args, env, cwd, captures, memory_limit_bytes, outfile, settings))]
    #[allow(clippy::too_many_arguments, reason = "Python names them all")]
    fn new(
        py: Python<'_>,
        binary: PathBuf,
        template: String,
        server: Option<(String, u16)>,
        worker_server: Option<(String, u16)>,
        worker_count: u32,
        program: PathBuf,
        args: Vec<String>,
        env: Vec<(String, Option<String>)>,
        cwd: Option<PathBuf>,
        captures: bool,
        memory_limit_bytes: Option<u64>,
        outfile: Option<PathBuf>,
        settings: &str,
    ) -> PyResult<Self> {
        // As a text that only the workers read: Python's JSON can say file names that are not UTF-8,
        // and ours cannot.
        let settings = serde_json::Value::from(settings);
        let worker = WorkerCommand { program, args, env, cwd, captures };
        let start = Start { server: worker_server.map(address), worker_count, worker, memory_limit_bytes, settings };
        let options =
            Options { binary, master_server: server.map(address), outfile, workspace_template: template, start };
        let sleigh = py.detach(|| Sleigh::start(options)).map_err(|error| raise(&error))?;
        Ok(Self { sleigh: Arc::new(sleigh) })
    }

    /// The name of the sleigh's workspace.
    #[getter]
    fn workspace(&self) -> &str {
        self.sleigh.master().workspace_name()
    }

    /// Where the server is: the path of its Unix socket, host and port; `None` where it has none.
    #[getter]
    fn server(&self) -> (Option<PathBuf>, Option<(String, u16)>) {
        let server = self.sleigh.server();
        (server.unix.clone(), server.tcp.clone())
    }

    /// The process id of the host.
    #[getter]
    fn host_pid(&self) -> u32 {
        self.sleigh.host_pid()
    }

    /// Begins a run. At most `chunk_size` of its tasks are held by one lease.
    #[pyo3(signature = (definition, retries, timeout_ms = None, chunk_size = None))]
    fn begin_run(
        &self,
        definition: &[u8],
        retries: u32,
        timeout_ms: Option<u64>,
        chunk_size: Option<u32>,
    ) -> PyResult<Run> {
        let run = self.sleigh.begin_run(definition.to_vec(), retries, timeout_ms).map_err(|error| raise(&error))?;
        Ok(Run {
            sleigh: self.sleigh.clone(),
            run,
            tasks: Tasks::new(run, self.sleigh.worker_count(), chunk_size),
            missing: Missing::default(),
            outstanding: 0,
            over: false,
        })
    }

    /// The master's connection, for other workspaces on the same server.
    fn connection(&self) -> Connection {
        Connection::of(self.sleigh.master().connection().clone())
    }

    /// Who has joined so far and whether the group is closed; waits for that, at most `timeout_s`.
    #[pyo3(signature = (timeout_s))]
    fn group(&self, py: Python<'_>, timeout_s: f64) -> PyResult<(Vec<u32>, bool)> {
        let deadline = Instant::now() + Duration::from_secs_f64(timeout_s.clamp(0.0, 1e9));
        loop {
            let rest = deadline.saturating_duration_since(Instant::now());
            let group = py.detach(|| self.sleigh.group(rest.min(SIGNAL_TURN))).map_err(|error| raise(&error))?;
            py.check_signals()?;
            if group.closed || rest.is_zero() {
                return Ok((group.joined, group.closed));
            }
        }
    }

    /// The error for a connection that was dropped for this reason, with the cause that the host knows.
    fn why_dropped(&self, py: Python<'_>, reason: &str) -> PyErr {
        raise(&py.detach(|| self.sleigh.why_dropped(reason)))
    }

    /// Closes the group to whoever has not joined, and returns the ranks that have.
    fn close_group(&self, py: Python<'_>) -> PyResult<Vec<u32>> {
        Ok(py.detach(|| self.sleigh.close_group()).map_err(|error| raise(&error))?.joined)
    }

    /// What the host has said since the last look, outside of any run; JSON texts.
    fn messages(&self) -> PyResult<Vec<String>> {
        let arrivals = self.sleigh.arrivals(Duration::ZERO).map_err(|error| raise(&error))?;
        Ok(arrivals.iter().filter_map(message).collect())
    }

    /// Ends workers, server and host, and waits for that.
    fn stop(&self, py: Python<'_>) {
        py.detach(|| self.sleigh.stop());
    }
}

/// One run: an `eachElem` or `eachWorker` in progress.
#[pyclass(module = "nws._native")]
pub(crate) struct Run {
    sleigh: Arc<Sleigh>,
    run: u32,
    tasks: Tasks,
    missing: Missing,
    outstanding: u64,
    over: bool,
}

#[pymethods]
impl Run {
    /// The run's number.
    #[getter]
    fn number(&self) -> u32 {
        self.run
    }

    /// How many tasks were submitted.
    #[getter]
    fn submitted(&self) -> u64 {
        self.tasks.next_index()
    }

    /// How many tasks have no result yet.
    #[getter]
    fn outstanding(&self) -> u64 {
        self.outstanding
    }

    /// Submits up to `most` tasks from an iterator, each item one task's varying argument or tuple
    /// of them; says whether the iterator may have more.
    #[pyo3(signature = (items, most, dumps))]
    fn submit(&mut self, items: &Bound<'_, PyIterator>, most: u64, dumps: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = items.py();
        let mut items = items.clone();
        self.tasks.set_under_way(self.outstanding.saturating_add(most));
        for _ in 0..most {
            let Some(item) = items.next().transpose()? else {
                self.flush(py)?;
                return Ok(false);
            };
            self.tasks.push(|buffer| compact::encode_into(buffer, &item, dumps).map_err(Refused::Python)).map_err(
                |refused| match refused {
                    Refused::Python(error) => error,
                    Refused::Work(error) => raise(&error),
                },
            )?;
            self.missing.push();
            self.outstanding += 1;
            if self.tasks.is_full() {
                self.flush(py)?;
            }
        }
        self.flush(py)?;
        Ok(true)
    }

    /// Submits one task to every worker, all with these arguments.
    fn submit_to_each(&mut self, argument: &Bound<'_, PyAny>, dumps: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut payload = Vec::new();
        compact::encode_into(&mut payload, argument, dumps)?;
        for rank in self.sleigh.ranks() {
            self.tasks
                .push(|buffer| {
                    buffer.extend_from_slice(&payload);
                    Ok::<(), WorkError>(())
                })
                .map_err(|error| raise(&error))?;
            self.missing.push();
            self.outstanding += 1;
            self.sleigh.master().submit_to(rank, &mut self.tasks);
        }
        Ok(())
    }

    /// Takes in results until no more than `until` are outstanding or `timeout_s` have passed.
    /// Without `indexes` they are put into their places in `results`; with it, each is appended to
    /// `results` as it comes and its index to `indexes`. `failure` makes an object of a failure's
    /// JSON, index and rank. `said` is called with each thing that tasks said before their results:
    /// which kind (0 standard output, 1 standard error, 2 log record, 3 warning), index or `None`
    /// between tasks, rank, bytes. Returns what the host said meanwhile as JSON texts. Each task that
    /// ended is told to `events`.
    #[pyo3(signature = (results, indexes, until, timeout_s, loads, failure, said, events=None))]
    #[allow(clippy::too_many_arguments, reason = "one call a turn, for speed")]
    fn collect(
        &mut self,
        results: &Bound<'_, PyList>,
        indexes: Option<&Bound<'_, PyList>>,
        until: u64,
        timeout_s: f64,
        loads: &Bound<'_, PyAny>,
        failure: &Bound<'_, PyAny>,
        said: &Bound<'_, PyAny>,
        events: Option<&EventLog>,
    ) -> PyResult<Vec<String>> {
        let py = results.py();
        let deadline = Instant::now() + Duration::from_secs_f64(timeout_s.clamp(0.0, 1e9));
        let mut messages = Vec::new();
        let mut looked = false;
        while self.outstanding > until && !(looked && Instant::now() >= deadline) {
            looked = true;
            let rest = deadline.saturating_duration_since(Instant::now()).min(SIGNAL_TURN);
            let sleigh = &self.sleigh;
            let arrivals = py.detach(|| sleigh.arrivals(rest)).map_err(|error| raise(&error))?;
            py.check_signals()?;
            for arrival in arrivals {
                messages.extend(message(&arrival));
                let Arrival::Results(arrived) = arrival else { continue };
                let mut took = (0, 0);
                for result in &arrived {
                    self.hear(result, said)?;
                    for (head, payload) in result.read() {
                        if head.task.run != self.run || !self.missing.remove(head.task.index) {
                            continue;
                        }
                        self.outstanding -= 1;
                        if head.outcome == Outcome::Done {
                            took = (took.0 + head.duration_ns, took.1 + 1);
                        }
                        let object = read_result(py, &head, payload, loads, failure)?;
                        place(results, indexes, head.task.index as usize, object)?;
                        if let Some(events) = events {
                            events.task(&head);
                        }
                    }
                }
                self.tasks.took(took.0, took.1);
            }
        }
        Ok(messages)
    }

    /// The run is over: what its tasks had in common is forgotten.
    fn end(&mut self) {
        if !std::mem::replace(&mut self.over, true) {
            self.sleigh.end_run(self.run);
        }
    }

    /// Takes back what has not begun; returns the indexes.
    fn withdraw(&mut self, py: Python<'_>) -> PyResult<Vec<u64>> {
        let (sleigh, run) = (&self.sleigh, self.run);
        let mut withdrawn = py.detach(|| sleigh.cancel(run)).map_err(|error| raise(&error))?;
        withdrawn.retain(|index| self.missing.remove(*index));
        self.outstanding -= withdrawn.len() as u64;
        Ok(withdrawn)
    }

    /// Gives up what is outstanding as `give_up` does; returns the indexes.
    fn abandon(&mut self) -> Vec<u64> {
        self.give_up();
        self.outstanding = 0;
        self.missing.take_all()
    }

    /// Gives up what is outstanding; workers that are busy with it are replaced.
    fn give_up(&mut self) {
        if !std::mem::replace(&mut self.over, true) {
            self.sleigh.give_up(self.run);
        }
    }
}

impl Run {
    /// Passes on what a task of this run, or nobody, said.
    fn hear(&self, result: &TaskResult, said: &Bound<'_, PyAny>) -> PyResult<()> {
        let Some((kind, task, rank, payload)) = result.said() else { return Ok(()) };
        let index = (task != TaskHead::NONE).then_some(task.index);
        if task.run == self.run || index.is_none() {
            said.call1((kind as u8, index, rank, PyBytes::new(said.py(), payload)))?;
        }
        Ok(())
    }

    fn flush(&mut self, py: Python<'_>) -> PyResult<()> {
        self.sleigh.submit(&mut self.tasks);
        while self.sleigh.master().is_behind() {
            // A server that is gone closes the connection, which empties the queue; one that does not
            // read must not keep Ctrl-C from its work.
            py.detach(|| self.sleigh.master().pause(SIGNAL_TURN));
            py.check_signals()?;
            self.sleigh.check().map_err(|error| raise(&error))?;
        }
        py.check_signals()
    }
}

/// The address that Python told: the path of a socket is a host that begins with `unix:`.
fn address((host, port): (String, u16)) -> ServerAddress {
    match host.strip_prefix("unix:") {
        Some(path) => ServerAddress { unix: Some(path.into()), tcp: None, token: None },
        None => ServerAddress { unix: None, tcp: Some((host, port)), token: None },
    }
}

/// The object that a result stands for.
fn read_result<'py>(
    py: Python<'py>,
    head: &ResultHead,
    payload: &[u8],
    loads: &Bound<'py, PyAny>,
    failure: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let index = head.task.index;
    match head.outcome {
        Outcome::Done => compact::decode(py, payload, loads).or_else(|error| {
            if error.is_instance_of::<PyKeyboardInterrupt>(py) {
                // Ctrl-C while a result is read is meant for the whole call.
                return Err(error);
            }
            failure.call1((error.into_value(py), index, head.rank))
        }),
        Outcome::Failed => failure.call1((PyBytes::new(py, payload), index, head.rank)),
    }
}

fn place(
    results: &Bound<'_, PyList>,
    indexes: Option<&Bound<'_, PyList>>,
    index: usize,
    object: Bound<'_, PyAny>,
) -> PyResult<()> {
    if let Some(indexes) = indexes {
        indexes.append(index)?;
        return results.append(object);
    }
    while results.len() < index {
        results.append(results.py().None())?;
    }
    if results.len() == index { results.append(object) } else { results.set_item(index, object) }
}

enum Refused {
    Python(PyErr),
    Work(WorkError),
}

impl From<WorkError> for Refused {
    fn from(error: WorkError) -> Self {
        Refused::Work(error)
    }
}

fn message(arrival: &Arrival) -> Option<String> {
    match arrival {
        Arrival::Host(message) => serde_json::to_string(message).ok(),
        Arrival::Results(_) | Arrival::Vanished { .. } => None,
    }
}

/// The Python exception for what ended a sleigh or kept it from starting.
fn raise(error: &WorkError) -> PyErr {
    let name = match error {
        WorkError::Argument(_) => "SleighIllegalValueException",
        _ => "SleighNwsException",
    };
    Python::attach(|py| {
        let made = py
            .import("nws._sleigh.exceptions")
            .and_then(|module| module.getattr(name))
            .and_then(|class| class.call1((error.to_string(),)));
        made.map_or_else(|problem| problem, PyErr::from_value)
    })
}
