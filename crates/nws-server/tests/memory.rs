//! What misbehaving clients cost. These tests measure the whole process, so they run one at a time.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::time::Duration;

use nws_proto::*;
use nws_server::Limits;
use support::http::metrics;
use support::*;

static ALONE: Mutex<()> = Mutex::new(());

/// Another client's work goes on.
fn works(client: &mut Raw) {
    client.done(&store("v"));
    assert_eq!(value(client.ask(&fetch())), b"v");
}

#[test]
fn a_length_that_is_announced_and_not_sent_costs_nothing() {
    let _alone = ALONE.lock();
    let server = Running::start();
    let mut other = server.client_at("w");
    let opcode = Opcode::Store.to_wire();
    let header = FrameHeader { payload_bytes: limits::FRAME_PAYLOAD_BYTES, request: RequestId(1), opcode };
    let before = reserved_bytes();
    let liars: Vec<Raw> = (0..30)
        .map(|_| {
            let mut liar = server.client();
            liar.send_bytes(&header.encode());
            liar.send_bytes(&[1; 100]);
            liar
        })
        .collect();
    works(&mut other);
    let grown = reserved_bytes().saturating_sub(before);
    assert!(grown < 1 << 30, "30 GiB were announced, and {grown} bytes asked for");
    drop(liars);
    works(&mut other);
}

#[test]
fn a_client_that_does_not_read_is_not_read_from_and_costs_bounded_memory() {
    let _alone = ALONE.lock();
    let server = Running::with(Limits { unsent_bytes: 1 << 20, ..Limits::default() });
    let mut other = server.client_at("w");
    let mut deaf = server.client_at("of its own");
    deaf.done(&store(vec![1; 2000]));
    let before = resident_bytes();
    // 400 MB of replies to values that are copied, 40 MB of requests: more than sockets hold.
    let finds: Vec<u8> = (0..1000).flat_map(|i| request_frame(RequestId(i + 1), &Request::Retrieve(find()))).collect();
    let mut sent = 0u32;
    let mut blocked = false;
    deaf.set_write_patience(Duration::from_millis(200));
    for _ in 0..200 {
        if deaf.try_send_bytes(&finds).is_err() {
            blocked = true;
            break;
        }
        sent += 1000;
        works(&mut other);
    }
    assert!(blocked, "{sent} requests were taken from who does not read the replies");
    works(&mut other);
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 40 << 20, "{grown} bytes were taken for it");
    drop(deaf);
    works(&mut other);
}

#[test]
fn connections_of_the_web_port_have_a_limit_and_those_beyond_it_wait() {
    let _alone = ALONE.lock();
    let server = Running::start();
    let mut idle: Vec<TcpStream> = (0..256).map(|_| TcpStream::connect(server.web).unwrap()).collect();
    let mut late = TcpStream::connect(server.web).unwrap();
    late.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    late.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut answer = [0; 12];
    assert!(late.read_exact(&mut answer).is_err(), "it was let in");
    works(&mut server.client_at("w"));
    drop(idle.pop());
    late.set_read_timeout(Some(PATIENCE)).unwrap();
    late.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
}

#[test]
fn values_on_their_way_to_who_does_not_read_fill_the_memory_too() {
    let _alone = ALONE.lock();
    let server = Running::with(Limits { values_bytes: 40 << 20, values_disk_bytes: Some(0), ..Limits::default() });
    let mut other = server.client_at("w");
    let mut deaf = server.client_at("w");
    let fetches: Vec<u8> = (0..100).flat_map(|i| request_frame(RequestId(i + 1000), &fetch())).collect();
    deaf.send_bytes(&fetches);
    // Its fetches wait by the time that it hears of this.
    deaf.send_bytes(&request_frame(RequestId(2000), &Request::Ping));
    assert_eq!(deaf.reply(), (RequestId(2000), Reply::Pong));
    let refused = (0..100).find_map(|_| match other.ask(&store(vec![7; 1 << 20])) {
        Reply::Failed(fault) => Some(fault.code),
        _ => None,
    });
    assert_eq!(refused, Some(ErrorCode::MemoryFull), "100 MiB were taken for it");
    drop(deaf);
    // Its values come back to their places, and one that is fetched makes room.
    assert_eq!(value(other.ask(&fetch())).len(), 1 << 20);
    other.done(&store(vec![7; 1 << 20]));
}

/// Memory that the process has asked for: what was never touched counts too.
fn reserved_bytes() -> u64 {
    memory_bytes(0)
}

fn resident_bytes() -> u64 {
    memory_bytes(1)
}

fn memory_bytes(field: usize) -> u64 {
    let pages: u64 =
        std::fs::read_to_string("/proc/self/statm").unwrap().split(' ').nth(field).unwrap().parse().unwrap();
    pages * 4096
}

#[test]
fn requests_that_have_come_in_part_have_a_limit_together() {
    let _alone = ALONE.lock();
    // There is no room for values: what is received at all is received beside it.
    let server = Running::with(Limits { values_bytes: 1 << 16, ..Limits::default() });
    let mut other = server.client_at("w");
    let opcode = Opcode::Store.to_wire();
    let header = |payload_bytes| FrameHeader { payload_bytes, request: RequestId(77), opcode }.encode();
    let at_once = 18;
    let mut begun: Vec<Raw> = (0..at_once)
        .map(|_| {
            let mut client = server.client();
            client.send_bytes(&header(1 << 20));
            client
        })
        .collect();
    // What is announced takes nothing; of those that send it, one or the other is received no further.
    for client in &mut begun {
        client.send_bytes(&[1; (1 << 20) - 100_000]);
    }
    let deadline = std::time::Instant::now() + PATIENCE;
    while metrics(server.web)["nws_receiving_bytes"] < f64::from(14 << 20) {
        assert!(std::time::Instant::now() < deadline);
    }
    for client in &mut begun[..2] {
        client.send_bytes(&[1; 99_999]);
        works(&mut other);
    }
    let told = metrics(server.web)["nws_receiving_bytes"];
    assert!(told < f64::from(17 << 20), "{told} bytes");
    drop(begun);
    while metrics(server.web)["nws_receiving_bytes"] > 0.0 {
        assert!(std::time::Instant::now() < deadline);
    }
    let mut next = server.client();
    next.send_bytes(&header((1 << 16) + 1));
    next.send_bytes(&[1; 1 << 16]);
    while metrics(server.web)["nws_receiving_bytes"] == 0.0 {
        assert!(std::time::Instant::now() < deadline, "there is room again");
    }
}
