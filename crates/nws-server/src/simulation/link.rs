//! A connection in memory.

use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mio::event::Source;
use mio::{Interest, Registry, Token};

use crate::event_loop::Note;
use crate::stream::Carrier;

/// How a client left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gone {
    /// What it sent before can still be received.
    Closed,
    /// What it sent and was not received is lost.
    Reset,
}

/// Both directions of a connection, and what the poll knows of it.
struct Wire {
    unix: bool,
    to_server: Vec<u8>,
    received: usize,
    /// Everything that was ever sent to the client.
    to_client: Vec<u8>,
    read: usize,
    /// Most bytes that may be on their way, in each direction.
    room_bytes: usize,
    /// The client sends nothing more.
    client_ended: bool,
    client_gone: Option<Gone>,
    /// The server sends nothing more.
    server_ended: bool,
    server_gone: bool,
    token: Option<Token>,
    watches_writing: bool,
    /// Something changed since the poll told.
    changed: bool,
    /// The last byte of what is sent next is not taken.
    stops_short: bool,
}

impl Wire {
    fn waiting(&self) -> usize {
        self.to_server.len() - self.received
    }

    fn room_to_client(&self) -> usize {
        self.room_bytes.saturating_sub(self.to_client.len() - self.read)
    }
}

type Shared = Arc<Mutex<Wire>>;

fn lock(wire: &Shared) -> MutexGuard<'_, Wire> {
    wire.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The client's end of a connection. Dropping it changes nothing: a client that is gone without a word
/// looks like one that is silent.
#[derive(Clone)]
pub struct Link(Shared);

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let wire = lock(&self.0);
        f.debug_struct("Link")
            .field("waiting_bytes", &wire.waiting())
            .field("taken_bytes", &wire.to_client.len())
            .field("read_bytes", &wire.read)
            .field("room_bytes", &wire.room_bytes)
            .field("client", &(wire.client_ended, wire.client_gone))
            .field("server", &(wire.server_ended, wire.server_gone))
            .field("poll", &(wire.token, wire.watches_writing, wire.changed))
            .finish()
    }
}

impl Link {
    /// A connection on which at most `room_bytes` are on their way in each direction, and its other end.
    pub(crate) fn new(unix: bool, room_bytes: usize) -> (Self, Socket) {
        let wire = Arc::new(Mutex::new(Wire {
            unix,
            to_server: Vec::new(),
            received: 0,
            to_client: Vec::new(),
            read: 0,
            room_bytes,
            client_ended: false,
            client_gone: None,
            server_ended: false,
            server_gone: false,
            token: None,
            watches_writing: false,
            changed: false,
            stops_short: false,
        }));
        (Self(Arc::clone(&wire)), Socket(wire))
    }

    /// Sends what there is room for, and says how many bytes that were.
    pub fn send(&self, bytes: &[u8]) -> usize {
        let mut wire = lock(&self.0);
        if wire.client_ended || wire.server_gone {
            return 0;
        }
        let count = bytes.len().min(wire.room_bytes.saturating_sub(wire.waiting()));
        wire.to_server.extend_from_slice(&bytes[..count]);
        wire.changed |= count > 0;
        count
    }

    /// Receives up to this many of the bytes that have come.
    pub fn receive(&self, most_bytes: usize) -> Vec<u8> {
        let mut wire = lock(&self.0);
        let end = wire.to_client.len().min(wire.read.saturating_add(most_bytes));
        let bytes = wire.to_client[wire.read..end].to_vec();
        wire.read = end;
        wire.changed |= !bytes.is_empty() && wire.watches_writing;
        bytes
    }

    /// From now on so many bytes may be on their way in each direction.
    pub fn widen(&self, room_bytes: usize) {
        let mut wire = lock(&self.0);
        wire.room_bytes = wire.room_bytes.max(room_bytes);
        wire.changed |= wire.watches_writing;
    }

    /// Of what the server sends next, the last byte is not taken at once.
    pub fn stop_short(&self) {
        lock(&self.0).stops_short = true;
    }

    /// Sends nothing more, and still receives.
    pub fn end_writing(&self) {
        let mut wire = lock(&self.0);
        wire.client_ended = true;
        wire.changed = true;
    }

    /// Leaves. What was sent before still arrives.
    pub fn close(&self) {
        self.leave(Gone::Closed);
    }

    /// Leaves, and what was sent and not received is lost.
    pub fn reset(&self) {
        self.leave(Gone::Reset);
    }

