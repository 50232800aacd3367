//! What master, host and worker tell each other outside the data path.
//!
//! Every message is one JSON object on one line of at most [`LINE_BYTES`]. Master and host talk
//! over a socket pair that the host inherits as its standard input; host and worker over a socket
//! pair that the worker inherits as descriptor [`WORKER_LINK_FD`], beside its page as descriptor
//! [`WORKER_PAGE_FD`].
//!
//! ```text
//! master                          host                              worker
//!   │ Start ───────────────────────►│ starts server and workers ───────►│ imports
//!   │◄────────────────────── ServerUp│                                   │
//!   │ (connects, makes the workspace)│                                   │
//!   │ Launch ──────────────────────►│ (connects) Bootstrap ────────────►│ connects
//!   │◄──────────────────WorkerJoined │◄──────────────────────────Joined  │
//!   │ Run, Abort, …                  │                                   │
//!   │◄────────────────── WorkerDied  │                                   │
//!   │ Stop ────────────────────────►│ closes the link ─────────────────►│ ends
//!   │◄───────────────────── Stopped  │
//! ```

use std::io::{self, BufRead, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Longest line on a control channel, in bytes.
pub const LINE_BYTES: usize = 16 << 20;
/// Most descriptors that go along with one message.
pub const MOST_DESCRIPTORS: usize = 64;
/// The worker's end of its link to the host.
pub const WORKER_LINK_FD: i32 = 3;
/// The worker's page.
pub const WORKER_PAGE_FD: i32 = 4;
/// Where output is captured: the ends to read and to write of a pipe for standard output, and those
/// of one for standard error.
pub const WORKER_CAPTURE_FDS: [i32; 4] = [5, 6, 7, 8];

/// How long a host may take to take descriptors that are on their way.
const IN_FLIGHT: Duration = Duration::from_secs(10);
const TRY_AGAIN: Duration = Duration::from_millis(1);

/// Where a server is and how to prove that one may use it.
#[derive(Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct ServerAddress {
    /// Its Unix socket, taken where there is one.
    pub unix: Option<PathBuf>,
    /// Its host and port.
    pub tcp: Option<(String, u16)>,
    /// Its token in hexadecimal; `None`: looked up in the runtime folder.
    pub token: Option<String>,
}

impl std::fmt::Debug for ServerAddress {
    // The token is not for logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerAddress").field("unix", &self.unix).field("tcp", &self.tcp).finish_non_exhaustive()
    }
}

/// How to start a worker process.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct WorkerCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables to set, or with `None` to remove, in the environment inherited from the master.
    pub env: Vec<(String, Option<String>)>,
    /// Its working directory.
    pub cwd: Option<PathBuf>,
    /// Whether it is handed [`WORKER_CAPTURE_FDS`].
    #[serde(default)]
    pub captures: bool,
}

/// The first message: everything that can be started before the workspace is known.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Start {
    /// The server to use; `None`: embed one.
    pub server: Option<ServerAddress>,
    /// How many workers.
    pub worker_count: u32,
    /// How to start each.
    pub worker: WorkerCommand,
    /// How much memory a worker may hold, with the processes that it started, in bytes: a task that
    /// takes it beyond that fails, and its worker is ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_limit_bytes: Option<u64>,
    /// Passed on to every worker in its [`Bootstrap`]; the host does not read it.
    pub settings: serde_json::Value,
}

/// From the master to the host.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum ToHost {
    /// The first message.
    Start(Box<Start>),
    /// The workspace is there: the workers may connect.
    Launch {
        /// Its name.
        workspace: String,
    },
    /// A run begins. Sent before its first task is stored.
    Run {
        /// Its number.
        run: u32,
        /// How often a task is run again after a worker died of it.
        retries: u32,
        /// How long a task may run, in milliseconds; it fails and its worker is ended when it takes
        /// longer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout_ms: Option<u64>,
    },
    /// The run is over, its number will not come again.
    RunDone {
        /// Its number.
        run: u32,
    },
    /// Tasks of this run that have not begun are not run any more; those that have go on. Answered by
    /// [`FromHost::Cancelled`].
    Cancel {
        /// Its number.
        run: u32,
    },
    /// Ends and replaces each worker that is busy with a task of this run; nothing is charged.
    Abort {
        /// Its number.
        run: u32,
    },
    /// Whoever has not joined by now is too late.
    CloseGroup,
    /// Orderly end of all.
    Stop,
}

/// How a process ended.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct Cause {
    /// The whole story in one or more lines, for people.
    pub text: String,
    /// Its exit code, where it exited.
    pub exit_code: Option<i32>,
    /// The signal that ended it, where one did.
    pub signal: Option<i32>,
    /// The most memory it had resident, in bytes.
    pub peak_memory_bytes: u64,
    /// Whether the kernel ended it for want of memory; `None`: cannot be known.
    pub out_of_memory: Option<bool>,
    /// The last lines that it wrote to standard error.
    pub stderr_tail: Vec<String>,
}

