//! Every limit that the codec holds, at its edge.

use bytes::Bytes;
use nws_proto::{
    Cursor, ErrorCode, Event, Fault, Given, Hello, LongRequest, NONCE_BYTES, Opcode, Reply, Request, Retrieve, Sent,
    SessionId, VariableHandle, Wait, decode_part, limits,
};

/// `count` items of `item_bytes` zeros each behind `before`, and the count between them.
fn counted(before: usize, count: u32, item_bytes: usize) -> Bytes {
    let mut payload = vec![0; before + 4 + count as usize * item_bytes];
    payload[before..before + 4].copy_from_slice(&count.to_le_bytes());
    payload.into()
}

fn request(opcode: Opcode, payload: Bytes) -> Result<(), ErrorCode> {
    Request::<Bytes>::decode(opcode.to_wire(), payload).map(drop).map_err(|fault| fault.code)
}

fn reply(opcode: Opcode, payload: Bytes) -> Result<(), ErrorCode> {
    Reply::<Bytes>::decode(opcode.to_wire(), payload).map(drop).map_err(|fault| fault.code)
}

const MALFORMED: Result<(), ErrorCode> = Err(ErrorCode::MalformedFrame);

#[test]
fn a_store_has_between_one_value_and_a_batch() {
    assert_eq!(request(Opcode::Store, counted(4, 0, 8)), MALFORMED);
    assert_eq!(request(Opcode::Store, counted(4, 1, 8)), Ok(()));
    assert_eq!(request(Opcode::Store, counted(4, limits::BATCH_VALUES, 8)), Ok(()));
    assert_eq!(request(Opcode::Store, counted(4, limits::BATCH_VALUES + 1, 8)), MALFORMED);
}

#[test]
fn a_finish_has_between_one_result_and_a_batch() {
    assert_eq!(request(Opcode::Finish, counted(4, 0, 16)), MALFORMED);
    assert_eq!(request(Opcode::Finish, counted(4, limits::BATCH_VALUES, 16)), Ok(()));
    assert_eq!(request(Opcode::Finish, counted(4, limits::BATCH_VALUES + 1, 16)), MALFORMED);
}

#[test]
fn a_release_has_at_most_what_a_session_can_hold() {
    assert_eq!(request(Opcode::Release, counted(1, 0, 8)), Ok(()));
    assert_eq!(request(Opcode::Release, counted(1, limits::SESSION_LEASES, 8)), Ok(()));
    assert_eq!(request(Opcode::Release, counted(1, limits::SESSION_LEASES + 1, 8)), MALFORMED);
}

#[test]
fn replies_hold_at_most_a_batch_and_only_an_estate_may_be_larger() {
    assert_eq!(reply(Opcode::Values, counted(16, limits::BATCH_VALUES, 18)), Ok(()));
    assert_eq!(reply(Opcode::Values, counted(16, limits::BATCH_VALUES + 1, 18)), MALFORMED);
    let refused = |count: u32| {
        let one = [&[0; 4][..], &ErrorCode::LeaseEnded.to_wire().to_le_bytes()].concat();
        Bytes::from([&count.to_le_bytes()[..], &one.repeat(count as usize)].concat())
    };
    assert_eq!(reply(Opcode::Finished, refused(limits::BATCH_VALUES)), Ok(()));
    assert_eq!(reply(Opcode::Finished, refused(limits::BATCH_VALUES + 1)), MALFORMED);
    assert_eq!(reply(Opcode::Adopted, counted(8, limits::SESSION_LEASES + 1, 18)), Ok(()));
}

#[test]
fn lease_ids_do_not_run_over_their_end() {
    let values = |first_lease: u64| {
        let mut payload = counted(16, 2, 18).to_vec();
        payload[8..16].copy_from_slice(&first_lease.to_le_bytes());
        payload.into()
    };
    assert_eq!(reply(Opcode::Values, values(u64::MAX - 2)), Ok(()));
    assert_eq!(reply(Opcode::Values, values(u64::MAX - 1)), MALFORMED);
}

/// The payload is a gibibyte of zeros that are never touched, so no memory is used for them.
#[test]
fn the_longest_value_fits_a_reply_and_a_longer_one_is_refused() {
    let store = |value_bytes: u32| {
        let mut payload = vec![0; 16 + value_bytes as usize];
        payload[4] = 1;
        payload[12..16].copy_from_slice(&value_bytes.to_le_bytes());
        payload.into()
    };
    assert_eq!(request(Opcode::Store, store(limits::VALUE_BYTES)), Ok(()));
    assert_eq!(request(Opcode::Store, store(limits::VALUE_BYTES + 1)), MALFORMED);
    assert_eq!(reply(Opcode::Values, values(limits::VALUE_BYTES)), Ok(()));
    assert!(values(limits::VALUE_BYTES).len() <= limits::FRAME_PAYLOAD_BYTES as usize);

    fn values(value_bytes: u32) -> Bytes {
        let mut payload = vec![0; 20 + 18 + value_bytes as usize];
        payload[16] = 1;
        payload[34..38].copy_from_slice(&value_bytes.to_le_bytes());
        payload.into()
    }
}

