//! Values that are not held in memory: from a file or standard input, to a file or standard output.

use std::io::{self, Read, Write};

use nws_client::Value;
use nws_client::blocking::{LongValue, Workspace};
use nws_proto::{Descriptor, Language};

use crate::exit::{Exit, Failure};
use crate::value::{As, Show};

/// What is read at a time, in bytes.
const PIECE_BYTES: u64 = 1 << 20;

/// Finds out piece by piece whether bytes are UTF-8.
#[derive(Debug, Default)]
struct Text {
    /// The start of a character of which the rest has not come.
    open: Vec<u8>,
    broken: bool,
}

impl Text {
    fn push(&mut self, bytes: &[u8]) {
        if self.broken {
            return;
        }
        let mut joined = std::mem::take(&mut self.open);
        // Only what belongs to the open character is copied.
        let borrowed = if joined.is_empty() {
            bytes
        } else {
            joined.extend_from_slice(bytes);
            &joined
        };
        if let Err(error) = std::str::from_utf8(borrowed) {
            self.broken = error.error_len().is_some();
            self.open = borrowed[error.valid_up_to()..].to_vec();
        }
    }

    fn is_text(&self) -> bool {
        !self.broken && self.open.is_empty()
    }
}

/// Stores what can be read as one value: text where it is UTF-8, unless raw bytes are asked for. Gives
/// the bytes back where they are few. Whether the value is in memory or on disk is for the server to say,
/// but for the very long.
pub(crate) fn store(
    workspace: &Workspace,
    variable: &[u8],
    source: &mut dyn Read,
    kind: As,
) -> Result<Option<Vec<u8>>, Failure> {
    let mut piece = read_piece(source)?;
    if (piece.len() as u64) < PIECE_BYTES {
        return Ok(Some(piece));
    }
    let (mut store, mut text) = (workspace.begin_long(), Text::default());
    while !piece.is_empty() {
        if kind != As::Bytes {
            text.push(&piece);
        }
        store.push(piece)?;
        piece = read_piece(source)?;
    }
    let descriptor = match kind {
        As::Bytes => Descriptor::bytes(Language::Rust),
        _ if text.is_text() => Descriptor::text(Language::Rust),
        As::Text => {
            let message = "expected text in UTF-8, got something else; store it --as bytes";
            return Err(Failure::new(Exit::Usage, message.to_owned()));
        }
        _ => Descriptor::bytes(Language::Rust),
    };
    store.store(variable, descriptor)?;
    Ok(None)
}

fn read_piece(source: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut piece = Vec::new();
    source.take(PIECE_BYTES).read_to_end(&mut piece)?;
    Ok(piece)
}

/// Writes a value of which the bytes are to be shown. One that is to be shown otherwise is given back
/// whole.
pub(crate) fn write(output: &mut impl Write, value: &mut LongValue, show: Show) -> Result<Option<Value>, Failure> {
    let descriptor = value.descriptor();
    let streams = match show {
        Show::Raw => true,
        Show::Plain => descriptor.is_string(),
        Show::Json => false,
    };
    let (mut text, mut whole) = (Text::default(), Vec::new());
    while let Some(part) = value.next_part()? {
        if streams {
            text.push(&part);
            output.write_all(&part)?;
        } else {
            whole.extend_from_slice(&part);
        }
    }
    if !streams {
        return Ok(Some(Value { descriptor, bytes: whole.into() }));
    }
    if show == Show::Plain && !descriptor.is_bytes() && text.is_text() {
        output.write_all(b"\n")?;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_text_however_it_is_cut() {
        for (bytes, expected) in
            [(&b"plain"[..], true), ("ä€𝄞".as_bytes(), true), (b"\xff", false), (b"a\xe2\x82", false)]
        {
            for size in 1..=bytes.len() {
                let mut text = Text::default();
                bytes.chunks(size).for_each(|piece| text.push(piece));
                assert_eq!(text.is_text(), expected, "{} by {size}", bytes.escape_ascii());
            }
        }
    }
}
