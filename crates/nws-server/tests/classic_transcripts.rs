//! What old clients say and what they are answered, byte by byte, as `transcripts/` has it.
//!
//! In those files `<` is what the client sends and `>` what the server answers, both to the end of
//! the line; line ends within are written `\n`. `{name}` stands for 20 bytes (`{suffix}` for 8) that
//! the server chooses when they first occur and that stay the same from then on. The address of a
//! client of the Unix socket is `local`. `=` is the end of the connection; what follows is another's.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use support::{PATIENCE, Running};

#[derive(Default)]
struct Names(HashMap<String, Vec<u8>>);

impl Names {
    fn length(name: &str) -> usize {
        if name == "suffix" { 8 } else { 20 }
    }

    /// The bytes that a line stands for, and the names of those that are not known yet, by place.
    fn bytes(&self, line: &str) -> (Vec<u8>, Vec<(usize, String)>) {
        let (mut bytes, mut unknown) = (Vec::new(), Vec::new());
        let mut rest = line;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            match c {
                '\\' => {
                    let (byte, length) = match rest.as_bytes()[0] {
                        b'n' => (b'\n', 1),
                        b't' => (b'\t', 1),
                        b'\\' => (b'\\', 1),
                        _ => (u8::from_str_radix(&rest[1..3], 16).unwrap(), 3),
                    };
                    bytes.push(byte);
                    rest = &rest[length..];
                }
                '{' => {
                    let (name, after) = rest.split_once('}').unwrap();
                    rest = after;
                    match self.0.get(name) {
                        Some(known) => bytes.extend_from_slice(known),
                        None => {
                            unknown.push((bytes.len(), name.to_owned()));
                            bytes.resize(bytes.len() + Self::length(name), 0);
                        }
                    }
                }
                _ => bytes.push(u8::try_from(c).unwrap()),
            }
        }
        (bytes, unknown)
    }

    fn learn(&mut self, name: String, bytes: &[u8]) {
        let digits = bytes.trim_ascii_end();
        let plain = if name == "suffix" { u8::is_ascii_hexdigit } else { u8::is_ascii_digit };
        assert!(!digits.is_empty() && digits.iter().all(plain), "{name} is {}", bytes.escape_ascii());
        assert!(self.0.values().all(|other| other != bytes), "{name} is another's: {}", bytes.escape_ascii());
        self.0.insert(name, bytes.to_vec());
    }
}

fn connect(server: &Running) -> UnixStream {
    let socket = UnixStream::connect(&server.unix).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn transcripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Plays a transcript; `step_bytes` is how many bytes the client sends at a time.
fn play(path: &Path, step_bytes: usize) {
    let server = Running::start();
    let mut socket = connect(&server);
    let mut names = Names::default();
    let text = std::fs::read_to_string(path).unwrap();
    for (place, line) in text.lines().enumerate() {
        let at = || format!("{}:{}", path.display(), place + 1);
        match line.split_once(' ') {
            Some(("<", said)) => {
                let (bytes, unknown) = names.bytes(said);
                assert!(unknown.is_empty(), "{}: nobody has said {unknown:?}", at());
                bytes.chunks(step_bytes).for_each(|part| socket.write_all(part).unwrap());
            }
            Some((">", expected)) => {
                let (mut expected, unknown) = names.bytes(expected);
                let mut got = vec![0; expected.len()];
                socket.read_exact(&mut got).unwrap_or_else(|error| panic!("{}: {error}", at()));
                for (start, name) in unknown {
                    let range = start..start + Names::length(&name);
                    expected[range.clone()].copy_from_slice(&got[range.clone()]);
                    // The same name may stand twice in a line that is the first to have it.
                    if !names.0.contains_key(&name) {
                        names.learn(name, &got[range]);
                    }
                }
                assert_eq!(got.escape_ascii().to_string(), expected.escape_ascii().to_string(), "{}", at());
            }
            Some(("=", _)) => {
                assert_eq!(socket.read(&mut [0]).unwrap(), 0, "{}: the connection ends", at());
                socket = connect(&server);
            }
            _ => assert!(line.is_empty() || line.starts_with('#'), "{}: {line:?}", at()),
        }
    }
    socket.shutdown(std::net::Shutdown::Write).unwrap();
    let mut more = Vec::new();
    socket.read_to_end(&mut more).unwrap();
    assert_eq!(more, b"", "{}: nothing follows the last answer", path.display());
}

#[test]
fn old_clients_are_answered_byte_by_byte_as_written() {
    let mut played = 0;
    for path in transcripts() {
        for step_bytes in [usize::MAX, 7, 1] {
            play(&path, step_bytes);
        }
        played += 1;
    }
    assert!(played >= 10, "there were {played} transcripts");
}

/// Every operation, and whether it can fail without being the end of the connection.
const OPERATIONS: [(&str, bool); 17] = [
    ("open ws", true),
    ("use ws", true),
    ("delete ws", true),
    ("mktemp ws", true),
    ("list wss", false),
    ("declare var", true),
    ("store", true),
    ("fetch", true),
    ("fetchTry", true),
    ("find", true),
    ("findTry", true),
    ("ifetch", true),
    ("ifetchTry", true),
    ("ifind", true),
    ("ifindTry", true),
    ("delete var", true),
    ("list vars", true),
];

/// The operations of a transcript, each with the status that it was answered with, and the name with
/// which a connection was closed at once.
fn answered(text: &str, statuses: &mut BTreeMap<String, BTreeSet<String>>) {
    let mut operation = String::new();
    let mut before = "";
    for line in text.lines() {
        if let Some(said) = line.strip_prefix("< ")
            && before.len() == "< 0001".len()
            && before.starts_with("< 0")
        {
            // Behind the length, in 20 digits.
            operation = said.get(20..).unwrap_or_default().to_owned();
        }
        let answer =
            if line.starts_with('=') { Some("=") } else { line.strip_prefix("> ").and_then(|got| got.get(..4)) };
        if let Some(answer) = answer.filter(|_| !operation.is_empty()) {
            statuses.entry(std::mem::take(&mut operation)).or_default().insert(answer.to_owned());
        }
        before = line;
    }
}

#[test]
fn every_operation_is_in_a_transcript_done_and_failed_with_cookies_and_without() {
    for kind in ["cookies", "plain"] {
        let mut statuses = BTreeMap::new();
        for path in transcripts().iter().filter(|path| path.to_str().unwrap().ends_with(&format!("{kind}.txt"))) {
            answered(&std::fs::read_to_string(path).unwrap(), &mut statuses);
        }
        for (operation, can_fail) in OPERATIONS {
            let seen = statuses.remove(operation).unwrap_or_default();
            assert!(seen.contains("0000"), "{operation} is never done {kind}");
            assert!(seen.contains("0001") || !can_fail, "{operation} never fails {kind}");
        }
        assert_eq!(statuses.remove("no such operation"), Some(BTreeSet::from(["=".to_owned()])), "{kind}");
        assert!(statuses.is_empty(), "operations that there are not: {statuses:?}");
    }
}
