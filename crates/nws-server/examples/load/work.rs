//! What a server is made to do.

use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::dialect::Dialect;
use crate::process;
use crate::replies::Replies;
use crate::socket::{Place, Socket};

/// Most bytes that are received at a time.
const RECEIVE_BYTES: usize = 256 * 1024;
/// Told once for what has come: it is received at once.
const READABLE: epoll::EventFlags = epoll::EventFlags::IN.union(epoll::EventFlags::ET);
/// A server that says nothing for so long is broken.
const PATIENCE: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Work {
    /// Each client stores to a queue of its own and fetches from it, in turn.
    Requests {
        clients: usize,
        /// How many requests of a client are sent as one, and answered before the next are sent.
        depth: usize,
        value_bytes: usize,
        seconds: f64,
    },
    /// One client waits, and another stores what it waits for.
    HandOff {
        times: usize,
        value_bytes: usize,
        /// How long nobody says anything before each store, in milliseconds.
        pause_ms: u64,
    },
    /// Many clients wait for values of one queue.
    Waiting { clients: usize },
}

pub(crate) fn run(work: &Work, dialect: &Dialect, place: &Place, process: u32) -> Value {
    match *work {
        Work::Requests { clients, depth, value_bytes, seconds } => {
            let mut crowd = Crowd::default();
            for client in 0..clients {
                let name = format!("queue {client}");
                crowd.add(Client::new(dialect, place, &name, batches(dialect, &name, depth, value_bytes), value_bytes));
            }
            crowd.repeat(Duration::from_secs_f64(seconds / 8.0));
            let before_ns = process::processor_ns(process);
            let (batches, took) = crowd.repeat(Duration::from_secs_f64(seconds));
            let processor_ns = process::processor_ns(process) - before_ns;
            let operations = batches * depth;
            json!({
                "operations_a_second": operations as f64 / took.as_secs_f64(),
                "processor_us": processor_ns as f64 / 1e3 / operations as f64,
            })
        }
        Work::HandOff { times, value_bytes, pause_ms } => hand_off(dialect, place, times, value_bytes, pause_ms),
        Work::Waiting { clients } => waiting(dialect, place, process, clients),
    }
}

/// What a client sends, again and again: as many stores as fetches.
fn batches(dialect: &Dialect, name: &str, depth: usize, value_bytes: usize) -> Vec<Batch> {
    let value = vec![b'v'; value_bytes];
    let stores = |id| dialect.store(id, name, &value);
    if depth == 1 {
        return vec![Batch { bytes: stores(1), replies: 1 }, Batch { bytes: dialect.fetch(1, name), replies: 1 }];
    }
    let requests = (1..=depth as u32).map(|id| if id % 2 == 1 { stores(id) } else { dialect.fetch(id, name) });
    vec![Batch { bytes: requests.collect::<Vec<_>>().concat(), replies: depth }]
}

/// Requests that are sent as one.
struct Batch {
    bytes: Vec<u8>,
    replies: usize,
}

struct Client {
    socket: Socket,
    replies: Replies,
    batches: Vec<Batch>,
    /// Which of them is under way.
    batch: usize,
    sent: usize,
    missing: usize,
    /// The start of a head whose end has not come.
    rest: Vec<u8>,
    watches_writing: bool,
}

impl Client {
    fn new(dialect: &Dialect, place: &Place, name: &str, batches: Vec<Batch>, value_bytes: usize) -> Self {
        let mut socket = Socket::connect(place);
        dialect.prepare(&mut socket, name);
        socket.do_not_block();
        let replies = Replies::new(dialect, value_bytes);
        Self { socket, replies, batches, batch: 0, sent: 0, missing: 0, rest: Vec::new(), watches_writing: false }
    }

    /// Sends the batch from its start.
    fn begin(&mut self, batch: usize) {
        (self.batch, self.sent) = (batch, 0);
        self.missing = self.batches[batch].replies;
        self.send();
    }

    /// Sends what the kernel takes of the batch.
    fn send(&mut self) {
        let bytes = &self.batches[self.batch].bytes;
        while self.sent < bytes.len() {
            match self.socket.send_some(&bytes[self.sent..]) {
                0 => return,
                count => self.sent += count,
            }
        }
    }

    fn is_sent(&self) -> bool {
        self.sent == self.batches[self.batch].bytes.len()
    }

    /// Receives what is there; whether all replies to the batch have come with it.
    fn receive(&mut self, scratch: &mut [u8]) -> bool {
        let missing = self.missing;
        loop {
            let kept = self.rest.len();
            scratch[..kept].copy_from_slice(&self.rest);
            let count = self.socket.receive_some(&mut scratch[kept..]);
            let (used, ended) = self.replies.count(&scratch[..kept + count]);
            self.rest.clear();
            self.rest.extend_from_slice(&scratch[used..kept + count]);
            self.missing -= ended;
            // A socket that gave less than there was room for is empty.
            if kept + count < scratch.len() {
                return missing > 0 && self.missing == 0;
            }
        }
    }
}

/// Clients that one thread looks after.
struct Crowd {
    clients: Vec<Client>,
    epoll: std::os::fd::OwnedFd,
    events: Vec<epoll::Event>,
    scratch: Vec<u8>,
    /// The clients whose batches were answered in the last turn.
    ended: Vec<usize>,
}

impl Default for Crowd {
    fn default() -> Self {
        Self {
            clients: Vec::new(),
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC).unwrap(),
            events: Vec::with_capacity(1024),
            scratch: vec![0; RECEIVE_BYTES],
            ended: Vec::new(),
        }
    }
}

