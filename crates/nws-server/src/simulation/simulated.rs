//! The server, driven from outside.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nws_proto::Token;

use super::link::Link;
use crate::config::Limits;
use crate::event_loop::{EventLoop, Note};
use crate::server::Shared;
use crate::stream::Stream;

/// What a connection claims to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried {
    /// TCP from this machine.
    ByTcp,
    /// A Unix socket.
    ByUnix,
}

/// What becomes of what the disk was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskOutcome {
    /// It is done.
    Done,
    /// What is to be written finds no space; what is to be read cannot be.
    Full,
    /// It fails.
    Broken,
}

/// What a server holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// By values kept and leased.
    pub values_bytes: u64,
    /// By values that were fetched and not sent yet.
    pub transit_bytes: u64,
    /// By requests that have come in part, or are set aside.
    pub receiving_bytes: u64,
    /// On its way to and from the disk.
    pub moving_bytes: u64,
    /// For replies that are not sent yet: what was written for them, and large values that only they hold.
    pub unsent_bytes: u64,
    /// The most that is to be sent to one connection.
    pub most_unsent_bytes: usize,
    /// Of listings that are being made.
    pub listing_bytes: usize,
    /// Connections that are not read from until they read.
    pub paused: usize,
}

/// A server in virtual time, which begins at 0.
///
/// ```
/// use nws_proto::{GREETING, Token};
/// use nws_server::Limits;
/// use nws_server::simulation::{Carried, Simulated};
///
/// let mut server = Simulated::new(Limits::default(), Token([9; 32]), 1)?;
/// let link = server.connect(Carried::ByTcp, "10.0.0.1:1", 4096);
/// link.send(&GREETING);
/// server.turn(0, |_| ());
/// assert!(link.has_something(), "a challenge came");
/// // Whoever says nothing more is sent away when its time is up.
/// let due_ms = server.due_ms().unwrap();
/// server.turn(due_ms, |_| ());
/// assert!(link.is_ended());
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Simulated {
    event_loop: EventLoop,
    links: Vec<Link>,
    now_ms: Arc<AtomicU64>,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Simulated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulated").field("now_ms", &self.now_ms).field("links", &self.links).finish_non_exhaustive()
    }
}

impl Simulated {
    /// A server that lets in who knows the token. Its choices (which value of a variable of mode multi)
    /// follow from the seed.
    ///
    /// # Errors
    /// Where the system refuses a poll.
    pub fn new(limits: Limits, token: Token, seed: u64) -> io::Result<Self> {
        let now_ms = Arc::new(AtomicU64::new(0));
        let (event_loop, shared) = EventLoop::driven(limits, token, seed, Arc::clone(&now_ms))?;
        Ok(Self { event_loop, links: Vec::new(), now_ms, shared })
    }

    /// A client connects. At most `room_bytes` are on their way in each direction. Where there are too
    /// many connections the server drops it at once.
    pub fn connect(&mut self, carried: Carried, address: &str, room_bytes: usize) -> Link {
        let (link, socket) = Link::new(carried == Carried::ByUnix, room_bytes);
        self.event_loop.connect(Stream::Memory(socket), address.as_bytes().to_vec());
        self.links.push(link.clone());
        link
    }

    /// Whether the next connection is within the limit.
    pub fn has_room(&self, carried: Carried) -> bool {
        self.event_loop.takes_one_more(carried == Carried::ByUnix)
    }

    /// One turn of the loop. `shuffle` puts into order what the poll tells of, by place; what it takes
    /// out is told in the next turn.
    pub fn turn(&mut self, now_ms: u64, shuffle: impl FnOnce(&mut Vec<usize>)) {
        self.now_ms.store(now_ms, Ordering::Relaxed);
        self.links.retain(|link| !link.is_closed());
        let mut told: Vec<usize> = (0..self.links.len()).filter(|place| self.links[*place].has_changed()).collect();
        shuffle(&mut told);
        let notes: Vec<Note> =
            told.into_iter().filter_map(|place| self.links.get(place).and_then(Link::note)).collect();
        self.event_loop.turn(notes.into_iter());
    }

    /// When the loop would run again by itself, in milliseconds since the start; `None`: never. What is
    /// not in the future is to be done at once.
    pub fn due_ms(&self) -> Option<u64> {
        let now_ms = self.now_ms.load(Ordering::Relaxed);
        if self.links.iter().any(Link::has_changed) {
            return Some(now_ms);
        }
        self.event_loop.patience().map(|patience| now_ms.saturating_add(patience.as_millis() as u64))
    }

    /// Whether the disk answers only when it is told to from now on, by [`Simulated::do_disk_job`]. Else it
    /// answers at once.
    pub fn hold_disk(&mut self, held: bool) {
        self.event_loop.disk().hold(held);
    }

    /// How many long values there may be from now on, beside those that there are.
    pub fn limit_disk_files(&mut self, most: usize) {
        self.event_loop.disk().limit_files(most);
    }

    /// How many jobs the disk was asked and has not done.
    pub fn disk_jobs(&mut self) -> usize {
        self.event_loop.disk().waiting_jobs()
    }

    /// Has the disk do the job at this place; the loop hears of it in its next turn. What closes a file
    /// cannot fail: whether it was anything else.
    pub fn do_disk_job(&mut self, place: usize, outcome: DiskOutcome) -> bool {
        let error = match outcome {
            DiskOutcome::Done => None,
            DiskOutcome::Full => Some(io::ErrorKind::StorageFull.into()),
            DiskOutcome::Broken => Some(io::Error::other("the disk is broken")),
        };
        self.event_loop.disk().do_one(place, error)
    }

    /// Tells the server to say goodbye to all.
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// Whether it has stopped.
    pub fn has_stopped(&self) -> bool {
        self.event_loop.has_stopped()
    }

    /// How many connections there are, and how many of them are sessions.
    pub fn connections(&self) -> (usize, usize) {
        self.event_loop.connections()
    }

    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        self.event_loop.core().waiting()
    }

    /// What values kept and leased take, in bytes.
    pub fn values_bytes(&self) -> u64 {
        self.event_loop.core().values_bytes()
    }

    /// What it holds for its clients.
    pub fn held(&mut self) -> Held {
        self.event_loop.held()
    }

    /// Compares all tables with each other, and each connection with its limits.
    ///
    /// # Errors
    /// What disagrees, for people: a defect of the server.
    pub fn audit(&mut self) -> Result<(), String> {
        self.event_loop.audit()
    }
}
