//! What a client asks next.

use nws_proto::{
    Cursor, FinishItem, Item, LeaseId, Mode, OpenMode, Request, RequestId, Retrieve, SessionId, VariableHandle, Wait,
    WorkspaceHandle,
};

use super::History;
use crate::value::{Value, nothing, sized};

const SPACES: [&str; 3] = ["w", "x", "__default"];
const VARIABLES: [&str; 4] = ["v", "u", "t", "s"];

pub(super) fn retrieve(variable: VariableHandle) -> Retrieve {
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

impl History {
    pub(super) fn request(&mut self, session: SessionId) -> Request<Value> {
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
    pub(super) fn mend(&mut self, session: SessionId) -> Option<Request<Value>> {
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
    pub(super) fn work(&mut self, session: SessionId) -> Request<Value> {
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

    pub(super) fn cancel(&mut self, session: SessionId) -> Request<Value> {
        let waits = self.model.waiting.iter().filter(|one| one.session == session);
        let waits: Vec<_> = waits.map(|one| one.id).collect();
        Request::Cancel { target: self.dice.any(&waits).unwrap_or(RequestId(77)) }
    }

    pub(super) fn variable(&mut self) -> VariableHandle {
        VariableHandle(if self.dice.one_in(50) { 9 } else { 1 + self.dice.below(3) as u32 })
    }

    pub(super) fn workspace(&mut self) -> WorkspaceHandle {
        WorkspaceHandle(1 + self.dice.below(3) as u32)
    }

    /// The first of them more often than the others.
    pub(super) fn name(&mut self, names: &[&str]) -> Vec<u8> {
        let names = if self.dice.one_in(2) { &names[..1] } else { names };
        self.dice.any(names).unwrap_or_default().as_bytes().to_vec()
    }

    pub(super) fn open_space(&mut self, workspace: WorkspaceHandle) -> Request<Value> {
        let mode = match self.dice.below(8) {
            0 => OpenMode::Own { persistent: true },
            1 => OpenMode::Own { persistent: false },
            _ => OpenMode::Use,
        };
        Request::Open { workspace, name: self.name(&SPACES), mode, create: !self.dice.one_in(6) }
    }

    /// Binds a handle that is free, as a rule.
    pub(super) fn bind(&mut self, session: SessionId, variable: VariableHandle) -> Request<Value> {
        let free = |handle: &VariableHandle| {
            let bound = self.model.sessions.get(&session).map(|client| &client.variables);
            bound.is_some_and(|bound| !bound.contains_key(handle))
        };
        let more = if self.dice.one_in(2) { VariableHandle(4) } else { variable };
        let variable = (1..=3).map(VariableHandle).find(free).unwrap_or(more);
        let workspace = if self.dice.one_in(3) { self.workspace() } else { WorkspaceHandle(1) };
        Request::Bind { variable, workspace, name: self.name(&VARIABLES) }
    }

    pub(super) fn item(&mut self) -> Item<Value> {
        self.last_value += 1;
        sized(self.last_value, 1 + self.dice.below(20) as u32)
    }

    pub(super) fn items(&mut self) -> Vec<Item<Value>> {
        let count = if self.dice.one_in(3) { 1 + self.dice.below(9) } else { 1 };
        let count = if self.dice.one_in(100) { 0 } else { count };
        (0..count).map(|_| self.item()).collect()
    }

    pub(super) fn wait(&mut self) -> Wait {
        match self.dice.below(4) {
            0 => Wait::No,
            1 => Wait::Ms(self.dice.below(30) as u32),
            _ => Wait::Forever,
        }
    }

    pub(super) fn retrieve(&mut self, variable: VariableHandle) -> Retrieve {
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
    pub(super) fn leases(&mut self, session: SessionId) -> Vec<LeaseId> {
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

    pub(super) fn finish(&mut self, session: SessionId, variable: VariableHandle) -> Request<Value> {
        let leases = self.leases(session);
        if leases.is_empty() && !self.dice.one_in(20) {
            let wanted = Retrieve { take: true, lease: true, wait: self.wait(), ..retrieve(variable) };
            return Request::Retrieve(wanted);
        }
        let items = leases.into_iter().take(6).map(|lease| {
            let result = if self.dice.one_in(4) { nothing() } else { self.item() };
            FinishItem { lease, result }
        });
        let items = items.collect();
        Request::Finish { variable, items }
    }

    pub(super) fn release(&mut self, session: SessionId, recalled: bool) -> Request<Value> {
        let mut leases = self.leases(session);
        if self.dice.one_in(3) {
            leases.clear();
        }
        if !recalled && self.dice.one_in(3) {
            return Request::ReleaseDone { leases };
        }
        Request::Release { leases, died: self.dice.one_in(3), recalled }
    }
}
