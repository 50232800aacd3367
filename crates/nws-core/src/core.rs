//! The core's tables, and the way of a request through it.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use hashbrown::HashMap;
use nws_proto::{ErrorCode, Fault, Reply, Request, RequestId, SessionId};

use crate::chores::Chore;
use crate::effect::{Effect, Payload};
use crate::fact::Journal;
use crate::fault;
use crate::kept::Kept;
use crate::lease::Block;
use crate::sessions::Session;
use crate::settings::Settings;
use crate::slab::{Key, Slab};
use crate::variables::Variable;
use crate::waiting::Waiter;
use crate::workspaces::Workspace;

/// What a request comes to: a reply now, none yet because it waits, or a fault.
pub(crate) type Outcome<V> = Result<Option<Reply<V>>, Fault>;

/// The state of one server. `V` is a value, or a handle to one.
///
/// ```
/// use nws_core::{Core, Effect, SessionInit, Settings};
/// use nws_proto::{OpenMode, Reply, Request, RequestId, SessionId, WorkspaceHandle};
///
/// let mut core: Core<bytes::Bytes> = Core::new(Settings::default(), ());
/// let session = SessionId(1);
/// core.session_opened(SessionInit { session, address: vec![], label: vec![], guardian: SessionId(0) })?;
/// let mut effects = Vec::new();
/// let open = Request::Open {
///     workspace: WorkspaceHandle(1),
///     name: b"my space".to_vec(),
///     mode: OpenMode::Own { persistent: false },
///     create: true,
/// };
/// core.request(0, 0, session, RequestId(1), open, &mut effects);
/// let reply = Reply::Opened { name: b"my space".to_vec(), owned: true };
/// assert_eq!(effects, [Effect::Reply { session, request: RequestId(1), reply }]);
/// # Ok::<(), nws_proto::Fault>(())
/// ```
pub struct Core<V, J = ()> {
    pub(crate) settings: Settings,
    pub(crate) journal: J,
    /// In boxes: a table that grows moves what it holds.
    pub(crate) sessions: HashMap<SessionId, Box<Session>>,
    pub(crate) workspaces: Slab<Workspace>,
    /// The workspaces that bear a name now.
    pub(crate) names: BTreeMap<Vec<u8>, Key>,
    pub(crate) variables: Slab<Variable<V>>,
    pub(crate) waiters: Slab<Waiter>,
    pub(crate) deadlines: BTreeSet<(u64, Key)>,
    pub(crate) blocks: Slab<Block<V>>,
    /// The next lease's id. Grants take contiguous ids, so those of one session's blocks do not
    /// overlap.
    pub(crate) next_lease: u64,
    /// Goes into the names of temporary workspaces.
    pub(crate) temporaries: u64,
    /// How many values are kept and leased.
    pub(crate) values: u64,
    /// What they take, in bytes.
    pub(crate) bytes: u64,
    /// What names and their entries in the tables take, in bytes.
    pub(crate) names_bytes: u64,
    /// What values take that were fetched and have not reached who fetched them.
    pub(crate) undelivered_bytes: u64,
    /// Work that is done in parts, the next one last.
    pub(crate) chores: Vec<Chore>,
    /// Values of variables that were deleted.
    pub(crate) trash: Vec<Kept<V>>,
}

impl<V: Payload, J: Journal<V>> Core<V, J> {
    /// A core with nothing in it but the workspace `__default`.
    pub fn new(settings: Settings, journal: J) -> Self {
        let mut core = Self {
            settings,
            journal,
            sessions: HashMap::new(),
            workspaces: Slab::new(),
            names: BTreeMap::new(),
            variables: Slab::new(),
            waiters: Slab::new(),
            deadlines: BTreeSet::new(),
            blocks: Slab::new(),
            next_lease: 1,
            temporaries: 0,
            values: 0,
            bytes: 0,
            names_bytes: 0,
            undelivered_bytes: 0,
            chores: Vec::new(),
            trash: Vec::new(),
        };
        core.make_default_workspace();
        core
    }

