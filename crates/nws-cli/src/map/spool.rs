//! Outputs that wait to be printed: in memory while they are small, else in a file without a name.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use rustix::fs::{FallocateFlags, fallocate};

/// Most bytes of one output in memory before it goes to the file.
const OWN_BYTES: usize = 64 << 10;
/// Most bytes of all outputs in memory before they go to the file.
const ALL_BYTES: usize = 16 << 20;
/// An output that goes to the file keeps this much in memory, so that it does not go in crumbs.
const CRUMB_BYTES: usize = 8 << 10;
/// Longest piece that is handed on.
const PIECE_BYTES: usize = 64 << 10;

/// What all outputs share.
#[derive(Debug, Default)]
pub(super) struct Spool {
    file: Option<File>,
    /// Holds the file's place: where descriptors run out is no moment to need one.
    place: Option<OwnedFd>,
    end: u64,
    in_memory: usize,
}

/// One output, or the rest of one.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pieces: VecDeque<Piece>,
    bytes: u64,
    in_memory: usize,
}

#[derive(Debug)]
enum Piece {
    Memory(Vec<u8>),
    File { offset: u64, bytes: u64 },
}

impl Spool {
    /// # Errors
    /// No descriptors are left.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { place: Some(File::open("/dev/null")?.into()), ..Self::default() })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<Piece> {
        let file = match &self.file {
            Some(file) => file,
            None => {
                self.place = None;
                self.file.insert(tempfile::tempfile()?)
            }
        };
        file.write_all_at(bytes, self.end)?;
        let piece = Piece::File { offset: self.end, bytes: bytes.len() as u64 };
        self.end += bytes.len() as u64;
        Ok(piece)
    }

    fn read(&mut self, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
        let mut piece = vec![0; bytes];
        if let Some(file) = &self.file {
            file.read_exact_at(&mut piece, offset)?;
            self.free(offset, bytes as u64);
        }
        Ok(piece)
    }

    /// Gives the space back to the disk. A file system that cannot do that keeps it until the end.
    fn free(&self, offset: u64, bytes: u64) {
        if let Some(file) = &self.file {
            let _ = fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, bytes);
        }
    }
}

impl Kept {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// How much is kept.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds to it.
    ///
    /// # Errors
    /// Those of the file: no space is left.
    pub(super) fn push(&mut self, spool: &mut Spool, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let fits = self.in_memory + bytes.len() <= OWN_BYTES && spool.in_memory + bytes.len() <= ALL_BYTES;
        let has_crumb = matches!(self.pieces.back(), Some(Piece::Memory(last)) if last.len() < CRUMB_BYTES);
        if !fits && !has_crumb {
            self.settle(spool)?;
        }
        self.bytes += bytes.len() as u64;
        self.in_memory += bytes.len();
        spool.in_memory += bytes.len();
        match self.pieces.back_mut() {
            Some(Piece::Memory(last)) if last.len() + bytes.len() <= PIECE_BYTES => last.extend_from_slice(bytes),
            _ => self.pieces.push_back(Piece::Memory(bytes.to_vec())),
        }
        Ok(())
    }

    /// No more is added for now: where memory is full, what is there goes to the file.
    ///
    /// # Errors
    /// As for [`Kept::push`].
    pub(super) fn close(&mut self, spool: &mut Spool) -> io::Result<()> {
        if spool.in_memory > ALL_BYTES { self.settle(spool) } else { Ok(()) }
    }

    /// Moves what is in memory to the file.
    fn settle(&mut self, spool: &mut Spool) -> io::Result<()> {
        let mut settled: VecDeque<Piece> = VecDeque::with_capacity(self.pieces.len());
        for piece in std::mem::take(&mut self.pieces) {
            let piece = match piece {
                Piece::Memory(bytes) => {
                    let written = spool.write(&bytes)?;
                    spool.in_memory -= bytes.len();
                    self.in_memory -= bytes.len();
                    written
                }
                file => file,
            };
            match (settled.back_mut(), piece) {
                (Some(Piece::File { offset, bytes }), Piece::File { offset: next, bytes: more })
                    if *offset + *bytes == next =>
                {
                    *bytes += more;
                }
                (_, piece) => settled.push_back(piece),
            }
        }
        self.pieces = settled;
        Ok(())
    }

