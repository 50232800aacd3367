//! The children's lines: passed on whole to our own standard output and error, and the last ones
//! of standard error kept.
//!
//! One thread for each of the two, so that a reader of ours who does not read holds up neither the
//! other nor the event loop. A reader who has gone away holds up nobody: what comes is dropped.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::event::{EventfdFlags, PollFd, PollFlags, epoll, eventfd, poll};
use rustix::io::Errno;

use crate::waker::Waker;

/// Longer lines are cut into several.
const LINE_BYTES: usize = 64 << 10;
const TAIL_LINES: usize = 20;
const TAIL_BYTES: usize = 8 << 10;
const TAIL_LINE_BYTES: usize = 1 << 10;
/// Most that is read from a stream after its process has ended: what a pipe can hold.
const LEFTOVER_BYTES: usize = 1 << 20;
const WAKE: u64 = u64::MAX;

/// Held while a line is written, where standard output and error are the same file.
static WRITING: Mutex<()> = Mutex::new(());

/// What a stream's reader knows and the supervisor wants to know.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    state: Mutex<StreamState>,
}

#[derive(Debug, Default)]
struct StreamState {
    closed: bool,
    tail: VecDeque<String>,
    tail_bytes: usize,
}

impl Stream {
    fn lock(&self) -> MutexGuard<'_, StreamState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether all has been read.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// The last lines, oldest first.
    pub(crate) fn tail(&self) -> Vec<String> {
        self.lock().tail.iter().cloned().collect()
    }

    /// Keeps the last of these lines.
    fn keep(&self, lines: &[u8]) {
        let lines = lines.strip_suffix(b"\n").unwrap_or(lines);
        let last: Vec<&[u8]> = lines.rsplit(|byte| *byte == b'\n').take(TAIL_LINES).collect();
        let mut state = self.lock();
        for line in last.into_iter().rev() {
            let line = String::from_utf8_lossy(&line[..line.len().min(TAIL_LINE_BYTES)]).trim_end().to_owned();
            state.tail_bytes += line.len();
            state.tail.push_back(line);
            while state.tail.len() > TAIL_LINES || state.tail_bytes > TAIL_BYTES {
                let dropped = state.tail.pop_front().map_or(0, |line| line.len());
                state.tail_bytes -= dropped;
            }
        }
    }
}

enum Order {
    Read { id: u64, pipe: OwnedFd, stream: Arc<Stream> },
    Finish { id: u64 },
}

/// Passes the lines of many streams on to one destination, on a thread of its own.
pub(crate) struct Pump {
    orders: Sender<Order>,
    wake: Arc<OwnedFd>,
}

impl Pump {
    /// Starts the thread. `keeps_tail`: the last lines are kept.
    pub(crate) fn start(name: &str, destination: Destination, keeps_tail: bool, waker: Waker) -> io::Result<Self> {
        let (orders, inbox) = channel();
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let events = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&events, &wake, epoll::EventData::new_u64(WAKE), epoll::EventFlags::IN)?;
        let mut reader = Reader {
            events,
            wake: wake.clone(),
            inbox,
            destination,
            keeps_tail,
            waker,
            sources: HashMap::new(),
            buffer: vec![0; LINE_BYTES],
        };
        thread::Builder::new().name(name.to_owned()).spawn(move || reader.run())?;
        Ok(Self { orders, wake })
    }

    /// Reads this pipe until its end.
    pub(crate) fn read(&self, id: u64, pipe: OwnedFd, stream: Arc<Stream>) {
        self.order(Order::Read { id, pipe, stream });
    }

    /// Reads what is left in this pipe and then no more, whoever may still hold its other end.
    pub(crate) fn finish(&self, id: u64) {
        self.order(Order::Finish { id });
    }

    fn order(&self, order: Order) {
        // Where the thread is gone there is nobody to read, and nobody to be told.
        let _ = self.orders.send(order);
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        let (closed, _) = channel();
        // The thread ends when it is woken and nobody can send orders any more.
        drop(std::mem::replace(&mut self.orders, closed));
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}

struct Source {
    pipe: OwnedFd,
    stream: Arc<Stream>,
    /// The beginning of a line.
    partial: Vec<u8>,
}

enum Read {
    Some(usize),
    NothingNow,
    End,
}

struct Reader {
    events: OwnedFd,
    wake: Arc<OwnedFd>,
    inbox: Receiver<Order>,
    destination: Destination,
    keeps_tail: bool,
    waker: Waker,
    sources: HashMap<u64, Source>,
    buffer: Vec<u8>,
}

impl Reader {
    fn run(&mut self) {
        let mut ready = Vec::with_capacity(64);
        loop {
            match epoll::wait(&self.events, rustix::buffer::spare_capacity(&mut ready), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return,
            }
            for event in ready.drain(..) {
                match event.data.u64() {
                    WAKE if !self.take_orders() => return,
                    WAKE => {}
                    id => _ = self.advance(id),
                }
            }
        }
    }

