//! Sending.

use mio::{Interest, Token};

use super::{CONNECTION_UNITS, CONNECTIONS, EventLoop, TURN_UNITS, UNIT_BYTES};
use crate::connection::Phase;
use crate::outbox::Flushed;

/// The part of a turn's sending that is left to a turn that had more to execute than its share.
const BUSY_PART: usize = 8;

impl EventLoop {
    /// Puts the connection in the line of those to be flushed this turn.
    pub(super) fn flush_soon(&mut self, slot: usize) {
        if let Some(connection) = self.table.get(slot)
            && !connection.dirty
        {
            connection.dirty = true;
            self.dirty.push_back(slot);
        }
    }

    /// Flushes each connection that has something coming, once, as many as a turn has time for: those
    /// first that others' stores went to, so that who waited runs before who stored.
    pub(super) fn flush(&mut self) {
        // One request can answer thousands, which has taken its time already.
        let most = if self.spent_units < TURN_UNITS { TURN_UNITS } else { TURN_UNITS / BUSY_PART };
        self.spent_units = 0;
        while self.spent_units < most
            && let Some(slot) = self.urgent.pop_front().or_else(|| self.dirty.pop_front())
        {
            self.flush_one(slot);
        }
    }

    pub(super) fn flush_one(&mut self, slot: usize) {
        let Some(connection) = self.table.get(slot) else { return };
        connection.dirty = false;
        let was_blocked = connection.watches_writing;
        let sent = connection.outbox.sent();
        self.loaded_bytes -= connection.outbox.loaded_bytes();
        let flushed = connection.outbox.flush(&connection.stream, &mut self.spare);
        self.loaded_bytes += connection.outbox.loaded_bytes();
        let unsent_bytes = connection.outbox.held_bytes();
        self.unsent_bytes -= std::mem::replace(&mut connection.unsent_bytes, unsent_bytes);
        self.unsent_bytes += unsent_bytes;
        let Ok(flushed) = flushed else { return self.close(slot, "it has gone while it was sent to") };
        let sent_bytes = connection.outbox.sent() - sent;
        self.measures.sent_bytes += sent_bytes;
        self.spent_units += CONNECTION_UNITS + sent_bytes as usize / UNIT_BYTES;
        self.transit_bytes -= connection.transit.bytes();
        connection.transit.sent(connection.outbox.sent(), &mut self.spare_queues);
        self.transit_bytes += connection.transit.bytes();
        if sent_bytes > 0 {
            connection.told_ms = self.now_ms;
            if was_blocked {
                // Who reads what was waiting for it is there, even if its answers to pings are stuck
                // behind a large value.
                connection.heard(self.now_ms);
            }
        }
        let blocked = flushed == Flushed::Blocked;
        if blocked != connection.watches_writing {
            connection.watches_writing = blocked;
            let interests = if blocked { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
            let registry = self.poll.registry();
            if registry.reregister(&mut connection.stream, Token(CONNECTIONS + slot), interests).is_err() {
                return self.close(slot, "the poll refuses it");
            }
        }
        match flushed {
            Flushed::All if matches!(connection.phase, Phase::Closing { .. }) && !connection.writing_ended => {
                connection.writing_ended = true;
                connection.stream.end_writing();
            }
            Flushed::Yielded => {
                connection.dirty = true;
                self.later.push(slot);
            }
            _ => {}
        }
        if connection.paused && connection.outbox.unsent_bytes() <= self.limits.unsent_bytes / 2 {
            connection.paused = false;
            self.stand_in_line(slot);
        }
        self.load(slot);
    }
}
