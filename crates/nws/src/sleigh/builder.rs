//! How a sleigh is made.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use nws_work::control::{ServerAddress, Start, WorkerCommand};
use nws_work::roles::OWN_PROGRAM;
use nws_work::sleigh::Options;
use nws_work::threads::Threads;

use super::{Defaults, Error, Output, Sleigh};
use crate::task::{Given, Job, Task, register};
use crate::worker::{First, Settings};
use crate::{Endpoint, init};

/// Most workers of one sleigh.
const WORKERS: u32 = 4096;
/// Less than any worker takes.
const LEAST_MEMORY_BYTES: u64 = 1 << 20;

/// Options of a sleigh. [`Sleigh::builder`] makes one, [`Builder::build`] starts the sleigh.
#[derive(Clone, Debug)]
#[must_use = "nothing is started before build()"]
pub struct Builder {
    workers: Option<u32>,
    retries: u32,
    output: Output,
    output_limit_bytes: usize,
    progress: bool,
    memory_limit_bytes: Option<u64>,
    server: Option<Endpoint>,
    args: Option<Vec<OsString>>,
    env: Vec<(String, Option<String>)>,
    working_dir: Option<PathBuf>,
    workspace_template: String,
    user_workspace_template: String,
    first: Result<Option<First>, String>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            workers: None,
            retries: 1,
            output: Output::Inherit,
            output_limit_bytes: 1 << 20,
            progress: false,
            memory_limit_bytes: None,
            server: None,
            args: None,
            env: Vec::new(),
            working_dir: None,
            workspace_template: "sleigh_ride_%04d".to_owned(),
            user_workspace_template: "sleigh_user_%04d".to_owned(),
            first: Ok(None),
        }
    }
}

impl Builder {
    /// How many workers, from 1 to 4096; by default one for each core that this process may use
    /// (its affinity, control group and Slurm are asked, and `NWS_WORKERS` goes before them).
    pub fn workers(mut self, count: u32) -> Self {
        self.workers = Some(count);
        self
    }

    /// How often a task is run again after a worker died of it; 1 by default.
    pub fn retries(mut self, count: u32) -> Self {
        self.retries = count;
        self
    }

    /// What becomes of what tasks write to standard output and error; by default it goes where the program's own
    /// goes. Where it is captured, each task costs some half a microsecond more.
    pub fn output(mut self, output: Output) -> Self {
        self.output = output;
        self
    }

    /// How much is kept and shown of what a task writes to standard output, in bytes, and as much of standard error:
    /// 1 MiB by default. Of what is beyond only the number of bytes is told.
    pub fn output_limit(mut self, bytes: usize) -> Self {
        self.output_limit_bytes = bytes;
        self
    }

    /// Whether a call that goes on for more than a second shows a bar on standard error, where that is a terminal;
    /// not by default. It moves while the program waits for results, goes with the call, and steps aside for what
    /// tasks write where that is [shown](Output::Show).
    pub fn progress(mut self, shown: bool) -> Self {
        self.progress = shown;
        self
    }

