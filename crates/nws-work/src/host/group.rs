//! The group of workers: closed to whoever has not joined.

use super::inner::Host;
use super::worker::Ended;
use crate::control::FromHost;

impl Host {
    /// Whoever has not joined by now is too late.
    pub(super) fn close_group(&mut self) {
        let (ranks, late) = self.crew.close_group(self.bootstrap.is_some());
        for rank in late {
            self.refuse_if_given_up(rank);
            // One that is connected is being set up in vain, or has tasks already, and looks no more
            // for what it is told.
            if self.crew.worker(rank).is_some_and(|worker| worker.is_connected()) {
                self.crew.end(rank, Ended::Late, &mut self.supervisor);
            }
        }
        self.control.send(&FromHost::GroupClosed { ranks });
    }

    /// Tasks for a rank that nobody will run are answered with the reason.
    pub(super) fn refuse_if_given_up(&self, rank: u32) {
        if let (Some(cause), Some(guardian)) = (self.crew.given_up(rank), &self.guardian) {
            guardian.refuse_tasks_of(rank, &cause);
        }
    }
}
