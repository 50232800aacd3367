//! How a Boss is made.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use nws_work::boss::{Boss as Core, Name, Trade};
use nws_work::commands::Command;
use nws_work::roles::OWN_PROGRAM;
use serde::de::DeserializeOwned;

use super::scheduler::{MaxThreads, Scheduler};
use super::worker::{decode_failure, request};
use super::{Boss, Error, GivenOf, OutputOf};
use crate::init;
use crate::task::{Given, Job, Task, decode, register};

/// Options of a Boss. [`Boss::builder`] makes one, [`Builder::build`] starts the Boss.
#[must_use = "nothing is started before build()"]
pub struct Builder<I, R> {
    scheduler: Box<dyn Scheduler<I, R>>,
    name: Name<I>,
    args: Option<Vec<OsString>>,
    env: Vec<(OsString, OsString)>,
    working_dir: Option<PathBuf>,
}

impl<I, R> Default for Builder<I, R> {
    fn default() -> Self {
        Self {
            scheduler: Box::new(MaxThreads::default()),
            name: Box::new(|number, _| format!("worker-{number}")),
            args: None,
            env: Vec::new(),
            working_dir: None,
        }
    }
}

impl<I, R> Builder<I, R> {
    /// What is handed out when: by default so many at a time as there are cores, in order.
    pub fn scheduler(mut self, scheduler: impl Scheduler<I, R> + 'static) -> Self {
        self.scheduler = Box::new(scheduler);
        self
    }

    /// The names of workers; by default `worker-0` and so on.
    pub fn name(mut self, name: impl Fn(&I) -> String + Send + 'static) -> Self {
        self.name = Box::new(move |_, instructions| name(instructions));
        self
    }

    /// Each worker's working directory; this process's by default.
    pub fn working_dir(mut self, folder: impl AsRef<Path>) -> Self {
        self.working_dir = Some(folder.as_ref().to_owned());
        self
    }

    /// Sets a name in the environment of the workers.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// The arguments that the program is started again with; this process's own by default. Tests
    /// whose `main` is the test harness name the one that calls [`nws::init`](crate::init) here.
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args = Some(args.into_iter().map(Into::into).collect());
        self
    }

    /// Starts the Boss, whose workers run this task.
    ///
    /// # Errors
    /// [`Error::NotInitialised`]; [`Error::Argument`] for fixed arguments that cannot be encoded;
    /// [`Error::Start`] where nothing can be started.
    pub fn build<J>(self, job: J) -> Result<Boss<I, R>, Error<I>>
    where
        J: Job,
        J::Task: Task<Output = R>,
        I: Given<GivenOf<J>> + Clone + Send + 'static,
        R: DeserializeOwned + Clone + Send + 'static,
    {
        if !init::is_initialised() {
            return Err(Error::NotInitialised);
        }
        let named = |message| Error::Argument(format!("the task {}: {message}", J::Task::NAME));
        let fixed = job.fixed().map_err(named)?;
        let definition = register::<J::Task>(None, fixed).map_err(named)?;
        let args = self.args.unwrap_or_else(|| std::env::args_os().skip(1).collect());
        let mut command = Command::new(OWN_PROGRAM).args(args.clone());
        command.cwd = self.working_dir;
        command.env.extend(self.env.into_iter().map(|(name, value)| (name, Some(value))));
        let trade = Trade {
            encode: Box::new(move |instructions: &I| request(&definition, instructions)),
            decode: Box::new(decode::<OutputOf<J>>),
            decode_failure,
            name: self.name,
            command,
            host: (OWN_PROGRAM.into(), args),
        };
        let core = Core::start(trade, self.scheduler)?;
        Ok(Boss { core, is_ending: false.into() })
    }
}

impl<I, R> fmt::Debug for Builder<I, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("args", &self.args).field("env", &self.env).finish_non_exhaustive()
    }
}
