//! Clients that know of values in parts.

use std::time::Instant;

use super::http::metrics;
use super::{PATIENCE, Raw, Running, frame};
use bytes::Bytes;
use nws_proto::*;

/// Bytes of which any thousand depend on their place and on `salt`.
pub fn pattern(salt: u32, length: usize) -> Vec<u8> {
    let mut bytes = vec![salt as u8; length];
    for (number, block) in (salt..).zip(bytes.chunks_mut(1000)) {
        let first = block.len().min(4);
        block[..first].copy_from_slice(&number.to_le_bytes()[..first]);
    }
    bytes
}

/// Waits until values take this many bytes of the disk.
pub fn wait_for_disk_bytes(server: &Running, expected: u64) {
    let until = Instant::now() + PATIENCE;
    loop {
        let told = metrics(server.web)["nws_values_disk_bytes"];
        if told == expected as f64 {
            return;
        }
        assert!(Instant::now() < until, "expected {expected} bytes on disk, there are {told}");
        // A turn of the loop, after which the number is told anew.
        assert_eq!(server.client().ask(&Request::Ping), Reply::Pong);
    }
}

/// A value in a reply.
pub struct Long {
    pub index: u64,
    pub lease: u64,
    pub reading: ReadingId,
    pub len_bytes: u64,
}

impl Raw {
    /// Sends a request that is not one of the core's.
    pub fn send_long(&mut self, id: u32, request: &LongRequest) {
        let mut payload = Vec::new();
        request.encode(&mut payload);
        self.send_bytes(&frame(request.opcode(), RequestId(id), &payload));
    }

    pub fn ask_long(&mut self, request: &LongRequest) -> Reply<Bytes> {
        self.send_long(70_000, request);
        let (id, reply) = self.reply();
        assert_eq!(id, RequestId(70_000));
        reply
    }

    pub fn begin(&mut self, transfer: u32) -> Reply<Bytes> {
        self.ask_long(&LongRequest::BeginTransfer { transfer: TransferId(transfer) })
    }

    pub fn part(&mut self, transfer: u32, bytes: &[u8]) -> Reply<Bytes> {
        let bytes = Bytes::copy_from_slice(bytes);
        self.ask_long(&LongRequest::TransferPart { transfer: TransferId(transfer), bytes })
    }

    /// Sends a request whose one value came by a transfer.
    pub fn send_transferred(&mut self, id: u32, variable: u32, transfer: u32) {
        let item = Item { descriptor: Descriptor::bytes(Language::Rust), value: Sent::Transfer(TransferId(transfer)) };
        let request = Request::Store { variable: VariableHandle(variable), items: vec![item] };
        let mut payload = Vec::new();
        request.encode(&mut payload);
        self.send_bytes(&frame(request.opcode(), RequestId(id), &payload));
    }

    pub fn store_transferred(&mut self, transfer: u32) -> Reply<Bytes> {
        self.send_transferred(70_001, 1, transfer);
        let (id, reply) = self.reply();
        assert_eq!(id, RequestId(70_001));
        reply
    }

    /// The next reply to a retrieval, whose values are all long.
    pub fn long_values(&mut self) -> Vec<Long> {
        let (header, payload) = self.answer().expect("values come");
        let reply = Reply::<Given>::decode(header.opcode, payload).unwrap();
        let Reply::Values { first_lease, values, .. } = reply else { panic!("expected values, got {reply:?}") };
        let long = |(grant, lease): (Grant<Given>, u64)| match grant.item.value {
            Given::Reading { reading, len_bytes } => Long { index: grant.index.0, lease, reading, len_bytes },
            Given::Here(bytes) => panic!("expected a long value, got one of {} bytes", bytes.len()),
        };
        values.into_iter().zip(first_lease.0..).map(long).collect()
    }

    pub fn ask_for_long(&mut self, retrieve: &Request<Bytes>) -> Long {
        self.send(retrieve);
        self.long_values().pop().expect("one value")
    }

    pub fn read_part(&mut self, reading: ReadingId, offset: u64, max_bytes: u32) -> Bytes {
        self.send_long(70_002, &LongRequest::ReadPart { reading, offset, max_bytes });
        let (header, payload) = self.answer().expect("a part comes");
        assert_eq!((header.request, header.opcode), (RequestId(70_002), Opcode::Part.to_wire()), "{payload:?}");
        decode_part(payload).unwrap()
    }

    pub fn read(&mut self, long: &Long) -> Vec<u8> {
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < long.len_bytes {
            let part = self.read_part(long.reading, bytes.len() as u64, limits::PART_BYTES);
            assert!(!part.is_empty());
            bytes.extend_from_slice(&part);
        }
        bytes
    }

    pub fn close(&mut self, long: &Long, give_back: bool) {
        assert_eq!(self.ask_long(&LongRequest::CloseReading { reading: long.reading, give_back }), Reply::Done);
    }
}
