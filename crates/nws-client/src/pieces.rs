//! Values that lie in several pieces of memory.

use bytes::Bytes;

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
