//! What can go wrong with a Boss.

use std::fmt;

use nws_work::WorkError;
use nws_work::boss::{Failure, Trouble, TroubleKind};

/// Why a Boss has failed. The text says what was expected, what came and what to do.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error<I> {
    /// `nws::init()` was not called: the workers would be the program from its beginning.
    NotInitialised,
    /// The Boss could not be started.
    Start(String),
    /// An argument cannot be used.
    Argument(String),
    /// The Boss was told to end, and takes no more instructions.
    Ending,
    /// The Boss is halted with instructions pending, so it would never finish.
    Halted,
    /// A worker failed, and all others were stopped.
    Worker(Box<WorkerFailure<I>>),
    /// The scheduler failed.
    Scheduler(String),
    /// The processes that hold the workers have ended.
    Lost(String),
}

/// A worker that failed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct WorkerFailure<I> {
    /// Its name.
    pub name: String,
    /// What it was told to do.
    pub instructions: I,
    /// What went wrong.
    pub trouble: Trouble,
}

impl<I: fmt::Debug> fmt::Display for Error<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NotInitialised => f.write_str(
                "expected nws::init() to have been called before a Boss is made: its workers are this program, started \
                 again, and would do what it does from its beginning; make it the first line of main, or put \
                 #[nws::main] above main",
            ),
            Error::Ending => {
                f.write_str("this Boss was told to end, and takes no more instructions: give them before, or make another")
            }
            Error::Halted => f.write_str(
                "this Boss is halted, and instructions are pending, so it would never finish: call make_them_work() first",
            ),
            Error::Worker(failure) => failure.fmt(f),
            Error::Start(text) | Error::Argument(text) | Error::Scheduler(text) | Error::Lost(text) => f.write_str(text),
        }
    }
}

impl<I: fmt::Debug> fmt::Display for WorkerFailure<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, instructions, trouble } = self;
        write!(f, "the worker {name} ")?;
        match (trouble.kind, &trouble.location) {
            (TroubleKind::Panic, Some(location)) => write!(f, "panicked at {location}: ")?,
            (TroubleKind::Panic, None) => f.write_str("panicked: ")?,
            (TroubleKind::Died, _) => f.write_str("died: ")?,
            (TroubleKind::NotStarted, _) => f.write_str("could not be started: ")?,
            _ => f.write_str("failed: ")?,
        }
        write!(f, "{}; its instructions: {instructions:?}", trouble.message)
    }
}

impl<I: fmt::Debug> std::error::Error for Error<I> {}

impl<I: fmt::Debug> std::error::Error for WorkerFailure<I> {}

impl<I> From<Failure<I>> for Error<I> {
    fn from(failure: Failure<I>) -> Self {
        match failure {
            Failure::Worker { name, instructions, trouble } => {
                Error::Worker(Box::new(WorkerFailure { name, instructions, trouble: *trouble }))
            }
            Failure::Scheduler(text) => Error::Scheduler(text),
            Failure::Lost(text) => Error::Lost(text),
        }
    }
}

impl<I> From<WorkError> for Error<I> {
    fn from(error: WorkError) -> Self {
        match error {
            WorkError::Argument(text) => Error::Argument(text),
            WorkError::Ended(text) => Error::Lost(text),
            other => Error::Start(other.to_string()),
        }
    }
}
