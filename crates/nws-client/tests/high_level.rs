//! What the operations of servers, workspaces and leases say to the server, and make of its answers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use nws_client::{Error, Server, Value, blocking};
use nws_proto::*;
use support::*;

/// The first workspace handle, the first variable handle.
const WS: WorkspaceHandle = WorkspaceHandle(1);

/// Answers `Open`.
fn opened(peer: &mut Peer) {
    let (id, request) = peer.request();
    assert!(matches!(request, Request::Open { workspace: WS, .. }), "{request:?}");
    peer.reply(id, &Reply::Opened { name: b"ws".to_vec(), owned: true });
}

fn bound(peer: &mut Peer, handle: u32, name: &[u8]) {
    let (id, request) = peer.request();
    assert_eq!(request, Request::Bind { variable: VariableHandle(handle), workspace: WS, name: name.to_vec() });
    peer.reply(id, &Reply::Done);
}

#[test]
fn a_name_is_bound_once_and_without_a_round_trip() {
    let (connection, script) = Peer::greeted(|mut peer| {
        opened(&mut peer);
        // Bind, store and store come before the first is answered.
        let (bind, request) = peer.request();
        assert_eq!(request, Request::Bind { variable: VariableHandle(1), workspace: WS, name: b"x".to_vec() });
        let ids = [peer.request(), peer.request()].map(|(id, request)| {
            assert!(matches!(request, Request::Store { variable: VariableHandle(1), .. }), "{request:?}");
            id
        });
        peer.reply(bind, &Reply::Done);
        ids.iter().for_each(|id| peer.reply(*id, &Reply::Done));
        bound(&mut peer, 2, b"y");
        let (id, request) = peer.request();
        assert!(matches!(request, Request::DeleteVariable { variable: VariableHandle(2) }), "{request:?}");
        peer.reply(id, &Reply::Done);
        assert_eq!(peer.request().1, Request::CloseWorkspace { workspace: WS });
    });
    let workspace = Server::from(connection).open("ws").wait().unwrap();
    let (first, second) = (workspace.store("x", 1), workspace.store("x", 2));
    first.wait().unwrap();
    second.wait().unwrap();
    workspace.delete_variable("y").wait().unwrap();
    drop(workspace);
    script.result();
}

#[test]
fn where_binding_fails_the_operation_says_why_and_the_next_one_binds_anew() {
    let (connection, script) = Peer::greeted(|mut peer| {
        opened(&mut peer);
        let (bind, _) = peer.request();
        let (stored, _) = peer.request();
        peer.reply(bind, &Reply::Failed(Fault::new(ErrorCode::NameTooLong, "too long")));
        peer.reply(stored, &Reply::Failed(Fault::new(ErrorCode::UnknownHandle, "what handle?")));
        bound(&mut peer, 2, b"long");
        let (stored, _) = peer.request();
        peer.reply(stored, &Reply::Done);
    });
    let workspace = Server::from(connection).open("ws").wait().unwrap();
    let error = workspace.store("long", 1).wait().unwrap_err();
    assert_eq!(error, Error::Fault(Fault::new(ErrorCode::NameTooLong, "too long")));
    assert_eq!(workspace.store("long", 1).wait(), Ok(()));
    script.result();
}

#[test]
fn the_oldest_of_many_names_is_unbound() {
    const NAMES: u32 = 4096;
    let (connection, script) = Peer::greeted(|mut peer| {
        opened(&mut peer);
        for n in 1..=NAMES + 1 {
            bound(&mut peer, n, n.to_string().as_bytes());
            if n > NAMES {
                assert_eq!(peer.request().1, Request::Unbind { variable: VariableHandle(1) });
            }
            let (id, _) = peer.request();
            peer.reply(id, &Reply::Done);
        }
        // The first is bound again, under a new handle.
        bound(&mut peer, NAMES + 2, b"1");
    });
    let workspace = Server::from(connection).open("ws").wait().unwrap();
    for n in 1..=NAMES + 1 {
        workspace.store(n.to_string(), 1).wait().unwrap();
    }
    let _call = workspace.store("1", 1);
    script.result();
}

#[test]
fn a_dropped_lease_is_released_and_a_finished_one_is_not() {
    let (connection, script) = Peer::greeted(|mut peer| {
        opened(&mut peer);
        bound(&mut peer, 1, b"tasks");
        let (id, _) = peer.request();
        peer.reply(id, &values(20, &[b"a", b"b", b"c"]));
        bound(&mut peer, 2, b"results");
        let (id, request) = peer.request();
        let Request::Finish { variable: VariableHandle(2), items } = request else { panic!("{request:?}") };
        assert_eq!(items[0].lease, LeaseId(20));
        peer.reply(id, &Reply::Finished { refused: vec![(0, ErrorCode::LeaseEnded)] });
        let release = |lease| Request::Release { leases: vec![LeaseId(lease)], died: false, recalled: false };
        let (id, request) = peer.request();
        assert_eq!(request, release(21));
        peer.reply(id, &Reply::Done);
        assert_eq!(peer.request().1, release(22));
        assert_eq!(peer.request().1, Request::CloseWorkspace { workspace: WS });
    });
    let workspace = blocking::Server::from(connection).open("ws").unwrap();
    let [first, second, third]: [blocking::Lease; 3] = workspace.fetch_leases("tasks", 3).unwrap().try_into().unwrap();
    assert_eq!(first.value(), &Value::from(b"a"));
    let error = first.finish(&workspace, "results", "done").unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::LeaseEnded));
    second.release().unwrap();
    drop(third);
    drop(workspace);
    script.result();
}

