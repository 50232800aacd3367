//! Connecting: what goes wrong, and what the user is told.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use nws_client::{ConnectOptions, ConnectProblem, Connection, Endpoint, Error, Silence};
use nws_proto::*;
use support::*;

/// Why connecting to a peer with this script fails.
fn problem(script: impl FnOnce(&mut Peer) + Send + 'static) -> (ConnectProblem, String) {
    let (endpoint, running) = Peer::start(|mut peer| script(&mut peer));
    let error = Connection::connect(&endpoint, options()).expect_err("connecting fails");
    running.result();
    of(error)
}

fn of(error: Error) -> (ConnectProblem, String) {
    let text = error.to_string();
    match error {
        Error::Connect { problem, .. } => (problem, text),
        other => panic!("expected Error::Connect, got {other:?}"),
    }
}

#[test]
fn the_hello_says_what_the_options_say() {
    let (endpoint, script) = Peer::start(|mut peer| peer.greet(250));
    let guarded =
        ConnectOptions { guardian: SessionId(99), label: b"me".to_vec(), silence: Silence::Ms(250), ..options() };
    let connection = Connection::connect(&endpoint, guarded).unwrap();
    assert_eq!(connection.session(), SessionId(11));
    assert_eq!(connection.server_id(), [3; 16]);
    let hello = script.result();
    assert_eq!((hello.version, hello.silence_ms, hello.guardian), (1, 250, SessionId(99)));
    assert_eq!(hello.label, b"me");
    assert_eq!(hello.proof, client_proof(&TOKEN, &[5; NONCE_BYTES], &hello.nonce));
}

#[test]
fn by_default_the_label_is_the_process_id_and_the_silence_the_servers() {
    let (endpoint, script) = Peer::start(|mut peer| peer.greet(0));
    let plain = ConnectOptions { token: Some(TOKEN), ..Default::default() };
    let _connection = Connection::connect(&endpoint, plain).unwrap();
    let hello = script.result();
    assert_eq!(hello.label, std::process::id().to_string().as_bytes());
    assert_eq!(hello.silence_ms, u32::MAX);
}

#[test]
fn where_nobody_listens_the_message_says_how_to_start_a_server() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = Endpoint::Tcp("localhost".into(), listener.local_addr().unwrap().port());
    drop(listener);
    let (problem, text) = of(Connection::connect(&endpoint, ConnectOptions::default()).unwrap_err());
    assert_eq!(problem, ConnectProblem::NobodyListens);
    assert!(text.contains(&format!("answers at {endpoint}")) && text.contains("nws serve"), "{text}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nws.sock");
    assert_eq!(of(Connection::connect(&Endpoint::Unix(path.clone()), options()).unwrap_err()).0, problem);
    // A socket that nobody holds any more.
    drop(UnixListener::bind(&path).unwrap());
    assert_eq!(of(Connection::connect(&Endpoint::Unix(path), options()).unwrap_err()).0, problem);
}

#[test]
fn a_peer_that_does_not_know_the_token_is_refused() {
    let (problem, _) = problem(|peer| {
        peer.challenge(1, 1);
        peer.welcome(&Token([8; 32]), 0);
        peer.expect_end();
    });
    assert_eq!(problem, ConnectProblem::Unproven);
}

#[test]
fn a_refused_token_is_told_as_one() {
    let (problem, text) = problem(|peer| {
        peer.challenge(1, 1);
        peer.hello();
        peer.event(&Event::Goodbye(Fault::new(ErrorCode::NotAuthorized, "no")));
    });
    assert_eq!(problem, ConnectProblem::WrongToken);
    assert!(text.contains("the file `token`"), "{text}");
}

#[test]
fn other_refusals_are_told_as_the_server_says_them() {
    let fault = Fault::new(ErrorCode::NoSuchGuardian, "session 99 has ended");
    let told = fault.clone();
    let (after_hello, text) = problem(move |peer| {
        peer.challenge(1, 1);
        peer.hello();
        peer.event(&Event::Goodbye(told));
    });
    assert_eq!(after_hello, ConnectProblem::Refused(fault));
    assert!(text.contains("session 99 has ended"), "{text}");
    let fault = Fault::new(ErrorCode::TooManyConnections, "full");
    let told = fault.clone();
    let (at_once, _) = problem(move |peer| {
        peer.stream.read_exact(&mut [0; 4]).unwrap();
        peer.event(&Event::Goodbye(told));
    });
    assert_eq!(at_once, ConnectProblem::Refused(fault));
}

#[test]
fn versions_that_do_not_meet_are_named() {
    let (problem, text) = problem(|peer| {
        peer.challenge(3, 5);
        peer.expect_end();
    });
    assert_eq!(problem, ConnectProblem::Version { oldest: 3, newest: 5 });
    assert!(text.contains("3 to 5") && text.contains("this client 1"), "{text}");
}

