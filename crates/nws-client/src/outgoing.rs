//! Frames on their way out: how they are built, and the queue of what the kernel did not take yet.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::Bytes;
use nws_proto::{FRAME_HEADER_BYTES, FrameHeader, LongRequest, Request, RequestId, Sink};

use crate::pieces::{InPieces, put_sized};
use crate::platform::Socket;

/// Values from this length on are sent from where they are; shorter ones are cheaper to copy.
const SHARED_VALUE_BYTES: usize = 16 << 10;
/// Most parts of one system call.
const PARTS_A_CALL: usize = 64;

/// A piece of a frame.
#[derive(Debug)]
enum Part {
    Own(Vec<u8>),
    Shared(Bytes),
}

impl Part {
    fn bytes(&self) -> &[u8] {
        match self {
            Part::Own(bytes) => bytes,
            Part::Shared(bytes) => bytes,
        }
    }
}

/// An encoded frame: mostly one piece; long values lie between pieces and are not copied.
#[derive(Debug)]
pub(crate) struct Frame {
    earlier: Vec<Part>,
    last: Vec<u8>,
}

impl Frame {
    /// A frame that holds this request. `payload_bytes` is the length of its payload, and was held
    /// against the limits.
    pub(crate) fn of_request<V: InPieces>(id: RequestId, request: &Request<V>, payload_bytes: u32) -> Self {
        let room = FRAME_HEADER_BYTES + (payload_bytes as usize).min(longest_copied(request));
        let mut frame = Self { earlier: Vec::new(), last: Vec::with_capacity(room) };
        let header = FrameHeader { payload_bytes, request: id, opcode: request.opcode().to_wire() };
        frame.last.extend_from_slice(&header.encode());
        request.encode(&mut frame);
        frame
    }

    /// A frame that holds a request about a value that travels in parts.
    pub(crate) fn of_long_request(id: RequestId, request: &LongRequest) -> Self {
        let payload_bytes = crate::check::long_payload_bytes(request);
        let mut frame = Self { earlier: Vec::new(), last: Vec::with_capacity(FRAME_HEADER_BYTES + 32) };
        let header = FrameHeader { payload_bytes, request: id, opcode: request.opcode().to_wire() };
        frame.last.extend_from_slice(&header.encode());
        request.encode(&mut frame);
        frame
    }

    /// A frame without a payload.
    pub(crate) fn empty(id: RequestId, opcode: nws_proto::Opcode) -> Self {
        let header = FrameHeader { payload_bytes: 0, request: id, opcode: opcode.to_wire() };
        Self { earlier: Vec::new(), last: header.encode().to_vec() }
    }

    fn into_parts(self) -> impl Iterator<Item = Part> {
        self.earlier.into_iter().chain((!self.last.is_empty()).then_some(Part::Own(self.last)))
    }
}

/// What there is room to be made for: values that are not copied need none.
fn longest_copied<V: InPieces>(request: &Request<V>) -> usize {
    let shared = |value: &V| value.pieces().any(|piece| piece.len() >= SHARED_VALUE_BYTES);
    let any_uncopied = match request {
        Request::Store { items, .. } => items.iter().any(|item| shared(&item.value)),
        Request::Finish { items, .. } => items.iter().any(|item| shared(&item.result.value)),
        _ => false,
    };
    // With uncopied values the buffer is cut into pieces; each grows by itself.
    if any_uncopied { SHARED_VALUE_BYTES } else { usize::MAX }
}

impl<V: InPieces> Sink<V> for Frame {
    fn put(&mut self, bytes: &[u8]) {
        self.last.extend_from_slice(bytes);
    }

    fn put_value(&mut self, value: &V) {
        for piece in value.pieces() {
            if piece.len() < SHARED_VALUE_BYTES {
                self.last.extend_from_slice(piece);
            } else {
                self.earlier.push(Part::Own(std::mem::take(&mut self.last)));
                self.earlier.push(Part::Shared(piece.clone()));
            }
        }
    }

    fn value_len(value: &V) -> u64 {
        value.value_bytes() as u64
    }

    fn put_sized_value(&mut self, value: &V) {
        put_sized(self, value);
    }
}

/// What the kernel did not take yet, in order.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    parts: VecDeque<Part>,
    /// Of the first part, these are gone.
    sent_of_first: usize,
    queued_bytes: usize,
    /// Ever.
    sent_bytes: u64,
    /// The kernel is full, and the I/O thread is told when it no longer is.
    pub(crate) armed: bool,
    /// Nothing can be sent any more.
    dead: bool,
    /// Threads that sleep until less is queued.
    pub(crate) sleepers: u32,
    /// Values that are sent. They may belong to somebody whose way of taking them back must not run
    /// under our lock, such as an interpreter with a lock of its own.
    spent: Vec<Bytes>,
}

impl Outgoing {
    pub(crate) fn push(&mut self, frame: Frame) {
        for part in frame.into_parts() {
            if self.dead {
                self.spend(part);
                continue;
            }
            self.queued_bytes += part.bytes().len();
            self.parts.push_back(part);
        }
    }

    pub(crate) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Bytes that the kernel ever took while more is queued. That they grow shows that the other end
    /// reads; without a queue they would grow by our writing alone.
    pub(crate) fn backlog_progress(&self) -> Option<u64> {
        (self.queued_bytes > 0).then_some(self.sent_bytes)
    }