/// What no value can be made of.
struct Unwritable;

impl serde::Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _serializer: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("no bytes for this"))
    }
}

#[test]
fn a_finish_that_cannot_be_sent_releases_the_lease() {
    let (connection, script) = Peer::greeted(|mut peer| {
        opened(&mut peer);
        bound(&mut peer, 1, b"tasks");
        let (id, _) = peer.request();
        peer.reply(id, &values(20, &[b"a"]));
        assert!(matches!(peer.request().1, Request::Release { .. }));
    });
    let workspace = Server::from(connection).open("ws").wait().unwrap();
    let lease = workspace.fetch_lease("tasks").wait().unwrap();
    let error = lease.finish(&workspace, "results", Unwritable).wait().unwrap_err();
    assert!(error.to_string().contains("no bytes for this"), "{error}");
    script.result();
}

#[test]
fn leases_of_a_dropped_call_are_released() {
    let (connection, script) = Peer::greeted(|mut peer| {
        opened(&mut peer);
        bound(&mut peer, 1, b"tasks");
        let (fetch, _) = peer.request();
        assert_eq!(peer.request().1, Request::Cancel { target: fetch });
        peer.reply(fetch, &values(20, &[b"a"]));
        let mut release = peer.request().1;
        if release == (Request::CloseWorkspace { workspace: WS }) {
            release = peer.request().1;
        }
        assert_eq!(release, Request::Release { leases: vec![LeaseId(20)], died: false, recalled: false });
    });
    let server = Server::from(connection);
    let workspace = server.open("ws").wait().unwrap();
    drop(workspace.fetch_lease("tasks"));
    drop(workspace);
    script.result();
}

#[test]
fn a_value_that_comes_for_a_dropped_fetch_is_kept_for_the_next_one() {
    let (connection, script) = Peer::greeted(|mut peer| {
        opened(&mut peer);
        bound(&mut peer, 1, b"x");
        let (fetch, _) = peer.request();
        assert_eq!(peer.request().1, Request::Cancel { target: fetch });
        // It was on its way.
        peer.reply(fetch, &values(0, &[b"a", b"b"]));
        let (ping, _) = peer.request();
        peer.reply(ping, &Reply::Pong);
        // Nothing is asked of the server for the two that are kept.
        let (fetch, request) = peer.request();
        assert!(matches!(request, Request::Retrieve(_)), "{request:?}");
        peer.reply(fetch, &values(0, &[b"c"]));
    });
    let server = Server::from(connection);
    let workspace = server.open("ws").wait().unwrap();
    drop(workspace.fetch_many::<Value>("x", 2));
    server.ping().wait().unwrap();
    // Also where it is dropped again, and whoever takes next.
    drop(workspace.fetch::<Value>("x"));
    let mut fetched: Vec<Value> = vec![smol::block_on(workspace.ifetch("x").next()).unwrap().unwrap()];
    fetched.extend((0..2).map(|_| workspace.fetch::<Value>("x").wait().unwrap()));
    fetched.sort_unstable_by_key(|value| value.bytes.clone());
    assert_eq!(fetched, [Value::from(b"a"), Value::from(b"b"), Value::from(b"c")]);
    script.result();
}

#[test]
fn a_value_that_came_and_was_not_taken_is_kept_as_well() {
    let (connection, script) = Peer::greeted(|mut peer| {
        opened(&mut peer);
        bound(&mut peer, 1, b"x");
        let (fetch, _) = peer.request();
        peer.reply(fetch, &values(0, &[b"a"]));
        let (ping, _) = peer.request();
        peer.reply(ping, &Reply::Pong);
    });
    let server = Server::from(connection);
    let workspace = server.open("ws").wait().unwrap();
    let fetch = workspace.fetch::<Value>("x");
    server.ping().wait().unwrap();
    drop(fetch);
    assert_eq!(workspace.fetch::<Value>("x").wait(), Ok(Value::from(b"a")));
    script.result();
}

#[test]
fn an_open_that_nobody_waits_for_leaves_no_handle_behind() {
    let (connection, script) = Peer::greeted(|mut peer| {
        peer.request();
        assert_eq!(peer.request().1, Request::CloseWorkspace { workspace: WS });
    });
    drop(Server::from(connection).open("ws"));
    script.result();
}

#[test]
fn an_answer_of_another_request_is_a_defect_of_the_server() {
    let (connection, script) = Peer::greeted(|mut peer| {
        let (id, _) = peer.request();
        peer.reply(id, &Reply::Pong);
    });
    let error = Server::from(connection).open("ws").wait().unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::Internal));
    script.result();
}

#[test]
fn storing_nothing_is_done_at_once() {
    let (connection, script) = Peer::greeted(|mut peer| {
        opened(&mut peer);
        peer.request().1
    });
    let workspace = Server::from(connection).open("ws").wait().unwrap();
    assert_eq!(workspace.store_many("x", Vec::<Value>::new()).wait(), Ok(()));
    let _ping = workspace.list_variables();
    assert_eq!(script.result(), Request::ListVariables { workspace: WS });
}
