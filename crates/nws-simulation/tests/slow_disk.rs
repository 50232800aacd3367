//! A disk that takes its time, and one that fails, in virtual time.
#![allow(clippy::unwrap_used)]

use nws_proto::*;
use nws_server::Limits;
use nws_server::simulation::{Carried, DiskOutcome, Simulated};
use nws_simulation::hand::{Frame, Hand, settle};

const MIB: usize = 1 << 20;
/// After how much silence either end gives the other up.
const SILENCE_MS: u64 = 4000;

fn server(limits: Limits) -> Simulated {
    let limits = Limits { spill_bytes: MIB as u64, values_disk_bytes: Some(1 << 30), ..limits };
    Simulated::new(limits, Hand::token(), 1).unwrap()
}

fn do_all(server: &mut Simulated, now_ms: u64, outcome: DiskOutcome) {
    while server.disk_jobs() > 0 {
        server.do_disk_job(0, outcome);
        settle(server, now_ms);
    }
}

fn opcode(frame: &Frame) -> Opcode {
    Opcode::from_wire(frame.0.opcode).unwrap()
}

fn failed(frame: &Frame) -> ErrorCode {
    assert_eq!(opcode(frame), Opcode::Failed);
    ErrorCode::from_wire(u16::from_le_bytes(*frame.1.first_chunk().unwrap())).unwrap()
}

/// Time passes, a client that asks for nothing else answers pings, and hears something of the server before
/// it would give it up.
fn is_kept_in_touch(server: &mut Simulated, client: &mut Hand, now_ms: &mut u64, until_ms: u64) {
    let mut heard_ms = *now_ms;
    while *now_ms < until_ms {
        *now_ms = server.due_ms().unwrap().clamp(*now_ms + 1, *now_ms + SILENCE_MS / 8);
        // As clients do who have heard nothing for long.
        if *now_ms - heard_ms > SILENCE_MS / 4 {
            client.ask(1_000_000 + *now_ms as u32, &Request::Ping);
        }
        settle(server, *now_ms);
        for (header, _) in client.frames() {
            heard_ms = *now_ms;
            let opcode = Opcode::from_wire(header.opcode).unwrap();
            assert!(matches!(opcode, Opcode::Ping | Opcode::Pong), "{opcode:?}");
            if opcode == Opcode::Ping {
                client.say(&FrameHeader { payload_bytes: 0, request: RequestId(0), opcode: 0x8A }.encode());
            }
        }
        assert!(*now_ms - heard_ms < SILENCE_MS * 3 / 4, "at {now_ms} ms, not since {heard_ms} ms");
        assert_eq!(server.connections(), (1, 1));
    }
}

#[test]
fn who_waits_for_a_disk_that_takes_minutes_to_write_hears_that_the_server_lives() {
    let mut server = server(Limits::default());
    let mut client = Hand::new(&mut server, 0, SILENCE_MS as u32);
    server.hold_disk(true);
    client.store(10, vec![7; 12 * MIB]);
    let mut now_ms = 0;
    settle(&mut server, now_ms);
    assert!(server.disk_jobs() > 0);
    is_kept_in_touch(&mut server, &mut client, &mut now_ms, 120_000);
    do_all(&mut server, now_ms, DiskOutcome::Done);
    let frames = client.frames();
    let last = frames.iter().find(|frame| opcode(frame) == Opcode::Done).unwrap();
    assert_eq!(last.0.request, RequestId(10), "the store is done");
}

/// A reading of the value that a find gives.
fn open_reading(server: &mut Simulated, client: &mut Hand, now_ms: u64) -> ReadingId {
    client.ask(20, &retrieve(false));
    settle(server, now_ms);
    let (header, payload) = client.frames().pop().unwrap();
    let reply = Reply::<Given>::decode(header.opcode, payload).unwrap();
    let Reply::Values { values, .. } = reply else { panic!("expected a value, got {reply:?}") };
    match values[0].item.value {
        Given::Reading { reading, .. } => reading,
        Given::Here(_) => panic!("expected a long value"),
    }
}

