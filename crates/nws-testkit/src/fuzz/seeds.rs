//! Inputs to begin with: what the documents and transcripts of this project say.

use std::fs;
use std::path::{Path, PathBuf};

use nws_proto::{FrameHeader, Opcode, RequestId};

use crate::Dice;

/// A place in the tree, from its root.
pub fn place(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn between<'a>(text: &'a str, mark: &str) -> &'a str {
    let (_, rest) = text.split_once(&format!("<!-- {mark}: begin -->")).expect("the mark is there");
    rest.split_once(&format!("<!-- {mark}: end -->")).expect("the mark is there").0
}

/// Every frame that `docs/protocol.md` shows, and what each end says in the session there.
pub fn frames() -> Vec<Vec<u8>> {
    let page = read(&place("docs/protocol.md"));
    let mut seeds = session(&page, "client");
    seeds.extend(session(&page, "server"));
    for row in between(&page, "frames").lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let name = cells[0].trim().trim_matches('`');
        let opcode = Opcode::ALL.iter().find(|opcode| format!("{opcode:?}") == name).expect("an opcode");
        let payload: Vec<u8> = hexadecimal(cells[2].trim().trim_matches('`')).collect();
        let header =
            FrameHeader { payload_bytes: payload.len() as u32, request: RequestId(1), opcode: opcode.to_wire() };
        seeds.push([&header.encode()[..], &payload].concat());
    }
    seeds
}

/// What this end says in the documented session, without the greeting: each frame, and all of them.
fn session(page: &str, end: &str) -> Vec<Vec<u8>> {
    let mut said: Vec<Vec<u8>> = Vec::new();
    let mut listens = false;
    for line in between(page, "transcript").lines() {
        match line.strip_prefix("  ") {
            None => {
                listens = line.starts_with(end) && !line.ends_with("greeting");
                said.extend(listens.then(Vec::new));
            }
            Some(dump) if listens => said.last_mut().expect("a frame").extend(hexadecimal(&dump[6..6 + 47])),
            Some(_) => {}
        }
    }
    said.push(said.concat());
    said
}

/// What is written in digits; anything else is passed over.
fn hexadecimal(text: &str) -> impl Iterator<Item = u8> {
    text.split_whitespace().filter_map(|byte| u8::from_str_radix(byte, 16).ok())
}

/// What the clients of the classic transcripts say, without the greeting and behind the eight bytes
/// that say how it is cut: the parts between two empty lines, as a whole one is long.
pub fn classic() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    let mut paths: Vec<PathBuf> = fs::read_dir(place("crates/nws-server/tests/transcripts"))
        .expect("the folder of transcripts")
        .map(|entry| entry.expect("a transcript").path())
        .collect();
    paths.sort();
    for path in paths {
        for part in read(&path).split("\n\n") {
            let lines: Vec<&str> = part.lines().collect();
            let greets = |at: usize| lines.get(at + 1) == Some(&"> 2223");
            let said = lines.iter().enumerate().filter(|(at, _)| !greets(*at));
            // What the server chose stands in braces, and is as good as any other bytes here.
            let said: Vec<u8> = said.filter_map(|(_, line)| line.strip_prefix("< ")).flat_map(unescaped).collect();
            if !said.is_empty() {
                seeds.push([&[seeds.len() as u8; 8][..], &said].concat());
            }
        }
    }
    seeds
}

fn unescaped(line: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = line.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        let (byte, length) = match (first, after) {
            (b'\\', [b'n', ..]) => (b'\n', 1),
            (b'\\', [b't', ..]) => (b'\t', 1),
            (b'\\', [b'x', high, low, ..]) => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).expect("two digits");
                (u8::from_str_radix(digits, 16).expect("two digits"), 3)
            }
            _ => (*first, 0),
        };
        bytes.push(byte);
        rest = &rest[length..];
    }
    bytes
}

/// Bytes without any meaning, for what takes its choices from them.
pub fn choices() -> Vec<Vec<u8>> {
    let choices = |seed| {
        let mut dice = Dice::seeded(seed);
        (0..64 << (seed % 3)).map(|_| dice.roll() as u8).collect()
    };
    (0..32).map(choices).collect()
}
