//! What goes out: queued, sent as far as the kernel takes it, and waited for.

use std::os::fd::AsRawFd;
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use mio::Interest;
use mio::unix::SourceFd;
use nws_proto::{Opcode, RequestId};

use super::{SOCKET, Shared, lock, wait_on};
use crate::outgoing::{Frame, Outgoing};

/// Unlocks, and only then drops what was sent.
pub(super) fn let_go(mut outgoing: MutexGuard<'_, Outgoing>) {
    let spent = outgoing.take_spent();
    drop(outgoing);
    drop(spent);
}

impl Shared {
    pub(super) fn send(&self, frames: impl IntoIterator<Item = Frame>) {
        let mut outgoing = lock(&self.outgoing);
        frames.into_iter().for_each(|frame| outgoing.push(frame));
        if !outgoing.armed && !self.is_io_thread() {
            self.flush_locked(&mut outgoing);
        }
        let_go(outgoing);
    }

    pub(crate) fn send_pong(&self, id: RequestId) {
        self.send([Frame::empty(id, Opcode::Pong)]);
    }

    /// Sends what is queued, as far as the kernel takes it.
    pub(crate) fn flush(&self, writable: bool) {
        let mut outgoing = lock(&self.outgoing);
        if writable || !outgoing.armed {
            self.flush_locked(&mut outgoing);
        }
        let_go(outgoing);
    }

    fn flush_locked(&self, outgoing: &mut Outgoing) {
        let was_armed = outgoing.armed;
        match outgoing.send_to(&self.socket) {
            Ok(sent_all) => outgoing.armed = !sent_all,
            // The reader takes what has arrived, perhaps a goodbye, and then sees the end; also where
            // the other end closed one direction only.
            Err(_) => {
                outgoing.end();
                outgoing.armed = false;
                self.socket.shut_down();
            }
        }
        if outgoing.armed != was_armed {
            let interests = if outgoing.armed { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
            let socket = self.socket.as_raw_fd();
            if self.registry.reregister(&mut SourceFd(&socket), SOCKET, interests).is_err() {
                // Without it nobody would go on sending: better an end than a hang.
                self.socket.shut_down();
            }
        }
        if outgoing.sleepers > 0 {
            self.drained.notify_all();
        }
    }

    pub(crate) fn queued_bytes(&self) -> usize {
        if self.is_foreign() { 0 } else { lock(&self.outgoing).queued_bytes() }
    }

    pub(crate) fn backlog_progress(&self) -> Option<u64> {
        lock(&self.outgoing).backlog_progress()
    }

    pub(crate) fn wait_queued_below(&self, bytes: usize, timeout: Duration) {
        if self.is_foreign() || self.is_io_thread() {
            return;
        }
        let until = Instant::now().checked_add(timeout);
        let mut outgoing = lock(&self.outgoing);
        while outgoing.queued_bytes() >= bytes.max(1) {
            let left = until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return;
            }
            outgoing.sleepers += 1;
            outgoing = wait_on(&self.drained, outgoing, left);
            outgoing.sleepers -= 1;
        }
    }
}
