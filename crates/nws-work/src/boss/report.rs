//! What a Boss tells: reports, and what went wrong.

use std::time::Duration;

use crate::control::Cause;

/// How far a Boss is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It works, or may.
    Interim,
    /// All instructions are done.
    Finished,
    /// It was stopped before they were.
    Pending,
}

/// What was done.
#[derive(Clone, Debug, PartialEq)]
pub struct Report<I, R> {
    /// How far it is.
    pub status: Status,
    /// A report of each worker that has finished, in that order.
    pub workers_report: Vec<WorkerReport<R>>,
    /// The instructions that were not done, where it was stopped before.
    pub pending: Vec<I>,
}

/// The final report of a Boss, or what has ended it.
pub type Ended<I, R> = Result<Report<I, R>, Failure<I>>;

/// What one worker reported.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerReport<R> {
    /// Which.
    pub name: String,
    /// What its task returned.
    pub report: R,
    /// From its start to its end.
    pub took: Duration,
}

/// What has ended a Boss.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure<I> {
    /// A worker failed; the others were stopped.
    Worker {
        /// Its name.
        name: String,
        /// What it was told to do.
        instructions: I,
        /// What went wrong.
        trouble: Box<Trouble>,
    },
    /// The scheduler failed.
    Scheduler(String),
    /// The processes that hold the workers have ended.
    Lost(String),
}

/// What went wrong in a worker.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    /// In which way.
    pub kind: TroubleKind,
    /// What is said of it.
    pub message: String,
    /// The error's type, where it has one.
    pub type_name: Option<String>,
    /// Where a panic was, where that is known.
    pub location: Option<String>,
    /// Its backtrace, where one was asked for.
    pub backtrace: Option<String>,
    /// How the process ended, where it died.
    pub cause: Option<Cause>,
}

/// The ways in which workers fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TroubleKind {
    /// The task returned an error; or what was sent could not be written or read.
    Error,
    /// The task panicked.
    Panic,
    /// The process was killed, or ended by itself before its task did.
    Died,
    /// It could not be started.
    NotStarted,
}

impl Trouble {
    /// One of which there is nothing but words.
    pub fn in_words(kind: TroubleKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), type_name: None, location: None, backtrace: None, cause: None }
    }
}
