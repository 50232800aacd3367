//! Seeded random histories: several clients, everything that they can do, held against the model.

mod clients;
mod ledger;
mod notes;

use std::collections::BTreeMap;

use nws_core::{Core, Effect, SessionInit, Settings};
use nws_proto::{
    Grant, Index, OpenMode, Reply, Request, RequestId, Retrieve, SessionId, VariableHandle, VariableId, Wait,
    WorkspaceHandle,
};

use crate::dice::Dice;
use crate::model::{Model, Step, Wrong};
use crate::value::Value;

use clients::retrieve;
use ledger::{Ledger, kind};
use notes::Notes;

const MOST_SESSIONS: usize = 6;
/// How often the core's tables are compared with each other.
const AUDIT_STEPS: usize = 10;

/// How often each kind of thing has happened.
pub type Tally = BTreeMap<&'static str, u64>;

/// Runs the history of one seed.
///
/// # Errors
/// What is wrong, with the history up to there.
pub fn run(seed: u64, steps: usize, tally: &mut Tally) -> Result<(), Wrong> {
    go(Dice::seeded(seed), steps, tally).map_err(|wrong| format!("seed {seed}, {wrong}"))
}

/// Runs the history that these bytes choose, as far as they go and at most so many steps.
///
/// # Errors
/// As [`run`].
pub fn replay(bytes: &[u8], steps: usize) -> Result<(), Wrong> {
    go(Dice::of(bytes), steps, &mut Tally::new())
}

fn go(dice: Dice, steps: usize, tally: &mut Tally) -> Result<(), Wrong> {
    let mut history = History::new(dice);
    let mut outcome = Ok(());
    for _ in 0..steps {
        outcome = history.step();
        if outcome.is_err() || history.dice.is_spent() {
            break;
        }
    }
    let outcome = outcome.and_then(|()| history.drain());
    for (kind, times) in history.tally {
        *tally.entry(kind).or_default() += times;
    }
    outcome.map_err(|wrong| {
        let past: Vec<_> = history.past.iter().map(|step| format!("  {step:?}\n")).collect();
        format!("after {} steps: {wrong}\n{}", past.len(), past.concat())
    })
}

struct History {
    core: Core<Value, Notes>,
    model: Model,
    ledger: Ledger,
    dice: Dice,
    /// Clients that work on tasks, rather than anything.
    work: bool,
    past: Vec<Step>,
    now_ms: u64,
    last_session: u64,
    last_request: u32,
    last_value: u64,
    /// The latest plain fetch of each session, which may turn out not to have reached it.
    fetched: BTreeMap<SessionId, (VariableId, Vec<Grant<Value>>)>,
    /// Iterators that were seen.
    cursors: Vec<(VariableId, Index)>,
    tally: Tally,
}

impl History {
    fn new(mut dice: Dice) -> Self {
        let work = dice.one_in(2);
        let mut settings = Settings { temporary_suffix: b"-t".to_vec(), ..Settings::default() };
        if dice.one_in(4) {
            settings.session_leases = 3 + dice.below(5) as u32;
            settings.session_waiting = 2 + dice.below(3) as u32;
            settings.session_workspaces = 2;
            settings.session_variables = 3;
            settings.batch_values = 6;
            settings.batch_bytes = 60;
        }
        Self {
            core: Core::new(settings.clone(), Notes::default()),
            model: Model::new(settings),
            ledger: Ledger::default(),
            dice,
            work,
            past: Vec::new(),
            now_ms: 0,
            last_session: 0,
            last_request: 0,
            last_value: 0,
            fetched: BTreeMap::new(),
            cursors: Vec::new(),
            tally: Tally::new(),
        }
    }

    fn step(&mut self) -> Result<(), Wrong> {
        let sessions: Vec<_> = self.model.sessions.keys().copied().collect();
        let step = match self.dice.below(100) {
            0..8 if sessions.len() < MOST_SESSIONS => return self.open_client(),
            0..3 => {
                let Some(session) = self.dice.any(&sessions) else { return Ok(()) };
                let undelivered = self.fetched.remove(&session).filter(|_| self.dice.one_in(2));
                Step::End { session, undelivered }
            }
            3..8 => Step::Pass { ms: 1 + self.dice.below(20) as u64 },
            _ => {
                let Some(session) = self.dice.any(&sessions) else { return self.open_client() };
                let request = self.request(session);
                return self.ask(session, request);
            }
        };
        self.take(step)
    }

    /// A session that uses a workspace or two and has some variables bound.
    fn open_client(&mut self) -> Result<(), Wrong> {
        self.last_session += 1;
        let session = SessionId(self.last_session);
        let sessions: Vec<_> = self.model.sessions.keys().copied().collect();
        let guardian = match sessions.first() {
            Some(host) if self.work => *host,
            _ => self.dice.any(&sessions).filter(|_| self.dice.one_in(2)).unwrap_or_default(),
        };
        self.take(Step::Open { session, guardian })?;
        for number in 1..=2 {
            let request = self.open_space(WorkspaceHandle(number));
            self.ask(session, request)?;
        }
        for number in 1..=3 {
            let request = self.bind(session, VariableHandle(number));
            self.ask(session, request)?;
        }
        Ok(())
    }

    fn ask(&mut self, session: SessionId, request: Request<Value>) -> Result<(), Wrong> {
        self.last_request += 1;
        let id = match self.dice.below(200) {
            0 => RequestId(0),
            1 => RequestId(1 + self.dice.below(self.last_request as usize) as u32),
            _ => RequestId(self.last_request),
        };
        let random = self.dice.roll();
        self.take(Step::Ask { session, id, random, request })
    }

