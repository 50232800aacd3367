//! Crowds of clients that misbehave, of both protocols, against a server in a process of its own: it
//! takes bounded memory for them, and a bystander of each protocol keeps working.
//!
//! The server bears 64 MiB of values and 1 MiB that is not read, and gives 300 ms to greet.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use nws_proto::*;
use support::old::{Old, request};
use support::process::{ServerProcess, serve_if_asked};
use support::*;

const MIB: u64 = 1 << 20;

/// Not a test where it is run as one: the server.
#[test]
fn process_of_the_server_that_is_harassed() {
    serve_if_asked();
}

struct Harassed {
    server: ServerProcess,
    new: Raw,
    old: Old,
    before_bytes: u64,
}

impl Harassed {
    fn start() -> Self {
        let server = ServerProcess::start("process_of_the_server_that_is_harassed");
        let mut new = Raw::tcp(server.tcp).welcome(Ask::default());
        new.bind("w");
        let mut old = Old::tcp(server.tcp, b"1112");
        assert!(old.status(&["use ws", "w", "", "no"]));
        let mut harassed = Self { server, new, old, before_bytes: 0 };
        harassed.works();
        harassed.before_bytes = harassed.server.resident_bytes();
        harassed
    }

    /// The bystanders' work goes on.
    fn works(&mut self) {
        self.new.done(&store(vec![5; 100_000]));
        assert_eq!(value(self.new.ask(&fetch())).len(), 100_000);
        self.old.store("w", "old", "v");
        assert_eq!(self.old.value(&["fetch", "w", "old"]).value, b"v");
    }

    fn client(&self) -> Raw {
        let mut client = Raw::tcp(self.server.tcp).welcome(Ask::default());
        client.bind("of the hostile");
        client
    }

    fn old_client(&self) -> Old {
        let mut client = Old::tcp(self.server.tcp, b"1112");
        assert!(client.status(&["use ws", "of the hostile", "", "no"]));
        client
    }

    #[track_caller]
    fn took_at_most(&self, mib: u64) {
        let grown = self.server.resident_bytes().saturating_sub(self.before_bytes);
        assert!(grown < mib * MIB, "{} MiB were taken for them, {mib} are too many", grown / MIB);
    }

    /// Waits until only the bystanders are left.
    fn until_alone(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while self.server.metric("nws_connections") > 2.0 {
            assert!(Instant::now() < deadline, "{} are still there", self.server.metric("nws_connections"));
            self.works();
        }
    }
}

#[test]
fn who_stops_reading() {
    let mut harassed = Harassed::start();
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut deaf = harassed.client();
        deaf.done(&store(vec![1; 3000]));
        deaf.set_write_patience(Duration::from_millis(100));
        let finds: Vec<u8> =
            (0..1000).flat_map(|id| request_frame(RequestId(id + 1), &Request::Retrieve(find()))).collect();
        // Until the server reads no more.
        let blocked = (0..200).any(|_| deaf.try_send_bytes(&finds).is_err());
        assert!(blocked, "600 MB of replies were taken for who does not read them");
        clients.push(deaf);
        harassed.works();
    }
    let mut old_clients = Vec::new();
    for _ in 0..5 {
        let mut deaf = harassed.old_client();
        deaf.store("of the hostile", "x", [1; 3000]);
        deaf.set_write_patience(Duration::from_millis(100));
        let finds = request(&["find", "of the hostile", "x"]).repeat(1000);
        let blocked = (0..200).any(|_| deaf.try_send_bytes(&finds).is_err());
        assert!(blocked, "600 MB of replies were taken for who does not read them");
        old_clients.push(deaf);
        harassed.works();
    }
    harassed.took_at_most(64);
    drop((clients, old_clients));
    harassed.until_alone();
}

/// More than the sockets between hold.
const LARGE_BYTES: usize = 14 << 20;

