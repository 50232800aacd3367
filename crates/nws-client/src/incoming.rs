//! Frames on their way in: few system calls, many frames a call, and no copy of what is long.

use std::io;

use bytes::Bytes;
use nws_proto::{FRAME_HEADER_BYTES, FrameHeader};

use crate::platform::{self, Socket};

/// Read at a time where many small frames come.
const CHUNK_BYTES: usize = 128 << 10;
/// A payload from this length on that has not arrived whole gets a buffer of its own.
const OWN_BUFFER_BYTES: usize = 16 << 10;
/// The first room for a long payload. When it is full there is room for all: memory that was not written
/// to costs nothing, so neither does a header that lies.
const FIRST_ROOM_BYTES: usize = 1 << 20;

/// Splits the stream into frames.
#[derive(Debug)]
pub(crate) struct Incoming {
    chunk: Vec<u8>,
    /// Of the chunk, these are taken.
    taken: usize,
    /// A payload that is arriving in its own buffer.
    long: Option<(FrameHeader, Vec<u8>)>,
    limit_bytes: u32,
}

/// How a read went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    /// There is more to read, perhaps.
    More,
    /// Something came, and nothing more has arrived yet.
    Drained,
    /// Nothing has arrived yet.
    Nothing,
    /// The other end has closed.
    End,
}

/// The stream is not made of frames.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BadFrame {
    NotAHeader,
    TooLong(u32),
    NoMemory(u32),
}

impl std::fmt::Display for BadFrame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BadFrame::NotAHeader => f.write_str("the server sent what is not a frame"),
            BadFrame::TooLong(bytes) => write!(f, "the server sent a frame of {bytes} bytes, more than is allowed"),
            BadFrame::NoMemory(bytes) => write!(f, "there is no memory for a frame of {bytes} bytes"),
        }
    }
}

impl Incoming {
    pub(crate) fn new(limit_bytes: u32) -> Self {
        Self { chunk: Vec::with_capacity(CHUNK_BYTES), taken: 0, long: None, limit_bytes }
    }

