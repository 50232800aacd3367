//! Futures about long values that are dropped at every await, as `select!` and timeouts do: no bytes are
//! lost, and none come twice.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

use bytes::Bytes;
use nws_client::{Error, LongStore, LongValue, Value};
use nws_proto::*;
use nws_server::Limits;
use support::running::{MIB, Running, long};
use support::{LONG, Peer};

const RAW: Descriptor = Descriptor::bytes(Language::Rust);

struct Awakened(Thread);

impl Wake for Awakened {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls each future once and drops it where it is not ready, until one is; each time after somebody was
/// woken. Who is not woken after a drop has lost what he asked for.
macro_rules! dropping {
    ($future:expr) => {{
        let waker = Waker::from(Arc::new(Awakened(thread::current())));
        let mut context = Context::from_waker(&waker);
        let start = Instant::now();
        loop {
            {
                let mut future = pin!($future);
                if let Poll::Ready(outcome) = future.as_mut().poll(&mut context) {
                    break outcome;
                }
            }
            assert!(start.elapsed() < LONG, "what was dropped is not to be had any more");
            thread::park_timeout(LONG);
        }
    }};
}

fn part(salt: u8) -> Bytes {
    long(salt, MIB).bytes
}

/// The parts of a value, as they come.
fn parts(value: &mut LongValue) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(part) = dropping!(value.next_part()).unwrap() {
        bytes.extend_from_slice(&part);
    }
    bytes
}

fn push(store: &mut LongStore, salts: std::ops::Range<u8>) -> Result<(), Error> {
    salts.into_iter().try_for_each(|salt| dropping!(store.push(part(salt))))
}

fn expected(salts: std::ops::Range<u8>) -> Vec<u8> {
    salts.map(part).collect::<Vec<_>>().concat()
}

#[test]
fn no_part_is_lost_to_futures_that_are_dropped() {
    let server = Running::start();
    let workspace = server.open();
    workspace.store("x", long(7, 20 * MIB + 3)).unwrap();
    let async_workspace = workspace.as_async();
    let mut found = async_workspace.find_long("x").wait().unwrap();
    assert!(parts(&mut found) == long(7, 20 * MIB + 3).bytes);
    let mut fetched = async_workspace.fetch_long("x").wait().unwrap();
    assert!(parts(&mut fetched) == long(7, 20 * MIB + 3).bytes);
    fetched.done().wait().unwrap();
}

#[test]
fn a_push_that_is_dropped_has_added_nothing() {
    let server = Running::start();
    let workspace = server.open();
    // One that goes in one request, one that is found to be long at its end, one that goes in parts.
    for parts in [3, 33, 40] {
        let mut store = workspace.as_async().begin_long();
        push(&mut store, 0..parts).unwrap();
        store.store("x", RAW).wait().unwrap();
        assert!(workspace.fetch::<Value>("x").unwrap().bytes == expected(0..parts), "{parts}");
    }
}

#[test]
fn a_push_that_is_given_up_leaves_the_value_as_it_was() {
    let server = Running::start();
    let workspace = server.open();
    for parts in [3, 32, 33, 36] {
        let mut store = workspace.as_async().begin_long();
        push(&mut store, 0..parts).unwrap();
        let mut context = Context::from_waker(Waker::noop());
        let added = pin!(store.push(part(200))).poll(&mut context).is_ready();
        store.store("x", RAW).wait().unwrap();
        let mut whole = expected(0..parts);
        if added {
            whole.extend(part(200));
        }
        assert!(workspace.fetch::<Value>("x").unwrap().bytes == whole, "{parts}");
    }
}

#[test]
fn a_value_that_fits_one_request_is_kept_in_memory_and_a_longer_one_too_where_there_is_no_disk() {
    let limits = Limits { values_disk_bytes: Some(0), values_bytes: 48 << 20, ..Limits::default() };
    let server = Running::with(limits);
    let workspace = server.open();
    for parts in [2, 32, 33, 40] {
        let mut store = workspace.as_async().begin_long();
        push(&mut store, 0..parts).unwrap();
        store.store("x", RAW).wait().unwrap();
        assert!(workspace.fetch::<Value>("x").unwrap().bytes == expected(0..parts), "{parts}");
    }
    let mut store = workspace.as_async().begin_long();
    push(&mut store, 0..60).unwrap();
    let error = store.store("x", RAW).wait().unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::MemoryFull), "{error}");
    assert!(error.to_string().contains("values-memory"), "{error}");
}

#[test]
fn a_store_that_has_failed_fails_for_the_same_reason_until_it_is_dropped() {
    let limits = Limits { values_disk_bytes: Some(36 << 20), ..Limits::default() };
    let server = Running::with(limits);
    let workspace = server.open();
    let mut store = workspace.as_async().begin_long();
    let first = push(&mut store, 0..200).unwrap_err();
    assert_eq!(first.code(), Some(ErrorCode::DiskFull));
    assert_eq!(push(&mut store, 0..1), Err(first.clone()));
    assert_eq!(store.store("x", RAW).wait(), Err(first));
    assert_eq!(workspace.find_try::<Value>("x"), Ok(None));
    workspace.store("x", long(1, 9 * MIB)).unwrap();
}

/// Answers the first request with a long value, and then as `answer` says.
fn reading(answer: impl FnOnce(&mut Peer) + Send + 'static) -> (LongValue, support::Script<()>) {
    let (connection, script) = Peer::greeted(move |mut peer| {
        let (id, _) = peer.request();
        let item = Item { descriptor: RAW, value: Given::Reading { reading: ReadingId(1), len_bytes: 3 } };
        let values = vec![Grant { index: Index(0), deaths: 0, item }];
        let reply = Reply::Values { variable: VariableId(1), first_lease: LeaseId(0), values };
        let mut payload = Vec::new();
        reply.encode(&mut payload);
        peer.send(id, reply.opcode(), &payload);
        answer(&mut peer);
    });
    let call = connection.retrieve_long(VariableHandle(1), false, Wait::No, Cursor::Mode);
    (call.wait().unwrap().unwrap(), script)
}

#[test]
fn a_part_that_is_too_short_is_an_error_and_stays_one() {
    let (mut value, script) = reading(|peer| {
        let (header, _) = peer.receive().unwrap();
        peer.send(header.request, Opcode::Part, &[2, 0, 0, 0, 7, 7]);
        let _ = peer.receive();
    });
    for _ in 0..2 {
        let error = dropping!(value.next_part()).unwrap_err();
        assert!(error.to_string().contains("expected 3 bytes of a long value, the server sent 2"), "{error}");
    }
    drop(value);
    script.result();
}

#[test]
fn who_waits_for_a_part_is_told_where_something_else_comes() {
    let (mut value, script) = reading(|peer| {
        let (header, _) = peer.receive().unwrap();
        peer.reply(header.request, &Reply::Done);
        peer.expect_end();
    });
    let error = dropping!(value.next_part()).unwrap_err();
    assert!(matches!(error, Error::Closed { .. }), "{error}");
    script.result();
}