impl Crowd {
    fn add(&mut self, client: Client) {
        let data = epoll::EventData::new_u64(self.clients.len() as u64);
        epoll::add(&self.epoll, &client.socket, data, READABLE).unwrap();
        self.clients.push(client);
    }

    /// Has all clients send batch after batch for this long, and waits for the last replies; how many
    /// batches, and how long they took.
    fn repeat(&mut self, duration: Duration) -> (usize, Duration) {
        let began = Instant::now();
        for place in 0..self.clients.len() {
            self.clients[place].begin(0);
            self.watch_writing(place);
        }
        let (mut batches, mut busy) = (0, self.clients.len());
        while busy > 0 {
            let goes_on = began.elapsed() < duration;
            self.turn();
            for at in 0..self.ended.len() {
                let place = self.ended[at];
                batches += 1;
                let client = &mut self.clients[place];
                let next = (client.batch + 1) % client.batches.len();
                // What was stored is fetched, so that the next round finds the queues as empty.
                if goes_on || next != 0 {
                    client.begin(next);
                    self.watch_writing(place);
                } else {
                    busy -= 1;
                }
            }
        }
        (batches, began.elapsed())
    }

    /// Waits for something to happen.
    fn turn(&mut self) {
        self.events.clear();
        epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), Some(&PATIENCE)).unwrap();
        assert!(!self.events.is_empty(), "the server says nothing");
        self.ended.clear();
        for event in 0..self.events.len() {
            let epoll::Event { flags, data } = self.events[event];
            let place = data.u64() as usize;
            if flags.contains(epoll::EventFlags::OUT) {
                self.clients[place].send();
                self.watch_writing(place);
            }
            if flags.contains(epoll::EventFlags::IN) && self.clients[place].receive(&mut self.scratch) {
                self.ended.push(place);
            }
        }
    }

    fn watch_writing(&mut self, place: usize) {
        let client = &mut self.clients[place];
        let watches_writing = !client.is_sent();
        if watches_writing != client.watches_writing {
            client.watches_writing = watches_writing;
            let flags = if watches_writing { epoll::EventFlags::OUT } else { epoll::EventFlags::empty() };
            let data = epoll::EventData::new_u64(place as u64);
            epoll::modify(&self.epoll, &client.socket, data, READABLE | flags).unwrap();
        }
    }

    /// Waits until these clients have their replies.
    fn wait_for(&mut self, mut awaited: Vec<usize>) {
        while !awaited.is_empty() {
            self.turn();
            awaited.retain(|place| !self.ended.contains(place));
        }
    }
}

/// The median time from before the store is sent until the value has come to who waits.
fn hand_off(dialect: &Dialect, place: &Place, times: usize, value_bytes: usize, pause_ms: u64) -> Value {
    let (name, value) = ("handed", vec![b'v'; value_bytes]);
    let waits = vec![Batch { bytes: dialect.wait(1, name), replies: 1 }];
    let stores =
        vec![Batch { bytes: dialect.ping(1), replies: 1 }, Batch { bytes: dialect.store(1, name, &value), replies: 1 }];
    let mut crowd = Crowd::default();
    crowd.add(Client::new(dialect, place, name, waits, value_bytes));
    crowd.add(Client::new(dialect, place, name, stores, value_bytes));
    let mut times: Vec<Duration> = (0..times)
        .map(|_| {
            crowd.clients[0].begin(0);
            // What the other one says afterwards is answered afterwards: then the first one waits.
            crowd.clients[1].begin(0);
            crowd.wait_for(vec![1]);
            if pause_ms > 0 {
                std::thread::sleep(Duration::from_millis(pause_ms));
            }
            let began = Instant::now();
            crowd.clients[1].begin(1);
            let mut awaited = vec![0, 1];
            let mut took = Duration::ZERO;
            while !awaited.is_empty() {
                crowd.turn();
                if crowd.ended.contains(&0) {
                    took = began.elapsed();
                }
                awaited.retain(|place| !crowd.ended.contains(place));
            }
            took
        })
        .collect();
    times.sort_unstable();
    json!({ "median_us": times[times.len() / 2].as_secs_f64() * 1e6 })
}

/// What each waiting connection takes of the server's memory.
fn waiting(dialect: &Dialect, place: &Place, process: u32, clients: usize) -> Value {
    let name = "awaited";
    let mut pinging = Socket::connect(place);
    dialect.prepare(&mut pinging, name);
    let mut crowd = Crowd::default();
    let before = process::resident_bytes(process);
    for client in 0..clients {
        crowd.add(Client::new(dialect, place, name, vec![Batch { bytes: dialect.wait(1, name), replies: 1 }], 1));
        crowd.clients[client].begin(0);
    }
    let pinger = crowd.clients.len();
    let stores = [dialect.ping(1), dialect.store(1, name, b"v")].map(|bytes| Batch { bytes, replies: 1 });
    crowd.add(Client::new(dialect, place, name, Vec::from(stores), 1));
    crowd.clients[pinger].begin(0);
    crowd.wait_for(vec![pinger]);
    let bytes = process::resident_bytes(process) - before;
    // That each gets a value now shows that all of them waited.
    let mut answered = Vec::new();
    for _ in 0..clients {
        crowd.clients[pinger].begin(1);
        let mut stored = false;
        while !stored {
            crowd.turn();
            stored = crowd.ended.contains(&pinger);
            answered.extend(crowd.ended.iter().filter(|place| **place != pinger));
        }
    }
    let rest = (0..clients).filter(|place| !answered.contains(place)).collect();
    crowd.wait_for(rest);
    json!({ "bytes_each": bytes as f64 / clients as f64 })
}
