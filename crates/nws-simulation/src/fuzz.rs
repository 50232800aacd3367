//! What the fuzzers run around the whole server, and the inputs that they begin with.

use bytes::Bytes;
use nws_proto::{
    Challenge, Event, FRAME_HEADER_BYTES, FrameHeader, GREETING, Given, Opcode, Reply, SessionId, decode_part,
};
use nws_server::Limits;
use nws_server::simulation::{Carried, Link, Simulated};
use nws_testkit::Dice;
use nws_testkit::fuzz::seeds;

use crate::own::{TOKEN, hello};
pub use crate::pickles::{pickle_seeds, pickles};

const ROOM_BYTES: usize = 100_000;
/// After so many turns everything has to have come to its end.
const MOST_TURNS: usize = 100;
/// What of an input says how the rest is cut.
const CUT_BYTES: usize = 8;

/// The bytes choose what clients do and what happens to them; the server keeps every promise.
///
/// # Panics
/// Where it does not.
pub fn simulation(bytes: &[u8]) {
    if let Err(wrong) = crate::replay(bytes, 400) {
        panic!("{wrong}");
    }
}

/// The bytes come as the first ones of a connection. None of them are the proof of a token that nobody
/// knows, so they are never let in as the project's own protocol.
///
/// # Panics
/// Where they are, or the server's tables disagree.
pub fn handshake(bytes: &[u8]) {
    let (mut server, link) = server_and_link();
    let (mut cut, bytes) = cuts(bytes);
    feed(&mut server, &link, bytes, &mut cut);
    let classic = bytes.len() >= GREETING.len() && !bytes.starts_with(&GREETING) && bytes[0] != 0x16;
    let (_, sessions) = server.connections();
    assert!(sessions == 0 || classic, "it was let in");
    end(server, &link);
}

/// The bytes come from a client that was let in; the first one says with which protocol.
///
/// # Panics
/// Where what is answered is no answer, or the server's tables disagree.
pub fn server(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let (mut server, link) = server_and_link();
    let (mut cut, bytes) = cuts(bytes);
    let own = kind % 2 == 0;
    if own {
        link.send(&GREETING);
        server.turn(0, |_| ());
        let challenge = link.look(FRAME_HEADER_BYTES, |bytes| Challenge::decode(Bytes::copy_from_slice(bytes)));
        link.send(&hello(&challenge.expect("a challenge"), 60_000, SessionId(0)));
    } else {
        link.send(b"1112");
    }
    server.turn(0, |_| ());
    assert_eq!(server.connections(), (1, 1), "who knows the token is let in");
    feed(&mut server, &link, bytes, &mut cut);
    if own {
        link.look(0, well_formed);
    }
    end(server, &link);
}

fn server_and_link() -> (Simulated, Link) {
    let limits = Limits { values_bytes: 1 << 20, unsent_bytes: 1 << 12, ..Limits::default() };
    let mut server = Simulated::new(limits, TOKEN, 1).expect("a poll");
    let link = server.connect(Carried::ByTcp, "10.0.0.1:1", ROOM_BYTES);
    (server, link)
}

fn cuts(bytes: &[u8]) -> (Dice, &[u8]) {
    let (cuts, bytes) = bytes.split_at(bytes.len().min(CUT_BYTES));
    (Dice::seeded(cuts.iter().fold(0, |seed, byte| seed << 8 | u64::from(*byte))), bytes)
}

/// Sends the bytes in pieces, some of which come with others; reads some of what comes.
fn feed(server: &mut Simulated, link: &Link, mut bytes: &[u8], dice: &mut Dice) {
    let longest = [1, 10, 100, 4096][dice.below(4)];
    let reads = dice.one_in(2);
    let mut now_ms = 0;
    while !bytes.is_empty() {
        let piece = bytes.len().min(1 + dice.below(longest));
        let sent = link.send(&bytes[..piece]);
        bytes = &bytes[sent..];
        if dice.one_in(3) {
            continue;
        }
        now_ms += dice.below(3) as u64;
        server.turn(now_ms, |_| ());
        server.audit().expect("the tables agree");
        if reads {
            link.receive(dice.below(1000));
        }
        if sent == 0 {
            // It is not read from until it reads.
            link.receive(usize::MAX);
            server.turn(now_ms, |_| ());
            if link.is_ended() {
                return;
            }
        }
    }
    server.turn(now_ms, |_| ());
}

/// Every frame that came whole can be read.
fn well_formed(mut bytes: &[u8]) {
    while let Some((head, rest)) = bytes.split_first_chunk::<FRAME_HEADER_BYTES>() {
        let header = FrameHeader::decode(head).expect("a header");
        let Some((payload, after)) = rest.split_at_checked(header.payload_bytes as usize) else { return };
        let payload = Bytes::copy_from_slice(payload);
        match Opcode::from_wire(header.opcode) {
            Some(Opcode::Challenge | Opcode::Welcome | Opcode::Ping) => {}
            Some(Opcode::Part) => drop(decode_part(payload).expect("a part")),
            _ if header.opcode < 0xC0 => drop(Reply::<Given>::decode(header.opcode, payload).expect("a reply")),
            _ => drop(Event::decode(header.opcode, payload).expect("an event")),
        }
        bytes = after;
    }
}

/// The client goes, and with it all that was its.
fn end(mut server: Simulated, link: &Link) {
    server.audit().expect("the tables agree");
    link.close();
    for _ in 0..MOST_TURNS {
        if server.connections() == (0, 0) {
            assert_eq!(server.waiting(), 0, "nobody waits");
            return server.audit().expect("the tables agree");
        }
        let due_ms = server.due_ms().expect("something is left to be done");
        server.turn(due_ms, |_| ());
    }
    panic!("the connection does not end");
}

/// What a client of either protocol says, as [`server`] takes it.
pub fn server_seeds() -> Vec<Vec<u8>> {
    let own = seeds::frames().into_iter().map(|said| [&[0; 1 + CUT_BYTES][..], &said].concat());
    let classic = seeds::classic().into_iter().map(|said| [&[1][..], &said].concat());
    own.chain(classic).collect()
}

/// What a client of either protocol begins with, as [`handshake`] takes it.
pub fn handshake_seeds() -> Vec<Vec<u8>> {
    let frames = seeds::frames();
    let begun = |said: &Vec<u8>| [&[0; CUT_BYTES][..], &GREETING, said].concat();
    let own = frames.iter().map(begun);
    let others: [&[u8]; 5] = [b"1111", b"0000", b"1112", b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\n\r\n"];
    own.chain(others.map(|said| [&[0; CUT_BYTES][..], said].concat())).collect()
}
