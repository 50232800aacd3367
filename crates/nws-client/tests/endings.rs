//! Every way in which a connection ends, and what those who wait are told.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::io::{Read, Write};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use nws_client::Error;
use nws_proto::*;
use support::*;

/// The reason that a waiting fetch is told after `script` has taken it.
fn reason_after(script: impl FnOnce(&mut Peer, RequestId) + Send + 'static) -> String {
    let (connection, running) = Peer::greeted(|mut peer| {
        let (id, _) = peer.request();
        script(&mut peer, id);
    });
    let (sender, ended) = channel();
    connection.on_close(move |error| sender.send(error.clone()).unwrap());
    let error = connection.request(fetch(1, false, Wait::Forever)).wait_timeout(LONG).expect("no hang").unwrap_err();
    assert_eq!(ended.recv_timeout(LONG).unwrap(), error);
    // Whatever is asked from now on fails at once, for the same reason.
    assert_eq!(connection.request(store(1, "x")).wait(), Err(error.clone()));
    assert_eq!(connection.closed(), Some(error.clone()));
    let (sender, ended) = channel();
    connection.on_close(move |error| sender.send(error.clone()).unwrap());
    assert_eq!(ended.try_recv().unwrap(), error);
    running.result();
    reason(error)
}

#[test]
fn a_goodbye_is_the_reason() {
    let reason = reason_after(|peer, _| {
        peer.event(&Event::Goodbye(Fault::new(ErrorCode::ShuttingDown, "the server goes down")));
    });
    assert_eq!(reason, "the server ended it: the server goes down (shutting-down)");
}

#[test]
fn an_end_without_a_word_is_told_as_one() {
    assert!(reason_after(|_, _| {}).contains("without a word"));
}

#[test]
fn an_end_within_a_frame_is_told_as_one() {
    let header = FrameHeader { payload_bytes: 100, request: RequestId(1), opcode: Opcode::Values.to_wire() };
    for cut in [1, 11, 12, 50] {
        let reason = reason_after(move |peer, _| {
            let frame = [&header.encode()[..], &[0; 100]].concat();
            peer.stream.write_all(&frame[..cut]).unwrap();
        });
        assert!(reason.contains("in the middle of a frame"), "after {cut} bytes: {reason}");
    }
}

#[test]
fn garbage_ends_the_connection() {
    let garbage: &[&[u8]] =
        &[b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"HTTP/1.1 200 OK\r\n\r\n", &[0xff; 64]];
    for bytes in garbage {
        let reason = reason_after(|peer, _| {
            peer.stream.write_all(bytes).unwrap();
            peer.expect_end();
        });
        assert!(reason.contains("not a frame"), "{reason}");
    }
}

#[test]
fn a_frame_that_claims_more_than_is_allowed_ends_the_connection() {
    let reason = reason_after(|peer, id| {
        let header = FrameHeader { payload_bytes: u32::MAX, request: id, opcode: Opcode::Values.to_wire() };
        peer.stream.write_all(&header.encode()).unwrap();
        peer.expect_end();
    });
    assert!(reason.contains("more than is allowed"), "{reason}");
}

#[test]
fn an_unknown_opcode_ends_the_connection() {
    for opcode in [0x00, 0x30, 0x7f, 0x99, 0xbf, 0xee, 0x1234] {
        let reason = reason_after(move |peer, id| {
            let header = FrameHeader { payload_bytes: 0, request: id, opcode };
            peer.stream.write_all(&header.encode()).unwrap();
            peer.expect_end();
        });
        assert!(reason.contains("unknown-opcode"), "{opcode:#x}: {reason}");
    }
}

#[test]
fn a_reply_that_is_not_what_its_opcode_says_ends_the_connection() {
    let reason = reason_after(|peer, id| {
        peer.send(id, Opcode::Values, b"short");
        peer.expect_end();
    });
    assert!(reason.contains("malformed-frame"), "{reason}");
}