    /// Takes a step in the core and in the model.
    fn take(&mut self, step: Step) -> Result<(), Wrong> {
        let mut effects = Vec::new();
        self.past.push(step.clone());
        match &step {
            Step::Open { session, guardian } => {
                let address = format!("address of {session}").into_bytes();
                let label = format!("label of {session}").into_bytes();
                let init = SessionInit { session: *session, address, label, guardian: *guardian };
                self.core.session_opened(init).map_err(|fault| fault.to_string())?;
            }
            Step::End { session, undelivered } => {
                self.core.session_ended(*session, &mut effects);
                if let Some((variable, values)) = undelivered.clone() {
                    self.ledger.taken_back(&values);
                    self.core.undelivered(variable, values, &mut effects);
                }
            }
            Step::Ask { session, id, random, request } => {
                self.ledger.asked(*session, *id, request);
                self.core.request(self.now_ms, *random, *session, *id, request.clone(), &mut effects);
            }
            Step::Pass { ms } => {
                self.now_ms += ms;
                self.core.expire(self.now_ms, &mut effects);
            }
        }
        if let Step::End { session, .. } = &step {
            self.ledger.ended(*session);
        }
        self.remember(&step, &effects);
        self.ledger.answered(&effects)?;
        self.model.step(&step, effects)?;
        self.compare()
    }

    /// What later steps may refer to.
    fn remember(&mut self, step: &Step, effects: &[Effect<Value>]) {
        for effect in effects {
            let answers = |(session, request)| matches!(step, Step::Ask { session: of, id, .. } if (*of, *id) == (session, request));
            let late = matches!(effect, Effect::Reply { session, request, .. } if !answers((*session, *request)));
            *self.tally.entry(kind(effect, late)).or_default() += 1;
            let Effect::Reply { session, reply: Reply::Values { variable, values, .. }, request } = effect else {
                continue;
            };
            self.cursors.extend(values.last().map(|value| (*variable, value.index)));
            self.fetched.remove(session);
            if self.ledger.takes.contains(&(*session, *request)) && !values.is_empty() {
                self.fetched.insert(*session, (*variable, values.clone()));
            }
        }
    }

    /// What both count must be the same.
    fn compare(&self) -> Result<(), Wrong> {
        if self.past.len().is_multiple_of(AUDIT_STEPS) {
            self.core.audit()?;
        }
        let spaces = self.model.spaces.iter().filter(|space| space.alive).count();
        let variables = self.model.variables.iter().filter(|variable| variable.alive).count();
        let (core, model) = (&self.core, &self.model);
        let kept = model.variables.iter().map(|variable| variable.kept.len()).sum();
        let (told, expected) = (core.journal().counts()?, [spaces, variables, kept, model.leases.len()]);
        if told != expected {
            return Err(format!("the facts tell of {told:?} workspaces, variables, kept, leased, not {expected:?}"));
        }
        let same = [
            ("sessions", core.sessions() as u64, model.sessions.len() as u64),
            ("workspaces", core.workspaces() as u64, spaces as u64),
            ("variables", core.variables() as u64, variables as u64),
            ("waiting requests", core.waiting() as u64, model.waiting.len() as u64),
            ("bytes", core.values_bytes(), model.values_bytes()),
            ("next deadline", core.next_deadline_ms().unwrap_or(0), model.next_deadline_ms().unwrap_or(0)),
        ];
        for (what, actual, expected) in same {
            if actual != expected {
                return Err(format!("{what}: expected {expected}, got {actual}"));
            }
        }
        for session in model.sessions.keys() {
            let (actual, expected) = (core.session_leases(*session) as usize, model.leases_of(*session).len());
            if actual != expected {
                return Err(format!("leases of {session}: expected {expected}, got {actual}"));
            }
        }
        Ok(())
    }

    /// At the end everybody leaves but one, who fetches what is left: with what was given to
    /// others before, that must be every value that was ever stored, each once.
    fn drain(&mut self) -> Result<(), Wrong> {
        let sessions: Vec<_> = self.model.sessions.keys().copied().collect();
        for session in sessions {
            self.take(Step::End { session, undelivered: None })?;
        }
        self.last_session += 1;
        let session = SessionId(self.last_session);
        self.take(Step::Open { session, guardian: SessionId(0) })?;
        let left = self.model.variables.iter().filter(|variable| variable.alive);
        let left: Vec<_> = left.map(|one| (self.model.spaces[one.space].name.clone(), one.name.clone())).collect();
        let (workspace, variable) = (WorkspaceHandle(1), VariableHandle(1));
        for (space, name) in left {
            self.ask_plainly(session, Request::Open { workspace, name: space, mode: OpenMode::Use, create: false })?;
            self.ask_plainly(session, Request::Bind { variable, workspace, name })?;
            self.ask_plainly(session, Request::ListVariables { workspace })?;
            let wanted = retrieve(variable);
            while !self.fetched_all(session, wanted)? {}
            self.ask_plainly(session, Request::CloseWorkspace { workspace })?;
        }
        self.core.audit()?;
        if self.core.values_bytes() != 0 || self.core.waiting() != 0 {
            return Err(format!("{} bytes and {} waits are left", self.core.values_bytes(), self.core.waiting()));
        }
        Ok(())
    }

    fn fetched_all(&mut self, session: SessionId, wanted: Retrieve) -> Result<bool, Wrong> {
        self.fetched.remove(&session);
        self.ask_plainly(session, Request::Retrieve(Retrieve { take: true, wait: Wait::No, ..wanted }))?;
        Ok(!self.fetched.contains_key(&session))
    }

    fn ask_plainly(&mut self, session: SessionId, request: Request<Value>) -> Result<(), Wrong> {
        self.last_request += 1;
        self.take(Step::Ask { session, id: RequestId(self.last_request), random: 0, request })
    }
}
