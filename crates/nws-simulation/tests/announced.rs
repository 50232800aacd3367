//! What was announced and has not come takes no room from others; what has come is bounded.
#![allow(clippy::unwrap_used)]

use nws_proto::*;
use nws_server::Limits;
use nws_server::simulation::{Carried, Link, Simulated};
use nws_simulation::hand::{Hand, settle};

const MIB: usize = 1 << 20;
/// Nobody is sent away for his silence.
const SILENCE_MS: u32 = 1_000_000;

fn server(values_mib: usize) -> Simulated {
    let values_bytes = (values_mib * MIB) as u64;
    let limits = Limits { values_bytes, values_disk_bytes: Some(1 << 30), ..Limits::default() };
    Simulated::new(limits, Hand::token(), 1).unwrap()
}

fn client(server: &mut Simulated) -> Hand {
    Hand::new(server, 0, SILENCE_MS)
}

/// The bytes of a store of values of these lengths.
fn store(lengths: &[usize]) -> Vec<u8> {
    let items = lengths.iter().map(|length| Item { descriptor: Descriptor(3), value: vec![7; *length].into() });
    let request = Request::<bytes::Bytes>::Store { variable: VariableHandle(1), items: items.collect() };
    let mut payload = Vec::new();
    request.encode(&mut payload);
    let payload_bytes = payload.len() as u32;
    let header = FrameHeader { payload_bytes, request: RequestId(10), opcode: Opcode::Store.to_wire() };
    [&header.encode()[..], &payload].concat()
}

/// The answer to request 10, as far as it is there.
fn answer(client: &mut Hand) -> Option<Result<(), ErrorCode>> {
    let (header, payload) = client.frames().pop()?;
    assert_eq!(header.request, RequestId(10));
    if header.opcode == Opcode::Done.to_wire() {
        return Some(Ok(()));
    }
    assert_eq!(header.opcode, Opcode::Failed.to_wire());
    Some(Err(ErrorCode::from_wire(u16::from_le_bytes(*payload.first_chunk().unwrap())).unwrap()))
}

#[test]
fn what_is_announced_and_not_sent_takes_no_room() {
    let mut server = server(64);
    let (mut slow, mut other) = (client(&mut server), client(&mut server));
    let large = store(&[30 * MIB, 30 * MIB]);
    slow.say(&large[..MIB]);
    settle(&mut server, 0);
    other.say(&store(&[10 * MIB, 10 * MIB]));
    settle(&mut server, 0);
    assert_eq!(answer(&mut other), Some(Ok(())));
    // What was announced first has no room any more, which is told when all of it has gone by.
    slow.say(&large[MIB..large.len() - 1]);
    settle(&mut server, 0);
    slow.say(&large[large.len() - 1..]);
    settle(&mut server, 0);
    assert_eq!(answer(&mut slow), Some(Err(ErrorCode::MemoryFull)));
    slow.say(&store(&[10 * MIB]));
    settle(&mut server, 0);
    assert_eq!(answer(&mut slow), Some(Ok(())), "it goes on");
}

#[test]
fn of_those_who_send_more_than_there_is_one_finds_room() {
    let mut server = server(64);
    let mut clients: Vec<Hand> = (0..4).map(|_| client(&mut server)).collect();
    let large = store(&[20 * MIB, 20 * MIB]);
    for piece in large.chunks(MIB) {
        for client in &clients {
            client.say(piece);
        }
        settle(&mut server, 0);
        let held = server.held();
        assert!(held.values_bytes + held.receiving_bytes < 66 * MIB as u64, "{held:?}");
    }
    let answers: Vec<_> = clients.iter_mut().map(|client| answer(client).unwrap()).collect();
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
    assert!(answers.iter().all(|answer| matches!(answer, Ok(()) | Err(ErrorCode::MemoryFull))), "{answers:?}");
}

#[test]
fn one_value_that_memory_has_no_more_room_for_goes_to_disk_whole() {
    let mut server = server(64);
    let (mut slow, mut other) = (client(&mut server), client(&mut server));
    let large = store(&[40 * MIB]);
    slow.say(&large[..10 * MIB]);
    settle(&mut server, 0);
    other.say(&store(&[26 * MIB, 26 * MIB]));
    settle(&mut server, 0);
    assert_eq!(answer(&mut other), Some(Ok(())));
    slow.say(&large[10 * MIB..]);
    settle(&mut server, 0);
    assert_eq!(answer(&mut slow), Some(Ok(())));
    let all = Request::Retrieve(Retrieve {
        variable: VariableHandle(1),
        take: false,
        lease: false,
        wait: Wait::No,
        cursor: Cursor::Oldest,
        max_values: 3,
        max_bytes: u32::MAX,
    });
    other.ask(20, &all);
    settle(&mut server, 0);
    let (header, payload) = other.frames().pop().unwrap();
    let reply = Reply::<Given>::decode(header.opcode, payload).unwrap();
    let Reply::Values { values, .. } = reply else { panic!("expected values, got {reply:?}") };
    let Given::Reading { reading, len_bytes } = values[2].item.value else { panic!("expected a long value") };
    assert_eq!(len_bytes, 40 * MIB as u64);
    for part in 0..40u32 {
        let offset = u64::from(part) * MIB as u64;
        other.ask_long(30 + part, &LongRequest::ReadPart { reading, offset, max_bytes: limits::PART_BYTES });
    }
    settle(&mut server, 0);
    let parts = other.frames();
    assert_eq!(parts.len(), 40);
    assert!(parts.into_iter().all(|(_, payload)| decode_part(payload).unwrap() == vec![7; MIB]));
}