#[test]
fn who_leaves_values_unread_that_others_delete() {
    let mut harassed = Harassed::start();
    let mut janitor = harassed.client();
    let (mut clients, mut old_clients) = (Vec::new(), Vec::new());
    let delete = Request::DeleteVariable { variable: VariableHandle(1) };
    // 30 of the same value, then 12 of their own, which together are 168 MiB.
    for round in 0..13 {
        janitor.done(&store(vec![1; LARGE_BYTES]));
        for _ in 0..if round == 0 { 15 } else { 1 } {
            let mut deaf = Raw::tcp(harassed.server.tcp).welcome(Ask { silence_ms: 3_600_000, ..Ask::default() });
            deaf.bind("of the hostile");
            deaf.send(&Request::Retrieve(find()));
            deaf.receive_some(1);
            clients.push(deaf);
            let mut deaf = harassed.old_client();
            deaf.send(&["find", "of the hostile", "x"]);
            deaf.receive(1);
            old_clients.push(deaf);
        }
        janitor.done(&delete);
        harassed.works();
        harassed.took_at_most(64 + 32);
        let unsent = harassed.server.metric("nws_unsent_bytes");
        assert!(unsent <= (64 * MIB) as f64, "{unsent} bytes are told");
        if round == 0 {
            assert!(unsent < 2.0 * LARGE_BYTES as f64, "one value counts once, not {unsent} bytes");
            assert_eq!(harassed.server.metric("nws_connections_unread_total"), 0.0, "there is room for it");
        }
    }
    assert!(
        harassed.server.metric("nws_connections_unread_total") > 20.0,
        "those go first who have read nothing for longest"
    );
    let mut last = clients.pop().unwrap();
    let (rest, asked) = (LARGE_BYTES - 1, MIB as usize);
    (0..rest / asked).for_each(|_| drop(last.receive_some(asked)));
    drop((clients, old_clients, last, janitor));
    harassed.until_alone();
}

#[test]
fn who_sends_a_byte_now_and_then() {
    let mut harassed = Harassed::start();
    let whole = request_frame(RequestId(9), &store(vec![1; 60_000]));
    let old_whole = request(&[&b"store"[..], b"of the hostile", b"x", b"16777217", &[1; 60_000]]);
    let mut clients: Vec<Raw> = (0..150).map(|_| harassed.client()).collect();
    let mut old_clients: Vec<Old> = (0..150).map(|_| harassed.old_client()).collect();
    let last = 40;
    clients.iter_mut().for_each(|client| client.send_bytes(&whole[..whole.len() - last]));
    old_clients.iter_mut().for_each(|client| client.send_bytes(&old_whole[..old_whole.len() - last]));
    for sent in (1..=last).rev().skip(1) {
        let at = whole.len() - sent - 1;
        clients.iter_mut().for_each(|client| client.send_bytes(&whole[at..=at]));
        let at = old_whole.len() - sent - 1;
        old_clients.iter_mut().for_each(|client| client.send_bytes(&old_whole[at..=at]));
        harassed.works();
    }
    // 300 requests of 60 kB that have not come whole.
    harassed.took_at_most(64);
    let mut slow = clients.swap_remove(0);
    slow.send_bytes(&whole[whole.len() - 1..]);
    assert_eq!(slow.reply(), (RequestId(9), Reply::Done), "slow is not wrong");
    drop((clients, old_clients, slow));
    harassed.until_alone();
}

#[test]
fn who_greets_a_byte_now_and_then() {
    let mut harassed = Harassed::start();
    let hello = frame(Opcode::Hello, RequestId(0), &[0; 200]);
    let mut clients: Vec<(Raw, usize)> = (0..100).map(|_| (Raw::tcp(harassed.server.tcp), 0)).collect();
    clients.iter_mut().for_each(|(client, _)| client.send_bytes(&GREETING));
    let deadline = Instant::now() + PATIENCE;
    // Whoever sends all the same is sent away in time.
    while harassed.server.metric("nws_connections") > 2.0 {
        assert!(Instant::now() < deadline, "who never ends its hello is waited for");
        for (client, sent) in &mut clients {
            if *sent < hello.len() - 1 && client.try_send_bytes(&hello[*sent..=*sent]).is_ok() {
                *sent += 1;
            }
        }
        harassed.works();
    }
    harassed.took_at_most(16);
}