    /// Executes one request of a session. Its reply, and what else follows from it, is appended to
    /// `effects`, deliveries to those who wait before the reply to the one who stored.
    ///
    /// `now_ms` is any clock that does not go back; `random` is entropy of this call, used by
    /// variables of mode multi. A session that is not open is not answered.
    pub fn request(
        &mut self,
        now_ms: u64,
        random: u64,
        session: SessionId,
        id: RequestId,
        request: Request<V>,
        effects: &mut Vec<Effect<V>>,
    ) {
        self.sweep_a_little(effects);
        let outcome = match self.sessions.get(&session) {
            None => return,
            Some(_) if id.0 == 0 => Err(fault::bad_arguments("a request's id is 1 or above, this one's is 0")),
            Some(open) if open.waiting.contains_key(&id) => {
                Err(Fault::new(ErrorCode::RequestInUse, "a request with this id still waits; choose another"))
            }
            Some(_) => {
                let call = Call { now_ms, random, session, id };
                self.dispatch(call, request, effects)
            }
        };
        match outcome {
            Ok(Some(reply)) => effects.push(Effect::Reply { session, request: id, reply }),
            Ok(None) => {}
            Err(fault) => effects.push(Effect::Reply { session, request: id, reply: Reply::Failed(fault) }),
        }
    }

    fn dispatch(&mut self, call: Call, request: Request<V>, effects: &mut Vec<Effect<V>>) -> Outcome<V> {
        let session = call.session;
        match request {
            Request::Store { variable, items } => self.store(session, variable, items, effects),
            Request::Retrieve(retrieve) => self.retrieve(call, retrieve, effects),
            Request::Finish { variable, items } => self.finish(session, variable, items, effects),
            Request::ReleaseDone { leases } => Ok(self.release_done(session, leases, effects)),
            Request::Release { leases, died, recalled } => self.release(session, leases, died, recalled, effects),
            Request::Adopt { wait } => self.adopt(call, wait),
            Request::Ping => Ok(Some(Reply::Pong)),
            Request::Cancel { target } => self.cancel(session, target, effects),
            Request::Open { workspace, name, mode, create } => self.open(session, workspace, name, mode, create),
            Request::MakeTemporary { workspace, template } => self.make_temporary(session, workspace, &template),
            Request::CloseWorkspace { workspace } => self.close_workspace(session, workspace),
            Request::DeleteWorkspace { name } => self.delete_named_workspace(&name, effects),
            Request::ListWorkspaces { name } => self.list_workspaces(session, name),
            Request::Bind { variable, workspace, name } => self.bind(session, variable, workspace, name),
            Request::Unbind { variable } => self.unbind(session, variable),
            Request::Declare { variable, mode } => self.declare(session, variable, mode, effects),
            Request::DeleteVariable { variable } => self.delete_bound_variable(session, variable, effects),
            Request::ListVariables { workspace } => self.list_variables(session, workspace),
        }
    }

    /// How many sessions are open.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// How many workspaces there are.
    pub fn workspaces(&self) -> usize {
        self.workspaces.len()
    }

    /// How many variables there are.
    pub fn variables(&self) -> usize {
        self.variables.len()
    }

    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        self.waiters.len()
    }

    /// How many values are kept and leased.
    pub fn values(&self) -> u64 {
        self.values
    }

    /// What all values kept and leased take, in bytes: see [`Payload::held_bytes`].
    pub fn values_bytes(&self) -> u64 {
        self.bytes
    }

    /// What names of workspaces and variables take with their entries in the tables, in bytes. It counts
    /// towards the limit on values.
    pub fn names_bytes(&self) -> u64 {
        self.names_bytes
    }

    /// Tells what the driver holds of values that were fetched without a lease and have not reached
    /// who fetched them, in bytes as [`Payload::held_bytes`] counts them. They may come back, and
    /// take memory meanwhile, so they count towards the limit on values.
    pub fn set_undelivered_bytes(&mut self, bytes: u64) {
        self.undelivered_bytes = bytes;
    }

    /// How many values a session holds by lease, those that it adopted included.
    pub fn session_leases(&self, session: SessionId) -> u32 {
        self.sessions.get(&session).map_or(0, |open| open.leased)
    }

    /// The journal that was given at the start.
    pub fn journal(&self) -> &J {
        &self.journal
    }
}

/// One request's circumstances.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) now_ms: u64,
    pub(crate) random: u64,
    pub(crate) session: SessionId,
    pub(crate) id: RequestId,
}
