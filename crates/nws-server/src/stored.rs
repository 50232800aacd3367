//! A value as the server keeps it.

use std::sync::Arc;

use bytes::Bytes;
use nws_core::Payload;
use nws_proto::{FromFrame, Grant};

use crate::disk::SpoolFile;
use crate::kept::Kept;

/// A handle to a value's bytes.
#[derive(Clone, Debug)]
pub(crate) enum Stored {
    /// They are right here: so short that a handle would cost more.
    Short(Short),
    /// They are in memory.
    Memory(Bytes),
    /// They are in memory, and so many that a reply shares them with who keeps them.
    Large(Kept),
    /// They are in a file, which goes with the last handle.
    Disk { file: Arc<SpoolFile>, len_bytes: u64 },
}

/// From this length on a value is sent from where it is.
pub(crate) const LARGE_BYTES: usize = 4096;

/// Longest value that is kept in its handle, in bytes: a task with a number or two. With it a value's place
/// in a variable is 64 bytes.
const SHORT_BYTES: usize = 38;

const _: () = assert!(size_of::<Grant<Stored>>() == 64);

/// Some bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Short {
    len_bytes: u8,
    bytes: [u8; SHORT_BYTES],
}

impl Short {
    fn new(bytes: &[u8]) -> Option<Self> {
        let mut short = Self { len_bytes: u8::try_from(bytes.len()).ok()?, bytes: [0; SHORT_BYTES] };
        short.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(short)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len_bytes)]
    }
}

impl Stored {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Stored::Short(short) => short.len_bytes.into(),
            Stored::Memory(bytes) => bytes.len() as u64,
            Stored::Large(kept) => kept.bytes().len() as u64,
            Stored::Disk { len_bytes, .. } => *len_bytes,
        }
    }

    /// The bytes, where they are in memory.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Stored::Short(short) => Some(short.bytes()),
            Stored::Memory(bytes) => Some(bytes),
            Stored::Large(kept) => Some(kept.bytes()),
            Stored::Disk { .. } => None,
        }
    }

    pub(crate) fn is_on_disk(&self) -> bool {
        matches!(self, Stored::Disk { .. })
    }
}

impl Payload for Stored {
    fn len_bytes(&self) -> u64 {
        self.len()
    }

    /// What is on disk is counted there: see [`crate::disk::Space`].
    fn held_bytes(&self) -> u64 {
        match self {
            Stored::Short(_) => self.len() + Bytes::new().held_bytes(),
            Stored::Memory(bytes) => bytes.held_bytes(),
            Stored::Large(kept) => kept.bytes().held_bytes(),
            Stored::Disk { .. } => Bytes::new().held_bytes(),
        }
    }
}

/// Values that are in their frame, as nearly all are. Who reads a request so reads it again as
/// [`nws_proto::Sent`] where that fails.
impl FromFrame for Stored {
    fn from_bytes(bytes: Bytes) -> Self {
        if bytes.len() < LARGE_BYTES { Stored::Memory(bytes) } else { Stored::Large(Kept::new(bytes)) }
    }

    fn from_slice(bytes: &[u8], shared: Option<&Bytes>) -> Self {
        match Short::new(bytes) {
            Some(short) => Stored::Short(short),
            None => {
                Self::from_bytes(shared.map_or_else(|| Bytes::copy_from_slice(bytes), |shared| shared.slice_ref(bytes)))
            }
        }
    }
}

impl From<Bytes> for Stored {
    fn from(bytes: Bytes) -> Self {
        Self::from_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_the_same_wherever_its_bytes_are() {
        let all: Vec<u8> = (0..=LARGE_BYTES).map(|i| i as u8).collect();
        let shared = Bytes::from(all.clone());
        for length in [0, 1, SHORT_BYTES - 1, SHORT_BYTES, SHORT_BYTES + 1, 100, LARGE_BYTES, LARGE_BYTES + 1] {
            let here = Stored::from_slice(&shared[..length], Some(&shared));
            assert_eq!(matches!(here, Stored::Short(_)), length <= SHORT_BYTES);
            let elsewhere = Stored::from(Bytes::copy_from_slice(&all[..length]));
            for value in [here, elsewhere] {
                assert_eq!((value.bytes(), value.len()), (Some(&all[..length]), length as u64));
                assert_eq!(value.held_bytes(), shared.slice(..length).held_bytes());
            }
        }
    }
}
