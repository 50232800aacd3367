//! What the connection's users and its I/O thread share.
//!
//! The locks `in_flight` and `outgoing` are never held together, and no function of a user's runs
//! under any lock.

use std::cell::Cell;
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nws_proto::{Event, Fault, Given, LeaseId, LongRequest, Opcode, Reply, Request, RequestId, SessionId, TransferId};

use crate::Error;
use crate::awaited::{Answer, Place};
use crate::in_flight::{InFlight, Outcome, Receiver};
use crate::outgoing::{Frame, Outgoing};
use crate::pending::Slot;
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

/// Unlocks, and only then drops what was sent.
fn let_go(mut outgoing: MutexGuard<'_, Outgoing>) {
    let spent = outgoing.take_spent();
    drop(outgoing);
    drop(spent);
}

/// Calls a function of a user's; if it panics, the others are told all the same.
fn contain(tell: impl FnOnce()) {
    // The panic was reported by its hook, and there is nobody else to tell.
    let _ = catch_unwind(AssertUnwindSafe(tell));
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

    pub(crate) fn is_in_flight(&self, id: RequestId) -> bool {
        lock(&self.in_flight).contains(id)
    }

    pub(crate) fn is_abandoned(&self, id: RequestId) -> bool {
        lock(&self.in_flight).is_abandoned(id)
    }

    /// Who asked for the part that has come, if somebody did.
    pub(crate) fn part_receiver(&self, id: RequestId) -> Option<Receiver> {
        lock(&self.in_flight).remove(id)
    }

    /// Gives a reply to who reads its values part by part. False: nobody does so.
    pub(crate) fn give_unread(&self, id: RequestId, reply: Reply<Given>) -> bool {
        let mut in_flight = lock(&self.in_flight);
        if !in_flight.is_unread(id) {
            return false;
        }
        let receiver = in_flight.remove(id);
        drop(in_flight);
        if let Some(Receiver::Unread(slot)) = receiver
            && let Some(Ok(reply)) = slot.complete(Ok(reply))
        {
            reply.give_back(self);
        }
        true
    }

    pub(crate) fn is_unread(&self, id: RequestId) -> bool {
        lock(&self.in_flight).is_unread(id)
    }

    /// Sends a request whose answer does not matter.
    pub(crate) fn submit_and_forget(&self, request: &Request<Bytes>) {
        // It fails where the connection has ended, and with it what the request was about.
        let _ = self.submit(request, Receiver::Nobody);
    }

    fn send(&self, frames: impl IntoIterator<Item = Frame>) {
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

    pub(crate) fn cancel(&self, id: RequestId) {
        if !self.is_foreign() && lock(&self.in_flight).contains(id) {
            self.submit_and_forget(&Request::Cancel { target: id });
        }
    }

    /// Nobody waits for this answer any more: a wait ends, and leases that came or come go back.
    pub(crate) fn abandon(&self, id: RequestId, slot: &Slot, waits: bool) {
        // Where something is to be done with the answer, it still goes to the slot, which knows what.
        let late = slot.has_late();
        let unanswered = if late { lock(&self.in_flight).contains(id) } else { lock(&self.in_flight).abandon(id) };
        if (late || !unanswered)
            && let Some(outcome) = slot.abandon()
        {
            self.untaken(slot, outcome);
        } else if unanswered && waits {
            self.submit_and_forget(&Request::Cancel { target: id });
        }
    }

    /// The same of an answer that is no reply of the core.
    pub(crate) fn abandon_awaited<R: Answer>(&self, id: RequestId, place: &Place<R>, waits: bool) {
        if lock(&self.in_flight).abandon(id) {
            if waits {
                self.submit_and_forget(&Request::Cancel { target: id });
            }
        } else if let Some(Ok(answer)) = place.abandon() {
            answer.give_back(self);
        }
    }

    /// Nobody takes this answer.
    fn untaken(&self, slot: &Slot, outcome: Outcome) {
        match (slot.late(), outcome) {
            (Some(late), Ok(reply)) => late(reply),
            (_, outcome) => self.give_back(outcome),
        }
    }

    /// Gives an answer to who waits for it. False: nobody asked.
    pub(crate) fn answer(&self, id: RequestId, reply: Reply<Bytes>) -> bool {
        self.tell(
            id,
            match reply {
                Reply::Failed(fault) => Err(Error::Fault(fault)),
                Reply::TimedOut => Err(Error::TimedOut),
                Reply::Canceled => Err(Error::Canceled),
                reply => Ok(reply),
            },
        )
    }

    fn tell(&self, id: RequestId, outcome: Outcome) -> bool {
        let Some(receiver) = lock(&self.in_flight).remove(id) else { return false };
        match receiver {
            Receiver::Then(then) => then(outcome),
            Receiver::Pending(slot) => {
                if let Some(outcome) = slot.complete(outcome) {
                    self.untaken(&slot, outcome);
                }
            }
            Receiver::Closed { request, reply } => {
                if let Err(error) = outcome {
                    return self.tell(request, Err(error));
                }
                return self.answer(request, *reply);
            }
            Receiver::Unread(slot) => {
                let unread = |reply: Reply<Bytes>| reply.try_map(|bytes| Ok::<_, Error>(Given::Here(bytes)));
                if let Some(Ok(reply)) = slot.complete(outcome.and_then(unread)) {
                    reply.give_back(self);
                }
            }
            Receiver::PartTo(slot) => match outcome {
                Err(error) => drop(slot.complete(Err(error))),
                Ok(_) => return false,
            },
            // A part that was asked for is there.
            Receiver::Part => return false,
            Receiver::Nobody => self.give_back(outcome),
        }
        true
    }

    /// Releases the leases in an answer that nobody takes.
    pub(crate) fn give_back(&self, outcome: Outcome) {
        let leases: Vec<LeaseId> = match outcome {
            Ok(Reply::Values { first_lease: LeaseId(first), values, .. }) if first != 0 => {
                (first..).take(values.len()).map(LeaseId).collect()
            }
            Ok(Reply::Adopted(adopted)) => adopted.leases.iter().map(|orphan| orphan.lease).collect(),
            _ => return,
        };
        if !leases.is_empty() {
            self.submit_and_forget(&Request::Release { leases, died: false, recalled: false });
        }
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

    /// The end, told by the I/O thread: everybody who waits hears of it.
    pub(crate) fn finish(&self, reason: String) {
        let error = lock(&self.close_reason).clone().unwrap_or_else(|| Error::closed(reason));
        self.socket.shut_down();
        let waiting = lock(&self.in_flight).close(error.clone());
        let mut outgoing = lock(&self.outgoing);
        outgoing.end();
        let_go(outgoing);
        self.drained.notify_all();
        for receiver in waiting {
            match receiver {
                Receiver::Then(then) => contain(|| then(Err(error.clone()))),
                Receiver::Pending(slot) => drop(slot.complete(Err(error.clone()))),
                Receiver::Unread(slot) => drop(slot.complete(Err(error.clone()))),
                Receiver::PartTo(slot) => drop(slot.complete(Err(error.clone()))),
                Receiver::Part | Receiver::Closed { .. } | Receiver::Nobody => {}
            }
        }
        let handlers = std::mem::take(&mut *lock(&self.close_handlers));
        handlers.into_iter().for_each(|handler| contain(|| handler(&error)));
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
