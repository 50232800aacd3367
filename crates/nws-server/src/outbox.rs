//! What a connection is to send.
//!
//! Small fields are copied into one buffer; large values stay where they are and are sent from there,
//! all with as few vectored writes as possible. Values on disk are sent as they are loaded, a little at
//! a time. An empty outbox holds no memory.

mod piece;

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::iter;
use std::sync::Arc;

use bytes::Bytes;
use nws_proto::{
    ErrorCode, Event, FRAME_HEADER_BYTES, Fault, FrameHeader, Opcode, ReadingId, Reply, RequestId, Sink, limits,
    put_reading,
};

use crate::disk::SpoolFile;
use crate::stored::Stored;
use crate::stream::Carrier;
use piece::Piece;
pub(crate) use piece::Wanted;

/// From this length on a value is sent from where it is.
const LARGE_VALUE_BYTES: usize = 4096;
/// Most pieces of one write.
const PIECES: usize = 64;
/// Most bytes of one connection a flush, so that one that reads fast does not keep the others waiting.
const FLUSH_BYTES: usize = 4 << 20;
/// Sent bytes at the buffer's start that are worth moving the rest for.
const COMPACT_BYTES: usize = 1 << 20;

/// A value that goes out between two bytes of the small buffer.
#[derive(Debug)]
struct Large {
    /// Bytes of the small buffer that go before it.
    after: usize,
    value: Piece,
}

/// Why a flush ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// All is sent.
    All,
    /// The kernel takes no more for now.
    Blocked,
    /// What comes next is still on disk.
    Starved,
    /// There is more, and it is others' turn.
    Yielded,
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
}

impl Sink<Stored> for Outbox {
    fn put(&mut self, bytes: &[u8]) {
        self.small.extend_from_slice(bytes);
    }

