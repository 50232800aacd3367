//! Very many values, variables and waits: stored, listed, answered and deleted, all right, and the
//! server goes on telling its pauses. How long those are is measured by `make bench`, not here.
#![allow(clippy::unwrap_used)]

mod support;

use nws_proto::*;
use support::http::metrics;
use support::*;

const VALUES: u32 = 1_000_000;
const VARIABLES: u32 = 100_000;
const WAITING: u32 = 10_000;

fn listed(client: &mut Raw) -> Vec<VariableInfo> {
    match client.ask(&Request::ListVariables { workspace: WorkspaceHandle(1) }) {
        Reply::Variables(variables) => variables,
        other => panic!("expected variables, got {other:?}"),
    }
}

/// Waits until the server tells this number.
fn until(server: &Running, name: &str, number: u32) {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let told = metrics(server.web);
        assert!(told["nws_loop_pause_seconds_count"] > 0.0 && told["nws_loop_longest_pause_seconds"] > 0.0);
        if told[name] == f64::from(number) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{name} is {}, not {number}", told[name]);
    }
}

#[test]
fn a_million_values_are_stored_listed_and_deleted() {
    let server = Running::start();
    let mut client = server.client_at("w");
    let batch = 4000;
    for start in (0..VALUES).step_by(batch) {
        let items = (start..start + batch as u32).map(|number| item(number.to_le_bytes())).collect();
        client.done(&Request::Store { variable: VariableHandle(1), items });
    }
    assert_eq!(listed(&mut client)[0].values, u64::from(VALUES));
    until(&server, "nws_values", VALUES);
    assert_eq!(value(client.ask(&fetch())), 0u32.to_le_bytes());
    client.done(&Request::DeleteVariable { variable: VariableHandle(1) });
    client.done(&store("the next"));
    assert_eq!(listed(&mut client)[0].values, 1);
    until(&server, "nws_values", 1);
}

#[test]
fn a_hundred_thousand_variables_are_stored_listed_and_deleted() {
    let server = Running::start();
    let mut client = server.client_at("w");
    let mut old = server.old_at("w");
    let at_a_time = 1000;
    for start in (0..VARIABLES).step_by(at_a_time) {
        let mut requests = Vec::new();
        for number in start..start + at_a_time as u32 {
            let name = format!("variable {number:06}").into_bytes();
            let variable = VariableHandle(2);
            let bind = Request::Bind { variable, workspace: WorkspaceHandle(1), name };
            let store = Request::Store { variable, items: vec![item("v")] };
            for request in [bind, store, Request::Unbind { variable }] {
                requests.extend(request_frame(RequestId(1_000_000), &request));
            }
        }
        client.send_bytes(&requests);
        for _ in 0..3 * at_a_time {
            assert_eq!(client.reply(), (RequestId(1_000_000), Reply::Done));
        }
    }
    until(&server, "nws_variables", VARIABLES);
    // Replies keep their order although the listing is made in parts.
    let list = Request::ListVariables { workspace: WorkspaceHandle(1) };
    let ahead = [request_frame(RequestId(7), &list), request_frame(RequestId(8), &Request::Ping)].concat();
    client.send_bytes(&ahead);
    let (id, Reply::Variables(variables)) = client.reply() else { panic!("a listing comes first") };
    assert_eq!((id, client.reply()), (RequestId(7), (RequestId(8), Reply::Pong)));
    assert_eq!(variables.len(), VARIABLES as usize);
    let expected = |number: usize| format!("variable {number:06}").into_bytes();
    assert!(variables.iter().enumerate().all(|(number, info)| info.name == expected(number) && info.values == 1));
    let told = old.value(&["list vars", "w"]).value;
    let told = String::from_utf8(told).unwrap();
    assert!(told.split('\n').enumerate().all(|(number, line)| line == format!("variable {number:06}\t1\t0\t0\tfifo")));
    assert_eq!(told.split('\n').count(), VARIABLES as usize);
    let told = old.value(&["list wss"]).value;
    assert_eq!(told.iter().filter(|byte| **byte == b',').count(), VARIABLES as usize - 1);
    let Reply::Workspaces(workspaces) = client.ask(&Request::ListWorkspaces { name: None }) else { panic!() };
    assert_eq!(workspaces.iter().map(|info| &info.name[..]).collect::<Vec<_>>(), [&b"__default"[..], b"w"]);
    assert_eq!(workspaces.iter().map(|info| info.variables.len()).sum::<usize>(), VARIABLES as usize);
    let Reply::Workspaces(one) = client.ask(&Request::ListWorkspaces { name: Some(b"w".to_vec()) }) else { panic!() };
    assert_eq!(one[..], workspaces[1..]);
    assert!(one[0].variables.iter().enumerate().all(|(number, name)| *name == expected(number)));
    let line = old.value(&["list wss", "w"]).value;
    assert!(told.ends_with(&line) && line.ends_with(b"variable 099998,variable 099999\n"));
    assert!(line.starts_with(b" w\t\tFalse\t100000\tvariable 000000,variable 000001,"));
    // A listing whose workspace is deleted meanwhile ends, and so does one whose client has gone.
    let mut gone = server.client_at("w");
    let id = gone.send(&list);
    server.client_at("w").send(&list);
    client.done(&Request::DeleteWorkspace { name: b"w".to_vec() });
    let (answered, reply) = gone.reply();
    assert_eq!(answered, id);
    assert!(
        matches!(&reply, Reply::Variables(_))
            || matches!(&reply, Reply::Failed(fault) if fault.code == ErrorCode::WorkspaceGone),
        "{reply:?}"
    );
    let mut next = server.client_at("w");
    next.done(&store("the next"));
    assert_eq!(listed(&mut next).len(), 1);
    until(&server, "nws_variables", 1);
}

