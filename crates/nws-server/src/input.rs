//! From a socket's bytes to frames.
//!
//! One [`Scratch`] a thread receives for all connections. A connection keeps bytes of its own only
//! while a frame is incomplete: the start of a small one, or the body of a large one, which is then
//! received straight into the buffer that its values will share. Of that buffer only what has arrived
//! takes memory, so a length that is announced and never sent costs nothing.

use std::io;

use bytes::Bytes;
use nws_proto::{ErrorCode, FRAME_HEADER_BYTES, Fault, FrameHeader};

use crate::platform;
use crate::stream::Carrier;

/// Most bytes of one connection a turn.
pub(crate) const TURN_BYTES: usize = 256 * 1024;
/// A longer frame that has not arrived whole gets a buffer of its own. So what is left in the scratch
/// when it is to receive is never more than this and a header.
pub(crate) const SMALL_FRAME_BYTES: usize = 64 * 1024;
/// A payload up to this long is not worth memory that its values share: it is cheaper to copy each.
const SHORT_BYTES: usize = 256;
/// What a large frame gets at first, whatever it announces. One that fills it gets room for all, in
/// pages of up to 2 MiB, which take memory when the first byte of each arrives.
const FIRST_BODY_BYTES: usize = 1024 * 1024;

/// Where a thread's connections receive, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        // Room for a turn's bytes behind the incomplete small frame that preceded them.
        let size_bytes = TURN_BYTES + SMALL_FRAME_BYTES + FRAME_HEADER_BYTES;
        Self { bytes: vec![0; size_bytes].into_boxed_slice(), start: 0, end: 0 }
    }

    /// What has arrived and was not read.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// The next `N` bytes, where they have arrived.
    pub(crate) fn take_array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let array = *self.unread().first_chunk()?;
        self.start += N;
        Some(array)
    }

    /// The next byte, which stays.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.unread().first().copied()
    }

    /// This many of the unread bytes are read now.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start = self.end.min(self.start + count);
    }

    /// Forgets what was not read.
    pub(crate) fn discard(&mut self) {
        self.start = self.end;
    }
}

/// What is to happen with a frame whose header has arrived.
#[derive(Debug)]
pub(crate) enum Admission {
    /// Receive it.
    Take,
    /// Let its payload go by: the request is answered with this fault.
    Skip(Fault),
    /// Hand on what follows these bytes of its payload as it comes: a value that goes to the disk.
    Spool { head_bytes: usize },
    /// More of its payload has to come before that can be said.
    Wait,
    /// End the connection for this reason.
    Refuse(Fault),
}

/// What has arrived.
#[derive(Debug)]
pub(crate) enum Arrival<'a> {
    Frame(FrameHeader, Bytes),
    /// A frame whose payload is short, and stays where it was received.
    Short(FrameHeader, &'a [u8]),
    /// A frame whose payload was let go by.
    Skipped(FrameHeader, Fault),
    /// The next bytes of what is handed on as it comes.
    Spooling(Spooled),
}

#[derive(Debug)]
struct Body {
    header: FrameHeader,
    bytes: Vec<u8>,
}

impl Body {
    fn missing_bytes(&self) -> usize {
        self.header.payload_bytes as usize - self.bytes.len()
    }

    /// Room for all that is missing, where the first room is full.
    fn grow(&mut self) -> io::Result<()> {
        if self.bytes.len() == self.bytes.capacity() {
            self.bytes.try_reserve_exact(self.missing_bytes()).map_err(|_| io::ErrorKind::OutOfMemory)?;
            platform::prefer_huge_pages(self.bytes.spare_capacity_mut());
        }
        Ok(())
    }
}

/// A piece of a payload.
#[derive(Debug)]
pub(crate) struct Spooled {
    pub(crate) header: FrameHeader,
    /// What came before the first piece.
    pub(crate) head: Bytes,
    pub(crate) bytes: Bytes,
    /// It is the last.
    pub(crate) ends: bool,
}