/// From the host to the master.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum FromHost {
    /// The embedded server answers.
    ServerUp {
        /// Where.
        address: ServerAddress,
        /// Its folder in the runtime folder.
        folder: PathBuf,
    },
    /// A worker has connected.
    WorkerJoined {
        /// Its rank.
        rank: u32,
        /// Its process.
        pid: u32,
        /// When, in nanoseconds of CLOCK_MONOTONIC.
        at_ns: u64,
    },
    /// A worker has ended and is being replaced.
    WorkerDied {
        /// Its rank.
        rank: u32,
        /// Its process.
        pid: u32,
        /// When, in nanoseconds of CLOCK_MONOTONIC.
        at_ns: u64,
        /// How.
        cause: Cause,
        /// The run and task that it was busy with.
        task: Option<(u32, u64)>,
        /// Whether that task has thereby failed; else it is run again.
        failed: bool,
    },
    /// The answer to [`ToHost::Cancel`]: all workers know.
    Cancelled {
        /// The run's number.
        run: u32,
    },
    /// The answer to [`ToHost::CloseGroup`].
    GroupClosed {
        /// Who had joined, in order.
        ranks: Vec<u32>,
    },
    /// No worker is left that could be started; nothing more will come of this sleigh.
    NoWorkers {
        /// How the last of each rank ended.
        causes: Vec<(u32, Cause)>,
    },
    /// The server has ended; so does everything else.
    ServerDied {
        /// How.
        cause: Cause,
    },
    /// The host itself has ended (said by its warden); so does everything else.
    HostDied {
        /// How.
        cause: Cause,
    },
    /// Something could not be started or set up; everything ends.
    Failed {
        /// What was expected, what came, what to do.
        message: String,
    },
    /// All has ended as asked for. The last message.
    Stopped,
}

/// From the host to a worker, once.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Bootstrap {
    /// The server.
    pub server: ServerAddress,
    /// The sleigh's workspace.
    pub workspace: String,
    /// The host's session, which gets this worker's leases when it dies.
    pub guardian: u64,
    /// Which worker this is, from 0.
    pub rank: u32,
    /// How many there are.
    pub worker_count: u32,
    /// Its predecessor ended by itself between tasks, so one that it had done must have brought that
    /// about, and its result was lost: this one holds each task until its result has arrived.
    #[serde(default)]
    pub careful: bool,
    /// From [`WorkerCommand::captures`].
    #[serde(default)]
    pub captures: bool,
    /// From [`Start::settings`].
    pub settings: serde_json::Value,
}

/// From the host to a worker that has been sent its [`Bootstrap`].
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum ToWorker {
    /// The group was closed before it joined: it is to end.
    TooLate,
}

/// From a worker to the host, once.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum FromWorker {
    /// It has connected, is set up, and waits for tasks.
    Joined {
        /// Its session at the server.
        session: u64,
    },
    /// It cannot work, and ends.
    Failed {
        /// Why.
        message: String,
        /// Whether another worker of its rank would fare no better, so that none is to be started.
        #[serde(default)]
        for_good: bool,
    },
}

/// Writes one message as one line to a socket. Where nobody reads it any more that is an error, also in
/// a program that wants to be ended by a signal when it writes to nobody.
///
/// # Errors
/// Those of the socket, and `InvalidData` for a message that cannot be told in JSON.
pub fn write_message(socket: impl AsFd, message: &impl Serialize) -> io::Result<()> {
    write_message_with(socket, message, &[])
}

/// The same, and hands over up to [`MOST_DESCRIPTORS`] descriptors with it.
///
/// # Errors
/// As for [`write_message`], and `InvalidInput` for a message that nobody would read, as it is longer
/// than [`LINE_BYTES`].
pub(crate) fn write_message_with(
    socket: impl AsFd,
    message: &impl Serialize,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let mut line = serde_json::to_vec(message).map_err(io::Error::other)?;
    if line.len() > LINE_BYTES {
        let problem = format!("expected a message of at most {LINE_BYTES} bytes, got one of {}", line.len());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
    }
    line.push(b'\n');
    let mut unsent = &line[..];
    if !descriptors.is_empty() {
        let count = send_descriptors(&socket, unsent, descriptors)?;
        unsent = unsent.get(count..).unwrap_or_default();
    }
    while !unsent.is_empty() {
        match rustix::net::send(&socket, unsent, SendFlags::NOSIGNAL) {
            Ok(count) => unsent = unsent.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Sends the descriptors with the first of the bytes; how many of these were sent.
fn send_descriptors(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let deadline = Instant::now() + IN_FLIGHT;
    loop {
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
            let problem = format!("expected at most {MOST_DESCRIPTORS} descriptors, got {}", descriptors.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        match sendmsg(&socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL) {
            Ok(count) => return Ok(count),
            Err(Errno::INTR) => {}
            // The kernel bounds how many are on their way: the other end has to take some first.
            Err(Errno::TOOMANYREFS) if Instant::now() < deadline => std::thread::sleep(TRY_AGAIN),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Reads one message; `None` at the end of the channel.
///
/// # Errors
/// Those of the reader, and `InvalidData` where a line is too long or not the message expected.
pub fn read_message<M: DeserializeOwned>(reader: &mut impl BufRead) -> io::Result<Option<M>> {
    let mut line = Vec::new();
    let read = io::Read::take(&mut *reader, LINE_BYTES as u64 + 1).read_until(b'\n', &mut line)?;
    if read == 0 {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') {
        let why = if read > LINE_BYTES { "a line is too long" } else { "the channel ended inside a line" };
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("control channel: {why}")));
    }
    serde_json::from_slice(&line)
        .map(Some)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("control channel: {error}")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::write_message;

    /// Shells' tools and some Python scripts restore the signal that Rust and Python ignore.
    #[test]
    fn a_program_that_ends_by_signal_when_nobody_reads_outlives_its_host() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        // SAFETY: the child makes system calls and an allocation of its own, and leaves by `_exit`.
        let child = unsafe { libc::fork() };
        assert!(child >= 0, "fork failed");
        if child == 0 {
            // SAFETY: as above; the alarm ends a child that hangs.
            unsafe {
                libc::alarm(30);
                libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            }
            let refused = write_message(&ours, &"is anybody there").is_err();
            // SAFETY: as above.
            unsafe { libc::_exit(if refused { 0 } else { 1 }) };
        }
        let mut status = 0;
        // SAFETY: `child` is ours, and was not waited for.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "status {status}");
    }
}
