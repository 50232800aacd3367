//! Long values: those that lie in a file of the server's, and travel in parts.
//!
//! Where an item's length is [`ELSEWHERE`], its bytes are not in the frame. In a request the number of
//! a *transfer* follows, whose parts were sent before; in a reply the value's length and the number of
//! a *reading*, whose parts can be asked for.

use alloc::vec::Vec;
use bytes::Bytes;

use crate::codec::FromFrame;
use crate::request::decode;
use crate::{Fault, Malformed, Opcode, Reader, ReadingId, Sink, TransferId, limits};

/// The length that says that a value's bytes are not in the frame.
pub const ELSEWHERE: u32 = u32::MAX;

/// A value as a request brings it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Its bytes.
    Here(Bytes),
    /// What came by this transfer, which ends.
    Transfer(TransferId),
}

/// A value as a reply brings it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// Its bytes.
    Here(Bytes),
    /// What can be read, part by part.
    Reading {
        /// To be closed when it is read.
        reading: ReadingId,
        /// The value's length.
        len_bytes: u64,
    },
}

impl FromFrame for Sent {
    fn from_bytes(bytes: Bytes) -> Self {
        Sent::Here(bytes)
    }

    fn from_elsewhere(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.u32("transfer id").map(|id| Sent::Transfer(TransferId(id)))
    }
}

impl FromFrame for Given {
    fn from_bytes(bytes: Bytes) -> Self {
        Given::Here(bytes)
    }

    fn from_elsewhere(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let len_bytes = reader.u64("length of a value")?;
        Ok(Given::Reading { reading: ReadingId(reader.u32("reading id")?), len_bytes })
    }
}

impl Sink<Sent> for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn put_value(&mut self, value: &Sent) {
        if let Sent::Here(bytes) = value {
            self.extend_from_slice(bytes);
        }
    }

    fn value_len(value: &Sent) -> u64 {
        match value {
            Sent::Here(bytes) => bytes.len() as u64,
            Sent::Transfer(_) => 0,
        }
    }

    fn put_sized_value(&mut self, value: &Sent) {
        match value {
            Sent::Here(bytes) => Sink::<Bytes>::put_sized_value(self, bytes),
            Sent::Transfer(transfer) => put_transfer::<Sent, _>(self, *transfer),
        }
    }
}

impl Sink<Given> for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn put_value(&mut self, value: &Given) {
        if let Given::Here(bytes) = value {
            self.extend_from_slice(bytes);
        }
    }

    fn value_len(value: &Given) -> u64 {
        match value {
            Given::Here(bytes) => bytes.len() as u64,
            Given::Reading { len_bytes, .. } => *len_bytes,
        }
    }

    fn put_sized_value(&mut self, value: &Given) {
        match value {
            Given::Here(bytes) => Sink::<Bytes>::put_sized_value(self, bytes),
            Given::Reading { reading, len_bytes } => put_reading::<Given, _>(self, *reading, *len_bytes),
        }
    }
}

/// Writes, in the place of a value, which transfer brought it.
pub fn put_transfer<V, S: Sink<V>>(sink: &mut S, transfer: TransferId) {
    sink.put_u32(ELSEWHERE);
    sink.put_u32(transfer.0);
}

/// Writes, in the place of a value, how long it is and by which reading it can be had.
pub fn put_reading<V, S: Sink<V>>(sink: &mut S, reading: ReadingId, len_bytes: u64) {
    sink.put_u32(ELSEWHERE);
    sink.put_u64(len_bytes);
    sink.put_u32(reading.0);
}

/// What a client asks about values that travel in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LongRequest {
    /// Begins to send a value under a number of the client's choice.
    BeginTransfer {
        /// To be bound.
        transfer: TransferId,
    },
    /// Goes on with it.
    TransferPart {
        /// Which.
        transfer: TransferId,
        /// What follows what was sent before; at most [`limits::PART_BYTES`].
        bytes: Bytes,
    },
    /// Forgets what was sent.
    DropTransfer {
        /// Which.
        transfer: TransferId,
    },
    /// Asks for a part of a value; answered by a `Part`.
    ReadPart {
        /// Which value.
        reading: ReadingId,
        /// Where the part begins.
        offset: u64,
        /// At most so many bytes, 1 to [`limits::PART_BYTES`].
        max_bytes: u32,
    },
    /// The client has what it wants of a value.
    CloseReading {
        /// Which.
        reading: ReadingId,
        /// A value that was fetched without a lease goes back to its place; else it is delivered now.
        give_back: bool,
    },
}