    /// Takes the next piece, of at most 64 KiB or as it came in; `None` where there is none.
    ///
    /// # Errors
    /// Those of the file.
    pub(super) fn take(&mut self, spool: &mut Spool) -> io::Result<Option<Vec<u8>>> {
        let taken = match self.pieces.pop_front() {
            None => return Ok(None),
            Some(Piece::Memory(bytes)) => {
                spool.in_memory -= bytes.len();
                self.in_memory -= bytes.len();
                bytes
            }
            Some(Piece::File { offset, bytes }) => {
                let now = bytes.min(PIECE_BYTES as u64);
                if now < bytes {
                    self.pieces.push_front(Piece::File { offset: offset + now, bytes: bytes - now });
                }
                spool.read(offset, now as usize)?
            }
        };
        self.bytes -= taken.len() as u64;
        Ok(Some(taken))
    }

    /// Forgets all of it.
    pub(super) fn clear(&mut self, spool: &mut Spool) {
        for piece in std::mem::take(&mut self.pieces) {
            match piece {
                Piece::Memory(bytes) => spool.in_memory -= bytes.len(),
                Piece::File { offset, bytes } => spool.free(offset, bytes),
            }
        }
        (self.bytes, self.in_memory) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(kept: &mut Kept, spool: &mut Spool) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(piece) = kept.take(spool).unwrap() {
            assert!(piece.len() <= PIECE_BYTES);
            all.extend(piece);
        }
        all
    }

    #[test]
    fn what_goes_in_comes_out_whatever_its_size() {
        let mut spool = Spool::default();
        for (count, size) in [(0, 0), (1, 1), (3, 100), (1, 64 << 10), (2000, 100), (40, 64 << 10), (3000, 1)] {
            let mut kept = Kept::default();
            let mut expected = Vec::new();
            for number in 0..count {
                let bytes = vec![(number % 251) as u8; size];
                kept.push(&mut spool, &bytes).unwrap();
                expected.extend(bytes);
            }
            assert_eq!(kept.bytes(), expected.len() as u64);
            assert!(kept.in_memory <= OWN_BYTES + CRUMB_BYTES, "{}", kept.in_memory);
            assert!(all(&mut kept, &mut spool) == expected, "{count} of {size}");
            assert_eq!((spool.in_memory, kept.bytes(), kept.is_empty()), (0, 0, true));
        }
    }

    #[test]
    fn memory_is_bounded_for_all_together_and_given_back() {
        let mut spool = Spool::default();
        let mut outputs = Vec::new();
        for number in 0..1000_u32 {
            let mut kept = Kept::default();
            kept.push(&mut spool, &vec![number as u8; 40_000]).unwrap();
            kept.close(&mut spool).unwrap();
            outputs.push(kept);
            assert!(spool.in_memory <= ALL_BYTES, "{}", spool.in_memory);
        }
        outputs[3].clear(&mut spool);
        outputs[997].clear(&mut spool);
        for (number, kept) in outputs.iter_mut().enumerate() {
            let expected = if number == 3 || number == 997 { vec![] } else { vec![number as u8; 40_000] };
            assert!(all(kept, &mut spool) == expected, "{number}");
        }
        assert_eq!(spool.in_memory, 0);
    }

    #[test]
    fn an_output_may_be_taken_while_it_grows() {
        let mut spool = Spool::default();
        let (mut kept, mut expected, mut got) = (Kept::default(), Vec::new(), Vec::new());
        for number in 0..200_u32 {
            let bytes = vec![number as u8; 5000];
            kept.push(&mut spool, &bytes).unwrap();
            expected.extend(bytes);
            if number % 3 == 0 {
                got.extend(kept.take(&mut spool).unwrap().unwrap_or_default());
            }
        }
        got.extend(all(&mut kept, &mut spool));
        assert!(got == expected);
    }
}
