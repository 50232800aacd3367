//! What can go wrong, from the side of the master.

use std::fmt;

use nws_work::WorkError;
use nws_work::control::Cause;
use nws_work::envelope::{Failure, FailureKind as Kind, ResultHead};

use super::TaskOutput;
use crate::worker::PANIC;

/// The type of the failure of a task that no worker has begun, as its call was cancelled.
const CANCELLED: &str = "Cancelled";

/// Why a call, or a sleigh, has failed. The text says what was expected, what came and what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// `nws::init()` was not called: the workers would be the program from its beginning.
    NotInitialised,
    /// The sleigh could not be started.
    Start(String),
    /// An argument or an option cannot be used.
    Argument(String),
    /// Another call of this sleigh goes on.
    Occupied,
    /// The sleigh was stopped.
    Stopped,
    /// The server, the host or all workers are lost; the text tells how each ended.
    Lost(String),
    /// One task has failed.
    Task(Box<TaskFailure>),
    /// Of the tasks of a call some have failed; the others were done.
    Tasks(TaskFailures),
    /// The server refused something, or the connection to it has ended.
    Client(crate::Error),
    /// The system refused.
    System(std::io::Error),
}

/// A task that has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskFailure {
    /// Which task, from 0.
    pub index: u64,
    /// The worker that ran it; `None` where none had begun it, or it was given up.
    pub rank: Option<u32>,
    /// In which way.
    pub kind: FailureKind,
    /// The error's text, what the panic said, or how the worker ended.
    pub message: String,
    /// The type of the error, where the function returned one.
    pub type_name: Option<String>,
    /// File, line and column of a panic.
    pub location: Option<String>,
    /// The backtrace of a panic, where `RUST_BACKTRACE` was set.
    pub backtrace: Option<String>,
    /// How many workers the task has cost.
    pub deaths: u32,
    /// How the last of them ended.
    pub cause: Option<Cause>,
    /// What the task wrote, where [the sleigh](super::Builder::output) captures it.
    pub output: TaskOutput,
}

/// The ways in which tasks fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// The function returned an error; or what was sent could not be read or written.
    Error,
    /// The function panicked.
    Panic,
    /// The worker died while it ran the task, as often as is allowed.
    Died,
    /// The task took longer than its timeout.
    TimedOut,
    /// The call was cancelled before the task was done.
    Cancelled,
}

/// The tasks of a call that have failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskFailures {
    /// Each of them, in order.
    pub failed: Vec<TaskFailure>,
    /// How many tasks there were.
    pub tasks: u64,
}

impl TaskFailure {
    /// What a worker or the host says of a failure.
    pub(super) fn read(head: &ResultHead, payload: &[u8]) -> Self {
        let failure: Failure = match serde_json::from_slice(payload) {
            Ok(failure) => failure,
            Err(error) => return Self::unreadable(head, &format!("its failure cannot be read: {error}")),
        };
        if failure.kind == Kind::Exception && failure.type_name == CANCELLED {
            return Self::cancelled(head.task.index);
        }
        let panicked = failure.kind == Kind::Exception && failure.type_name == PANIC;
        let (location, backtrace) = failure.traceback.split_once('\n').unwrap_or((&failure.traceback, ""));
        let told = |text: &str| (panicked && !text.is_empty()).then(|| text.to_owned());
        Self {
            index: head.task.index,
            rank: Some(head.rank),
            kind: match failure.kind {
                Kind::Exception if panicked => FailureKind::Panic,
                Kind::Exception => FailureKind::Error,
                Kind::Died => FailureKind::Died,
                Kind::TimedOut => FailureKind::TimedOut,
            },
            location: told(location),
            backtrace: told(backtrace),
            type_name: (failure.kind == Kind::Exception && !panicked).then_some(failure.type_name),
            message: failure.message,
            deaths: failure.deaths,
            cause: failure.cause,
            output: TaskOutput::default(),
        }
    }

    /// A task that was not done when its call was cancelled.
    pub(super) fn cancelled(index: u64) -> Self {
        Self {
            index,
            rank: None,
            kind: FailureKind::Cancelled,
            message: "the call was cancelled before this task was done".to_owned(),
            type_name: None,
            location: None,
            backtrace: None,
            deaths: 0,
            cause: None,
            output: TaskOutput::default(),
        }
    }

    /// A task whose result came and cannot be read.
    pub(super) fn unreadable(head: &ResultHead, problem: &str) -> Self {
        Self {
            index: head.task.index,
            rank: Some(head.rank),
            kind: FailureKind::Error,
            message: format!("the task was done, but {problem}"),
            type_name: None,
            location: None,
            backtrace: None,
            deaths: 0,
            cause: None,
            output: TaskOutput::default(),
        }
    }
}

impl fmt::Display for TaskFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {} ", self.index)?;
        if let Some(rank) = self.rank {
            write!(f, "on worker {rank} ")?;
        }
        match (&self.kind, &self.location) {
            (FailureKind::Panic, Some(location)) => write!(f, "panicked at {location}: ")?,
            (FailureKind::Panic, None) => f.write_str("panicked: ")?,
            _ => f.write_str("failed: ")?,
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for TaskFailure {}

impl fmt::Display for TaskFailures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} tasks failed", self.failed.len(), self.tasks)?;
        let Some(first) = self.failed.first() else { return Ok(()) };
        let which = if self.failed.len() == 1 { "" } else { "the first: " };
        write!(f, "; {which}{first}")
    }
}

impl std::error::Error for TaskFailures {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NotInitialised => f.write_str(
                "expected nws::init() to have been called before a sleigh is made: the workers are this program, \
                 started again, and would do what it does from its beginning; make it the first line of main, or put \
                 #[nws::main] above main",
            ),
            Error::Start(text) | Error::Argument(text) | Error::Lost(text) => f.write_str(text),
            Error::Occupied => {
                f.write_str("this sleigh is busy with another call: wait for that, or make another sleigh")
            }
            Error::Stopped => f.write_str("this sleigh was stopped: make another one"),
            Error::Task(failure) => failure.fmt(f),
            Error::Tasks(failures) => failures.fmt(f),
            Error::Client(error) => error.fmt(f),
            Error::System(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<crate::Error> for Error {
    fn from(error: crate::Error) -> Self {
        Error::Client(error)
    }
}

impl From<TaskFailure> for Error {
    fn from(failure: TaskFailure) -> Self {
        Error::Task(Box::new(failure))
    }
}

impl From<WorkError> for Error {
    fn from(error: WorkError) -> Self {
        match error {
            WorkError::Client(error) => Error::Client(error),
            WorkError::Ended(text) => Error::Lost(text),
            WorkError::Start(text) => Error::Start(text),
            WorkError::Argument(text) => Error::Argument(text),
            WorkError::Io(error) => Error::System(error),
        }
    }
}
