//! A core with its clients, in virtual time.

use std::collections::HashMap;

use nws_core::{Core, Effect, SessionInit, Settings};
use nws_proto::{
    Adopted, Cursor, ErrorCode, Event, FinishItem, Item, LeaseId, Mode, OpenMode, Reply, Request, RequestId, Retrieve,
    SessionId, VariableHandle, VariableInfo, Wait, WorkspaceHandle,
};

use crate::value::{Value, item};
use crate::watchdog::Watchdog;

/// The workspace that [`World::client`] uses, as its handle.
pub const SPACE: WorkspaceHandle = WorkspaceHandle(1);
/// The variable `v` that [`World::client`] binds, as its handle.
pub const VARIABLE: VariableHandle = VariableHandle(1);

/// A core and what it said so far.
pub struct World {
    /// The core.
    pub core: Core<Value>,
    /// The time.
    pub now_ms: u64,
    /// Every effect so far that nobody has looked at, in order.
    pub effects: Vec<Effect<Value>>,
    requests: HashMap<SessionId, u32>,
    sessions: u64,
    _watchdog: Watchdog,
}

/// A fetch of one value that waits.
pub fn fetch() -> Retrieve {
    Retrieve { take: true, ..find() }
}

/// A find that waits.
pub fn find() -> Retrieve {
    Retrieve {
        variable: VARIABLE,
        take: false,
        lease: false,
        wait: Wait::Forever,
        cursor: Cursor::Mode,
        max_values: 1,
        max_bytes: u32::MAX,
    }
}

/// A fetch by lease of at most this many values, that waits.
pub fn lease(max_values: u32) -> Retrieve {
    Retrieve { lease: true, max_values, ..fetch() }
}

impl Default for World {
    fn default() -> Self {
        Self::with(Settings::default())
    }
}

impl World {
    /// A world with these settings.
    pub fn with(settings: Settings) -> Self {
        let core = Core::new(settings, ());
        Self {
            core,
            now_ms: 0,
            effects: Vec::new(),
            requests: HashMap::new(),
            sessions: 0,
            _watchdog: Watchdog::start(60),
        }
    }

    /// A session with nothing opened.
    pub fn session(&mut self) -> SessionId {
        self.session_of(SessionId(0))
    }

    /// A session with a guardian.
    pub fn session_of(&mut self, guardian: SessionId) -> SessionId {
        self.sessions += 1;
        let session = SessionId(self.sessions);
        let address = format!("10.0.0.{session}:1").into_bytes();
        self.core
            .session_opened(SessionInit { session, address, label: b"test".to_vec(), guardian })
            .expect("the guardian lives");
        session
    }

    /// A session that uses the workspace `w` as [`SPACE`] and has its variable `v` as [`VARIABLE`].
    pub fn client(&mut self) -> SessionId {
        self.client_of(SessionId(0))
    }

    /// Several.
    pub fn clients<const N: usize>(&mut self) -> [SessionId; N] {
        std::array::from_fn(|_| self.client())
    }

    /// The same, with a guardian.
    pub fn client_of(&mut self, guardian: SessionId) -> SessionId {
        let session = self.session_of(guardian);
        self.open(session, SPACE, "w", OpenMode::Use);
        self.bind(session, VARIABLE, SPACE, "v");
        session
    }

    /// Makes a request; its reply is among the effects, if it is there.
    pub fn ask(&mut self, session: SessionId, request: Request<Value>) -> RequestId {
        let number = self.requests.entry(session).or_insert(0);
        *number += 1;
        let id = RequestId(*number);
        self.core.request(self.now_ms, 0x1234_5678, session, id, request, &mut self.effects);
        id
    }

    /// The reply to a request, if it has come.
    pub fn reply(&mut self, session: SessionId, request: RequestId) -> Option<Reply<Value>> {
        let found = |effect: &Effect<Value>| matches!(effect, Effect::Reply { session: of, request: to, .. } if (*of, *to) == (session, request));
        let position = self.effects.iter().position(found)?;
        match self.effects.remove(position) {
            Effect::Reply { reply, .. } => Some(reply),
            Effect::Event { .. } => None,
        }
    }

    /// Makes a request that is answered at once.
    pub fn call(&mut self, session: SessionId, request: Request<Value>) -> Reply<Value> {
        let id = self.ask(session, request);
        self.reply(session, id).expect("a reply at once")
    }

    /// The error code of a request that fails at once.
    pub fn fails(&mut self, session: SessionId, request: Request<Value>) -> ErrorCode {
        match self.call(session, request) {
            Reply::Failed(fault) => fault.code,
            other => panic!("expected a failure, got {other:?}"),
        }
    }

    /// A request that is done at once.
    pub fn done(&mut self, session: SessionId, request: Request<Value>) {
        assert_eq!(self.call(session, request), Reply::Done);
    }

