//! Values that come in parts, and what bounds them.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::Bytes;
use nws_proto::*;
use nws_server::Limits;
use support::long::*;
use support::*;

const MIB: usize = 1 << 20;

fn code(reply: Reply<Bytes>) -> ErrorCode {
    let Reply::Failed(fault) = reply else { panic!("expected a fault, got {reply:?}") };
    fault.code
}

#[test]
fn a_value_of_unknown_length_comes_in_parts_and_is_seen_when_it_is_stored() {
    let server = Running::start();
    let (mut sender, mut other) = (server.client_at("w"), server.client_at("w"));
    let value = pattern(3, 3 * MIB + 77);
    assert_eq!(sender.begin(9), Reply::Done);
    for part in value.chunks(MIB).chain([&b""[..]]) {
        assert_eq!(sender.part(9, part), Reply::Done);
    }
    assert_eq!(values(other.ask(&fetch_try())).1.len(), 0, "nobody has stored it");
    assert_eq!(sender.store_transferred(9), Reply::Done);
    assert_eq!(code(sender.store_transferred(9)), ErrorCode::UnknownHandle, "the transfer is over");
    let found = other.ask_for_long(&fetch());
    assert!(other.read(&found) == value);
    // Its number may be used again.
    assert_eq!(sender.begin(9), Reply::Done);
}

#[test]
fn parts_and_the_store_go_out_together_and_keep_their_place_among_other_stores() {
    let server = Running::start();
    let (mut sender, mut other) = (server.client_at("w"), server.client_at("w"));
    let value = pattern(3, 6 * MIB);
    sender.send_bytes(&request_frame(RequestId(1), &store("before")));
    sender.send_long(2, &LongRequest::BeginTransfer { transfer: TransferId(1) });
    for (id, part) in (3..).zip(value.chunks(700_000)) {
        let bytes = Bytes::copy_from_slice(part);
        sender.send_long(id, &LongRequest::TransferPart { transfer: TransferId(1), bytes });
    }
    sender.send_transferred(100, 1, 1);
    sender.send_bytes(&request_frame(RequestId(101), &store("behind")));
    let mut answered: Vec<u32> = (0..value.chunks(700_000).len() + 4)
        .map(|_| {
            let (id, reply) = sender.reply();
            assert_eq!(reply, Reply::Done);
            id.0
        })
        .collect();
    assert_eq!(answered.pop(), Some(101));
    assert_eq!(answered.pop(), Some(100));
    assert_eq!(support::value(other.ask(&fetch())), b"before");
    let fetched = other.ask_for_long(&fetch());
    assert!(other.read(&fetched) == value);
    other.close(&fetched, false);
    assert_eq!(support::value(other.ask(&fetch())), b"behind");
}

#[test]
fn what_is_dropped_or_belongs_to_a_session_that_ends_is_gone() {
    let server = Running::start();
    let (mut sender, mut other) = (server.client_at("w"), server.client_at("w"));
    for transfer in [1, 2] {
        assert_eq!(sender.begin(transfer), Reply::Done);
        assert_eq!(sender.part(transfer, &vec![7; MIB]), Reply::Done);
    }
    wait_for_disk_bytes(&server, 2 * MIB as u64);
    assert_eq!(code(other.part(1, b"x")), ErrorCode::UnknownHandle, "it is another session's");
    assert_eq!(code(other.part(1, &vec![7; 100_000])), ErrorCode::UnknownHandle);
    assert_eq!(sender.ask_long(&LongRequest::DropTransfer { transfer: TransferId(1) }), Reply::Done);
    wait_for_disk_bytes(&server, MIB as u64);
    // A number that is used again while bytes of its first value are on their way to the disk.
    for id in 0..20 {
        sender.send_long(500 + id, &LongRequest::BeginTransfer { transfer: TransferId(5) });
        let bytes = Bytes::from(vec![7; 300_000]);
        sender.send_long(600 + id, &LongRequest::TransferPart { transfer: TransferId(5), bytes });
        sender.send_long(700 + id, &LongRequest::DropTransfer { transfer: TransferId(5) });
    }
    for _ in 0..60 {
        assert_eq!(sender.reply().1, Reply::Done);
    }
    drop(sender);
    wait_for_disk_bytes(&server, 0);
}

