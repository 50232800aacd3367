//! A Boss hires a worker for each set of instructions, as a scheduler allows, and collects the reports.
//!
//! Where the workers of a [sleigh](crate::sleigh) live on and run many tasks each, a worker of a [`Boss`] is
//! a process of its own for one set of instructions: it carries out one [task](macro@crate::task),
//! reports, and ends. So each may take as much memory, or be bound to a core, as a [`scheduler`] sees fit.
//! Workers are the same program started again, without a server; a program with a Boss begins with
//! [`nws::init()`](crate::init) or has [`#[nws::main]`](macro@crate::main).
//!
//! ```
//! use std::time::Duration;
//!
//! use nws::boss::Boss;
//! use nws::boss::scheduler::LongestFirst;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Clone, Debug, Serialize, Deserialize)]
//! struct Render {
//!     frame: u32,
//!     seconds: u64,
//! }
//!
//! #[nws::task]
//! fn render(what: &Render) -> String {
//!     format!("frame {} is done", what.frame)
//! }
//!
//! #[nws::main]
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let longest = LongestFirst::declared(|what: &Render| Duration::from_secs(what.seconds)).max_threads(1);
//!     let boss = Boss::builder().scheduler(longest).build(render::task())?;
//!     boss.set_instructions([Render { frame: 1, seconds: 3 }, Render { frame: 2, seconds: 40 }])?;
//!     boss.make_them_work()?;
//!     let report = boss.wait_till_finished()?;
//!     let done: Vec<&str> = report.workers_report.iter().map(|one| one.report.as_str()).collect();
//!     assert_eq!(done, ["frame 2 is done", "frame 1 is done"]);
//!     Ok(())
//! }
//! ```
//!
//! A worker whose task returns `Err` or panics, or that is killed, stops all others, and is
//! [`Error::Worker`], with its instructions. However the program ends, its workers and all that they
//! started end with it.

mod builder;
mod error;
mod worker;

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nws_work::boss::Boss as Core;

pub use builder::Builder;
pub use error::{Error, WorkerFailure};
pub use nws_work::boss::{Report, Signal, Status, Trouble, TroubleKind, WorkerReport, scheduler};
pub(crate) use worker::serve;

use crate::task::{Given, Job, Task};

/// What the task of `J` takes.
type GivenOf<J> = <<J as Job>::Task as Task>::Given;
/// What it reports.
type OutputOf<J> = <<J as Job>::Task as Task>::Output;

/// Hands out instructions `I` to workers that report `R`. They end when this is dropped.
///
/// It begins halted: [`Boss::make_them_work`] lets it begin.
pub struct Boss<I, R> {
    core: Core<I, R>,
    /// It takes no more instructions. Held while they are sent, so that none come behind an end.
    is_ending: Mutex<bool>,
}

/// A Boss that works on these instructions, with as many workers at a time as there are cores.
///
/// More may be added; it ends by [`Boss::wait_till_finished`].
///
/// # Errors
/// As for [`Builder::build`].
///
/// ```
/// #[nws::task]
/// fn cube(x: i64) -> i64 {
///     x * x * x
/// }
///
/// # #[nws::main]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let boss = nws::boss::run_as_server(cube::task(), [1, 2])?;
/// boss.set_instructions([3])?;
/// let mut cubes: Vec<i64> = boss.wait_till_finished()?.workers_report.iter().map(|one| one.report).collect();
/// cubes.sort();
/// assert_eq!(cubes, [1, 8, 27]);
/// # Ok(())
/// # }
/// ```
pub fn run_as_server<J, I>(job: J, instructions: impl IntoIterator<Item = I>) -> Result<Boss<I, OutputOf<J>>, Error<I>>
where
    J: Job,
    I: Given<GivenOf<J>> + Clone + Send + 'static,
    OutputOf<J>: Clone + 'static,
{
    let boss = Boss::builder().build(job)?;
    boss.set_instructions(instructions)?;
    boss.make_them_work()?;
    Ok(boss)
}

