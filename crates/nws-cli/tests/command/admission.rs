//! Who is let in, and what the log tells of it.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::process::Stdio;

use nws_client::blocking::Server;
use nws_client::{ConnectOptions, Endpoint, Value};

use crate::home::{Home, PATIENCE, output};

/// An address of this machine that is not loopback, which looks to a server like another machine.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: the kernel chooses the address that it would send from.
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

/// What an old client hears when it says hello.
fn greeted(address: SocketAddr) -> Vec<u8> {
    let mut client = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(b"1112").unwrap();
    let mut said = [0; 4];
    match client.read_exact(&mut said) {
        Ok(()) => said.to_vec(),
        Err(_) => Vec::new(),
    }
}

/// A connection that was let in as far as that it may prove itself.
fn challenged(address: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(&nws_proto::GREETING).unwrap();
    client.read_exact(&mut [0; 12]).unwrap();
    client
}

fn log(home: &Home) -> String {
    std::fs::read_to_string(home.path().join(".local/state/nws/server-any.log")).unwrap()
}

/// Waits until the log says so.
fn until_logged(home: &Home, holds: impl Fn(&str) -> bool) -> String {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let log = log(home);
        if holds(&log) {
            return log;
        }
        assert!(std::time::Instant::now() < deadline, "{log}");
    }
}

#[test]
fn old_clients_of_other_machines_come_in_only_from_where_the_setting_allows() {
    let Some(address) = own_address() else {
        eprintln!("skipped: this machine has no address but loopback");
        return;
    };
    let open = ["--interface", "0.0.0.0", "--insecure"];
    let (mine, other) = (address.to_string(), "198.51.100.0/24");
    for (networks, welcomed) in [(None, false), (Some(other), false), (Some(mine.as_str()), true)] {
        let from = networks.map(|networks| ["--classic-from", networks]);
        let arguments: Vec<&str> = open.into_iter().chain(from.into_iter().flatten()).collect();
        let home = Home::served_with(&arguments);
        let port = home.address().port();
        let said = greeted(SocketAddr::new(address, port));
        assert_eq!(said, if welcomed { &b"2223"[..] } else { b"" }, "{networks:?}");
        assert_eq!(greeted(SocketAddr::new([127, 0, 0, 1].into(), port)), b"2223", "the same user of this machine");
        if !welcomed {
            let log = until_logged(&home, |log| log.contains("refused a classic client"));
            assert!(log.contains(&mine) && log.contains("only where the setting classic-from names them"), "{log}");
        }
        if networks.is_some() {
            assert!(log(&home).contains("needs no token (setting classic-from)"), "it is said aloud");
        }
    }
}

#[test]
fn networks_of_old_clients_are_of_no_use_where_only_this_machine_can_connect() {
    let home = Home::served_with(&["--classic-from", "10.0.0.0/8,192.168.1.5"]);
    assert!(log(&home).contains("the setting classic-from is of no use"), "{}", log(&home));
    let ran = home.nws("serve --classic-from 10.0.0.1/8");
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("--classic-from: expected addresses and networks such as 10.0.0.0/8"), "{ran:?}");
}

/// A server that may open 386 descriptors, and has these settings as well.
fn short_of_descriptors(settings: &str) -> Home {
    let home = Home::new();
    // A shell can lower the limit for good.
    let start = &format!("ulimit -n 386 && exec \"$0\" start --port 0 --web-port 0 {settings}");
    let program = env!("CARGO_BIN_EXE_nws");
    let mut shell = std::process::Command::new("bash");
    shell
        .args(["-c", start, program])
        .env_clear()
        .env("HOME", home.path())
        .env("NWS_RUNTIME_DIR", home.path().join("run"));
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let started = output(shell.spawn().unwrap());
    assert_eq!(started.status.code(), Some(0), "{}", String::from_utf8_lossy(&started.stderr));
    home
}

#[test]
fn fewer_descriptors_than_connections_lower_that_limit_and_the_server_says_so() {
    let home = short_of_descriptors("");
    let log = log(&home);
    assert!(log.contains("expected room for 12000 connections (setting connections)"), "{log}");
    assert!(log.contains("the limit on descriptors, 386, leaves room for 216"), "{log}");
    let clients: Vec<TcpStream> = (0..195).map(|_| challenged(home.address())).collect();
    let mut surplus = TcpStream::connect(home.address()).unwrap();
    surplus.set_read_timeout(Some(PATIENCE)).unwrap();
    surplus.write_all(&nws_proto::GREETING).unwrap();
    let mut said = Vec::new();
    surplus.read_to_end(&mut said).unwrap();
    drop(clients);
    let told = "at most 195 connections by TCP: of 216 (setting connections) a tenth is kept for the Unix socket; close \
                some, or raise the limit on descriptors (ulimit -n), which leaves room for no more";
    assert!(String::from_utf8_lossy(&said).contains(told), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn long_values_and_connections_take_no_descriptors_from_each_other() {
    let home = short_of_descriptors("--spill-size 1MiB --values-memory 4MiB");
    let endpoint = Endpoint::Unix(home.socket());
    let workspace = Server::connect(&endpoint, ConnectOptions::default()).unwrap().open("w").unwrap();
    let long = || Value::raw(vec![7; (1 << 20) + 1]);
    let errors: Vec<_> = (0..76).map(|_| workspace.store("x", long())).filter_map(Result::err).collect();
    // Three are in memory, when there are no descriptors left.
    assert_eq!(errors.len(), 1, "{errors:?}");
    let told = "at most 72 long values, got one more: each takes one of the 386 descriptors (ulimit -n), of which the \
                others are for connections (setting connections)";
    assert!(errors[0].to_string().contains(told), "{}", errors[0]);
    let clients: Vec<TcpStream> = (0..190).map(|_| challenged(home.address())).collect();
    assert_eq!(workspace.fetch::<Value>("x").unwrap(), long());
    workspace.store("x", long()).unwrap();
    drop(clients);
}

#[test]
fn connections_and_sessions_are_told_to_who_looks_for_a_fault() {
    let home = Home::served_with(&["--log-level", "debug", "--log-format", "json"]);
    home.nws("store x a").is(0, "", "");
    greeted(home.address());
    let text = until_logged(&home, |log| log.matches("a connection has ended").count() >= 2);
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said = |message: &str| lines.iter().filter(|line| line["message"] == message).collect::<Vec<_>>();
    assert!(said("a client has connected").len() >= 2);
    let begun = said("a session has begun");
    assert!(begun.iter().any(|line| line["protocol"] == "own" && line["peer"] == "local"), "{begun:?}");
    assert!(begun.iter().any(|line| line["protocol"] == "classic"), "{begun:?}");
    for ended in said("a session has ended") {
        // A client that ends at once may be seen by the reply that it no longer waits for.
        let why = ended["why"].as_str().unwrap_or_default();
        assert!(["it hung up", "it has gone while it was sent to"].contains(&why), "{ended}");
        assert_eq!(ended["level"], "debug");
        assert!(begun.iter().any(|line| line["session"] == ended["session"]));
    }
    let quiet = Home::served_with(&[]);
    quiet.nws("store x a").is(0, "", "");
    assert!(!log(&quiet).contains("session"), "the default says what matters");
}
