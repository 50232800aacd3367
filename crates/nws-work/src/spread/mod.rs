//! Hands tasks to commands that speak a small protocol on their standard input and output.
//!
//! A command reads the *prelude*, then one task after the other, each answered before the next comes;
//! when its standard input ends it writes what it likes, and ends. All commands are processes of a
//! [command host](crate::commands), so none outlives its master. A command that dies, or writes what is
//! no answer, gives its task back and is started again; one that ends three times in a row without an
//! answer is given up.
//!
//! What a task or an answer says is not looked at here. Who takes the answers settles them: each is a
//! result, or a refusal ([`Spread::refuse`]), or junk ([`Spread::reject`]).
//!
//! - [`dispatch`]: who gets which task when; pure.
//! - [`framing`]: where an answer ends.
//! - `engine`: one thread and one epoll for the pipes of all commands; `life`: one run of one command.
//! - `inbox`: what the engine and who takes the answers tell each other.
//!
//! `nws::spread` is this with types, `nws.spread_jobs` with pickles.

pub mod dispatch;
mod engine;
pub mod framing;
mod inbox;
mod life;

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use crate::commands::Command;
use crate::control::Cause;
use crate::error::WorkError;
use crate::platform;
use engine::Engine;
use framing::Framing;
use inbox::{Order, Shared};

/// What a job needs to begin.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program `nws`, or [`OWN_PROGRAM`](crate::roles::OWN_PROGRAM).
    pub binary: PathBuf,
    /// The arguments that this program is started with again, where it is its own host; `None`: those
    /// that it has.
    pub own_args: Option<Vec<OsString>>,
    /// The commands; a worker is a place in this list.
    pub commands: Vec<Command>,
    /// Places in `commands`, the first to start first. Those it does not name follow.
    pub order: Vec<usize>,
    /// What each command reads first.
    pub prelude: Vec<u8>,
    /// How tasks and answers are told apart.
    pub framing: Framing,
    /// How long a task may take, and the end of a command after the last.
    pub timeout: Option<Duration>,
    /// Most bytes of one answer, and of what a command writes after the last one.
    pub limit_bytes: usize,
}

/// How long tasks may be made at a time before what has come is looked at.
pub const SUBMIT_FOR: Duration = Duration::from_millis(10);

/// What has come. Places in [`Options::commands`] are `worker`s.
#[derive(Clone, Debug)]
pub enum Arrival {
    /// An answer, which is a result unless it is [refused](Spread::refuse) or
    /// [rejected](Spread::reject) before the next [`Spread::take`].
    Answer(Answer),
    /// A command cannot be started, and is left out.
    NotStarted {
        /// Which.
        worker: usize,
        /// Its program and the reason.
        message: String,
    },
    /// A command has ended while there was work, or without having answered.
    Ended {
        /// Which.
        worker: usize,
        /// How.
        cause: Cause,
        /// The task that it had.
        task: Option<u64>,
        /// Whether it will not be started again.
        given_up: bool,
    },
    /// A command does not keep to the protocol, which has cost no task its result.
    Misbehaved {
        /// Which.
        worker: usize,
        /// What it did, and what followed.
        message: String,
    },
    /// What a command wrote after its last answer, once all tasks are done.
    Output {
        /// Which.
        worker: usize,
        /// All of it.
        bytes: Vec<u8>,
        /// How many answers it had given since it was started last. If there were any, and this begins
        /// with another, it has answered more than it was asked; if they were two or more, they may be
        /// those of other tasks.
        answers: u32,
    },
    /// Nothing more comes.
    Over(Over),
}

/// An answer as it came.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Whose answer, from 0 in the order of submission.
    pub task: u64,
    /// From whom.
    pub worker: usize,
    /// In which of its lives.
    pub(crate) life: u64,
    /// What it wrote, with what marks its end.
    pub bytes: Vec<u8>,
    /// When its task was written, by the clock of the wall.
    pub sent: SystemTime,
    /// When it had come.
    pub came: SystemTime,
}

