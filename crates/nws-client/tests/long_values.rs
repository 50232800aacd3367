//! Long values through a real server: whatever the way, they arrive as they were.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;

use bytes::Bytes;
use nws_client::{Connection, Error, Pieces, Server, Value};
use nws_proto::*;
use nws_server::Limits;
use support::running::{MIB, Running, long};

#[test]
fn values_longer_than_a_frame_and_longer_than_memory_come_and_go_like_any_other() {
    let server = Running::start();
    let (storer, taker) = (server.open(), server.open());
    let lengths = [3 * MIB, 4 * MIB - 16, 4 * MIB, 9 * MIB + 1, 20 * MIB];
    for (salt, length) in (0..).zip(lengths) {
        storer.store("x", long(salt, length)).unwrap();
    }
    for (salt, length) in (0..).zip(lengths) {
        assert!(taker.find::<Value>("x").unwrap() == long(salt, length), "{length}");
        assert!(taker.fetch::<Value>("x").unwrap() == long(salt, length), "{length}");
    }
    assert_eq!(taker.fetch_try::<Value>("x").unwrap(), None);
}

#[test]
fn many_long_values_come_in_one_call_and_by_iterators_and_leases() {
    let server = Running::start();
    let (storer, taker) = (server.open(), server.open());
    for salt in 0..6 {
        storer.store("x", long(salt, 3 * MIB)).unwrap();
        storer.store("x", i64::from(salt)).unwrap();
    }
    let mut seen = taker.ifind_try::<Value>("x");
    for salt in 0..6 {
        assert!(seen.next().unwrap() == Ok(long(salt, 3 * MIB)));
        assert_eq!(seen.next(), Some(Ok(Value::from(i64::from(salt)))));
    }
    let leases = taker.fetch_leases("x", 4).unwrap();
    assert!(*leases[0].value() == long(0, 3 * MIB) && leases[1].value().as_i64() == Some(0));
    assert!(*leases[2].value() == long(1, 3 * MIB));
    drop(leases);
    let values = taker.fetch_many::<Value>("x", 100).unwrap();
    assert_eq!(values.len(), 12);
    assert!(values[10] == long(5, 3 * MIB) && values[11].as_i64() == Some(5));
}

#[test]
fn a_lease_is_finished_with_a_long_result() {
    let server = Running::start();
    let workspace = server.open();
    workspace.store("tasks", long(1, 9 * MIB)).unwrap();
    let lease = workspace.fetch_lease("tasks").unwrap();
    assert!(*lease.value() == long(1, 9 * MIB));
    lease.finish(&workspace, "results", long(2, 12 * MIB)).unwrap();
    assert!(workspace.fetch::<Value>("results").unwrap() == long(2, 12 * MIB));
    assert_eq!(workspace.fetch_try::<Value>("tasks").unwrap(), None);
}

#[test]
fn stores_of_one_thread_keep_their_order_however_long_they_are() {
    let server = Running::start();
    let workspace = server.open();
    let calls: Vec<_> = (0..10u8)
        .map(|n| workspace.as_async().store("x", if n % 2 == 0 { long(n, 5 * MIB) } else { Value::from(i64::from(n)) }))
        .collect();
    calls.into_iter().for_each(|call| call.wait().unwrap());
    for n in 0..10u8 {
        let expected = if n % 2 == 0 { long(n, 5 * MIB) } else { Value::from(i64::from(n)) };
        assert!(workspace.fetch::<Value>("x").unwrap() == expected, "{n}");
    }
}