    /// Reads once.
    pub(crate) fn fill(&mut self, socket: &Socket) -> io::Result<Filled> {
        let buffer = match &mut self.long {
            Some((_, payload)) => payload,
            None => {
                self.chunk.drain(..self.taken);
                self.taken = 0;
                &mut self.chunk
            }
        };
        let room = buffer.capacity() - buffer.len();
        match socket.receive(buffer) {
            Ok(0) => Ok(Filled::End),
            // A stream that gave less than there was room for is empty.
            Ok(received) if received < room => Ok(Filled::Drained),
            Ok(_) => Ok(Filled::More),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Filled::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Whether a frame has begun and not ended.
    pub(crate) fn is_inside_frame(&self) -> bool {
        self.long.is_some() || self.taken < self.chunk.len()
    }

    /// The next whole frame. To be called until there is none before the next [`Incoming::fill`].
    pub(crate) fn next_frame(&mut self) -> Result<Option<(FrameHeader, Bytes)>, BadFrame> {
        if let Some((header, mut payload)) = self.long.take() {
            let length = header.payload_bytes as usize;
            if payload.len() < length {
                make_room(&mut payload, length)?;
                self.long = Some((header, payload));
                return Ok(None);
            }
            // The allocator may have given, and the socket filled, more than the frame has.
            self.chunk.extend_from_slice(&payload[length..]);
            payload.truncate(length);
            return Ok(Some((header, payload.into())));
        }
        let unread = &self.chunk[self.taken..];
        let Some((header, rest)) = unread.split_first_chunk::<FRAME_HEADER_BYTES>() else { return Ok(None) };
        let header = FrameHeader::decode(header).ok_or(BadFrame::NotAHeader)?;
        if header.payload_bytes > self.limit_bytes {
            return Err(BadFrame::TooLong(header.payload_bytes));
        }
        let length = header.payload_bytes as usize;
        if let Some(payload) = rest.get(..length) {
            // A copy, so that a small value that somebody keeps does not keep the whole chunk.
            let payload = Bytes::copy_from_slice(payload);
            self.taken += FRAME_HEADER_BYTES + length;
            return Ok(Some((header, payload)));
        }
        if length >= OWN_BUFFER_BYTES {
            let mut payload = Vec::new();
            make_room(&mut payload, length)?;
            payload.extend_from_slice(rest);
            self.chunk.clear();
            self.taken = 0;
            self.long = Some((header, payload));
        }
        Ok(None)
    }
}

/// Makes room for more of a payload of `length` bytes.
fn make_room(payload: &mut Vec<u8>, length: usize) -> Result<(), BadFrame> {
    if payload.len() < payload.capacity() {
        return Ok(());
    }
    let missing = length - payload.len();
    let first = payload.len() < FIRST_ROOM_BYTES;
    let more = if first { missing.min(FIRST_ROOM_BYTES) } else { missing };
    payload.try_reserve_exact(more).map_err(|_| BadFrame::NoMemory(length as u32))?;
    if !first {
        platform::prefer_huge_pages(payload.spare_capacity_mut());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nws_proto::RequestId;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    const LIMIT_BYTES: u32 = 8 << 20;

    fn frame(request: u32, length: usize) -> Vec<u8> {
        let header = FrameHeader { payload_bytes: length as u32, request: RequestId(request), opcode: 0x80 };
        let mut bytes = header.encode().to_vec();
        bytes.extend((0..length).map(|at| (at as u32 ^ request) as u8));
        bytes
    }

    /// Sends `stream` in pieces of `piece` bytes and gives back the frames that came out.
    fn pass(stream: Vec<u8>, piece: usize) -> Vec<(u32, Bytes)> {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let ours = Socket::Unix(ours);
        let mut incoming = Incoming::new(LIMIT_BYTES);
        let mut frames = Vec::new();
        for bytes in stream.chunks(piece) {
            theirs.write_all(bytes).unwrap();
            while incoming.fill(&ours).unwrap() == Filled::More {
                take_frames(&mut incoming, &mut frames);
            }
            take_frames(&mut incoming, &mut frames);
        }
        drop(theirs);
        assert_eq!(incoming.fill(&ours).unwrap(), Filled::End);
        assert!(!incoming.is_inside_frame());
        frames
    }

    fn take_frames(incoming: &mut Incoming, frames: &mut Vec<(u32, Bytes)>) {
        while let Some((header, payload)) = incoming.next_frame().unwrap() {
            frames.push((header.request.0, payload));
        }
    }

    #[test]
    fn frames_come_out_as_they_went_in_however_the_stream_is_cut() {
        let lengths = [0, 1, 11, 12, 13, 5_000, 16_383, 16_384, 40_000, 0, 131_072, 3_000_000, 7, 1_048_576, 2];
        let stream: Vec<u8> = lengths.iter().zip(0..).flat_map(|(length, n)| frame(n, *length)).collect();
        for piece in [997, 4_096, 60_000, 99_991] {
            let frames = pass(stream.clone(), piece);
            assert_eq!(frames.len(), lengths.len(), "pieces of {piece}");
            for ((request, payload), (length, n)) in frames.iter().zip(lengths.iter().zip(0..)) {
                assert_eq!(*request, n);
                assert!(payload == &frame(n, *length)[FRAME_HEADER_BYTES..], "frame {n}, pieces of {piece}");
            }
        }
    }

    #[test]
    fn single_bytes_make_frames_too() {
        let stream: Vec<u8> = (0..20).flat_map(|n| frame(n, n as usize)).collect();
        assert_eq!(pass(stream, 1).len(), 20);
    }

    #[test]
    fn a_header_that_claims_much_reserves_little() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut incoming = Incoming::new(LIMIT_BYTES);
        theirs.write_all(&frame(1, LIMIT_BYTES as usize)[..100]).unwrap();
        incoming.fill(&Socket::Unix(ours)).unwrap();
        assert_eq!(incoming.next_frame(), Ok(None));
        assert!(incoming.is_inside_frame());
        let (_, payload) = incoming.long.as_ref().unwrap();
        assert!(payload.capacity() <= FIRST_ROOM_BYTES + OWN_BUFFER_BYTES);
    }

    #[test]
    fn what_a_roomy_buffer_took_of_the_next_frames_is_not_lost() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut incoming = Incoming::new(LIMIT_BYTES);
        let (long, next, last) = (frame(1, 20_000), frame(2, 5), frame(3, 7));
        let header = FrameHeader { payload_bytes: 20_000, request: RequestId(1), opcode: 0x80 };
        // An allocator may give more than it was asked for.
        incoming.long = Some((header, Vec::with_capacity(20_000 + next.len() + 3)));
        theirs.write_all(&[&long[FRAME_HEADER_BYTES..], &next, &last].concat()).unwrap();
        let ours = Socket::Unix(ours);
        let mut frames = Vec::new();
        for expected in [Filled::More, Filled::Drained] {
            assert_eq!(incoming.fill(&ours).unwrap(), expected);
            take_frames(&mut incoming, &mut frames);
        }
        let requests: Vec<(u32, usize)> = frames.iter().map(|(request, payload)| (*request, payload.len())).collect();
        assert_eq!(requests, [(1, 20_000), (2, 5), (3, 7)]);
        assert!(frames[2].1 == last[FRAME_HEADER_BYTES..]);
    }

    #[test]
    fn what_is_no_frame_or_too_long_a_one_is_refused() {
        let refused = |bytes: &[u8]| {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let mut incoming = Incoming::new(LIMIT_BYTES);
            theirs.write_all(bytes).unwrap();
            incoming.fill(&Socket::Unix(ours)).unwrap();
            incoming.next_frame().unwrap_err()
        };
        assert_eq!(refused(b"HTTP/1.1 400 Bad Request\r\n"), BadFrame::NotAHeader);
        let header = FrameHeader { payload_bytes: LIMIT_BYTES + 1, request: RequestId(1), opcode: 0x80 };
        assert_eq!(refused(&header.encode()), BadFrame::TooLong(LIMIT_BYTES + 1));
    }
}
