//! Values of the tests: a number that tells them apart, and a size.

use nws_core::Payload;
use nws_proto::{Descriptor, Item};

/// A value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value {
    /// Tells it apart.
    pub id: u64,
    /// How many bytes it counts for.
    pub bytes: u32,
}

impl Payload for Value {
    fn len_bytes(&self) -> u64 {
        self.bytes.into()
    }
}

/// A value of 8 bytes.
pub fn item(id: u64) -> Item<Value> {
    sized(id, 8)
}

/// The result of what ends without one of its own.
pub fn nothing() -> Item<Value> {
    Item { descriptor: Descriptor::NOTHING, ..sized(0, 0) }
}

/// A value of this size.
pub fn sized(id: u64, bytes: u32) -> Item<Value> {
    Item { descriptor: Descriptor(0), value: Value { id, bytes } }
}
