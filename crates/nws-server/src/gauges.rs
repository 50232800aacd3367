//! What the event loop tells other threads about itself.

use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers that the event loop writes once a turn, and others read.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    sessions: AtomicU64,
}

impl Gauges {
    pub(crate) fn set_sessions(&self, sessions: usize) {
        self.sessions.store(sessions as u64, Ordering::Relaxed);
    }

    pub(crate) fn sessions(&self) -> u64 {
        self.sessions.load(Ordering::Relaxed)
    }
}
