//! Clients that misbehave, and others that must not notice.
#![allow(clippy::unwrap_used)]

mod support;

use nws_proto::*;
use nws_server::Limits;
use support::*;

/// Another client's work goes on.
fn works(client: &mut Raw) {
    client.done(&store("v"));
    assert_eq!(value(client.ask(&fetch())), b"v");
}

fn header(payload_bytes: u32, request: u32, opcode: u16) -> Vec<u8> {
    FrameHeader { payload_bytes, request: RequestId(request), opcode }.encode().to_vec()
}

#[test]
fn what_is_no_request_ends_the_connection_with_the_reason() {
    let server = Running::start();
    let mut other = server.client_at("w");
    let store = Opcode::Store.to_wire();
    let cases: [(Vec<u8>, ErrorCode); 9] = [
        (vec![0xff; 64], ErrorCode::MalformedFrame),
        (header(0, 1, 0x7777), ErrorCode::UnknownOpcode),
        (header(0, 1, Opcode::Done.to_wire()), ErrorCode::UnknownOpcode),
        (header(0, 1, Opcode::Hello.to_wire()), ErrorCode::UnknownOpcode),
        (header(0, 0, Opcode::Ping.to_wire()), ErrorCode::MalformedFrame),
        (header(0, 1, store), ErrorCode::MalformedFrame),
        (frame(Opcode::Ping, RequestId(1), b"left over"), ErrorCode::MalformedFrame),
        (header(limits::FRAME_PAYLOAD_BYTES + 1, 1, store), ErrorCode::FrameTooLong),
        (header(1 << 29, 1, Opcode::Ping.to_wire()), ErrorCode::FrameTooLong),
    ];
    for (bytes, code) in cases {
        let mut bad = server.client();
        bad.send_bytes(&bytes);
        assert_eq!(bad.goodbye().code, code, "{bytes:?}");
        works(&mut other);
    }
}

#[test]
fn random_bytes_never_disturb_others() {
    let server = Running::start();
    let mut other = server.client_at("w");
    let mut seed = 1u64;
    for round in 0..200 {
        let mut bytes = Vec::new();
        for _ in 0..64 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            bytes.extend_from_slice(&seed.to_le_bytes());
        }
        // Half of the rounds look like frames: short ones, with a request id and no reserved bits.
        if round % 2 == 0 {
            let opcode = Opcode::ALL[round / 2 % Opcode::ALL.len()].to_wire();
            let length = bytes.len() as u32;
            bytes.splice(0..0, header(length, 5, opcode));
        }
        let mut bad = server.client();
        // The server may have hung up before the last byte.
        let _ = bad.try_send_bytes(&bytes);
        drop(bad);
    }
    works(&mut other);
}

#[test]
fn one_byte_at_a_time_is_slow_and_right() {
    let server = Running::start();
    let mut other = server.client_at("w");
    let mut slow = server.client_at("w");
    for byte in request_frame(RequestId(900), &store("drip")) {
        slow.send_bytes(&[byte]);
        assert_eq!(other.ask(&Request::Ping), Reply::Pong);
    }
    assert_eq!(slow.reply(), (RequestId(900), Reply::Done));
    assert_eq!(value(other.ask(&fetch())), b"drip");
}

#[test]
fn large_frames_are_refused_one_by_one_when_there_is_no_room() {
    let server = Running::with(Limits { values_bytes: 3 << 20, values_disk_bytes: Some(0), ..Limits::default() });
    let mut client = server.client_at("w");
    let large = vec![7; 2 << 20];
    client.done(&store(large.clone()));
    let Reply::Failed(fault) = client.ask(&store(large.clone())) else { panic!("there is no room") };
    assert_eq!(fault.code, ErrorCode::MemoryFull);
    let Reply::Failed(fault) = client.ask(&store(vec![7; (1 << 20) - 8])).clone() else {
        // Below the size that is weighed by its header, the core counts.
        return assert!(value(client.ask(&fetch())) == large);
    };
    assert_eq!(fault.code, ErrorCode::MemoryFull);
}

#[test]
fn who_reads_again_gets_everything() {
    let server = Running::with(Limits { unsent_bytes: 100_000, ..Limits::default() });
    let mut client = server.client_at("w");
    client.done(&store(vec![3; 3000]));
    let count = 3000;
    let finds: Vec<u8> =
        (0..count).flat_map(|i| request_frame(RequestId(5000 + i), &Request::Retrieve(find()))).collect();
    client.send_bytes(&finds);
    for i in 0..count {
        let (id, reply) = client.reply();
        assert_eq!(id, RequestId(5000 + i));
        assert!(value(reply) == [3; 3000]);
    }
}
