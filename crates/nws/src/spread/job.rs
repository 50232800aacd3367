//! The master's side.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use nws_work::commands::Command;
use nws_work::control::Cause;
use nws_work::roles::OWN_PROGRAM;
use nws_work::spread::framing::Framing;
use nws_work::spread::{Options, Spread};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{Failure, Reason};
use super::lines;
use super::run::Run;
use crate::init;

/// Most bytes of an answer, and of a tail, by default.
const LIMIT_BYTES: usize = 1 << 30;

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done<R> {
    /// The results, in the order of the tasks.
    pub results: Vec<R>,
    /// What each command wrote after its last answer.
    pub tails: Vec<Vec<u8>>,
}

/// An answer that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply<R> {
    /// What it says.
    pub outcome: Outcome<R>,
    /// Lines for the program to print on standard output.
    pub stdout: Vec<String>,
    /// Lines for standard error.
    pub stderr: Vec<String>,
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome<R> {
    /// The task is done.
    Result(R),
    /// The command is too busy: another is to do the task, and it is to be left alone for about so long.
    TooBusy {
        /// In seconds; kept within 0.01 and 1000.
        delay_s: f64,
    },
    /// The task has failed, which ends the job.
    Error(String),
}

impl<R> From<Outcome<R>> for Reply<R> {
    fn from(outcome: Outcome<R>) -> Self {
        Self { outcome, stdout: Vec::new(), stderr: Vec::new() }
    }
}

/// What happens while a job goes on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A command cannot be started, and is left out.
    NotStarted {
        /// Which.
        worker: usize,
        /// Its program and the reason.
        message: String,
    },
    /// A command has ended.
    Ended {
        /// Which.
        worker: usize,
        /// How.
        cause: Cause,
        /// The task that it had, which is given to another.
        task: Option<u64>,
        /// Whether it is not started again.
        given_up: bool,
    },
    /// A command does not keep to the protocol: it answers more than it is asked, for example. What it
    /// did last is done again.
    Misbehaved {
        /// Which.
        worker: usize,
        /// What it did, and what follows from it.
        message: String,
    },
    /// A command is too busy for a task.
    TooBusy {
        /// Which.
        worker: usize,
        /// The task.
        task: u64,
    },
    /// A task is done.
    Answered {
        /// Which.
        task: u64,
        /// By which command.
        worker: usize,
        /// From its writing to the whole answer.
        took: Duration,
    },
}

/// Commands, and what they are to do.
#[must_use = "nothing is started before run()"]
pub struct Job<'a> {
    commands: Vec<Command>,
    order: Vec<usize>,
    args: Option<Vec<OsString>>,
    prelude: Result<Vec<u8>, String>,
    timeout: Option<Duration>,
    limit_bytes: usize,
    on_event: Box<dyn FnMut(Event) + 'a>,
}

impl fmt::Debug for Job<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("commands", &self.commands).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl<'a> Job<'a> {
    /// For these commands. A command's place among them is its number, as a `worker`.
    pub fn new(commands: impl IntoIterator<Item = Command>) -> Self {
        let on_event = |event: Event| match event {
            Event::NotStarted { worker, message } => {
                eprintln!("nws: the job goes on without command {worker}: {message}");
            }
            Event::Ended { worker, cause, given_up: true, .. } => {
                eprintln!("nws: command {worker} is given up: {}", cause.text);
            }
            Event::Misbehaved { worker, message } => eprintln!("nws: command {worker}: {message}"),
            _ => {}
        };
        Self {
            commands: commands.into_iter().collect(),
            order: Vec::new(),
            args: None,
            prelude: Ok(Vec::new()),
            timeout: None,
            limit_bytes: LIMIT_BYTES,
            on_event: Box::new(on_event),
        }
    }

    /// A line of JSON that each command reads before the first task; after those added before.
    pub fn first(mut self, thing: &impl Serialize) -> Self {
        match (&mut self.prelude, line_of(thing)) {
            (Ok(prelude), Ok(line)) => prelude.extend(line),
            (prelude @ Ok(_), Err(error)) => *prelude = Err(error),
            (Err(_), _) => {}
        }
        self
    }