/// 32 bits that stand for a length, so that no length means it.
#[test]
fn a_value_that_is_elsewhere_is_read_by_those_who_look_for_it_there() {
    let store = Bytes::from([&[0; 4][..], &[1, 0, 0, 0], &[0; 4], &[0xff; 4], &[9, 0, 0, 0]].concat());
    assert_eq!(request(Opcode::Store, store.clone()), MALFORMED);
    let Ok(Request::Store { items, .. }) = Request::<Sent>::decode(Opcode::Store.to_wire(), store) else {
        panic!("a server takes a transfer for a value");
    };
    assert!(matches!(items[0].value, Sent::Transfer(transfer) if transfer.0 == 9));
    let values = Bytes::from([&[0; 16][..], &[1, 0, 0, 0], &[0; 14], &[0xff; 4], &[1; 8], &[9, 0, 0, 0]].concat());
    assert_eq!(reply(Opcode::Values, values.clone()), MALFORMED);
    assert!(Reply::<Given>::decode(Opcode::Values.to_wire(), values).is_ok());
}

#[test]
fn a_part_has_at_most_a_mebibyte() {
    let part = |bytes: u32| Bytes::from([&bytes.to_le_bytes()[..], &vec![7; bytes as usize]].concat());
    let transferred = |bytes: u32| {
        let payload = Bytes::from([&[0; 4][..], &part(bytes)].concat());
        LongRequest::decode(Opcode::TransferPart.to_wire(), payload).map(drop).map_err(|fault| fault.code)
    };
    assert_eq!(transferred(limits::PART_BYTES), Ok(()));
    assert_eq!(transferred(limits::PART_BYTES + 1), MALFORMED);
    assert!(decode_part(part(limits::PART_BYTES)).is_ok());
    assert!(decode_part(part(limits::PART_BYTES + 1)).is_err());
}

#[test]
fn who_reads_a_part_asks_for_one_byte_to_a_part() {
    let asked = |max_bytes: u32| {
        let payload = Bytes::from([&[0; 12][..], &max_bytes.to_le_bytes()].concat());
        match LongRequest::decode(Opcode::ReadPart.to_wire(), payload) {
            Ok(LongRequest::ReadPart { max_bytes, .. }) => Some(max_bytes),
            _ => None,
        }
    };
    assert_eq!(
        [0, 1, limits::PART_BYTES, limits::PART_BYTES + 1].map(asked),
        [None, Some(1), Some(limits::PART_BYTES), None]
    );
}

fn retrieve(max_values: u32, max_bytes: u32) -> Retrieve {
    Retrieve {
        variable: VariableHandle(1),
        take: true,
        lease: false,
        wait: Wait::No,
        cursor: Cursor::Mode,
        max_values,
        max_bytes,
    }
}

fn sent(request: &Request<Bytes>) -> Result<Request<Bytes>, Fault> {
    let mut payload = Vec::new();
    request.encode(&mut payload);
    Request::decode(request.opcode().to_wire(), payload.into())
}

#[test]
fn a_retrieval_asks_for_at_least_one_value_and_at_most_a_batch() {
    let asked = |max_values| sent(&Request::Retrieve(retrieve(max_values, 0))).is_ok();
    assert_eq!([0, 1, limits::BATCH_VALUES, limits::BATCH_VALUES + 1].map(asked), [false, true, true, false]);
}

#[test]
fn a_retrieval_that_has_room_for_more_than_a_frame_gets_what_fits_one() {
    let asked = Request::Retrieve(retrieve(1, u32::MAX));
    assert_eq!(sent(&asked).unwrap(), Request::Retrieve(retrieve(1, limits::BATCH_BYTES)));
}

#[test]
fn a_wait_of_no_time_is_still_a_wait_and_the_longest_one_still_ends() {
    let waited = |ms| match sent(&Request::Adopt { wait: Wait::Ms(ms) }) {
        Ok(Request::Adopt { wait }) => wait,
        other => panic!("{other:?}"),
    };
    assert_eq!(waited(0), Wait::Ms(1));
    assert_eq!(waited(u32::MAX), Wait::Ms(limits::WAIT_MS));
}

#[test]
fn a_find_by_lease_is_refused() {
    let find = Retrieve { take: false, lease: true, ..retrieve(1, 1) };
    assert_eq!(sent(&Request::Retrieve(find)).unwrap_err().code, ErrorCode::MalformedFrame);
}

