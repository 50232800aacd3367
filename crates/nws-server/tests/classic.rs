//! Old clients among themselves: waiting, deletion, owners' ends, requests sent ahead.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Instant;

use support::old::{Got, Old, request};
use support::*;

const BLANK: &str = "                    ";

/// Waits until `list vars` says this of the variable.
fn until_listed(client: &mut Old, variable: &str, expected: &str) {
    let deadline = Instant::now() + PATIENCE;
    while client.listed("w", variable).as_deref() != Some(expected) {
        assert!(Instant::now() < deadline, "{:?} is not {expected:?}", client.listed("w", variable));
    }
}

fn failed() -> Got {
    Got { done: false, descriptor: 0, id: BLANK.to_owned(), index: 0, value: vec![] }
}

#[test]
fn finders_are_answered_and_then_the_fetcher_that_has_waited_longest() {
    let server = Running::start();
    let mut storer = server.old_at("w");
    let [mut first, mut second, mut finder] = [(); 3].map(|()| server.old_at("w"));
    for (client, operation, waiting) in [
        (&mut first, "fetch", "0\t1\t0\tunknown"),
        (&mut second, "fetch", "0\t2\t0\tunknown"),
        (&mut finder, "find", "0\t2\t1\tunknown"),
    ] {
        client.send(&[operation, "w", "x"]);
        until_listed(&mut storer, "x", waiting);
    }
    storer.store("w", "x", "one");
    assert_eq!(finder.receive_value().value, b"one");
    assert_eq!(first.receive_value().value, b"one");
    assert_eq!(storer.listed("w", "x").unwrap(), "0\t1\t0\tfifo");
    storer.store("w", "x", "two");
    assert_eq!(second.receive_value().value, b"two");
    storer.store("w", "x", "three");
    assert_eq!(storer.listed("w", "x").unwrap(), "1\t0\t0\tfifo");
}

#[test]
fn who_waits_fails_when_the_variable_or_its_workspace_is_deleted() {
    let server = Running::start();
    let mut other = server.old_at("w");
    let retrievals: [&[&str]; 4] = [
        &["fetch", "w", "x"],
        &["find", "w", "x"],
        &["ifetch", "w", "x", BLANK, "00000000000000000000"],
        &["ifind", "w", "x", BLANK, "00000000000000000000"],
    ];
    for (retrieval, delete) in retrievals.iter().flat_map(|ask| [(ask, "delete var"), (ask, "delete ws")]) {
        let mut waiting = server.old_at("w");
        assert!(other.status(&["use ws", "w", "", "no"]));
        waiting.send(retrieval);
        let line = if retrieval[0].ends_with("fetch") { "0\t1\t0\tunknown" } else { "0\t0\t1\tunknown" };
        until_listed(&mut other, "x", line);
        let arguments = if delete == "delete var" { vec![delete, "w", "x"] } else { vec![delete, "w"] };
        assert!(other.status(&arguments));
        assert_eq!(waiting.receive_value(), failed(), "{retrieval:?} {delete}");
        // It can go on.
        assert!(waiting.status(&["use ws", "w", "", "no"]));
    }
}

#[test]
fn who_waits_fails_when_the_owner_ends() {
    let server = Running::start();
    let mut owner = server.old();
    assert!(owner.status(&["open ws", "w", "4711", "no"]));
    let mut waiting = server.old_at("w");
    waiting.send(&["fetch", "w", "x"]);
    until_listed(&mut owner, "x", "0\t1\t0\tunknown");
    drop(owner);
    assert_eq!(waiting.receive_value(), failed());
    assert_eq!(waiting.value(&["list wss", "w"]).value, b"\n");
}

#[test]
fn an_owner_is_told_by_address_and_label() {
    let server = Running::start();
    let (mut owner, mut other) = (server.old(), server.old());
    assert!(owner.status(&["open ws", "w", "4711", "yes"]));
    assert!(owner.status(&["open ws", "v", "4712", "no"]));
    assert!(other.status(&["open ws", "w", "9", "no"]));
    other.store("w", "b", "1");
    other.store("w", "a", "1");
    let address = owner.address();
    let line = format!(">w\t{address} (4711)\tTrue\t2\ta,b\n");
    assert_eq!(String::from_utf8(owner.value(&["list wss", "w"]).value).unwrap(), line);
    let all = format!(
        " __default\t[system]\tTrue\t0\t\n v\t{address} (4712)\tFalse\t0\t\n w\t{address} (4711)\tTrue\t2\ta,b\n"
    );
    assert_eq!(String::from_utf8(other.value(&["list wss"]).value).unwrap(), all);
    drop(owner);
    let left = format!(" __default\t[system]\tTrue\t0\t\n w\t{address} (4711)\tTrue\t2\ta,b\n");
    let deadline = Instant::now() + PATIENCE;
    while String::from_utf8(other.value(&["list wss"]).value).unwrap() != left {
        assert!(Instant::now() < deadline, "what is persistent stays, the rest goes");
    }
    assert!(other.status(&["open ws", "w", "9", "no"]));
    let line = left.lines().last().unwrap();
    assert_eq!(
        String::from_utf8(other.value(&["list wss", "w"]).value).unwrap(),
        format!("{line}\n"),
        "no later owner"
    );
}

#[test]
fn a_dead_clients_wait_gets_nothing() {
    let server = Running::start();
    let mut alive = server.old_at("w");
    for _ in 0..30 {
        let mut dead = server.old_at("w");
        dead.send(&["fetch", "w", "x"]);
        drop(dead);
        alive.store("w", "x", "kept");
        // The store may have been executed before the server saw the end; then the value comes back.
        assert_eq!(alive.value(&["fetch", "w", "x"]).value, b"kept");
    }
}