/// A frame whose value is handed on as it comes.
#[derive(Debug)]
struct Spooling {
    header: FrameHeader,
    head: Bytes,
    /// What came when it was to be received into memory.
    come: Option<Bytes>,
    missing_bytes: usize,
}

impl Spooling {
    /// What has come of the value.
    fn take<'a>(&mut self, scratch: &'a mut Scratch) -> Option<Arrival<'a>> {
        let bytes = self.come.take().or_else(|| {
            let unread = scratch.unread();
            let here = unread.get(..unread.len().min(self.missing_bytes)).filter(|here| !here.is_empty())?;
            let bytes = Bytes::copy_from_slice(here);
            self.missing_bytes -= bytes.len();
            scratch.consume(bytes.len());
            Some(bytes)
        })?;
        let (header, head, ends) = (self.header, self.head.clone(), self.missing_bytes == 0);
        Some(Arrival::Spooling(Spooled { header, head, bytes, ends }))
    }
}

/// A connection's incomplete frame.
#[derive(Debug, Default)]
pub(crate) struct Input {
    partial: Vec<u8>,
    body: Option<Box<Body>>,
    spooling: Option<Box<Spooling>>,
    /// A frame that was given up, which is still to be told.
    given_up: Option<Box<(FrameHeader, Fault)>>,
    skip_bytes: u64,
}

impl Input {
    /// Loads what was left last time into the scratch.
    pub(crate) fn begin(&mut self, scratch: &mut Scratch) {
        let partial = std::mem::take(&mut self.partial);
        scratch.bytes[..partial.len()].copy_from_slice(&partial);
        (scratch.start, scratch.end) = (0, partial.len());
    }

    /// Keeps what was not read until the next time.
    pub(crate) fn finish(&mut self, scratch: &mut Scratch) {
        if !scratch.unread().is_empty() {
            self.partial = scratch.unread().to_vec();
        }
        scratch.discard();
    }

    /// Receives up to `budget_bytes`: how many came, and whether there was room for more, in which
    /// case the socket is empty. 0 bytes are the end of the stream.
    pub(crate) fn receive(
        &mut self,
        carrier: &impl Carrier,
        scratch: &mut Scratch,
        budget_bytes: usize,
    ) -> io::Result<(usize, bool)> {
        if let Some(body) = &mut self.body {
            body.grow()?;
            let asked = budget_bytes.min(body.bytes.capacity() - body.bytes.len()).min(body.missing_bytes());
            let count = carrier.receive_into_spare(&mut body.bytes, asked)?;
            return Ok((count, count < asked));
        }
        if scratch.start > 0 {
            scratch.bytes.copy_within(scratch.start..scratch.end, 0);
            (scratch.start, scratch.end) = (0, scratch.end - scratch.start);
        }
        let asked = budget_bytes.min(scratch.bytes.len() - scratch.end);
        let count = carrier.receive(&mut scratch.bytes[scratch.end..scratch.end + asked])?;
        scratch.end += count;
        Ok((count, count < asked))
    }