#[test]
fn who_sends_garbage() {
    let mut harassed = Harassed::start();
    let mut seed = 3u64;
    let mut garbage = || -> Vec<u8> {
        let mut word = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            seed
        };
        (0..8000).flat_map(|_| word().to_le_bytes()).collect()
    };
    for round in 0..100 {
        // It may hang up before the last byte.
        let _ = Raw::tcp(harassed.server.tcp).try_send_bytes(&garbage());
        let _ = harassed.client().try_send_bytes(&garbage());
        let _ = harassed.old_client().try_send_bytes(&garbage());
        if round % 10 == 0 {
            harassed.works();
        }
    }
    harassed.took_at_most(32);
    harassed.until_alone();
}

#[test]
fn who_goes_silent() {
    let mut harassed = Harassed::start();
    let unspoken: Vec<TcpStream> = (0..50).map(|_| TcpStream::connect(harassed.server.tcp).unwrap()).collect();
    let greeted: Vec<Raw> = (0..50)
        .map(|_| {
            let mut client = Raw::tcp(harassed.server.tcp);
            client.challenge();
            client
        })
        .collect();
    let silent: Vec<Raw> =
        (0..50).map(|_| Raw::tcp(harassed.server.tcp).welcome(Ask { silence_ms: 200, ..Ask::default() })).collect();
    harassed.works();
    harassed.until_alone();
    harassed.took_at_most(16);
    for mut socket in unspoken {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        assert!(matches!(socket.read(&mut [0]), Ok(0)), "who never said anything is told nothing");
    }
    greeted.into_iter().for_each(|client| assert_eq!(client.goodbye().code, ErrorCode::Silent));
    for mut client in silent {
        let (header, _) = client.receive_frame().unwrap();
        assert_eq!(header.opcode, Opcode::Ping.to_wire(), "it is asked first");
        assert_eq!(client.goodbye().code, ErrorCode::Silent);
    }
}

#[test]
fn who_announces_more_than_there_is() {
    let mut harassed = Harassed::start();
    let header =
        |payload_bytes| FrameHeader { payload_bytes, request: RequestId(1), opcode: Opcode::Store.to_wire() }.encode();
    let start = |length: &str| {
        let arguments = request(&["store", "of the hostile", "x", "16777217"]);
        [b"0005", &arguments[4..], length.as_bytes()].concat()
    };
    let mut kept = (Vec::new(), Vec::new());
    for _ in 0..50 {
        let mut liar = harassed.client();
        liar.send_bytes(&header(u32::MAX));
        assert_eq!(liar.goodbye().code, ErrorCode::FrameTooLong);
        for length in ["10000000000000000000", "99999999999999999999", "18446744073709551616"] {
            let mut liar = harassed.old_client();
            liar.send_bytes(&start(length));
            liar.ended();
        }
        // What is allowed, and never comes.
        let mut liar = harassed.client();
        liar.send_bytes(&header(limits::FRAME_PAYLOAD_BYTES));
        liar.send_bytes(&[1; 1000]);
        kept.0.push(liar);
        let mut liar = harassed.old_client();
        liar.send_bytes(&start("00000000001000000000"));
        liar.send_bytes(&[1; 1000]);
        kept.1.push(liar);
        let mut liar = harassed.client();
        liar.send_bytes(&header(1 << 20));
        liar.send_bytes(&[1; 1000]);
        kept.0.push(liar);
        harassed.works();
    }
    harassed.took_at_most(48);
    drop(kept);
    harassed.until_alone();
}
