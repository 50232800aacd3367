//! Sleighs as the tests use them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nws_work::WorkError;
use nws_work::control::{FromHost, ServerAddress, Start, WorkerCommand};
use nws_work::envelope::{Failure, Outcome, ResultHead};
use nws_work::master::{Arrival, TaskResult, Tasks};
use nws_work::sleigh::{Options, Sleigh};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;

use crate::processes::{LIMIT, Process, command_line, tree};
use crate::roles::worker_command;

pub(crate) fn start(worker_count: u32) -> Result<Sleigh, WorkError> {
    start_with(worker_count, worker_command())
}

pub(crate) fn start_with(worker_count: u32, worker: WorkerCommand) -> Result<Sleigh, WorkError> {
    start_at(None, worker_count, worker)
}

pub(crate) fn start_at(
    server: Option<ServerAddress>,
    worker_count: u32,
    worker: WorkerCommand,
) -> Result<Sleigh, WorkError> {
    Sleigh::start(Options {
        master_server: None,
        outfile: None,
        binary: env!("CARGO_BIN_EXE_nws").into(),
        workspace_template: "test %d".into(),
        start: Start { server, worker_count, worker, memory_limit_bytes: None, settings: serde_json::Value::Null },
    })
}

/// Begins a run of these tasks.
pub(crate) fn begin(sleigh: &Sleigh, retries: u32, payloads: &[&str]) -> u32 {
    let run = sleigh.begin_run(Vec::new(), retries, None).unwrap();
    let mut tasks = Tasks::new(run, sleigh.worker_count(), None);
    for payload in payloads {
        push(&mut tasks, payload);
        if tasks.is_full() {
            sleigh.submit(&mut tasks);
        }
    }
    sleigh.submit(&mut tasks);
    run
}

pub(crate) fn push(tasks: &mut Tasks, payload: &str) {
    let encode = |buffer: &mut Vec<u8>| {
        buffer.extend_from_slice(payload.as_bytes());
        Ok::<(), WorkError>(())
    };
    tasks.push(encode).unwrap();
}

/// What has come in of a run.
#[derive(Default)]
pub(crate) struct Outcomes {
    pub(crate) results: Vec<Option<Result<String, Failure>>>,
    pub(crate) deaths: Vec<Death>,
    pub(crate) joined: Vec<(u32, u32)>,
}

#[derive(Debug)]
pub(crate) struct Death {
    pub(crate) pid: u32,
    pub(crate) signal: Option<i32>,
    pub(crate) text: String,
    pub(crate) task: Option<u64>,
    pub(crate) failed: bool,
}

impl Outcomes {
    fn take(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Results(results) => results.iter().for_each(|result| self.put(result)),
            Arrival::Host(FromHost::WorkerDied { pid, cause, task, failed, .. }) => {
                let task = task.map(|(_, index)| index);
                self.deaths.push(Death { pid, signal: cause.signal, text: cause.text, task, failed });
            }
            Arrival::Host(FromHost::WorkerJoined { rank, pid, .. }) => self.joined.push((rank, pid)),
            Arrival::Host(_) | Arrival::Vanished { .. } => {}
        }
    }

    fn put(&mut self, result: &TaskResult) {
        result.read().for_each(|(head, payload)| self.put_one(&head, payload));
    }

    fn put_one(&mut self, head: &ResultHead, payload: &[u8]) {
        let outcome = match head.outcome {
            Outcome::Done => Ok(String::from_utf8(payload.to_vec()).unwrap()),
            Outcome::Failed => Err(serde_json::from_slice(payload).unwrap()),
        };
        let index = usize::try_from(head.task.index).unwrap();
        if self.results.len() <= index {
            self.results.resize_with(index + 1, || None);
        }
        assert!(self.results[index].is_none(), "task {index} has two results");
        self.results[index] = Some(outcome);
    }

    /// The results, all of them good.
    pub(crate) fn good(self) -> Vec<String> {
        self.results.into_iter().map(|result| result.unwrap().unwrap()).collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.results.iter().flatten().count()
    }
}

/// Takes in what comes until it is enough.
pub(crate) fn until(sleigh: &Sleigh, outcomes: &mut Outcomes, enough: impl Fn(&Outcomes) -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !enough(outcomes) {
        assert!(Instant::now() < deadline, "{} results, deaths: {:?}", outcomes.count(), outcomes.deaths);
        for arrival in sleigh.arrivals(Duration::from_millis(100)).unwrap() {
            outcomes.take(arrival);
        }
    }
}

/// Runs tasks to their end.
pub(crate) fn run(sleigh: &Sleigh, retries: u32, payloads: &[&str]) -> Outcomes {
    let run = begin(sleigh, retries, payloads);
    let mut outcomes = Outcomes::default();
    until(sleigh, &mut outcomes, |outcomes| outcomes.count() == payloads.len());
    sleigh.end_run(run);
    outcomes
}

/// Waits for the error by which the sleigh tells its end.
pub(crate) fn error_of(sleigh: &Sleigh) -> String {
    let deadline = Instant::now() + LIMIT;
    loop {
        match sleigh.arrivals(Duration::from_millis(100)) {
            Err(error) => return error.to_string(),
            Ok(_) => assert!(Instant::now() < deadline, "no error came"),
        }
    }
}

pub(crate) fn wait_for_file(path: &Path) {
    let changes = inotify::init(inotify::CreateFlags::CLOEXEC).unwrap();
    let come = inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
    inotify::add_watch(&changes, path.parent().unwrap(), come).unwrap();
    let deadline = Instant::now() + LIMIT;
    // Looked for after the watch began, so that nothing comes between.
    while !path.exists() {
        let left = Timespec::try_from(deadline.saturating_duration_since(Instant::now())).unwrap();
        let changed = poll(&mut [PollFd::new(&changes, PollFlags::IN)], Some(&left)).unwrap();
        assert!(changed > 0, "{} did not come", path.display());
        rustix::io::read(&changes, &mut [0; 4096]).unwrap();
    }
}

/// Everything that a sleigh started, and its server's folder.
pub(crate) struct Everything {
    pub(crate) processes: Vec<Process>,
    pub(crate) folder: PathBuf,
}

impl Everything {
    pub(crate) fn of(host_pid: u32, socket: &Path) -> Self {
        let folder = socket.parent().unwrap().to_owned();
        assert!(folder.exists());
        Self { processes: tree(host_pid), folder }
    }

    /// The one whose arguments have these words.
    pub(crate) fn named(&self, words: &str) -> &Process {
        self.processes.iter().find(|process| command_line(process.pid).contains(words)).expect(words)
    }

    pub(crate) fn assert_gone(&self) {
        crate::processes::assert_gone(&self.processes);
        assert!(!self.folder.exists(), "{} is left", self.folder.display());
    }
}
