//! Values on disk, over our own protocol: they come and go in parts, and are like any other otherwise.
#![allow(clippy::unwrap_used)]

mod support;

use nws_proto::*;
use nws_server::Limits;
use support::long::*;
use support::*;

const MIB: usize = 1 << 20;

/// A server that keeps values of 2 MiB and more on disk.
fn spilling() -> Running {
    Running::with(Limits { spill_bytes: 2 * MIB as u64 - 1000, ..Limits::default() })
}

fn code(reply: Reply<bytes::Bytes>) -> ErrorCode {
    let Reply::Failed(fault) = reply else { panic!("expected a fault, got {reply:?}") };
    fault.code
}

#[test]
fn a_long_value_goes_to_disk_and_comes_back() {
    let server = spilling();
    let (mut storer, mut other) = (server.client_at("w"), server.client_at("w"));
    let value = pattern(1, 5 * MIB + 3);
    storer.done(&store(value.clone()));
    storer.done(&store("short"));
    wait_for_disk_bytes(&server, value.len() as u64);
    let found = other.ask_for_long(&Request::Retrieve(find()));
    assert_eq!((found.index, found.len_bytes), (0, value.len() as u64));
    assert!(other.read(&found) == value);
    let fetched = storer.ask_for_long(&fetch());
    assert!(storer.read(&fetched) == value);
    storer.close(&fetched, false);
    assert!(other.read(&found) == value, "a finder has it for as long as it likes");
    other.close(&found, false);
    wait_for_disk_bytes(&server, 0);
    assert_eq!(self::value(other.ask(&fetch())), b"short");
    assert_eq!(std::fs::read_dir(server.folder()).unwrap().count(), 1, "the socket is all that is there");
}

#[test]
fn a_value_that_is_too_short_for_the_disk_stays_in_memory_whatever_the_setting() {
    let server = Running::with(Limits { spill_bytes: 1, ..Limits::default() });
    let mut client = server.client_at("w");
    for length in [100, 65_537, MIB - 16] {
        let value = pattern(1, length);
        client.done(&store(value.clone()));
        assert!(self::value(client.ask(&fetch())) == value, "{length}");
    }
}

#[test]
fn parts_are_read_in_any_order_and_end_where_the_value_ends() {
    let server = spilling();
    let mut client = server.client_at("w");
    let value = pattern(2, 3 * MIB);
    client.done(&store(value.clone()));
    let found = client.ask_for_long(&Request::Retrieve(find()));
    assert!(client.read_part(found.reading, 2 * MIB as u64 + 7, 100) == value[2 * MIB + 7..2 * MIB + 107]);
    assert!(client.read_part(found.reading, 0, 1) == value[..1]);
    assert!(client.read_part(found.reading, 3 * MIB as u64 - 5, 100) == value[3 * MIB - 5..]);
    assert!(client.read_part(found.reading, 3 * MIB as u64, 100).is_empty());
    assert!(client.read_part(found.reading, u64::MAX, 100).is_empty());
    client.close(&found, false);
    let gone = LongRequest::ReadPart { reading: found.reading, offset: 0, max_bytes: 1 };
    assert_eq!(code(client.ask_long(&gone)), ErrorCode::UnknownHandle);
}

#[test]
fn values_for_which_memory_has_no_room_go_to_disk() {
    let server = Running::with(Limits { values_bytes: 8 * MIB as u64, ..Limits::default() });
    let mut client = server.client_at("w");
    let values: Vec<Vec<u8>> = (0..6).map(|salt| pattern(salt, 3 * MIB)).collect();
    for value in &values {
        client.done(&store(value.clone()));
    }
    let batch = Request::Store { variable: VariableHandle(1), items: vec![item(vec![0; 3 * MIB]); 2] };
    assert_eq!(code(client.ask(&batch)), ErrorCode::MemoryFull, "several in one frame are for memory");
    // Two fit into memory.
    wait_for_disk_bytes(&server, 4 * 3 * MIB as u64);
    for expected in &values[..2] {
        assert!(&value(client.ask(&fetch())) == expected);
    }
    for expected in &values[2..] {
        let fetched = client.ask_for_long(&fetch());
        assert!(&client.read(&fetched) == expected);
        client.close(&fetched, false);
    }
    wait_for_disk_bytes(&server, 0);
}

#[test]
fn a_half_sent_value_is_never_visible_and_its_space_comes_back() {
    let server = spilling();
    let (mut half, mut other) = (server.client_at("w"), server.client_at("w"));
    let whole = request_frame(RequestId(9), &store(vec![7; 3 * MIB]));
    half.send_bytes(&whole[..whole.len() - 1]);
    wait_for_disk_bytes(&server, 3 * MIB as u64 - 1);
    assert_eq!(values(other.ask(&fetch_try())).1.len(), 0);
    drop(half);
    wait_for_disk_bytes(&server, 0);
    assert_eq!(values(other.ask(&fetch_try())).1.len(), 0);
}