#[test]
fn an_answer_that_nobody_asked_for_ends_the_connection() {
    let reason = reason_after(|peer, id| {
        peer.reply(RequestId(id.0 + 1), &Reply::Done);
        peer.expect_end();
    });
    assert!(reason.contains("which nobody made"), "{reason}");
}

#[test]
fn a_second_answer_ends_the_connection() {
    let (connection, script) = Peer::greeted(|mut peer| {
        let (id, _) = peer.request();
        peer.reply(id, &Reply::Done);
        peer.reply(id, &Reply::Done);
        peer.expect_end();
    });
    assert_eq!(connection.request(store(1, "x")).wait(), Ok(Reply::Done));
    script.result();
}

#[test]
fn answers_before_the_end_are_given_out_before_it() {
    let (connection, script) = Peer::greeted(|mut peer| {
        let (id, _) = peer.request();
        peer.request();
        peer.reply(id, &Reply::Done);
        peer.event(&Event::Goodbye(Fault::new(ErrorCode::MemoryFull, "full")));
    });
    let (answered, waiting) = (connection.request(store(1, "x")), connection.request(store(1, "x")));
    assert_eq!(answered.wait(), Ok(Reply::Done));
    assert!(reason(waiting.wait().unwrap_err()).contains("full"));
    script.result();
}

#[test]
fn a_server_that_is_silent_is_asked_and_then_given_up() {
    let (connection, script) = Peer::greeted_with(400, |mut peer| {
        // Once it answers, late but in time; then it never does.
        let (id, request) = peer.request();
        assert_eq!(request, Request::Ping);
        peer.reply(id, &Reply::Pong);
        assert_eq!(peer.request().1, Request::Ping);
        peer.expect_end();
    });
    let (sender, ended) = channel();
    connection.on_close(move |error| sender.send(error.clone()).unwrap());
    let error = ended.recv_timeout(LONG).unwrap();
    assert_eq!(reason(error), "the server was silent for 400 ms and did not answer a ping");
    script.result();
}

#[test]
fn a_server_that_reads_slowly_is_not_taken_for_silent() {
    let (connection, script) = Peer::greeted_with(300, |mut peer| {
        rustix::net::sockopt::set_socket_recv_buffer_size(&peer.stream, 64 << 10).unwrap();
        // For three times the silence it reads in crumbs, and answers nothing.
        let start = Instant::now();
        let mut crumb = [0; 16];
        while start.elapsed() < Duration::from_millis(900) {
            peer.stream.read_exact(&mut crumb).unwrap();
        }
        peer.stream.shutdown(std::net::Shutdown::Write).unwrap();
        let _ = std::io::copy(&mut peer.stream, &mut std::io::sink());
    });
    let error = connection.request(store(1, vec![0; 200_000_000])).wait().unwrap_err();
    assert!(reason(error).contains("without a word"));
    drop(connection);
    script.result();
}

#[test]
fn closing_fails_what_waits_and_the_peer_sees_the_end() {
    let (connection, script) = Peer::greeted(|mut peer| {
        peer.request();
        peer.expect_end();
    });
    let waiting = connection.request(fetch(1, false, Wait::Forever));
    connection.close();
    assert!(reason(waiting.wait().unwrap_err()).contains("this client closed it"));
    script.result();
}

#[test]
fn the_connection_ends_with_its_last_clone_and_not_before() {
    let (connection, script) = Peer::greeted(|mut peer| {
        let (id, _) = peer.request();
        peer.reply(id, &Reply::Done);
        peer.expect_end();
    });
    let clone = connection.clone();
    drop(connection);
    let pending = clone.request(store(1, "x"));
    drop(clone);
    assert_eq!(pending.wait(), Ok(Reply::Done));
    script.result();
}

#[test]
fn a_function_that_panics_ends_the_connection_instead_of_leaving_all_to_wait() {
    let (connection, script) = Peer::greeted(|mut peer| {
        let (id, _) = peer.request();
        peer.request();
        peer.reply(id, &Reply::Done);
        peer.expect_end();
    });
    connection.request_then(store(1, "x"), |_| panic!("on purpose"));
    let error = connection.request(fetch(1, false, Wait::Forever)).wait().unwrap_err();
    assert!(reason(error).contains("panicked"));
    script.result();
}

