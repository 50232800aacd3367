//! What an outbox sends from where it is.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::disk::SpoolFile;
use crate::kept::Pin;

/// Bytes that go out between two bytes of the small buffer.
#[derive(Debug)]
pub(super) enum Piece {
    Memory(MemoryPart),
    File(FilePart),
}

/// A value in memory, which stays there whole until its last byte is sent.
#[derive(Debug)]
pub(super) struct MemoryPart {
    value: Pin,
    sent: usize,
}

impl MemoryPart {
    fn unsent(&self) -> &[u8] {
        self.value.bytes().get(self.sent..).unwrap_or_default()
    }
}

/// A part of a file, of which a little is loaded at a time.
#[derive(Debug)]
pub(super) struct FilePart {
    file: Arc<SpoolFile>,
    /// Where what is not loaded begins.
    offset: u64,
    unloaded_bytes: u64,
    loaded: VecDeque<Bytes>,
}

/// What is to be read from a file.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) file: Arc<SpoolFile>,
    pub(crate) offset: u64,
    pub(crate) len: usize,
}

impl Piece {
    pub(super) fn file(file: Arc<SpoolFile>, offset: u64, len_bytes: u64) -> Self {
        Piece::File(FilePart { file, offset, unloaded_bytes: len_bytes, loaded: VecDeque::new() })
    }

    pub(super) fn memory(value: Pin) -> Self {
        Piece::Memory(MemoryPart { value, sent: 0 })
    }

    /// What can be sent now.
    pub(super) fn ready(&self) -> impl Iterator<Item = &[u8]> {
        let (memory, part) = match self {
            Piece::Memory(part) => (Some(part.unsent()), None),
            Piece::File(part) => (None, Some(&part.loaded)),
        };
        memory.into_iter().chain(part.into_iter().flatten().map(|loaded| &loaded[..]))
    }

    /// How many bytes of it can be sent now.
    pub(super) fn len(&self) -> usize {
        self.ready().map(<[u8]>::len).sum()
    }

    /// How many bytes of it are to be sent, loaded or not.
    pub(super) fn unsent_bytes(&self) -> usize {
        let unloaded_bytes = match self {
            Piece::Memory(_) => 0,
            Piece::File(part) => part.unloaded_bytes,
        };
        self.len().saturating_add(usize::try_from(unloaded_bytes).unwrap_or(usize::MAX))
    }

    /// Whether all that is left of it can be sent now.
    pub(super) fn is_ready(&self) -> bool {
        match self {
            Piece::Memory(_) => true,
            Piece::File(part) => part.unloaded_bytes == 0,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        match self {
            Piece::Memory(part) => part.unsent().is_empty(),
            Piece::File(part) => part.unloaded_bytes == 0 && part.loaded.is_empty(),
        }
    }

    /// Up to `count` bytes of it are sent; how many that were, and how many of them had been loaded.
    pub(super) fn advance(&mut self, count: usize) -> (usize, usize) {
        match self {
            Piece::Memory(part) => {
                let step = count.min(part.unsent().len());
                part.sent += step;
                (step, 0)
            }
            Piece::File(part) => {
                let mut left = count;
                while let Some(first) = part.loaded.front_mut().filter(|_| left > 0) {
                    let step = left.min(first.len());
                    left -= step;
                    *first = first.slice(step..);
                    if first.is_empty() {
                        part.loaded.pop_front();
                    }
                }
                (count - left, count - left)
            }
        }
    }

    /// The next bytes to be loaded, at most `most`.
    pub(super) fn wanted(&self, most: usize) -> Option<Wanted> {
        let Piece::File(part) = self else { return None };
        let len = usize::try_from(part.unloaded_bytes).unwrap_or(usize::MAX).min(most);
        (len > 0).then(|| Wanted { file: Arc::clone(&part.file), offset: part.offset, len })
    }

    /// Takes what was wanted.
    pub(super) fn load(&mut self, bytes: Bytes) {
        if let Piece::File(part) = self {
            part.offset += bytes.len() as u64;
            part.unloaded_bytes -= bytes.len() as u64;
            part.loaded.push_back(bytes);
        }
    }
}
