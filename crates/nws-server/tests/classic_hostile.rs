//! Old clients that misbehave or may not come in, and others that must not notice.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::Read;
use std::net::TcpStream;
use std::thread;

use nws_proto::{Reply, RequestId, limits};
use nws_server::Limits;
use support::old::{Old, request};
use support::*;

/// A user that this test does not run as.
const STRANGER: u32 = 65_533;

/// Another client's work goes on.
fn works(client: &mut Old) {
    client.store("w", "other", "v");
    assert_eq!(client.value(&["fetch", "w", "other"]).value, b"v");
}

#[test]
fn what_is_no_request_closes_the_connection() {
    let server = Running::start();
    let mut other = server.old_at("w");
    let long = "9".repeat(21);
    let bad_arguments: &[&[&str]] = &[
        &["no such operation"],
        &[""],
        &["FETCH", "w", "x"],
        &["fetch"],
        &["fetch", "w"],
        &["fetch", "w", "x", "y"],
        &["open ws", "w", "1"],
        &["open ws", "w", "1", "no", "yes", "yes"],
        &["open ws", "w", "1", "maybe"],
        &["store", "w", "x", "16777217"],
        &["store", "w", "x", "text", "v"],
        &["store", "w", "x", "-1", "v"],
        &["store", "w", "x", "", "v"],
        &["store", "w", "x", "4294967296", "v"],
        &["ifind", "w", "x", "", "first"],
        &["ifind", "w", "x", "", &long],
        &["list vars"],
        &["delete ws"],
        &["declare var", "w", "x"],
        &["mktemp ws", "%d", "x"],
    ];
    let cases = bad_arguments.iter().map(|arguments| request(arguments)).chain(
        [&b"0000"[..], b"000x", b"   1", b"-001", b"9999", b"0007", b"\xff\xff\xff\xff", b"GET / HTTP/1.1\r\n\r\n"]
            .map(<[u8]>::to_vec),
    );
    for bytes in cases {
        for greeting in [b"0000", b"1112"] {
            let mut bad = Old::tcp(server.tcp, greeting);
            bad.send_bytes(&bytes);
            bad.ended();
        }
        works(&mut other);
    }
}

#[test]
fn a_bad_request_is_not_waited_for() {
    let server = Running::start();
    // The rest of these never comes.
    let cases: [&[u8]; 5] = [
        b"0003000000000000000001",
        b"000300000000000000000005fetcX",
        b"000200000000000000000005fetch",
        b"00010000000000000000zzzz",
        b"0005000000000000000005store00000000000000000001w00000000000000000001x00000000000000000001z",
    ];
    for bytes in cases.into_iter().skip(1) {
        let mut bad = server.old_at("w");
        bad.send_bytes(bytes);
        bad.ended();
    }
    let mut slow = server.old_at("w");
    slow.send_bytes(cases[0]);
    works(&mut server.old_at("w"));
    slow.send_bytes(&b"x".repeat(100));
    slow.ended();
}

#[test]
fn random_bytes_never_disturb_others() {
    let server = Running::start();
    let mut other = server.old_at("w");
    let mut seed = 7u64;
    for round in 0..200 {
        let mut bytes = Vec::new();
        for _ in 0..64 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            bytes.extend_from_slice(&seed.to_le_bytes());
        }
        // Half of the rounds begin well.
        let start = request(&["store", "w", "x"]);
        if round % 2 == 0 {
            bytes.splice(0..0, start[..round % start.len()].to_vec());
        }
        let mut bad = server.old();
        // The server may have hung up before the last byte.
        let _ = bad.try_send_bytes(&bytes);
        bad.end_writing();
        if round % 2 == 1 {
            bad.ended();
        }
    }
    works(&mut other);
}

#[test]
fn one_byte_at_a_time_is_slow_and_right() {
    let server = Running::start();
    let mut other = server.old_at("w");
    let mut slow = server.old_at("w");
    for byte in request(&["store", "w", "x", "00000000000016777217", "drip"]) {
        slow.send_bytes(&[byte]);
        works(&mut other);
    }
    assert!(slow.receive_status());
    assert_eq!(other.value(&["fetch", "w", "x"]).value, b"drip");
}