#[test]
fn short_requests_that_are_received_beside_have_a_limit_together() {
    let mut server = server(1);
    let mut filler = client(&mut server);
    filler.say(&store(&[500_000, 500_000]));
    settle(&mut server, 0);
    assert_eq!(answer(&mut filler), Some(Ok(())));
    let mut clients: Vec<Hand> = (0..40).map(|_| client(&mut server)).collect();
    let short = store(&[500_000, 500_000]);
    for client in &clients {
        client.say(&short[..100]);
    }
    settle(&mut server, 0);
    for client in &clients {
        client.say(&short[100..900_000]);
        settle(&mut server, 0);
        assert!(server.held().receiving_bytes < 18 * MIB as u64, "{:?}", server.held());
    }
    for client in &mut clients {
        client.say(&short[900_000..]);
        settle(&mut server, 0);
        assert_eq!(answer(client), Some(Err(ErrorCode::MemoryFull)));
    }
    assert_eq!(server.held().receiving_bytes, 0);
}

/// An old client, with the workspace `w`.
fn old_client(server: &mut Simulated) -> Link {
    let link = server.connect(Carried::ByTcp, "10.0.0.1:2", 1 << 28);
    link.send(b"1112");
    say(&link, &[b"open ws", b"w", b"old", b"no"]);
    settle(server, 0);
    assert_eq!(link.receive(usize::MAX), b"22230000");
    link
}

fn said(arguments: &[&[u8]]) -> Vec<u8> {
    let count = format!("{:04}", arguments.len()).into_bytes();
    let argument = |argument: &&[u8]| [format!("{:020}", argument.len()).as_bytes(), argument].concat();
    [count, arguments.iter().flat_map(argument).collect()].concat()
}

fn say(link: &Link, arguments: &[&[u8]]) {
    link.send(&said(arguments));
}

/// Stores short values until there is no room for more.
fn fill(server: &mut Simulated, filler: &mut Hand) {
    for _ in 0..1000 {
        filler.say(&store(&[60_000]));
        settle(server, 0);
        if answer(filler) == Some(Err(ErrorCode::MemoryFull)) {
            return;
        }
    }
    panic!("there is room without end");
}

#[test]
fn an_old_client_s_value_that_finds_no_more_room_goes_to_disk_or_is_refused() {
    let mut server = server(8);
    let values = [(6 * MIB, "0000"), (700_000, "0001")];
    let stores = values.map(|(length, _)| said(&[b"store", b"w", b"x", b"3", &vec![7; length]]));
    let links = [(); 2].map(|()| old_client(&mut server));
    for (link, store) in links.iter().zip(&stores) {
        link.send(&store[..store.len() / 2]);
        settle(&mut server, 0);
        assert!(link.receive(usize::MAX).is_empty());
    }
    // The rest of what is received beside is taken by requests that do not go on either.
    let mut filler = client(&mut server);
    filler.say(&store(&[2 * MIB, 2 * MIB]));
    settle(&mut server, 0);
    assert_eq!(answer(&mut filler), Some(Ok(())));
    let begun: Vec<Hand> = (0..40).map(|_| client(&mut server)).collect();
    for client in &begun {
        client.say(&store(&[500_000, 500_000])[..900_000]);
        settle(&mut server, 0);
    }
    for ((link, store), (length, expected)) in links.iter().zip(&stores).zip(values) {
        // What the disk has taken leaves memory for these.
        if expected == "0001" {
            fill(&mut server, &mut filler);
        }
        link.send(&store[store.len() / 2..]);
        settle(&mut server, 0);
        assert_eq!(link.receive(usize::MAX), expected.as_bytes(), "a value of {length} bytes");
    }
    let (old, (length, _)) = (&links[0], values[0]);
    for _ in 0..2 {
        say(old, &[b"fetch", b"w", b"x"]);
        settle(&mut server, 0);
        old.receive(usize::MAX);
    }
    say(old, &[b"fetch", b"w", b"x"]);
    settle(&mut server, 0);
    let got = old.receive(usize::MAX);
    assert_eq!(got.len(), 84 + length);
    assert!(got.starts_with(b"0000") && got[84..].iter().all(|byte| *byte == 7));
}
