//! Native values for clients that know none.
//!
//! New clients store none, bools, integers and floats in the native encoding. The older ones know
//! strings and their own language's serialization only, so a classic client gets such a value as the
//! pickle that an old Python client would have stored.

use alloc::vec::Vec;

use crate::{Descriptor, Language};

const PROTOCOL_2: [u8; 2] = [0x80, 2];
const NONE: u8 = b'N';
const TRUE: u8 = 0x88;
const FALSE: u8 = 0x89;
const BYTE: u8 = b'K';
const TWO_BYTES: u8 = b'M';
const FOUR_BYTES: u8 = b'J';
const LONG_SHORT_LENGTH: u8 = 0x8a;
const LONG: u8 = 0x8b;
const FLOAT: u8 = b'G';
const STOP: u8 = b'.';

/// A value as a classic client can read it, where that differs from what is stored: its descriptor
/// and bytes. Native values become pickles of protocol 2.
pub fn for_old_clients(descriptor: Descriptor, value: &[u8]) -> Option<(Descriptor, Vec<u8>)> {
    if !descriptor.is_native() {
        return None;
    }
    let (tag, payload) = value.split_first()?;
    let mut pickle = PROTOCOL_2.to_vec();
    match (tag, payload.len()) {
        (0, 0) => pickle.push(NONE),
        (1, 0) => pickle.push(FALSE),
        (2, 0) => pickle.push(TRUE),
        (3, 8) => put_integer(&mut pickle, i64::from_le_bytes(payload.try_into().ok()?)),
        (4, 8) => {
            pickle.push(FLOAT);
            pickle.extend(payload.iter().rev());
        }
        (5, 1..) => put_long(&mut pickle, payload)?,
        _ => return None,
    }
    pickle.push(STOP);
    Some((Descriptor::serialized(Language::Python), pickle))
}

fn put_integer(pickle: &mut Vec<u8>, number: i64) {
    if let Ok(number) = u8::try_from(number) {
        pickle.extend_from_slice(&[BYTE, number]);
    } else if let Ok(number) = u16::try_from(number) {
        pickle.push(TWO_BYTES);
        pickle.extend_from_slice(&number.to_le_bytes());
    } else if let Ok(number) = i32::try_from(number) {
        pickle.push(FOUR_BYTES);
        pickle.extend_from_slice(&number.to_le_bytes());
    } else {
        let bytes = number.to_le_bytes();
        pickle.extend_from_slice(&[LONG_SHORT_LENGTH, bytes.len() as u8]);
        pickle.extend_from_slice(&bytes);
    }
}

/// Two's complement, little-endian: pickles write it as native values do.
fn put_long(pickle: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    match u8::try_from(bytes.len()) {
        Ok(length) => pickle.extend_from_slice(&[LONG_SHORT_LENGTH, length]),
        Err(_) => {
            pickle.push(LONG);
            pickle.extend_from_slice(&i32::try_from(bytes.len()).ok()?.to_le_bytes());
        }
    }
    pickle.extend_from_slice(bytes);
    Some(())
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    /// What `pickle.dumps(value, 2)` of Python writes, but for integers beyond 32 bits, which it
    /// writes in as few bytes as possible.
    #[test]
    fn a_native_value_becomes_the_pickle_that_python_writes() {
        let int = |number: i64| [&[3][..], &number.to_le_bytes()].concat();
        let cases: [(Vec<u8>, &[u8]); 15] = [
            (vec![0], b"\x80\x02N."),
            (vec![1], b"\x80\x02\x89."),
            (vec![2], b"\x80\x02\x88."),
            (int(0), b"\x80\x02K\x00."),
            (int(255), b"\x80\x02K\xff."),
            (int(256), b"\x80\x02M\x00\x01."),
            (int(65_535), b"\x80\x02M\xff\xff."),
            (int(65_536), b"\x80\x02J\x00\x00\x01\x00."),
            (int(-1), b"\x80\x02J\xff\xff\xff\xff."),
            (int(i64::from(i32::MIN)), b"\x80\x02J\x00\x00\x00\x80."),
            (int(1 << 31), b"\x80\x02\x8a\x08\x00\x00\x00\x80\x00\x00\x00\x00."),
            (int(i64::MIN), b"\x80\x02\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80."),
            ([&[4][..], &1.5f64.to_le_bytes()].concat(), b"\x80\x02G?\xf8\x00\x00\x00\x00\x00\x00."),
            (b"\x05\x00\x00\x00\x00\x00\x00\x00\x80\x00".to_vec(), b"\x80\x02\x8a\x09\0\0\0\0\0\0\0\x80\0."),
            ([&[5][..], &[1; 300]].concat(), &[&b"\x80\x02\x8b\x2c\x01\x00\x00"[..], &[1; 300], b"."].concat()),
        ];
        let native = Descriptor::native(Language::Python);
        for (value, expected) in cases {
            let (descriptor, pickle) = for_old_clients(native, &value).unwrap();
            assert_eq!(descriptor.0, 0x0100_0000);
            assert_eq!(pickle, expected, "{value:?}");
        }
    }

    #[test]
    fn what_is_not_native_or_no_native_value_stays_as_it_is() {
        assert_eq!(for_old_clients(Descriptor::text(Language::Python), &[0]), None);
        assert_eq!(for_old_clients(Descriptor::json(Language::Python), b"1"), None);
        assert_eq!(for_old_clients(Descriptor::serialized(Language::Python), b"N."), None);
        for value in [&[][..], &[6], &[0, 0], &[3, 1], &[4; 8], &[5]] {
            assert_eq!(for_old_clients(Descriptor::native(Language::Python), value), None, "{value:?}");
        }
    }
}