    /// The events that a session got since the last look.
    pub fn events(&mut self, session: SessionId) -> Vec<Event> {
        let mut events = Vec::new();
        self.effects.retain(|effect| match effect {
            Effect::Event { session: of, event } if *of == session => {
                events.push(event.clone());
                false
            }
            _ => true,
        });
        events
    }

    /// Ends a session.
    pub fn end(&mut self, session: SessionId) {
        self.core.session_ended(session, &mut self.effects);
    }

    /// Lets time pass.
    pub fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        self.core.expire(self.now_ms, &mut self.effects);
    }

    /// Opens a workspace; whether the session owns it.
    pub fn open(&mut self, session: SessionId, workspace: WorkspaceHandle, name: &str, mode: OpenMode) -> bool {
        let name = name.as_bytes().to_vec();
        match self.call(session, Request::Open { workspace, name, mode, create: true }) {
            Reply::Opened { owned, .. } => owned,
            other => panic!("expected it to open, got {other:?}"),
        }
    }

    /// Binds a variable.
    pub fn bind(&mut self, session: SessionId, variable: VariableHandle, workspace: WorkspaceHandle, name: &str) {
        self.done(session, Request::Bind { variable, workspace, name: name.as_bytes().to_vec() });
    }

    /// Declares `v`.
    pub fn declare(&mut self, session: SessionId, mode: Mode) {
        self.done(session, Request::Declare { variable: VARIABLE, mode });
    }

    /// Stores values into `v`.
    pub fn store(&mut self, session: SessionId, ids: impl IntoIterator<Item = u64>) {
        let items = ids.into_iter().map(item).collect();
        self.done(session, Request::Store { variable: VARIABLE, items });
    }

    /// Retrieves, and gives the ids of the values, which come at once.
    pub fn values(&mut self, session: SessionId, retrieve: Retrieve) -> Vec<u64> {
        ids(&self.call(session, Request::Retrieve(retrieve)))
    }

    /// The ids of the values that answer a request, empty where there is no answer yet.
    pub fn delivered(&mut self, session: SessionId, request: RequestId) -> Vec<u64> {
        self.reply(session, request).map(|reply| ids(&reply)).unwrap_or_default()
    }

    /// Leases, and gives the lease of the first value.
    pub fn lease(&mut self, session: SessionId, max_values: u32) -> LeaseId {
        match self.call(session, Request::Retrieve(lease(max_values))) {
            Reply::Values { first_lease, .. } => first_lease,
            other => panic!("expected values, got {other:?}"),
        }
    }

    /// Gives leases back.
    pub fn release(&mut self, session: SessionId, leases: impl IntoIterator<Item = u64>, died: bool) {
        let leases = leases.into_iter().map(LeaseId).collect();
        self.done(session, Request::Release { leases, died, recalled: false });
    }

    /// Ends leases as done; the positions that were refused.
    pub fn release_done(&mut self, session: SessionId, leases: impl IntoIterator<Item = u64>) -> Vec<u32> {
        let leases = leases.into_iter().map(LeaseId).collect();
        match self.call(session, Request::ReleaseDone { leases }) {
            Reply::Finished { refused } => refused.into_iter().map(|(position, _)| position).collect(),
            other => panic!("expected Finished, got {other:?}"),
        }
    }

    /// Answers a recall with these leases.
    pub fn answer_recall(&mut self, session: SessionId, leases: impl IntoIterator<Item = u64>) {
        let leases = leases.into_iter().map(LeaseId).collect();
        self.done(session, Request::Release { leases, died: false, recalled: true });
    }

    /// Finishes leases with results into a variable; the positions that were refused.
    pub fn finish(&mut self, session: SessionId, variable: VariableHandle, done: &[(u64, Item<Value>)]) -> Vec<u32> {
        let items =
            done.iter().map(|(lease, result)| FinishItem { lease: LeaseId(*lease), result: result.clone() }).collect();
        match self.call(session, Request::Finish { variable, items }) {
            Reply::Finished { refused } => {
                assert!(refused.iter().all(|(_, code)| *code == ErrorCode::LeaseEnded));
                refused.into_iter().map(|(position, _)| position).collect()
            }
            other => panic!("expected Finished, got {other:?}"),
        }
    }

    /// What an adoption says that is answered at once.
    pub fn adopted(&mut self, session: SessionId) -> Adopted {
        match self.call(session, Request::Adopt { wait: Wait::Forever }) {
            Reply::Adopted(adopted) => adopted,
            other => panic!("expected Adopted, got {other:?}"),
        }
    }

    /// The listing of the variable `v`.
    pub fn listed(&mut self, session: SessionId) -> Option<VariableInfo> {
        match self.call(session, Request::ListVariables { workspace: SPACE }) {
            Reply::Variables(variables) => variables.into_iter().find(|variable| variable.name == b"v"),
            other => panic!("expected Variables, got {other:?}"),
        }
    }
}

fn ids(reply: &Reply<Value>) -> Vec<u64> {
    match reply {
        Reply::Values { values, .. } => values.iter().map(|value| value.item.value.id).collect(),
        other => panic!("expected values, got {other:?}"),
    }
}
