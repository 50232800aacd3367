//! The fuzzers' functions on what is known and on what is made from it; `make fuzz` looks further.
#![allow(clippy::unwrap_used)]

use nws_proto::classic::{Decoder, Weight};
use nws_proto::{FrameHeader, Request, Sent};
use nws_testkit::Watchdog;
use nws_testkit::fuzz::{self, Counting, seeds, smoke};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Seeds that are refused at once lead nowhere.
#[test]
fn the_seeds_are_requests() {
    let _watchdog = Watchdog::start(120);
    let mut requests = 0;
    for seed in seeds::classic() {
        let (mut decoder, mut rest) = (Decoder::default(), &seed[8..]);
        while let Ok(Some(_)) = decoder.next(&mut rest, |_| Weight::Take) {
            requests += 1;
        }
    }
    assert!(requests > 150, "{requests} requests of the classic protocol");
    let decodes = |seed: &&Vec<u8>| {
        let (head, payload) = seed.split_first_chunk().unwrap();
        let opcode = FrameHeader::decode(head).unwrap().opcode;
        opcode < 0x80 && Request::<Sent>::decode(opcode, payload.to_vec().into()).is_ok()
    };
    let frames = seeds::frames().iter().filter(decodes).count();
    assert!(frames > 30, "{frames} requests of our own");
}

#[test]
fn frames_are_written_as_they_were_read() {
    let _watchdog = Watchdog::start(120);
    smoke("frames", fuzz::frames, seeds::frames(), 40_000);
}

#[test]
fn classic_requests_are_the_same_however_they_are_cut() {
    let _watchdog = Watchdog::start(120);
    smoke("classic", fuzz::classic, seeds::classic(), 20_000);
}

#[test]
fn histories_that_bytes_choose_agree_with_the_plain_model() {
    let _watchdog = Watchdog::start(120);
    smoke("histories", fuzz::histories, seeds::choices(), 2000);
}
