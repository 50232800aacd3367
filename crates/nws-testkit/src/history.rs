//! Seeded random histories: several clients, everything that they can do, held against the model.

use std::collections::{BTreeMap, BTreeSet};

use nws_core::{Core, Effect, SessionInit, Settings};
use nws_proto::{
    Cursor, FinishItem, Grant, Index, Item, LeaseId, Mode, OpenMode, Reply, Request, RequestId, Retrieve, SessionId,
    VariableHandle, VariableId, Wait, WorkspaceHandle,
};

use crate::model::{Model, Step, Wrong};
use crate::value::{Value, sized};

const SPACES: [&str; 3] = ["w", "x", "__default"];
const VARIABLES: [&str; 4] = ["v", "u", "t", "s"];
const MOST_SESSIONS: usize = 6;

/// How often each kind of thing has happened.
pub type Tally = BTreeMap<&'static str, u64>;

/// Runs the history of one seed.
///
/// # Errors
/// What is wrong, with the history up to there.
pub fn run(seed: u64, steps: usize, tally: &mut Tally) -> Result<(), Wrong> {
    let mut history = History::new(seed);
    let outcome = (0..steps).try_for_each(|_| history.step()).and_then(|()| history.drain());
    for (kind, times) in history.tally {
        *tally.entry(kind).or_default() += times;
    }
    outcome.map_err(|wrong| {
        let past: Vec<_> = history.past.iter().map(|step| format!("  {step:?}\n")).collect();
        format!("seed {seed}, after {} steps: {wrong}\n{}", past.len(), past.concat())
    })
}

/// The kind of an effect; `late`: of a request that had waited.
fn kind(effect: &Effect<Value>, late: bool) -> &'static str {
    let Effect::Reply { reply, .. } = effect else { return "recall" };
    match reply {
        Reply::Done => "done",
        Reply::Failed(fault) => fault.code.slug(),
        Reply::TimedOut => "timed out",
        Reply::Canceled => "canceled",
        Reply::Opened { owned: false, .. } => "opened",
        Reply::Opened { .. } => "owned",
        Reply::Workspaces(_) => "workspaces",
        Reply::Variables(_) => "variables",
        Reply::Values { values, .. } if values.is_empty() => "no values",
        Reply::Values { first_lease: LeaseId(0), values, .. } => match (late, values.len()) {
            (false, 1) => "value",
            (false, _) => "values",
            (true, 1) => "value after a wait",
            (true, _) => "values after a wait",
        },
        Reply::Values { values, .. } => match (late, values.len()) {
            (false, 1) => "lease",
            (false, _) => "leases",
            (true, 1) => "lease after a wait",
            (true, _) => "leases after a wait",
        },
        Reply::Finished { refused } if refused.is_empty() => "finished",
        Reply::Finished { .. } => "finished in part",
        Reply::Adopted(adopted) => match (late, adopted.leases.is_empty()) {
            (_, true) => "adopted nothing",
            (false, false) => "adopted",
            (true, false) => "adopted after a wait",
        },
        Reply::Pong => "pong",
    }
}

/// Entropy (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.roll() % limit.max(1) as u64) as usize
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn any<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        of.get(self.below(of.len())).copied()
    }
}

struct History {
    core: Core<Value>,
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
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
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
            core: Core::new(settings.clone(), ()),
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
        let spaces = self.model.spaces.iter().filter(|space| space.alive).count();
        let variables = self.model.variables.iter().filter(|variable| variable.alive).count();
        let (core, model) = (&self.core, &self.model);
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

fn retrieve(variable: VariableHandle) -> Retrieve {
    Retrieve {
        variable,
        take: false,
        lease: false,
        wait: Wait::No,
        cursor: Cursor::Mode,
        max_values: 5,
        max_bytes: u32::MAX,
    }
}

/// What a client asks next.
impl History {
    fn request(&mut self, session: SessionId) -> Request<Value> {
        if let Some(request) = self.mend(session).filter(|_| !self.dice.one_in(4)) {
            return request;
        }
        if self.work && !self.dice.one_in(5) {
            return self.work(session);
        }
        let variable = self.variable();
        match self.dice.below(100) {
            0..25 => Request::Store { variable, items: self.items() },
            25..60 => Request::Retrieve(self.retrieve(variable)),
            60..70 => self.finish(session, variable),
            70..79 => {
                let recalled = self.dice.one_in(20);
                self.release(session, recalled)
            }
            79..83 => Request::Adopt { wait: self.wait() },
            83..87 => self.cancel(session),
            87..89 => Request::Declare { variable, mode: self.dice.any(&Mode::ALL).unwrap_or(Mode::Fifo) },
            89 => Request::DeleteVariable { variable },
            90..92 => Request::ListVariables { workspace: self.workspace() },
            92 => Request::ListWorkspaces { name: Some(self.name(&SPACES)).filter(|_| self.dice.one_in(2)) },
            93 if self.dice.one_in(2) => Request::DeleteWorkspace { name: self.name(&SPACES) },
            93 => Request::Unbind { variable },
            94 => Request::CloseWorkspace { workspace: self.workspace() },
            95 => {
                let workspace = self.workspace();
                self.open_space(workspace)
            }
            96 => {
                let template = if self.dice.one_in(4) { b"none".to_vec() } else { b"temp%d".to_vec() };
                Request::MakeTemporary { workspace: self.workspace(), template }
            }
            97..99 => self.bind(session, variable),
            _ => Request::Ping,
        }
    }

