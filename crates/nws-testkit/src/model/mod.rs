//! The rules of the core once more, in plain collections, slow and obvious.
//!
//! The model is told what happens ([`Step`]) together with the effects that the core gave, and
//! says where they are not what the rules want. It shares no code with the core. What the rules
//! leave open (which value of multi, which ids) it takes from the core, and checks that it is one
//! of what is allowed.

mod requests;
mod script;
mod sessions;
mod share;
mod spaces;
mod values;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use nws_core::{Effect, Settings};
use nws_proto::{
    Grant, Item, LeaseId, Mode, Request, RequestId, Retrieve, SessionId, VariableHandle, VariableId, WorkspaceHandle,
};

use crate::value::Value;
use script::Script;

/// What is wrong, for people.
pub type Wrong = String;
type Check<T = ()> = Result<T, Wrong>;

/// Something that happens to a core.
#[derive(Clone, Debug)]
pub enum Step {
    /// A session begins.
    Open {
        /// Its id.
        session: SessionId,
        /// Its guardian.
        guardian: SessionId,
    },
    /// A session ends, of whatever cause.
    End {
        /// Which.
        session: SessionId,
        /// Fetched values that did not reach it.
        undelivered: Option<(VariableId, Vec<Grant<Value>>)>,
    },
    /// A request comes.
    Ask {
        /// Whose.
        session: SessionId,
        /// Its id.
        id: RequestId,
        /// Entropy.
        random: u64,
        /// What it asks.
        request: Request<Value>,
    },
    /// Time passes.
    Pass {
        /// How much of it.
        ms: u64,
    },
}

/// The state, as the rules see it.
pub struct Model {
    settings: Settings,
    now_ms: u64,
    temporaries: u64,
    /// Live sessions.
    pub sessions: BTreeMap<SessionId, Client>,
    /// Every workspace that ever was.
    pub spaces: Vec<Space>,
    /// Every variable that ever was.
    pub variables: Vec<Variable>,
    /// Requests that wait, in the order in which they came.
    pub waiting: Vec<Waiting>,
    /// Values handed out by lease.
    pub leases: BTreeMap<LeaseId, Leased>,
    /// The highest lease id so far.
    last_lease: LeaseId,
}

/// A live session.
#[derive(Default)]
pub struct Client {
    guardian: SessionId,
    /// What its handles are bound to.
    pub spaces: BTreeMap<WorkspaceHandle, usize>,
    /// Through which workspace handle, in which workspace, which name.
    pub variables: BTreeMap<VariableHandle, (WorkspaceHandle, usize, Vec<u8>)>,
    /// Ended sessions in its care that it has not been told of, with their leases.
    orphans: VecDeque<(SessionId, Vec<LeaseId>)>,
    /// The variable of which it was asked to release some.
    pub recall: Option<usize>,
    /// Variables of which it had nothing to spare.
    spent: BTreeSet<usize>,
    /// As what it knows the variables that it takes from.
    known_as: BTreeMap<usize, VariableHandle>,
}

/// A workspace.
pub struct Space {
    /// Its name.
    pub name: Vec<u8>,
    /// Whether it is there still.
    pub alive: bool,
    /// Who owns it, while that one lives.
    owner: Option<SessionId>,
    /// Once somebody does or did.
    owner_text: Option<Vec<u8>>,
    persistent: bool,
}

/// A variable.
pub struct Variable {
    /// The workspace it is in.
    pub space: usize,
    /// Its name.
    pub name: Vec<u8>,
    /// Whether it is there still.
    pub alive: bool,
    /// Its mode.
    pub mode: Option<Mode>,
    /// Its id, once the core has told it.
    pub id: Option<VariableId>,
    next: u64,
    /// Kept values by index: their deaths, and what they are.
    pub kept: BTreeMap<u64, (u16, Item<Value>)>,
}

/// A request that waits.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Whose.
    pub session: SessionId,
    /// Which.
    pub id: RequestId,
    deadline_ms: Option<u64>,
    wish: Wish,
}

#[derive(Clone, Debug)]
enum Wish {
    Values(Ask),
    Orphans,
}

/// A retrieval from a variable.
#[derive(Clone, Copy, Debug)]
struct Ask {
    variable: usize,
    least: u64,
    wanted: Retrieve,
}

