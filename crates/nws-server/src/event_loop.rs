//! The thread that owns the core and the data sockets.
//!
//! A turn: wait (`spin` says how), note what the poll tells, read the connections that have something and execute their
//! requests, look at what time has brought, send. `serve` reads and executes, `handshake` lets
//! sessions in, `flush` sends, `ending` closes; here is what holds them together.

mod arrivals;
mod classic;
mod deliver;
#[cfg(feature = "simulation")]
mod driven;
mod ending;
mod flush;
mod handshake;
mod listings;
mod long;
mod note;
mod parts;
mod serve;
mod spin;
mod unread;
mod weigh;

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use nws_core::{Core, Effect, Settings};
use nws_proto::{RequestId, SessionId};

use crate::admission::Rules;
use crate::clock::{Clock, Random};
use crate::config::{Limits, random_bytes};
use crate::disk::Disk;
use crate::gauges::Measures;
use crate::input::Scratch;
use crate::kept::Pinned;
use crate::listener::Listener;
use crate::outbox::Spare;
use crate::readings::Returns;
use crate::server::Shared;
use crate::stored::Stored;
use crate::table::Table;
use crate::timers::Timers;
use crate::transit::SpareQueues;
pub(crate) use arrivals::SURPLUS_CONNECTIONS;
use deliver::GIVEN_BACK_A_TURN_UNITS;
pub(crate) use note::Note;
use spin::Spin;

pub(crate) const WAKER: Token = Token(0);
const LISTENERS: usize = 1;
const CONNECTIONS: usize = 8;
const EVENTS: usize = 1024;
/// Most appointments kept in a turn.
const APPOINTMENTS_A_TURN: usize = 512;
/// After how much reading and executing a turn goes on to sending, and after how much sending it ends,
/// in units of about a microsecond. Who is left stands first in line in the next turn.
const TURN_UNITS: usize = 2000;
/// What a connection's turn to be read costs beside what it asks for, and its turn to be sent to.
const CONNECTION_UNITS: usize = 5;
/// Bytes that are received or sent in a unit's time.
const UNIT_BYTES: usize = 4096;
/// The part of all connections that only those over a Unix socket may have.
const UNIX_PART: usize = 10;

/// Who asked for what is being carried out.
#[derive(Clone, Copy)]
struct Asking {
    session: SessionId,
    slot: usize,
    request: RequestId,
    /// It is a fetch without a lease.
    fetches: bool,
}

/// Everything that the thread owns.
pub(crate) struct EventLoop {
    poll: Poll,
    listeners: Vec<Listener>,
    accept_again_ms: Option<u64>,
    core: Core<Stored>,
    effects: Vec<Effect<Stored>>,
    table: Table,
    timers: Timers,
    clock: Clock,
    now_ms: u64,
    random: Random,
    limits: Limits,
    rules: Rules,
    server_id: [u8; 16],
    next_session: u64,
    next_serial: u64,
    scratch: Scratch,
    spare: Spare,
    spare_queues: SpareQueues,
    /// Of requests that are not executed: what has come in part, or is set aside; in bytes.
    receiving_bytes: u64,
    /// Taken by values that were fetched and not sent yet, in bytes.
    transit_bytes: u64,
    /// What was written for replies and is not sent yet, in bytes.
    unsent_bytes: u64,
    /// Large values that only replies hold.
    pinned: Pinned,
    /// More waits to be sent than may, and there is somebody who does not read it.
    ends_unread: bool,
    /// What could not be handed out.
    returns: Returns,
    disk: Disk,
    /// What was loaded from the disk and is not sent yet, in bytes.
    loaded_bytes: usize,
    /// Slots that are not read from until all together have less on its way to the disk.
    awaiting_disk: Vec<usize>,
    /// Slots to be read.
    line: VecDeque<usize>,
    /// Slots for which a long listing is being made.
    listings: VecDeque<usize>,
    /// Slots to be flushed first: they got what others stored.
    urgent: VecDeque<usize>,
    /// Slots to be flushed then.
    dirty: VecDeque<usize>,
    /// Slots to be flushed in the next turn: they had their share of this one.
    later: Vec<usize>,
    /// What this turn has spent on what it does now, in units of about a microsecond.
    spent_units: usize,
    /// Whether the connection whose turn it is has had a request executed.
    has_executed: bool,
    /// The core has something left to be done in parts.
    sweeps: bool,
    stop_at_ms: Option<u64>,
    measures: Measures,
    shared: Arc<Shared>,
}

