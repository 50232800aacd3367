//! Who connects.

use mio::{Interest, Token};

use super::{CONNECTIONS, EventLoop, UNIX_PART};
use crate::connection::Connection;
use crate::listener::Accepted;
use crate::log::Level;
use crate::outbox::Outbox;
use crate::stream::Stream;

/// Most connections accepted in a row from one listener.
const ACCEPTED_A_TURN: usize = 128;
/// How long to wait before accepting again when descriptors ran out, in milliseconds.
const ACCEPT_PAUSE_MS: u64 = 250;
/// Connections above the limit, of each kind of socket, that are kept for as long as it takes to tell them
/// so.
pub(crate) const SURPLUS_CONNECTIONS: usize = 32;

impl EventLoop {
    /// Accepts those who wait at a listener, as many as a turn has time for.
    pub(super) fn accept(&mut self, place: usize) {
        for _ in 0..ACCEPTED_A_TURN {
            let Some(listener) = self.listeners.get(place) else { return };
            match listener.accept() {
                Accepted::Connection(stream, address) => {
                    self.measures.accepted += 1;
                    self.admit_connection(stream, address);
                }
                Accepted::TryAgain => {}
                Accepted::None => return,
                Accepted::Exhausted => {
                    self.accept_again_ms = Some(self.now_ms + ACCEPT_PAUSE_MS);
                    return;
                }
            }
        }
        // The poll tells only of those who come from now on, and some may be waiting already.
        self.accept_again_ms.get_or_insert(self.now_ms);
    }

    /// Whether one more connection is within the limit. Any user of this machine gets as far as here by TCP:
    /// the owner, who alone gets at the Unix socket, shall find room there.
    pub(super) fn has_room(&self, unix: bool) -> bool {
        let kept = if unix { 0 } else { self.limits.connections / UNIX_PART };
        self.table.regular() < self.limits.connections - kept
    }

    pub(super) fn admit_connection(&mut self, mut stream: Stream, address: Vec<u8>) {
        let unix = stream.is_unix();
        let surplus = !self.has_room(unix);
        if surplus && self.table.surplus(unix) >= SURPLUS_CONNECTIONS {
            return;
        }
        let slot = self.table.next_slot();
        if self.poll.registry().register(&mut stream, Token(CONNECTIONS + slot), Interest::READABLE).is_err() {
            return;
        }
        let peer = String::from_utf8_lossy(&address);
        self.shared.log.write(Level::Debug, "a client has connected", &[("peer", &peer)]);
        let serial = self.next_serial;
        self.next_serial += 1;
        let outbox = Outbox::new(self.pinned.clone());
        self.table.insert(Connection::new(stream, address, outbox, serial, self.now_ms, surplus));
        self.appoint(slot);
        // Its greeting has mostly come already.
        self.stand_in_line(slot);
    }
}