    /// The next frame that is complete, if any. `admit` is asked about each by its header and what of
    /// its payload has come.
    ///
    /// # Errors
    /// Where the bytes are no frame, or the frame was refused; the connection is to end.
    pub(crate) fn next<'a>(
        &mut self,
        scratch: &'a mut Scratch,
        admit: impl FnOnce(&FrameHeader, &[u8]) -> Admission,
    ) -> Result<Option<Arrival<'a>>, Fault> {
        if let Some(body) = self.body.take_if(|body| body.missing_bytes() == 0) {
            return Ok(Some(Arrival::Frame(body.header, body.bytes.into())));
        }
        if self.spooling.is_some() {
            return Ok(self.next_piece(scratch));
        }
        if let Some(given_up) = self.given_up.take() {
            let (header, fault) = *given_up;
            return Ok(Some(Arrival::Skipped(header, fault)));
        }
        self.skip(scratch);
        let unread = scratch.unread();
        let Some((head, rest)) = unread.split_first_chunk::<FRAME_HEADER_BYTES>() else { return Ok(None) };
        let header = FrameHeader::decode(head).ok_or_else(|| {
            Fault::new(ErrorCode::MalformedFrame, "expected a frame header, whose last two bytes are 0")
        })?;
        match admit(&header, &rest[..rest.len().min(header.payload_bytes as usize)]) {
            Admission::Refuse(fault) => return Err(fault),
            Admission::Skip(fault) => {
                self.skip_bytes = header.payload_bytes.into();
                scratch.start += FRAME_HEADER_BYTES;
                self.skip(scratch);
                return Ok(Some(Arrival::Skipped(header, fault)));
            }
            Admission::Spool { head_bytes } if head_bytes <= rest.len() => {
                let head = Bytes::copy_from_slice(&rest[..head_bytes]);
                let missing_bytes = header.payload_bytes as usize - head_bytes;
                scratch.start += FRAME_HEADER_BYTES + head_bytes;
                self.spooling = Some(Box::new(Spooling { header, head, come: None, missing_bytes }));
                return Ok(self.next_piece(scratch));
            }
            Admission::Spool { .. } | Admission::Wait => return Ok(None),
            Admission::Take => {}
        }
        let length = header.payload_bytes as usize;
        if length <= rest.len() {
            let start = scratch.start + FRAME_HEADER_BYTES;
            scratch.start = start + length;
            let payload = &scratch.bytes[start..scratch.start];
            return Ok(Some(if length <= SHORT_BYTES {
                Arrival::Short(header, payload)
            } else {
                Arrival::Frame(header, Bytes::copy_from_slice(payload))
            }));
        }
        if length > SMALL_FRAME_BYTES {
            let mut bytes = Vec::with_capacity(length.min(FIRST_BODY_BYTES));
            bytes.extend_from_slice(rest);
            self.body = Some(Box::new(Body { header, bytes }));
            scratch.discard();
        }
        Ok(None)
    }

    fn next_piece<'a>(&mut self, scratch: &'a mut Scratch) -> Option<Arrival<'a>> {
        let piece = self.spooling.as_mut()?.take(scratch);
        self.spooling.take_if(|spooling| spooling.missing_bytes == 0);
        piece
    }

    /// Whether no frame has begun.
    pub(crate) fn is_between_frames(&self) -> bool {
        self.body.is_none() && self.spooling.is_none() && self.given_up.is_none()
    }

    /// What has come of a frame in a buffer of its own, in bytes.
    pub(crate) fn body_bytes(&self) -> u64 {
        self.body.as_ref().map_or(0, |body| body.bytes.len() as u64)
    }

    /// A frame of which some has come into a buffer of its own, and what.
    pub(crate) fn body(&self) -> Option<(FrameHeader, &[u8])> {
        let body = self.body.as_ref().filter(|body| body.missing_bytes() > 0)?;
        Some((body.header, &body.bytes))
    }

    /// Does with such a frame after all what is said here.
    pub(crate) fn change(&mut self, admission: Admission) {
        let Some(body) = self.body.take_if(|_| !matches!(admission, Admission::Take | Admission::Wait)) else { return };
        let (header, missing_bytes) = (body.header, body.missing_bytes());
        match admission {
            Admission::Spool { head_bytes } => {
                let mut come = Bytes::from(body.bytes);
                // Of its own: the rest goes as soon as it is written.
                let head = Bytes::copy_from_slice(&come.split_to(head_bytes.min(come.len())));
                self.spooling = Some(Box::new(Spooling { header, head, come: Some(come), missing_bytes }));
            }
            Admission::Skip(fault) | Admission::Refuse(fault) => {
                self.skip_bytes = missing_bytes as u64;
                self.given_up = Some(Box::new((header, fault)));
            }
            Admission::Take | Admission::Wait => {}
        }
    }

    fn skip(&mut self, scratch: &mut Scratch) {
        let here = self.skip_bytes.min(scratch.unread().len() as u64);
        self.skip_bytes -= here;
        scratch.start += here as usize;
    }
}
