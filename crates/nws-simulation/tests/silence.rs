//! Who is quiet, in virtual time.
#![allow(clippy::unwrap_used)]

use nws_proto::{FrameHeader, Opcode, RequestId};
use nws_server::Limits;
use nws_server::simulation::Simulated;
use nws_simulation::hand::{Hand, settle};

const SILENCE_MS: u32 = 400;

/// Time passes; the client answers the first so many pings. When its connection ended, if it did.
fn quiet(answers: usize, until_ms: u64) -> (usize, Option<u64>) {
    let mut server = Simulated::new(Limits::default(), Hand::token(), 1).unwrap();
    let mut client = Hand::new(&mut server, 0, SILENCE_MS);
    let pong = FrameHeader { payload_bytes: 0, request: RequestId(0), opcode: Opcode::Pong.to_wire() }.encode();
    let (mut now_ms, mut pings) = (0, 0);
    while now_ms < until_ms {
        now_ms = server.due_ms().unwrap().max(now_ms + 1);
        settle(&mut server, now_ms);
        for opcode in client.opcodes() {
            if opcode == Opcode::Goodbye {
                return (pings, Some(now_ms));
            }
            assert_eq!(opcode, Opcode::Ping);
            pings += 1;
            if pings <= answers {
                client.say(&pong);
                settle(&mut server, now_ms);
            }
        }
    }
    (pings, None)
}

#[test]
fn a_session_that_answers_pings_lives_on_and_is_asked_after_every_quarter_of_its_silence() {
    assert_eq!(quiet(usize::MAX, 12_000), (12_000 / (SILENCE_MS as usize / 4), None));
}

#[test]
fn a_session_that_answers_no_more_ends_when_its_silence_is_over() {
    assert_eq!(quiet(0, 12_000), (1, Some(SILENCE_MS.into())), "it never said a word");
    for answers in [1, 2, 7] {
        let (pings, ended) = quiet(answers, 12_000);
        assert_eq!(pings, answers + 1);
        assert!(ended.is_some(), "after {answers} answers");
    }
}