#[test]
fn a_value_in_pieces_goes_in_parts() {
    let server = Running::start();
    let connection = Connection::connect(&server.endpoint, server.options.clone()).unwrap();
    let (workspace, opened) = connection.open(b"w", OpenMode::Use, true);
    opened.wait().unwrap();
    let variable = connection.bind(workspace, b"x");
    let pieces: Vec<Bytes> =
        [10, 3 * MIB, 0, 100, 5 * MIB].iter().zip(1..).map(|(len, n)| vec![n; *len].into()).collect();
    let whole = pieces.concat();
    let value = Pieces::new(Bytes::from_static(b"first"), pieces);
    let (tell, told) = std::sync::mpsc::channel();
    let items = vec![Item { descriptor: Descriptor::bytes(Language::Rust), value }];
    connection.request_pieces_then(Request::Store { variable, items }, move |outcome| tell.send(outcome).unwrap());
    assert_eq!(told.recv_timeout(support::LONG).unwrap(), Ok(Reply::Done));
    let got = server.open().fetch::<Value>("x").unwrap();
    assert!(got.bytes[..5] == *b"first" && got.bytes[5..] == whole);
}

#[test]
fn a_full_disk_is_an_error_to_who_stores() {
    let limits = Limits {
        values_disk_bytes: Some(10 << 20),
        frame_payload_bytes: 4 << 20,
        values_bytes: 2 << 20,
        ..Limits::default()
    };
    let server = Running::with(limits);
    let workspace = server.open();
    workspace.store("x", long(1, 6 * MIB)).unwrap();
    // In parts, and in one frame.
    for length in [6 * MIB, 4 * MIB + 1] {
        let error = workspace.store("x", long(2, length)).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::DiskFull), "{error}");
    }
    assert!(workspace.fetch::<Value>("x").unwrap() == long(1, 6 * MIB));
    workspace.store("x", long(3, 6 * MIB)).unwrap();
    assert!(workspace.fetch::<Value>("x").unwrap() == long(3, 6 * MIB));
}

#[test]
fn several_values_that_do_not_fit_a_frame_are_refused_as_ever() {
    let server = Running::start();
    let workspace = server.open();
    let error = workspace.store_many("x", [long(1, 3 * MIB), long(2, 3 * MIB)]).unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::FrameTooLong));
}

#[test]
fn a_fetch_that_is_given_up_while_it_is_read_gives_the_value_back() {
    let server = Running::start();
    let (taker, other) = (server.open(), server.open());
    other.store("x", long(1, 30 * MIB)).unwrap();
    for _ in 0..10 {
        drop(taker.as_async().fetch::<Value>("x"));
    }
    // Some of them were canceled before they had it.
    assert!(other.fetch_timeout::<Value>("x", Duration::from_secs(30)).unwrap() == long(1, 30 * MIB));
}

#[tokio::test]
async fn they_come_and_go_in_async_code() {
    let server = Running::start();
    let workspace = Server::connect(&server.endpoint, server.options.clone()).await.unwrap().open("w").await.unwrap();
    let waiting = workspace.fetch::<Value>("x");
    workspace.store("x", long(1, 9 * MIB)).await.unwrap();
    assert!(waiting.await.unwrap() == long(1, 9 * MIB));
    assert_eq!(workspace.fetch_timeout::<Value>("x", Duration::from_millis(1)).await, Err(Error::TimedOut));
}

/// Gives so many bytes that no slice holds them, and fails then if it is to.
struct Source {
    left: usize,
    fails: bool,
}

impl std::io::Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 && self.fails {
            return Err(std::io::Error::other("the source dried up"));
        }
        let count = self.left.min(buffer.len()).min(100_000);
        buffer[..count].fill(7);
        self.left -= count;
        Ok(count)
    }
}

/// Takes so many bytes, and fails then.
struct Drain {
    room: usize,
    taken: usize,
}

