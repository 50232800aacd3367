use std::io::{self, Read};
use std::os::unix::net::UnixStream;

use nws_proto::{Descriptor, Grant, Index, Item, LeaseId, VariableId};

use super::*;
use crate::clock::Random;
use crate::stored::LARGE_BYTES;

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
        Stored::Short(short) => Ok(Bytes::copy_from_slice(short.bytes())),
        Stored::Memory(bytes) => Ok(bytes),
        Stored::Large(kept) => Ok(kept.bytes().clone()),
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
    let lengths = [0, 1, 100, LARGE_BYTES - 1, LARGE_BYTES, 20_000, 200_000];
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
