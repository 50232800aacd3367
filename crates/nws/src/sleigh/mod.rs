//! A group of workers that run your functions.
//!
//! A function becomes a task by [`#[nws::task]`](macro@crate::task). A [`Sleigh`] starts workers, which are
//! the same program started again, and hands tasks to them; so a program that makes one begins with
//! [`nws::init()`](crate::init) or has [`#[nws::main]`](macro@crate::main). There is nothing else to
//! install or to start.
//!
//! ```
//! use nws::sleigh::{Error, Sleigh};
//!
//! #[nws::task]
//! fn collatz(mut n: u64) -> u32 {
//!     let mut steps = 0;
//!     while n != 1 {
//!         n = if n % 2 == 0 { n / 2 } else { 3 * n + 1 };
//!         steps += 1;
//!     }
//!     steps
//! }
//!
//! #[nws::main]
//! fn main() -> Result<(), Error> {
//!     let sleigh = Sleigh::builder().workers(2).build()?;
//!     let steps = sleigh.each_elem(collatz::task(), 1..=1000)?;
//!     assert_eq!(steps.iter().max(), Some(&178));
//!     Ok(())
//! }
//! ```
//!
//! A task whose function returns `Err` or panics has failed; the others go on. A worker that dies is
//! replaced; the task that it was running is run once more (see [`Builder::retries`]), and then fails
//! with the cause. When the program ends, in whatever way, so do the workers and all that they started.
//!
//! - [`Sleigh`]: all calls with their defaults. [`Call`]: a task with options for its calls.
//! - [`Pending`]: a call that is not waited for. [`Results`]: results one by one.
//! - [`Error`], [`TaskFailure`]: what can go wrong.
//! - [`crate::worker`]: what a task can ask of its worker.

mod builder;
mod call;
mod error;
mod info;
mod output;
mod pending;
mod progress;
mod results;
mod run;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use nws_work::WorkError;
use nws_work::sleigh::{Options, Sleigh as Core};

use crate::blocking::{Server, Workspace};
use crate::task::{Given, Job};
use crate::worker::USER_SPACE;

pub use builder::Builder;
pub use call::Call;
pub use error::{Error, FailureKind, TaskFailure, TaskFailures};
pub use info::WorkerInfo;
pub use nws_work::control::Cause;
use output::Heard;
pub use output::{Output, TaskOutput};
pub use pending::Pending;
pub use results::Results;
use run::{GivenOf, OutputOf};

/// What became of one task.
pub type Outcome<R> = Result<R, Box<TaskFailure>>;

/// A group of workers. They end when this is stopped or dropped, or with this process, however it ends.
///
/// One call goes on at a time; another meanwhile is [`Error::Occupied`].
#[derive(Debug)]
pub struct Sleigh {
    core: Core,
    defaults: Defaults,
    heard: Heard,
    spaces: Spaces,
    occupied: AtomicBool,
    stopped: AtomicBool,
}

/// What the calls of a sleigh have in common.
#[derive(Clone, Copy, Debug)]
struct Defaults {
    retries: u32,
    output: Output,
    progress: bool,
}

#[derive(Debug)]
struct Spaces {
    own: Workspace,
    user: Workspace,
}

impl Sleigh {
    /// How a sleigh is made.
    ///
    /// ```no_run
    /// use nws::sleigh::Sleigh;
    ///
    /// let sleigh = Sleigh::builder().workers(4).retries(0).build()?;
    /// # Ok::<(), nws::sleigh::Error>(())
    /// ```
    pub fn builder() -> Builder {
        Builder::default()
    }