    /// How much memory each worker may hold, with the processes that it started, in bytes; at least
    /// 1 MiB, and as much as there is by default. A task that takes its worker beyond that fails alone,
    /// with both numbers, and another worker takes the place of the one that ran it.
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit_bytes = Some(bytes);
        self
    }

    /// A server to use. Else the one that the environment variable `NWS_URL` names, and else the
    /// sleigh brings its own, which goes with it.
    pub fn server(mut self, endpoint: Endpoint) -> Self {
        self.server = Some(endpoint);
        self
    }

    /// Each worker's working directory; this process's by default.
    pub fn working_dir(mut self, folder: impl AsRef<Path>) -> Self {
        self.working_dir = Some(folder.as_ref().to_owned());
        self
    }

    /// Sets a name in the environment of the workers.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), Some(value.into())));
        self
    }

    /// The arguments that the program is started again with; this process's own by default. Tests
    /// whose `main` is the test harness name the one that calls [`nws::init`](crate::init) here.
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args = Some(args.into_iter().map(Into::into).collect());
        self
    }

    /// A format string with one `%d` for the name of the sleigh's workspace.
    pub fn workspace_template(mut self, template: impl Into<String>) -> Self {
        self.workspace_template = template.into();
        self
    }

    /// The same for the workspace [`Sleigh::user_workspace`].
    pub fn user_workspace_template(mut self, template: impl Into<String>) -> Self {
        self.user_workspace_template = template.into();
        self
    }

    /// A task that each worker runs before any other, also one that replaces another. A worker in
    /// which it fails ends; when that happens to a rank again and again it is given up.
    pub fn first<J: Job>(mut self, job: J, given: impl Given<<J::Task as Task>::Given>) -> Self {
        let first = || {
            let definition = register::<J::Task>(None, job.fixed()?)?;
            let mut bytes = Vec::new();
            given.encode(&mut bytes)?;
            Ok((definition, bytes))
        };
        let told = |message: String| format!("the task that each worker runs first: {message}");
        self.first = first().map(Some).map_err(told);
        self
    }

    /// Starts the sleigh. It returns as soon as tasks can be submitted; the workers may still be
    /// starting.
    ///
    /// # Errors
    /// [`Error::NotInitialised`]; [`Error::Argument`] for options that cannot be; [`Error::Start`] and
    /// [`Error::Client`] where nothing can be started or the server cannot be reached.
    pub fn build(self) -> Result<Sleigh, Error> {
        if !init::is_initialised() {
            return Err(Error::NotInitialised);
        }
        let workers = match self.workers {
            Some(count) => count,
            None => nws_work::fitting_workers().map_err(Error::Argument)?,
        };
        if !(1..=WORKERS).contains(&workers) {
            return Err(Error::Argument(format!("workers: expected 1 to {WORKERS}, got {workers}")));
        }
        if let Some(bytes) = self.memory_limit_bytes.filter(|bytes| *bytes < LEAST_MEMORY_BYTES) {
            let message = format!("memory_limit: expected at least {LEAST_MEMORY_BYTES} bytes (1 MiB), got {bytes}");
            return Err(Error::Argument(message));
        }
        let captures = self.output != Output::Inherit;
        let output_limit_bytes = captures.then_some(self.output_limit_bytes);
        let settings = Settings { first: self.first.map_err(Error::Argument)?, output_limit_bytes };
        let settings = serde_json::to_string(&settings).map_err(|error| Error::Argument(error.to_string()))?;
        let start = Start {
            server: address(self.server)?,
            memory_limit_bytes: self.memory_limit_bytes,
            worker_count: workers,
            worker: WorkerCommand { captures, ..command(self.args, self.env, self.working_dir, workers)? },
            settings: settings.into(),
        };
        let binary = OWN_PROGRAM.into();
        let options =
            Options { binary, master_server: None, outfile: None, workspace_template: self.workspace_template, start };
        let defaults = Defaults { retries: self.retries, output: self.output, progress: self.progress };
        Sleigh::start(options, defaults, &self.user_workspace_template)
    }
}

fn address(server: Option<Endpoint>) -> Result<Option<ServerAddress>, Error> {
    let named = match server {
        Some(endpoint) => Some(endpoint),
        None => Endpoint::of_environment().map_err(|error| Error::Argument(error.to_string()))?,
    };
    Ok(match named {
        None => None,
        Some(Endpoint::Unix(path)) => Some(ServerAddress { unix: Some(path), tcp: None, token: None }),
        Some(Endpoint::Tcp(host, port)) => Some(ServerAddress { unix: None, tcp: Some((host, port)), token: None }),
        Some(other) => {
            let message = format!("expected a server that workers reach by TCP or a Unix socket, got {other}");
            return Err(Error::Argument(message));
        }
    })
}

fn command(
    args: Option<Vec<OsString>>,
    env: Vec<(String, Option<String>)>,
    cwd: Option<PathBuf>,
    workers: u32,
) -> Result<WorkerCommand, Error> {
    let args = args.unwrap_or_else(|| std::env::args_os().skip(1).collect());
    let text = |arg: OsString| {
        arg.into_string().map_err(|arg| {
            let shown = arg.to_string_lossy().into_owned();
            Error::Argument(format!("args: expected UTF-8, got {shown:?}: name the arguments of workers with args()"))
        })
    };
    let args = args.into_iter().map(text).collect::<Result<_, _>>()?;
    let mut command = WorkerCommand { program: OWN_PROGRAM.into(), args, env, cwd, captures: false };
    Threads::Share.limit(&mut command, workers);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_no_worker_could_keep_is_refused() {
        crate::init();
        let refusal = Builder::default().workers(1).memory_limit(1000).build().unwrap_err().to_string();
        assert!(refusal.contains("memory_limit: expected at least 1048576 bytes"), "{refusal}");
    }

    #[test]
    fn a_sleigh_without_workers_is_refused() {
        crate::init();
        for count in [0, WORKERS + 1] {
            let refusal = Builder::default().workers(count).build().unwrap_err().to_string();
            assert!(refusal.contains("expected 1 to 4096"), "{refusal}");
        }
    }
}
