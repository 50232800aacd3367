//! The words of Redis.

use crate::replies::Head;

pub(crate) fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

pub(crate) fn head(bytes: &[u8]) -> Option<Head> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let line = &bytes[..end - 1];
    let length = end + 1;
    Some(match line[0] {
        b':' | b'+' => Head { length, payload: 0, value: None, parts: 1 },
        b'*' => Head { length, payload: 0, value: None, parts: number(line) + 1 },
        b'$' if line[1] != b'-' => Head { length, payload: number(line) + 2, value: Some(number(line)), parts: 1 },
        _ => panic!("expected a reply, got {}", String::from_utf8_lossy(line)),
    })
}

fn number(line: &[u8]) -> usize {
    line[1..].iter().fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
}