#[test]
fn a_value_that_its_fetcher_never_took_goes_back_to_its_place() {
    let server = Running::start();
    let mut other = server.old_at("w");
    // More than any socket buffer takes.
    let large = vec![5; 64 << 20];
    other.store("w", "x", &large);
    other.store("w", "x", "behind it");
    let mut dead = server.old_at("w");
    dead.send(&["fetch", "w", "x"]);
    // The server has begun to send it.
    dead.receive(1000);
    drop(dead);
    let deadline = Instant::now() + PATIENCE;
    while other.listed("w", "x").as_deref() != Some("2\t0\t0\tfifo") {
        assert!(Instant::now() < deadline, "the server sees the end");
    }
    assert!(other.value(&["fetch", "w", "x"]).value == large);
}

#[test]
fn requests_sent_ahead_are_answered_in_turn() {
    let server = Running::start();
    let mut client = server.old_at("w");
    let mut ahead = Vec::new();
    for number in 0..2000 {
        ahead.extend(request(&["store", "w", "x", "16777217", &format!("{number}")]));
        ahead.extend(request(&["fetch", "w", "x"]));
    }
    client.send_bytes(&ahead);
    for number in 0..2000 {
        assert!(client.receive_status());
        assert_eq!(client.receive_value().value, format!("{number}").as_bytes());
    }
}

#[test]
fn a_request_that_comes_while_a_retrieval_waits_closes_the_connection() {
    let server = Running::start();
    let mut other = server.old_at("w");
    let mut together = server.old_at("w");
    together.send_bytes(&[request(&["fetch", "w", "x"]), request(&["list wss"])].concat());
    together.ended();
    let mut later = server.old_at("w");
    later.send(&["fetch", "w", "x"]);
    until_listed(&mut other, "x", "0\t1\t0\tunknown");
    later.send(&["list wss"]);
    later.ended();
    until_listed(&mut other, "x", "0\t0\t0\tunknown");
    other.store("w", "x", "kept");
    assert_eq!(other.value(&["fetch", "w", "x"]).value, b"kept", "nobody waits any more");
}

#[test]
fn what_was_answered_before_a_bad_request_arrives() {
    let server = Running::start();
    let mut client = server.old_at("w");
    client.send_bytes(&[request(&["declare var", "w", "x", "lifo"]), b"garbage".repeat(1000)].concat());
    assert!(client.receive_status());
    client.ended();
}

#[test]
fn a_name_means_the_instance_that_was_opened() {
    let server = Running::start();
    let [mut client, mut other] = [(); 2].map(|()| server.old_at("w"));
    client.store("w", "x", "1");
    assert!(other.status(&["delete ws", "w"]));
    assert!(!other.status(&["delete ws", "w"]));
    assert!(other.status(&["use ws", "w", "", "no"]));
    assert!(!client.status(&["declare var", "w", "x", "fifo"]));
    assert!(!client.status(&["delete var", "w", "x"]));
    assert_eq!(client.value(&["list vars", "w"]), failed());
    assert_eq!(client.value(&["find", "w", "x"]), failed());
    assert!(!client.status(&["store", "w", "x", "1", "v"]));
    assert!(client.status(&["use ws", "w", "", "no", "no"]));
    client.store("w", "x", "2");
    assert_eq!(other.value(&["find", "w", "x"]).value, b"2");
}

#[test]
fn an_iterator_over_single_sees_each_new_value() {
    let server = Running::start();
    let [mut client, mut other] = [(); 2].map(|()| server.old_at("w"));
    assert!(client.status(&["declare var", "w", "x", "single"]));
    other.store("w", "x", "0");
    let (mut id, mut index) = (BLANK.to_owned(), "0".repeat(20));
    for number in 0..20 {
        let got = client.value(&["ifind", "w", "x", &id, &index]);
        assert_eq!((got.value, got.index), (format!("{number}").into_bytes(), number));
        (id, index) = (got.id, format!("{:020}", got.index));
        assert_eq!(client.value(&["ifindTry", "w", "x", &id, &index]), failed());
        client.send(&["ifind", "w", "x", &id, &index]);
        until_listed(&mut other, "x", "1\t0\t1\tsingle");
        other.store("w", "x", format!("{}", number + 1));
        assert_eq!(client.receive_value().value, format!("{}", number + 1).as_bytes());
    }
    assert!(other.status(&["delete var", "w", "x"]));
    other.store("w", "x", "anew");
    assert_eq!(client.value(&["ifind", "w", "x", &id, &index]), failed(), "another variable");
}

#[test]
fn opening_again_never_uses_up_what_a_connection_may_open() {
    let server = Running::start();
    let mut client = server.old();
    client.send_bytes(&request(&["open ws", "w", "", "no"]).repeat(5000));
    for round in 0..5000 {
        assert!(client.receive_status(), "round {round}");
    }
    assert!(client.value(&["list wss", "w"]).value.starts_with(b">w\t"), "it owns it still");
}

#[test]
fn deleted_workspaces_never_use_up_what_a_connection_may_open() {
    let server = Running::start();
    let [mut client, mut other] = [(); 2].map(|()| server.old());
    for round in 0..6 {
        let mut names = Vec::new();
        for _ in 0..2000 {
            let made = client.value(&["mktemp ws"]);
            assert!(made.done, "round {round}");
            names.push(made.value);
        }
        for (place, name) in names.iter().enumerate() {
            let deleter = if place % 2 == 0 { &mut client } else { &mut other };
            assert!(deleter.status(&[b"delete ws", &name[..]]));
        }
    }
}
