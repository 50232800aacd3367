//! Who is let in, and who is told what.
#![allow(clippy::unwrap_used)]

mod support;

use nws_proto::*;
use nws_server::Limits;
use support::*;

#[test]
fn a_client_that_proves_the_token_is_welcome_over_either_socket() {
    let server = Running::start();
    let (tcp, unix) = (server.client(), server.unix_client());
    assert_ne!(tcp.session, SessionId(0));
    assert_ne!(tcp.session, unix.session);
    assert_eq!(tcp.welcome.unwrap().frame_payload_bytes, limits::FRAME_PAYLOAD_BYTES);
}

#[test]
fn silence_is_granted_by_the_kind_of_socket() {
    let server = Running::start();
    let granted = |raw: Raw, silence_ms| raw.welcome(Ask { silence_ms, ..Ask::default() }).welcome.unwrap().silence_ms;
    assert_eq!(granted(Raw::unix(&server.unix), 0), 0);
    assert_eq!(granted(Raw::tcp(server.tcp), 0), limits::SILENCE_DEFAULT_MS);
    assert_eq!(granted(Raw::tcp(server.tcp), u32::MAX), limits::SILENCE_DEFAULT_MS);
    assert_eq!(granted(Raw::tcp(server.tcp), 1), limits::SILENCE_MIN_MS);
    assert_eq!(granted(Raw::tcp(server.tcp), 12_345), 12_345);
}

#[test]
fn each_connection_is_challenged_afresh() {
    let server = Running::start();
    let (one, other) = (Raw::tcp(server.tcp).challenge(), Raw::tcp(server.tcp).challenge());
    assert_ne!(one.nonce, other.nonce);
    assert_eq!(one.server, other.server);
    assert_eq!((one.oldest_version, one.newest_version), (1, 1));
}

#[test]
fn a_wrong_token_is_not_let_in() {
    let server = Running::start();
    let mut raw = Raw::tcp(server.tcp);
    raw.hello(&Ask { token: Token([8; 32]), ..Ask::default() });
    assert_eq!(raw.goodbye().code, ErrorCode::NotAuthorized);
}

#[test]
fn another_version_is_told_which_one_is_spoken() {
    let server = Running::start();
    let mut raw = Raw::tcp(server.tcp);
    raw.hello(&Ask { version: 2, ..Ask::default() });
    let fault = raw.goodbye();
    assert_eq!(fault.code, ErrorCode::VersionMismatch);
    assert!(fault.message.contains("version 1") && fault.message.contains("got 2"), "{fault}");
}

#[test]
fn a_guardian_must_live() {
    let server = Running::start();
    let mut raw = Raw::tcp(server.tcp);
    raw.hello(&Ask { guardian: SessionId(77), ..Ask::default() });
    assert_eq!(raw.goodbye().code, ErrorCode::NoSuchGuardian);
    let guardian = server.client();
    Raw::tcp(server.tcp).welcome(Ask { guardian: guardian.session, ..Ask::default() });
}

#[test]
fn encryption_is_not_spoken_yet() {
    let server = Running::start();
    let mut raw = Raw::tcp(server.tcp);
    raw.send_bytes(b"\x16\x03\x01");
    raw.ended();
}

#[test]
fn other_protocols_are_taken_for_the_old_one() {
    let server = Running::start();
    for first in [&b"0006"[..], b"GET / HTTP/1.1\r\n\r\n", b"NWS\x02"] {
        let mut raw = Raw::tcp(server.tcp);
        raw.send_bytes(first);
        assert_eq!(raw.receive_some(4), b"2223");
    }
}

#[test]
fn a_request_before_the_hello_is_refused() {
    let server = Running::start();
    let mut raw = Raw::tcp(server.tcp);
    raw.challenge();
    raw.send_bytes(&request_frame(RequestId(1), &Request::Ping));
    assert_eq!(raw.goodbye().code, ErrorCode::UnknownOpcode);
}

