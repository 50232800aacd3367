//! What is to happen with a frame or a value, before it is received.

use nws_proto::classic::Weight;
use nws_proto::{ErrorCode, Fault, FrameHeader, Opcode, limits};

use crate::config::Limits;
use crate::disk::Disk;
use crate::input::Admission;

/// From this length on what brings values is weighed against the memory that is left, in bytes.
const WEIGHED_BYTES: u32 = 1 << 20;

/// A session's frame, by its header and what of its payload has come. There is memory for `room_bytes`
/// more of values.
pub(super) fn of_frame(header: &FrameHeader, come: &[u8], limits: &Limits, room_bytes: u64, disk: &Disk) -> Admission {
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
    if !carries_values || header.payload_bytes <= WEIGHED_BYTES || length <= room_bytes.min(limits.spill_bytes) {
        return Admission::Take;
    }
    long_frame(header, come, limits, room_bytes, disk)
}

/// A store or finish that is not to be received into memory, if it has but one value.
fn long_frame(header: &FrameHeader, come: &[u8], limits: &Limits, room_bytes: u64, disk: &Disk) -> Admission {
    let length = u64::from(header.payload_bytes);
    let Some(head_bytes) = super::long::head_bytes(header.opcode) else { return Admission::Take };
    let Some(head) = come.get(..head_bytes) else { return Admission::Wait };
    let field = |at: usize| head.get(at..at + 4).and_then(|field| field.try_into().ok()).map(u32::from_le_bytes);
    if field(4) != Some(1) {
        if length <= room_bytes {
            return Admission::Take;
        }
        return Admission::Skip(memory_full(length, room_bytes));
    }
    let value_bytes = length - head_bytes as u64;
    if field(head_bytes - 4).map(u64::from) != Some(value_bytes) {
        let message = "expected a frame that ends with its value";
        return Admission::Refuse(Fault::new(ErrorCode::MalformedFrame, message));
    }
    if value_bytes > limits.value_bytes {
        return Admission::Skip(too_long(value_bytes, limits.value_bytes));
    }
    match disk.check_room(value_bytes) {
        Ok(()) => Admission::Spool { head_bytes },
        Err(_) if length <= room_bytes => Admission::Take,
        Err(fault) if length > limits.spill_bytes => Admission::Skip(fault),
        Err(_) => Admission::Skip(memory_full(length, room_bytes)),
    }
}

/// A value of the classic protocol, by its length.
pub(super) fn of_value(length: u64, limits: &Limits, room_bytes: u64, disk: &Disk) -> Weight {
    if length > limits.value_bytes {
        return Weight::Refuse(limits.value_bytes);
    }
    // What is in memory has to fit the frames of other clients.
    let spill_bytes = limits.spill_bytes.min(limits.frame_payload_bytes.min(limits::VALUE_BYTES).into());
    if length <= WEIGHED_BYTES.into() || length <= room_bytes.min(spill_bytes) {
        return Weight::Take;
    }
    match disk.check_room(length) {
        Ok(()) => Weight::Spool,
        Err(_) if length <= room_bytes.min(limits::VALUE_BYTES.into()) => Weight::Take,
        Err(_) => Weight::Skip,
    }
}

fn memory_full(length: u64, room_bytes: u64) -> Fault {
    let message = format!(
        "expected at most {room_bytes} bytes, the room left for values in memory (setting values-memory), got {length}; \
         fetch or delete values first, or store them one by one: a single value can go to the disk (setting values-disk)"
    );
    Fault::new(ErrorCode::MemoryFull, message)
}

fn too_long(length: u64, most: u64) -> Fault {
    let message = format!("a value has at most {most} bytes (setting value-size), this one has {length}");
    Fault::new(ErrorCode::ValueTooLong, message)
}