#[test]
fn a_request_that_never_ends_leaves_nothing() {
    let server = Running::start();
    let mut other = server.old_at("w");
    let whole = request(&["store", "w", "x", "16777217", &"v".repeat(200_000)]);
    let mut half = server.old_at("w");
    half.send_bytes(&whole[..whole.len() - 1]);
    half.end_writing();
    half.ended();
    assert_eq!(other.listed("w", "x"), None, "a half-sent value is never visible");
}

#[test]
fn a_value_that_is_too_long_closes_and_one_that_finds_no_room_fails() {
    let room = 3 << 20;
    let server = Running::with(Limits {
        values_bytes: room,
        value_bytes: 8 << 20,
        values_disk_bytes: Some(0),
        ..Limits::default()
    });
    let mut client = server.old_at("w");
    client.store("w", "x", vec![7; 2 << 20]);
    for length in [room - (1 << 20) + 1, 4 << 20, 8 << 20] {
        let value = vec![7; length as usize];
        assert!(!client.status(&[&b"store"[..], b"w", b"x", b"16777217", &value]), "{length}");
    }
    assert_eq!(client.listed("w", "x").unwrap(), "1\t0\t0\tfifo");
    let start = request(&["store", "w", "x", "16777217"]);
    for length in ["00000000000008388609", "99999999999999999999", "10000000000000000000"] {
        let mut liar = server.old_at("w");
        liar.send_bytes(b"0005");
        liar.send_bytes(&start[4..]);
        liar.send_bytes(length.as_bytes());
        liar.ended();
    }
    assert_eq!(client.value(&["fetch", "w", "x"]).value.len(), 2 << 20);
}

#[test]
fn a_value_that_has_come_is_weighed_once() {
    let server = Running::with(Limits { values_bytes: 10 << 20, ..Limits::default() });
    let (mut old, mut new) = (server.old_at("w"), server.client_at("w"));
    let value = vec![7; 4 << 20];
    let ids = [500, 501].map(RequestId);
    let ahead: Vec<u8> = ids.iter().flat_map(|id| request_frame(*id, &store(&value[..]))).collect();
    new.send_bytes(&ahead);
    for id in ids {
        assert_eq!(new.reply(), (id, Reply::Done), "there is room for both");
    }
    for _ in ids {
        assert!(old.value(&["fetch", "w", "x"]).value == value);
    }
    let ahead = request(&[&b"store"[..], b"w", b"old", b"16777217", &value]);
    old.send_bytes(&[&ahead[..], &ahead].concat());
    assert!(old.receive_status() && old.receive_status(), "there is room for both");
}

#[test]
fn what_is_being_received_counts_for_others() {
    let limits = Limits { values_bytes: 10 << 20, values_disk_bytes: Some(0), ..Limits::default() };
    let server = Running::with(limits);
    let (mut slow, mut other) = (server.old_at("w"), server.old_at("w"));
    let value = vec![7; 6 << 20];
    let whole = request(&[&b"store"[..], b"w", b"slow", b"16777217", &value]);
    let (part, rest) = whole.split_at(whole.len() - (1 << 20));
    slow.send_bytes(part);
    let deadline = std::time::Instant::now() + PATIENCE;
    while http::metrics(server.web)["nws_receiving_bytes"] < f64::from(5 << 20) {
        assert!(std::time::Instant::now() < deadline, "5 MiB of it come");
    }
    assert!(!other.status(&[&b"store"[..], b"w", b"x", b"16777217", &value]), "there is no room beside it");
    slow.send_bytes(rest);
    assert!(slow.receive_status());
    assert!(other.value(&["fetch", "w", "slow"]).value == value);
    assert!(other.status(&[&b"store"[..], b"w", b"x", b"16777217", &value]), "there is room again");
}

#[test]
fn who_reads_again_gets_everything() {
    let server = Running::with(Limits { unsent_bytes: 100_000, ..Limits::default() });
    let mut client = server.old_at("w");
    client.store("w", "x", [3; 3000]);
    let count = 3000;
    client.send_bytes(&request(&["find", "w", "x"]).repeat(count));
    for _ in 0..count {
        assert!(client.receive_value().value == [3; 3000]);
    }
}