#[test]
fn a_name_that_its_length_field_cannot_say_stays_too_long() {
    let Ok(Request::DeleteWorkspace { name }) = sent(&Request::DeleteWorkspace { name: vec![b'n'; 70_000] }) else {
        panic!("it is the server that refuses a long name");
    };
    assert!(name.len() > limits::NAME_BYTES.into());
}

fn hello(label_bytes: usize) -> Hello {
    Hello {
        version: 1,
        nonce: [0; NONCE_BYTES],
        proof: [0; 32],
        silence_ms: 0,
        guardian: SessionId(0),
        label: vec![b'l'; label_bytes],
        resume: Vec::new(),
    }
}

#[test]
fn the_longest_label_fits_a_hello_and_a_longer_one_is_refused() {
    let read = |label_bytes: u16| {
        let mut payload = Vec::new();
        hello(label_bytes.into()).encode(&mut payload);
        assert!(payload.len() <= limits::HANDSHAKE_PAYLOAD_BYTES as usize);
        Hello::decode(payload.into()).is_ok()
    };
    assert!(read(limits::LABEL_BYTES));
    assert!(!read(limits::LABEL_BYTES + 1));
}

#[test]
fn a_long_message_is_cut_between_two_characters() {
    // Each takes 3 bytes, and 1000 is no multiple of 3.
    let goodbye = Event::Goodbye(Fault::new(ErrorCode::Internal, "€".repeat(1000)));
    let mut payload = Vec::new();
    goodbye.encode(&mut payload);
    assert!(payload.len() <= limits::HANDSHAKE_PAYLOAD_BYTES as usize, "it must fit a handshake's frame");
    let read = Event::decode(Opcode::Goodbye.to_wire(), payload.into()).unwrap();
    assert_eq!(read, Event::Goodbye(Fault::new(ErrorCode::Internal, "€".repeat(333))));
}

#[test]
fn a_message_above_its_limit_is_refused() {
    let failed = |message_bytes: u32| {
        let mut payload = ErrorCode::Internal.to_wire().to_le_bytes().to_vec();
        payload.extend(message_bytes.to_le_bytes());
        payload.resize(6 + message_bytes as usize, b'm');
        payload.into()
    };
    assert_eq!(reply(Opcode::Failed, failed(limits::MESSAGE_BYTES)), Ok(()));
    assert_eq!(reply(Opcode::Failed, failed(limits::MESSAGE_BYTES + 1)), MALFORMED);
}

#[test]
fn bytes_that_stand_for_nothing_are_refused() {
    let table: &[(Opcode, &[u8], &str)] = &[
        (Opcode::Open, &[0, 0, 0, 0, 0, 0, 2], "persistent, without being the owner"),
        (Opcode::Open, &[0, 0, 0, 0, 0, 0, 8], "an unknown flag"),
        (Opcode::ListWorkspaces, &[2, 0, 0], "a flag that is neither 0 nor 1"),
        (Opcode::Declare, &[0, 0, 0, 0, 0], "the unknown mode"),
        (Opcode::Declare, &[0, 0, 0, 0, 5], "a fifth mode"),
        (Opcode::Release, &[8, 0, 0, 0, 0], "an unknown flag"),
        (Opcode::Release, &[5, 0, 0, 0, 0], "done and a death"),
        (Opcode::Release, &[6, 0, 0, 0, 0], "done in answer to a recall"),
        (Opcode::Retrieve, &[0, 0, 0, 0, 4, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], "an unknown flag"),
        (Opcode::Retrieve, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 3], "a fourth cursor"),
    ];
    for (opcode, payload, what) in table {
        assert_eq!(request(*opcode, Bytes::from_static(payload)), MALFORMED, "{opcode:?}: {what}");
    }
    let table: &[(Opcode, &[u8], &str)] = &[
        (Opcode::Failed, &[99, 0, 0, 0, 0, 0], "an unknown error code"),
        (Opcode::Failed, &[100, 0, 1, 0, 0, 0, 0xff], "a message that is not UTF-8"),
        (Opcode::Opened, &[0, 0, 2], "a flag that is neither 0 nor 1"),
        (Opcode::Workspaces, &[1, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0], "an unknown flag"),
        (Opcode::Finished, &[1, 0, 0, 0, 0, 0, 0, 0, 99, 0], "an unknown error code"),
    ];
    for (opcode, payload, what) in table {
        assert_eq!(reply(*opcode, Bytes::from_static(payload)), MALFORMED, "{opcode:?}: {what}");
    }
    let mut variables = counted(0, 1, 27).to_vec();
    assert_eq!(reply(Opcode::Variables, variables.clone().into()), Ok(()));
    *variables.last_mut().unwrap() = 5;
    assert_eq!(reply(Opcode::Variables, variables.into()), MALFORMED, "a fifth mode");
}