    fn put_value(&mut self, value: &Stored) {
        match value {
            Stored::Memory(value) if value.len() < LARGE_VALUE_BYTES => self.small.extend_from_slice(value),
            Stored::Memory(value) => self.put_large(value.len(), Piece::Memory(value.clone())),
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
    pub(crate) fn is_empty(&self) -> bool {
        self.unsent_bytes() == 0
    }

    pub(crate) fn unsent_bytes(&self) -> usize {
        self.small.len() - self.small_sent + self.large_bytes
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
        self.large.push_back(Large { after: self.small.len(), value });
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

    /// Puts in the answer to who asked for this part of a file.
    pub(crate) fn part(&mut self, request: RequestId, file: &Arc<SpoolFile>, offset: u64, len: u32) {
        self.frame(request, Opcode::Part, |outbox| {
            Sink::<Stored>::put_u32(outbox, len);
            outbox.put_file(file, offset, len.into());
        });
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
            large.value.load(bytes);
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

    /// Sends what the kernel takes, within what is one connection's share of a turn. A buffer that
    /// becomes free goes to `spare`.
    ///
    /// # Errors
    /// Where the peer is gone.
    pub(crate) fn flush(&mut self, carrier: &impl Carrier, spare: &mut Spare) -> io::Result<Flushed> {
        let mut budget = FLUSH_BYTES;
        while !self.is_empty() {
            if budget == 0 {
                return Ok(Flushed::Yielded);
            }
            let (count, asked) = self.send_once(carrier)?;
            if asked == 0 {
                return Ok(Flushed::Starved);
            }
            if count < asked {
                return Ok(Flushed::Blocked);
            }
            budget = budget.saturating_sub(count);
        }
        if self.large.capacity() > 0 {
            self.large = VecDeque::new();
        }
        self.small_sent = 0;
        spare.put(std::mem::take(&mut self.small));
        Ok(Flushed::All)
    }

    /// Gets a buffer to write into, where it has none.
    pub(crate) fn prepare(&mut self, spare: &mut Spare) {
        if self.small.capacity() == 0 {
            self.small = spare.take();
        }
    }

    fn send_once(&mut self, carrier: &impl Carrier) -> io::Result<(usize, usize)> {
        if self.large.is_empty() {
            let unsent = &self.small[self.small_sent..];
            let asked = unsent.len();
            let count = taken(carrier.send_pieces(&[IoSlice::new(unsent)]))?;
            self.advance(count);
            return Ok((count, asked));
        }
        let mut pieces = [IoSlice::new(&[]); PIECES];
        let (mut used, mut asked, mut at) = (0, 0, self.small_sent);
        let mut larges = self.large.iter();
        loop {
            let large = larges.next();
            let small = &self.small[at..large.map_or(self.small.len(), |large| large.after)];
            let ready = large.into_iter().flat_map(|large| large.value.ready()).map(|bytes| &bytes[..]);
            for piece in iter::once(small).chain(ready) {
                if !piece.is_empty() && used < PIECES {
                    pieces[used] = IoSlice::new(piece);
                    used += 1;
                    asked += piece.len();
                }
            }
            match large {
                Some(large) if used < PIECES && large.value.is_ready() => at = large.after,
                _ => break,
            }
        }
        if used == 0 {
            return Ok((0, 0));
        }
        let count = taken(carrier.send_pieces(&pieces[..used]))?;
        self.advance(count);
        Ok((count, asked))
    }

    fn advance(&mut self, mut count: usize) {
        self.sent += count as u64;
        while count > 0 {
            let until = self.large.front().map_or(self.small.len(), |large| large.after);
            let step = count.min(until - self.small_sent);
            self.small_sent += step;
            count -= step;
            let Some(large) = self.large.front_mut().filter(|_| count > 0) else { break };
            let (step, loaded) = large.value.advance(count);
            self.large_bytes -= step;
            self.loaded_bytes -= loaded;
            count -= step;
            if !large.value.is_over() {
                break;
            }
            self.large.pop_front();
        }
        if self.small_sent >= COMPACT_BYTES && self.small_sent >= self.small.len() / 2 {
            self.small.drain(..self.small_sent);
            self.large.iter_mut().for_each(|large| large.after -= self.small_sent);
            self.small_sent = 0;
        }
    }
}

/// How much the kernel took.
fn taken(sent: io::Result<usize>) -> io::Result<usize> {
    match sent {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        sent => sent,
    }
}

/// Buffers that wait for the next reply, so that busy connections need no allocation and idle ones
/// hold none.
#[derive(Debug, Default)]
pub(crate) struct Spare(Vec<Vec<u8>>);

impl Spare {
    const BUFFERS: usize = 64;
    /// Enough for most replies, and not much where thousands of clients are answered at once.
    const FIRST_BYTES: usize = 256;
    const BUFFER_BYTES: usize = 64 * 1024;

    fn take(&mut self) -> Vec<u8> {
        self.0.pop().unwrap_or_else(|| Vec::with_capacity(Self::FIRST_BYTES))
    }

    fn put(&mut self, mut buffer: Vec<u8>) {
        if self.0.len() < Self::BUFFERS && (1..=Self::BUFFER_BYTES).contains(&buffer.capacity()) {
            buffer.clear();
            self.0.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use nws_proto::{Descriptor, Grant, Index, Item, LeaseId, VariableId};

    use super::*;
    use crate::clock::Random;

    /// Values of these lengths, in bytes.
    fn values(random: &mut Random, lengths: &[usize]) -> Reply<Stored> {
        let mut grant = |index| {
            let length = lengths[random.next() as usize % lengths.len()];
            let value = Bytes::from(vec![random.next() as u8; length]);
            Grant { index: Index(index), deaths: 0, item: Item { descriptor: Descriptor(1), value: value.into() } }
        };
        let values = (0..80).map(&mut grant).collect();
        Reply::Values { variable: VariableId(1), first_lease: LeaseId(0), values }
    }

    fn as_sent(request: RequestId, reply: &Reply<Stored>) -> Vec<u8> {
        let in_memory = |value| match value {
            Stored::Memory(bytes) => Ok(bytes),
            Stored::Disk { .. } => Err(value),
        };
        let reply = reply.clone().try_map(in_memory).unwrap();
        let mut payload = Vec::new();
        reply.encode(&mut payload);
        let header = FrameHeader { payload_bytes: payload.len() as u32, request, opcode: reply.opcode().to_wire() };
        [&header.encode()[..], &payload].concat()
    }

    /// Reads up to `most_bytes` of what is there.
    fn take(peer: &mut UnixStream, most_bytes: usize, got: &mut Vec<u8>) {
        let mut buffer = vec![0; most_bytes];
        match peer.read(&mut buffer) {
            Ok(count) => got.extend_from_slice(&buffer[..count]),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }

    #[test]
    fn what_comes_out_is_what_was_put_in_however_slowly_it_is_read() {
        let lengths = [0, 1, 100, LARGE_VALUE_BYTES - 1, LARGE_VALUE_BYTES, 20_000, 200_000];
        for seed in 0..20 {
            let mut random = Random::new(seed);
            // Without large values the small buffer grows until its start is worth dropping.
            let lengths = if seed % 2 == 0 { &lengths[..] } else { &lengths[1..4] };
            let (ours, mut peer) = UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            peer.set_nonblocking(true).unwrap();
            let (mut outbox, mut spare) = (Outbox::default(), Spare::default());
            let (mut expected, mut got) = (Vec::new(), Vec::new());
            for id in 0..60 {
                let reply = if random.next() >> 63 == 0 { values(&mut random, lengths) } else { Reply::Done };
                outbox.prepare(&mut spare);
                outbox.reply(RequestId(id), &reply);
                expected.extend(as_sent(RequestId(id), &reply));
                assert_eq!(outbox.end(), expected.len() as u64, "seed {seed}");
                if random.next() >> 62 == 0 {
                    outbox.flush(&ours, &mut spare).unwrap();
                }
                take(&mut peer, random.next() as usize % 50_000 + 1, &mut got);
            }
            while got.len() < expected.len() {
                outbox.flush(&ours, &mut spare).unwrap();
                take(&mut peer, 1 << 20, &mut got);
            }
            assert!(got == expected, "seed {seed}");
            assert_eq!(outbox.flush(&ours, &mut spare).unwrap(), Flushed::All);
            assert_eq!((outbox.small.capacity(), outbox.large.capacity()), (0, 0), "an empty outbox holds no memory");
            assert_eq!(outbox.sent(), expected.len() as u64);
        }
    }

    #[test]
    fn an_event_stands_in_a_frame_of_its_own() {
        let (ours, mut peer) = UnixStream::pair().unwrap();
        let mut outbox = Outbox::default();
        let event = Event::Goodbye(Fault::new(ErrorCode::ShuttingDown, "bye"));
        outbox.event(&event);
        outbox.flush(&ours, &mut Spare::default()).unwrap();
        drop(ours);
        let mut got = Vec::new();
        peer.read_to_end(&mut got).unwrap();
        let (header, payload) = got.split_first_chunk().unwrap();
        let header = FrameHeader::decode(header).unwrap();
        assert_eq!((header.request, header.payload_bytes as usize), (RequestId(0), payload.len()));
        assert_eq!(Event::decode(header.opcode, Bytes::copy_from_slice(payload)).unwrap(), event);
    }
}
