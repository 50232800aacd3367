//! What tasks write to standard output and error, by whatever way, on its way to the master.
//!
//! Both descriptors are the ends of pipes that this very process reads: at the end of a task, before
//! its result leaves, and while a task runs, on a thread of its own, so that what is read belongs to
//! the task that runs. The host holds the pipes too, and reads what is left when this process dies.
//!
//! A task that writes nothing costs no system call: what the language prints goes through
//! [`Capture::write`], which leaves a mark; and what comes from elsewhere (libraries, children) takes
//! its time, so that it is enough to look after tasks that took some. Where the language leaves no marks,
//! it is looked after every task.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use nws_proto::LeaseId;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

use super::shared::Shared;
use crate::envelope::{Said, TaskHead};
use crate::page::Page;
use crate::platform::{flush_c_stdout, fork_generation};

/// Who writes without a mark is looked for after tasks that took at least so long, in nanoseconds.
/// A look costs half a microsecond.
const LOOK_NS: u64 = 10_000;
/// How long output of a task that goes on may gather before it is sent.
const GATHER: Duration = Duration::from_millis(20);
/// With this much read at a time nothing is left to gather, in bytes.
const MUCH: usize = 32 << 10;
/// A line longer than this is passed on in pieces, in bytes.
const LINE_BYTES: usize = 8 << 10;
const STREAMS: [Said; 2] = [Said::Stdout, Said::Stderr];

/// Whether what a language prints goes through [`Capture::write`], so that a look at the pipes tells nothing
/// new of a short task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marks {
    /// It does.
    Yes,
    /// It goes straight to the descriptors.
    No,
}

/// Catches what this process writes.
#[derive(Clone, Debug)]
pub struct Capture(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The ends to read, of standard output and of standard error.
    pipes: [OwnedFd; 2],
    /// Where output goes that belongs to no task.
    outer: [OwnedFd; 2],
    limit: usize,
    /// Tasks that took at least so long are looked after, in nanoseconds.
    look_ns: u64,
    /// There may be something of the task that runs.
    written: AtomicBool,
    lines: Lines,
    state: Mutex<State>,
    closing: Condvar,
    wake: OwnedFd,
    page: Arc<Page>,
    shared: Arc<Shared>,
}

/// Lines that have no end yet, from [`Capture::write`]. A child that a task forks has its own: those
/// of its parent are its parent's to write, and may have been locked in the moment of the fork.
#[derive(Debug)]
struct Lines {
    generation: u32,
    streams: [Mutex<Vec<u8>>; 2],
    child: OnceLock<Box<Lines>>,
}

impl Lines {
    fn new(generation: u32) -> Self {
        Self { generation, streams: Default::default(), child: OnceLock::new() }
    }

    /// Those of this process.
    fn own(&self, stream: usize) -> MutexGuard<'_, Vec<u8>> {
        let generation = fork_generation();
        let mut lines = self;
        while lines.generation != generation {
            lines = lines.child.get_or_init(|| Box::new(Lines::new(generation)));
        }
        lines.streams[stream].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct State {
    kept: [Kept; 2],
    closed: bool,
}

/// What a task has written to one stream.
#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    /// Was on its way before.
    sent: usize,
    /// Was beyond the limit.
    dropped: usize,
}

impl Kept {
    fn add(&mut self, bytes: &[u8], limit: usize) {
        let room = limit.saturating_sub(self.sent + self.bytes.len());
        let (kept, dropped) = bytes.split_at(bytes.len().min(room));
        self.bytes.extend_from_slice(kept);
        self.dropped += dropped.len();
    }

    /// The whole lines so far.
    fn take_lines(&mut self) -> Vec<u8> {
        let end = self.bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        self.sent += end;
        self.bytes.drain(..end).collect()
    }

