//! Writes on a thread of its own, so that the loop hears signals also where nobody reads.

use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::wake::Waker;

/// Most bytes that are handed over and not written.
const UNWRITTEN_BYTES: u64 = 256 << 10;
/// Small outputs are gathered up to this size for one system call.
const GATHERED_BYTES: usize = 32 << 10;

/// Where something is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Stdout,
    Stderr,
}

enum Message {
    Print(Target, Vec<u8>),
    /// The line that shows progress, which stays until something else is printed.
    Bar(String),
}

/// Prints in the order in which it is told.
pub(super) struct Printer {
    messages: Sender<Message>,
    shared: Arc<Shared>,
    /// Bytes handed over so far.
    given: u64,
}

#[derive(Default)]
struct Shared {
    written: AtomicU64,
    problem: Mutex<Option<io::Error>>,
}

impl Printer {
    pub(super) fn start(waker: Waker) -> io::Result<Self> {
        let (messages, receiver) = channel();
        let shared = Arc::new(Shared::default());
        let is_terminal = io::stderr().is_terminal();
        let mut writer = Writer {
            stdout: io::stdout().as_fd().try_clone_to_owned()?,
            stderr: io::stderr().as_fd().try_clone_to_owned()?,
            is_terminal,
            bar: false,
            shared: Arc::clone(&shared),
            waker,
        };
        thread::Builder::new().name("nws-printer".into()).spawn(move || writer.run(&receiver))?;
        Ok(Self { messages, shared, given: 0 })
    }

    /// Hands something over; [`Printer::given`] is the mark after it.
    pub(super) fn print(&mut self, target: Target, bytes: Vec<u8>) {
        self.given += bytes.len() as u64;
        // Where it has ended, its problem tells.
        let _ = self.messages.send(Message::Print(target, bytes));
    }

    pub(super) fn bar(&self, text: String) {
        let _ = self.messages.send(Message::Bar(text));
    }

    pub(super) fn given(&self) -> u64 {
        self.given
    }

    /// What was not written never will be.
    pub(super) fn give_up(&mut self) {
        self.given = self.written();
    }

    /// How far everything is written, as a mark.
    pub(super) fn written(&self) -> u64 {
        self.shared.written.load(Ordering::Acquire)
    }

    pub(super) fn has_room(&self) -> bool {
        self.given.saturating_sub(self.written()) < UNWRITTEN_BYTES
    }

    /// Why nothing more is written to standard output, once.
    pub(super) fn problem(&self) -> Option<io::Error> {
        self.shared.problem.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

struct Writer {
    stdout: OwnedFd,
    stderr: OwnedFd,
    is_terminal: bool,
    /// A bar is shown.
    bar: bool,
    shared: Arc<Shared>,
    waker: Waker,
}

impl Writer {
    fn run(&mut self, messages: &Receiver<Message>) {
        let mut next = None;
        while let Some(message) = next.take().or_else(|| messages.recv().ok()) {
            match message {
                Message::Bar(text) => self.show(&text),
                Message::Print(target, mut bytes) => {
                    while bytes.len() < GATHERED_BYTES {
                        match messages.try_recv() {
                            Ok(Message::Print(also, more)) if also == target => bytes.extend(more),
                            Ok(other) => {
                                next = Some(other);
                                break;
                            }
                            Err(_) => break,
                        }
                    }
                    if !self.print(target, &bytes) {
                        return;
                    }
                }
            }
        }
        if self.bar {
            self.show("");
        }
    }

    /// Whether more can be printed.
    fn print(&mut self, target: Target, bytes: &[u8]) -> bool {
        if std::mem::take(&mut self.bar) && self.is_terminal {
            let _ = write_all(&self.stderr, b"\r\x1b[K");
        }
        let written = match target {
            Target::Stdout => write_all(&self.stdout, bytes),
            // Whom standard error tells nothing may well read the outputs.
            Target::Stderr => write_all(&self.stderr, bytes).or(Ok(())),
        };
        match &written {
            Ok(()) => _ = self.shared.written.fetch_add(bytes.len() as u64, Ordering::AcqRel),
            // It does not count as written: the run would end well, and its log would say so.
            Err(error) => {
                let error = io::Error::from(*error);
                *self.shared.problem.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
        }
        self.waker.wake();
        written.is_ok()
    }

    fn show(&mut self, text: &str) {
        self.bar = !text.is_empty();
        let line = match (self.is_terminal, self.bar) {
            (true, _) => format!("\r{text}\x1b[K"),
            (false, true) => format!("{text}\n"),
            (false, false) => return,
        };
        let _ = write_all(&self.stderr, line.as_bytes());
    }
}

fn write_all(target: &OwnedFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(target, bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // Another program has made it so; it is the same file for both.
            Err(Errno::AGAIN) => drop(poll(&mut [PollFd::new(target, PollFlags::OUT)], None)),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
