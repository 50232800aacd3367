//! Waking the event loop from other threads.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};

/// Wakes the supervisor from another thread. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Waker(Arc<Wakeup>);

#[derive(Debug)]
struct Wakeup {
    descriptor: OwnedFd,
    /// A [`crate::Happening::Woken`] is due.
    asked: AtomicBool,
}

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        let descriptor = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self(Arc::new(Wakeup { descriptor, asked: AtomicBool::new(false) })))
    }

    /// Makes [`crate::Supervisor::next_event`] give [`crate::Happening::Woken`]; several before it
    /// looks are one.
    pub fn wake(&self) {
        self.0.asked.store(true, Ordering::Release);
        self.nudge();
    }

    /// Makes it look around without saying so.
    pub(crate) fn nudge(&self) {
        // It fails only where the counter is full, and then it is awake.
        let _ = rustix::io::write(&self.0.descriptor, &1u64.to_ne_bytes());
    }

    /// Readable when somebody woke or nudged.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.descriptor.as_fd()
    }

    /// Sleeps again; says whether a wake was asked for.
    pub(crate) fn take(&self) -> bool {
        // It fails only where nobody woke.
        let _ = rustix::io::read(&self.0.descriptor, &mut [0; 8]);
        self.0.asked.swap(false, Ordering::AcqRel)
    }
}