    /// All there is; the task is over.
    fn take_rest(&mut self, limit: usize) -> Vec<u8> {
        let mut rest = std::mem::take(self);
        if rest.dropped > 0 {
            let dropped = rest.dropped;
            let note = format!("\n... ({dropped} bytes more were left out, as the limit is {limit} a task)\n");
            rest.bytes.extend_from_slice(note.as_bytes());
        }
        rest.bytes
    }
}

impl Capture {
    /// Puts the pipes in the place of this process's standard output and error. `descriptors` are
    /// those of [`crate::control::WORKER_CAPTURE_FDS`], the ends to read without waiting; of each
    /// task's output on each stream `limit` bytes are kept.
    pub(super) fn start(
        descriptors: [OwnedFd; 4],
        limit: usize,
        marks: Marks,
        page: Arc<Page>,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        let [read_out, write_out, read_err, write_err] = descriptors;
        let outer = [standard(0).try_clone_to_owned()?, standard(1).try_clone_to_owned()?];
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        rustix::stdio::dup2_stdout(&write_out)?;
        rustix::stdio::dup2_stderr(&write_err)?;
        let inner = Arc::new(Inner {
            pipes: [read_out, read_err],
            outer,
            limit,
            look_ns: if marks == Marks::Yes { LOOK_NS } else { 0 },
            written: AtomicBool::new(false),
            lines: Lines::new(fork_generation()),
            state: Mutex::default(),
            closing: Condvar::new(),
            wake,
            page,
            shared,
        });
        let watched = inner.clone();
        std::thread::Builder::new().name("nws-output".into()).spawn(move || watched.watch())?;
        Ok(Self(inner))
    }

    /// Writes what the language prints, whole lines at a time. `error`: to standard error.
    ///
    /// # Errors
    /// Those of the pipe.
    pub fn write(&self, error: bool, bytes: &[u8]) -> io::Result<()> {
        let stream = usize::from(error);
        self.0.written.store(true, Ordering::Relaxed);
        let mut line = self.0.lines.own(stream);
        line.extend_from_slice(bytes);
        if bytes.contains(&b'\n') || line.len() >= LINE_BYTES {
            write_all(standard(stream), &line)?;
            line.clear();
        }
        Ok(())
    }

    /// Passes on what has no end of line yet.
    ///
    /// # Errors
    /// Those of the pipe.
    pub fn flush(&self, error: bool) -> io::Result<()> {
        let stream = usize::from(error);
        let mut line = self.0.lines.own(stream);
        if !line.is_empty() {
            write_all(standard(stream), &line)?;
            line.clear();
        }
        Ok(())
    }

    /// A task is over, and its result has not left yet.
    pub(super) fn task_ended(&self, lease: LeaseId, task: TaskHead, duration_ns: u64) {
        if self.0.written.load(Ordering::Relaxed) || duration_ns >= self.0.look_ns {
            self.0.take(lease, task);
        }
    }

    /// Gives standard output and error back.
    pub(super) fn end(&self) {
        // What fails here is a descriptor that a task has closed.
        let _ = self.flush(false).and_then(|()| self.flush(true));
        let _ = rustix::stdio::dup2_stdout(&self.0.outer[0]);
        let _ = rustix::stdio::dup2_stderr(&self.0.outer[1]);
        self.0.state().closed = true;
        self.0.closing.notify_all();
        let _ = rustix::io::write(&self.0.wake, &1u64.to_ne_bytes());
        self.0.pass_on();
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock, so the state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what the task has written.
    fn take(&self, lease: LeaseId, task: TaskHead) {
        flush_c_stdout();
        if !self.written.swap(false, Ordering::Relaxed) && !self.wait_readable(Some(Duration::ZERO)) {
            return;
        }
        // Before the state is locked: who writes holds a line, and may wait for the pipe to be read.
        let rests = [0, 1].map(|stream| std::mem::take(&mut *self.lines.own(stream)));
        let mut state = self.state();
        for stream in [0, 1] {
            self.drain(stream, &mut state.kept[stream], Some(lease));
            state.kept[stream].add(&rests[stream], self.limit);
            let bytes = state.kept[stream].take_rest(self.limit);
            self.say(stream, task, &bytes);
        }
    }

    fn say(&self, stream: usize, task: TaskHead, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.shared.say(STREAMS[stream].to_value(task, self.shared.rank, bytes));
        }
    }