    /// What a client does that has lost some of what it works with.
    fn mend(&mut self, session: SessionId) -> Option<Request<Value>> {
        let client = self.model.sessions.get(&session)?;
        let gone = client.spaces.iter().find(|(_, at)| !self.model.spaces[**at].alive);
        if let Some((workspace, _)) = gone {
            return Some(Request::CloseWorkspace { workspace: *workspace });
        }
        let closed = (1..=2).map(WorkspaceHandle).find(|handle| !client.spaces.contains_key(handle));
        let unbound = (1..=3).map(VariableHandle).find(|handle| !client.variables.contains_key(handle));
        match (closed, unbound) {
            (Some(workspace), _) => Some(self.open_space(workspace)),
            (None, Some(variable)) => Some(self.bind(session, variable)),
            (None, None) => None,
        }
    }

    /// Tasks are stored, fetched by lease, finished; holders answer recalls, hosts adopt.
    fn work(&mut self, session: SessionId) -> Request<Value> {
        let variable = VariableHandle(if self.dice.one_in(4) { 2 } else { 1 });
        let client = self.model.sessions.get(&session);
        if client.is_some_and(|client| client.recall.is_some()) && self.dice.one_in(2) {
            return self.release(session, true);
        }
        match self.dice.below(100) {
            0..25 => Request::Store { variable, items: self.items() },
            25..65 => Request::Retrieve(Retrieve {
                take: true,
                lease: true,
                wait: self.wait(),
                max_values: 1 + self.dice.below(6) as u32,
                ..retrieve(variable)
            }),
            65..82 => self.finish(session, VariableHandle(3)),
            82..87 => self.release(session, false),
            87..92 => Request::Adopt { wait: self.wait() },
            92..95 => self.cancel(session),
            _ => Request::Retrieve(self.retrieve(variable)),
        }
    }

    fn cancel(&mut self, session: SessionId) -> Request<Value> {
        let waits = self.model.waiting.iter().filter(|one| one.session == session);
        let waits: Vec<_> = waits.map(|one| one.id).collect();
        Request::Cancel { target: self.dice.any(&waits).unwrap_or(RequestId(77)) }
    }

    fn variable(&mut self) -> VariableHandle {
        VariableHandle(if self.dice.one_in(50) { 9 } else { 1 + self.dice.below(3) as u32 })
    }

    fn workspace(&mut self) -> WorkspaceHandle {
        WorkspaceHandle(1 + self.dice.below(3) as u32)
    }

    /// The first of them more often than the others.
    fn name(&mut self, names: &[&str]) -> Vec<u8> {
        let names = if self.dice.one_in(2) { &names[..1] } else { names };
        self.dice.any(names).unwrap_or_default().as_bytes().to_vec()
    }

    fn open_space(&mut self, workspace: WorkspaceHandle) -> Request<Value> {
        let mode = match self.dice.below(8) {
            0 => OpenMode::Own { persistent: true },
            1 => OpenMode::Own { persistent: false },
            _ => OpenMode::Use,
        };
        Request::Open { workspace, name: self.name(&SPACES), mode, create: !self.dice.one_in(6) }
    }

    /// Binds a handle that is free, as a rule.
    fn bind(&mut self, session: SessionId, variable: VariableHandle) -> Request<Value> {
        let free = |handle: &VariableHandle| {
            let bound = self.model.sessions.get(&session).map(|client| &client.variables);
            bound.is_some_and(|bound| !bound.contains_key(handle))
        };
        let more = if self.dice.one_in(2) { VariableHandle(4) } else { variable };
        let variable = (1..=3).map(VariableHandle).find(free).unwrap_or(more);
        let workspace = if self.dice.one_in(3) { self.workspace() } else { WorkspaceHandle(1) };
        Request::Bind { variable, workspace, name: self.name(&VARIABLES) }
    }