fn retrieve(take: bool) -> Request<bytes::Bytes> {
    Request::Retrieve(Retrieve {
        variable: VariableHandle(1),
        take,
        lease: false,
        wait: Wait::No,
        cursor: Cursor::Mode,
        max_values: 1,
        max_bytes: u32::MAX,
    })
}

/// A client that waits for ten bytes of a disk that does not answer, and after them for a short value that it
/// has fetched.
fn reader(server: &mut Simulated, now_ms: u64) -> Hand {
    let mut client = Hand::new(server, now_ms, SILENCE_MS as u32);
    client.store(10, vec![7; 2 * MIB]);
    settle(server, now_ms);
    let reading = open_reading(server, &mut client, now_ms);
    client.ask(21, &Request::DeleteVariable { variable: VariableHandle(1) });
    client.store(22, b"short".to_vec());
    settle(server, now_ms);
    client.frames();
    server.hold_disk(true);
    client.ask_long(30, &LongRequest::ReadPart { reading, offset: 0, max_bytes: 10 });
    client.ask(31, &retrieve(true));
    settle(server, now_ms);
    assert_eq!((server.disk_jobs(), client.opcodes().len()), (1, 0));
    client
}

#[test]
fn who_waits_for_a_disk_that_takes_minutes_to_read_hears_that_the_server_lives() {
    let mut server = server(Limits::default());
    let mut now_ms = 0;
    let mut client = reader(&mut server, now_ms);
    is_kept_in_touch(&mut server, &mut client, &mut now_ms, 120_000);
    do_all(&mut server, now_ms, DiskOutcome::Done);
    let frames = client.frames();
    assert_eq!((opcode(&frames[0]), frames[0].0.request), (Opcode::Part, RequestId(30)), "in the order of requests");
    assert_eq!(decode_part(frames[0].1.clone()).unwrap(), [7; 10][..]);
    assert_eq!((opcode(&frames[1]), frames[1].0.request), (Opcode::Values, RequestId(31)));
    assert!(frames[1].1.ends_with(b"short"));
}

#[test]
fn what_stands_behind_a_part_that_does_not_come_is_not_delivered_by_what_overtakes_it() {
    let mut server = server(Limits::default());
    let mut now_ms = 0;
    let mut client = reader(&mut server, now_ms);
    is_kept_in_touch(&mut server, &mut client, &mut now_ms, 120_000);
    client.link.reset();
    settle(&mut server, now_ms);
    assert_eq!(server.connections(), (0, 0));
    server.hold_disk(false);
    do_all(&mut server, now_ms, DiskOutcome::Done);
    let mut other = Hand::new(&mut server, now_ms, SILENCE_MS as u32);
    other.ask(10, &retrieve(true));
    settle(&mut server, now_ms);
    assert!(other.frames()[0].1.ends_with(b"short"), "it is back at its place");
}

fn begin(transfer: u32) -> LongRequest {
    LongRequest::BeginTransfer { transfer: TransferId(transfer) }
}

fn part(transfer: u32, length: usize) -> LongRequest {
    LongRequest::TransferPart { transfer: TransferId(transfer), bytes: vec![7; length].into() }
}

/// Stores what came by a transfer, behind these values.
fn store_transferred(client: &Hand, id: u32, transfer: u32, before: &[usize]) {
    let item = |value| Item { descriptor: Descriptor(3), value };
    let before = before.iter().map(|length| item(Sent::Here(vec![7; *length].into())));
    let items = before.chain([item(Sent::Transfer(TransferId(transfer)))]).collect();
    let mut payload = Vec::new();
    Request::Store { variable: VariableHandle(1), items }.encode(&mut payload);
    let payload_bytes = payload.len() as u32;
    let header = FrameHeader { payload_bytes, request: RequestId(id), opcode: Opcode::Store.to_wire() };
    client.say(&[&header.encode()[..], &payload].concat());
}