#[test]
fn a_hello_too_long_or_malformed_is_refused() {
    let server = Running::start();
    let mut raw = Raw::tcp(server.tcp);
    raw.challenge();
    let header = FrameHeader { payload_bytes: 1025, request: RequestId(0), opcode: Opcode::Hello.to_wire() };
    raw.send_bytes(&header.encode());
    assert_eq!(raw.goodbye().code, ErrorCode::FrameTooLong);

    for payload in [&[][..], &[1], &[1, 0, 3, 4]] {
        let mut raw = Raw::tcp(server.tcp);
        raw.challenge();
        raw.send_bytes(&frame(Opcode::Hello, RequestId(0), payload));
        assert_eq!(raw.goodbye().code, ErrorCode::MalformedFrame);
    }
}

#[test]
fn who_takes_too_long_is_ended() {
    let server = Running::with(Limits { handshake_ms: 50, ..Limits::default() });
    let mut silent_after_the_challenge = Raw::tcp(server.tcp);
    silent_after_the_challenge.challenge();
    assert_eq!(silent_after_the_challenge.goodbye().code, ErrorCode::Silent);
    Raw::tcp(server.tcp).ended();
    let mut half_a_greeting = Raw::tcp(server.tcp);
    half_a_greeting.send_bytes(b"NW");
    half_a_greeting.ended();
}

#[test]
fn a_connection_above_the_limit_is_told_so_and_those_below_it_go_on() {
    let server = Running::with(Limits { connections: 2, ..Limits::default() });
    let (mut one, other) = (server.client(), server.client());
    let mut surplus = Raw::tcp(server.tcp);
    surplus.send_bytes(&GREETING);
    assert_eq!(surplus.goodbye().code, ErrorCode::TooManyConnections);
    assert_eq!(one.ask(&Request::Ping), Reply::Pong);
    drop(other);
    // The server may see the new one before it sees that the other is gone.
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let mut raw = Raw::tcp(server.tcp);
        raw.send_bytes(&GREETING);
        let (header, _) = raw.receive_frame().unwrap();
        if header.opcode == Opcode::Challenge.to_wire() {
            break;
        }
        assert!(std::time::Instant::now() < deadline);
    }
}

#[test]
fn strangers_who_fill_the_tcp_port_leave_room_at_the_unix_socket() {
    let server = Running::with(Limits { connections: 20, ..Limits::default() });
    let mut strangers: Vec<Raw> = (0..18).map(|_| Raw::tcp(server.tcp)).collect();
    for stranger in &mut strangers {
        stranger.challenge();
    }
    let mut last = Raw::tcp(server.tcp);
    last.send_bytes(&GREETING);
    assert_eq!(last.goodbye().code, ErrorCode::TooManyConnections);
    assert_eq!(server.unix_client().ask(&Request::Ping), Reply::Pong);
}

#[test]
fn strangers_above_the_limit_take_no_room_at_the_unix_socket_either() {
    let server = Running::with(Limits { connections: 20, ..Limits::default() });
    let mut strangers: Vec<Raw> = (0..18).map(|_| Raw::tcp(server.tcp)).collect();
    for stranger in &mut strangers {
        stranger.challenge();
    }
    // They wait for nothing, and are kept until their time to greet is over.
    let idle: Vec<Raw> = (0..30).map(|_| Raw::tcp(server.tcp)).collect();
    let deadline = std::time::Instant::now() + PATIENCE;
    while http::metrics(server.web)["nws_connections"] != 48.0 {
        assert!(std::time::Instant::now() < deadline);
    }
    let mut owners: Vec<Raw> = (0..2).map(|_| server.unix_client()).collect();
    let mut surplus = Raw::unix(&server.unix);
    surplus.send_bytes(&GREETING);
    assert_eq!(surplus.goodbye().code, ErrorCode::TooManyConnections);
    drop(idle);
    for owner in &mut owners {
        assert_eq!(owner.ask(&Request::Ping), Reply::Pong);
    }
}
