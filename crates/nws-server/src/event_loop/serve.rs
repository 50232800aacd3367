//! Reading a connection and executing what it asks.

use std::io;

use bytes::Bytes;
use nws_core::Effect;
use nws_proto::{ErrorCode, Fault, FrameHeader, Opcode, Reply, Request, RequestId, Retrieve, SessionId, limits};

use super::{Asking, CONNECTION_UNITS, EventLoop, TURN_UNITS, UNIT_BYTES};
use crate::connection::Phase;
use crate::detach::detach;
use crate::input::{Admission, Arrival, SMALL_FRAME_BYTES, Scratch, TURN_BYTES};

/// A longer frame is weighed against the memory that is left before it is received. A shorter one
/// arrives in memory that each connection may have beside.
const WEIGHED_PAYLOAD_BYTES: u32 = SMALL_FRAME_BYTES as u32;
/// Frames up to this length are received also where no room is left for values, so that results can
/// take the place of their tasks, as long as all that is being received takes no more than the latter.
const RECEIVED_ANYHOW_PAYLOAD_BYTES: u32 = 1 << 20;
const RECEIVED_ANYHOW_BYTES: u64 = 16 << 20;

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
        if connection.paused || connection.listing.is_some() {
            return;
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        connection.input.begin(&mut scratch);
        self.receive_and_execute(slot, &mut scratch);
        if let Some(connection) = self.table.get(slot) {
            connection.input.finish(&mut scratch);
            let announced_bytes = connection.receiving_bytes();
            self.receiving_bytes -= std::mem::replace(&mut connection.counted_bytes, announced_bytes);
            self.receiving_bytes += announced_bytes;
        }
        scratch.discard();
        self.scratch = scratch;
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
                    // Anew, as a turn may be long: a wait is counted from when it arrived.
                    self.now_ms = self.clock.now_ms();
                    connection.heard(self.now_ms);
                    // The poll tells when more comes, but of the end it may have told already.
                    emptied = room_left && !connection.hung_up;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    connection.hung_up = false;
                    return;
                }
                Err(_) => return self.close(slot, "it was cut off"),
            }
        }
    }

    /// Executes the frames that have arrived whole.
    fn execute_complete(&mut self, slot: usize, scratch: &mut Scratch) -> Onward {
        loop {
            let Some(connection) = self.table.get(slot) else { return Onward::Stop };
            let session = match connection.phase {
                Phase::Open { session, .. } => session,
                Phase::Closing { .. } => {
                    connection.input = Default::default();
                    connection.classic = None;
                    scratch.discard();
                    return Onward::Receive;
                }
                _ => match self.shake_hands(slot, scratch) {
                    Some(onward) => return onward,
                    None => continue,
                },
            };
            if connection.listing.is_some() {
                return Onward::Stop;
            }
            if connection.outbox.unsent_bytes() > self.limits.unsent_bytes {
                // Sending may make room at once; what has arrived waits in the connection's own memory.
                connection.paused = true;
                self.flush_soon(slot);
                return Onward::Stop;
            }
            if connection.classic.is_some() {
                match self.execute_classic(slot, session, scratch) {
                    Some(onward) => return onward,
                    None => continue,
                }
            }
            let (room, receivable) = (self.room_bytes(slot), self.receivable_bytes(slot));
            let Some(connection) = self.table.get(slot) else { return Onward::Stop };
            let longest = self.limits.frame_payload_bytes;
            match connection.input.next(scratch, |header| admit(header, longest, room, receivable)) {
                Ok(Some(Arrival::Short(header, _))) if header.opcode == Opcode::Pong.to_wire() => {}
                Ok(Some(Arrival::Short(header, payload))) => {
                    self.execute(slot, session, header, Request::decode_copying(header.opcode, payload));
                }
                Ok(Some(Arrival::Frame(header, payload))) => {
                    let payload_bytes = payload.len();
                    let mut request = Request::decode(header.opcode, payload);
                    if let Ok(request) = &mut request {
                        detach(payload_bytes, request);
                    }
                    self.execute(slot, session, header, request);
                }
                Ok(Some(Arrival::Skipped(header, fault))) => self.refuse(slot, session, header.request, fault),
                Ok(None) => return Onward::Receive,
                Err(fault) => {
                    self.say_goodbye(slot, fault);
                    scratch.discard();
                }
            }
        }
    }

    /// How many more bytes of values there is room for beside what is being received. What this
    /// connection receives is counted at the end of its turn, and may have come whole since.
    pub(super) fn room_bytes(&mut self, slot: usize) -> u64 {
        let mut receiving_bytes = self.receiving_bytes;
        if let Some(connection) = self.table.get(slot) {
            receiving_bytes = receiving_bytes - connection.counted_bytes + connection.receiving_bytes();
        }
        let taken = self.core.values_bytes() + self.core.names_bytes() + receiving_bytes + self.transit_bytes;
        self.limits.values_bytes.saturating_sub(taken)
    }

    /// How long a payload may be that begins to arrive now, in bytes.
    pub(super) fn receivable_bytes(&mut self, slot: usize) -> u64 {
        let anyhow_bytes = if self.receiving_bytes < RECEIVED_ANYHOW_BYTES { RECEIVED_ANYHOW_PAYLOAD_BYTES } else { 0 };
        self.room_bytes(slot).max(anyhow_bytes.max(WEIGHED_PAYLOAD_BYTES).into())
    }

    fn execute(
        &mut self,
        slot: usize,
        session: SessionId,
        header: FrameHeader,
        request: Result<Request<Bytes>, Fault>,
    ) {
        match request {
            Ok(request) => {
                let fetches = matches!(request, Request::Retrieve(Retrieve { take: true, lease: false, .. }));
                self.measures.operations += 1;
                self.spent_units += 1;
                if self.begin_listing(slot, session, header.request, &request) {
                    return;
                }
                let random = self.random.next();
                // The millisecond that has begun is not counted: no wait ends before its time.
                let now_ms = self.now_ms + 1;
                self.core.set_undelivered_bytes(self.transit_bytes);
                self.core.request(now_ms, random, session, header.request, request, &mut self.effects);
                self.carry_out(Some(Asking { session, slot, request: header.request, fetches }));
            }
            Err(fault) => self.say_goodbye(slot, fault),
        }
    }

    fn refuse(&mut self, slot: usize, session: SessionId, request: RequestId, fault: Fault) {
        self.effects.push(Effect::Reply { session, request, reply: Reply::Failed(fault) });
        self.carry_out(Some(Asking { session, slot, request, fetches: false }));
    }
}

