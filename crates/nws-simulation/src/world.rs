//! The course of a run: clients come, ask, fail and go; then all is brought to an end and counted.

use nws_proto::SessionId;
use nws_server::Limits;
use nws_server::simulation::{Carried, DiskOutcome, Simulated};
use nws_testkit::Dice;

use crate::classic::Classic;
use crate::client::{Client, Out, Speaker};
use crate::ledger::{Ledger, SPILLED_BYTES, Sizes, VARIABLES};
use crate::own::{Own, TOKEN};
use crate::{Tally, Wrong};

const MOST_CLIENTS: usize = 7;
/// How often the server's tables are compared.
const AUDIT_STEPS: usize = 8;
/// Turns after which a run that does not end hangs.
const MOST_TURNS: usize = 5000;
/// More than one client can have coming for requests that wait: that many replies of that many values.
const MOST_COMING_BYTES: usize = 9 * 5 * 1_600_000;

pub(crate) struct World {
    server: Simulated,
    limits: Limits,
    clients: Vec<Client>,
    ledger: Ledger,
    dice: Dice,
    now_ms: u64,
    /// Links are narrow as a rule.
    narrow: bool,
    disk: Disk,
    tally: Tally,
    /// What happened, for who looks for a defect.
    past: Vec<String>,
}

/// What the server's disk is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disk {
    /// It answers at once.
    Prompt,
    /// It answers late, and in any order.
    Slow,
    /// Beside that, some of what it is to write or read it does not.
    Failing,
}

/// Everything small, so that limits are met.
fn limits(dice: &mut Dice) -> Limits {
    Limits {
        connections: 5 + dice.below(8),
        frame_payload_bytes: 1 << 24,
        spill_bytes: SPILLED_BYTES as u64,
        values_disk_bytes: Some(if dice.one_in(4) { 3000 } else { 1 << 30 }),
        values_bytes: if dice.one_in(4) { 200_000 } else { 1 << 30 },
        session_waiting: if dice.one_in(4) { 2 } else { 100 },
        session_leases: if dice.one_in(4) { 5 } else { 1000 },
        session_readings: if dice.one_in(2) { 1 + dice.below(2) as u32 } else { 1000 },
        unsent_bytes: [1 << 11, 1 << 14, 1 << 20][dice.below(3)],
        handshake_ms: 2000,
        silence_ms: 1000,
        goodbye_ms: 200,
        ..Limits::default()
    }
}

impl World {
    pub(crate) fn new(mut dice: Dice) -> Result<Self, Wrong> {
        let limits = limits(&mut dice);
        let mut server = Simulated::new(limits.clone(), TOKEN, dice.roll()).map_err(|error| error.to_string())?;
        let disk = [Disk::Prompt, Disk::Prompt, Disk::Slow, Disk::Failing][dice.below(4)];
        server.hold_disk(disk != Disk::Prompt);
        let sizes = match dice.below(40) {
            0 => Sizes::Large,
            1..20 => Sizes::Medium,
            _ => Sizes::Small,
        };
        let (narrow, ledger) = (dice.one_in(2), Ledger::new(sizes));
        let (clients, tally, past) = (Vec::new(), Tally::new(), Vec::new());
        Ok(Self { server, limits, clients, ledger, dice, now_ms: 0, narrow, disk, tally, past })
    }

    pub(crate) fn tally(&self) -> Tally {
        self.tally.clone()
    }

    pub(crate) fn tell(&self, wrong: &str) -> Wrong {
        let clients: Vec<_> = self.clients.iter().map(|client| format!("  {client:?}\n")).collect();
        let last = self.past.len().saturating_sub(40);
        format!("at {} ms: {wrong}\n{}{}", self.now_ms, self.past[last..].concat(), clients.concat())
    }

    fn note(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
        self.past.push(format!("  {} ms: {what}\n", self.now_ms));
    }

