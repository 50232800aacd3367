//! What the codec writes it reads, and what is anything else it refuses without a panic.

mod arbitrary;

use arbitrary::{Frame, frame};
use bytes::Bytes;
use nws_proto::{
    Descriptor, ErrorClass, ErrorCode, FRAME_HEADER_BYTES, FrameHeader, GRANT_HEAD_BYTES, Given, Grant, Head, Index,
    Item, LeaseId, LongRequest, Opcode, READING_BYTES, ReadingId, Reply, Request, RequestId, Sent, VALUES_HEAD_BYTES,
    VariableId,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Runs `check` on many frames of every opcode; a failure prints the smallest frame that fails.
fn for_frames_of_every_opcode(cases: u32, check: impl Fn(Opcode, Frame) -> Result<(), TestCaseError>) {
    for &opcode in Opcode::ALL {
        let outcome = TestRunner::new(Config::with_cases(cases)).run(&frame(opcode), |frame| check(opcode, frame));
        if let Err(failure) = outcome {
            panic!("{opcode:?}: {failure}");
        }
    }
}

#[test]
fn every_frame_reads_as_it_was_written() {
    for_frames_of_every_opcode(200, |opcode, frame| {
        prop_assert_eq!(frame.opcode(), opcode);
        prop_assert_eq!(Frame::decode(opcode.to_wire(), &frame.payload()), Ok(frame));
        Ok(())
    });
}

#[test]
fn a_request_reads_the_same_where_its_values_are_copied() {
    for_frames_of_every_opcode(50, |opcode, frame| {
        let mut payload = frame.payload();
        if let Frame::Request(request) = frame {
            let copied = Request::decode_copying(opcode.to_wire(), &payload);
            // What is read stays as it was when the payload's memory is used again.
            payload.fill(0xff);
            prop_assert_eq!(copied, Ok(request));
        }
        Ok(())
    });
}

#[test]
fn a_payload_that_ends_early_is_refused() {
    for_frames_of_every_opcode(30, |opcode, frame| {
        let payload = frame.payload();
        for end in 0..payload.len() {
            let fault = Frame::decode(opcode.to_wire(), &payload[..end]).expect_err("a part passed for the whole");
            prop_assert_eq!(fault.code, ErrorCode::MalformedFrame);
        }
        Ok(())
    });
}

#[test]
fn a_payload_with_bytes_left_over_is_refused() {
    for_frames_of_every_opcode(50, |opcode, frame| {
        for extra in [&[0][..], &[1], &[0; 64]] {
            let payload = [&frame.payload(), extra].concat();
            let fault = Frame::decode(opcode.to_wire(), &payload).expect_err("leftovers were passed over");
            prop_assert_eq!(fault.code, ErrorCode::MalformedFrame);
        }
        Ok(())
    });
}

#[test]
fn a_payload_is_as_long_as_it_was_said_to_be() {
    for_frames_of_every_opcode(50, |_, frame| {
        if let Frame::Request(request) = &frame {
            prop_assert_eq!(request.payload_bytes(), frame.payload().len() as u64);
        }
        Ok(())
    });
}

/// There is one way to write a frame. Only a retrieval may ask for more bytes than it gets.
#[test]
fn a_payload_with_a_changed_byte_is_refused_or_reads_as_another_frame() {
    for_frames_of_every_opcode(30, |opcode, frame| {
        let payload = frame.payload();
        for at in 0..payload.len() {
            for flip in [0x01, 0x02, 0x80, 0xff] {
                let mut changed = payload.clone();
                changed[at] ^= flip;
                let Ok(other) = Frame::decode(opcode.to_wire(), &changed) else { continue };
                if opcode == Opcode::Retrieve && (13..17).contains(&at) {
                    prop_assert_eq!(other.payload().len(), changed.len());
                } else {
                    prop_assert_eq!(other.payload(), changed);
                }
            }
        }
        Ok(())
    });
}

proptest! {
    #![proptest_config(Config::with_cases(4096))]

    #[test]
    fn random_bytes_never_panic(payload in vec(any::<u8>(), 0..200), unknown in any::<u16>()) {
        for opcode in Opcode::ALL.iter().map(|opcode| opcode.to_wire()).chain([unknown]) {
            if let Ok(frame) = Frame::decode(opcode, &payload) {
                prop_assert_eq!(frame.payload().len(), payload.len());
            }
        }
    }

    /// Small numbers make lengths and counts that nearly fit.
    #[test]
    fn random_small_numbers_never_panic(payload in vec(0..4u8, 0..100)) {
        for opcode in Opcode::ALL {
            if let Ok(frame) = Frame::decode(opcode.to_wire(), &payload) {
                prop_assert_eq!(frame.payload().len(), payload.len());
            }
        }
    }

    #[test]
    fn a_header_reads_as_it_was_written((payload_bytes, request, opcode) in any::<(u32, u32, u16)>()) {
        let header = FrameHeader { payload_bytes, request: RequestId(request), opcode };
        prop_assert_eq!(FrameHeader::decode(&header.encode()), Some(header));
    }
}

#[test]
fn a_header_whose_reserved_bytes_are_not_zero_is_refused() {
    for at in FRAME_HEADER_BYTES - 2..FRAME_HEADER_BYTES {
        let mut bytes = FrameHeader { payload_bytes: 0, request: RequestId(1), opcode: 2 }.encode();
        bytes[at] = 1;
        assert_eq!(FrameHeader::decode(&bytes), None, "byte {at}");
    }
}

#[test]
fn every_opcode_is_known_by_its_number_and_no_other_number_is() {
    let numbers: Vec<u16> = (0..=u16::MAX).filter(|number| Opcode::from_wire(*number).is_some()).collect();
    let mut known: Vec<u16> = Opcode::ALL.iter().map(|opcode| opcode.to_wire()).collect();
    known.sort_unstable();
    assert_eq!(numbers, known);
    for opcode in Opcode::ALL {
        assert_eq!(Opcode::from_wire(opcode.to_wire()), Some(*opcode));
    }
}

/// `Ping` and `Pong` go both ways; the end that gets them looks at the opcode before it decodes.
#[test]
fn a_frame_for_the_other_end_is_an_unknown_opcode() {
    for &opcode in Opcode::ALL {
        let number = opcode.to_wire();
        let request = Request::<Bytes>::decode(number, Vec::new().into()).err().map(|fault| fault.code);
        let reply = Reply::<Bytes>::decode(number, Vec::new().into()).err().map(|fault| fault.code);
        let unknown = Some(ErrorCode::UnknownOpcode);
        let parts = LongRequest::decode(number, Bytes::new()).err().map(|fault| fault.code);
        let (is_part, is_request) = (LongRequest::has(number), number < 0x80 && opcode != Opcode::Hello);
        assert_eq!(request == unknown, is_part || !is_request, "{opcode:?} as a request");
        assert_eq!(parts == unknown, !is_part, "{opcode:?} as a request about parts");
        let is_reply = (0x80..0xC0).contains(&number) && opcode != Opcode::Part;
        assert_eq!(reply == unknown, !is_reply, "{opcode:?} as a reply");
    }
}

#[test]
fn a_payload_that_cannot_be_read_is_the_fault_of_who_sent_it() {
    let malformed = Request::<Bytes>::decode(Opcode::Store.to_wire(), vec![1, 2, 3].into()).unwrap_err();
    assert_eq!(malformed.code.class(), ErrorClass::Malformed);
    assert_eq!(malformed.message, "malformed Store frame: expected variable handle");
    let unknown = Request::<Bytes>::decode(0x7f, Vec::new().into()).unwrap_err();
    assert_eq!(unknown.code.class(), ErrorClass::Malformed);
    assert_eq!(unknown.message, "expected an opcode of protocol version 1, got 0x007f");
}

#[test]
fn the_head_of_a_frame_with_its_value_is_the_frame() {
    for_frames_of_every_opcode(200, |opcode, frame| {
        let payload = frame.payload();
        let Some(head_bytes) = Head::bytes(opcode.to_wire()) else {
            prop_assert_eq!(Head::read(opcode.to_wire(), &payload), None);
            return Ok(());
        };
        for end in 0..head_bytes {
            prop_assert_eq!(Head::read(opcode.to_wire(), &payload[..end]), None);
        }
        let heading = Head::read(opcode.to_wire(), &payload[..head_bytes]).expect("a head");
        let value = Bytes::copy_from_slice(&payload[head_bytes..]);
        let of_one = heading.is_of_one(head_bytes, payload.len() as u32);
        match frame {
            Frame::Request(request) => {
                prop_assert_eq!(heading.values as usize, request.values());
                prop_assert_eq!(of_one, request.values() == 1);
                if of_one {
                    prop_assert_eq!(heading.head.with(value), Some(request));
                }
            }
            Frame::LongRequest(request) => {
                prop_assert_eq!(heading.values as usize, request.values());
                if of_one {
                    prop_assert_eq!(heading.head.with(Sent::Here(value)), Some(request));
                }
            }
            Frame::Parts(LongRequest::TransferPart { transfer, bytes }) => {
                prop_assert_eq!((heading.head, of_one, value), (Head::Part { transfer }, true, bytes));
                prop_assert!(heading.fits_a_part());
            }
            frame => panic!("expected a frame that has a head, got {frame:?}"),
        }
        Ok(())
    });
}

#[test]
fn values_stand_in_a_reply_where_it_is_said() {
    let grant = |value| Grant { index: Index(1), deaths: 0, item: Item { descriptor: Descriptor(0), value } };
    let here = || grant(Given::Here(Bytes::from_static(b"seven b")));
    let elsewhere = || grant(Given::Reading { reading: ReadingId(1), len_bytes: 1 << 40 });
    for (values, expected) in [
        (vec![], 0),
        (vec![here()], GRANT_HEAD_BYTES + 7),
        (vec![here(), elsewhere()], 2 * GRANT_HEAD_BYTES + 7 + READING_BYTES),
    ] {
        let mut payload: Vec<u8> = Vec::new();
        Reply::Values { variable: VariableId(1), first_lease: LeaseId(0), values }.encode(&mut payload);
        assert_eq!(payload.len(), VALUES_HEAD_BYTES + expected);
    }
}