#[test]
fn who_sends_all_of_a_transfer_at_once_hears_that_the_disk_is_full() {
    let mut server = server(Limits::default());
    let mut client = Hand::new(&mut server, 0, SILENCE_MS as u32);
    server.limit_disk_files(0);
    client.ask_long(10, &begin(1));
    client.ask_long(11, &part(1, 100));
    client.ask_long(12, &part(1, 100));
    store_transferred(&client, 13, 1, &[]);
    client.ask_long(14, &part(1, 100));
    settle(&mut server, 0);
    let frames = client.frames();
    let ids: Vec<u32> = frames.iter().map(|(header, _)| header.request.0).collect();
    assert_eq!(ids, [10, 11, 12, 13, 14]);
    assert_eq!(opcode(&frames[0]), Opcode::Done);
    for frame in &frames[1..4] {
        assert_eq!(failed(frame), ErrorCode::DiskFull);
    }
    assert_eq!(failed(&frames[4]), ErrorCode::UnknownHandle, "the transfer is over");
}

#[test]
fn a_part_of_a_transfer_that_was_dropped_is_answered_for_what_became_of_itself() {
    let mut server = server(Limits { value_bytes: 1000, ..Limits::default() });
    let mut client = Hand::new(&mut server, 0, SILENCE_MS as u32);
    server.hold_disk(true);
    for (id, outcome) in [(10, DiskOutcome::Done), (20, DiskOutcome::Broken)] {
        client.ask_long(id, &begin(1));
        client.ask_long(id + 1, &part(1, 500));
        client.ask_long(id + 2, &LongRequest::DropTransfer { transfer: TransferId(1) });
        // Under the same number, one that fails at once or not at all.
        client.ask_long(id + 3, &begin(1));
        if outcome == DiskOutcome::Done {
            client.ask_long(id + 4, &part(1, 1001));
        }
        settle(&mut server, 0);
        client.frames();
        do_all(&mut server, 0, outcome);
        let frames = client.frames();
        assert_eq!((frames.len(), frames[0].0.request), (1, RequestId(id + 1)));
        match outcome {
            DiskOutcome::Done => assert_eq!(opcode(&frames[0]), Opcode::Done),
            _ => assert_eq!(failed(&frames[0]), ErrorCode::DiskFull),
        }
        client.ask_long(id + 5, &LongRequest::DropTransfer { transfer: TransferId(1) });
        settle(&mut server, 0);
        assert_eq!(client.opcodes(), [Opcode::Done]);
    }
}

#[test]
fn a_part_is_answered_when_all_of_it_is_written_in_whatever_order() {
    for outcome in [DiskOutcome::Done, DiskOutcome::Full] {
        let mut server = server(Limits::default());
        let mut client = Hand::new(&mut server, 0, SILENCE_MS as u32);
        server.hold_disk(true);
        client.ask_long(10, &begin(1));
        client.ask_long(11, &part(1, MIB));
        settle(&mut server, 0);
        assert_eq!(client.opcodes(), [Opcode::Done]);
        assert!(server.disk_jobs() > 1, "it came in pieces");
        while server.disk_jobs() > 1 {
            server.do_disk_job(1, DiskOutcome::Done);
            settle(&mut server, 0);
            assert_eq!(client.opcodes(), [], "the first piece is not written");
        }
        do_all(&mut server, 0, outcome);
        let frames = client.frames();
        match outcome {
            DiskOutcome::Done => assert_eq!(opcode(&frames[0]), Opcode::Done),
            _ => assert_eq!(failed(&frames[0]), ErrorCode::DiskFull),
        }
    }
}

