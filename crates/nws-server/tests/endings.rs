//! How sessions and the server end, and what becomes of what they held.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use nws_proto::*;
use nws_server::Limits;
use support::*;

#[test]
fn a_dead_clients_wait_gets_nothing() {
    let server = Running::start();
    let mut alive = server.client_at("w");
    for _ in 0..50 {
        let mut dead = server.client_at("w");
        dead.send(&fetch());
        // Its answer says that the fetch before it waits.
        assert_eq!(dead.ask(&Request::Ping), Reply::Pong);
        drop(dead);
        alive.done(&store("kept"));
        // The store may have been executed before the server saw the end; then the value comes back.
        assert_eq!(value(alive.ask(&fetch())), b"kept");
    }
}

#[test]
fn leases_return_when_their_session_ends() {
    let server = Running::start();
    let mut holder = server.client_at("w");
    let mut other = server.client_at("w");
    let items = vec![item("a"), item("b"), item("c")];
    other.done(&Request::Store { variable: VariableHandle(1), items });
    assert_eq!(values(holder.ask(&fetch_lease(2))).1, [b"a", b"b"]);
    drop(holder);
    let deadline = Instant::now() + PATIENCE;
    while leased(&mut other) > 0 {
        assert!(Instant::now() < deadline, "the server sees the end");
    }
    for expected in [b"a", b"b", b"c"] {
        assert_eq!(value(other.ask(&fetch())), expected);
    }
}

fn leased(client: &mut Raw) -> u64 {
    let Reply::Variables(listed) = client.ask(&Request::ListVariables { workspace: WorkspaceHandle(1) }) else {
        panic!()
    };
    listed[0].leased
}

#[test]
fn a_guardian_adopts_the_leases() {
    let server = Running::start();
    let mut guardian = server.client_at("w");
    let mut ward = Raw::tcp(server.tcp).welcome(Ask { guardian: guardian.session, ..Ask::default() });
    ward.bind("w");
    ward.done(&store("task"));
    let (lease, _) = values(ward.ask(&fetch_lease(1)));
    let adopt = guardian.send(&Request::Adopt { wait: Wait::Forever });
    let session = ward.session;
    drop(ward);
    let (answered, reply) = guardian.reply();
    assert_eq!(answered, adopt);
    let orphan = OrphanedLease { lease: LeaseId(lease), index: Index(0), deaths: 0 };
    assert_eq!(reply, Reply::Adopted(Adopted { session, leases: vec![orphan] }));
    guardian.done(&Request::Release { leases: vec![LeaseId(lease)], died: true, recalled: false });
    let Reply::Values { values, .. } = guardian.ask(&fetch_lease(1)) else { panic!() };
    assert_eq!(values[0].deaths, 1);
}

#[test]
fn an_owned_workspace_goes_with_its_owner_and_who_waits_in_it_is_told() {
    let server = Running::start();
    let mut owner = server.client();
    let mode = OpenMode::Own { persistent: false };
    owner.ask(&Request::Open { workspace: WorkspaceHandle(1), name: b"w".to_vec(), mode, create: true });
    let mut other = server.client_at("w");
    let waiting = other.send(&fetch());
    assert_eq!(other.ask(&Request::Ping), Reply::Pong);
    drop(owner);
    let (answered, reply) = other.reply();
    assert_eq!(answered, waiting);
    assert!(matches!(&reply, Reply::Failed(fault) if fault.code == ErrorCode::WorkspaceGone), "{reply:?}");
}

#[test]
fn a_session_that_is_silent_is_pinged_and_then_ended() {
    let server = Running::start();
    let start = Instant::now();
    let mut silent = Raw::tcp(server.tcp).welcome(Ask { silence_ms: 400, ..Ask::default() });
    let (header, _) = silent.receive_frame().unwrap();
    assert_eq!((header.opcode, header.request), (Opcode::Ping.to_wire(), RequestId(0)));
    assert!(start.elapsed() >= Duration::from_millis(100), "a quarter of the silence");
    let fault = silent.goodbye();
    assert_eq!(fault.code, ErrorCode::Silent);
    assert!(start.elapsed() >= Duration::from_millis(400));
    assert!(fault.message.contains("400 ms"), "{fault}");
}

#[test]
fn a_value_that_its_fetcher_never_took_goes_back_to_its_place() {
    let server = Running::start();
    let mut other = server.client_at("w");
    // More than any socket buffer takes.
    let large = vec![5; 64 << 20];
    for waits in [false, true] {
        let mut dead = server.client_at("w");
        if waits {
            dead.send(&fetch());
            assert_eq!(dead.ask(&Request::Ping), Reply::Pong);
            other.done(&store(large.clone()));
        } else {
            other.done(&store(large.clone()));
            dead.send(&fetch());
            // The server has begun to send it.
            dead.receive_some(1000);
        }
        assert_eq!(values(other.ask(&fetch_try())).1.len(), 0, "it is on its way to another");
        other.done(&store("behind it"));
        assert_eq!(value(other.ask(&fetch())), b"behind it");
        drop(dead);
        assert!(value(other.ask(&fetch())) == large);
    }
}

#[test]
fn a_shutdown_is_told_to_everybody_and_leaves_no_socket() {
    let server = Running::start();
    let (mut tcp, unix) = (server.client_at("w"), server.unix_client());
    tcp.send(&fetch());
    assert_eq!(tcp.ask(&Request::Ping), Reply::Pong);
    let unproved = Raw::tcp(server.tcp);
    server.shutdown();
    assert_eq!(tcp.goodbye().code, ErrorCode::ShuttingDown);
    assert_eq!(unix.goodbye().code, ErrorCode::ShuttingDown);
    unproved.ended();
    server.wait().unwrap();
    assert!(!server.unix.exists());
    assert!(std::net::TcpStream::connect(server.tcp).is_err());
    assert!(std::net::TcpStream::connect(server.web).is_err());
}

#[test]
fn a_shutdown_does_not_wait_for_who_does_not_listen() {
    let server = Running::with(Limits { goodbye_ms: 100, ..Limits::default() });
    let mut deaf = server.client_at("w");
    deaf.done(&store(vec![1; 32 << 20]));
    deaf.send(&Request::Retrieve(find()));
    server.shutdown();
    server.wait().unwrap();
}
