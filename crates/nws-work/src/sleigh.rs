//! A sleigh as its master holds it: the host with its workers, and the connection to the server.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::control::{Cause, FromHost, ServerAddress, Start, ToHost};
use crate::error::WorkError;
use crate::launch::Host;
use crate::master::{Arrival, Master, Tasks};

/// How long the embedded server may take to answer.
const SERVER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long after the connection has broken the host may take to say why.
const CAUSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the host may take to close the group of workers, or to tell them of a cancel.
const HOST_TIMEOUT: Duration = Duration::from_secs(10);

/// What a sleigh is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The binary `nws`, or [`OWN_PROGRAM`](crate::roles::OWN_PROGRAM).
    pub binary: PathBuf,
    /// Where the master reaches a server that is named, where that is elsewhere than for the workers.
    pub master_server: Option<ServerAddress>,
    /// A file that what the workers print is appended to, rather than to the master's output.
    pub outfile: Option<PathBuf>,
    /// Template of the workspace's name, with one integer conversion.
    pub workspace_template: String,
    /// Server, workers and their settings.
    pub start: Start,
}

/// A started sleigh.
#[derive(Debug)]
pub struct Sleigh {
    host: Host,
    master: Arc<Master>,
    watch: Arc<Watch>,
    worker_count: u32,
    server: ServerAddress,
}

/// Who belongs to the workers of a sleigh.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// The ranks that have joined, in order.
    pub joined: Vec<u32>,
    /// Nobody else can join: all have, or the rest was too late.
    pub closed: bool,
}

/// What the host said that outlives a single look.
#[derive(Debug, Default)]
struct Watch {
    state: Mutex<Said>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Said {
    server: Option<ServerAddress>,
    /// Why nothing can go on.
    end: Option<String>,
    closed: bool,
    joined: BTreeSet<u32>,
    /// The group was closed before all had joined, and these had.
    group: Option<Vec<u32>>,
    /// The last run that the host has cancelled.
    cancelled_run: u32,
    stopping: bool,
    master: Weak<Master>,
    /// What was said before there was a master to tell.
    early: Vec<FromHost>,
}

impl Sleigh {
    /// Starts host, server where none is named, and workers; returns as soon as tasks can be
    /// submitted, while the workers may still be starting.
    ///
    /// # Errors
    /// The binary cannot be run, the server does not start or answer, the template is bad.
    pub fn start(options: Options) -> Result<Sleigh, WorkError> {
        let worker_count = options.start.worker_count;
        let named = options.start.server.clone().map(|address| options.master_server.unwrap_or(address));
        let watch = Arc::new(Watch::default());
        let heard = watch.clone();
        let host = Host::start(&options.binary, options.start, options.outfile.as_deref(), move |message| {
            heard.hear(message)
        })?;
        let server = match named {
            Some(address) => address,
            None => watch.wait_for_server()?,
        };
        let master = match Master::connect(&server, &options.workspace_template) {
            Ok(master) => Arc::new(master),
            Err(error) => return Err(watch.explain(error)),
        };
        watch.introduce(&master);
        let workspace = master.workspace_name().to_owned();
        let sleigh = Sleigh { host, master, watch, worker_count, server };
        sleigh.tell(&ToHost::Launch { workspace })?;
        Ok(sleigh)
    }

    /// The master's connection and dispatch.
    pub fn master(&self) -> &Master {
        &self.master
    }

    /// How many workers there are.
    pub fn worker_count(&self) -> u32 {
        self.worker_count
    }

    /// The server in use.
    pub fn server(&self) -> &ServerAddress {
        &self.server
    }

    /// The host's process id.
    pub fn host_pid(&self) -> u32 {
        self.host.pid()
    }

    /// Who has joined so far; waits until the group is closed, at most for `timeout`.
    ///
    /// # Errors
    /// The sleigh has ended; says how.
    pub fn group(&self, timeout: Duration) -> Result<Group, WorkError> {
        self.watch.wait_for_group(self.worker_count, timeout);
        self.check()?;
        Ok(self.watch.said().group_of(self.worker_count))
    }

    /// Whoever has not joined by now is too late: its tasks fail.
    ///
    /// # Errors
    /// The sleigh has ended; says how.
    pub fn close_group(&self) -> Result<Group, WorkError> {
        if !self.group(Duration::ZERO)?.closed {
            self.tell(&ToHost::CloseGroup)?;
        }
        let group = self.group(HOST_TIMEOUT)?;
        if group.closed {
            return Ok(group);
        }
        let seconds = HOST_TIMEOUT.as_secs();
        Err(WorkError::Ended(format!("the host process (nws host) did not close the group within {seconds} s")))
    }