    fn start(options: Options, defaults: Defaults, user_template: &str) -> Result<Self, Error> {
        let core = Core::start(options)?;
        let spaces = Spaces::make(&core, user_template)?;
        let (occupied, stopped) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Self { core, defaults, heard: Heard::new(defaults.output), spaces, occupied, stopped })
    }

    /// Runs a task once for each input, on whichever workers are free, and gives the results in order.
    ///
    /// An input is the argument of the task, or a tuple of them; inputs that are references are encoded
    /// where they are. See [`Call`] for options.
    ///
    /// ```
    /// # use nws::sleigh::Sleigh;
    /// #[nws::task]
    /// fn power(base: i64, exponent: u32) -> i64 {
    ///     base.pow(exponent)
    /// }
    ///
    /// # #[nws::main]
    /// # fn main() -> Result<(), nws::sleigh::Error> {
    /// let sleigh = Sleigh::builder().workers(2).build()?;
    /// assert_eq!(sleigh.each_elem(power::task(), [(2, 5), (3, 2)])?, [32, 9]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Tasks`] where tasks have failed, after all have been run;
    /// [`Call::each_elem_outcomes`] gives the results of the others, too. [`Error::Lost`] where server or
    /// workers are lost; [`Error::Argument`], [`Error::Occupied`], [`Error::Stopped`].
    pub fn each_elem<J: Job, I>(&self, job: J, inputs: I) -> Result<Vec<OutputOf<J>>, Error>
    where
        I: IntoIterator,
        I::Item: Given<GivenOf<J>>,
    {
        self.call(job).each_elem(inputs)
    }

    /// Runs a task once on every worker, with the same arguments, and gives the results in order of rank.
    ///
    /// What it leaves in statics stays with the workers. A worker that replaces one that died has not
    /// run it: [`Builder::first`] is for what every worker needs.
    ///
    /// ```
    /// # use nws::sleigh::Sleigh;
    /// #[nws::task]
    /// fn who() -> Option<u32> {
    ///     nws::worker::rank()
    /// }
    ///
    /// # #[nws::main]
    /// # fn main() -> Result<(), nws::sleigh::Error> {
    /// let sleigh = Sleigh::builder().workers(2).build()?;
    /// assert_eq!(sleigh.each_worker(who::task(), ())?, [Some(0), Some(1)]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`Sleigh::each_elem`].
    pub fn each_worker<J: Job>(&self, job: J, given: impl Given<GivenOf<J>>) -> Result<Vec<OutputOf<J>>, Error> {
        self.call(job).each_worker(given)
    }

    /// Runs a task for each input and gives the results one by one, in order, while others are run.
    /// The inputs may be endless: they are taken as results are.
    ///
    /// ```
    /// # use nws::sleigh::Sleigh;
    /// #[nws::task]
    /// fn square(x: u64) -> u64 {
    ///     x * x
    /// }
    ///
    /// # #[nws::main]
    /// # fn main() -> Result<(), nws::sleigh::Error> {
    /// let sleigh = Sleigh::builder().workers(2).build()?;
    /// let first: Result<Vec<u64>, _> = sleigh.imap(square::task(), 0..)?.take(4).collect();
    /// assert_eq!(first?, [0, 1, 4, 9]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Lost`], [`Error::Argument`], [`Error::Occupied`], [`Error::Stopped`]. Tasks that fail are
    /// [`Error::Task`] among the results.
    pub fn imap<J: Job, I>(&self, job: J, inputs: I) -> Result<Results<'_, J, I::IntoIter>, Error>
    where
        I: IntoIterator,
        I::Item: Given<GivenOf<J>>,
    {
        self.call(job).imap(inputs)
    }

    /// A task, for calls with options.
    pub fn call<J: Job>(&self, job: J) -> Call<'_, J> {
        Call::new(self, job)
    }

    /// How many workers there are.
    pub fn worker_count(&self) -> u32 {
        self.core.worker_count()
    }

    /// What the workers are, in order of rank.
    ///
    /// # Errors
    /// As for [`Sleigh::each_elem`].
    pub fn worker_info(&self) -> Result<Vec<WorkerInfo>, Error> {
        self.each_worker(info::describe::task(), ())
    }

    /// The workspace through which the tasks travel. Other variables in it are the program's to use, and
    /// go with the sleigh. Tasks have it as [`worker::workspace`](crate::worker::workspace).
    pub fn workspace(&self) -> &Workspace {
        &self.spaces.own
    }

    /// A workspace for the program and its tasks, also while they run; it goes with the sleigh. Tasks
    /// have it as [`worker::user_workspace`](crate::worker::user_workspace).
    pub fn user_workspace(&self) -> &Workspace {
        &self.spaces.user
    }

    /// What the task of this index, of the last call, wrote so far to standard output and error, where the sleigh
    /// captures it ([`Builder::output`]); nothing where it wrote nothing. Of a call at most 16 MiB are kept, the
    /// newest.
    ///
    /// ```
    /// # use nws::sleigh::Sleigh;
    /// use nws::sleigh::Output;
    ///
    /// #[nws::task]
    /// fn halve(x: f64) -> f64 {
    ///     println!("halving {x}");
    ///     x / 2.0
    /// }
    ///
    /// # #[nws::main]
    /// # fn main() -> Result<(), nws::sleigh::Error> {
    /// let sleigh = Sleigh::builder().workers(2).output(Output::Keep).build()?;
    /// sleigh.each_elem(halve::task(), [1.0, 2.0])?;
    /// assert_eq!(sleigh.output(1).stdout, "halving 2\n");
    /// # Ok(())
    /// # }
    /// ```
    pub fn output(&self, index: u64) -> TaskOutput {
        self.heard.of_task(index)
    }

    /// What tasks of the last call wrote so far, by index, of those that wrote something: see [`Sleigh::output`].
    pub fn outputs(&self) -> BTreeMap<u64, TaskOutput> {
        self.heard.of_all()
    }

    /// Ends the workers and all that they started, and the server that the sleigh brought; waits for
    /// that. A call that goes on in another thread ends with [`Error::Stopped`]. May be called again.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.core.stop();
    }

    fn occupy(&self) -> Result<(), Error> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
        match self.occupied.swap(true, Ordering::Acquire) {
            true => Err(Error::Occupied),
            false => Ok(()),
        }
    }

    fn release(&self) {
        self.occupied.store(false, Ordering::Release);
    }

    fn explain(&self, error: WorkError) -> Error {
        if self.stopped.load(Ordering::Relaxed) { Error::Stopped } else { error.into() }
    }
}

impl Spaces {
    /// Makes the user's workspace, owned by the master, and leaves its name for the workers.
    fn make(core: &Core, user_template: &str) -> Result<Self, Error> {
        let server = Server::from(core.master().connection().clone());
        let own = server.open(core.master().workspace_name())?;
        let user = server.make_temporary(user_template)?;
        own.store(USER_SPACE, String::from_utf8_lossy(user.name()).into_owned())?;
        Ok(Self { own, user })
    }
}
