//! What the connection's users and its I/O thread share.
//!
//! The locks `in_flight` and `outgoing` are never held together, and no function of a user's runs
//! under any lock.

mod answers;
mod sending;

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use mio::{Registry, Token};
use nws_proto::{Event, Fault, LongRequest, Request, RequestId, SessionId, TransferId};

use crate::Error;
use crate::in_flight::{InFlight, Receiver};
use crate::outgoing::{Frame, Outgoing};
use crate::pieces::InPieces;
use crate::platform::Socket;
use crate::transfer::{self, Transferred};

/// Locks, also where a function of a user's panicked once: what is under our locks is whole between
/// any two statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn wait_on<'a, T>(ready: &Condvar, guard: MutexGuard<'a, T>, left: Duration) -> MutexGuard<'a, T> {
    if left == Duration::MAX {
        return ready.wait(guard).unwrap_or_else(PoisonError::into_inner);
    }
    ready.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0
}

/// The socket's name in the poll.
pub(crate) const SOCKET: Token = Token(0);

thread_local! {
    /// The connection whose answers this thread is just giving out; 0: none.
    static DISPATCHING: Cell<usize> = const { Cell::new(0) };
}

type EventHandler = Arc<dyn Fn(Event) + Send + Sync>;
type CloseHandler = Box<dyn FnOnce(&Error) + Send>;

/// One connection.
pub(crate) struct Shared {
    pub(crate) socket: Socket,
    pub(crate) session: SessionId,
    pub(crate) server: [u8; 16],
    /// Longest payload that the server takes.
    pub(crate) payload_limit_bytes: u32,
    pub(crate) silence: Option<Duration>,
    /// Who made the connection; a forked child has another.
    pid: u32,
    in_flight: Mutex<InFlight>,
    outgoing: Mutex<Outgoing>,
    drained: Condvar,
    registry: Registry,
    event_handlers: Mutex<Vec<EventHandler>>,
    close_handlers: Mutex<Vec<CloseHandler>>,
    /// Set where this side closes; goes before the reason that the I/O thread then sees.
    close_reason: Mutex<Option<Error>>,
    pub(crate) last_workspace: AtomicU32,
    pub(crate) last_variable: AtomicU32,
    last_transfer: AtomicU32,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("session", &self.session).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn new(socket: Socket, greeted: &crate::handshake::Greeted, registry: Registry) -> Self {
        let silence_ms = greeted.welcome.silence_ms;
        Self {
            socket,
            session: greeted.welcome.session,
            server: greeted.server,
            payload_limit_bytes: greeted.welcome.frame_payload_bytes,
            silence: (silence_ms != 0).then(|| Duration::from_millis(silence_ms.into())),
            pid: std::process::id(),
            in_flight: Mutex::default(),
            outgoing: Mutex::default(),
            drained: Condvar::new(),
            registry,
            event_handlers: Mutex::default(),
            close_handlers: Mutex::default(),
            close_reason: Mutex::default(),
            last_workspace: AtomicU32::new(0),
            last_variable: AtomicU32::new(0),
            last_transfer: AtomicU32::new(0),
        }
    }

    /// Whether this is another process than the one that connected.
    pub(crate) fn is_foreign(&self) -> bool {
        std::process::id() != self.pid
    }

    pub(crate) fn is_io_thread(&self) -> bool {
        DISPATCHING.get() == std::ptr::from_ref(self).addr()
    }

    /// Marks this thread as the I/O thread of this connection: what it sends is gathered until
    /// [`Shared::flush`].
    pub(crate) fn enter_io_thread(&self) {
        DISPATCHING.set(std::ptr::from_ref(self).addr());
    }

    /// Sends a request and says who is told; or gives both back.
    pub(crate) fn submit<V: InPieces>(
        &self,
        request: &Request<V>,
        receiver: Receiver,
    ) -> Result<RequestId, (Receiver, Error)> {
        if self.is_foreign() {
            return Err((receiver, Error::Forked));
        }
        let payload_bytes = match crate::check::payload_bytes(request, self.payload_limit_bytes) {
            Ok(bytes) => bytes,
            Err(fault) => return self.submit_in_parts(request, receiver, fault),
        };
        let id = lock(&self.in_flight).insert(receiver)?;
        self.send([Frame::of_request(id, request, payload_bytes)]);
        Ok(id)
    }

