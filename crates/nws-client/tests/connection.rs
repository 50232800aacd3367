//! The connection against a scripted peer.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::mpsc::channel;
use std::time::Duration;

use bytes::Bytes;
use nws_client::{Connection, Error};
use nws_proto::*;
use support::*;

#[test]
fn answers_find_their_requests_in_whatever_order_they_come() {
    let (connection, script) = Peer::greeted(|mut peer| {
        let ids: Vec<RequestId> = (0..100).map(|_| peer.request().0).collect();
        for (n, id) in ids.iter().enumerate().rev() {
            peer.reply(*id, &Reply::Opened { name: n.to_string().into_bytes(), owned: false });
        }
        peer
    });
    let pending: Vec<_> = (0..100).map(|n| connection.request(store(n, "x"))).collect();
    for (n, pending) in pending.into_iter().enumerate() {
        assert_eq!(pending.wait(), Ok(Reply::Opened { name: n.to_string().into_bytes(), owned: false }));
    }
    script.result();
}

#[test]
fn replies_that_say_that_nothing_was_done_are_errors() {
    let fault = Fault::new(ErrorCode::NoSuchWorkspace, "no");
    let sent = fault.clone();
    let (connection, script) = Peer::greeted(move |mut peer| {
        for reply in [Reply::Failed(sent), Reply::TimedOut, Reply::Canceled] {
            let id = peer.request().0;
            peer.reply(id, &reply);
        }
        peer
    });
    assert_eq!(connection.request(store(1, "x")).wait(), Err(Error::Fault(fault)));
    assert_eq!(connection.request(store(1, "x")).wait(), Err(Error::TimedOut));
    assert_eq!(connection.request(store(1, "x")).wait(), Err(Error::Canceled));
    script.result();
}

#[test]
fn a_function_that_takes_an_answer_may_ask_again() {
    const ROUNDS: u32 = 1_000;
    let (connection, script) = Peer::greeted(|mut peer| {
        for n in 0..ROUNDS {
            let (id, request) = peer.request();
            assert!(matches!(request, Request::Store { variable: VariableHandle(v), .. } if v == n));
            peer.reply(id, &Reply::Done);
        }
        peer
    });
    let (sender, done) = channel();
    fn ask(connection: Connection, n: u32, sender: std::sync::mpsc::Sender<Result<Reply<Bytes>, Error>>) {
        let again = connection.clone();
        connection.request_then(store(n, "x"), move |outcome| {
            if n + 1 < ROUNDS && outcome.is_ok() {
                ask(again, n + 1, sender);
            } else {
                sender.send(outcome).unwrap();
            }
        });
    }
    ask(connection.clone(), 0, sender);
    assert_eq!(done.recv_timeout(LONG), Ok(Ok(Reply::Done)));
    script.result();
}

#[test]
fn waiting_on_the_io_thread_is_refused_instead_of_hanging() {
    let (connection, script) = Peer::greeted(|mut peer| {
        let id = peer.request().0;
        peer.reply(id, &Reply::Done);
        peer.request();
        peer
    });
    let (sender, done) = channel();
    let again = connection.clone();
    connection.request_then(store(1, "x"), move |_| {
        again.wait_queued_below(0, LONG);
        sender.send(again.request(store(2, "x")).wait()).unwrap();
    });
    let error = done.recv_timeout(LONG).unwrap().unwrap_err();
    assert!(error.to_string().contains("request_then"), "{error}");
    script.result();
}