#[test]
fn a_session_has_so_many_transfers_and_readings_and_no_more() {
    let limits = Limits { session_transfers: 2, session_readings: 3, spill_bytes: MIB as u64, ..Limits::default() };
    let server = Running::with(limits);
    let (mut client, mut other) = (server.client_at("w"), server.client_at("w"));
    assert_eq!((client.begin(1), client.begin(2)), (Reply::Done, Reply::Done));
    let Reply::Failed(fault) = client.begin(3) else { panic!("two are all") };
    assert_eq!(fault.code, ErrorCode::TooManyTransfers);
    assert!(fault.message.contains("session-transfers"), "{}", fault.message);
    assert_eq!(code(client.begin(1)), ErrorCode::HandleInUse);
    assert_eq!(client.part(1, b"x"), Reply::Done);
    assert_eq!(client.store_transferred(1), Reply::Done);
    assert_eq!(client.begin(3), Reply::Done);
    assert_eq!(client.store_transferred(3), Reply::Done);

    let mut value = client.ask_for_long(&fetch());
    assert_eq!((value.len_bytes, &client.read_part(value.reading, 0, 9)[..]), (1, &b"x"[..]));
    assert_eq!(support::value(client.ask(&fetch())), b"", "nothing was sent of it");
    for salt in 0..3 {
        client.done(&store(pattern(salt, 2 * MIB)));
    }
    let find = Request::Retrieve(find());
    let found = [client.ask_for_long(&find), client.ask_for_long(&find)];
    for refused in [find.clone(), fetch(), fetch_lease(2)] {
        let Reply::Failed(fault) = client.ask(&refused) else { panic!("three are open") };
        assert_eq!(fault.code, ErrorCode::TooManyReadings);
        assert!(fault.message.contains("session-readings"), "{}", fault.message);
    }
    client.close(&value, false);
    value = client.ask_for_long(&fetch());
    assert_eq!(value.index, 2, "what could not be given is at its place");
    found.iter().for_each(|found| client.close(found, false));
    let leases = {
        other.send(&fetch_lease(10));
        other.long_values()
    };
    // Half of what is there is each one's share.
    assert_eq!(leases[0].index, 3);
}

#[test]
fn a_transfer_ends_at_the_limit_of_a_value_and_where_the_disk_is_full() {
    let limits = Limits { value_bytes: 3 * MIB as u64, values_disk_bytes: Some(4 * MIB as u64), ..Limits::default() };
    let server = Running::with(limits);
    let mut client = server.client_at("w");
    assert_eq!(client.begin(1), Reply::Done);
    let part = vec![7; MIB];
    (0..3).for_each(|_| assert_eq!(client.part(1, &part), Reply::Done));
    assert_eq!(code(client.part(1, b"x")), ErrorCode::ValueTooLong);
    assert_eq!(code(client.part(1, b"")), ErrorCode::ValueTooLong, "it stays so");
    assert_eq!(code(client.store_transferred(1)), ErrorCode::ValueTooLong);
    wait_for_disk_bytes(&server, 0);
    for transfer in [1, 2] {
        assert_eq!(client.begin(transfer), Reply::Done);
        (0..2).for_each(|_| assert_eq!(client.part(transfer, &part), Reply::Done));
    }
    assert_eq!(code(client.part(1, &part)), ErrorCode::DiskFull);
    assert_eq!(code(client.store_transferred(1)), ErrorCode::DiskFull);
    wait_for_disk_bytes(&server, 2 * MIB as u64);
    assert_eq!(client.part(2, &part), Reply::Done, "there is room again");
    assert_eq!(client.store_transferred(2), Reply::Done);
    let fetched = client.ask_for_long(&fetch());
    assert!(client.read(&fetched) == vec![7; 3 * MIB]);
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_to_who_stores() {
    let server = Running::with(Limits { spill_bytes: MIB as u64, ..Limits::default() });
    let mut client = server.client_at("w");
    std::fs::remove_dir_all(server.folder()).unwrap();
    for _ in 0..2 {
        let Reply::Failed(fault) = client.ask(&store(vec![7; 3 * MIB])) else { panic!("there is no folder") };
        assert_eq!(fault.code, ErrorCode::DiskFull);
        assert!(fault.message.contains("tmp-dir"), "{}", fault.message);
        assert_eq!(client.begin(1), Reply::Done);
        assert_eq!(code(client.part(1, b"x")), ErrorCode::DiskFull);
        assert_eq!(code(client.store_transferred(1)), ErrorCode::DiskFull);
    }
    client.done(&store("lives on"));
}

#[test]
fn a_part_that_is_no_part_ends_the_connection() {
    let server = Running::start();
    for payload in [
        [&[1, 0, 0, 0][..], &(MIB as u32 + 1).to_le_bytes(), &vec![0; MIB + 1]].concat(),
        [&[1, 0, 0, 0][..], &99_999_u32.to_le_bytes(), &[0; 100_000]].concat(),
    ] {
        let mut client = server.client_at("w");
        let _ = client.try_send_bytes(&frame(Opcode::TransferPart, RequestId(5), &payload));
        assert_eq!(client.goodbye().code, ErrorCode::MalformedFrame);
    }
}

#[test]
fn a_frame_whose_one_value_does_not_fill_it_ends_the_connection() {
    let server = Running::with(Limits { spill_bytes: MIB as u64, ..Limits::default() });
    let mut payload = vec![0; 2 * MIB];
    payload[4] = 1;
    payload[12..16].copy_from_slice(&(MIB as u32).to_le_bytes());
    let mut client = server.client_at("w");
    let _ = client.try_send_bytes(&frame(Opcode::Store, RequestId(5), &payload));
    assert_eq!(client.goodbye().code, ErrorCode::MalformedFrame);
}