    /// The ranks that an `each_worker` is for: all, or those of a group that was closed early.
    pub fn ranks(&self) -> Vec<u32> {
        self.watch.said().group.clone().unwrap_or_else(|| (0..self.worker_count).collect())
    }

    /// Begins a run: its definition is stored, its number returned.
    ///
    /// # Errors
    /// The sleigh has ended; the definition is too long.
    pub fn begin_run(&self, definition: Vec<u8>, retries: u32, timeout_ms: Option<u64>) -> Result<u32, WorkError> {
        let run = self.master.next_run();
        self.tell(&ToHost::Run { run, retries, timeout_ms })?;
        self.master.define(run, definition)?;
        Ok(run)
    }

    /// Stores the tasks collected so far.
    pub fn submit(&self, tasks: &mut Tasks) {
        self.master.submit(tasks);
    }

    /// Everything that has come in, empty after `timeout`.
    ///
    /// # Errors
    /// The sleigh has ended; says how.
    pub fn arrivals(&self, timeout: Duration) -> Result<Vec<Arrival>, WorkError> {
        let arrivals = self.master.arrivals(timeout).map_err(|error| self.watch.explain(error))?;
        if let Some((_, name)) = arrivals.iter().find_map(vanished).filter(|(run, _)| self.master.goes_on(*run)) {
            let reason = format!(
                "somebody deleted the variable {name:?} in the sleigh's workspace while a call went on, and with it \
                 what the call still waits for"
            );
            self.watch.said().end.get_or_insert(reason);
            self.check()?;
        }
        if !arrivals.iter().any(|arrival| matches!(arrival, Arrival::Results(_))) {
            self.check()?;
        }
        Ok(arrivals)
    }

    /// Whether the sleigh can still work.
    ///
    /// # Errors
    /// It has ended; says how.
    pub fn check(&self) -> Result<(), WorkError> {
        match &self.watch.said().end {
            Some(reason) => Err(WorkError::Ended(reason.clone())),
            None => Ok(()),
        }
    }

    /// Why the connection of the master has ended: the host can mostly name the cause, and is waited for
    /// shortly; else `reason`.
    pub fn why_dropped(&self, reason: &str) -> WorkError {
        self.watch.explain(WorkError::Ended(reason.to_owned()))
    }

    /// The run is over.
    pub fn end_run(&self, run: u32) {
        self.master.end_run(run);
        // A host that has ended needs no word.
        let _ = self.tell(&ToHost::RunDone { run });
    }

    /// Takes back the tasks of a run that have not begun: gives their indexes. Those that workers
    /// have already and do not come to begin are answered as cancelled; those that run go on.
    ///
    /// # Errors
    /// The sleigh has ended.
    pub fn cancel(&self, run: u32) -> Result<Vec<u64>, WorkError> {
        self.tell(&ToHost::Cancel { run })?;
        self.watch.wait_for_cancel(run);
        self.check()?;
        self.master.withdraw(run, self.worker_count).map_err(|error| self.watch.explain(error))
    }

    /// Gives the run up: its tasks go, workers that are busy with one are replaced.
    pub fn give_up(&self, run: u32) {
        self.master.give_up(run, self.worker_count);
        let _ = self.tell(&ToHost::Abort { run });
        let _ = self.tell(&ToHost::RunDone { run });
    }

    /// Ends workers, server and host, and waits for that.
    pub fn stop(&self) {
        self.watch.said().stopping = true;
        self.host.stop();
        self.master.close();
    }

