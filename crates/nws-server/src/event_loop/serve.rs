//! Reading a connection and executing what it asks.

use std::io;

use bytes::Bytes;
use nws_proto::{Fault, FrameHeader, LongRequest, Opcode, Reply, Request, RequestId, Retrieve, Sent, SessionId};

use super::{Asking, CONNECTION_UNITS, EventLoop, TURN_UNITS, UNIT_BYTES, weigh};
use crate::connection::Phase;
use crate::detach::detach;
use crate::input::{Admission, Arrival, Scratch, TURN_BYTES};
use crate::long::Held;
use crate::stored::Stored;

/// How many values are taken in, or given out, in a unit's time.
pub(super) const UNIT_VALUES: usize = 8;

/// Whether to go on with a connection.
pub(super) enum Onward {
    /// What is complete has been executed.
    Receive,
    /// It is not to be read from for now, or is gone.
    Stop,
}

impl EventLoop {
    /// Serves those who stand in line now, as many as a turn has time for. Who has more than its share
    /// stands at the end of it again.
    pub(super) fn serve_line(&mut self) {
        self.spent_units = 0;
        for _ in 0..self.line.len() {
            if self.spent_units >= TURN_UNITS {
                return;
            }
            let Some(slot) = self.line.pop_front() else { return };
            self.serve(slot);
        }
    }

