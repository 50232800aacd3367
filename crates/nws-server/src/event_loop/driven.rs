//! The loop without a poll: its turns, connections and time come from a simulation.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use mio::{Poll, Waker};
use nws_core::Core;

use super::{EventLoop, WAKER};
use crate::admission::Rules;
use crate::clock::{Clock, Random};
use crate::config::Limits;
use crate::connection::{Connection, Phase};
use crate::disk::Disk;
use crate::server::{Shared, Split};
use crate::simulation::Held;
use crate::stored::Stored;
use crate::stream::Stream;

/// Long values at a time, unless it is told otherwise.
const MOST_FILES: usize = 10_000;

impl EventLoop {
    pub(crate) fn driven(
        limits: Limits,
        token: nws_proto::Token,
        seed: u64,
        now_ms: Arc<AtomicU64>,
    ) -> io::Result<(Self, Arc<Shared>)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let shared = Arc::new(Shared::new(waker, None, false));
        let rules = Rules { token, allow_users: false, classic_from: Vec::new() };
        let tmp_dir = std::env::temp_dir();
        let descriptors = Split { connections: limits.connections, long_values: MOST_FILES, scarce: false };
        let mut event_loop = Self::new(poll, Vec::new(), rules, limits, tmp_dir, descriptors, Arc::clone(&shared))?;
        event_loop.disk = event_loop.disk.driven();
        event_loop.clock = Clock::Virtual(now_ms);
        event_loop.now_ms = event_loop.clock.now_ms();
        event_loop.random = Random::new(seed);
        Ok((event_loop, shared))
    }

    pub(crate) fn connect(&mut self, stream: Stream, address: Vec<u8>) {
        self.now_ms = self.clock.now_ms();
        self.admit_connection(stream, address);
    }

    pub(crate) fn takes_one_more(&self, unix: bool) -> bool {
        self.has_room(unix)
    }

    pub(crate) fn core(&self) -> &Core<Stored> {
        &self.core
    }

    pub(crate) fn disk(&mut self) -> &mut Disk {
        &mut self.disk
    }

    pub(crate) fn connections(&self) -> (usize, usize) {
        (self.table.len(), self.table.sessions())
    }

    pub(crate) fn held(&mut self) -> Held {
        let (values_bytes, transit_bytes) = (self.core.values_bytes(), self.undelivered_bytes());
        let moving_bytes = (self.disk.writing_bytes() + self.loaded_bytes) as u64;
        let (receiving_bytes, unsent_bytes) = (self.receiving_bytes, self.unsent_bytes());
        let mut held =
            Held { values_bytes, transit_bytes, receiving_bytes, moving_bytes, unsent_bytes, ..Held::default() };
        for slot in self.table.used_slots() {
            let Some(connection) = self.table.get(slot) else { continue };
            held.most_unsent_bytes = held.most_unsent_bytes.max(connection.outbox.unsent_bytes());
            held.listing_bytes += connection.listing.as_ref().map_or(0, |listing| listing.told_bytes());
            held.paused += usize::from(connection.paused);
        }
        held
    }

    pub(crate) fn audit(&mut self) -> Result<(), String> {
        self.core.audit()?;
        let (mut sessions, mut receiving_bytes, mut transit_bytes, mut unsent_bytes) = (0, 0, 0, 0);
        for slot in self.table.used_slots() {
            let Some(connection) = self.table.get(slot) else { continue };
            if connection.awaits_disk && !self.disk.is_busy() {
                return Err(format!("connection {} waits for a disk that has nothing to do", connection.serial));
            }
            audit_connection(connection, &self.limits)
                .map_err(|wrong| format!("connection {}: {wrong}", connection.serial))?;
            receiving_bytes += connection.counted_bytes;
            transit_bytes += connection.transit.bytes();
            unsent_bytes += connection.outbox.held_bytes();
            if let Some(session) = connection.session() {
                sessions += 1;
                same("the slot of a session", self.table.session_slot(session), Some(slot))?;
            }
        }
        same("sessions of connections", self.table.sessions(), sessions)?;
        same("sessions of the core", self.core.sessions(), sessions)?;
        same("bytes being received", self.receiving_bytes, receiving_bytes)?;
        same("bytes in transit", self.transit_bytes, transit_bytes)?;
        same("bytes to be sent", self.unsent_bytes, unsent_bytes)?;
        if self.table.len() == 0 {
            same("bytes that only replies hold", self.pinned.bytes(), 0)?;
        }
        same("connections to be flushed", self.urgent.len() + self.dirty.len(), 0)
    }
}

fn audit_connection(connection: &mut Connection, limits: &Limits) -> Result<(), String> {
    same("bytes counted as being received", connection.counted_bytes, connection.receiving_bytes())?;
    if connection.session().is_none() {
        same("bytes in transit to no session", connection.transit.bytes(), 0)?;
    }
    let closing = matches!(connection.phase, Phase::Closing { .. });
    same("whether a closing connection is paused", closing && connection.paused, false)?;
    let unsent = connection.outbox.unsent_bytes();
    if connection.paused && unsent <= limits.unsent_bytes / 2 {
        return Err(format!("it is not read from though only {unsent} bytes are to be sent"));
    }
    if connection.timer_ms.is_none() && connection.due_ms(limits).is_some() {
        return Err("nobody will look at it in time".to_owned());
    }
    Ok(())
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, has: T, expected: T) -> Result<(), String> {
    if has == expected { Ok(()) } else { Err(format!("{what}: expected {expected:?}, found {has:?}")) }
}