#[test]
fn a_server_that_goes_down_says_nothing_and_closes() {
    let server = Running::start();
    let (idle, mut waiting) = (server.old(), server.old_at("w"));
    waiting.send(&["fetch", "w", "x"]);
    works(&mut server.old_at("w"));
    server.shutdown();
    idle.ended();
    waiting.ended();
    server.wait().unwrap();
}

#[test]
fn names_of_any_length_fail_and_the_connection_goes_on() {
    let server = Running::start();
    let mut client = server.old_at("w");
    let longest = "n".repeat(limits::NAME_BYTES.into());
    let (longer, endless) = (format!("{longest}n"), "n".repeat(3_000_000));
    client.store("w", &longest, "v");
    assert_eq!(client.value(&["fetch", "w", &longest]).value, b"v");
    for name in [&longer, &endless] {
        assert!(!client.status(&["store", "w", name, "16777217", "v"]));
        assert!(!client.status(&["use ws", name, "", "no"]));
        assert!(!client.value(&["fetch", "w", name]).done);
        assert!(!client.value(&["find", name, "x"]).done);
        assert!(!client.status(&["declare var", "w", "x", name]));
    }
    // A label is cut: nothing hangs on it.
    assert!(client.status(&["open ws", "mine", &endless, "no"]));
    assert!(client.value(&["list wss", "mine"]).value.len() < 400);
}

#[test]
fn many_clients_wait_and_each_is_answered() {
    let server = Running::start();
    let mut storer = server.old_at("w");
    let mut waiting: Vec<Old> = (0..600).map(|_| server.old_at("w")).collect();
    for (place, client) in waiting.iter_mut().enumerate() {
        client.send(&[if place % 2 == 0 { "fetch" } else { "find" }, "w", "x"]);
    }
    let deadline = std::time::Instant::now() + PATIENCE;
    while storer.listed("w", "x").as_deref() != Some("0\t300\t300\tunknown") {
        assert!(std::time::Instant::now() < deadline);
    }
    for number in 0..300 {
        storer.store("w", "x", format!("{number}"));
    }
    let mut fetched = Vec::new();
    for (place, client) in waiting.iter_mut().enumerate() {
        let value = client.receive_value().value;
        if place % 2 == 0 {
            fetched.push(String::from_utf8(value).unwrap().parse::<u32>().unwrap());
        } else {
            assert_eq!(value, b"0", "the first store answers all who find");
        }
    }
    fetched.sort_unstable();
    assert!(fetched.into_iter().eq(0..300), "each value went to one");
}

#[test]
fn surplus_clients_are_closed() {
    let server = Running::with(Limits { connections: 2, ..Limits::default() });
    let mut first = server.old_at("w");
    let second = server.old();
    closed_unwelcomed(TcpStream::connect(server.tcp).unwrap());
    drop(second);
    works(&mut first);
}

fn closed_unwelcomed(mut socket: TcpStream) {
    use std::io::Write;
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(b"1112").unwrap();
    match socket.read(&mut [0; 4]) {
        Ok(0) => {}
        Err(error) if is_end(&error) => {}
        other => panic!("expected to be closed, got {other:?}"),
    }
}

/// Connects as another user, where this process may: the kernel takes the user of the thread.
fn connect_as_stranger(address: std::net::SocketAddr) -> Option<TcpStream> {
    let connect = move || {
        let unchanged = libc::uid_t::MAX;
        // SAFETY: the call changes the user of this thread only, which ends after it.
        let changed = unsafe { libc::syscall(libc::SYS_setresuid, unchanged, STRANGER, unchanged) };
        (changed == 0).then(|| TcpStream::connect(address).unwrap())
    };
    thread::spawn(connect).join().unwrap()
}

#[test]
fn another_user_of_the_machine_comes_in_only_where_users_are_allowed() {
    let (closed, open) = (Running::start(), Running::open_to_users());
    let Some(stranger) = connect_as_stranger(closed.tcp) else {
        eprintln!("skipped: only root can connect as another user");
        return;
    };
    closed_unwelcomed(stranger);
    works(&mut closed.old_at("w"));
    let stranger = connect_as_stranger(open.tcp).unwrap();
    let mut welcomed = Old::over(stranger, b"1112");
    assert!(welcomed.status(&["use ws", "w", "", "no"]));
    works(&mut welcomed);
}