#[test]
fn functions_that_panic_at_the_end_keep_it_from_nobody() {
    let (connection, script) = Peer::greeted(|mut peer| {
        (0..20).for_each(|_| drop(peer.request()));
    });
    let (sender, told) = channel();
    for n in 0..20 {
        let sender = sender.clone();
        connection.request_then(store(1, "x"), move |outcome| {
            assert!(n % 2 == 0, "on purpose");
            sender.send(outcome).unwrap();
        });
    }
    connection.on_close(|_| panic!("on purpose"));
    let (sender, closed) = channel();
    connection.on_close(move |error| sender.send(error.clone()).unwrap());
    let error = closed.recv_timeout(LONG).unwrap();
    assert_eq!(told.try_iter().collect::<Vec<_>>(), vec![Err(error); 10]);
    script.result();
}

#[test]
fn who_waits_for_room_is_let_go_when_the_connection_ends() {
    let (connection, script) = Peer::greeted(|peer| {
        // Never reads, and goes when all is queued.
        drop(peer);
    });
    for _ in 0..100 {
        connection.request_and_forget(&store(1, vec![0; 1 << 20]));
    }
    connection.wait_queued_below(1, LONG);
    assert!(matches!(connection.request(Request::Ping).wait(), Err(Error::Closed { .. })));
    script.result();
}

/// SplitMix64.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Some frames that a server may send, as bytes.
fn good_frames(id: RequestId) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut put = |request: RequestId, opcode: Opcode, payload: &[u8]| {
        let header = FrameHeader { payload_bytes: payload.len() as u32, request, opcode: opcode.to_wire() };
        bytes.extend_from_slice(&header.encode());
        bytes.extend_from_slice(payload);
    };
    let mut recall = Vec::new();
    Event::Recall { variable: VariableHandle(1), wanted: 1 }.encode(&mut recall);
    put(RequestId(0), Opcode::Recall, &recall);
    put(RequestId(0), Opcode::Ping, &[]);
    let mut granted = Vec::new();
    values(5, &[b"one", b"two", b"three"]).encode(&mut granted);
    put(id, Opcode::Values, &granted);
    bytes
}

#[test]
fn whatever_a_server_sends_nobody_is_left_to_wait() {
    for seed in 0..300_u64 {
        let (connection, script) = Peer::greeted(move |mut peer| {
            let (id, _) = peer.request();
            let mut bytes = good_frames(id);
            let mut state = seed;
            for _ in 0..1 + random(&mut state) % 3 {
                let at = random(&mut state) as usize % bytes.len();
                bytes[at] = random(&mut state) as u8;
            }
            bytes.truncate(bytes.len() - random(&mut state) as usize % 20);
            // It fails where the client has had enough before the end.
            let _ = peer.stream.write_all(&bytes);
        });
        let outcome = connection.request(fetch(1, false, Wait::Forever)).wait_timeout(LONG);
        match outcome.unwrap_or_else(|| panic!("seed {seed}: nothing came")) {
            Ok(Reply::Values { .. }) | Err(Error::Fault(_) | Error::TimedOut | Error::Canceled) => {}
            Ok(other) => assert!(!matches!(other, Reply::Failed(_)), "seed {seed}: {other:?}"),
            Err(error) => assert!(!reason(error.clone()).contains("panicked"), "seed {seed}: {error}"),
        }
        script.result();
    }
}

#[test]
fn who_waits_for_a_reply_is_told_where_a_part_of_a_value_comes() {
    let reason = reason_after(|peer, id| {
        peer.send(id, Opcode::Part, &[1, 0, 0, 0, 7]);
        peer.expect_end();
    });
    assert!(reason.contains("which nobody made"), "{reason}");
}
