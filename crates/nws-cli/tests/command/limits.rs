//! What exceeds a limit gets an error that names the limit and its setting.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use crate::home::{Home, PATIENCE, Ran, output};

#[track_caller]
fn refused(ran: &Ran, parts: [&str; 2]) {
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(parts.iter().all(|part| ran.stderr.contains(part)), "{ran:?}");
}

#[test]
fn values_are_bounded_each_and_together() {
    let home = Home::served_with(&["--value-size", "1000", "--values-memory", "1MiB"]);
    home.nws_with("store x -", &[b'a'; 1000]).is(0, "", "");
    refused(
        &home.nws_with("store x -", &[b'a'; 1001]),
        ["at most 1000 bytes (setting value-size)", "this one has 1001"],
    );
    let lines = |count| [&[b'a'; 999][..], b"\n"].concat().repeat(count);
    // Refused before it is received, by the length that it announces.
    let ran = home.nws_with("store x - --lines", &lines(1049));
    refused(&ran, [" bytes, the room left for values", "(setting values-memory)"]);
    home.nws_with("store y - --lines", &lines(900)).is(0, "", "");
    let ran = home.nws_with("store z - --lines", &lines(900));
    refused(&ran, ["at most 1048576 bytes of values and names", "(setting values-memory)"]);
    home.nws("fetch x --all --raw").is(0, &"a".repeat(1000), "");
}

#[test]
fn names_and_frames_are_bounded() {
    let home = Home::served_with(&["--name-length", "64", "--frame-size", "64KiB"]);
    home.run(["store", &"x".repeat(64), "a"]).is(0, "", "");
    refused(&home.run(["store", &"x".repeat(65), "a"]), ["at most 64 bytes (setting name-length)", "has 65"]);
    // The client has learnt the limit, and sends nothing.
    let lines = [&[b'a'; 40_000][..], b"\n"].concat().repeat(2);
    let ran = home.nws_with("store y - --lines", &lines);
    refused(&ran, ["at most 65536 bytes in one request", "frame-too-long"]);
    // One value goes in parts.
    home.nws_with("store y -", &vec![b'a'; 200_000]).is(0, "", "");
    home.nws("fetch y --raw").is(0, &"a".repeat(200_000), "");
}

#[test]
fn what_one_connection_may_use_is_bounded() {
    let home = Home::served_with(&["--session-variables", "1"]);
    home.nws("store x a").is(0, "", "");
    home.nws("store y a").is(0, "", "");
    refused(&home.nws("delete x y"), ["at most 1 variables bound (setting session-variables)", "too-many-variables"]);
}

#[test]
fn all_that_wait_are_bounded_together() {
    let home = Home::served_with(&["--waiting", "1"]);
    let first = home.command(["fetch", "never"]).spawn().unwrap();
    home.until("vars", |told| told.lines().any(|line| line.starts_with("never") && line.contains('1')));
    refused(
        &home.nws("fetch never"),
        ["at most 1 requests of all sessions wait (setting waiting)", "too-many-waiting"],
    );
    home.nws("store never a").is(0, "", "");
    assert_eq!(output(first).stdout, b"a\n");
}

#[test]
fn connections_are_bounded() {
    let home = Home::served_with(&["--connections", "1", "--handshake-time", "1h"]);
    let deadline = Instant::now() + PATIENCE;
    // The server may still hold the connection by which `nws start` saw that it answers. Then this one
    // is above the limit, and does not count.
    let (first, ran) = loop {
        let mut first = TcpStream::connect(home.address()).unwrap();
        first.set_read_timeout(Some(PATIENCE)).unwrap();
        first.write_all(&nws_proto::GREETING).unwrap();
        // When it is challenged, it is known.
        first.read_exact(&mut [0; 12]).unwrap();
        let ran = home.nws("ping");
        if ran.code != Some(0) || Instant::now() >= deadline {
            break (first, ran);
        }
    };
    refused(&ran, ["at most 1 connections (setting connections)", "too-many-connections"]);
    drop(first);
    home.until("ping", |told| !told.is_empty());
}

#[test]
fn who_does_not_prove_the_token_in_time_is_sent_away() {
    let home = Home::served_with(&["--handshake-time", "100ms"]);
    let mut silent = TcpStream::connect(home.address()).unwrap();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    silent.write_all(&nws_proto::GREETING).unwrap();
    let mut said = Vec::new();
    silent.read_to_end(&mut said).unwrap();
    assert!(String::from_utf8_lossy(&said).contains("within 100 ms (setting handshake-time)"));
    let log = std::fs::read_to_string(home.path().join(".local/state/nws/server-any.log")).unwrap();
    assert!(log.contains("warn  expected a hello within 100 ms (setting handshake-time) peer=127.0.0.1:"), "{log}");
}