impl EventLoop {
    pub(crate) fn new(
        poll: Poll,
        mut listeners: Vec<Listener>,
        rules: Rules,
        limits: Limits,
        tmp_dir: PathBuf,
        most_files: usize,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        for (place, listener) in listeners.iter_mut().enumerate() {
            poll.registry().register(listener, Token(LISTENERS + place), Interest::READABLE)?;
        }
        let server_id: [u8; 16] = random_bytes()?;
        let settings = settings(&limits, &server_id);
        let clock = Clock::new();
        let now_ms = clock.now_ms();
        let disk = Disk::new(tmp_dir, limits.values_disk_bytes, limits.values_bytes, most_files, Arc::clone(&shared));
        Ok(Self {
            poll,
            listeners,
            accept_again_ms: None,
            core: Core::new(settings, ()),
            effects: Vec::new(),
            table: Table::default(),
            timers: Timers::default(),
            clock,
            now_ms,
            random: Random::new(u64::from_le_bytes(random_bytes()?)),
            limits,
            rules,
            server_id,
            next_session: 1,
            next_serial: 1,
            scratch: Scratch::new(),
            spare: Spare::default(),
            spare_queues: SpareQueues::default(),
            receiving_bytes: 0,
            transit_bytes: 0,
            unsent_bytes: 0,
            pinned: Pinned::default(),
            ends_unread: false,
            returns: Returns::default(),
            disk,
            loaded_bytes: 0,
            awaiting_disk: Vec::new(),
            line: VecDeque::new(),
            listings: VecDeque::new(),
            urgent: VecDeque::new(),
            dirty: VecDeque::new(),
            later: Vec::new(),
            spent_units: 0,
            has_executed: false,
            sweeps: false,
            stop_at_ms: None,
            measures: Measures::default(),
            shared,
        })
    }

