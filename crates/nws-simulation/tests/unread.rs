//! What waits to be sent to clients that do not read, in virtual time.
#![allow(clippy::unwrap_used)]

use nws_proto::*;
use nws_server::Limits;
use nws_server::simulation::Simulated;
use nws_simulation::hand::{Hand, settle};

const MIB: usize = 1 << 20;
/// Longer than anything here takes: nobody is ended because nothing is heard of it.
const SILENCE_MS: u32 = 3_600_000;
/// What is on its way to a client that does not read.
const ROOM_BYTES: usize = 16 << 10;

fn server(values_bytes: usize) -> Simulated {
    let limits = Limits { values_bytes: values_bytes as u64, values_disk_bytes: Some(0), ..Limits::default() };
    Simulated::new(limits, Hand::token(), 1).unwrap()
}

fn find() -> Request<bytes::Bytes> {
    let (take, lease, wait, cursor) = (false, false, Wait::No, Cursor::Mode);
    let (max_values, max_bytes) = (1, u32::MAX);
    Request::Retrieve(Retrieve { variable: VariableHandle(1), take, lease, wait, cursor, max_values, max_bytes })
}

fn delete() -> Request<bytes::Bytes> {
    Request::DeleteVariable { variable: VariableHandle(1) }
}

/// Some who asked for the value of `x` and have read less than all of it.
fn deaf(server: &mut Simulated, now_ms: u64, count: usize) -> Vec<Hand> {
    settle(server, now_ms);
    let mut all: Vec<Hand> = (0..count).map(|_| Hand::narrow(server, now_ms, SILENCE_MS, ROOM_BYTES)).collect();
    all.iter_mut().for_each(|hand| hand.ask(10, &find()));
    settle(server, now_ms);
    all
}

/// Reads until nothing more comes.
fn read_all(server: &mut Simulated, now_ms: u64, hand: &mut Hand) -> Vec<Opcode> {
    let mut opcodes = Vec::new();
    for _ in 0..1000 {
        opcodes.extend(hand.opcodes());
        settle(server, now_ms);
        if !hand.link.has_something() {
            break;
        }
    }
    opcodes
}

#[test]
fn a_value_that_only_replies_hold_counts_once_however_many_hold_it() {
    let mut server = server(64 * MIB);
    let storer = Hand::new(&mut server, 0, SILENCE_MS);
    storer.store(10, vec![7; 4 * MIB]);
    let mut readers = deaf(&mut server, 0, 20);
    assert!(server.held().unsent_bytes < 100_000, "the value is kept: {:?}", server.held());
    storer.ask(11, &delete());
    settle(&mut server, 0);
    let held = server.held();
    assert_eq!(held.values_bytes, 0);
    let once = 4 * MIB as u64..4 * MIB as u64 + 100_000;
    assert!(once.contains(&held.unsent_bytes), "{held:?}");
    for reader in &mut readers[1..] {
        assert_eq!(read_all(&mut server, 0, reader), [Opcode::Values]);
        assert!(once.contains(&server.held().unsent_bytes), "{:?}", server.held());
    }
    assert_eq!(read_all(&mut server, 0, &mut readers[0]), [Opcode::Values]);
    assert_eq!(server.held().unsent_bytes, 0);
}

#[test]
fn a_value_on_its_way_to_who_fetched_it_counts_there_alone() {
    let mut server = server(64 * MIB);
    let storer = Hand::new(&mut server, 0, SILENCE_MS);
    storer.store(10, vec![7; 4 * MIB]);
    let finders = deaf(&mut server, 0, 3);
    let mut fetcher = Hand::narrow(&mut server, 0, SILENCE_MS, ROOM_BYTES);
    let Request::Retrieve(find) = find() else { panic!() };
    fetcher.ask(10, &Request::Retrieve(Retrieve { take: true, ..find }));
    settle(&mut server, 0);
    let held = server.held();
    assert!(held.transit_bytes > 4 * MIB as u64 && held.unsent_bytes < 100_000, "{held:?}");
    assert_eq!(read_all(&mut server, 0, &mut fetcher), [Opcode::Values]);
    let held = server.held();
    assert!(held.transit_bytes == 0 && held.unsent_bytes > 4 * MIB as u64, "the finders have it still: {held:?}");
    finders.iter().for_each(|finder| finder.link.reset());
    settle(&mut server, 0);
    assert_eq!(server.held().unsent_bytes, 0);
}

#[test]
fn who_has_read_nothing_for_longest_is_ended_where_more_waits_to_be_sent_than_may() {
    let mut server = server(8 * MIB);
    let mut storer = Hand::new(&mut server, 0, SILENCE_MS);
    let mut held_by: Vec<Hand> = Vec::new();
    for now_ms in 1..20 {
        storer.store(10, vec![7; MIB]);
        settle(&mut server, now_ms);
        held_by.extend(deaf(&mut server, now_ms, 1));
        storer.ask(11, &delete());
        // The second one reads, slowly.
        if let Some(slow) = held_by.get_mut(1).filter(|_| now_ms < 15) {
            slow.link.receive(1);
        }
        settle(&mut server, now_ms);
        let held = server.held();
        assert!(held.values_bytes + held.unsent_bytes <= 8 * MIB as u64, "{held:?}");
        assert_eq!(storer.opcodes(), [Opcode::Done, Opcode::Done], "nobody else is disturbed");
        let ended: Vec<usize> = (0..held_by.len()).filter(|place| held_by[*place].link.is_ended()).collect();
        // Seven are as many as there is room for.
        let expected = (now_ms as usize).saturating_sub(7);
        let oldest: Vec<usize> =
            (0..held_by.len()).filter(|place| *place != 1 || now_ms >= 15).take(expected).collect();
        if now_ms < 15 {
            assert_eq!(ended, oldest, "at {now_ms} ms");
        }
        assert_eq!(ended.len(), expected, "no more than there have to be");
    }
}

