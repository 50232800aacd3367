//! The embedded server: a child that ends when its standard input does.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nws_supervise::{Output, ProcessId, Supervisor};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use serde::Deserialize;

use crate::control::ServerAddress;
use crate::roles::{self, Role};

/// How long the server may take until it answers.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest line by which it says where it is, in bytes.
const LINE_BYTES: usize = 64 << 10;

/// What the server says when it answers.
#[derive(Debug, Deserialize)]
pub(super) struct Announcement {
    unix: Option<PathBuf>,
    tcp: Option<SocketAddr>,
    token: String,
    /// Its folder in the runtime folder.
    pub(super) folder: PathBuf,
}

impl Announcement {
    pub(super) fn address(&self) -> ServerAddress {
        ServerAddress {
            unix: self.unix.clone(),
            tcp: self.tcp.map(|address| (address.ip().to_string(), address.port())),
            token: Some(self.token.clone()),
        }
    }
}

/// The running server.
#[derive(Debug)]
pub(super) struct EmbeddedServer {
    pub(super) process: ProcessId,
    /// The server ends when this is closed.
    input: Option<OwnedFd>,
    output: OwnedFd,
    line: Vec<u8>,
    /// By when it is to have announced itself.
    pub(super) deadline: Option<Instant>,
}

impl EmbeddedServer {
    pub(super) fn start(supervisor: &mut Supervisor) -> io::Result<Self> {
        let (input_read, input) = pipe_with(PipeFlags::CLOEXEC)?;
        let (output, output_write) = pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&output, true)?;
        // It sees our end by its standard input, and then removes its folder.
        let spawn = roles::spawn(Role::Server, &["serve", "--embedded"], &input_read)?
            .descriptor(input_read, 0)
            .stdout(Output::To(output_write))
            .outlive_supervisor();
        let process = supervisor.spawn(spawn)?;
        let deadline = Some(Instant::now() + START_TIMEOUT);
        Ok(Self { process, input: Some(input), output, line: Vec::new(), deadline })
    }

    pub(super) fn output(&self) -> BorrowedFd<'_> {
        self.output.as_fd()
    }

    /// Takes in what it says; gives the announcement when that is complete.
    ///
    /// # Errors
    /// Where it says something else, or stops saying anything.
    pub(super) fn read(&mut self) -> io::Result<Option<Announcement>> {
        let mut buffer = [0; 4096];
        loop {
            let count = match rustix::io::read(&self.output, &mut buffer[..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            self.line.extend_from_slice(&buffer[..count]);
            while let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.line.drain(..=end).collect();
                // A program that is its own server may print something before it becomes that.
                if line.starts_with(b"{") {
                    self.deadline = None;
                    return Ok(Some(serde_json::from_slice(&line)?));
                }
            }
            if self.line.len() > LINE_BYTES {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "expected one line of JSON, got a longer one"));
            }
        }
    }

    /// Asks it to end.
    pub(super) fn ask_to_end(&mut self) {
        self.input = None;
    }
}
