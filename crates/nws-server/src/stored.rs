//! A value as the server keeps it.

use std::sync::Arc;

use bytes::Bytes;
use nws_core::Payload;
use nws_proto::FromFrame;

use crate::disk::SpoolFile;

/// A handle to a value's bytes.
#[derive(Clone, Debug)]
pub(crate) enum Stored {
    /// They are in memory.
    Memory(Bytes),
    /// They are in a file, which goes with the last handle.
    Disk { file: Arc<SpoolFile>, len_bytes: u64 },
}

const _: () = assert!(size_of::<Stored>() == size_of::<Bytes>(), "a value on disk makes no other one larger");

impl Stored {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Stored::Memory(bytes) => bytes.len() as u64,
            Stored::Disk { len_bytes, .. } => *len_bytes,
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
            Stored::Memory(bytes) => bytes.held_bytes(),
            Stored::Disk { .. } => Bytes::new().held_bytes(),
        }
    }
}

/// Values that are in their frame, as nearly all are. Who reads a request so reads it again as
/// [`nws_proto::Sent`] where that fails.
impl FromFrame for Stored {
    fn from_bytes(bytes: Bytes) -> Self {
        Stored::Memory(bytes)
    }
}

impl From<Bytes> for Stored {
    fn from(bytes: Bytes) -> Self {
        Stored::Memory(bytes)
    }
}