#[test]
fn stores_are_not_refused_for_who_does_not_read() {
    let mut server = server(8 * MIB);
    let mut storer = Hand::new(&mut server, 0, SILENCE_MS);
    storer.store(10, vec![7; 6 * MIB]);
    let readers = deaf(&mut server, 1, 2);
    storer.ask(11, &delete());
    settle(&mut server, 2);
    assert!(readers.iter().all(|reader| !reader.link.is_ended()));
    (0..7).for_each(|id| storer.store(20 + id, vec![7; MIB]));
    settle(&mut server, 3);
    assert_eq!(storer.opcodes(), [Opcode::Done; 9]);
    assert!(readers.iter().all(|reader| reader.link.is_ended()), "both hold it");
    assert_eq!(server.held().unsent_bytes, 0);
}

#[test]
fn a_part_of_the_memory_is_for_what_waits_to_be_sent_however_much_is_kept() {
    let mut server = server(8 * MIB);
    let mut storer = Hand::new(&mut server, 0, SILENCE_MS);
    storer.store(10, vec![7; 1_900_000]);
    let mut readers = deaf(&mut server, 1, 1);
    storer.ask(11, &delete());
    (0..8).for_each(|id| storer.store(20 + id, vec![7; MIB - 1000]));
    settle(&mut server, 2);
    assert_eq!(storer.opcodes(), [Opcode::Done; 10]);
    assert_eq!(read_all(&mut server, 3, &mut readers[0]), [Opcode::Values], "it is let be");
}

#[test]
fn many_who_have_a_little_each_are_bounded_together() {
    let limits = Limits { values_bytes: MIB as u64, unsent_bytes: 64 << 10, ..Limits::default() };
    let mut server = Simulated::new(limits, Hand::token(), 1).unwrap();
    let mut storer = Hand::new(&mut server, 0, SILENCE_MS);
    storer.store(10, vec![7; 1000]);
    settle(&mut server, 0);
    storer.opcodes();
    let mut ended = 0;
    let mut all = Vec::new();
    for now_ms in 1..100 {
        let hand = Hand::narrow(&mut server, now_ms, SILENCE_MS, ROOM_BYTES);
        (0..150).for_each(|id| hand.ask(10 + id, &find()));
        settle(&mut server, now_ms);
        all.push(hand);
        let held = server.held();
        assert!(held.unsent_bytes <= (MIB + MIB / 8) as u64, "{held:?}");
        ended = all.iter().filter(|hand| hand.link.is_ended()).count();
        assert!(all[..ended].iter().all(|hand| hand.link.is_ended()), "the first go first");
    }
    assert!((70..90).contains(&ended), "{ended}");
    storer.ask(11, &find());
    settle(&mut server, 100);
    assert_eq!(storer.opcodes(), [Opcode::Values]);
}

#[test]
fn listings_for_very_many_are_made_a_few_at_a_time_and_wait_for_who_does_not_read() {
    let mut server = server(24 * MIB);
    let mut lister = Hand::new(&mut server, 0, SILENCE_MS);
    for id in 0..5000 {
        let name = format!("{id:0300}").into_bytes();
        lister.ask(10 + 3 * id, &Request::Bind { variable: VariableHandle(2), workspace: WorkspaceHandle(1), name });
        let items = vec![Item { descriptor: Descriptor(0), value: b"v"[..].into() }];
        lister.ask(11 + 3 * id, &Request::Store { variable: VariableHandle(2), items });
        lister.ask(12 + 3 * id, &Request::Unbind { variable: VariableHandle(2) });
    }
    settle(&mut server, 0);
    assert_eq!(lister.opcodes(), [Opcode::Done; 15_000]);
    let list = Request::ListVariables { workspace: WorkspaceHandle(1) };
    lister.ask(1, &list);
    settle(&mut server, 0);
    let (header, listed) = lister.frames().pop().unwrap();
    assert_eq!(header.opcode, Opcode::Variables.to_wire());

    let deaf: Vec<Hand> = (0..40).map(|_| Hand::narrow(&mut server, 1, SILENCE_MS, ROOM_BYTES)).collect();
    deaf.iter().for_each(|hand| hand.ask(10, &list));
    lister.ask(2, &list);
    for _ in 0..10_000 {
        server.turn(2, |_| ());
        let held = server.held();
        assert!(held.listing_bytes <= 4 * listed.len(), "{held:?}");
        let unsent_most = 24 * MIB as u64 - held.values_bytes;
        assert!(held.unsent_bytes <= unsent_most + listed.len() as u64, "{held:?}");
        if server.due_ms().is_none_or(|due_ms| due_ms > 2) {
            break;
        }
    }
    let (_, again) = lister.frames().pop().expect("who reads gets its listing");
    assert_eq!(again, listed);
    assert!(deaf.iter().any(|hand| hand.link.is_ended()), "there were too many");
}