impl std::io::Write for Drain {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if bytes.len() > self.room {
            return Err(std::io::Error::from(std::io::ErrorKind::StorageFull));
        }
        assert!(bytes.iter().all(|byte| *byte == 7));
        self.room -= bytes.len();
        self.taken += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

const RAW: Descriptor = Descriptor::bytes(Language::Rust);

#[test]
fn what_can_be_read_is_stored_whatever_its_length_and_written_again() {
    let server = Running::start();
    let workspace = server.open();
    for length in [0, 1, MIB - 1, MIB, MIB + 1, 10 * MIB + 7] {
        assert_eq!(workspace.store_from("x", RAW, Source { left: length, fails: false }), Ok(length as u64));
        let mut found = Drain { room: usize::MAX, taken: 0 };
        assert_eq!(workspace.find_to("x", &mut found), Ok(RAW));
        let mut fetched = Drain { room: usize::MAX, taken: 0 };
        assert_eq!(workspace.fetch_to_timeout("x", &mut fetched, Duration::from_secs(9)), Ok(RAW));
        assert_eq!((found.taken, fetched.taken), (length, length));
        assert_eq!(workspace.fetch_to_try("x", &mut fetched), Ok(None));
        assert_eq!(workspace.find_to_try("x", &mut fetched), Ok(None));
    }
    let late = workspace.find_to_timeout("x", Vec::new(), Duration::from_millis(1));
    assert_eq!(late, Err(Error::TimedOut));
}

#[test]
fn a_source_that_fails_stores_nothing() {
    let server = Running::start();
    let workspace = server.open();
    for length in [10, 5 * MIB] {
        let error = workspace.store_from("x", RAW, Source { left: length, fails: true }).unwrap_err();
        assert!(matches!(&error, Error::Io { .. }) && error.to_string().contains("dried up"), "{error}");
    }
    assert_eq!(workspace.find_try::<Value>("x"), Ok(None));
    workspace.store_from("x", RAW, Source { left: 5 * MIB, fails: false }).unwrap();
}

#[test]
fn what_cannot_be_written_is_back_at_its_place() {
    let server = Running::start();
    let (workspace, other) = (server.open(), server.open());
    for length in [100, 9 * MIB] {
        workspace.store_from("x", RAW, Source { left: length, fails: false }).unwrap();
        let error = workspace.fetch_to("x", Drain { room: length / 2, taken: 0 }).unwrap_err();
        assert!(matches!(&error, Error::Io { kind: std::io::ErrorKind::StorageFull, .. }), "{error}");
        assert_eq!(other.fetch_timeout::<Value>("x", Duration::from_secs(9)).unwrap().bytes.len(), length);
    }
}

#[test]
fn a_disk_that_is_full_ends_what_is_stored_from_a_source() {
    let limits = Limits { values_disk_bytes: Some(10 << 20), ..Limits::default() };
    let server = Running::with(limits);
    let workspace = server.open();
    let error = workspace.store_from("x", RAW, Source { left: usize::MAX, fails: false }).unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::DiskFull));
    workspace.store_from("x", RAW, Source { left: 9 * MIB, fails: false }).unwrap();
}

#[tokio::test]
async fn a_value_is_held_until_it_is_done_and_goes_back_if_it_is_dropped() {
    let server = Running::start();
    let other = server.open();
    let workspace = Server::connect(&server.endpoint, server.options.clone()).await.unwrap().open("w").await.unwrap();
    let waiting = workspace.fetch_long("x");
    let mut store = workspace.begin_long();
    for salt in 0..9 {
        store.push(long(salt, MIB).bytes).await.unwrap();
    }
    store.store("x", RAW).await.unwrap();
    let mut value = waiting.await.unwrap();
    assert_eq!((value.len_bytes(), value.descriptor()), (9 << 20, RAW));
    assert!(value.next_part().await.unwrap().unwrap() == long(0, MIB).bytes);
    assert_eq!(other.fetch_try::<Value>("x"), Ok(None));
    drop(value);
    assert!(workspace.find::<Value>("x").await.unwrap().bytes[..MIB] == long(0, MIB).bytes);
    let mut value = workspace.fetch_long_try("x").await.unwrap().unwrap();
    for salt in 0..9 {
        assert!(value.next_part().await.unwrap().unwrap() == long(salt, MIB).bytes);
    }
    assert_eq!(value.next_part().await.unwrap(), None);
    value.done().await.unwrap();
    assert!(workspace.fetch_long_try("x").await.unwrap().is_none());
}