#[test]
fn a_large_value_travels_both_ways_while_nobody_waits_for_room() {
    let value = Bytes::from((0..9_000_000_u32).map(|n| (n % 251) as u8).collect::<Vec<u8>>());
    let expected = value.clone();
    let (go, may_read) = channel::<()>();
    let (connection, script) = Peer::greeted(move |mut peer| {
        may_read.recv_timeout(LONG).unwrap();
        let (id, request) = peer.request();
        let Request::Store { items, .. } = request else { panic!("{request:?}") };
        assert!(items[0].value == expected);
        let grant = Grant { index: Index(0), deaths: 0, item: items[0].clone() };
        peer.reply(id, &Reply::Values { variable: VariableId(1), first_lease: LeaseId(0), values: vec![grant] });
        peer
    });
    // The peer does not read yet, and still this returns.
    let mut pending = connection.request(store(1, value.clone()));
    assert!(connection.queued_bytes() > 0, "9 MB cannot have fitted the kernel's buffers");
    assert_eq!(pending.wait_timeout(Duration::ZERO), None);
    assert!(!pending.is_ready());
    // Nor does this wait longer than it was told.
    connection.wait_queued_below(1, Duration::from_millis(1));
    assert!(connection.queued_bytes() > 0);
    go.send(()).unwrap();
    connection.wait_queued_below(1, LONG);
    assert_eq!(connection.queued_bytes(), 0);
    let Ok(Reply::Values { values, .. }) = pending.wait() else { panic!() };
    assert!(values[0].item.value == value);
    script.result();
}

/// A value of somebody who has to ask the connection something to take it back.
struct Owned {
    bytes: Vec<u8>,
    connection: Connection,
    returned: std::sync::mpsc::Sender<()>,
}

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.connection.queued_bytes();
        self.returned.send(()).unwrap();
    }
}

#[test]
fn values_are_let_go_of_while_no_lock_is_held() {
    let (go, may_read) = channel::<()>();
    let (connection, script) = Peer::greeted(move |mut peer| {
        may_read.recv_timeout(LONG).unwrap();
        let (id, _) = peer.request();
        peer.reply(id, &Reply::Done);
        // The second is never read.
    });
    let (returned, back) = channel();
    let send = |length| {
        let owned = Owned { bytes: vec![1; length], connection: connection.clone(), returned: returned.clone() };
        connection.request(store(1, Bytes::from_owner(owned)))
    };
    let first = send(20_000_000);
    assert!(connection.queued_bytes() > 0);
    go.send(()).unwrap();
    assert_eq!(first.wait(), Ok(Reply::Done));
    back.recv_timeout(LONG).expect("the I/O thread let go of what it sent");
    let second = send(20_000_000);
    script.result();
    assert!(matches!(second.wait(), Err(Error::Closed { .. })));
    back.recv_timeout(LONG).expect("the end let go of what was queued");
}

#[test]
fn requests_of_many_threads_are_all_answered() {
    const THREADS: u32 = 8;
    const EACH: u32 = 2_000;
    let (connection, script) = Peer::greeted(|mut peer| {
        for _ in 0..THREADS * EACH {
            let (id, request) = peer.request();
            let Request::Store { variable, .. } = request else { panic!() };
            peer.reply(id, &Reply::Opened { name: variable.0.to_le_bytes().to_vec(), owned: true });
        }
        peer
    });
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let connection = connection.clone();
            scope.spawn(move || {
                let ask = |n| (n, connection.request(store(n, vec![1; n as usize % 700])));
                let pending: Vec<_> = (thread * EACH..(thread + 1) * EACH).map(ask).collect();
                for (n, mut pending) in pending {
                    let reply = pending.wait_timeout(LONG).unwrap().unwrap();
                    assert_eq!(reply, Reply::Opened { name: n.to_le_bytes().to_vec(), owned: true });
                }
            });
        }
    });
    script.result();
}

#[test]
fn dropping_an_unfinished_wait_cancels_it_and_gives_back_leases_that_come_all_the_same() {
    let (connection, script) = Peer::greeted(|mut peer| {
        let (fetch, _) = peer.request();
        let (cancel, request) = peer.request();
        assert_eq!(request, Request::Cancel { target: fetch });
        peer.reply(fetch, &values(40, &[b"a", b"b"]));
        peer.reply(cancel, &Reply::Done);
        let (_, request) = peer.request();
        assert_eq!(request, Request::Release { leases: vec![LeaseId(40), LeaseId(41)], died: false, recalled: false });
        peer
    });
    drop(connection.request(fetch(1, true, Wait::Forever)));
    script.result();
}

