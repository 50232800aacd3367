//! What `--json` tells of a job: one object on a line, written piece by piece.

use std::os::unix::ffi::OsStrExt;

use serde::Serialize;
use serde_json::{Value, json};

use super::job::{Ending, Job};
use crate::value::base64;

/// Whether bytes that come in pieces are UTF-8.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Utf8Check {
    broken: bool,
    /// The beginning of a letter, at most 3 bytes.
    begun: [u8; 3],
    count: usize,
}

impl Utf8Check {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        if self.broken || bytes.is_empty() {
            return;
        }
        let mut rest = bytes;
        if self.count > 0 {
            let mut letter: Vec<u8> = self.begun.iter().take(self.count).copied().collect();
            // A letter has 4 bytes at most.
            let more = rest.len().min(4 - self.count);
            letter.extend_from_slice(&rest[..more]);
            match std::str::from_utf8(&letter) {
                Ok(_) => rest = &rest[more..],
                Err(error) if error.valid_up_to() >= self.count => rest = &rest[error.valid_up_to() - self.count..],
                Err(error) if error.error_len().is_none() && more == rest.len() => return self.keep(&letter),
                Err(_) => return self.broken = true,
            }
            self.count = 0;
        }
        if let Err(error) = std::str::from_utf8(rest) {
            match error.error_len() {
                None => self.keep(&rest[error.valid_up_to()..]),
                Some(_) => self.broken = true,
            }
        }
    }

    fn keep(&mut self, begun: &[u8]) {
        self.count = begun.len().min(self.begun.len());
        self.begun[..self.count].copy_from_slice(&begun[..self.count]);
    }

    /// Whether all of it was.
    pub(super) fn is_text(self) -> bool {
        !self.broken && self.count == 0
    }
}

/// Writes one output as the value of a key.
#[derive(Debug)]
pub(super) struct Field {
    is_text: bool,
    /// What waits for the rest of its letter or group.
    carried: Vec<u8>,
}

impl Field {
    /// Begins it: the key and a quote.
    pub(super) fn begin(name: &str, is_text: bool) -> (Self, Vec<u8>) {
        let suffix = if is_text { "" } else { "_base64" };
        (Self { is_text, carried: Vec::new() }, format!(",\"{name}{suffix}\":\"").into_bytes())
    }

    pub(super) fn piece(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.carried.extend_from_slice(bytes);
        let whole = if self.is_text {
            std::str::from_utf8(&self.carried).map_or_else(|error| error.valid_up_to(), str::len)
        } else {
            self.carried.len() / 3 * 3
        };
        let rest = self.carried.split_off(whole);
        let whole = std::mem::replace(&mut self.carried, rest);
        if self.is_text { escaped(&whole) } else { base64(&whole).into_bytes() }
    }

    /// Ends it: what is left, and a quote.
    pub(super) fn end(&mut self) -> Vec<u8> {
        let mut bytes = base64(&std::mem::take(&mut self.carried)).into_bytes();
        bytes.push(b'"');
        bytes
    }
}

fn escaped(text: &[u8]) -> Vec<u8> {
    let quoted = serde_json::to_vec(&String::from_utf8_lossy(text)).unwrap_or_default();
    quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_vec()
}

/// A word as text, or as an object where it is none.
fn word(bytes: &[u8]) -> Value {
    std::str::from_utf8(bytes).map_or_else(|_| json!({"base64": base64(bytes)}), Value::from)
}

/// What is told before the outputs, in this order.
#[derive(Serialize)]
struct Head<'a> {
    job: u64,
    inputs: Vec<Value>,
    command: Vec<Value>,
    exit_code: Option<i32>,
    signal: Option<i32>,
    timed_out: bool,
    error: Option<&'a str>,
    tries: u32,
    start: f64,
    seconds: f64,
}

/// All but the outputs, and without the closing brace.
pub(super) fn head(job: &Job, ending: &Ending) -> Vec<u8> {
    let head = Head {
        job: job.number,
        inputs: job.inputs.iter().map(|input| word(input)).collect(),
        command: job.command.iter().map(|argument| word(argument.as_bytes())).collect(),
        exit_code: ending.exit_code,
        signal: ending.signal,
        timed_out: job.timed_out,
        error: ending.problem.as_deref(),
        tries: job.tries,
        start: ending.start,
        seconds: ending.seconds,
    };
    let mut bytes = serde_json::to_vec(&head).unwrap_or_default();
    bytes.pop();
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_text(bytes: &[u8], cut: usize) -> bool {
        let mut check = Utf8Check::default();
        bytes.chunks(cut).for_each(|piece| check.add(piece));
        check.is_text()
    }

    fn written(bytes: &[u8], cut: usize) -> String {
        let (mut field, mut all) = Field::begin("stdout", is_text(bytes, cut));
        for piece in bytes.chunks(cut) {
            all.extend(field.piece(piece));
        }
        all.extend(field.end());
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn text_is_known_however_it_is_cut() {
        let texts: [&[u8]; 10] = [
            b"",
            b"abc",
            "é€𝄞\n\"\u{1}x".as_bytes(),
            b"\xff",
            b"a\xe2\x82",
            b"\xe2\x82\xacb\xe2",
            b"\xe2\x28\xa1",
            b"\xf0\x9d\x84\x9e\xf0\x9d\x84",
            b"\xed\xa0\x80",
            "ééé𝄞𝄞𝄞".as_bytes(),
        ];
        for text in texts {
            for cut in 1..=text.len().max(1) {
                assert_eq!(is_text(text, cut), std::str::from_utf8(text).is_ok(), "{text:?} {cut}");
            }
        }
    }

    #[test]
    fn outputs_are_text_or_base64_however_they_are_cut() {
        for cut in 1..9 {
            assert_eq!(written("é€𝄞\n\"x".as_bytes(), cut), ",\"stdout\":\"é€𝄞\\n\\\"x\"", "{cut}");
            assert_eq!(written(b"\x00\xff\xfe\xfd", cut), ",\"stdout_base64\":\"AP/+/Q==\"", "{cut}");
            assert_eq!(written(b"", cut), ",\"stdout\":\"\"");
        }
    }
}