#[test]
fn values_in_memory_that_wait_for_one_on_its_way_to_disk_count() {
    let mut server = server(Limits { values_bytes: 4 * MIB as u64, ..Limits::default() });
    let mut client = Hand::new(&mut server, 0, SILENCE_MS as u32);
    let mut other = Hand::new(&mut server, 0, SILENCE_MS as u32);
    server.hold_disk(true);
    client.ask_long(10, &begin(1));
    client.ask_long(11, &part(1, 100));
    store_transferred(&client, 12, 1, &[3 * MIB]);
    settle(&mut server, 0);
    assert_eq!(client.opcodes(), [Opcode::Done]);
    let items = vec![Item { descriptor: Descriptor(3), value: vec![7; MIB].into() }; 3];
    other.ask(10, &Request::Store { variable: VariableHandle(1), items });
    settle(&mut server, 0);
    assert_eq!(failed(&other.frames()[0]), ErrorCode::MemoryFull);
    do_all(&mut server, 0, DiskOutcome::Done);
    assert_eq!(client.opcodes(), [Opcode::Done, Opcode::Done]);
}

#[test]
fn what_is_on_its_way_to_disk_counts_and_is_bounded() {
    let mut server = server(Limits { values_bytes: 16 * MIB as u64, ..Limits::default() });
    let mut clients: Vec<Hand> = (0..20).map(|_| Hand::new(&mut server, 0, SILENCE_MS as u32)).collect();
    server.hold_disk(true);
    for client in &clients {
        client.store(10, vec![7; 4 * MIB]);
    }
    settle(&mut server, 0);
    let moving_bytes = server.held().moving_bytes;
    assert!((MIB..3 * MIB).contains(&(moving_bytes as usize)), "{moving_bytes}");
    let items = vec![Item { descriptor: Descriptor(3), value: vec![7; MIB].into() }; 15];
    let mut other = Hand::new(&mut server, 0, SILENCE_MS as u32);
    other.ask(10, &Request::Store { variable: VariableHandle(1), items });
    settle(&mut server, 0);
    assert_eq!(failed(&other.frames()[0]), ErrorCode::MemoryFull);
    do_all(&mut server, 0, DiskOutcome::Done);
    for client in &mut clients {
        assert_eq!(client.opcodes(), [Opcode::Done]);
    }
    assert_eq!(server.held().moving_bytes, 0);
}

/// A client of the classic protocol, which asks for `x` of `w` that way and says what it has read so far.
struct Old {
    link: nws_server::simulation::Link,
    read: usize,
}

impl Old {
    fn new(server: &mut Simulated, now_ms: u64) -> Self {
        let mut old = Self { link: server.connect(Carried::ByUnix, "unix", 1 << 28), read: 0 };
        old.link.send(b"0000");
        old.ask(&["use ws", "w", "1", "no"]);
        settle(server, now_ms);
        assert!(old.said().ends_with(b"0000"));
        old
    }

    fn ask(&self, arguments: &[&str]) {
        let said: String = arguments.iter().map(|one| format!("{:020}{one}", one.len())).collect();
        self.link.send(format!("{:04}{said}", arguments.len()).as_bytes());
    }

    fn said(&mut self) -> bytes::Bytes {
        self.link.receive(usize::MAX);
        let bytes = self.link.look(self.read, bytes::Bytes::copy_from_slice);
        self.read += bytes.len();
        bytes
    }
}

