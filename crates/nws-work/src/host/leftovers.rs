//! What a dead worker has written and did not come to send.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

/// Most lines that a cause of death tells.
const LINES: usize = 20;
/// Most bytes of one.
const LINE_BYTES: usize = 1 << 10;
/// Most that is read of a stream: what a pipe can hold.
const BYTES: usize = 1 << 20;

/// The ends to read of the pipes that a worker writes to and reads itself while it lives.
#[derive(Debug)]
pub(super) struct Leftovers([OwnedFd; 2]);

impl Leftovers {
    /// Makes the pipes, and the descriptors to hand to the worker.
    pub(super) fn pipes() -> io::Result<(Self, [OwnedFd; 4])> {
        let (read_out, write_out) = pipe_with(PipeFlags::CLOEXEC)?;
        let (read_err, write_err) = pipe_with(PipeFlags::CLOEXEC)?;
        // Of the pipe's end, so the worker does not wait either.
        rustix::io::ioctl_fionbio(&read_out, true)?;
        rustix::io::ioctl_fionbio(&read_err, true)?;
        let kept = Self([read_out.try_clone()?, read_err.try_clone()?]);
        Ok((kept, [read_out, write_out, read_err, write_err]))
    }

    /// What is left, of standard output and of standard error.
    pub(super) fn read(&self) -> [Vec<u8>; 2] {
        [0, 1].map(|stream| {
            let mut bytes = Vec::new();
            let mut buffer = [0; 16 << 10];
            while bytes.len() < BYTES {
                match rustix::io::read(&self.0[stream], &mut buffer[..]) {
                    Ok(count) if count > 0 => bytes.extend_from_slice(&buffer[..count]),
                    Err(Errno::INTR) => {}
                    _ => break,
                }
            }
            bytes
        })
    }
}

/// Adds the last lines of what was written to those known.
pub(super) fn add_lines(lines: &mut Vec<String>, written: &[u8]) {
    let text = String::from_utf8_lossy(written);
    let cut = |line: &str| line.chars().take(LINE_BYTES).collect::<String>().trim_end().to_owned();
    lines.extend(text.lines().map(cut));
    let excess = lines.len().saturating_sub(LINES);
    lines.drain(..excess);
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use super::*;

    #[test]
    fn what_nobody_has_read_is_there_also_when_the_writer_is_gone() {
        let (leftovers, [_, write_out, _, write_err]) = Leftovers::pipes().unwrap();
        File::from(write_err).write_all(b"last words\n").unwrap();
        assert_eq!(leftovers.read(), [vec![], b"last words\n".to_vec()], "also while another could write");
        drop(write_out);
        assert_eq!(leftovers.read().concat(), b"");
    }

    #[test]
    fn the_last_lines_are_kept() {
        let mut lines = vec!["old".to_owned()];
        add_lines(&mut lines, b"new\n\xff");
        assert_eq!(lines, ["old", "new", "\u{fffd}"]);
        add_lines(&mut lines, "line\n".repeat(30).as_bytes());
        assert_eq!(lines.len(), LINES);
    }
}