    /// Runs until it is told to stop.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        let mut spin = Spin::new(Duration::from_micros(self.limits.spin_us.into()));
        let mut ended = Instant::now();
        loop {
            let patience = self.patience();
            match spin.wait(&mut self.poll, &mut events, patience, ended) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            let began = Instant::now();
            self.turn(events.iter().map(Note::from));
            ended = Instant::now();
            self.shared.gauges.paused(ended - began);
            if self.has_stopped() {
                return Ok(());
            }
        }
    }

    /// What follows from what the poll tells.
    pub(crate) fn turn(&mut self, notes: impl Iterator<Item = Note>) {
        self.now_ms = self.clock.now_ms();
        self.take_notes(notes);
        self.give_back(GIVEN_BACK_A_TURN_UNITS);
        self.hear_of_disk();
        self.serve_line();
        self.see_to_time();
        self.go_on_listing();
        // Who is told of something finds it in the numbers as well.
        self.publish();
        self.flush();
        self.sweeps = self.core.sweep(&mut self.effects);
        self.carry_out(None);
        self.ends_unread = self.end_who_does_not_read();
        self.publish();
    }

    /// Tells the other threads how it is.
    fn publish(&mut self) {
        let (undelivered_bytes, unsent_bytes) = (self.undelivered_bytes(), self.unsent_bytes());
        let (core, measures) = (&self.core, &mut self.measures);
        measures.sessions = self.table.sessions() as u64;
        measures.connections = self.table.len() as u64;
        measures.workspaces = core.workspaces() as u64;
        measures.variables = core.variables() as u64;
        measures.values = core.values();
        measures.values_bytes = core.values_bytes();
        measures.values_disk_bytes = self.disk.space().used_bytes();
        measures.values_disk_limit_bytes = self.disk.space().most_bytes();
        measures.names_bytes = core.names_bytes();
        measures.undelivered_bytes = undelivered_bytes + self.loaded_bytes as u64;
        measures.receiving_bytes = self.receiving_bytes + self.disk.writing_bytes() as u64;
        measures.unsent_bytes = unsent_bytes;
        measures.limit_bytes = self.limits.values_bytes;
        measures.waiting = core.waiting() as u64;
        self.shared.gauges.publish(measures);
    }

    /// How long nothing needs to be done unless something comes.
    pub(crate) fn patience(&self) -> Option<Duration> {
        let to_do = self.sweeps || self.ends_unread || !self.returns.is_empty();
        let to_flush = !self.urgent.is_empty() || !self.dirty.is_empty() || !self.later.is_empty();
        if !self.line.is_empty() || self.lists() || to_flush || to_do || self.disk.has_completed() {
            return Some(Duration::ZERO);
        }
        let next = [self.core.next_deadline_ms(), self.timers.next_ms(), self.accept_again_ms, self.stop_at_ms];
        next.into_iter().flatten().min().map(|due_ms| Duration::from_millis(due_ms.saturating_sub(self.clock.now_ms())))
    }

    fn take_notes(&mut self, notes: impl Iterator<Item = Note>) {
        for slot in std::mem::take(&mut self.later) {
            self.flush_soon(slot);
        }
        for note in notes {
            match note.token.0.checked_sub(CONNECTIONS) {
                None if note.token == WAKER => {}
                None => self.accept(note.token.0 - LISTENERS),
                Some(slot) => {
                    if note.writable {
                        self.flush_soon(slot);
                    }
                    if let Some(connection) = self.table.get(slot) {
                        connection.hung_up |= note.hung_up;
                        if note.readable || connection.hung_up {
                            self.stand_in_line(slot);
                        }
                    }
                }
            }
        }
        if self.shared.is_stopped() && self.stop_at_ms.is_none() {
            self.begin_to_stop();
        }
    }

    fn stand_in_line(&mut self, slot: usize) {
        if let Some(connection) = self.table.get(slot)
            && !connection.in_line
        {
            connection.in_line = true;
            self.line.push_back(slot);
        }
    }

    /// Sees to it that the connection is looked at in time.
    fn appoint(&mut self, slot: usize) {
        let Some(connection) = self.table.get(slot) else { return };
        // Whoever is heard meanwhile is to be asked a quarter later, and no appointment is made then.
        let soonest_ms = connection.quarter_ms().map_or(u64::MAX, |quarter_ms| self.now_ms + quarter_ms);
        let due_ms = connection.due_ms(&self.limits).map(|due_ms| due_ms.min(soonest_ms));
        if let Some(due_ms) = due_ms
            && connection.timer_ms.is_none_or(|timer_ms| due_ms < timer_ms)
        {
            connection.timer_ms = Some(due_ms);
            self.timers.add(due_ms, connection.serial, slot);
        }
    }

    fn see_to_time(&mut self) {
        self.now_ms = self.clock.now_ms();
        if self.core.next_deadline_ms().is_some_and(|due_ms| due_ms <= self.now_ms) {
            self.core.expire(self.now_ms, &mut self.effects);
            self.carry_out(None);
        }
        for _ in 0..APPOINTMENTS_A_TURN {
            let Some((due_ms, serial, slot)) = self.timers.pop_due(self.now_ms) else { break };
            let Some(connection) = self.table.get(slot) else { continue };
            if connection.serial != serial || connection.timer_ms != Some(due_ms) {
                continue;
            }
            connection.timer_ms = None;
            if connection.due_ms(&self.limits).is_some_and(|due_ms| due_ms <= self.now_ms) {
                self.keep_appointment(slot);
            }
            self.appoint(slot);
        }
        if self.accept_again_ms.take_if(|due_ms| *due_ms <= self.now_ms).is_some() {
            (0..self.listeners.len()).for_each(|place| self.accept(place));
        }
    }
}

/// The core's part of the limits. What ends the names of temporary workspaces is another in each run.
fn settings(limits: &Limits, server_id: &[u8; 16]) -> Settings {
    let suffix = server_id[..4].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Settings {
        name_bytes: limits.name_bytes,
        session_workspaces: limits.session_workspaces,
        session_variables: limits.session_variables,
        session_waiting: limits.session_waiting,
        waiting: limits.waiting,
        session_orphans: limits.session_orphans,
        session_leases: limits.session_leases,
        value_bytes: limits.value_bytes,
        values_bytes: limits.values_bytes,
        temporary_suffix: suffix.into_bytes(),
        ..Settings::default()
    }
}