    /// Sends a request that is too long for a frame, where it has but one value.
    fn submit_in_parts<V: InPieces>(
        &self,
        request: &Request<V>,
        receiver: Receiver,
        fault: Fault,
    ) -> Result<RequestId, (Receiver, Error)> {
        let transfer = self.next_transfer();
        let Some(Transferred { parts, request }) = transfer::in_parts(request, transfer, self.payload_limit_bytes)
        else {
            return Err((receiver, Error::Fault(fault)));
        };
        let payload_bytes = match crate::check::payload_bytes(&request, self.payload_limit_bytes) {
            Ok(bytes) => bytes,
            Err(fault) => return Err((receiver, Error::Fault(fault))),
        };
        let mut in_flight = lock(&self.in_flight);
        let id = in_flight.insert(receiver)?;
        let mut frames = Vec::with_capacity(parts.len() + 1);
        for part in &parts {
            match in_flight.insert(Receiver::Nobody) {
                Ok(id) => frames.push(Frame::of_long_request(id, part)),
                // The connection is open: it took the request.
                Err(_) => return Ok(id),
            }
        }
        drop(in_flight);
        frames.push(Frame::of_request(id, &request, payload_bytes));
        // Together: a session has only so many transfers at a time.
        self.send(frames);
        Ok(id)
    }

    /// Sends a request about a value that travels in parts, and says who is told; or gives both back.
    pub(crate) fn submit_long(
        &self,
        request: &LongRequest,
        receiver: Receiver,
    ) -> Result<RequestId, (Receiver, Error)> {
        if self.is_foreign() {
            return Err((receiver, Error::Forked));
        }
        let id = lock(&self.in_flight).insert(receiver)?;
        self.send([Frame::of_long_request(id, request)]);
        Ok(id)
    }

    /// Sends a request whose answer does not matter.
    pub(crate) fn submit_and_forget(&self, request: &Request<Bytes>) {
        // It fails where the connection has ended, and with it what the request was about.
        let _ = self.submit(request, Receiver::Nobody);
    }

    pub(crate) fn on_event(&self, handler: EventHandler) {
        if !self.is_foreign() {
            lock(&self.event_handlers).push(handler);
        }
    }

    pub(crate) fn tell_event(&self, event: &Event) {
        let handlers = lock(&self.event_handlers).clone();
        handlers.iter().for_each(|handler| handler(event.clone()));
    }

    pub(crate) fn on_close(&self, handler: CloseHandler) {
        if self.is_foreign() {
            return handler(&Error::Forked);
        }
        // Under the lock, so that the handler is either in the list that the end empties, or called
        // here.
        let mut handlers = lock(&self.close_handlers);
        let closed = self.closed();
        match closed {
            None => handlers.push(handler),
            Some(error) => {
                drop(handlers);
                handler(&error);
            }
        }
    }

    pub(crate) fn closed(&self) -> Option<Error> {
        if self.is_foreign() { Some(Error::Forked) } else { lock(&self.in_flight).closed().cloned() }
    }

    /// Ends the connection from this side; the I/O thread does the rest.
    pub(crate) fn close(&self, reason: &str) {
        if self.is_foreign() {
            return;
        }
        lock(&self.close_reason).get_or_insert_with(|| Error::closed(reason));
        self.socket.shut_down();
    }

    pub(crate) fn next_transfer(&self) -> TransferId {
        TransferId(self.last_transfer.fetch_add(1, Ordering::Relaxed).wrapping_add(1))
    }

    pub(crate) fn next_workspace(&self) -> u32 {
        self.last_workspace.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn next_variable(&self) -> u32 {
        self.last_variable.fetch_add(1, Ordering::Relaxed) + 1
    }
}
