//! Forked children, and servers that are found in the runtime folder.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::sync::mpsc::channel;

use nws_client::{ConnectOptions, Connection, Endpoint, Error, Server};
use nws_proto::*;
use nws_runtime::{RuntimeDir, ServerInfo};
use support::*;

/// Runs `check` in a forked child, which ends at once after it; true: it held.
fn in_a_child(check: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child runs `check`, which takes no lock that another thread could have held, and
    // leaves by `_exit`.
    match unsafe { libc::fork() } {
        0 => {
            // SAFETY: this ends the child where it hangs.
            unsafe { libc::alarm(30) };
            let held = std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).unwrap_or(false);
            // SAFETY: as above.
            unsafe { libc::_exit(if held { 0 } else { 1 }) }
        }
        child => {
            assert!(child > 0, "fork failed");
            let mut status = 0;
            // SAFETY: `child` is ours, and was not waited for.
            assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
            libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
        }
    }
}

#[test]
fn a_forked_child_can_neither_use_nor_harm_the_connection() {
    let (connection, script) = Peer::greeted(|mut peer| {
        let (open, _) = peer.request();
        peer.reply(open, &Reply::Opened { name: b"ws".to_vec(), owned: true });
        let (fetch, _) = peer.request();
        // Nothing of the child's comes between.
        let (ping, request) = peer.request();
        assert_eq!(request, Request::Ping);
        peer.reply(fetch, &values(0, &[b"a"]));
        peer.reply(ping, &Reply::Pong);
    });
    let server = Server::from(connection.clone());
    let workspace = server.open("ws").wait().unwrap();
    let waiting = connection.request(fetch(1, true, Wait::Forever));
    let mut moved = Some((server, workspace, waiting, connection));
    let held = in_a_child(|| {
        let (server, workspace, waiting, connection) = moved.take().unwrap();
        let forked = [
            workspace.store("x", 1).wait().err(),
            smol::block_on(workspace.ifind::<i64>("x").next()).and_then(Result::err),
            server.ping().wait().err(),
            waiting.wait().err(),
            connection.closed(),
        ];
        connection.cancel(RequestId(1));
        connection.wait_queued_below(1, LONG);
        connection.close();
        forked.iter().all(|error| *error == Some(Error::Forked))
    });
    assert!(held);
    let (server, _workspace, waiting, _connection) = moved.unwrap();
    // The parent's connection is as it was.
    server.ping().wait().unwrap();
    assert!(matches!(waiting.wait(), Ok(Reply::Values { .. })));
    script.result();
}

const CHILD: &str = "NWS_TEST_CHILD";

/// Runs the test of this name again in a process of its own, with this runtime folder: the
/// environment cannot be changed while other tests run.
fn rerun(name: &str, folder: &std::path::Path) -> bool {
    if std::env::var_os(CHILD).is_some() {
        return false;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, "1")
        .env("NWS_RUNTIME_DIR", folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    true
}

/// Answers one handshake.
fn greet(mut stream: UnixStream, token: &Token) -> UnixStream {
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.read_exact(&mut [0; 4]).unwrap();
    let send = |stream: &mut UnixStream, opcode: Opcode, payload: &[u8]| {
        let header =
            FrameHeader { payload_bytes: payload.len() as u32, request: RequestId(0), opcode: opcode.to_wire() };
        stream.write_all(&[&header.encode(), payload].concat()).unwrap();
    };
    let mut payload = Vec::new();
    Challenge { oldest_version: 1, newest_version: 1, server: [3; 16], nonce: [5; 32] }.encode(&mut payload);
    send(&mut stream, Opcode::Challenge, &payload);
    let mut header = [0; FRAME_HEADER_BYTES];
    stream.read_exact(&mut header).unwrap();
    let mut hello = vec![0; FrameHeader::decode(&header).unwrap().payload_bytes as usize];
    stream.read_exact(&mut hello).unwrap();
    let hello = Hello::decode(hello.into()).unwrap();
    let proof = server_proof(token, &[5; 32], &hello.nonce);
    let mut payload = Vec::new();
    Welcome { session: SessionId(1), proof, frame_payload_bytes: 1024, silence_ms: 0 }.encode(&mut payload);
    send(&mut stream, Opcode::Welcome, &payload);
    stream
}

fn info(tcp: &TcpListener, unix: &std::path::Path) -> ServerInfo {
    ServerInfo {
        pid: std::process::id(),
        tcp: Some(tcp.local_addr().unwrap()),
        web: None,
        unix: unix.to_owned(),
        embedded: false,
        started_unix_s: 0,
    }
}

#[test]
fn a_port_of_a_registered_server_is_reached_by_its_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    if rerun("a_port_of_a_registered_server_is_reached_by_its_unix_socket", &folder.path().join("nws")) {
        return;
    }
    let reservation = RuntimeDir::open().unwrap().reserve().unwrap();
    // Nobody answers at the port, so only the socket can.
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let unix = UnixListener::bind(reservation.socket_path()).unwrap();
    reservation.publish(&info(&tcp, &reservation.socket_path()), &TOKEN).unwrap();
    let accepting = std::thread::spawn(move || {
        for _ in 0..2 {
            let _ = greet(unix.accept().unwrap().0, &TOKEN);
        }
    });
    let port = tcp.local_addr().unwrap().port();
    for host in ["localhost", "127.0.0.1"] {
        Connection::connect(&Endpoint::Tcp(host.into(), port), ConnectOptions::default()).unwrap();
    }
    accepting.join().unwrap();
}