/// A few connections have all the waits here; `make bench` has a connection for each.
#[test]
fn ten_thousand_waits_are_listed_answered_and_ended_by_a_deletion() {
    let server = Running::start();
    let mut old = server.old_at("w");
    let mut clients: Vec<Raw> = (0..10).map(|_| server.client_at("w")).collect();
    let ids = || (0..WAITING / 10).map(|number| RequestId(100 + number));
    let mut all_wait = |clients: &mut Vec<Raw>| {
        for client in clients {
            let requests: Vec<u8> = ids().flat_map(|id| request_frame(id, &fetch())).collect();
            client.send_bytes(&requests);
        }
        until(&server, "nws_waiting_requests", WAITING);
        assert_eq!(old.listed("w", "x").unwrap().split_once('\t').unwrap().1.split('\t').next(), Some("10000"));
    };
    all_wait(&mut clients);
    let mut storer = server.client_at("w");
    let items = |first: u32| (first..first + WAITING / 4).map(|number| item(number.to_le_bytes())).collect();
    for first in (0..WAITING).step_by(WAITING as usize / 4) {
        storer.done(&Request::Store { variable: VariableHandle(1), items: items(first) });
    }
    let mut fetched = Vec::new();
    for client in &mut clients {
        for id in ids() {
            let (answered, reply) = client.reply();
            assert_eq!(answered, id);
            fetched.push(u32::from_le_bytes(value(reply).try_into().unwrap()));
        }
    }
    fetched.sort_unstable();
    assert!(fetched.into_iter().eq(0..WAITING));
    all_wait(&mut clients);
    // What is left of this is done beside the requests of others, of old clients too.
    assert!(old.status(&["delete var", "w", "x"]));
    for _ in 0..500 {
        old.store("w", "y", "v");
    }
    for client in &mut clients {
        for id in ids() {
            let (answered, reply) = client.reply();
            assert_eq!(answered, id);
            assert!(matches!(reply, Reply::Failed(fault) if fault.code == ErrorCode::VariableGone));
        }
    }
    until(&server, "nws_waiting_requests", 0);
}
