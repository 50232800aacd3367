//! Values that lie in several pieces of memory.

use bytes::Bytes;
use nws_proto::{Sink, TransferId, put_transfer};

/// The bytes of one value in several pieces of memory, in order. Long pieces are sent from where they
/// are, so that nobody needs to join them first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pieces {
    first: Bytes,
    rest: Vec<Bytes>,
}

impl Pieces {
    /// A value that begins with `first` and goes on with `rest`.
    pub fn new(first: Bytes, rest: Vec<Bytes>) -> Self {
        Self { first, rest }
    }

    /// The value's length in bytes.
    pub fn len_bytes(&self) -> usize {
        self.iter().map(Bytes::len).sum()
    }

    fn iter(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.first).chain(&self.rest)
    }
}

impl From<Bytes> for Pieces {
    fn from(value: Bytes) -> Self {
        Self { first: value, rest: Vec::new() }
    }
}

/// What a request may hold as a value.
pub(crate) trait InPieces {
    /// The value's length in bytes.
    fn value_bytes(&self) -> usize;
    /// The pieces in order.
    fn pieces(&self) -> impl Iterator<Item = &Bytes>;
    /// The transfer that brought it, where it is not in the request.
    fn transfer(&self) -> Option<TransferId> {
        None
    }
}

/// Writes a value with its length before it, or which transfer brought it.
pub(crate) fn put_sized<V: InPieces, S: Sink<V>>(sink: &mut S, value: &V) {
    match value.transfer() {
        Some(transfer) => put_transfer(sink, transfer),
        None => {
            sink.put_u32(value.value_bytes() as u32);
            sink.put_value(value);
        }
    }
}

impl InPieces for TransferId {
    fn value_bytes(&self) -> usize {
        0
    }

    fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::empty()
    }

    fn transfer(&self) -> Option<TransferId> {
        Some(*self)
    }
}

impl InPieces for Bytes {
    fn value_bytes(&self) -> usize {
        self.len()
    }

    fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(self)
    }
}

impl InPieces for Pieces {
    fn value_bytes(&self) -> usize {
        self.len_bytes()
    }

    fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        self.iter()
    }
}
