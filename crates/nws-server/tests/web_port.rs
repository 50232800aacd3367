//! The web port is the owner's: neither other users nor silent clients can lock the owner out.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use nws_server::Limits;
use support::http::get;
use support::*;

/// A user that this test does not run as.
const STRANGER: u32 = 65_533;
/// As many as the port has places.
const PLACES: usize = 256;

fn connect(web: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect_timeout(&web, PATIENCE).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Connects as another user, where this process may: the kernel takes the user of the thread.
fn connect_as_stranger(web: SocketAddr, count: usize) -> Option<Vec<TcpStream>> {
    let connect_all = move || {
        let unchanged = libc::uid_t::MAX;
        // SAFETY: the call changes the user of this thread only, which ends after it.
        let changed = unsafe { libc::syscall(libc::SYS_setresuid, unchanged, STRANGER, unchanged) };
        (changed == 0).then(|| (0..count).map(|_| connect(web)).collect())
    };
    thread::spawn(connect_all).join().unwrap()
}

/// Whether the server has closed it, with or without a word.
fn is_closed(mut socket: TcpStream) -> bool {
    let mut said = Vec::new();
    match socket.read_to_end(&mut said) {
        Ok(_) => true,
        Err(error) => is_end(&error),
    }
}

#[test]
fn another_user_takes_no_place_at_the_web_port() {
    let server = Running::start();
    let Some(strangers) = connect_as_stranger(server.web, PLACES + 100) else {
        eprintln!("skipped: only root can connect as another user");
        return;
    };
    assert!(get(server.web, "/healthz").contains("ok"), "they hold all places");
    assert!(strangers.into_iter().all(is_closed));
    let mut refused = connect_as_stranger(server.web, 1).unwrap().remove(0);
    refused.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut said = Vec::new();
    let read = refused.read_to_end(&mut said);
    assert!(read.is_ok() || read.is_err_and(|error| is_end(&error)));
    let said = String::from_utf8_lossy(&said);
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 403 Forbidden"), "{said}");
}

#[test]
fn who_says_nothing_at_the_web_port_loses_the_place() {
    let server = Running::with(Limits { handshake_ms: 200, ..Limits::default() });
    let silent: Vec<TcpStream> = (0..PLACES).map(|_| connect(server.web)).collect();
    assert!(get(server.web, "/healthz").contains("ok"), "it waited for a place until the silent ones lost theirs");
    assert!(silent.into_iter().all(is_closed));
}

#[test]
fn who_says_it_slowly_at_the_web_port_loses_the_place() {
    let server = Running::with(Limits { handshake_ms: 200, ..Limits::default() });
    let mut slow = connect(server.web);
    let head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ";
    slow.write_all(head).unwrap();
    slow.set_read_timeout(Some(std::time::Duration::from_millis(20))).unwrap();
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        assert!(std::time::Instant::now() < deadline, "a head that never ends is read for ever");
        if slow.write_all(b"x").is_err() {
            break;
        }
        match slow.read(&mut [0; 512]) {
            Ok(0) => break,
            // It may be told that it was too slow.
            Ok(_) => {}
            Err(error) if is_end(&error) => break,
            Err(_) => {}
        }
    }
}