#[test]
fn another_token_or_a_dead_socket_leads_to_the_port_itself() {
    let folder = tempfile::tempdir().unwrap();
    if rerun("another_token_or_a_dead_socket_leads_to_the_port_itself", &folder.path().join("nws")) {
        return;
    }
    let reservation = RuntimeDir::open().unwrap().reserve().unwrap();
    let unix = UnixListener::bind(reservation.socket_path()).unwrap();
    let (endpoint, script) = Peer::start(|mut peer| peer.greet(0));
    let Endpoint::Tcp(_, port) = endpoint else { panic!() };
    let mut server = info(&TcpListener::bind("127.0.0.1:0").unwrap(), &reservation.socket_path());
    server.tcp = Some(([127, 0, 0, 1], port).into());
    // The server of the folder has another token than the one that is meant.
    reservation.publish(&server, &Token([1; 32])).unwrap();
    let options = ConnectOptions { token: Some(TOKEN), ..Default::default() };
    Connection::connect(&endpoint, options).unwrap();
    script.result();
    // Its socket is gone: the port is what is left, with the token of the folder.
    drop(unix);
    let (endpoint, script) = Peer::start(|mut peer| peer.greet(0));
    let Endpoint::Tcp(_, port) = endpoint else { panic!() };
    server.tcp = Some(([0, 0, 0, 0], port).into());
    reservation.publish(&server, &TOKEN).unwrap();
    Connection::connect(&Endpoint::Tcp("localhost".into(), port), ConnectOptions::default()).unwrap();
    script.result();
}

#[test]
fn a_unix_sockets_token_lies_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    if rerun("a_unix_sockets_token_lies_beside_it", &folder.path().join("nws")) {
        return;
    }
    let reservation = RuntimeDir::open().unwrap().reserve().unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let unix = UnixListener::bind(reservation.socket_path()).unwrap();
    reservation.publish(&info(&tcp, &reservation.socket_path()), &TOKEN).unwrap();
    let accepting = std::thread::spawn(move || greet(unix.accept().unwrap().0, &TOKEN));
    Connection::connect(&Endpoint::Unix(reservation.socket_path()), ConnectOptions::default()).unwrap();
    accepting.join().unwrap();
}

#[test]
fn a_server_that_no_longer_reads_ends_the_connection() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nws.sock");
    let unix = UnixListener::bind(&path).unwrap();
    let (deaf, may_ask) = channel();
    let accepting = std::thread::spawn(move || {
        let stream = greet(unix.accept().unwrap().0, &TOKEN);
        stream.shutdown(Shutdown::Read).unwrap();
        deaf.send(()).unwrap();
        // It stays there until the client has gone.
        (&stream).read_to_end(&mut Vec::new()).unwrap();
        stream
    });
    let connection = Connection::connect(&Endpoint::Unix(path), options()).unwrap();
    may_ask.recv_timeout(LONG).unwrap();
    let outcome = connection.request(fetch(1, false, Wait::Forever)).wait_timeout(LONG).expect("no hang");
    assert!(matches!(outcome, Err(Error::Closed { .. })), "{outcome:?}");
    drop(connection);
    accepting.join().unwrap();
}

#[test]
fn a_runtime_folder_of_somebody_elses_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let open = folder.path().join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    if rerun("a_runtime_folder_of_somebody_elses_is_named", &open) {
        return;
    }
    let (endpoint, script) = Peer::start(|mut peer| {
        peer.challenge(1, 1);
        peer.expect_end();
    });
    let error = Connection::connect(&endpoint, ConnectOptions::default()).unwrap_err().to_string();
    assert!(error.contains("others than you can get at it"), "{error}");
    script.result();
}
