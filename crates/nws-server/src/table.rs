//! Connections by slot, and sessions by id.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use nws_proto::SessionId;

use crate::connection::Connection;

/// All connections. A slot is used again when its connection is gone.
#[derive(Debug, Default)]
pub(crate) struct Table {
    slots: Vec<Option<Box<Connection>>>,
    free: Vec<usize>,
    /// How many are above the limit, over TCP and over a Unix socket.
    surplus: [usize; 2],
    sessions: HashMap<SessionId, usize, BuildHasherDefault<IdHasher>>,
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// How many connections are not above the limit.
    pub(crate) fn regular(&self) -> usize {
        self.len() - self.surplus.iter().sum::<usize>()
    }

    /// How many connections over this kind of socket are above the limit.
    pub(crate) fn surplus(&self, unix: bool) -> usize {
        self.surplus[usize::from(unix)]
    }

    /// The slot that the next connection gets.
    pub(crate) fn next_slot(&self) -> usize {
        self.free.last().copied().unwrap_or(self.slots.len())
    }

    /// Puts a connection into [`Table::next_slot`].
    pub(crate) fn insert(&mut self, connection: Connection) {
        self.surplus[usize::from(connection.stream.is_unix())] += usize::from(connection.surplus);
        let connection = Some(Box::new(connection));
        match self.free.pop() {
            Some(slot) => self.slots[slot] = connection,
            None => self.slots.push(connection),
        }
    }

    pub(crate) fn get(&mut self, slot: usize) -> Option<&mut Connection> {
        self.slots.get_mut(slot)?.as_deref_mut()
    }

    pub(crate) fn remove(&mut self, slot: usize) -> Option<Box<Connection>> {
        let connection = self.slots.get_mut(slot)?.take()?;
        self.free.push(slot);
        self.surplus[usize::from(connection.stream.is_unix())] -= usize::from(connection.surplus);
        Some(connection)
    }

    pub(crate) fn used_slots(&self) -> Vec<usize> {
        (0..self.slots.len()).filter(|slot| self.slots[*slot].is_some()).collect()
    }

    pub(crate) fn sessions(&self) -> usize {
        self.sessions.len()
    }

    pub(crate) fn session_slot(&self, session: SessionId) -> Option<usize> {
        self.sessions.get(&session).copied()
    }

    pub(crate) fn add_session(&mut self, session: SessionId, slot: usize) {
        self.sessions.insert(session, slot);
    }

    pub(crate) fn remove_session(&mut self, session: SessionId) {
        self.sessions.remove(&session);
    }
}

/// Session ids are the server's own counter, so nobody can choose them to collide.
#[derive(Clone, Copy, Debug, Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64((*byte).into()));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
