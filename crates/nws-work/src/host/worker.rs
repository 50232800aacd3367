//! One worker: how it is started, and what its page tells of it.

use std::io;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use nws_proto::LeaseId;
use nws_supervise::{End, ProcessId, Spawn, Supervisor};

use super::channel::Channel;
use super::charge::is_killed;
use super::leftovers::{self, Leftovers};
use crate::control::{WORKER_CAPTURE_FDS, WORKER_LINK_FD, WORKER_PAGE_FD, WorkerCommand};
use crate::page::{Page, Running};
use crate::roles::{self, OWN_PROGRAM, ROLE_VARIABLE, Role};

/// Why the host itself ended a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Its session was over while it lived.
    Silent,
    /// The run of its task was given up.
    Aborted,
    /// It joined when the group was closed already.
    Late,
    /// The task that it ran by this lease took longer than it may.
    TimedOut {
        /// The task's.
        lease: LeaseId,
        /// How long it may.
        timeout_ms: u64,
    },
    /// The task that it ran by this lease took it beyond its limit on memory.
    OverMemory {
        /// The task's.
        lease: LeaseId,
        /// What it held, in bytes.
        used_bytes: u64,
        /// What it may.
        limit_bytes: u64,
    },
}

/// A worker that lives.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) process: ProcessId,
    pub(super) pid: u32,
    pub(super) link: Channel,
    pub(super) page: Page,
    /// What it writes and nobody has read when it ends.
    pub(super) leftovers: Option<Leftovers>,
    pub(super) ended: Option<Ended>,
    /// Since when it has been seen stopped before it joined.
    pub(super) stopped: Option<Instant>,
    /// Why it cannot work, in its own words.
    pub(super) complaint: Option<String>,
    /// Its successors could not work either, it says.
    pub(super) hopeless: bool,
}

impl Worker {
    pub(super) fn running(&self) -> Option<Running> {
        self.page.running()
    }

    /// Whether it ended, not by others, after a task and before the next: as when a task closes the
    /// descriptors that are not its own. Its page charges nobody then, so that the task would be run
    /// again without end.
    pub(super) fn ended_after_a_task(&self, end: &End) -> bool {
        let by_itself = self.ended == Some(Ended::Silent) || self.ended.is_none() && !is_killed(end);
        by_itself && self.running().is_none() && self.page.tasks_done() > 0
    }

    /// What it is running, unless the host has ended it.
    pub(super) fn running_on(&self) -> Option<Running> {
        self.page.running().filter(|_| self.ended.is_none())
    }

    /// Whether a task that it was running when the host ended it is to pay for that.
    pub(super) fn charges(&self, running: Option<Running>) -> bool {
        match self.ended {
            Some(Ended::Aborted | Ended::Late) => false,
            // It may have gone on to the next before it was ended.
            Some(Ended::TimedOut { lease, .. } | Ended::OverMemory { lease, .. }) => {
                running.is_some_and(|running| running.lease == lease)
            }
            Some(Ended::Silent) | None => true,
        }
    }

    /// Its end with the last lines of what it wrote to standard error, and what it wrote last.
    pub(super) fn last_words(&self, end: &End, running: Option<Running>) -> (End, [Vec<u8>; 2]) {
        let mut end = end.clone();
        let written = self.leftovers.as_ref().map(Leftovers::read).unwrap_or_default();
        let before = running.and_then(|running| self.page.tail(running.lease)).unwrap_or_default();
        leftovers::add_lines(&mut end.stderr_tail, &[&before[..], &written[1]].concat());
        (end, written)
    }

    pub(super) fn is_connected(&self) -> bool {
        self.page.session().is_some()
    }

    pub(super) fn is_ready(&self) -> bool {
        self.page.is_ready()
    }

    /// Where it was on its way into the sleigh, if it was not yet in.
    pub(super) fn way_in(&self) -> Option<&'static str> {
        (self.is_connected() && !self.page.is_ready()).then_some("it ended while it was being set up")
    }
}

/// Starts one.
pub(super) fn start(command: &WorkerCommand, supervisor: &mut Supervisor) -> io::Result<Worker> {
    let (page, page_descriptor) = Page::create()?;
    let (link, its_link) = UnixStream::pair()?;
    let told = Role::Worker.told(&its_link)?;
    let mut spawn = Spawn::new(&command.program)
        .args(&command.args)
        .descriptor(its_link.into(), WORKER_LINK_FD)
        .descriptor(page_descriptor, WORKER_PAGE_FD);
    spawn.env = command.env.iter().map(|(name, value)| (name.into(), value.as_ref().map(Into::into))).collect();
    spawn = spawn.env(ROLE_VARIABLE, told);
    spawn.cwd = command.cwd.clone();
    let mut leftovers = None;
    if command.captures {
        let (kept, descriptors) = Leftovers::pipes()?;
        leftovers = Some(kept);
        spawn.descriptors.extend(descriptors.into_iter().zip(WORKER_CAPTURE_FDS));
    }
    if spawn.program == OWN_PROGRAM {
        spawn.arg0 = Some(roles::own_name());
    }
    let process = supervisor.spawn(spawn)?;
    let pid = supervisor.pid(process).unwrap_or_default();
    Ok(Worker {
        process,
        pid,
        link: Channel::new(link.into()),
        page,
        leftovers,
        ended: None,
        stopped: None,
        complaint: None,
        hopeless: false,
    })
}
