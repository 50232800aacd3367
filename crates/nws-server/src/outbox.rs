//! What a connection is to send.
//!
//! Small fields are copied into one buffer; large values stay where they are and are sent from there,
//! all with as few vectored writes as possible. An empty outbox holds no memory.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;

use bytes::Bytes;
use nws_proto::{ErrorCode, Event, FRAME_HEADER_BYTES, Fault, FrameHeader, Opcode, Reply, RequestId, Sink, limits};

use crate::platform;

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
    value: Bytes,
}

/// Why a flush ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// All is sent.
    All,
    /// The kernel takes no more for now.
    Blocked,
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
    /// Bytes ever sent.
    sent: u64,
}

impl Sink<Bytes> for Outbox {
    fn put(&mut self, bytes: &[u8]) {
        self.small.extend_from_slice(bytes);
    }

    fn put_value(&mut self, value: &Bytes) {
        if value.len() < LARGE_VALUE_BYTES {
            self.small.extend_from_slice(value);
        } else {
            self.large_bytes += value.len();
            self.large.push_back(Large { after: self.small.len(), value: value.clone() });
        }
    }

    fn value_len(value: &Bytes) -> u32 {
        value.len() as u32
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

    /// Puts a reply in. A listing that is too long for a frame is replaced by a fault; values always
    /// fit, by the limits of the protocol.
    pub(crate) fn reply(&mut self, request: RequestId, reply: &Reply<Bytes>) {
        if !self.frame(request, reply.opcode(), |outbox| reply.encode(outbox)) {
            let most = limits::FRAME_PAYLOAD_BYTES;
            let fault = Fault::new(
                ErrorCode::FrameTooLong,
                format!("expected a listing of at most {most} bytes; ask for less at a time"),
            );
            self.frame(request, Opcode::Failed, |outbox| Reply::<Bytes>::Failed(fault).encode(outbox));
        }
    }

    pub(crate) fn event(&mut self, event: &Event) {
        self.frame(RequestId(0), event.opcode(), |outbox| event.encode(outbox));
    }

    /// Puts in a frame whose payload is short.
    pub(crate) fn short(&mut self, opcode: Opcode, payload: &[u8]) {
        self.frame(RequestId(0), opcode, |outbox| outbox.put(payload));
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
    pub(crate) fn flush(&mut self, socket: impl AsFd, spare: &mut Spare) -> io::Result<Flushed> {
        let mut budget = FLUSH_BYTES;
        while !self.is_empty() {
            if budget == 0 {
                return Ok(Flushed::Yielded);
            }
            let (count, asked) = self.send_once(socket.as_fd())?;
            if count < asked {
                return Ok(Flushed::Blocked);
            }
            budget = budget.saturating_sub(count);
        }
        self.large = VecDeque::new();
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

    fn send_once(&mut self, socket: impl AsFd) -> io::Result<(usize, usize)> {
        let mut pieces = [IoSlice::new(&[]); PIECES];
        let (mut used, mut asked, mut at) = (0, 0, self.small_sent);
        let mut larges = self.large.iter();
        loop {
            let large = larges.next();
            let small = &self.small[at..large.map_or(self.small.len(), |large| large.after)];
            for piece in [small, large.map_or(&[][..], |large| &large.value[..])] {
                if !piece.is_empty() && used < PIECES {
                    pieces[used] = IoSlice::new(piece);
                    used += 1;
                    asked += piece.len();
                }
            }
            match large {
                Some(large) if used < PIECES => at = large.after,
                _ => break,
            }
        }
        let count = match platform::send_pieces(socket, &pieces[..used]) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
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
            let step = count.min(large.value.len());
            // Keeps the value's memory until its last byte is sent: a slice shares it.
            large.value = large.value.slice(step..);
            self.large_bytes -= step;
            count -= step;
            if large.value.is_empty() {
                self.large.pop_front();
            }
        }
        if self.small_sent >= COMPACT_BYTES && self.small_sent >= self.small.len() / 2 {
            self.small.drain(..self.small_sent);
            self.large.iter_mut().for_each(|large| large.after -= self.small_sent);
            self.small_sent = 0;
        }
    }
}

/// Buffers that wait for the next reply, so that busy connections need no allocation and idle ones
/// hold none.
#[derive(Debug, Default)]
pub(crate) struct Spare(Vec<Vec<u8>>);

impl Spare {
    const BUFFERS: usize = 64;
    const BUFFER_BYTES: usize = 64 * 1024;

    fn take(&mut self) -> Vec<u8> {
        self.0.pop().unwrap_or_else(|| Vec::with_capacity(1024))
    }

    fn put(&mut self, mut buffer: Vec<u8>) {
        if self.0.len() < Self::BUFFERS && (1..=Self::BUFFER_BYTES).contains(&buffer.capacity()) {
            buffer.clear();
            self.0.push(buffer);
        }
    }
}