    /// Reads all that is in a pipe now; how much that was.
    fn drain(&self, stream: usize, kept: &mut Kept, lease: Option<LeaseId>) -> usize {
        let mut buffer = [0; 16 << 10];
        let mut drained = 0;
        loop {
            match rustix::io::read(&self.pipes[stream], &mut buffer[..]) {
                Ok(count) if count > 0 => {
                    drained += count;
                    kept.add(&buffer[..count], self.limit);
                    if let (1, Some(lease)) = (stream, lease) {
                        self.page.keep_tail(lease, &buffer[..count]);
                    }
                    // Who writes without end must not keep the result of a task from leaving.
                    if drained >= 1 << 20 {
                        return drained;
                    }
                }
                Err(Errno::INTR) => {}
                _ => return drained,
            }
        }
    }

    /// Whether something is to be read, or it is time to end, after this time at most.
    fn wait_readable(&self, timeout: Option<Duration>) -> bool {
        let descriptors = [&self.pipes[0], &self.pipes[1], &self.wake];
        let mut polled = descriptors.map(|descriptor| PollFd::from_borrowed_fd(descriptor.as_fd(), PollFlags::IN));
        let timeout = timeout
            .map(|timeout| Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() });
        loop {
            match poll(&mut polled, timeout.as_ref()) {
                Ok(ready) => return ready > 0,
                // A signal that is another's: the wait begins anew.
                Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }

    /// Sends what tasks write while they run.
    fn watch(&self) {
        let mut much = false;
        while self.wait_readable(None) {
            let mut state = self.state();
            if !much {
                // Most of what a task writes it writes just before its end, which sends it as well.
                let open = |state: &mut State| !state.closed;
                state = self.closing.wait_timeout_while(state, GATHER, open).unwrap_or_else(PoisonError::into_inner).0;
            }
            if state.closed {
                return;
            }
            much = match self.page.running() {
                Some(running) => {
                    let task = TaskHead { run: running.run, index: running.index };
                    let mut drained = 0;
                    for stream in [0, 1] {
                        drained += self.drain(stream, &mut state.kept[stream], Some(running.lease));
                        let lines = state.kept[stream].take_lines();
                        self.say(stream, task, &lines);
                    }
                    if drained > 0 {
                        self.written.store(true, Ordering::Relaxed);
                        self.shared.flush();
                    }
                    drained >= MUCH
                }
                None => {
                    drop(state);
                    self.pass_on();
                    false
                }
            };
        }
    }

    /// What is written between tasks goes where all output went before.
    fn pass_on(&self) {
        for stream in [0, 1] {
            let mut kept = Kept::default();
            self.drain(stream, &mut kept, None);
            // Where nobody reads it, it is lost.
            let _ = write_all(self.outer[stream].as_fd(), &kept.bytes);
        }
    }
}

fn standard(stream: usize) -> BorrowedFd<'static> {
    if stream == 0 { rustix::stdio::stdout() } else { rustix::stdio::stderr() }
}

fn write_all(descriptor: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(descriptor, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            // A task, or a child of one, has made the pipe one that does not wait.
            Err(Errno::AGAIN) => match poll(&mut [PollFd::from_borrowed_fd(descriptor, PollFlags::OUT)], None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            },
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_is_beyond_the_limit_only_the_length_is_kept() {
        let mut kept = Kept::default();
        kept.add(b"one\ntw", 8);
        assert_eq!(kept.take_lines(), b"one\n");
        kept.add(b"o\nthree\n", 8);
        let rest = String::from_utf8(kept.take_rest(8)).unwrap();
        assert!(rest.starts_with("two\n\n... (6 bytes more"), "{rest}");
        assert_eq!((kept.sent, kept.dropped), (0, 0), "the next task begins anew");
    }
}