/// Has these instructions carried out, waits for that, and gives the reports in the order in which
/// workers finished.
///
/// # Errors
/// As for [`Builder::build`] and [`Boss::wait_till_finished`].
///
/// ```
/// #[nws::task]
/// fn greet(name: &str, #[fixed] greeting: &str) -> String {
///     format!("{greeting}, {name}")
/// }
///
/// # #[nws::main]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let reports = nws::boss::batch(greet::with("hello"), ["world"])?;
/// assert_eq!(reports[0].report, "hello, world");
/// # Ok(())
/// # }
/// ```
pub fn batch<J, I>(
    job: J,
    instructions: impl IntoIterator<Item = I>,
) -> Result<Vec<WorkerReport<OutputOf<J>>>, Error<I>>
where
    J: Job,
    I: Given<GivenOf<J>> + Clone + Send + 'static,
    OutputOf<J>: Clone + 'static,
{
    Ok(run_as_server(job, instructions)?.wait_till_finished()?.workers_report)
}

impl<I: Clone + Send + 'static, R: Clone + Send + 'static> Boss<I, R> {
    /// How a Boss is made.
    pub fn builder() -> Builder<I, R> {
        Builder::default()
    }

    /// Adds instructions, behind those that are pending: a worker each.
    ///
    /// # Errors
    /// What has ended the Boss; [`Error::Ending`] where it was told to end.
    pub fn set_instructions(&self, instructions: impl IntoIterator<Item = I>) -> Result<(), Error<I>> {
        self.check()?;
        // Before the lock is taken: what is iterated may use this Boss.
        let instructions = instructions.into_iter().collect();
        let is_ending = self.is_ending();
        if *is_ending {
            return Err(Error::Ending);
        }
        self.core.set_instructions(instructions);
        Ok(())
    }

    /// Lets workers begin: the signal [`Signal::Resume`].
    ///
    /// # Errors
    /// What has ended the Boss.
    pub fn make_them_work(&self) -> Result<(), Error<I>> {
        self.check()?;
        self.core.control(Signal::Resume);
        Ok(())
    }

    /// Stops the workers now: the signal [`Signal::StopRightNow`]. Each gets SIGTERM, and a second later
    /// SIGKILL with all that it started.
    pub fn stop_them_working(&self) {
        self.control(Signal::StopRightNow);
    }

    /// Takes no more instructions, and ends when all are done: the signal [`Signal::End`].
    pub fn end(&self) {
        self.control(Signal::End);
    }

    /// Sends a control signal.
    pub fn control(&self, signal: Signal) {
        let mut is_ending = self.is_ending();
        *is_ending |= !matches!(signal, Signal::Halt | Signal::Resume);
        self.core.control(signal);
    }

    /// The report so far, or the final one.
    ///
    /// # Errors
    /// What has ended the Boss.
    pub fn report(&self) -> Result<Report<I, R>, Error<I>> {
        Ok(self.core.report()?)
    }

    /// The final report, or `None` while the Boss works.
    ///
    /// # Errors
    /// What has ended it.
    pub fn final_report(&self) -> Result<Option<Report<I, R>>, Error<I>> {
        Ok(self.core.final_report().transpose()?)
    }

    /// Calls [`Boss::end`], and waits for that.
    ///
    /// # Errors
    /// What has ended the Boss; [`Error::Halted`] where that would never be.
    pub fn wait_till_finished(&self) -> Result<Report<I, R>, Error<I>> {
        if self.core.is_stuck() {
            return Err(Error::Halted);
        }
        self.end();
        Ok(self.core.wait()?)
    }

    fn is_ending(&self) -> MutexGuard<'_, bool> {
        self.is_ending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self) -> Result<(), Error<I>> {
        self.final_report().map(drop)
    }
}

impl<I, R> fmt::Debug for Boss<I, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Boss").finish_non_exhaustive()
    }
}