#[test]
fn dropping_an_answer_that_nobody_took_gives_its_leases_back() {
    let (connection, script) = Peer::greeted(|mut peer| {
        let (fetch, _) = peer.request();
        peer.reply(fetch, &values(7, &[b"a"]));
        let (ping, _) = peer.request();
        peer.reply(ping, &Reply::Pong);
        peer.request().1
    });
    let pending = connection.request(fetch(1, true, Wait::Forever));
    // Answers are given out in order, so the fetch's is there when the ping's is.
    connection.request(Request::Ping).wait().unwrap();
    assert!(pending.is_ready());
    drop(pending);
    assert_eq!(script.result(), Request::Release { leases: vec![LeaseId(7)], died: false, recalled: false });
}

#[test]
fn dropping_what_cannot_wait_cancels_nothing() {
    let (connection, script) = Peer::greeted(|mut peer| {
        let (stored, _) = peer.request();
        peer.reply(stored, &Reply::Done);
        let (tried, _) = peer.request();
        peer.reply(tried, &values(0, &[]));
        peer.request().1
    });
    drop(connection.request(store(1, "x")));
    drop(connection.request(fetch(1, false, Wait::No)));
    let _last = connection.request(Request::Ping);
    assert_eq!(script.result(), Request::Ping);
}

#[test]
fn cancel_names_the_request_and_its_answer_still_comes() {
    let (connection, script) = Peer::greeted(|mut peer| {
        let (fetch, _) = peer.request();
        let (cancel, request) = peer.request();
        assert_eq!(request, Request::Cancel { target: fetch });
        peer.reply(fetch, &Reply::Canceled);
        peer.reply(cancel, &Reply::Done);
        peer
    });
    let pending = connection.request(fetch(1, false, Wait::Forever));
    pending.cancel();
    assert_eq!(pending.wait(), Err(Error::Canceled));
    script.result();
}

#[test]
fn events_reach_every_handler_and_pings_are_answered_meanwhile() {
    let (connection, script) = Peer::greeted(|mut peer| {
        // The client is ready for events when it asks.
        let (ready, _) = peer.request();
        peer.event(&Event::Recall { variable: VariableHandle(5), wanted: 3 });
        peer.send(RequestId(77), Opcode::Ping, &[]);
        let (header, payload) = peer.receive().unwrap();
        assert_eq!((header.request, header.opcode), (RequestId(77), Opcode::Pong.to_wire()));
        assert!(payload.is_empty());
        peer.reply(ready, &Reply::Pong);
        peer
    });
    let (sender, events) = channel();
    for name in ["first", "second"] {
        let sender = sender.clone();
        connection.on_event(move |event| sender.send((name, event)).unwrap());
    }
    connection.request(Request::Ping).wait().unwrap();
    let recall = Event::Recall { variable: VariableHandle(5), wanted: 3 };
    assert_eq!(events.try_iter().collect::<Vec<_>>(), [("first", recall.clone()), ("second", recall)]);
    script.result();
}

#[test]
fn what_the_server_would_end_the_connection_over_is_refused_here() {
    let (connection, script) = Peer::greeted(|mut peer| peer.request().1);
    let empty = Request::Store { variable: VariableHandle(1), items: Vec::new() };
    let error = connection.request(empty).wait().unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::BadArguments));
    let (sender, outcome) = channel();
    let none = Request::Finish { variable: VariableHandle(1), items: Vec::new() };
    let id = connection.request_then(none, move |outcome| sender.send(outcome).unwrap());
    assert_eq!(id, RequestId(0));
    assert!(outcome.try_recv().unwrap().is_err());
    let _alive = connection.request(Request::Ping);
    assert_eq!(script.result(), Request::Ping);
}

#[tokio::test]
async fn a_pending_is_a_future() {
    let (connection, script) = Peer::greeted(|mut peer| {
        let ids: Vec<RequestId> = (0..3).map(|_| peer.request().0).collect();
        ids.iter().rev().for_each(|id| peer.reply(*id, &Reply::Done));
        peer
    });
    let requests = [1, 2, 3].map(|n| connection.request(store(n, "x")));
    for request in requests {
        assert_eq!(tokio::time::timeout(LONG, request).await.unwrap(), Ok(Reply::Done));
    }
    tokio::task::spawn_blocking(|| script.result()).await.unwrap();
}