#[test]
fn who_asks_for_what_the_disk_does_not_give_is_told_and_the_value_stays_as_it_was() {
    let mut server = server(Limits::default());
    let mut client = reader(&mut server, 0);
    assert!(server.do_disk_job(0, DiskOutcome::Broken));
    settle(&mut server, 0);
    let frames = client.frames();
    assert_eq!((failed(&frames[0]), frames[0].0.request), (ErrorCode::DiskFailed, RequestId(30)));
    assert_eq!((opcode(&frames[1]), frames[1].0.request), (Opcode::Values, RequestId(31)));
    assert!(frames[1].1.ends_with(b"short"), "what stands behind it comes");
    assert_eq!(server.held().transit_bytes, 0, "and is delivered");

    server.hold_disk(false);
    client.store(40, vec![7; 2 * MIB]);
    client.ask(41, &retrieve(true));
    settle(&mut server, 0);
    let (header, payload) = client.frames().pop().unwrap();
    let Reply::Values { values, .. } = Reply::<Given>::decode(header.opcode, payload).unwrap() else { panic!() };
    let Given::Reading { reading, .. } = values[0].item.value else { panic!("expected a long value") };
    server.hold_disk(true);
    client.ask_long(42, &LongRequest::ReadPart { reading, offset: 0, max_bytes: 10 });
    settle(&mut server, 0);
    server.do_disk_job(0, DiskOutcome::Broken);
    settle(&mut server, 0);
    assert_eq!(failed(&client.frames()[0]), ErrorCode::DiskFailed);
    client.ask_long(43, &LongRequest::CloseReading { reading, give_back: true });
    server.hold_disk(false);
    settle(&mut server, 0);
    let reading = open_reading(&mut server, &mut client, 0);
    client.ask_long(44, &LongRequest::ReadPart { reading, offset: 0, max_bytes: 10 });
    settle(&mut server, 0);
    assert_eq!(decode_part(client.frames().pop().unwrap().1).unwrap(), [7; 10][..], "it is back and can be read");
}

#[test]
fn a_classic_client_gets_a_failure_for_what_the_disk_does_not_give_and_the_value_goes_back() {
    let mut server = server(Limits::default());
    let client = Hand::new(&mut server, 0, 0);
    let mut old = Old::new(&mut server, 0);
    client.store(10, vec![7; 2 * MIB]);
    settle(&mut server, 0);
    server.hold_disk(true);
    // What stands behind one that fails is as it is; who has fetched what is all there is waits next.
    for (operation, times) in [("find", 3), ("fetch", 1)] {
        (0..times).for_each(|_| old.ask(&[operation, "w", "x"]));
        settle(&mut server, 0);
        assert_eq!(old.said().len(), 0, "no reply begins before there is something of the value");
        while server.disk_jobs() > 0 {
            server.do_disk_job(0, DiskOutcome::Broken);
            settle(&mut server, 0);
        }
        let nothing = format!("0001{:020}{:020}", 0, 0);
        assert_eq!(old.said(), nothing.repeat(times), "{operation}");
        assert_eq!(server.held().transit_bytes, 0);
    }
    server.hold_disk(false);
    old.ask(&["fetch", "w", "x"]);
    settle(&mut server, 0);
    let said = old.said();
    assert!(said.starts_with(b"0000") && said.ends_with(&[7; 2 * MIB]), "{} bytes", said.len());
}

#[test]
fn a_connection_ends_where_the_disk_fails_amid_a_value_which_goes_back() {
    let mut server = server(Limits::default());
    let mut client = Hand::new(&mut server, 0, 0);
    let mut old = Old::new(&mut server, 0);
    client.store(10, vec![7; 3 * MIB]);
    settle(&mut server, 0);
    server.hold_disk(true);
    old.ask(&["fetch", "w", "x"]);
    settle(&mut server, 0);
    server.do_disk_job(0, DiskOutcome::Done);
    settle(&mut server, 0);
    assert!(old.said().starts_with(b"0000"), "it has begun");
    server.do_disk_job(0, DiskOutcome::Broken);
    settle(&mut server, 0);
    assert!(old.link.is_ended());
    assert_eq!(server.connections(), (1, 1));
    server.hold_disk(false);
    client.frames();
    let reading = open_reading(&mut server, &mut client, 0);
    client.ask_long(21, &LongRequest::ReadPart { reading, offset: 3 * MIB as u64 - 1, max_bytes: 10 });
    settle(&mut server, 0);
    assert_eq!(decode_part(client.frames().pop().unwrap().1).unwrap(), [7][..], "the value is back at its place");
}