    fn leave(&self, how: Gone) {
        let mut wire = lock(&self.0);
        // The poll tells of it once: who misses that shall not be told again.
        if wire.client_gone.is_none() {
            wire.client_ended = true;
            wire.client_gone = Some(how);
            wire.changed = true;
        }
    }

    /// Whether the server has ended the connection, or its half of it.
    pub fn is_ended(&self) -> bool {
        let wire = lock(&self.0);
        wire.server_ended || wire.server_gone
    }

    /// Whether the server holds the connection no more.
    pub fn is_closed(&self) -> bool {
        lock(&self.0).server_gone
    }

    /// Whether there is something to receive.
    pub fn has_something(&self) -> bool {
        let wire = lock(&self.0);
        wire.read < wire.to_client.len()
    }

    /// How many bytes were ever sent to the client, received or not: what a kernel would have taken.
    pub fn taken(&self) -> usize {
        lock(&self.0).to_client.len()
    }

    /// Looks at all bytes that were ever sent to the client from this place on.
    pub fn look<T>(&self, from: usize, at: impl FnOnce(&[u8]) -> T) -> T {
        at(lock(&self.0).to_client.get(from..).unwrap_or_default())
    }

    /// What the poll tells of it, once for each change. A client that is gone is told of.
    pub(crate) fn note(&self) -> Option<Note> {
        let mut wire = lock(&self.0);
        let token = wire.token.filter(|_| !wire.server_gone)?;
        if !std::mem::take(&mut wire.changed) {
            return None;
        }
        let gone = wire.client_gone.is_some();
        Some(Note {
            token,
            readable: wire.client_ended || wire.waiting() > 0,
            writable: wire.watches_writing && (gone || wire.room_to_client() > 0),
            hung_up: wire.client_ended,
        })
    }

    /// Whether the poll has something to tell of it.
    pub(crate) fn has_changed(&self) -> bool {
        let wire = lock(&self.0);
        wire.changed && wire.token.is_some() && !wire.server_gone
    }
}

/// The server's end of a connection.
pub(crate) struct Socket(Shared);

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Link(Arc::clone(&self.0)).fmt(f)
    }
}

impl Socket {
    pub(crate) fn is_unix(&self) -> bool {
        lock(&self.0).unix
    }

    pub(crate) fn end_writing(&self) -> io::Result<()> {
        lock(&self.0).server_ended = true;
        Ok(())
    }

    fn receive_with(&self, most_bytes: usize, take: impl FnOnce(&[u8])) -> io::Result<usize> {
        let mut wire = lock(&self.0);
        if wire.client_gone == Some(Gone::Reset) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let count = wire.waiting().min(most_bytes);
        if count == 0 && !wire.client_ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        take(&wire.to_server[wire.received..wire.received + count]);
        wire.received += count;
        if wire.received == wire.to_server.len() {
            (wire.to_server, wire.received) = (Vec::new(), 0);
        }
        Ok(count)
    }

    /// Interest is told of at once where there is something to be told.
    fn watch(&self, token: Token, interests: Interest) {
        let mut wire = lock(&self.0);
        wire.token = Some(token);
        wire.watches_writing = interests.is_writable();
        wire.changed = true;
    }
}

impl Carrier for Socket {
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive_with(buffer.len(), |bytes| buffer[..bytes.len()].copy_from_slice(bytes))
    }

    fn receive_into_spare(&self, buffer: &mut Vec<u8>, most_bytes: usize) -> io::Result<usize> {
        let room = buffer.capacity() - buffer.len();
        self.receive_with(room.min(most_bytes), |bytes| buffer.extend_from_slice(bytes))
    }

    fn send_pieces(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut wire = lock(&self.0);
        if wire.client_gone.is_some() || wire.server_ended {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        let mut room = wire.room_to_client();
        if length > 0 && room >= length && std::mem::take(&mut wire.stops_short) {
            room = length - 1;
        }
        if room == 0 && length > 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let before = wire.to_client.len();
        for piece in pieces {
            let left = room - (wire.to_client.len() - before);
            wire.to_client.extend_from_slice(&piece[..piece.len().min(left)]);
        }
        Ok(wire.to_client.len() - before)
    }
}

impl Source for Socket {
    fn register(&mut self, _: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.watch(token, interests);
        Ok(())
    }

    fn reregister(&mut self, _: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.watch(token, interests);
        Ok(())
    }

    fn deregister(&mut self, _: &Registry) -> io::Result<()> {
        lock(&self.0).token = None;
        Ok(())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        lock(&self.0).server_gone = true;
    }
}