#[test]
fn a_fetcher_that_ends_before_it_has_closed_gives_the_value_back_to_its_place() {
    let server = spilling();
    let mut other = server.client_at("w");
    other.done(&store(pattern(0, 3 * MIB)));
    other.done(&store(pattern(1, 3 * MIB)));
    for _ in 0..3 {
        let mut fetcher = server.client_at("w");
        let fetched = fetcher.ask_for_long(&fetch());
        assert_eq!(fetched.index, 0);
        fetcher.read_part(fetched.reading, 0, limits::PART_BYTES);
        let sure = Request::Retrieve(Retrieve { variable: VariableHandle(1), ..find() });
        assert_eq!(other.ask_for_long(&sure).index, 1, "it is taken");
        drop(fetcher);
        while other.ask_for_long(&sure).index == 1 {}
    }
    let fetched = other.ask_for_long(&fetch());
    assert!(fetched.index == 0 && other.read(&fetched) == pattern(0, 3 * MIB));
    other.close(&fetched, true);
    assert_eq!(other.ask_for_long(&fetch()).index, 0, "it was given back");
}

#[test]
fn who_waits_gets_what_is_given_back() {
    let server = spilling();
    let (mut first, mut second) = (server.client_at("w"), server.client_at("w"));
    first.done(&store(pattern(0, 3 * MIB)));
    let fetched = first.ask_for_long(&fetch());
    second.send(&fetch());
    assert_eq!(
        second.ask_long(&LongRequest::DropTransfer { transfer: TransferId(4) }),
        first.ask_long(&LongRequest::DropTransfer { transfer: TransferId(4) })
    );
    first.close(&fetched, true);
    assert_eq!(second.long_values().pop().unwrap().index, 0);
}

#[test]
fn a_value_that_is_deleted_while_it_is_read_is_read_to_its_end() {
    let server = spilling();
    let (mut reader, mut other) = (server.client_at("w"), server.client_at("w"));
    let value = pattern(5, 4 * MIB);
    other.done(&store(value.clone()));
    let found = reader.ask_for_long(&Request::Retrieve(find()));
    reader.read_part(found.reading, 0, 10);
    other.done(&Request::DeleteVariable { variable: VariableHandle(1) });
    other.done(&Request::DeleteWorkspace { name: b"w".to_vec() });
    assert!(reader.read(&found) == value);
    wait_for_disk_bytes(&server, 4 * MIB as u64);
    reader.close(&found, false);
    wait_for_disk_bytes(&server, 0);
}

#[test]
fn finders_share_one_file() {
    let server = spilling();
    let mut storer = server.client_at("w");
    storer.done(&store(pattern(5, 4 * MIB)));
    let mut finders: Vec<(Raw, Long)> = (0..10)
        .map(|_| {
            let mut finder = server.client_at("w");
            let found = finder.ask_for_long(&Request::Retrieve(find()));
            (finder, found)
        })
        .collect();
    wait_for_disk_bytes(&server, 4 * MIB as u64);
    for (finder, found) in &mut finders {
        assert!(finder.read(found) == pattern(5, 4 * MIB));
    }
}

#[test]
fn a_newer_value_of_single_frees_the_older_one() {
    let server = spilling();
    let mut client = server.client_at("w");
    client.done(&Request::Declare { variable: VariableHandle(1), mode: Mode::Single });
    for salt in 0..3 {
        client.done(&store(pattern(salt, 3 * MIB)));
        wait_for_disk_bytes(&server, 3 * MIB as u64);
    }
    let fetched = client.ask_for_long(&fetch());
    client.done(&store("newer"));
    client.close(&fetched, true);
    wait_for_disk_bytes(&server, 0);
    assert_eq!(value(client.ask(&fetch())), b"newer");
}

#[test]
fn a_long_value_is_leased_released_and_finished_with_a_long_result() {
    let server = spilling();
    let (mut worker, mut other) = (server.client_at("w"), server.client_at("w"));
    worker.bind_as(2, "results");
    other.bind_as(2, "results");
    worker.done(&store(pattern(1, 3 * MIB)));
    let leased = worker.ask_for_long(&fetch_lease(1));
    worker.close(&leased, false);
    assert_eq!(values(other.ask(&fetch_try())).1.len(), 0, "the lease holds though the reading is closed");
    worker.done(&Request::Release { leases: vec![LeaseId(leased.lease)], died: false, recalled: false });
    let leased = worker.ask_for_long(&fetch_lease(1));
    assert!(worker.read(&leased) == pattern(1, 3 * MIB));
    let result = FinishItem { lease: LeaseId(leased.lease), result: item(pattern(2, 4 * MIB)) };
    let finish = Request::Finish { variable: VariableHandle(2), items: vec![result.clone()] };
    assert_eq!(worker.ask(&finish), Reply::Finished { refused: vec![] });
    assert_eq!(worker.ask(&finish), Reply::Finished { refused: vec![(0, ErrorCode::LeaseEnded)] });
    worker.close(&leased, true);
    wait_for_disk_bytes(&server, 4 * MIB as u64);
    let found = other.ask_for_long(&Request::Retrieve(Retrieve { variable: VariableHandle(2), take: true, ..find() }));
    assert!(other.read(&found) == pattern(2, 4 * MIB));
}