impl LongRequest {
    /// What the frame's header says.
    pub const fn opcode(&self) -> Opcode {
        match self {
            LongRequest::BeginTransfer { .. } => Opcode::BeginTransfer,
            LongRequest::TransferPart { .. } => Opcode::TransferPart,
            LongRequest::DropTransfer { .. } => Opcode::DropTransfer,
            LongRequest::ReadPart { .. } => Opcode::ReadPart,
            LongRequest::CloseReading { .. } => Opcode::CloseReading,
        }
    }

    /// Whether a frame with this opcode is one of these, which follow each other.
    #[inline]
    pub const fn has(opcode: u16) -> bool {
        Opcode::BeginTransfer.to_wire() <= opcode && opcode <= Opcode::CloseReading.to_wire()
    }

    /// Writes the payload.
    pub fn encode(&self, sink: &mut impl Sink<Bytes>) {
        match self {
            LongRequest::BeginTransfer { transfer } | LongRequest::DropTransfer { transfer } => {
                sink.put_u32(transfer.0);
            }
            LongRequest::TransferPart { transfer, bytes } => {
                sink.put_u32(transfer.0);
                sink.put_sized_value(bytes);
            }
            LongRequest::ReadPart { reading, offset, max_bytes } => {
                sink.put_u32(reading.0);
                sink.put_u64(*offset);
                sink.put_u32(*max_bytes);
            }
            LongRequest::CloseReading { reading, give_back } => {
                sink.put_u32(reading.0);
                sink.put_u8((*give_back).into());
            }
        }
    }

    /// Reads the payload of a frame with this opcode.
    ///
    /// # Errors
    /// [`crate::ErrorCode::UnknownOpcode`] or [`crate::ErrorCode::MalformedFrame`]; the connection is
    /// to end.
    pub fn decode(opcode: u16, payload: Bytes) -> Result<Self, Fault> {
        decode(opcode, Reader::new(&payload), Self::read)
    }

    fn read(opcode: Opcode, reader: &mut Reader<'_>) -> Result<Option<Self>, Malformed> {
        Ok(Some(match opcode {
            Opcode::BeginTransfer => LongRequest::BeginTransfer { transfer: transfer(reader)? },
            Opcode::TransferPart => LongRequest::TransferPart { transfer: transfer(reader)?, bytes: part(reader)? },
            Opcode::DropTransfer => LongRequest::DropTransfer { transfer: transfer(reader)? },
            Opcode::ReadPart => {
                let (reading, offset) = (reading(reader)?, reader.u64("offset")?);
                let max_bytes = reader.u32("most bytes")?;
                if !(1..=limits::PART_BYTES).contains(&max_bytes) {
                    return Err(Malformed { expected: "1 to 1048576 as the most bytes of a part" });
                }
                LongRequest::ReadPart { reading, offset, max_bytes }
            }
            Opcode::CloseReading => LongRequest::CloseReading {
                reading: reading(reader)?,
                give_back: reader.flag("0 where the value is taken, 1 where it goes back")?,
            },
            _ => return Ok(None),
        }))
    }
}

/// Reads the payload of a `Part`.
///
/// # Errors
/// [`crate::ErrorCode::MalformedFrame`]; the connection is to end.
pub fn decode_part(payload: Bytes) -> Result<Bytes, Fault> {
    decode(Opcode::Part.to_wire(), Reader::new(&payload), |_, reader| part(reader).map(Some))
}

fn transfer(reader: &mut Reader<'_>) -> Result<TransferId, Malformed> {
    reader.u32("transfer id").map(TransferId)
}

fn reading(reader: &mut Reader<'_>) -> Result<ReadingId, Malformed> {
    reader.u32("reading id").map(ReadingId)
}

fn part(reader: &mut Reader<'_>) -> Result<Bytes, Malformed> {
    let bytes: Bytes = reader.value("part of a value")?;
    if bytes.len() > limits::PART_BYTES as usize {
        return Err(Malformed { expected: "a part of at most 1048576 bytes" });
    }
    Ok(bytes)
}
