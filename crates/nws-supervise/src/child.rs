//! The children that run, those that have ended, and what is no child but an orphan.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rustix::process::{Pid, Signal, pidfd_send_signal};

use crate::output::Stream;
use crate::supervisor::ProcessId;
use crate::tree::Root;
use crate::{End, platform};

/// The children that supervisors of this process started and have not reaped: all others are
/// adopted orphans. Held while one is started, so that nobody takes it for an orphan.
static CHILDREN: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

pub(crate) fn children() -> MutexGuard<'static, BTreeSet<i32>> {
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child that runs.
pub(crate) struct Child {
    pub(crate) pid: Pid,
    pub(crate) descriptor: OwnedFd,
    pub(crate) marker: String,
    pub(crate) started: Instant,
    pub(crate) stdout: Option<Arc<Stream>>,
    pub(crate) stderr: Option<Arc<Stream>>,
}

impl Child {
    pub(crate) fn root(&self) -> Root {
        Root { pid: self.pid.as_raw_nonzero().get(), marker: self.marker.clone() }
    }

    /// Ends the child itself, also where the table of processes cannot be read to find its tree.
    pub(crate) fn kill(&self) {
        // It fails where the child is dead.
        let _ = pidfd_send_signal(&self.descriptor, Signal::KILL);
    }
}

/// A child that has ended, while its last lines are passed on.
pub(crate) struct Leaving {
    pub(crate) id: ProcessId,
    pub(crate) end: End,
    pub(crate) deadline: Instant,
    pub(crate) stdout: Option<Arc<Stream>>,
    pub(crate) stderr: Option<Arc<Stream>>,
}

impl Leaving {
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now >= self.deadline || [&self.stdout, &self.stderr].into_iter().flatten().all(|stream| stream.is_closed())
    }
}

/// Gives back what the kernel keeps of dead orphans.
pub(crate) fn reap_orphans() {
    let known = children();
    while let Some(pid) = platform::any_dead_child() {
        // A child has its own way out, and the kernel tells of no other before it has gone.
        if known.contains(&pid.as_raw_nonzero().get()) || platform::reap(pid).is_err() {
            return;
        }
    }
}

/// The same for some that were seen dead, wherever they stand among the dead.
pub(crate) fn reap_these(pids: &[i32]) {
    let known = children();
    for pid in pids.iter().filter(|pid| !known.contains(pid)).filter_map(|pid| Pid::from_raw(*pid)) {
        // It fails where somebody else did so.
        let _ = platform::reap(pid);
    }
}