#[test]
fn a_disk_that_is_full_is_an_error_to_who_stores_and_nothing_else() {
    let limits = Limits {
        spill_bytes: MIB as u64,
        values_bytes: 3 * MIB as u64,
        values_disk_bytes: Some(8 * MIB as u64),
        ..Limits::default()
    };
    let server = Running::with(limits);
    let (mut client, mut racer) = (server.client_at("w"), server.client_at("w"));
    client.done(&store(pattern(1, 5 * MIB)));
    assert_eq!(code(client.ask(&store(vec![0; 4 * MIB]))), ErrorCode::DiskFull, "it is seen at the header");
    client.done(&store("lives on"));
    // Two that would both fit, and not together.
    let whole = request_frame(RequestId(9), &store(vec![7; 2 * MIB]));
    racer.send_bytes(&whole[..100_000]);
    wait_for_disk_bytes(&server, 5 * MIB as u64 + 99_972);
    client.done(&store(vec![7; 2 * MIB]));
    racer.send_bytes(&whole[100_000..]);
    let (_, reply) = racer.reply();
    assert_eq!(code(reply), ErrorCode::DiskFull, "it is seen half way");
    wait_for_disk_bytes(&server, 7 * MIB as u64);
    racer.done(&store("lives on"));
    let fetched = client.ask_for_long(&fetch());
    assert!(client.read(&fetched) == pattern(1, 5 * MIB));
}

#[test]
fn who_does_not_read_a_long_value_holds_nobody_up() {
    let server = spilling();
    let (mut storer, mut deaf) = (server.client_at("w"), server.client_at("w"));
    storer.bind_as(2, "other");
    let whole = pattern(1, 60 * MIB);
    storer.done(&store(whole.clone()));
    let found = deaf.ask_for_long(&Request::Retrieve(find()));
    // More parts than the server would ever load for one connection, and none is read.
    for part in 0..60 {
        let (reading, offset) = (found.reading, part * MIB as u64);
        deaf.send_long(100 + part as u32, &LongRequest::ReadPart { reading, offset, max_bytes: limits::PART_BYTES });
    }
    let mut old = server.old_at("w");
    old.send(&["find", "w", "x"]);
    for salt in 0..5 {
        let items = vec![item(pattern(salt, 3 * MIB))];
        storer.done(&Request::Store { variable: VariableHandle(2), items });
        let other =
            storer.ask_for_long(&Request::Retrieve(Retrieve { variable: VariableHandle(2), take: true, ..find() }));
        assert!(storer.read(&other) == pattern(salt, 3 * MIB));
        storer.close(&other, false);
    }
    // And when they read at last, everything is there.
    for part in 0..60 {
        let (header, payload) = deaf.answer().unwrap();
        assert_eq!(header.request, RequestId(100 + part as u32));
        assert!(decode_part(payload).unwrap() == whole[part * MIB..(part + 1) * MIB]);
    }
    assert!(old.receive_value().value == whole);
}

#[test]
fn a_session_that_has_too_many_open_fails_all_its_waits_and_no_one_else_is_harmed() {
    // As many as would overflow a stack that held one frame for each.
    const WAITS: usize = 50_000;
    let server = Running::with(Limits { spill_bytes: MIB as u64, session_readings: 1, ..Limits::default() });
    let (mut storer, mut full) = (server.client_at("w"), server.client_at("w"));
    storer.done(&store(pattern(1, 2 * MIB)));
    full.ask_for_long(&Request::Retrieve(find()));
    storer.ask_for_long(&fetch());
    let ids = 1000..1000 + WAITS as u32;
    let waits: Vec<u8> = ids.clone().flat_map(|id| request_frame(RequestId(id), &fetch())).collect();
    full.send_bytes(&waits);
    assert_eq!(full.ask(&Request::Ping), Reply::Pong, "all of them wait");
    let mut last = server.client_at("w");
    storer.done(&store(pattern(2, 2 * MIB)));
    let mut failed: Vec<u32> = (0..WAITS)
        .map(|_| {
            let (id, reply) = full.reply();
            assert_eq!(code(reply), ErrorCode::TooManyReadings);
            id.0
        })
        .collect();
    failed.sort_unstable();
    assert!(failed.into_iter().eq(ids), "each is told once");
    let fetched = last.ask_for_long(&fetch());
    assert_eq!(fetched.index, 1, "it is back at its place");
}
