//! Who does not read what it gets: what waits to be sent to all together has a bound.
//!
//! Each connection is read from no more while it has much waiting, but many that have a little are as bad.
//! What is kept for replies alone may take what values leave of the memory, and a part of it anyhow. Beyond
//! that, whoever has read nothing for longest is ended: nobody's store is refused for who does not read.

use std::fmt::Display;

use super::EventLoop;
use crate::log::Level;

/// The part of the memory for values that what waits to be sent may take in any case, and what beside.
const PART: u64 = 8;
const BESIDE_BYTES: u64 = 1 << 20;
/// Most connections ended in a turn.
const ENDED_A_TURN: usize = 32;

impl EventLoop {
    /// What is in memory for replies alone, in bytes: what was written for them, and large values that
    /// nobody else keeps.
    pub(super) fn unsent_bytes(&self) -> u64 {
        self.unsent_bytes + self.pinned.bytes()
    }

    /// Whether that is more than it may be.
    pub(super) fn is_unsent_too_much(&self) -> bool {
        let (unsent_bytes, most_bytes) = (self.unsent_bytes(), self.limits.values_bytes);
        if unsent_bytes <= most_bytes / PART + BESIDE_BYTES {
            return false;
        }
        let others = self.core.values_bytes() + self.core.names_bytes() + self.receiving_bytes + self.moving_bytes();
        others.saturating_add(unsent_bytes) > most_bytes
    }

    /// Ends those who have read nothing for longest, as long as more waits to be sent than may; whether
    /// there is more to be done.
    pub(super) fn end_who_does_not_read(&mut self) -> bool {
        if !self.is_unsent_too_much() {
            return false;
        }
        let mut blocked = Vec::new();
        for slot in self.table.used_slots() {
            if let Some(connection) = self.table.get(slot)
                && connection.watches_writing
            {
                blocked.push((connection.told_ms, connection.serial, slot));
            }
        }
        blocked.sort_unstable();
        let more = blocked.len() > ENDED_A_TURN;
        for (read_ms, _, slot) in blocked.into_iter().take(ENDED_A_TURN) {
            self.end_unread(slot, read_ms);
            if !self.is_unsent_too_much() {
                return false;
            }
        }
        more
    }

    fn end_unread(&mut self, slot: usize, read_ms: u64) {
        let unsent_bytes = self.unsent_bytes();
        let Some(connection) = self.table.get(slot) else { return };
        let peer = String::from_utf8_lossy(&connection.address);
        let (waiting_bytes, silent_ms) = (connection.outbox.unsent_bytes(), self.now_ms.saturating_sub(read_ms));
        let fields: [(&str, &dyn Display); 4] = [
            ("peer", &peer),
            ("waiting_bytes", &waiting_bytes),
            ("unread_ms", &silent_ms),
            ("all_waiting_bytes", &unsent_bytes),
        ];
        let message = "ended the connection that has read nothing for longest: more waits to be sent than may \
                       (setting values-memory)";
        self.shared.log.of_a_connection(Level::Warn, message, &fields);
        self.measures.refused += 1;
        self.measures.unread += 1;
        // It would not read a goodbye.
        self.close(slot, "it does not read what it gets");
    }
}