    /// Forgets what is queued and takes nothing more.
    pub(crate) fn end(&mut self) {
        self.dead = true;
        for part in std::mem::take(&mut self.parts) {
            self.spend(part);
        }
        self.queued_bytes = 0;
        self.sent_of_first = 0;
    }

    /// Sends until nothing is left (`Ok(true)`) or the kernel is full (`Ok(false)`).
    pub(crate) fn send_to(&mut self, socket: &Socket) -> io::Result<bool> {
        while !self.parts.is_empty() {
            let mut slices = [IoSlice::new(&[]); PARTS_A_CALL];
            let mut count = 0;
            for (slice, part) in slices.iter_mut().zip(&self.parts) {
                let skipped = if count == 0 { self.sent_of_first } else { 0 };
                *slice = IoSlice::new(&part.bytes()[skipped..]);
                count += 1;
            }
            match socket.send(&slices[..count]) {
                Ok(sent) => self.forget_sent(sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn forget_sent(&mut self, sent: usize) {
        self.queued_bytes -= sent;
        self.sent_bytes += sent as u64;
        self.sent_of_first += sent;
        while let Some(first) = self.parts.front() {
            let length = first.bytes().len();
            if self.sent_of_first < length {
                break;
            }
            self.sent_of_first -= length;
            if let Some(part) = self.parts.pop_front() {
                self.spend(part);
            }
        }
    }

    fn spend(&mut self, part: Part) {
        if let Part::Shared(value) = part {
            self.spent.push(value);
        }
    }

    /// What is to be dropped when the lock is no longer held.
    pub(crate) fn take_spent(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.spent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nws_proto::{Descriptor, Item, VariableHandle};
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    fn store(lengths: &[usize]) -> Request<Bytes> {
        let item =
            |(n, length): (usize, &usize)| Item { descriptor: Descriptor(1), value: vec![n as u8; *length].into() };
        Request::Store { variable: VariableHandle(1), items: lengths.iter().enumerate().map(item).collect() }
    }

    fn whole(request: &Request<Bytes>) -> Vec<u8> {
        let mut payload = Vec::new();
        request.encode(&mut payload);
        let header = FrameHeader {
            payload_bytes: payload.len() as u32,
            request: RequestId(9),
            opcode: request.opcode().to_wire(),
        };
        [header.encode().to_vec(), payload].concat()
    }

    #[test]
    fn a_frame_in_pieces_has_the_bytes_of_a_frame_in_one() {
        for lengths in [&[3][..], &[0, 70_000, 5, 16 << 10, (16 << 10) - 1], &[1 << 20], &[100; 500]] {
            let request = store(lengths);
            let frame = Frame::of_request(RequestId(9), &request, request.payload_bytes() as u32);
            let bytes: Vec<u8> = frame.into_parts().flat_map(|part| part.bytes().to_vec()).collect();
            assert!(bytes == whole(&request), "{lengths:?}");
        }
    }

    #[test]
    fn a_value_in_pieces_has_the_bytes_of_the_value_in_one() {
        let pieces: Vec<Bytes> =
            [3, 70_000, 0, 5, 16 << 10, 1].iter().zip(1..).map(|(length, n)| vec![n; *length].into()).collect();
        let joined = Bytes::from(pieces.concat());
        let mut pieces = pieces.into_iter();
        let value = crate::Pieces::new(pieces.next().unwrap(), pieces.collect());
        assert_eq!(value.len_bytes(), joined.len());
        let variable = VariableHandle(1);
        let in_pieces = Request::Store { variable, items: vec![Item { descriptor: Descriptor(1), value }] };
        let in_one = Request::Store { variable, items: vec![Item { descriptor: Descriptor(1), value: joined }] };
        let payload_bytes = crate::check::payload_bytes(&in_pieces, u32::MAX).unwrap();
        assert_eq!(u64::from(payload_bytes), in_one.payload_bytes());
        let frame = Frame::of_request(RequestId(9), &in_pieces, payload_bytes);
        let parts: Vec<Part> = frame.into_parts().collect();
        let shared = parts.iter().filter(|part| matches!(part, Part::Shared(_))).count();
        assert_eq!(shared, 2, "the two long pieces are not copied");
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.bytes().to_vec()).collect();
        assert!(bytes == whole(&in_one));
    }

    #[test]
    fn what_the_kernel_does_not_take_stays_queued_and_goes_later_in_order() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        let ours = Socket::Unix(ours);
        let mut outgoing = Outgoing::default();
        let mut expected = Vec::new();
        for n in 0..40 {
            let request = store(&[n, 50_000 + n, 7]);
            expected.extend(whole(&request));
            outgoing.push(Frame::of_request(RequestId(9), &request, request.payload_bytes() as u32));
        }
        assert_eq!(outgoing.queued_bytes(), expected.len());
        assert!(!outgoing.send_to(&ours).unwrap(), "2 MB do not fit the kernel's buffer");
        let mut received = Vec::new();
        let mut chunk = [0; 30_000];
        while received.len() < expected.len() {
            let count = theirs.read(&mut chunk).unwrap();
            received.extend_from_slice(&chunk[..count]);
            outgoing.send_to(&ours).unwrap();
            assert!(received.len() + outgoing.queued_bytes() <= expected.len());
        }
        assert!(received == expected);
        assert_eq!(outgoing.queued_bytes(), 0);
        assert!(outgoing.parts.is_empty());
    }
}
