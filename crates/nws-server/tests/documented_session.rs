//! The session that `docs/protocol.md` shows in full, played to a server: it says what the page says.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::path::Path;

use nws_proto::{FRAME_HEADER_BYTES, FrameHeader, Opcode};
use support::{Ask, Raw, Running};

/// What the page shows: who says which bytes.
fn documented() -> Vec<(String, Vec<u8>)> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, block) = page.split_once("<!-- transcript: begin -->\n```\n").unwrap();
    let (block, _) = block.split_once("```\n").unwrap();
    let mut said: Vec<(String, Vec<u8>)> = Vec::new();
    for line in block.lines() {
        match line.strip_prefix("  ") {
            None => said.push((line.split(':').next().unwrap().to_owned(), Vec::new())),
            // The offset, two spaces, sixteen bytes, and the same bytes as text.
            Some(dump) => {
                let bytes = dump[6..6 + 47].split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap());
                said.last_mut().unwrap().1.extend(bytes);
            }
        }
    }
    said
}

#[test]
fn a_server_says_what_the_page_says() {
    let server = Running::start();
    // The handshake has nonces that are fresh every time. The silence that is asked for is so long that
    // no ping comes.
    let mut client = Raw::unix(&server.unix).welcome(Ask::default());
    let mut variable = None;
    let mut replies = 0;
    for (sender, bytes) in documented().into_iter().skip(4) {
        let (head, payload) = bytes.split_first_chunk::<FRAME_HEADER_BYTES>().unwrap();
        let header = FrameHeader::decode(head).unwrap();
        if [Opcode::Ping, Opcode::Pong].map(Opcode::to_wire).contains(&header.opcode) {
            continue;
        }
        if sender == "client" {
            client.send_bytes(&bytes);
            continue;
        }
        let (got_header, got) = client.receive_frame().unwrap();
        let (mut got, mut expected) = (got.to_vec(), payload.to_vec());
        if header.opcode == Opcode::Values.to_wire() && got.len() >= 8 {
            // The server is free in how it numbers its variables.
            let id: Vec<u8> = got.drain(..8).collect();
            expected.drain(..8);
            assert_eq!(*variable.get_or_insert_with(|| id.clone()), id, "the variable stays the same");
        }
        assert_eq!((got_header, got), (header, expected), "in reply to request {}", header.request);
        replies += 1;
    }
    assert_eq!(replies, 10);
}
