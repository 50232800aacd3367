//! Old clients and those of our own protocol on the same variables.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::Bytes;
use nws_proto::*;
use support::*;

const BLANK: &str = "                    ";
const FIRST: &str = "00000000000000000000";

fn store_item(descriptor: Descriptor, value: &[u8]) -> Request<Bytes> {
    let items = vec![Item { descriptor, value: Bytes::copy_from_slice(value) }];
    Request::Store { variable: VariableHandle(1), items }
}

fn only_grant(reply: Reply<Bytes>) -> Grant<Bytes> {
    let Reply::Values { mut values, .. } = reply else { panic!("expected values, got {reply:?}") };
    values.pop().unwrap()
}

#[test]
fn values_pass_both_ways_with_their_descriptors() {
    let server = Running::start();
    let (mut old, mut new) = (server.old_at("w"), server.client_at("w"));
    let descriptors = [0, 0x0100_0001, 0x0100_0003, 0x0300_0000, 0x0a00_0003, 0x0100_0005, u32::MAX].map(Descriptor);
    for descriptor in descriptors {
        for value in [&b""[..], b"short", &[9; 100_000]] {
            let digits = format!("{:020}", descriptor.0);
            assert!(old.status(&[&b"store"[..], b"w", b"x", digits.as_bytes(), value]));
            let item = only_grant(new.ask(&fetch())).item;
            assert_eq!((item.descriptor, &item.value[..]), (descriptor, value));
            new.done(&store_item(descriptor, value));
            let got = old.value(&["fetch", "w", "x"]);
            assert_eq!((got.descriptor, &got.value[..]), (descriptor.0.into(), value));
        }
    }
}

#[test]
fn an_old_client_gets_native_values_as_pickles() {
    let server = Running::start();
    let (mut old, mut new) = (server.old_at("w"), server.client_at("w"));
    let native = Descriptor::native(Language::Python);
    let seven = [&[3][..], &7i64.to_le_bytes()].concat();
    let cases: [(&[u8], &[u8]); 3] = [(&[0], b"\x80\x02N."), (&[2], b"\x80\x02\x88."), (&seven, b"\x80\x02K\x07.")];
    for (value, pickle) in cases {
        new.done(&store_item(native, value));
        for operation in ["find", "findTry", "ifind", "fetch"] {
            let arguments = [operation, "w", "x", BLANK, FIRST];
            let arguments = if operation == "ifind" { &arguments[..] } else { &arguments[..3] };
            let got = old.value(arguments);
            assert_eq!((got.descriptor, &got.value[..]), (0x0100_0000, pickle), "{operation}");
        }
        old.send(&["fetch", "w", "x"]);
        while !matches!(&listed(&mut new)[..], [info] if info.fetchers == 1) {}
        new.done(&store_item(native, value));
        assert_eq!(old.receive_value().value, pickle, "one that waits too");
    }
    new.done(&store_item(native, b"\x77"));
    assert_eq!(old.value(&["fetch", "w", "x"]).descriptor, u64::from(native.0), "what cannot be read stays as it is");
}

fn listed(client: &mut Raw) -> Vec<VariableInfo> {
    let Reply::Variables(listed) = client.ask(&Request::ListVariables { workspace: WorkspaceHandle(1) }) else {
        panic!("expected a listing")
    };
    listed
}

#[test]
fn who_waits_is_answered_whatever_it_speaks() {
    let server = Running::start();
    let (mut old, mut new) = (server.old_at("w"), server.client_at("w"));
    let waiting = new.send(&fetch());
    while old.listed("w", "x").as_deref() != Some("0\t1\t0\tunknown") {}
    old.store("w", "x", "from old");
    let (answered, reply) = new.reply();
    assert_eq!((answered, value(reply)), (waiting, b"from old".to_vec()));
    old.send(&["find", "w", "x"]);
    while !matches!(&listed(&mut new)[..], [info] if info.finders == 1) {}
    new.done(&store("from new"));
    assert_eq!(old.receive_value().value, b"from new");
    old.send(&["fetch", "w", "gone"]);
    while listed(&mut new).len() < 2 {}
    new.done(&Request::DeleteWorkspace { name: b"w".to_vec() });
    assert!(!old.receive_value().done);
}

#[test]
fn an_iterator_is_the_same_for_both() {
    let server = Running::start();
    let (mut old, mut new) = (server.old_at("w"), server.client_at("w"));
    for number in 0..3 {
        new.done(&store(format!("{number}")));
    }
    let got = old.value(&["ifind", "w", "x", BLANK, FIRST]);
    let variable = VariableId(got.id.trim_end().parse().unwrap());
    let cursor = Cursor::After { variable, index: Index(got.index) };
    let next = new.ask(&Request::Retrieve(Retrieve { cursor, ..find() }));
    assert!(matches!(&next, Reply::Values { variable: id, .. } if *id == variable));
    assert_eq!(only_grant(next).index, Index(1));
}

#[test]
fn a_value_on_lease_is_not_there_for_an_old_client_until_it_returns() {
    let server = Running::start();
    let (mut old, mut new) = (server.old_at("w"), server.client_at("w"));
    old.store("w", "x", "task");
    values(new.ask(&fetch_lease(1)));
    assert!(!old.value(&["fetchTry", "w", "x"]).done);
    assert_eq!(old.listed("w", "x").unwrap(), "0\t0\t0\tfifo");
    old.send(&["fetch", "w", "x"]);
    drop(new);
    assert_eq!(old.receive_value().value, b"task");
}

#[test]
fn owners_of_both_kinds_are_listed_alike() {
    let server = Running::start();
    let (mut old, mut new) = (server.old(), server.unix_client());
    let open = |name: &str, number| Request::Open {
        workspace: WorkspaceHandle(number),
        name: name.into(),
        mode: OpenMode::Own { persistent: false },
        create: true,
    };
    assert!(old.status(&["open ws", "of old", "7", "no"]));
    let reply = new.ask(&open("of new", 1));
    assert_eq!(reply, Reply::Opened { name: b"of new".to_vec(), owned: true });
    assert_eq!(new.ask(&open("of old", 2)), Reply::Opened { name: b"of old".to_vec(), owned: false });
    assert!(old.status(&["open ws", "of new", "7", "no"]));
    let address = old.address();
    let text = format!(
        " __default\t[system]\tTrue\t0\t\n of new\tlocal (test)\tFalse\t0\t\n>of old\t{address} (7)\tFalse\t0\t\n"
    );
    assert_eq!(String::from_utf8(old.value(&["list wss"]).value).unwrap(), text);
}
