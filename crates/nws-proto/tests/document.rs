//! `docs/protocol.md` names every opcode, error code and limit with its number, and nothing else.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;

use nws_proto::{ErrorClass, ErrorCode, GREETING, Opcode, limits};

const DOCUMENT: &str = include_str!("../../../docs/protocol.md");
const LIMITS_SOURCE: &str = include_str!("../src/limits.rs");

/// The rows of the tables in one section, each as its cells.
fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, section) = DOCUMENT.split_once(&format!("\n## {heading}\n")).expect("the section is there");
    let section = section.split("\n## ").next().unwrap_or(section);
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    rows.map(|row| row.split(" | ").collect()).collect()
}

/// The first `cells` cells of the rows whose first cell starts as `numbered` says.
fn numbered(heading: &str, cells: usize, numbered: impl Fn(&str) -> bool) -> BTreeSet<String> {
    rows(heading).iter().filter(|row| numbered(row[0])).map(|row| row[..cells].join(" | ")).collect()
}

#[test]
fn the_document_names_every_opcode_and_no_other() {
    let known: BTreeSet<_> =
        Opcode::ALL.iter().map(|opcode| format!("0x{:02X} | `{opcode:?}`", opcode.to_wire())).collect();
    assert_eq!(numbered("Opcodes", 2, |cell| cell.starts_with("0x")), known);
}

#[test]
fn the_document_says_for_every_opcode_who_sends_it() {
    for row in rows("Opcodes").iter().filter(|row| row[0].starts_with("0x")) {
        let number = u16::from_str_radix(row[0].trim_start_matches("0x"), 16).unwrap();
        let sender = match Opcode::from_wire(number).unwrap() {
            Opcode::Ping | Opcode::Pong => "both",
            _ if number < 0x80 => "client",
            _ => "server",
        };
        assert_eq!(row[2], sender, "{}", row[1]);
    }
}

#[test]
fn the_document_names_every_error_and_no_other() {
    let class = |class| match class {
        ErrorClass::Malformed => "malformed",
        ErrorClass::Refused => "refused",
        ErrorClass::NotThere => "not there",
        ErrorClass::Misuse => "misuse",
        ErrorClass::Internal => "internal",
    };
    let known: BTreeSet<_> = ErrorCode::ALL
        .iter()
        .map(|code| format!("{} | `{}` | {}", code.to_wire(), code.slug(), class(code.class())))
        .collect();
    assert_eq!(numbered("Errors", 3, |cell| cell.bytes().all(|byte| byte.is_ascii_digit())), known);
}

#[test]
fn the_document_names_every_limit_and_no_other() {
    let known = [
        ("FRAME_PAYLOAD_BYTES", u64::from(limits::FRAME_PAYLOAD_BYTES)),
        ("HANDSHAKE_PAYLOAD_BYTES", limits::HANDSHAKE_PAYLOAD_BYTES.into()),
        ("PLAIN_PAYLOAD_BYTES", limits::PLAIN_PAYLOAD_BYTES.into()),
        ("VALUE_BYTES", limits::VALUE_BYTES.into()),
        ("BATCH_BYTES", limits::BATCH_BYTES.into()),
        ("BATCH_VALUES", limits::BATCH_VALUES.into()),
        ("MESSAGE_BYTES", limits::MESSAGE_BYTES.into()),
        ("NAME_BYTES", limits::NAME_BYTES.into()),
        ("LABEL_BYTES", limits::LABEL_BYTES.into()),
        ("SESSION_WORKSPACES", limits::SESSION_WORKSPACES.into()),
        ("SESSION_VARIABLES", limits::SESSION_VARIABLES.into()),
        ("SESSION_WAITING", limits::SESSION_WAITING.into()),
        ("WAITING", limits::WAITING.into()),
        ("SESSION_ORPHANS", limits::SESSION_ORPHANS.into()),
        ("SESSION_LEASES", limits::SESSION_LEASES.into()),
        ("PART_BYTES", limits::PART_BYTES.into()),
        ("SESSION_TRANSFERS", limits::SESSION_TRANSFERS.into()),
        ("SESSION_READINGS", limits::SESSION_READINGS.into()),
        ("WAIT_MS", limits::WAIT_MS.into()),
        ("SILENCE_MIN_MS", limits::SILENCE_MIN_MS.into()),
        ("SILENCE_DEFAULT_MS", limits::SILENCE_DEFAULT_MS.into()),
    ];
    let documented = numbered("Limits", 2, |cell| cell.starts_with('`'));
    assert_eq!(documented, known.iter().map(|(name, value)| format!("`{name}` | {value}")).collect());
    // And this list has all that the source has.
    let source = LIMITS_SOURCE.lines().filter_map(|line| line.strip_prefix("pub const ")?.split(':').next());
    assert_eq!(source.collect::<BTreeSet<_>>(), known.iter().map(|(name, _)| *name).collect());
}

#[test]
fn the_document_names_the_greeting() {
    let greeting = GREETING.map(|byte| format!("{byte:02x}")).join(" ");
    assert_eq!(rows("First bytes")[1][0], format!("`{greeting}`, that is `NWS` and the byte 1"));
}
