//! What is to happen with a frame or a value, before it is received.

use nws_proto::classic::Weight;
use nws_proto::{ErrorCode, Fault, FrameHeader, Head, Heading, Opcode, limits};

use super::EventLoop;
use crate::config::Limits;
use crate::disk::Disk;
use crate::input::{Admission, SMALL_FRAME_BYTES};

/// A longer frame is weighed against the memory that is left before it is received. A shorter one
/// arrives in memory that each connection may have beside.
const WEIGHED_PAYLOAD_BYTES: u32 = SMALL_FRAME_BYTES as u32;
/// Frames up to this length are received also where no room is left for values, so that results can
/// take the place of their tasks, as long as all that is being received takes no more than the latter.
/// A longer one may go to the disk.
const RECEIVED_ANYHOW_PAYLOAD_BYTES: u32 = 1 << 20;
const RECEIVED_ANYHOW_BYTES: u64 = 16 << 20;

/// What memory there is for what begins to arrive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// For values, in bytes.
    bytes: u64,
    /// How long a payload may be, in bytes.
    receivable_bytes: u64,
    /// More is taken than there is, and what is being received of short frames too is more than goes beside.
    outgrown: bool,
    outgrown_by_short: bool,
}

impl Room {
    /// Whether what has come of a frame or value of this length is too much.
    pub(super) fn is_outgrown_by(&self, length: u64) -> bool {
        if length <= RECEIVED_ANYHOW_PAYLOAD_BYTES.into() { self.outgrown_by_short } else { self.outgrown }
    }
}

impl EventLoop {
    /// The room beside what is being received. What this connection receives is counted at the end of its
    /// turn, and may have come whole since.
    pub(super) fn room(&mut self, slot: usize) -> Room {
        let mut receiving_bytes = self.receiving_bytes;
        if let Some(connection) = self.table.get(slot) {
            receiving_bytes = receiving_bytes - connection.counted_bytes + connection.receiving_bytes();
        }
        let taken = self.core.values_bytes() + self.core.names_bytes() + receiving_bytes + self.moving_bytes();
        let bytes = self.limits.values_bytes.saturating_sub(taken);
        let anyhow_bytes = if receiving_bytes < RECEIVED_ANYHOW_BYTES { RECEIVED_ANYHOW_PAYLOAD_BYTES } else { 0 };
        let outgrown = taken > self.limits.values_bytes;
        Room {
            bytes,
            receivable_bytes: bytes.max(anyhow_bytes.max(WEIGHED_PAYLOAD_BYTES).into()),
            outgrown,
            outgrown_by_short: outgrown && receiving_bytes > RECEIVED_ANYHOW_BYTES,
        }
    }

    /// What takes memory beside the core, but for what this connection has of requests and for what goes
    /// beside the limit.
    pub(super) fn outside_bytes(&mut self, slot: usize) -> u64 {
        let mut receiving_bytes = self.receiving_bytes;
        if receiving_bytes > 0
            && let Some(connection) = self.table.get(slot)
        {
            receiving_bytes -= connection.counted_bytes;
        }
        receiving_bytes.saturating_sub(RECEIVED_ANYHOW_BYTES) + self.moving_bytes()
    }

    /// What was announced takes no room, only what has come does: where all together outgrow what there is,
    /// whoever sends next is received no further. Its value goes to the disk, or its request fails.
    pub(super) fn weigh_again(&mut self, slot: usize) {
        let room = self.room(slot);
        let Self { table, limits, disk, .. } = self;
        let Some(connection) = table.get(slot) else { return };
        let Some((header, come)) = connection.input.body() else { return };
        if room.is_outgrown_by(header.payload_bytes.into()) {
            let admission = outgrown(&header, come, limits, room, disk);
            connection.input.change(admission);
        }
    }
}

/// A session's frame, by its header and what of its payload has come.
#[inline]
pub(super) fn frame(header: &FrameHeader, come: &[u8], limits: &Limits, room: Room, disk: &Disk) -> Admission {
    const STORE: u16 = Opcode::Store.to_wire();
    const RETRIEVE: u16 = Opcode::Retrieve.to_wire();
    // Most frames, of which nothing more is to be asked.
    let common = matches!(header.opcode, STORE | RETRIEVE) && header.request.0 != 0;
    if common && header.payload_bytes <= WEIGHED_PAYLOAD_BYTES.min(limits.frame_payload_bytes) {
        return Admission::Take;
    }
    any_frame(header, come, limits, room, disk)
}

fn any_frame(header: &FrameHeader, come: &[u8], limits: &Limits, room: Room, disk: &Disk) -> Admission {
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
        return malformed("expected a request id from 1 to 4294967295, got 0");
    }
    let longest_bytes = limits.frame_payload_bytes;
    let longest_bytes = if carries_values { longest_bytes } else { longest_bytes.min(limits::PLAIN_PAYLOAD_BYTES) };
    if header.payload_bytes > longest_bytes {
        let message = format!(
            "expected a payload of at most {longest_bytes} bytes (setting frame-size), got one of {}; send fewer values \
             in a frame, or a long one in parts",
            header.payload_bytes
        );
        return Admission::Refuse(Fault::new(ErrorCode::FrameTooLong, message));
    }
    let length = u64::from(header.payload_bytes);
    if header.payload_bytes > WEIGHED_PAYLOAD_BYTES && header.opcode == Opcode::TransferPart.to_wire() {
        return part(header, come);
    }
    if length <= room.receivable_bytes && (length <= spill_bytes(limits) || !carries_values) {
        return Admission::Take;
    }
    if carries_values && header.payload_bytes > RECEIVED_ANYHOW_PAYLOAD_BYTES {
        return long_frame(header, come, limits, room, disk);
    }
    Admission::Skip(memory_full(length, room))
}

