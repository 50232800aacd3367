//! What a connection is to send.
//!
//! Small fields are copied into one buffer; large values stay where they are and are sent from there,
//! all with as few vectored writes as possible. Values on disk are sent as they are loaded, a little at
//! a time. An empty outbox holds no memory.

mod piece;
mod sending;
mod spare;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use nws_proto::{
    ErrorCode, Event, FRAME_HEADER_BYTES, Fault, FrameHeader, Opcode, ReadingId, Reply, RequestId, Sink, limits,
    put_reading,
};

use crate::disk::SpoolFile;
use crate::kept::Pinned;
use crate::stored::Stored;
use piece::Piece;
pub(crate) use piece::Wanted;
pub(crate) use sending::Flushed;
pub(crate) use spare::Spare;

/// A value that goes out between two bytes of the small buffer.
#[derive(Debug)]
struct Large {
    /// Bytes of the small buffer that go before it.
    after: usize,
    /// Where in the small buffer its frame begins, where it is on disk and as long as that is not sent.
    frame_from: Option<usize>,
    /// Something of the value has come from the disk: until then nothing of its frame is sent.
    begun: bool,
    value: Piece,
}

impl Large {
    fn held_from(&self) -> Option<usize> {
        self.frame_from.filter(|_| !self.begun)
    }

    fn shift(&mut self, to: impl Fn(usize) -> Option<usize>) {
        self.after = to(self.after).unwrap_or(0);
        self.frame_from = self.frame_from.and_then(to);
    }
}

/// Frames to be sent.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    small: Vec<u8>,
    /// How much of `small` is sent.
    small_sent: usize,
    large: VecDeque<Large>,
    large_bytes: usize,
    /// Of those, in memory because they were loaded.
    loaded_bytes: usize,
    /// Something was asked of the disk and has not come.
    pub(crate) loads: bool,
    /// Bytes ever sent.
    sent: u64,
    /// Where those large values count that nobody else keeps.
    pinned: Pinned,
}

impl Sink<Stored> for Outbox {
    fn put(&mut self, bytes: &[u8]) {
        self.small.extend_from_slice(bytes);
    }

    fn put_value(&mut self, value: &Stored) {
        match value {
            Stored::Short(value) => self.small.extend_from_slice(value.bytes()),
            Stored::Memory(value) => self.small.extend_from_slice(value),
            Stored::Large(value) => {
                let pin = value.pin(&self.pinned);
                self.put_large(value.bytes().len(), Piece::memory(pin));
            }
            Stored::Disk { file, len_bytes } => self.put_file(file, 0, *len_bytes),
        }
    }

    fn value_len(value: &Stored) -> u64 {
        value.len()
    }
}

/// A frame of values, some of which are not in it: the numbers of their readings, in order.
struct WithReadings<'a, I> {
    outbox: &'a mut Outbox,
    readings: I,
}

impl<I: Iterator<Item = ReadingId>> Sink<Stored> for WithReadings<'_, I> {
    fn put(&mut self, bytes: &[u8]) {
        Sink::<Stored>::put(self.outbox, bytes);
    }

    fn put_value(&mut self, value: &Stored) {
        self.outbox.put_value(value);
    }

    fn value_len(value: &Stored) -> u64 {
        value.len()
    }

    fn put_sized_value(&mut self, value: &Stored) {
        match (value, value.is_on_disk().then(|| self.readings.next()).flatten()) {
            (value, Some(reading)) => put_reading(self, reading, value.len()),
            (value, None) => self.outbox.put_sized_value(value),
        }
    }
}

impl Outbox {
    pub(crate) fn new(pinned: Pinned) -> Self {
        Self { pinned, ..Self::default() }
    }

    /// What memory it takes, in bytes; but for large values, which have places of their own where they count.
    pub(crate) fn held_bytes(&self) -> u64 {
        (self.small.len() + self.large.len() * size_of::<Large>()) as u64
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.unsent_bytes() == 0
    }

    pub(crate) fn unsent_bytes(&self) -> usize {
        self.small.len() - self.small_sent + self.large_bytes
    }