    /// Does what was ordered; `false` when nobody can order any more.
    fn take_orders(&mut self) -> bool {
        let _ = rustix::io::read(&self.wake, &mut [0; 8]);
        loop {
            match self.inbox.try_recv() {
                Ok(Order::Read { id, pipe, stream }) => {
                    let _ = rustix::io::ioctl_fionbio(&pipe, true);
                    let registered =
                        epoll::add(&self.events, &pipe, epoll::EventData::new_u64(id), epoll::EventFlags::IN);
                    self.sources.insert(id, Source { pipe, stream, partial: Vec::new() });
                    if registered.is_err() {
                        self.close(id);
                    }
                }
                Ok(Order::Finish { id }) => {
                    let mut left = LEFTOVER_BYTES;
                    while let Read::Some(count) = self.advance(id) {
                        left = left.saturating_sub(count);
                        if left == 0 {
                            break;
                        }
                    }
                    self.close(id);
                }
                Err(std::sync::mpsc::TryRecvError::Empty) => return true,
                Err(std::sync::mpsc::TryRecvError::Disconnected) => return false,
            }
        }
    }

    /// Reads once, and passes on the whole lines.
    fn advance(&mut self, id: u64) -> Read {
        let Some(source) = self.sources.get_mut(&id) else { return Read::End };
        let count = match rustix::io::read(&source.pipe, &mut self.buffer[..]) {
            Ok(0) => {
                self.close(id);
                return Read::End;
            }
            Ok(count) => count,
            Err(Errno::AGAIN | Errno::INTR) => return Read::NothingNow,
            Err(_) => {
                self.close(id);
                return Read::End;
            }
        };
        let read = &self.buffer[..count];
        let whole = read.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        if whole > 0 {
            if source.partial.is_empty() {
                pass_on(&mut self.destination, self.keeps_tail, &source.stream, &read[..whole]);
            } else {
                source.partial.extend_from_slice(&read[..whole]);
                pass_on(&mut self.destination, self.keeps_tail, &source.stream, &source.partial);
                source.partial.clear();
            }
        }
        source.partial.extend_from_slice(&read[whole..]);
        if source.partial.len() >= LINE_BYTES {
            source.partial.push(b'\n');
            pass_on(&mut self.destination, self.keeps_tail, &source.stream, &source.partial);
            source.partial.clear();
        }
        Read::Some(count)
    }

    fn close(&mut self, id: u64) {
        let Some(mut source) = self.sources.remove(&id) else { return };
        if !source.partial.is_empty() {
            source.partial.push(b'\n');
            pass_on(&mut self.destination, self.keeps_tail, &source.stream, &source.partial);
        }
        let _ = epoll::delete(&self.events, &source.pipe);
        source.stream.lock().closed = true;
        self.waker.nudge();
    }
}

fn pass_on(destination: &mut Destination, keeps_tail: bool, stream: &Stream, lines: &[u8]) {
    // Kept first: writing may take as long as our reader likes.
    if keeps_tail {
        stream.keep(lines);
    }
    destination.write(lines);
}

/// Where lines go.
pub(crate) struct Destination {
    descriptor: OwnedFd,
    /// Another thread writes to the same file.
    shared: bool,
    gone: bool,
}

impl Destination {
    /// The two destinations; the lines of one must not come to stand within those of the other.
    pub(crate) fn pair(stdout: OwnedFd, stderr: OwnedFd) -> (Self, Self) {
        let same = match (rustix::fs::fstat(&stdout), rustix::fs::fstat(&stderr)) {
            (Ok(stdout), Ok(stderr)) => (stdout.st_dev, stdout.st_ino) == (stderr.st_dev, stderr.st_ino),
            _ => false,
        };
        let destination = |descriptor| Self { descriptor, shared: same, gone: false };
        (destination(stdout), destination(stderr))
    }

    fn write(&mut self, mut bytes: &[u8]) {
        if self.gone {
            return;
        }
        let _whole_lines = self.shared.then(|| WRITING.lock().unwrap_or_else(PoisonError::into_inner));
        while !bytes.is_empty() {
            match rustix::io::write(&self.descriptor, bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(Errno::INTR) => {}
                // Who shares the descriptor with us may have made it non-blocking.
                Err(Errno::AGAIN) => wait_writable(self.descriptor.as_fd()),
                Err(_) => {
                    self.gone = true;
                    return;
                }
            }
        }
    }
}

fn wait_writable(descriptor: BorrowedFd<'_>) {
    let _ = poll(&mut [PollFd::from_borrowed_fd(descriptor, PollFlags::OUT)], None);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_keeps_the_last_lines_within_its_bounds() {
        let stream = Stream::default();
        for line in 0..50 {
            stream.keep(format!("line {line}\n").as_bytes());
        }
        let tail = stream.tail();
        assert_eq!((tail.len(), tail[0].as_str(), tail[19].as_str()), (20, "line 30", "line 49"));
        stream.keep(&[b"x".repeat(5000).as_slice(), b"\n\n"].concat());
        let tail = stream.tail();
        assert_eq!((tail[18].len(), tail[19].as_str()), (TAIL_LINE_BYTES, ""));
        for _ in 0..20 {
            stream.keep(&b"y".repeat(5000));
        }
        assert_eq!(stream.tail().iter().map(String::len).sum::<usize>(), TAIL_BYTES);
    }
}