#[test]
fn what_is_not_our_protocol_is_shown() {
    let (http, text) = problem(|peer| peer.stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap());
    assert!(matches!(http, ConnectProblem::NotOurProtocol { .. }), "{http:?}");
    assert!(text.contains("HTTP/1.1 400") && text.contains("8765"), "{text}");
    let (ended, _) = problem(|peer| {
        peer.stream.read_exact(&mut [0; 4]).unwrap();
    });
    assert!(matches!(ended, ConnectProblem::NotOurProtocol { .. }), "{ended:?}");
    let (long, _) = problem(|peer| {
        let header = FrameHeader { payload_bytes: 1025, request: RequestId(0), opcode: Opcode::Challenge.to_wire() };
        peer.stream.write_all(&header.encode()).unwrap();
        peer.stream.write_all(&[0; 1025]).unwrap();
        // Until the client has gone: an early end here would be another reason.
        let _ = peer.stream.read_to_end(&mut Vec::new());
    });
    assert!(matches!(long, ConnectProblem::NotOurProtocol { .. }), "{long:?}");
    let (malformed, _) = problem(|peer| {
        peer.send(RequestId(0), Opcode::Challenge, b"no challenge");
        let _ = peer.stream.read_to_end(&mut Vec::new());
    });
    assert!(matches!(malformed, ConnectProblem::NotOurProtocol { .. }), "{malformed:?}");
    let (other, _) = problem(|peer| {
        peer.reply(RequestId(0), &Reply::Done);
        let _ = peer.stream.read_to_end(&mut Vec::new());
    });
    assert!(matches!(other, ConnectProblem::NotOurProtocol { .. }), "{other:?}");
}

#[test]
fn a_peer_that_says_nothing_is_given_up_in_time() {
    // The kernel accepts for a listener that never does.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = Endpoint::Tcp("127.0.0.1".into(), listener.local_addr().unwrap().port());
    let hasty = ConnectOptions { timeout: Duration::from_millis(50), ..options() };
    let (problem, text) = of(Connection::connect(&endpoint, hasty).unwrap_err());
    assert_eq!(problem, ConnectProblem::NoAnswer { step: "a challenge", timeout_ms: 50 });
    assert!(text.contains("50 ms"), "{text}");
}

#[test]
fn half_a_challenge_is_given_up_in_time() {
    let (endpoint, script) = Peer::start(|mut peer| {
        peer.stream.write_all(&[84, 0, 0]).unwrap();
        let _ = peer.stream.read_to_end(&mut Vec::new());
    });
    let hasty = ConnectOptions { timeout: Duration::from_millis(50), ..options() };
    let (problem, _) = of(Connection::connect(&endpoint, hasty).unwrap_err());
    assert_eq!(problem, ConnectProblem::NoAnswer { step: "a challenge", timeout_ms: 50 });
    script.result();
}

#[test]
fn a_host_without_an_address_is_named() {
    let endpoint = Endpoint::Tcp("no-such-host.invalid".into(), 8765);
    let (problem, text) = of(Connection::connect(&endpoint, options()).unwrap_err());
    assert!(matches!(problem, ConnectProblem::UnknownHost { .. } | ConnectProblem::NoAnswer { .. }), "{problem:?}");
    assert!(text.contains("no-such-host.invalid"), "{text}");
}

#[test]
fn without_a_token_the_message_says_where_it_was_looked_for() {
    let (endpoint, script) = Peer::start(|mut peer| {
        peer.challenge(1, 1);
        peer.expect_end();
    });
    let (problem, text) = of(Connection::connect(&endpoint, ConnectOptions::default()).unwrap_err());
    assert!(matches!(problem, ConnectProblem::NoToken { .. }), "{problem:?}");
    assert!(text.contains("no server of this user with port"), "{text}");
    script.result();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nws.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let accepting = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut payload = Vec::new();
        Challenge { oldest_version: 1, newest_version: 1, server: [3; 16], nonce: [5; 32] }.encode(&mut payload);
        let header = FrameHeader {
            payload_bytes: payload.len() as u32,
            request: RequestId(0),
            opcode: Opcode::Challenge.to_wire(),
        };
        stream.write_all(&[&header.encode()[..], &payload].concat()).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let (problem, text) = of(Connection::connect(&Endpoint::Unix(path), ConnectOptions::default()).unwrap_err());
    assert!(matches!(problem, ConnectProblem::NoToken { .. }), "{problem:?}");
    assert!(text.contains("no file `token` beside"), "{text}");
    accepting.join().unwrap();
}

#[test]
fn a_label_that_is_too_long_is_refused_before_connecting() {
    let long = ConnectOptions { label: vec![b'x'; 257], ..options() };
    let error = Connection::connect(&Endpoint::default(), long).unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::BadArguments));
}