    /// Where in the small buffer comes what is put in next.
    pub(crate) fn small_end(&self) -> usize {
        self.small.len()
    }

    /// How many bytes the kernel has taken since the connection began.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// The place in the stream behind what was put in last.
    pub(crate) fn end(&self) -> u64 {
        self.sent + self.unsent_bytes() as u64
    }

    fn put_large(&mut self, len: usize, value: Piece) {
        self.large_bytes += len;
        self.large.push_back(Large { after: self.small.len(), frame_from: None, begun: false, value });
    }

    fn put_file(&mut self, file: &Arc<SpoolFile>, offset: u64, len_bytes: u64) {
        if len_bytes > 0 {
            let len = usize::try_from(len_bytes).unwrap_or(usize::MAX);
            self.put_large(len, Piece::file(Arc::clone(file), offset, len_bytes));
        }
    }

    /// Puts a reply in whose values on disk have these readings.
    pub(crate) fn reply_with_readings(
        &mut self,
        request: RequestId,
        reply: &Reply<Stored>,
        readings: impl Iterator<Item = ReadingId>,
    ) {
        self.frame(request, reply.opcode(), |outbox| reply.encode(&mut WithReadings { outbox, readings }));
    }

    /// Puts in the answer to who asked for this part of a file. It begins to go out when some of the part
    /// has been loaded, so that who waits for a slow disk can be told something else meanwhile.
    pub(crate) fn part(&mut self, request: RequestId, file: &Arc<SpoolFile>, offset: u64, len: u32) {
        let start = self.small.len();
        self.frame(request, Opcode::Part, |outbox| {
            Sink::<Stored>::put_u32(outbox, len);
            outbox.put_file(file, offset, len.into());
        });
        self.hold_from(start);
    }

    /// Puts in an empty frame ahead of what the disk has to bring first, where it can go out now: the place
    /// in the stream, and how far what follows it has moved. Nothing where more is on its way.
    pub(crate) fn overtake(&mut self, opcode: Opcode) -> Option<(u64, u64)> {
        let mut before_bytes = 0;
        let starved = self.large.iter().position(|large| {
            let ready = large.value.is_ready();
            before_bytes += if ready { large.value.len() } else { 0 };
            !ready
        });
        let at = match starved {
            Some(place) => self.large.get(place)?.held_from()?,
            None if self.is_empty() => self.small.len(),
            None => return None,
        };
        let header = FrameHeader { payload_bytes: 0, request: RequestId(0), opcode: opcode.to_wire() }.encode();
        self.small.splice(at..at, header);
        let behind = starved.unwrap_or(self.large.len());
        self.large.iter_mut().skip(behind).for_each(|large| large.shift(|place| Some(place + header.len())));
        Some((self.sent + (at - self.small_sent + before_bytes) as u64, header.len() as u64))
    }

    /// What is to be loaded next, at most `most` bytes, where less than that is loaded.
    pub(crate) fn wanted(&self, most: usize) -> Option<Wanted> {
        if self.loads || self.loaded_bytes >= most {
            return None;
        }
        self.large.iter().find_map(|large| large.value.wanted(most))
    }

    /// Takes what was wanted.
    pub(crate) fn load(&mut self, bytes: Bytes) {
        self.loads = false;
        if let Some(large) = self.large.iter_mut().find(|large| !large.value.is_ready()) {
            self.loaded_bytes += bytes.len();
            large.begun = true;
            large.value.load(bytes);
        }
    }

    /// The head of the frame that waits for the disk, where nothing of it is sent.
    pub(crate) fn unbegun(&self) -> Option<&[u8]> {
        let large = self.large.iter().find(|large| !large.value.is_ready())?;
        self.small.get(large.frame_from.filter(|from| *from >= self.small_sent)?..large.after)
    }