/// What is to happen with a session's frame, by its header alone.
fn admit(header: &FrameHeader, longest_bytes: u32, room_bytes: u64, receivable_bytes: u64) -> Admission {
    let carries_values = match Opcode::from_wire(header.opcode) {
        Some(Opcode::Store | Opcode::Finish) => true,
        Some(Opcode::Pong) if header.payload_bytes == 0 => return Admission::Take,
        Some(opcode) if opcode.to_wire() < Opcode::Done.to_wire() && opcode != Opcode::Hello => false,
        _ => {
            let message = format!("expected a request of protocol version 1, got opcode {:#06x}", header.opcode);
            return Admission::Refuse(Fault::new(ErrorCode::UnknownOpcode, message));
        }
    };
    if header.request.0 == 0 {
        let message = "expected a request id from 1 to 4294967295, got 0";
        return Admission::Refuse(Fault::new(ErrorCode::MalformedFrame, message));
    }
    let longest_bytes = if carries_values { longest_bytes } else { longest_bytes.min(limits::PLAIN_PAYLOAD_BYTES) };
    if header.payload_bytes > longest_bytes {
        let message = format!(
            "expected a payload of at most {longest_bytes} bytes (setting frame-size), got one of {}; send fewer values \
             in a frame",
            header.payload_bytes
        );
        return Admission::Refuse(Fault::new(ErrorCode::FrameTooLong, message));
    }
    if u64::from(header.payload_bytes) > receivable_bytes {
        let message = format!(
            "expected at most {room_bytes} bytes, the room left for values (setting values-memory), got {}; fetch or \
             delete values first",
            header.payload_bytes
        );
        return Admission::Skip(Fault::new(ErrorCode::MemoryFull, message));
    }
    Admission::Take
}