/// Why nothing more comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Over {
    /// All tasks have their results, and all commands have ended.
    Done,
    /// No command is left that could be started.
    NoWorkers,
    /// A task has taken longer than its timeout for the last time.
    TimedOut {
        /// Which.
        task: u64,
    },
    /// A command has written more than the limit after its last answer.
    TooMuchOutput {
        /// Which.
        worker: usize,
    },
    /// The process that starts commands has ended.
    HostDied {
        /// How.
        cause: Cause,
    },
}

/// A job that goes on. Dropping it ends all of its commands.
#[derive(Debug)]
pub struct Spread {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    generation: u32,
}

impl Spread {
    /// Starts the host and all commands.
    ///
    /// # Errors
    /// [`WorkError::Argument`] without commands; those of starting a host.
    pub fn start(options: Options) -> Result<Self, WorkError> {
        if options.commands.is_empty() {
            return Err(WorkError::Argument("expected at least one command, got none".into()));
        }
        let generation = platform::fork_generation();
        let shared = Arc::new(Shared::new(options.commands.len())?);
        let told = Arc::clone(&shared);
        let engine = Engine::start(options, Arc::clone(&shared))?;
        let thread = std::thread::Builder::new().name("nws-spread".into()).spawn(move || {
            run_and_tell(&told, || engine.run());
        })?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)), generation })
    }

    /// How many tasks may be submitted now. More are only kept longer.
    pub fn room(&self) -> usize {
        self.shared.room()
    }

    /// Whether something has come that should be [taken](Spread::take) before more tasks are made.
    pub fn is_urgent(&self) -> bool {
        self.shared.is_urgent()
    }

    /// Adds a task: what a command is to read, whole.
    pub fn submit(&self, task: Vec<u8>) {
        self.shared.submit(task);
    }

    /// Says that no more tasks come. When all have their results the commands' standard inputs end.
    pub fn close(&self) {
        self.shared.order(Order::Close);
    }

    /// What has come; waits for it, but no longer than until `until`. It returns with nothing when there
    /// is [room](Spread::room) for tasks. Answers of the last call are settled as results.
    pub fn take(&self, until: Instant) -> Vec<Arrival> {
        self.shared.take(until)
    }

    /// Says that an answer was none: the command is too busy. Its task is put back, and the command left
    /// alone for a while, longer than `delay_s` the more often it refused, shorter as tasks become few.
    pub fn refuse(&self, answer: &Answer, delay_s: f64) {
        self.shared.order(Order::Refuse { task: answer.task, worker: answer.worker, life: answer.life, delay_s });
    }

    /// Says that an answer was none: nobody can read it. Its task is put back, and the command ended and
    /// started again.
    pub fn reject(&self, answer: &Answer, why: &str) {
        let (task, worker, life) = (answer.task, answer.worker, answer.life);
        self.shared.order(Order::Reject { task, worker, life, why: why.to_owned() });
    }

    /// Ends all commands, and waits for that. In a fork's copy it does nothing.
    pub fn stop(&self) {
        if platform::fork_generation() != self.generation {
            // The thread and the processes are not ours.
            return;
        }
        self.shared.order(Order::Stop);
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Where it panicked its host was dropped, and nothing is left.
            let _ = thread.join();
        }
    }
}

/// Runs the engine. That it panics is a defect, but nobody is to wait for ever for what follows from it.
fn run_and_tell(told: &Shared, run: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(run)).is_err() {
        let cause = Cause::in_words("the thread that has their pipes has panicked".to_owned());
        told.tell(Arrival::Over(Over::HostDied { cause }));
    }
}

impl Drop for Spread {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_engine_is_the_end_of_the_job_and_no_wait_without_end() {
        let shared = Shared::new(1).unwrap();
        run_and_tell(&shared, || std::panic::resume_unwind(Box::new("a defect")));
        // Who waits would wait until then.
        let arrivals = shared.take(Instant::now() + Duration::from_secs(20));
        let [Arrival::Over(Over::HostDied { cause })] = &arrivals[..] else { panic!("{arrivals:?}") };
        assert!(cause.text.contains("has panicked"), "{cause:?}");
        run_and_tell(&shared, || {});
        assert!(shared.take(Instant::now()).is_empty(), "an end that is none is not told");
    }
}
