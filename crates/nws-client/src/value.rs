//! A value: bytes, and how to read them.

use bytes::Bytes;
use nws_proto::{Descriptor, Item, Language};

/// What variables hold: bytes, and a descriptor that says how to read them.
///
/// Text, raw bytes, booleans, integers and floats are made and read here; any other encoding by who
/// knows it, from [`Value::bytes`]. Cloning one copies no bytes.
///
/// ```
/// use nws_client::Value;
/// assert_eq!(Value::from("seven").as_text(), Some("seven"));
/// assert_eq!(Value::from(7).as_i64(), Some(7));
/// assert_eq!(Value::from(b"\x07").as_raw(), Some(&b"\x07"[..]));
/// assert_eq!(Value::from("seven").as_i64(), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// How to read the bytes.
    pub descriptor: Descriptor,
    /// The bytes.
    pub bytes: Bytes,
}

const NONE: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INTEGER: u8 = 3;
const FLOAT: u8 = 4;

impl Value {
    /// Text, which clients in every language read as a string.
    pub fn text(text: impl Into<String>) -> Self {
        Self { descriptor: Descriptor::text(Language::Rust), bytes: text.into().into() }
    }

    /// Raw bytes.
    pub fn raw(bytes: impl Into<Bytes>) -> Self {
        Self { descriptor: Descriptor::bytes(Language::Rust), bytes: bytes.into() }
    }

    /// JSON text, as it is.
    pub fn json(text: impl Into<String>) -> Self {
        Self { descriptor: Descriptor::json(Language::Rust), bytes: text.into().into() }
    }

    /// What Python calls `None` and R `NULL`.
    pub fn none() -> Self {
        Self::native(Bytes::from_static(&[NONE]))
    }

    fn native(bytes: Bytes) -> Self {
        Self { descriptor: Descriptor::native(Language::Rust), bytes }
    }

    fn tagged(tag: u8, payload: [u8; 8]) -> Self {
        let mut bytes = vec![tag];
        bytes.extend_from_slice(&payload);
        Self::native(bytes.into())
    }

    /// The text, where it is text or JSON.
    pub fn as_text(&self) -> Option<&str> {
        let is_text = self.descriptor.is_string() && !self.descriptor.is_bytes();
        if is_text { std::str::from_utf8(&self.bytes).ok() } else { None }
    }

    /// The bytes, where they are raw bytes.
    pub fn as_raw(&self) -> Option<&[u8]> {
        self.descriptor.is_bytes().then_some(&*self.bytes)
    }

    /// The boolean, where it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match (self.descriptor.is_native(), &*self.bytes) {
            (true, [FALSE]) => Some(false),
            (true, [TRUE]) => Some(true),
            _ => None,
        }
    }

    /// The integer, where it is one of 64 bits.
    pub fn as_i64(&self) -> Option<i64> {
        self.payload(INTEGER).map(i64::from_le_bytes)
    }

    /// The float, where it is one.
    pub fn as_f64(&self) -> Option<f64> {
        self.payload(FLOAT).map(f64::from_le_bytes)
    }

    /// Whether it is what [`Value::none`] makes.
    pub fn is_none(&self) -> bool {
        self.descriptor.is_native() && *self.bytes == [NONE]
    }

    fn payload(&self, tag: u8) -> Option<[u8; 8]> {
        let (first, payload) = self.bytes.split_first()?;
        if self.descriptor.is_native() && *first == tag { payload.try_into().ok() } else { None }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::text(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::text(text)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Value::raw(Bytes::copy_from_slice(bytes))
    }
}

impl<const N: usize> From<&[u8; N]> for Value {
    fn from(bytes: &[u8; N]) -> Self {
        Value::from(&bytes[..])
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Value::raw(bytes)
    }
}

impl From<Bytes> for Value {
    fn from(bytes: Bytes) -> Self {
        Value::raw(bytes)
    }
}

impl From<bool> for Value {
    fn from(boolean: bool) -> Self {
        Value::native(Bytes::from_static(if boolean { &[TRUE] } else { &[FALSE] }))
    }
}

impl From<i64> for Value {
    fn from(integer: i64) -> Self {
        Value::tagged(INTEGER, integer.to_le_bytes())
    }
}

impl From<f64> for Value {
    fn from(float: f64) -> Self {
        Value::tagged(FLOAT, float.to_le_bytes())
    }
}

impl From<Value> for Item<Bytes> {
    fn from(value: Value) -> Self {
        Item { descriptor: value.descriptor, value: value.bytes }
    }
}

impl From<Item<Bytes>> for Value {
    fn from(item: Item<Bytes>) -> Self {
        Value { descriptor: item.descriptor, bytes: item.value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn native_values_have_the_bytes_of_the_protocols_examples() {
        assert_eq!(*Value::from(-2).bytes, [3, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(*Value::from(1.0).bytes, [4, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
        assert_eq!(*Value::from(true).bytes, [2]);
        assert_eq!(*Value::from(false).bytes, [1]);
        assert_eq!(*Value::none().bytes, [0]);
    }

    #[test]
    fn a_value_is_read_only_as_what_it_is() {
        let values = [
            Value::from("1"),
            Value::from(b"1"),
            Value::from(1),
            Value::from(1.0),
            Value::from(true),
            Value::none(),
            Value { descriptor: Descriptor::serialized(Language::Python), bytes: Bytes::from_static(b"1") },
            Value { descriptor: Descriptor::native(Language::Python), bytes: Bytes::from_static(&[3, 1]) },
            Value { descriptor: Descriptor::native(Language::Python), bytes: Bytes::new() },
        ];
        let read = |value: &Value| {
            [
                value.as_text().is_some(),
                value.as_raw().is_some(),
                value.as_i64().is_some(),
                value.as_f64().is_some(),
                value.as_bool().is_some(),
                value.is_none(),
            ]
        };
        for (n, value) in values.iter().enumerate() {
            let expected: Vec<bool> = (0..6).map(|kind| kind == n).collect();
            assert_eq!(read(value)[..], expected, "{value:?}");
        }
    }

    #[test]
    fn text_that_is_not_utf_8_is_no_text() {
        let wrong = Value { descriptor: Descriptor::text(Language::R), bytes: Bytes::from_static(b"\xff") };
        assert_eq!(wrong.as_text(), None);
        assert_eq!(Value::json("[1]").as_text(), Some("[1]"));
    }
}
