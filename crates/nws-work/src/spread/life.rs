//! One run of one command: its pipes, and what is on its way through them.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use rustix::event::epoll;
use rustix::io::{Errno, ioctl_fionbio};
use rustix::pipe::{PipeFlags, pipe_with};

use super::framing::{Framing, Scanner};
use crate::commands::CommandId;
use crate::control::Cause;

/// How much of what is no answer is shown.
const EXCERPT_BYTES: usize = 60;

pub(super) struct Life {
    pub(super) number: u64,
    pub(super) id: CommandId,
    /// `None`: it has been closed, or nobody reads it any more.
    pub(super) stdin: Option<Watched>,
    /// `None`: its end has come.
    pub(super) stdout: Option<Watched>,
    outgoing: VecDeque<Arc<[u8]>>,
    /// How much of the first of these is written.
    written: usize,
    /// Read, and no answer that was told.
    pub(super) incoming: Vec<u8>,
    scanner: Scanner,
    framing: Framing,
    /// The task that it has, and when that was handed to it.
    pub(super) task: Option<(u64, SystemTime)>,
    /// By when that is to be answered.
    pub(super) deadline: Option<Instant>,
    pub(super) started: bool,
    /// Nothing is handed to it until the answer to this task is settled, whose class may be a refusal's.
    pub(super) held: Option<(u64, Vec<u8>)>,
    /// Answers that are not settled.
    pub(super) unsettled: u32,
    /// All answers.
    pub(super) answers: u32,
    /// The task of the first of them, until that is settled: nothing came before it that could have been
    /// taken for its answer.
    pub(super) first: Option<u64>,
    /// The last tasks whose results they were, but for that first, and how many bytes these have.
    pub(super) results: VecDeque<u64>,
    pub(super) result_bytes: usize,
    /// Whether there were more.
    pub(super) has_forgotten: bool,
    /// Its answers may be those of other tasks.
    pub(super) in_doubt: bool,
    /// Its standard input ends when all is written.
    closing: bool,
    /// Why it was ended by us.
    pub(super) broken: Option<String>,
    /// How its process ended.
    pub(super) cause: Option<Cause>,
}

/// The four ends of its pipes: ours do not block.
pub(super) struct Pipes {
    pub(super) stdin: OwnedFd,
    pub(super) stdout: OwnedFd,
    pub(super) its_stdin: OwnedFd,
    pub(super) its_stdout: OwnedFd,
}

impl Pipes {
    pub(super) fn new() -> io::Result<Self> {
        let (its_stdin, stdin) = pipe_with(PipeFlags::CLOEXEC)?;
        let (stdout, its_stdout) = pipe_with(PipeFlags::CLOEXEC)?;
        ioctl_fionbio(&stdin, true)?;
        ioctl_fionbio(&stdout, true)?;
        Ok(Self { stdin, stdout, its_stdin, its_stdout })
    }
}

/// A descriptor that an epoll watches. That is told of its closing: a fork's copy of this process may
/// hold it too, and then it would be watched on, for ever at its end.
pub(super) struct Watched {
    descriptor: OwnedFd,
    events: Arc<OwnedFd>,
}

impl Watched {
    pub(super) fn new(
        descriptor: OwnedFd,
        events: &Arc<OwnedFd>,
        data: epoll::EventData,
        flags: epoll::EventFlags,
    ) -> io::Result<Self> {
        epoll::add(events, &descriptor, data, flags)?;
        Ok(Self { descriptor, events: Arc::clone(events) })
    }
}

impl AsFd for Watched {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // It fails where it is not watched.
        let _ = epoll::delete(&self.events, &self.descriptor);
    }
}

/// What a reading has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    Some,
    NothingNow,
    End,
}

impl Life {
    pub(super) fn new(number: u64, id: CommandId, framing: Framing, stdin: Watched, stdout: Watched) -> Self {
        Self {
            number,
            id,
            stdin: Some(stdin),
            stdout: Some(stdout),
            outgoing: VecDeque::new(),
            written: 0,
            incoming: Vec::new(),
            scanner: Scanner::new(framing),
            framing,
            task: None,
            deadline: None,
            started: false,
            held: None,
            unsettled: 0,
            answers: 0,
            first: None,
            results: VecDeque::new(),
            result_bytes: 0,
            has_forgotten: false,
            in_doubt: false,
            closing: false,
            broken: None,
            cause: None,
        }
    }