    /// Clients come, ask, fail and go.
    pub(crate) fn live(&mut self, steps: usize) -> Result<(), Wrong> {
        for step in 0..steps {
            self.step()?;
            if step % AUDIT_STEPS == 0 {
                self.server.audit()?;
            }
            if self.dice.is_spent() {
                break;
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), Wrong> {
        match self.dice.below(22) {
            0 if self.clients.len() < MOST_CLIENTS => self.connect(),
            1..8 => {
                if let Some(client) = self.any() {
                    client.0.ask(client.1, client.2);
                }
            }
            8..13 => self.pump_one(),
            13 => self.pass_time()?,
            14 => {
                let gone: Vec<usize> = (0..self.clients.len()).filter(|at| self.clients[*at].failed).collect();
                if let Some(at) = self.dice.any(&gone) {
                    self.clients[at].leave(&mut self.dice);
                }
            }
            15 => self.now_ms += self.dice.below(4) as u64,
            16..18 => drop(self.disk_moves()),
            _ => self.turn()?,
        }
        self.clients.retain(|client| !client.over);
        Ok(())
    }

    fn any(&mut self) -> Option<(&mut Client, &mut Ledger, &mut Dice)> {
        let at = self.dice.below(self.clients.len());
        Some((self.clients.get_mut(at)?, &mut self.ledger, &mut self.dice))
    }

    fn pump_one(&mut self) {
        let at = self.dice.below(self.clients.len());
        let reads = !self.dice.one_in(3);
        if let Some(client) = self.clients.get_mut(at) {
            client.pump(reads, &mut self.ledger, &mut self.dice, &mut self.tally);
        }
    }

    /// The disk does one of the things that it was asked; whether there was any.
    fn disk_moves(&mut self) -> bool {
        let jobs = self.server.disk_jobs();
        if jobs == 0 {
            return false;
        }
        *self.tally.entry("the disk was late").or_default() += 1;
        let outcome = match self.disk {
            Disk::Failing if self.dice.one_in(12) => DiskOutcome::Full,
            Disk::Failing if self.dice.one_in(12) => DiskOutcome::Broken,
            _ => DiskOutcome::Done,
        };
        let place = if self.dice.one_in(2) { 0 } else { self.dice.below(jobs) };
        if self.server.do_disk_job(place, outcome) && outcome != DiskOutcome::Done {
            self.note("the disk failed");
        }
        true
    }

    fn pump_all(&mut self) -> bool {
        let Self { clients, ledger, dice, tally, .. } = self;
        clients.iter_mut().fold(false, |moved, client| moved | client.pump(true, ledger, dice, tally))
    }

    /// To the next time at which the server has something to do; who is well acts before and after.
    fn pass_time(&mut self) -> Result<(), Wrong> {
        self.everybody_acts()?;
        if let Some(due_ms) = self.server.due_ms() {
            self.now_ms = self.now_ms.max(due_ms);
        }
        self.turn()?;
        self.everybody_acts()
    }

    /// So often that a client can be let in or answer a ping meanwhile.
    fn everybody_acts(&mut self) -> Result<(), Wrong> {
        for _ in 0..4 {
            self.pump_all();
            self.server.turn(self.now_ms, |_| ());
            self.look()?;
        }
        Ok(())
    }

    fn connect(&mut self) {
        let carried = if self.dice.one_in(2) { Carried::ByTcp } else { Carried::ByUnix };
        let narrow = self.dice.one_in(if self.narrow { 2 } else { 6 });
        let room_bytes = if narrow { 1 + self.dice.below(600) } else { 300_000 };
        let surplus = !self.server.has_room(carried);
        let link = self.server.connect(carried, "10.0.0.1:1", room_bytes);
        let slow = narrow || self.dice.one_in(5);
        let speaker = if self.dice.one_in(3) {
            self.note("a classic client");
            Speaker::Classic(Box::new(Classic::new(self.dice.one_in(2))))
        } else {
            self.note("a client");
            let silence_ms = [0, 300, 1000, u32::MAX][self.dice.below(4)];
            let guardian = self.session().filter(|_| self.dice.one_in(2)).unwrap_or_default();
            Speaker::Own(Box::new(Own::new(silence_ms, guardian)))
        };
        let mut client = Client::new(link, speaker, slow, &mut self.dice);
        // A guardian may have ended when the hello comes.
        client.surplus = surplus;
        client.disk_fails = matches!(self.disk, Disk::Failing);
        self.clients.push(client);
    }

    /// A live session, which may end at any time.
    fn session(&mut self) -> Option<SessionId> {
        let sessions: Vec<SessionId> = self
            .clients
            .iter()
            .filter_map(|client| match &client.speaker {
                Speaker::Own(own) => own.session,
                Speaker::Classic(_) => None,
            })
            .collect();
        self.dice.any(&sessions)
    }

    /// A turn of the server, which is told of changes in any order, and of some later.
    fn turn(&mut self) -> Result<(), Wrong> {
        let dice = &mut self.dice;
        self.server.turn(self.now_ms, |told| {
            for place in (1..told.len()).rev() {
                told.swap(place, dice.below(place + 1));
            }
            if dice.one_in(4) {
                told.truncate(dice.below(told.len() + 1));
            }
        });
        self.look()
    }

    fn look(&mut self) -> Result<(), Wrong> {
        for client in &mut self.clients {
            client.observe(&mut self.ledger, &mut self.tally)?;
        }
        let held = self.server.held();
        if held.values_bytes + held.transit_bytes > self.limits.values_bytes {
            return Err(format!("more memory than it may have: {held:?}"));
        }
        if held.most_unsent_bytes > self.limits.unsent_bytes + MOST_COMING_BYTES {
            return Err(format!("more for one connection than it may have: {held:?}"));
        }
        *self.tally.entry("not read from").or_default() += u64::from(held.paused > 0);
        Ok(())
    }

    /// Everybody acts until `holds`; where nothing moves, time passes.
    fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) -> Result<(), Wrong> {
        for _ in 0..MOST_TURNS {
            let moved = self.pump_all() | self.disk_moves();
            self.server.turn(self.now_ms, |_| ());
            self.look()?;
            self.server.audit()?;
            self.clients.retain(|client| !client.over);
            let moves = moved || self.clients.iter().any(Client::has_something);
            if moves || self.server.due_ms().is_some_and(|due_ms| due_ms <= self.now_ms) {
                continue;
            }
            if holds(self) {
                return Ok(());
            }
            match self.server.due_ms() {
                Some(due_ms) => self.now_ms = due_ms,
                None => return Err(format!("nothing more happens, and not yet: {what}")),
            }
        }
        Err(format!("it goes on and on, and not yet: {what}"))
    }

    /// What is wrong with clients comes to its end: who is well remains, and has all answers.
    pub(crate) fn settle(&mut self) -> Result<(), Wrong> {
        for client in &mut self.clients {
            client.recover();
            let for_ever = match &client.speaker {
                Speaker::Own(own) => own.is_silent_for_ever(),
                Speaker::Classic(_) => true,
            };
            if client.failed && for_ever {
                client.leave(&mut self.dice);
            }
        }
        self.until("only those are there who are well", |world| world.clients.iter().all(Client::is_well))?;
        self.clients.iter_mut().for_each(Client::cancel_waits);
        self.until("everything is answered", |world| world.clients.iter().all(|client| client.unanswered() == 0))?;
        let (connections, there) = (self.server.connections().0, self.clients.len());
        if connections != there {
            return Err(format!("{connections} connections, and {there} clients"));
        }
        Ok(())
    }

    /// Everybody leaves, the disk is mended, and one who comes last counts what is left.
    pub(crate) fn reckon(&mut self) -> Result<(), Wrong> {
        if matches!(self.disk, Disk::Failing) {
            // What could not be read is where it was, and can be now.
            self.disk = Disk::Slow;
        }
        for client in &mut self.clients {
            client.leave(&mut self.dice);
        }
        self.until("nobody is there", |world| world.server.connections() == (0, 0))?;
        if self.server.waiting() > 0 {
            return Err(format!("{} requests wait for nobody", self.server.waiting()));
        }
        let link = self.server.connect(Carried::ByUnix, "local", 1 << 26);
        self.clients = vec![Client::well(link, Speaker::Own(Box::new(Own::last())))];
        self.until("the last one is let in", answered)?;
        for variable in 0..VARIABLES.len() {
            loop {
                let most = self.limits.session_readings;
                self.last(|own, out| own.take_all(out, variable, most));
                self.until("the last one has what there is", answered)?;
                if self.clients.iter().all(|client| client.found_nothing()) {
                    break;
                }
            }
        }
        self.last(Own::delete_volatile);
        self.until("the last one has deleted the rest", answered)?;
        self.server.audit()?;
        if self.server.values_bytes() > 0 {
            return Err(format!("{} bytes of values are left, and no value", self.server.values_bytes()));
        }
        self.ledger.reckon(&mut self.tally)?;
        self.stop()
    }

    /// The server says goodbye, and does not wait for ever.
    fn stop(&mut self) -> Result<(), Wrong> {
        self.server.stop();
        self.clients[0].surplus = true;
        for _ in 0..MOST_TURNS {
            self.server.turn(self.now_ms, |_| ());
            if self.server.has_stopped() {
                return Ok(());
            }
            self.now_ms = self.server.due_ms().unwrap_or(self.now_ms + 1);
        }
        Err("it does not stop".to_owned())
    }

    fn last(&mut self, act: impl FnOnce(&mut Own, &mut Out)) {
        if let Some(Client { speaker: Speaker::Own(own), out, .. }) = self.clients.first_mut() {
            act(own, out);
        }
    }
}

fn answered(world: &World) -> bool {
    world.clients.iter().all(|client| client.unanswered() == 0)
}
