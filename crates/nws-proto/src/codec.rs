//! A bounded reader that cannot read past its end, and the sink that frames are written to.

use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

use crate::{ELSEWHERE, limits};

/// The payload is not what its opcode says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What was expected, for the log and the error frame.
    pub expected: &'static str,
}

impl core::fmt::Display for Malformed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "malformed frame: expected {}", self.expected)
    }
}

impl core::error::Error for Malformed {}

/// What a frame may hold as a value.
pub trait FromFrame: Sized {
    /// The value is these bytes, which may share the payload's memory.
    fn from_bytes(bytes: Bytes) -> Self;

    /// The value is these bytes, of `shared` memory where there is any, which it may keep.
    fn from_slice(bytes: &[u8], shared: Option<&Bytes>) -> Self {
        Self::from_bytes(shared.map_or_else(|| Bytes::copy_from_slice(bytes), |shared| shared.slice_ref(bytes)))
    }

    /// The value is not in the frame: what follows says where it is.
    ///
    /// # Errors
    /// Where it has to be in the frame.
    fn from_elsewhere(_reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Err(Malformed { expected: "a value in the frame itself" })
    }
}

impl FromFrame for Bytes {
    fn from_bytes(bytes: Bytes) -> Self {
        bytes
    }
}

/// Reads fields from one payload.
#[derive(Debug)]
pub struct Reader<'a> {
    payload: &'a [u8],
    at: usize,
    /// What values share; else they are copied.
    shared: Option<&'a Bytes>,
}

impl<'a> Reader<'a> {
    /// Reads from the start of `payload`. Values are slices of it, not copies.
    pub fn new(payload: &'a Bytes) -> Self {
        Self { payload, at: 0, shared: Some(payload) }
    }

    /// Reads from the start of `payload`, which stays its owner's: values are copies.
    pub fn copying(payload: &'a [u8]) -> Self {
        Self { payload, at: 0, shared: None }
    }

    fn take(&mut self, count: usize, expected: &'static str) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.payload.len()).ok_or(Malformed { expected })?;
        let field = &self.payload[self.at..end];
        self.at = end;
        Ok(field)
    }

    /// `N` bytes as they are.
    pub fn array<const N: usize>(&mut self, expected: &'static str) -> Result<[u8; N], Malformed> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, expected)?);
        Ok(array)
    }

    /// One byte.
    pub fn u8(&mut self, expected: &'static str) -> Result<u8, Malformed> {
        Ok(u8::from_le_bytes(self.array(expected)?))
    }

    /// Two bytes, little-endian.
    pub fn u16(&mut self, expected: &'static str) -> Result<u16, Malformed> {
        Ok(u16::from_le_bytes(self.array(expected)?))
    }

    /// Four bytes, little-endian.
    pub fn u32(&mut self, expected: &'static str) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array(expected)?))
    }

    /// Eight bytes, little-endian.
    pub fn u64(&mut self, expected: &'static str) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array(expected)?))
    }

    /// One byte that is 0 or 1.
    pub fn flag(&mut self, expected: &'static str) -> Result<bool, Malformed> {
        match self.u8(expected)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed { expected }),
        }
    }

    /// A short byte string: its length in two bytes, then its bytes.
    pub fn name(&mut self, expected: &'static str) -> Result<Vec<u8>, Malformed> {
        let length = self.u16(expected)?;
        Ok(self.take(length.into(), expected)?.to_vec())
    }

    /// Text: its length in four bytes, then UTF-8.
    pub fn text(&mut self, expected: &'static str) -> Result<String, Malformed> {
        let length = self.u32(expected)? as usize;
        let bytes = self.take(length, expected)?;
        core::str::from_utf8(bytes).map(String::from).map_err(|_| Malformed { expected })
    }

    /// A value: its length in four bytes, then its bytes; or where they are.
    pub fn value<V: FromFrame>(&mut self, expected: &'static str) -> Result<V, Malformed> {
        let length = self.u32(expected)?;
        if length == ELSEWHERE {
            return V::from_elsewhere(self);
        }
        if length > limits::VALUE_BYTES {
            return Err(Malformed { expected: "a value that fits a reply's frame" });
        }
        let bytes = self.take(length as usize, expected)?;
        Ok(V::from_slice(bytes, self.shared))
    }

    /// The number of items that follow, refused where `least_bytes` each could not fit in what is
    /// left: nothing is allocated for a count that lies.
    pub fn count(&mut self, least_bytes: usize, expected: &'static str) -> Result<usize, Malformed> {
        let count = self.u32(expected)? as usize;
        let fits = count.checked_mul(least_bytes).is_some_and(|bytes| bytes <= self.payload.len() - self.at);
        if fits { Ok(count) } else { Err(Malformed { expected }) }
    }

    /// The end of the payload; leftovers are an error.
    pub fn end(self) -> Result<(), Malformed> {
        if self.at == self.payload.len() { Ok(()) } else { Err(Malformed { expected: "the end of the frame" }) }
    }
}

/// Items that follow their count, at most `most` of them, of at least `least_bytes` each.
pub(crate) fn list<T>(
    reader: &mut Reader,
    least_bytes: usize,
    most: u32,
    read: impl Fn(&mut Reader) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let count = reader.count(least_bytes, "a count of items that the frame holds")?;
    if count > most as usize {
        return Err(Malformed { expected: "no more items than one frame may hold" });
    }
    // An item in memory can be ten times its bytes on the wire, so a count that fits is still not
    // believed beyond what a batch may have.
    let mut items = Vec::with_capacity(count.min(limits::BATCH_VALUES as usize));
    for _ in 0..count {
        items.push(read(reader)?);
    }
    Ok(items)
}

/// Where an encoder writes to. Small fields are copied; a value may be kept by reference.
pub trait Sink<V> {
    /// Appends these bytes.
    fn put(&mut self, bytes: &[u8]);
    /// Appends a value's bytes.
    fn put_value(&mut self, value: &V);
    /// The length of a value in bytes.
    fn value_len(value: &V) -> u64;

    /// Appends one byte.
    fn put_u8(&mut self, byte: u8) {
        self.put(&[byte]);
    }
    /// Appends two bytes, little-endian.
    fn put_u16(&mut self, number: u16) {
        self.put(&number.to_le_bytes());
    }
    /// Appends four bytes, little-endian.
    fn put_u32(&mut self, number: u32) {
        self.put(&number.to_le_bytes());
    }
    /// Appends eight bytes, little-endian.
    fn put_u64(&mut self, number: u64) {
        self.put(&number.to_le_bytes());
    }
    /// Appends a short byte string. What is longer than its length field can say is cut; the rest is
    /// still above [`limits::NAME_BYTES`], so that no server takes it for another name.
    fn put_name(&mut self, name: &[u8]) {
        let name = &name[..name.len().min(u16::MAX.into())];
        self.put_u16(name.len() as u16);
        self.put(name);
    }
    /// Appends text.
    fn put_text(&mut self, text: &str) {
        self.put_u32(text.len() as u32);
        self.put(text.as_bytes());
    }
    /// Appends a value with its length before it. A sink of values that may be too long for a frame
    /// writes those as [`crate::put_transfer`] or [`crate::put_reading`] does.
    fn put_sized_value(&mut self, value: &V) {
        self.put_u32(Self::value_len(value) as u32);
        self.put_value(value);
    }
}

impl Sink<Bytes> for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
    fn put_value(&mut self, value: &Bytes) {
        self.extend_from_slice(value);
    }
    fn value_len(value: &Bytes) -> u64 {
        value.len() as u64
    }
}