    /// Puts these bytes in the place of what [`Outbox::unbegun`] tells of, value and all. Says where in the
    /// stream that would have ended, and by how much what follows it has moved.
    pub(crate) fn replace_unbegun(&mut self, bytes: &[u8]) -> Option<(u64, i64)> {
        let head_bytes = self.unbegun()?.len();
        let place = self.large.iter().position(|large| !large.value.is_ready())?;
        let before_bytes: usize = self.large.iter().take(place).map(|large| large.value.len()).sum();
        let Large { after, value, .. } = self.large.remove(place)?;
        let (start, value_bytes) = (after - head_bytes, value.unsent_bytes());
        self.large_bytes -= value_bytes;
        self.loaded_bytes -= value.len();
        self.small.splice(start..after, bytes.iter().copied());
        self.large.iter_mut().skip(place).for_each(|large| large.shift(|at| Some(at - head_bytes + bytes.len())));
        let end = self.sent + (after - self.small_sent + before_bytes + value_bytes) as u64;
        Some((end, bytes.len() as i64 - (head_bytes + value_bytes) as i64))
    }

    /// What was put in behind this place of the small buffer begins to go out when some of its value has
    /// been loaded, if that is on disk.
    pub(crate) fn hold_from(&mut self, start: usize) {
        if let Some(large) = self.large.back_mut().filter(|large| large.after > start && !large.value.is_ready()) {
            large.frame_from = Some(start);
        }
    }

    /// What is loaded and not sent, in bytes.
    pub(crate) fn loaded_bytes(&self) -> usize {
        self.loaded_bytes
    }

    /// Puts a reply in. A listing that is too long for a frame is replaced by a fault; values always
    /// fit, by the limits of the protocol.
    pub(crate) fn reply(&mut self, request: RequestId, reply: &Reply<Stored>) {
        self.reply_or_fault(request, reply.opcode(), |outbox| reply.encode(outbox));
    }

    /// Puts a listing in: how many items, and these.
    pub(crate) fn listing(&mut self, request: RequestId, opcode: Opcode, count: [u8; 4], items: &Bytes) {
        self.reply_or_fault(request, opcode, |outbox| {
            Sink::<Stored>::put(outbox, &count);
            outbox.put_value(&Stored::from(items.clone()));
        });
    }

    fn reply_or_fault(&mut self, request: RequestId, opcode: Opcode, encode: impl FnOnce(&mut Self)) {
        if !self.frame(request, opcode, encode) {
            let most = limits::FRAME_PAYLOAD_BYTES;
            let fault = Fault::new(
                ErrorCode::FrameTooLong,
                format!("expected a listing of at most {most} bytes; ask for less at a time"),
            );
            self.frame(request, Opcode::Failed, |outbox| Reply::<Stored>::Failed(fault).encode(outbox));
        }
    }

    pub(crate) fn event(&mut self, event: &Event) {
        let mut payload = Vec::new();
        event.encode(&mut payload);
        self.short(event.opcode(), &payload);
    }

    /// Puts in a frame whose payload is short.
    pub(crate) fn short(&mut self, opcode: Opcode, payload: &[u8]) {
        self.frame(RequestId(0), opcode, |outbox| Sink::<Stored>::put(outbox, payload));
    }

    /// Leaves room for the header and fills it in when the length is known; takes the frame back where
    /// that is too long.
    fn frame(&mut self, request: RequestId, opcode: Opcode, encode: impl FnOnce(&mut Self)) -> bool {
        let (start, large_start, large_bytes) = (self.small.len(), self.large.len(), self.large_bytes);
        self.small.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
        encode(self);
        let payload = self.small.len() - start - FRAME_HEADER_BYTES + self.large_bytes - large_bytes;
        if payload > limits::FRAME_PAYLOAD_BYTES as usize {
            self.small.truncate(start);
            self.large.truncate(large_start);
            self.large_bytes = large_bytes;
            return false;
        }
        let header = FrameHeader { payload_bytes: payload as u32, request, opcode: opcode.to_wire() };
        self.small[start..start + FRAME_HEADER_BYTES].copy_from_slice(&header.encode());
        true
    }

    /// Gets a buffer to write into, where it has none.
    pub(crate) fn prepare(&mut self, spare: &mut Spare) {
        if self.small.capacity() == 0 {
            self.small = spare.take();
        }
    }
}
