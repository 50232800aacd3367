//! Why a job has failed.

use std::fmt;

use nws_work::WorkError;
use nws_work::control::Cause;

/// Why a job has failed, and what was done until then.
#[derive(Debug)]
pub struct Failure<R> {
    /// Why.
    pub reason: Reason,
    /// The results that there are, in the places of their tasks.
    pub results: Vec<Option<R>>,
}

/// How a command was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its place in the list of commands.
    pub worker: usize,
    /// How it ended last, or why it could not be started.
    pub how: String,
}

/// Why a job has failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Reason {
    /// `nws::init()` was not called: what watches the commands would be the program from its beginning.
    NotInitialised,
    /// There is no command, or the job could not be started.
    Start(WorkError),
    /// A task cannot be written as JSON.
    Task {
        /// Which, from 0.
        task: u64,
        /// Why.
        message: String,
    },
    /// A command answered that a task has failed.
    Remote {
        /// Which, from 0.
        task: u64,
        /// Which command.
        worker: usize,
        /// What it said: a text, or the JSON of a list.
        message: String,
    },
    /// No command is left that could do what is left.
    NoWorkers(Vec<Ended>),
    /// No command can be started at all.
    NoneStarted(Vec<Ended>),
    /// A task has taken longer than the timeout for the third time.
    TimedOut {
        /// Which, from 0.
        task: u64,
    },
    /// A command has written more than the limit after its last answer.
    TooMuchOutput {
        /// Which.
        worker: usize,
    },
    /// A command has given one answer more than it had tasks, as was seen at its end, so that its results
    /// may be those of other tasks.
    OneTooMany {
        /// Which.
        worker: usize,
    },
    /// The process that starts and watches the commands has ended.
    HostDied(Cause),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = |f: &mut fmt::Formatter<'_>, ends: &[Ended]| {
            ends.iter().try_for_each(|end| write!(f, "\n  command {}: {}", end.worker, end.how))
        };
        match self {
            Reason::NotInitialised => f.write_str(
                "expected a program that begins with nws::init(), got one that does not: call it first in main, or mark \
                 main with #[nws::main]",
            ),
            Reason::Start(error) => error.fmt(f),
            Reason::Task { task, message } => write!(f, "task {task} cannot be written as JSON: {message}"),
            Reason::Remote { task, worker, message } => write!(f, "task {task} failed in command {worker}: {message}"),
            Reason::NoWorkers(ends) => {
                f.write_str("no command is left for the tasks that are not done; each ended three times without an answer:")?;
                all(f, ends)
            }
            Reason::NoneStarted(ends) => {
                f.write_str("expected commands that can be started, got none:")?;
                all(f, ends)
            }
            Reason::TimedOut { task } => {
                write!(f, "task {task} was not answered in time for the third time; a longer timeout, or none, may help")
            }
            Reason::TooMuchOutput { worker } => {
                write!(f, "command {worker} wrote more than the limit after its last answer")
            }
            Reason::OneTooMany { worker } => write!(
                f,
                "command {worker} has answered once more than it was asked, as what it wrote last begins with an answer: \
                 its results may be those of other tasks; see that it gives each task one answer"
            ),
            Reason::HostDied(cause) => write!(f, "the process that watches the commands has ended: {}", cause.text),
        }
    }
}

impl<R> fmt::Display for Failure<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl<R: fmt::Debug> std::error::Error for Failure<R> {}