/// What is to become of a frame that has come in part, where there is no room for more.
fn outgrown(header: &FrameHeader, come: &[u8], limits: &Limits, room: Room, disk: &Disk) -> Admission {
    let carries_values = Head::bytes(header.opcode).is_some();
    if carries_values && header.payload_bytes > RECEIVED_ANYHOW_PAYLOAD_BYTES {
        let admission = long_frame(header, come, limits, room, disk);
        if matches!(admission, Admission::Spool { .. } | Admission::Skip(_)) {
            return admission;
        }
    }
    Admission::Skip(memory_full(header.payload_bytes.into(), room))
}

/// A part of a transfer takes no memory: it goes on as it comes.
fn part(header: &FrameHeader, come: &[u8]) -> Admission {
    let Some((heading, head_bytes)) = heading(header, come) else { return Admission::Wait };
    if !heading.is_of_one(head_bytes, header.payload_bytes) || !heading.fits_a_part() {
        return malformed(
            "malformed TransferPart frame: expected a part of at most 1048576 bytes and the end of the frame",
        );
    }
    Admission::Spool { head_bytes }
}

/// What a frame that may end with its value begins with, where that has come.
fn heading(header: &FrameHeader, come: &[u8]) -> Option<(Heading, usize)> {
    let head_bytes = Head::bytes(header.opcode)?;
    Some((Head::read(header.opcode, come.get(..head_bytes)?)?, head_bytes))
}

/// A store or finish that is not to be received into memory, if it has but one value.
fn long_frame(header: &FrameHeader, come: &[u8], limits: &Limits, room: Room, disk: &Disk) -> Admission {
    let length = u64::from(header.payload_bytes);
    let Some((heading, head_bytes)) = heading(header, come) else { return Admission::Wait };
    if heading.values != 1 {
        return if length <= room.bytes { Admission::Take } else { Admission::Skip(memory_full(length, room)) };
    }
    if !heading.is_of_one(head_bytes, header.payload_bytes) {
        return malformed("expected a frame that ends with its value");
    }
    let value_bytes = u64::from(heading.value_bytes);
    if value_bytes > limits.value_bytes {
        let most = limits.value_bytes;
        let message = format!("a value has at most {most} bytes (setting value-size), this one has {value_bytes}");
        return Admission::Skip(Fault::new(ErrorCode::ValueTooLong, message));
    }
    match disk.check_room(value_bytes) {
        Ok(()) => Admission::Spool { head_bytes },
        Err(_) if length <= room.bytes => Admission::Take,
        Err(fault) if length > spill_bytes(limits) => Admission::Skip(fault),
        Err(_) => Admission::Skip(memory_full(length, room)),
    }
}

/// A value of the classic protocol, by its length.
pub(super) fn value(length: u64, limits: &Limits, room: Room, disk: &Disk) -> Weight {
    if length > limits.value_bytes {
        return Weight::Refuse(limits.value_bytes);
    }
    // What is in memory has to fit the frames of other clients.
    let longest_bytes = u64::from(limits::VALUE_BYTES.min(limits.frame_payload_bytes));
    if length <= room.receivable_bytes.min(spill_bytes(limits)).min(longest_bytes) {
        return Weight::Take;
    }
    if length <= RECEIVED_ANYHOW_PAYLOAD_BYTES.into() {
        return Weight::Skip;
    }
    match disk.check_room(length) {
        Ok(()) => Weight::Spool,
        Err(_) if length <= room.bytes.min(longest_bytes) => Weight::Take,
        Err(_) => Weight::Skip,
    }
}

/// A value of the classic protocol that has come in part, where there is no room for more; by its length.
pub(super) fn outgrown_value(length: u64, disk: &Disk) -> Weight {
    let long = length > RECEIVED_ANYHOW_PAYLOAD_BYTES.into();
    if long && disk.check_room(length).is_ok() { Weight::Spool } else { Weight::Skip }
}

/// From which length on a value goes to disk: none that is received without being weighed for it.
fn spill_bytes(limits: &Limits) -> u64 {
    limits.spill_bytes.max(RECEIVED_ANYHOW_PAYLOAD_BYTES.into())
}

fn malformed(message: &str) -> Admission {
    Admission::Refuse(Fault::new(ErrorCode::MalformedFrame, message))
}

fn memory_full(length: u64, room: Room) -> Fault {
    let message = format!(
        "expected at most {} bytes, the room left for values in memory (setting values-memory), got {length}; fetch or \
         delete values first, or store them one by one: a single value can go to the disk (setting values-disk)",
        room.bytes
    );
    Fault::new(ErrorCode::MemoryFull, message)
}