    /// Bytes that each command reads before the first task; after those added before.
    pub fn first_raw(mut self, bytes: &[u8]) -> Self {
        if let Ok(prelude) = &mut self.prelude {
            prelude.extend_from_slice(bytes);
        }
        self
    }

    /// Which commands start first; those that are not named follow in their order.
    pub fn order(mut self, workers: impl IntoIterator<Item = usize>) -> Self {
        self.order = workers.into_iter().collect();
        self
    }

    /// The arguments that this program is started with to watch the commands, where those that it has
    /// would not lead to [`nws::init()`](crate::init): in the tests of a test program, above all.
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args = Some(args.into_iter().map(Into::into).collect());
        self
    }

    /// How long a task may take, and the end of a command after the last task. A command that takes
    /// longer is ended with all that it started, and its task given to another; a task that takes too
    /// long three times ends the job. Without it a command that hangs is waited for.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Most bytes of one answer, and of what a command writes after the last; 1 GiB by default.
    pub fn limit_bytes(mut self, limit: usize) -> Self {
        self.limit_bytes = limit;
        self
    }

    /// Called with what happens. By default commands that cannot be started, are given up or do not keep
    /// to the protocol are told, on standard error.
    pub fn on_event(mut self, on_event: impl FnMut(Event) + 'a) -> Self {
        self.on_event = Box::new(on_event);
        self
    }

    /// Has the tasks done, by lines of JSON, and gives their results in order. Tasks are taken from the
    /// iterator as they are needed.
    ///
    /// # Errors
    /// Says why, and has the results that there are.
    pub fn run<T: Serialize, R: DeserializeOwned>(
        self,
        tasks: impl IntoIterator<Item = T>,
    ) -> Result<Done<R>, Failure<R>> {
        let tasks = tasks.into_iter().map(|task| line_of(&task));
        self.work(Framing::Json, tasks, lines::read)
    }

    /// The same for bytes of the caller's own making: a task is what a command reads, whole; an answer is
    /// what `read` makes of the bytes that a command has written, or, where that is an error, is none.
    ///
    /// # Errors
    /// As for [`Job::run`].
    pub fn run_raw<R>(
        self,
        framing: Framing,
        tasks: impl IntoIterator<Item = Vec<u8>>,
        read: impl FnMut(&[u8]) -> Result<Reply<R>, String>,
    ) -> Result<Done<R>, Failure<R>> {
        self.work(framing, tasks.into_iter().map(Ok), read)
    }

    fn work<R>(
        self,
        framing: Framing,
        mut tasks: impl Iterator<Item = Result<Vec<u8>, String>>,
        mut read: impl FnMut(&[u8]) -> Result<Reply<R>, String>,
    ) -> Result<Done<R>, Failure<R>> {
        let early = |reason| Failure { reason, results: Vec::new() };
        if !init::is_initialised() {
            return Err(early(Reason::NotInitialised));
        }
        let Job { commands, order, args, prelude, timeout, limit_bytes, on_event } = self;
        let prelude = prelude.map_err(|message| early(Reason::Task { task: 0, message }))?;
        let count = commands.len();
        let binary = PathBuf::from(OWN_PROGRAM);
        let options = Options { binary, own_args: args, commands, order, prelude, framing, timeout, limit_bytes };
        let spread = Spread::start(options).map_err(|error| early(Reason::Start(error)))?;
        let mut run = Run::new(spread, count, on_event);
        match run.until_over(framing, &mut tasks, &mut read) {
            Err(reason) => Err(Failure { reason, results: run.results }),
            Ok(()) => Ok(Done { results: run.results.into_iter().flatten().collect(), tails: run.tails }),
        }
    }
}

fn line_of(thing: &impl Serialize) -> Result<Vec<u8>, String> {
    let mut line = serde_json::to_vec(thing).map_err(|error| error.to_string())?;
    line.push(b'\n');
    Ok(line)
}