    fn tell(&self, message: &ToHost) -> Result<(), WorkError> {
        self.host.send(message).map_err(|error| self.watch.explain(error.into()))
    }
}

impl Drop for Sleigh {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Watch {
    fn said(&self) -> std::sync::MutexGuard<'_, Said> {
        // No code that can panic runs under this lock, so the state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// On the control thread.
    fn hear(&self, message: Option<FromHost>) {
        let mut said = self.said();
        match &message {
            Some(FromHost::ServerUp { address, .. }) => said.server = Some(address.clone()),
            Some(FromHost::WorkerJoined { rank, .. }) => _ = said.joined.insert(*rank),
            Some(FromHost::GroupClosed { ranks }) => said.group = Some(ranks.clone()),
            Some(FromHost::Cancelled { run }) => said.cancelled_run = *run,
            Some(message) => {
                if let Some(reason) = fatal(message) {
                    said.end.get_or_insert(reason);
                }
            }
            None => {
                said.closed = true;
                if !said.stopping {
                    let reason = "the host process (nws host) ended without a word".to_owned();
                    said.end.get_or_insert(reason);
                }
            }
        }
        let master = said.master.upgrade();
        match (message, master) {
            (Some(message), None) => said.early.push(message),
            (Some(message), Some(master)) => {
                drop(said);
                master.arrive(Arrival::Host(message));
            }
            (None, Some(master)) => {
                drop(said);
                master.arrive(Arrival::Host(FromHost::Stopped));
            }
            (None, None) => {}
        }
        self.changed.notify_all();
    }

    fn introduce(&self, master: &Arc<Master>) {
        let mut said = self.said();
        said.master = Arc::downgrade(master);
        let early = std::mem::take(&mut said.early);
        drop(said);
        early.into_iter().for_each(|message| master.arrive(Arrival::Host(message)));
    }

    fn wait_for_server(&self) -> Result<ServerAddress, WorkError> {
        let waiting = |said: &mut Said| said.server.is_none() && said.end.is_none() && !said.closed;
        let (said, _) = self
            .changed
            .wait_timeout_while(self.said(), SERVER_TIMEOUT, waiting)
            .unwrap_or_else(PoisonError::into_inner);
        match (&said.server, &said.end) {
            (_, Some(reason)) => Err(WorkError::Start(reason.clone())),
            (Some(address), None) => Ok(address.clone()),
            (None, None) => {
                let seconds = SERVER_TIMEOUT.as_secs();
                Err(WorkError::Start(format!("the embedded server did not start within {seconds} s")))
            }
        }
    }

    /// Waits until the group is closed, the sleigh has ended, or this long.
    fn wait_for_group(&self, worker_count: u32, timeout: Duration) {
        let waiting = |said: &mut Said| !said.group_of(worker_count).closed && said.end.is_none() && !said.closed;
        drop(self.changed.wait_timeout_while(self.said(), timeout, waiting));
    }

    /// Waits until no worker begins a task of this run any more, or the sleigh has ended.
    fn wait_for_cancel(&self, run: u32) {
        let waiting = |said: &mut Said| said.cancelled_run < run && said.end.is_none() && !said.closed;
        drop(self.changed.wait_timeout_while(self.said(), HOST_TIMEOUT, waiting));
    }

    /// A broken connection is mostly the consequence of something that the host can name.
    fn explain(&self, error: WorkError) -> WorkError {
        let deadline = Instant::now() + CAUSE_TIMEOUT;
        let mut said = self.said();
        while said.end.is_none() && !said.closed && !said.stopping {
            let rest = deadline.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return error;
            }
            said = self.changed.wait_timeout(said, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
        match &said.end {
            Some(reason) => WorkError::Ended(reason.clone()),
            None => error,
        }
    }
}

impl Said {
    fn group_of(&self, worker_count: u32) -> Group {
        let joined = self.group.clone().unwrap_or_else(|| self.joined.iter().copied().collect());
        let closed = self.group.is_some() || u32::try_from(joined.len()) == Ok(worker_count);
        Group { joined, closed }
    }
}

fn vanished(arrival: &Arrival) -> Option<(u32, &str)> {
    match arrival {
        Arrival::Vanished { run, name } => Some((*run, name)),
        Arrival::Results(_) | Arrival::Host(_) => None,
    }
}

/// The text of a message after which nothing goes on.
fn fatal(message: &FromHost) -> Option<String> {
    match message {
        FromHost::ServerDied { cause } => Some(format!("the server of this sleigh has ended: {}", cause.text)),
        FromHost::HostDied { cause } => Some(format!("the host process (nws host) has ended: {}", cause.text)),
        FromHost::Failed { message } => Some(message.clone()),
        FromHost::NoWorkers { causes } => Some(no_workers(causes)),
        _ => None,
    }
}

fn no_workers(causes: &[(u32, Cause)]) -> String {
    let mut text = String::from("no worker is left:");
    for (rank, cause) in causes {
        text.push_str(&format!("\n  worker {rank}: {}", cause.text.replace('\n', "\n    ")));
    }
    text
}