    fn item(&mut self) -> Item<Value> {
        self.last_value += 1;
        sized(self.last_value, 1 + self.dice.below(20) as u32)
    }

    fn items(&mut self) -> Vec<Item<Value>> {
        let count = if self.dice.one_in(3) { 1 + self.dice.below(9) } else { 1 };
        let count = if self.dice.one_in(100) { 0 } else { count };
        (0..count).map(|_| self.item()).collect()
    }

    fn wait(&mut self) -> Wait {
        match self.dice.below(4) {
            0 => Wait::No,
            1 => Wait::Ms(self.dice.below(30) as u32),
            _ => Wait::Forever,
        }
    }

    fn retrieve(&mut self, variable: VariableHandle) -> Retrieve {
        let take = !self.dice.one_in(4);
        let cursor = match self.dice.below(8) {
            0 => Cursor::Oldest,
            1 | 2 => match self.dice.any(&self.cursors[self.cursors.len().saturating_sub(8)..]) {
                Some((variable, index)) => Cursor::After { variable, index },
                None => Cursor::Oldest,
            },
            _ => Cursor::Mode,
        };
        Retrieve {
            variable,
            take,
            lease: (take && self.dice.one_in(2)) || self.dice.one_in(100),
            wait: self.wait(),
            cursor,
            max_values: if self.dice.one_in(100) { 0 } else { 1 + self.dice.below(6) as u32 },
            max_bytes: if self.dice.one_in(3) { self.dice.below(60) as u32 } else { u32::MAX },
        }
    }

    /// Some of the session's leases, as a rule.
    fn leases(&mut self, session: SessionId) -> Vec<LeaseId> {
        let mut held = self.model.leases_of(session);
        held.retain(|_| !self.dice.one_in(3));
        if self.dice.one_in(3) {
            held.reverse();
        }
        if self.dice.one_in(10) {
            held.extend(self.model.leases.keys().next());
            held.push(LeaseId(self.dice.below(500) as u64));
        }
        held
    }

    fn finish(&mut self, session: SessionId, variable: VariableHandle) -> Request<Value> {
        let leases = self.leases(session);
        if leases.is_empty() && !self.dice.one_in(20) {
            let wanted = Retrieve { take: true, lease: true, wait: self.wait(), ..retrieve(variable) };
            return Request::Retrieve(wanted);
        }
        let items = leases.into_iter().take(6).map(|lease| FinishItem { lease, result: self.item() }).collect();
        Request::Finish { variable, items }
    }

    fn release(&mut self, session: SessionId, recalled: bool) -> Request<Value> {
        let mut leases = self.leases(session);
        if self.dice.one_in(3) {
            leases.clear();
        }
        Request::Release { leases, died: self.dice.one_in(3), recalled }
    }
}

/// Knows nothing of the rules but that each request has one reply and each value one taker.
#[derive(Default)]
struct Ledger {
    open: BTreeSet<(SessionId, RequestId)>,
    /// Requests that fetch without a lease.
    takes: BTreeSet<(SessionId, RequestId)>,
    taken: BTreeSet<u64>,
    ended: BTreeSet<SessionId>,
    /// Requests that bear the id of one that waits: they are answered at once.
    doubled: Option<(SessionId, RequestId)>,
}

impl Ledger {
    fn asked(&mut self, session: SessionId, id: RequestId, request: &Request<Value>) {
        self.doubled = None;
        if !self.open.insert((session, id)) {
            self.doubled = Some((session, id));
        } else if matches!(request, Request::Retrieve(wanted) if wanted.take && !wanted.lease) {
            self.takes.insert((session, id));
        } else {
            self.takes.remove(&(session, id));
        }
    }

    fn ended(&mut self, session: SessionId) {
        self.ended.insert(session);
        self.open.retain(|(of, _)| *of != session);
    }

    fn taken_back(&mut self, values: &[Grant<Value>]) {
        for value in values {
            self.taken.remove(&value.item.value.id);
        }
    }

    fn answered(&mut self, effects: &[Effect<Value>]) -> Result<(), Wrong> {
        for effect in effects {
            let Effect::Reply { session, request, reply } = effect else { continue };
            let doubled = self.doubled.take_if(|doubled| *doubled == (*session, *request)).is_some();
            if self.ended.contains(session) || (!doubled && !self.open.remove(&(*session, *request))) {
                return Err(format!("a reply that nobody waits for: {effect:?}"));
            }
            let Reply::Values { values, .. } = reply else { continue };
            for value in values {
                let id = value.item.value.id;
                let takes = self.takes.contains(&(*session, *request));
                if self.taken.contains(&id) || takes && !self.taken.insert(id) {
                    return Err(format!("value {id} was given before: {effect:?}"));
                }
            }
        }
        Ok(())
    }
}