    pub(super) fn serve(&mut self, slot: usize) {
        let Some(connection) = self.table.get(slot) else { return };
        connection.in_line = false;
        self.spent_units += CONNECTION_UNITS;
        self.has_executed = false;
        if connection.paused || connection.awaits_disk || connection.listing.is_some() {
            return;
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        connection.input.begin(&mut scratch);
        self.receive_and_execute(slot, &mut scratch);
        if let Some(connection) = self.table.get(slot) {
            connection.input.finish(&mut scratch);
        }
        self.count_receiving(slot);
        scratch.discard();
        self.scratch = scratch;
    }

    /// Counts anew what is in memory of this connection's requests.
    pub(super) fn count_receiving(&mut self, slot: usize) {
        if let Some(connection) = self.table.get(slot) {
            let bytes = connection.receiving_bytes();
            self.receiving_bytes -= std::mem::replace(&mut connection.counted_bytes, bytes);
            self.receiving_bytes += bytes;
        }
    }

    fn receive_and_execute(&mut self, slot: usize, scratch: &mut Scratch) {
        let (mut budget, mut emptied) = (TURN_BYTES, false);
        loop {
            if let Onward::Stop = self.execute_complete(slot, scratch) {
                return;
            }
            let Some(connection) = self.table.get(slot) else { return };
            if emptied {
                return;
            }
            if budget == 0 {
                return self.stand_in_line(slot);
            }
            match connection.input.receive(&connection.stream, scratch, budget) {
                Ok((0, _)) => return self.close(slot, "it hung up"),
                Ok((count, room_left)) => {
                    budget -= count;
                    self.measures.received_bytes += count as u64;
                    self.spent_units += count / UNIT_BYTES;
                    connection.heard(self.now_ms);
                    // The poll tells when more comes, but of the end it may have told already.
                    emptied = room_left && !connection.hung_up;
                    if connection.input.body().is_some() {
                        self.weigh_again(slot);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    connection.hung_up = false;
                    return;
                }
                Err(_) => return self.close(slot, "it was cut off"),
            }
        }
    }

    /// Executes what has arrived whole.
    fn execute_complete(&mut self, slot: usize, scratch: &mut Scratch) -> Onward {
        loop {
            let Some(connection) = self.table.get(slot) else { return Onward::Stop };
            let onward = match connection.phase {
                Phase::Open { session, .. } => self.execute_next(slot, session, scratch),
                Phase::Closing { .. } => {
                    connection.input = Default::default();
                    connection.classic = None;
                    scratch.discard();
                    return Onward::Receive;
                }
                Phase::Greeting | Phase::Challenged { .. } => self.shake_hands(slot, scratch),
            };
            if let Some(onward) = onward {
                return onward;
            }
            self.has_executed = true;
        }
    }

    /// Executes what a session has said next: `None` when there may be more.
    #[inline]
    fn execute_next(&mut self, slot: usize, session: SessionId, scratch: &mut Scratch) -> Option<Onward> {
        let Some(connection) = self.table.get(slot) else { return Some(Onward::Stop) };
        if connection.listing.is_some() {
            return Some(Onward::Stop);
        }
        if self.has_executed && self.spent_units >= TURN_UNITS {
            self.stand_in_line(slot);
            return Some(Onward::Stop);
        }
        if connection.outbox.unsent_bytes() > self.limits.unsent_bytes {
            // Sending may make room at once; what has arrived waits in the connection's own memory.
            connection.paused = true;
            self.flush_soon(slot);
            return Some(Onward::Stop);
        }
        if connection.long.is_some() {
            if self.awaits_disk(slot) {
                return Some(Onward::Stop);
            }
            if self.execute_held(slot, session) {
                return None;
            }
        }
        let Some(connection) = self.table.get(slot) else { return Some(Onward::Stop) };
        if connection.classic.is_some() {
            return self.execute_classic(slot, session, scratch);
        }
        if scratch.unread().is_empty() && connection.input.is_between_frames() {
            return Some(Onward::Receive);
        }
        self.execute_frame(slot, session, scratch)
    }

    /// Executes the next frame, where it has come whole.
    #[inline]
    fn execute_frame(&mut self, slot: usize, session: SessionId, scratch: &mut Scratch) -> Option<Onward> {
        let room = self.room(slot);
        let Self { table, limits, disk, .. } = self;
        let Some(connection) = table.get(slot) else { return Some(Onward::Stop) };
        let mut stands = false;
        let admit = |header: &FrameHeader, come: &[u8]| match weigh::frame(header, come, limits, room, disk) {
            Admission::Spool { .. } if disk.is_full() => {
                stands = true;
                Admission::Wait
            }
            admission => admission,
        };
        match connection.input.next(scratch, admit) {
            Ok(Some(Arrival::Short(header, _))) if header.opcode == Opcode::Pong.to_wire() => {}
            Ok(Some(Arrival::Short(header, payload))) if LongRequest::has(header.opcode) => {
                let request = LongRequest::decode(header.opcode, Bytes::copy_from_slice(payload));
                self.execute_long(slot, session, header.request, request);
            }
            Ok(Some(Arrival::Short(header, payload))) => match Request::decode_copying(header.opcode, payload) {
                Ok(request) => self.ask(slot, session, header.request, request),
                // It is malformed, or its values were sent before it.
                Err(_) => self.execute(slot, session, header, Request::decode_copying(header.opcode, payload)),
            },
            Ok(Some(Arrival::Frame(header, payload))) if LongRequest::has(header.opcode) => {
                self.execute_long(slot, session, header.request, LongRequest::decode(header.opcode, payload));
            }
            Ok(Some(Arrival::Frame(header, payload))) => self.execute_long_frame(slot, session, header, payload),
            Ok(Some(Arrival::Skipped(header, fault))) => self.refuse(slot, session, header.request, fault),
            Ok(Some(Arrival::Spooling(piece))) => self.spool_of_frame(slot, session, piece),
            Ok(None) if stands => {
                self.await_disk(slot);
                return Some(Onward::Stop);
            }
            Ok(None) => return Some(Onward::Receive),
            Err(fault) => {
                self.say_goodbye(slot, fault);
                scratch.discard();
            }
        }
        None
    }

    /// Executes a frame whose values share its memory.
    fn execute_long_frame(&mut self, slot: usize, session: SessionId, header: FrameHeader, payload: Bytes) {
        let payload_bytes = payload.len();
        if let Ok(mut request) = Request::decode(header.opcode, payload.clone()) {
            detach(payload_bytes, &mut request);
            return self.ask(slot, session, header.request, request);
        }
        // It is malformed, or its values were sent before it.
        let mut request = Request::decode(header.opcode, payload);
        if let Ok(request) = &mut request {
            detach(payload_bytes, request);
        }
        self.execute(slot, session, header, request);
    }

    fn execute(&mut self, slot: usize, session: SessionId, header: FrameHeader, request: Result<Request<Sent>, Fault>) {
        match request {
            Ok(request) if self.is_early(slot, &request) => self.hold(slot, Held::Transferred(header.request, request)),
            Ok(request) => self.execute_request(slot, session, header.request, request),
            Err(fault) => self.say_goodbye(slot, fault),
        }
    }

    /// Executes a request whose values the server has.
    pub(super) fn execute_request(&mut self, slot: usize, session: SessionId, id: RequestId, request: Request<Sent>) {
        match self.resolve(slot, request) {
            Ok(request) => self.ask(slot, session, id, request),
            Err(fault) => self.refuse(slot, session, id, fault),
        }
    }

    /// Makes a request of the core and carries out what comes of it.
    pub(super) fn ask(&mut self, slot: usize, session: SessionId, id: RequestId, request: Request<Stored>) {
        if self.begin_listing(slot, session, id, &request) {
            return;
        }
        let fetches = matches!(request, Request::Retrieve(Retrieve { take: true, lease: false, .. }));
        let random = self.random.next();
        if request.waits_for_a_time() {
            // Anew, as a turn may be long: a wait is counted from when it arrived.
            self.now_ms = self.clock.now_ms();
        }
        // The millisecond that has begun is not counted: no wait ends before its time.
        let now_ms = self.now_ms + 1;
        self.measures.operations += 1;
        self.spent_units += 1 + request.values() / UNIT_VALUES;
        let outside_bytes = self.outside_bytes(slot);
        self.core.set_undelivered_bytes(outside_bytes);
        self.core.request(now_ms, random, session, id, request, &mut self.effects);
        self.carry_out(Some(Asking { session, slot, request: id, fetches }));
    }

    pub(super) fn refuse(&mut self, slot: usize, session: SessionId, request: RequestId, fault: Fault) {
        self.answer(slot, session, request, Reply::Failed(fault));
    }
}