/// A value handed out by lease.
#[derive(Clone, Debug)]
pub struct Leased {
    /// Who holds it.
    pub session: SessionId,
    variable: usize,
    grant: Grant<Value>,
}

/// A value that comes to a variable.
type Arrival = Grant<Value>;

impl Model {
    /// As a core of these settings is at the start.
    pub fn new(settings: Settings) -> Self {
        let default = Space {
            name: b"__default".to_vec(),
            alive: true,
            owner: None,
            owner_text: Some(b"[system]".to_vec()),
            persistent: true,
        };
        Self {
            settings,
            now_ms: 0,
            temporaries: 0,
            sessions: BTreeMap::new(),
            spaces: vec![default],
            variables: Vec::new(),
            waiting: Vec::new(),
            leases: BTreeMap::new(),
            last_lease: LeaseId(0),
        }
    }

    /// Takes a step, and compares with what the core did.
    ///
    /// # Errors
    /// Where the core did not do what the rules want.
    pub fn step(&mut self, step: &Step, effects: Vec<Effect<Value>>) -> Result<(), Wrong> {
        let mut script = Script::new(effects);
        match step {
            Step::Open { session, guardian } => {
                self.sessions.insert(*session, Client { guardian: *guardian, ..Client::default() });
            }
            Step::End { session, undelivered } => {
                self.end(*session, &mut script)?;
                if let Some((variable, values)) = undelivered {
                    self.undelivered(*variable, values, &mut script)?;
                }
            }
            Step::Ask { session, id, request, .. } => self.ask(*session, *id, request, &mut script)?,
            Step::Pass { ms } => self.pass(*ms, &mut script)?,
        }
        script.end()?;
        self.forget_names();
        self.check_nobody_is_left_behind()
    }

    /// A session knows a variable by a handle as long as it waits for its values or holds some.
    fn forget_names(&mut self) {
        let Self { sessions, waiting, leases, .. } = self;
        for (session, client) in sessions {
            client.known_as.retain(|variable, _| {
                let waits = waiting.iter().any(|one| one.session == *session && one.fetches_from(*variable));
                waits || leases.values().any(|lease| lease.session == *session && lease.variable == *variable)
            });
        }
    }

    /// Nothing waits for a value that is there.
    fn check_nobody_is_left_behind(&self) -> Check {
        for waiting in &self.waiting {
            if !self.sessions.contains_key(&waiting.session) {
                return Err(format!("{waiting:?} waits for a session that has ended"));
            }
            let Wish::Values(ask) = &waiting.wish else { continue };
            let variable = &self.variables[ask.variable];
            if !variable.alive || variable.kept.range(ask.least..).next().is_some() {
                return Err(format!("{waiting:?} is left behind"));
            }
        }
        Ok(())
    }

    /// Bytes of all values kept and leased.
    pub fn values_bytes(&self) -> u64 {
        let kept = self.variables.iter().flat_map(|variable| variable.kept.values().map(|(_, item)| item));
        let leased = self.leases.values().map(|lease| &lease.grant.item);
        kept.chain(leased).map(|item| u64::from(item.value.bytes)).sum()
    }

    /// When the next wait ends.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.waiting.iter().filter_map(|waiting| waiting.deadline_ms).min()
    }

    /// The leases that a session holds.
    pub fn leases_of(&self, session: SessionId) -> Vec<LeaseId> {
        self.leases.iter().filter(|(_, lease)| lease.session == session).map(|(id, _)| *id).collect()
    }

    fn pass(&mut self, ms: u64, script: &mut Script) -> Check {
        self.now_ms += ms;
        let over = |waiting: &Waiting| waiting.deadline_ms.is_some_and(|deadline_ms| deadline_ms <= self.now_ms);
        let (over, waiting): (Vec<_>, Vec<_>) = self.waiting.drain(..).partition(over);
        self.waiting = waiting;
        for waiting in over {
            script.anywhere(waiting.session, waiting.id, &nws_proto::Reply::TimedOut)?;
        }
        Ok(())
    }
}

impl Waiting {
    fn ask(&self) -> Option<Ask> {
        match &self.wish {
            Wish::Values(ask) => Some(*ask),
            Wish::Orphans => None,
        }
    }

    fn fetches_from(&self, variable: usize) -> bool {
        self.ask().is_some_and(|ask| ask.variable == variable && ask.wanted.take)
    }
}