    /// Whether it can be handed a task.
    pub(super) fn is_free(&self) -> bool {
        let lives = self.started && self.stdout.is_some() && self.broken.is_none() && self.cause.is_none();
        lives && self.held.is_none() && self.task.is_none()
    }

    /// Writes these bytes after what is being written.
    pub(super) fn say(&mut self, bytes: Arc<[u8]>) {
        if !bytes.is_empty() && self.stdin.is_some() {
            self.outgoing.push_back(bytes);
        }
        self.write();
    }

    /// Says that nothing more comes.
    pub(super) fn close(&mut self) {
        self.closing = true;
        self.write();
    }

    /// Writes what the pipe takes. Who does not read any more is known by its end.
    pub(super) fn write(&mut self) {
        let Some(stdin) = &self.stdin else { return };
        while let Some(bytes) = self.outgoing.front() {
            match rustix::io::write(stdin, bytes.get(self.written..).unwrap_or_default()) {
                Ok(count) => self.written += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => {
                    self.outgoing.clear();
                    self.stdin = None;
                    return;
                }
            }
            if self.written >= bytes.len() {
                self.outgoing.pop_front();
                self.written = 0;
            }
        }
        if self.closing {
            self.stdin = None;
        }
    }

    /// Reads once.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Came {
        let Some(stdout) = &self.stdout else { return Came::End };
        match rustix::io::read(stdout, &mut *buffer) {
            Ok(0) => {
                self.stdout = None;
                Came::End
            }
            Ok(count) => {
                self.incoming.extend_from_slice(buffer.get(..count).unwrap_or_default());
                Came::Some
            }
            Err(Errno::AGAIN | Errno::INTR) => Came::NothingNow,
            Err(_) => {
                self.stdout = None;
                Came::End
            }
        }
    }

    /// The answer to its task, where that has come whole.
    ///
    /// # Errors
    /// Says why what has come is none.
    pub(super) fn answer(&mut self, limit_bytes: usize) -> Result<Option<Vec<u8>>, String> {
        if self.task.is_none() {
            return Ok(None);
        }
        match self.scanner.end(&self.incoming) {
            Ok(Some(length)) if length <= limit_bytes => {
                let rest = self.incoming.split_off(length);
                self.scanner = Scanner::new(self.framing);
                Ok(Some(std::mem::replace(&mut self.incoming, rest)))
            }
            Ok(None) if self.incoming.len().max(self.scanner.least()) <= limit_bytes => Ok(None),
            Ok(_) => Err(format!("its answer has more than {limit_bytes} bytes")),
            Err(why) => Err(format!("what it wrote is no answer: {why}, got {}", self.excerpt())),
        }
    }

    /// Whether what has come may be the beginning of an answer.
    pub(super) fn has_answer(&self) -> bool {
        Scanner::new(self.framing).end(&self.incoming).is_ok()
    }

    /// Whether it cannot know its task yet: the end of what it was told is not read.
    pub(super) fn has_unread(&self) -> bool {
        let Some(stdin) = &self.stdin else { return false };
        // Where the kernel cannot tell, nothing is known.
        let left = rustix::io::ioctl_fionread(stdin).unwrap_or(0);
        !self.outgoing.is_empty() || left > self.framing.most_unread()
    }

    /// The beginning of what has come, for people.
    pub(super) fn excerpt(&self) -> String {
        let head = self.incoming.get(..EXCERPT_BYTES).unwrap_or(&self.incoming);
        let more = if self.incoming.len() > head.len() { " …" } else { "" };
        format!("{:?}{more}", String::from_utf8_lossy(head))
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::Timespec;

    use super::*;

    #[test]
    fn a_closed_end_is_not_watched_on_while_a_copy_of_it_is_open() {
        let events = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC).unwrap());
        let Pipes { stdout, its_stdout, .. } = Pipes::new().unwrap();
        let _copy = stdout.try_clone().unwrap();
        let watched = Watched::new(stdout, &events, epoll::EventData::new_u64(1), epoll::EventFlags::IN).unwrap();
        drop(its_stdout);
        let ready = || {
            let mut found = Vec::with_capacity(4);
            let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
            epoll::wait(&events, rustix::buffer::spare_capacity(&mut found), Some(&at_once)).unwrap();
            found.len()
        };
        assert_eq!(ready(), 1, "its end is there");
        drop(watched);
        assert_eq!(ready(), 0);
    }
}
