//! Values on disk, for clients of the classic protocol.
#![allow(clippy::unwrap_used)]

mod support;

use nws_proto::*;
use nws_server::Limits;
use support::long::*;
use support::old::request;
use support::*;

const MIB: usize = 1 << 20;

fn spilling() -> Running {
    Running::with(Limits { spill_bytes: 2 * MIB as u64, ..Limits::default() })
}

#[test]
fn a_long_value_goes_to_disk_and_is_streamed_back() {
    let server = spilling();
    let (mut storer, mut taker) = (server.old_at("w"), server.old_at("w"));
    for salt in 0..3 {
        storer.store("w", "x", pattern(salt, 5 * MIB + salt as usize));
    }
    storer.store("w", "x", "short");
    wait_for_disk_bytes(&server, 15 * MIB as u64 + 3);
    assert!(taker.value(&["find", "w", "x"]).value == pattern(0, 5 * MIB));
    for salt in 0..3 {
        let got = taker.value(&["fetch", "w", "x"]);
        assert!(got.done && got.index == u64::from(salt) && got.value == pattern(salt, 5 * MIB + salt as usize));
    }
    assert_eq!(taker.value(&["fetch", "w", "x"]).value, b"short");
    wait_for_disk_bytes(&server, 0);
}

#[test]
fn old_and_new_clients_exchange_long_values() {
    let server = spilling();
    let (mut old, mut new) = (server.old_at("w"), server.client_at("w"));
    new.done(&store(pattern(1, 3 * MIB)));
    assert!(old.value(&["fetch", "w", "x"]).value == pattern(1, 3 * MIB));
    old.store("w", "x", pattern(2, 3 * MIB));
    let fetched = new.ask_for_long(&fetch());
    assert!(new.read(&fetched) == pattern(2, 3 * MIB));
    // What waits gets it as well.
    old.send(&["fetch", "w", "y"]);
    new.bind_as(2, "y");
    let items = vec![item(pattern(3, 4 * MIB))];
    new.done(&Request::Store { variable: VariableHandle(2), items });
    assert!(old.receive_value().value == pattern(3, 4 * MIB));
}

#[test]
fn a_half_sent_value_is_never_visible_and_its_space_comes_back() {
    let server = spilling();
    let (mut half, mut other) = (server.old_at("w"), server.old_at("w"));
    let whole = request(&[&b"store"[..], b"w", b"x", b"16777217", &vec![7; 3 * MIB]]);
    half.send_bytes(&whole[..whole.len() - 1]);
    wait_for_disk_bytes(&server, 3 * MIB as u64 - 1);
    assert_eq!(other.listed("w", "x"), None);
    drop(half);
    wait_for_disk_bytes(&server, 0);
    assert_eq!(other.listed("w", "x"), None);
}

#[test]
fn a_fetcher_that_ends_in_the_middle_gives_the_value_back_to_its_place() {
    let server = spilling();
    let mut other = server.old_at("w");
    other.store("w", "x", pattern(0, 40 * MIB));
    other.store("w", "x", "second");
    let mut fetcher = server.old_at("w");
    fetcher.send(&["fetch", "w", "x"]);
    fetcher.receive(10 * MIB);
    assert_eq!(other.listed("w", "x").unwrap(), "1\t0\t0\tfifo");
    drop(fetcher);
    while other.listed("w", "x").unwrap() != "2\t0\t0\tfifo" {}
    let got = other.value(&["fetch", "w", "x"]);
    assert!(got.index == 0 && got.value == pattern(0, 40 * MIB));
    assert_eq!(other.value(&["fetch", "w", "x"]).value, b"second");
}

#[test]
fn a_value_that_is_deleted_while_it_is_read_is_read_to_its_end() {
    let server = spilling();
    let (mut reader, mut other) = (server.old_at("w"), server.old_at("w"));
    other.store("w", "x", pattern(0, 40 * MIB));
    reader.send(&["find", "w", "x"]);
    let head = reader.receive(4 + 20 + 20 + 20 + 20);
    assert!(head.ends_with(format!("{:020}", 40 * MIB).as_bytes()));
    assert!(other.status(&["delete var", "w", "x"]));
    assert!(reader.receive(40 * MIB) == pattern(0, 40 * MIB));
    wait_for_disk_bytes(&server, 0);
}

#[test]
fn a_disk_that_is_full_fails_the_store_and_nothing_else() {
    let limits = Limits {
        spill_bytes: MIB as u64,
        values_bytes: 2 * MIB as u64,
        values_disk_bytes: Some(4 * MIB as u64),
        ..Limits::default()
    };
    let server = Running::with(limits);
    let mut client = server.old_at("w");
    client.store("w", "x", pattern(0, 3 * MIB));
    let long = vec![7; 3 * MIB];
    assert!(!client.status(&[&b"store"[..], b"w", b"x", b"16777217", &long]), "it is seen by its length");
    client.store("w", "x", "lives on");
    std::fs::remove_dir_all(server.folder()).unwrap();
    assert!(client.value(&["fetch", "w", "x"]).value == pattern(0, 3 * MIB), "its file is open");
    wait_for_disk_bytes(&server, 0);
    assert!(!client.status(&[&b"store"[..], b"w", b"x", b"16777217", &long]), "it is seen when it is written");
    assert_eq!(client.value(&["fetch", "w", "x"]).value, b"lives on");
}

#[test]
fn a_store_with_a_variables_id_is_held_against_it_also_when_it_is_long() {
    let server = spilling();
    let mut client = server.old_at("w");
    client.store("w", "x", "first");
    let id = client.value(&["find", "w", "x"]).id;
    let long = vec![7; 3 * MIB];
    assert!(!client.status(&[&b"store"[..], b"w", b"x", b"16777217", &long, b"5"]));
    wait_for_disk_bytes(&server, 0);
    assert!(client.status(&[&b"store"[..], b"w", b"x", b"16777217", &long, id.as_bytes()]));
    assert_eq!(client.listed("w", "x").unwrap(), "2\t0\t0\tfifo");
}
