//! A value: bytes, and how to read them.

use bytes::Bytes;
use nws_proto::{Descriptor, Item, Language};

/// What variables hold: bytes, and a descriptor that says how to read them.
///
/// Text, raw bytes, booleans, integers and floats are made and read here, as well as by [`IntoValue`]
/// and [`FromValue`], which know all that serde does; any other encoding is read by who knows it, from
/// [`Value::bytes`]. Cloning one copies no bytes.
///
/// [`IntoValue`]: crate::IntoValue
/// [`FromValue`]: crate::FromValue
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
const LARGE_INTEGER: u8 = 5;

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

    /// An integer of any size that Rust has.
    pub(crate) fn integer(integer: i128) -> Self {
        match i64::try_from(integer) {
            Ok(integer) => Value::from(integer),
            Err(_) => Value::large(&integer.to_le_bytes()),
        }
    }

    /// One beyond an `i128`, whose sign takes a byte more.
    pub(crate) fn large_integer(integer: u128) -> Self {
        Value::large(&[&integer.to_le_bytes()[..], &[0]].concat())
    }

    fn large(little_endian: &[u8]) -> Self {
        Value::native([&[LARGE_INTEGER], little_endian].concat().into())
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

    /// The integer, where it is one of up to 128 bits.
    pub fn as_integer(&self) -> Option<i128> {
        if let Some(integer) = self.as_i64() {
            return Some(integer.into());
        }
        let (low, rest) = self.large_payload()?;
        let integer = i128::from_le_bytes(low);
        let sign = if integer < 0 { 0xff } else { 0 };
        rest.iter().all(|byte| *byte == sign).then_some(integer)
    }

    /// The integer, where it is one of 128 bits without a sign.
    pub(crate) fn as_large_integer(&self) -> Option<u128> {
        let (low, rest) = self.large_payload()?;
        let is_positive = !rest.is_empty() && rest.iter().all(|byte| *byte == 0);
        is_positive.then_some(u128::from_le_bytes(low))
    }

    /// The sixteen low bytes of an integer of any size, and what is above them.
    fn large_payload(&self) -> Option<([u8; 16], &[u8])> {
        let (LARGE_INTEGER, payload) = self.native_payload()? else { return None };
        let sign = if payload.last()? & 0x80 == 0 { 0 } else { 0xff };
        let mut low = [sign; 16];
        let (head, rest) = payload.split_at(payload.len().min(low.len()));
        low.iter_mut().zip(head).for_each(|(low, byte)| *low = *byte);
        Some((low, rest))
    }

    /// Whether it is an integer, of whatever size.
    pub(crate) fn is_any_integer(&self) -> bool {
        self.as_i64().is_some() || self.large_payload().is_some()
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
        let (first, payload) = self.native_payload()?;
        if first == tag { payload.try_into().ok() } else { None }
    }

    fn native_payload(&self) -> Option<(u8, &[u8])> {
        let (first, payload) = self.bytes.split_first()?;
        self.descriptor.is_native().then_some((*first, payload))
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
    fn an_integer_beyond_64_bits_has_as_many_bytes_as_it_takes() {
        for integer in [0, -1, i64::MIN.into(), 1 << 63, -(1 << 64), i128::MAX, i128::MIN] {
            assert_eq!(Value::integer(integer).as_integer(), Some(integer));
            assert_eq!(Value::integer(integer).as_large_integer(), None);
        }
        let large = Value::large_integer(u128::MAX);
        assert_eq!((large.as_integer(), large.as_large_integer()), (None, Some(u128::MAX)));
        let as_python_writes_it = |bytes: &[u8]| Value::large(bytes).as_integer();
        assert_eq!(as_python_writes_it(&[0, 0, 0, 0, 0, 0, 0, 0x80, 0]), Some(1 << 63));
        assert_eq!(as_python_writes_it(&[0xff, 0xff]), Some(-1));
        assert_eq!(as_python_writes_it(&[0xff; 40]), Some(-1));
        assert_eq!(as_python_writes_it(&[1; 40]), None);
        assert_eq!(as_python_writes_it(&[]), None);
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
