//! The start of a frame that ends with its value, for who hands the value on as it comes.

use crate::{
    Descriptor, FinishItem, Item, LeaseId, Malformed, Opcode, Reader, Request, TransferId, VariableHandle, limits,
};

/// Before the first value of a `Values` frame: variable, lease and count, in bytes.
pub const VALUES_HEAD_BYTES: usize = 20;
/// Before the bytes of each value there: index, deaths, descriptor and length, in bytes.
pub const GRANT_HEAD_BYTES: usize = 18;
/// In the place of the bytes of a value that has a reading: its length and the reading, in bytes.
pub const READING_BYTES: usize = 12;

/// What stands before a value, but for how many there are and how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// Of a store.
    Store {
        /// Where to.
        variable: VariableHandle,
        /// Of the first value.
        descriptor: Descriptor,
    },
    /// Of a finish.
    Finish {
        /// Where results go.
        variable: VariableHandle,
        /// The first lease.
        lease: LeaseId,
        /// Of the first result.
        descriptor: Descriptor,
    },
    /// Of a part of a transfer, whose value is the part.
    Part {
        /// Which.
        transfer: TransferId,
    },
}

/// A head, and what it says of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heading {
    /// The head.
    pub head: Head,
    /// How many values there are.
    pub values: u32,
    /// How long the first one is, in bytes.
    pub value_bytes: u32,
}

impl Head {
    /// How long it is in a frame with this opcode, in bytes; `None`: such frames have none.
    pub const fn bytes(opcode: u16) -> Option<usize> {
        match Opcode::from_wire(opcode) {
            Some(Opcode::Store) => Some(16),
            Some(Opcode::Finish) => Some(24),
            Some(Opcode::TransferPart) => Some(8),
            _ => None,
        }
    }

    /// Reads it from the start of a payload; `None` where that is too short, or the frame has none.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use nws_proto::{Descriptor, Head, Item, Language, Request, VariableHandle};
    ///
    /// let item = Item { descriptor: Descriptor::bytes(Language::Rust), value: Bytes::from_static(b"value") };
    /// let store = Request::Store { variable: VariableHandle(7), items: vec![item.clone()] };
    /// let mut payload = Vec::new();
    /// store.encode(&mut payload);
    /// let heading = Head::read(store.opcode().to_wire(), &payload).unwrap();
    /// assert_eq!((heading.values, heading.value_bytes), (1, 5));
    /// assert_eq!(heading.head.with(item.value), Some(store));
    /// ```
    pub fn read(opcode: u16, payload: &[u8]) -> Option<Heading> {
        Self::read_fields(Opcode::from_wire(opcode)?, &mut Reader::copying(payload)).ok()?
    }

    fn read_fields(opcode: Opcode, reader: &mut Reader<'_>) -> Result<Option<Heading>, Malformed> {
        let first = reader.u32("handle or transfer")?;
        if opcode == Opcode::TransferPart {
            let (head, value_bytes) = (Head::Part { transfer: TransferId(first) }, reader.u32("length")?);
            return Ok(Some(Heading { head, values: 1, value_bytes }));
        }
        let (variable, values) = (VariableHandle(first), reader.u32("count")?);
        let head = match opcode {
            Opcode::Store => Head::Store { variable, descriptor: Descriptor(reader.u32("descriptor")?) },
            Opcode::Finish => {
                let lease = LeaseId(reader.u64("lease")?);
                Head::Finish { variable, lease, descriptor: Descriptor(reader.u32("descriptor")?) }
            }
            _ => return Ok(None),
        };
        Ok(Some(Heading { head, values, value_bytes: reader.u32("length")? }))
    }

    /// The request that this is the head of, with its one value; `None` for a part, which is none.
    pub fn with<V>(self, value: V) -> Option<Request<V>> {
        match self {
            Head::Store { variable, descriptor } => {
                Some(Request::Store { variable, items: [Item { descriptor, value }].into() })
            }
            Head::Finish { variable, lease, descriptor } => {
                let result = Item { descriptor, value };
                Some(Request::Finish { variable, items: [FinishItem { lease, result }].into() })
            }
            Head::Part { .. } => None,
        }
    }
}

impl Heading {
    /// Whether it is that of a frame with one value, of which nothing but that follows it in a payload of
    /// this length.
    pub fn is_of_one(&self, head_bytes: usize, payload_bytes: u32) -> bool {
        self.values == 1 && head_bytes as u64 + u64::from(self.value_bytes) == u64::from(payload_bytes)
    }

    /// Whether the value may be a part of a transfer, by its length.
    pub const fn fits_a_part(&self) -> bool {
        self.value_bytes <= limits::PART_BYTES
    }
}
