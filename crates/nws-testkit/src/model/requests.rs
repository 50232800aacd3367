//! What each request does.

use nws_proto::{
    Adopted, ErrorCode, FinishItem, Item, LeaseId, Mode, OrphanedLease, Reply, Request, RequestId, SessionId,
    VariableHandle, VariableInfo, Wait, WorkspaceHandle,
};

use super::script::failed;
use super::{Check, Model, Script, Variable, Waiting, Wish};
use crate::value::{Value, nothing};

/// A reply, or the code of a failure. None: the reply has been compared already, or is to come.
pub(super) type Answer = Result<Option<Reply<Value>>, ErrorCode>;

pub(super) const DONE: Answer = Ok(Some(Reply::Done));

impl Model {
    pub(super) fn ask(
        &mut self,
        session: SessionId,
        id: RequestId,
        request: &Request<Value>,
        script: &mut Script,
    ) -> Check {
        if !self.sessions.contains_key(&session) {
            return Ok(());
        }
        let answer = if id.0 == 0 {
            Err(ErrorCode::BadArguments)
        } else if self.waiting.iter().any(|waiting| (waiting.session, waiting.id) == (session, id)) {
            Err(ErrorCode::RequestInUse)
        } else {
            self.answer(session, id, request, script)?
        };
        match answer {
            Ok(Some(reply)) => script.expect(session, id, &reply),
            Ok(None) => Ok(()),
            Err(code) => script.expect(session, id, &failed(code)),
        }
    }

    fn answer(
        &mut self,
        session: SessionId,
        id: RequestId,
        request: &Request<Value>,
        script: &mut Script,
    ) -> Check<Answer> {
        Ok(match request {
            Request::Ping => Ok(Some(Reply::Pong)),
            Request::Cancel { target } => self.cancel(session, *target, script)?,
            Request::Open { workspace, name, mode, create } => self.open(session, *workspace, name, *mode, *create),
            Request::MakeTemporary { workspace, template } => self.make_temporary(session, *workspace, template),
            Request::CloseWorkspace { workspace } => self.close(session, *workspace),
            Request::DeleteWorkspace { name } => self.delete_named(name, script)?,
            Request::ListWorkspaces { name } => Ok(Some(self.list_spaces(session, name.as_deref()))),
            Request::Bind { variable, workspace, name } => self.bind(session, *variable, *workspace, name),
            Request::Unbind { variable } => match self.client(session).variables.remove(variable) {
                Some(_) => DONE,
                None => Err(ErrorCode::UnknownHandle),
            },
            Request::Declare { variable, mode } => self.declare(session, *variable, *mode, script)?,
            Request::DeleteVariable { variable } => match self.place(session, *variable) {
                Err(code) => Err(code),
                Ok((_, _, None)) => Err(ErrorCode::NoSuchVariable),
                Ok((_, _, Some(variable))) => {
                    self.drop_variable(variable, ErrorCode::VariableGone, script)?;
                    DONE
                }
            },
            Request::ListVariables { workspace } => self.list_variables(session, *workspace),
            Request::Store { variable, items } => self.store(session, *variable, items, script)?,
            Request::Retrieve(wanted) => self.retrieve(session, id, wanted, script)?,
            Request::Finish { variable, items } => self.finish(session, *variable, items, script)?,
            Request::ReleaseDone { leases } => self.release_done(session, leases, script)?,
            Request::Release { leases, died, recalled } => self.release(session, leases, *died, *recalled, script)?,
            Request::Adopt { wait } => self.adopt(session, id, *wait),
        })
    }

    pub(super) fn client(&mut self, session: SessionId) -> &mut super::Client {
        self.sessions.get_mut(&session).expect("a live session")
    }

    /// The workspace, name and variable that a handle leads to.
    pub(super) fn place(
        &self,
        session: SessionId,
        handle: VariableHandle,
    ) -> Result<(usize, Vec<u8>, Option<usize>), ErrorCode> {
        let bound = self.sessions.get(&session).and_then(|client| client.variables.get(&handle));
        let (_, space, name) = bound.ok_or(ErrorCode::UnknownHandle)?;
        if !self.spaces[*space].alive {
            return Err(ErrorCode::WorkspaceGone);
        }
        let found = self.variables.iter().position(|one| one.alive && one.space == *space && one.name == *name);
        Ok((*space, name.clone(), found))
    }

    pub(super) fn ensure(&mut self, (space, name, found): (usize, Vec<u8>, Option<usize>)) -> usize {
        found.unwrap_or_else(|| {
            let kept = Default::default();
            self.variables.push(Variable { space, name, alive: true, mode: None, id: None, next: 0, kept });
            self.variables.len() - 1
        })
    }

    fn declare(
        &mut self,
        session: SessionId,
        handle: VariableHandle,
        mode: Mode,
        script: &mut Script,
    ) -> Check<Answer> {
        let place = match self.place(session, handle) {
            Ok(place) => place,
            Err(code) => return Ok(Err(code)),
        };
        let at = self.ensure(place);
        match self.variables[at].mode {
            Some(has) if has != mode => return Ok(Err(ErrorCode::ModeConflict)),
            Some(_) => return Ok(DONE),
            None => self.variables[at].mode = Some(mode),
        }
        if matches!(mode, Mode::Lifo | Mode::Multi) {
            let lost = |waiting: &Waiting| waiting.ask().is_some_and(|ask| ask.variable == at && ask.iterates());
            let (lost, waiting): (Vec<_>, Vec<_>) = self.waiting.drain(..).partition(lost);
            self.waiting = waiting;
            for waiting in lost {
                script.anywhere(waiting.session, waiting.id, &failed(ErrorCode::NotIterable))?;
            }
        }
        Ok(DONE)
    }

    fn list_variables(&mut self, session: SessionId, handle: WorkspaceHandle) -> Answer {
        let space = self.opened(session, handle)?;
        let listed = self.variables_in(space).into_iter().map(|at| {
            let waits = |take: bool| {
                let counts =
                    |waiting: &&Waiting| waiting.ask().is_some_and(|ask| ask.variable == at && ask.wanted.take == take);
                self.waiting.iter().filter(counts).count() as u32
            };
            VariableInfo {
                name: self.variables[at].name.clone(),
                values: self.variables[at].kept.len() as u64,
                leased: self.leases.values().filter(|lease| lease.variable == at).count() as u64,
                fetchers: waits(true),
                finders: waits(false),
                mode: self.variables[at].mode,
            }
        });
        Ok(Some(Reply::Variables(listed.collect())))
    }

    fn cancel(&mut self, session: SessionId, target: RequestId, script: &mut Script) -> Check<Answer> {
        let waits = |waiting: &Waiting| (waiting.session, waiting.id) == (session, target);
        if let Some(position) = self.waiting.iter().position(waits) {
            self.waiting.remove(position);
            script.expect(session, target, &Reply::Canceled)?;
        }
        Ok(DONE)
    }

    fn check_batch(&self, len: usize) -> Result<(), ErrorCode> {
        if len == 0 || len > self.settings.batch_values as usize { Err(ErrorCode::BadArguments) } else { Ok(()) }
    }

    fn store(
        &mut self,
        session: SessionId,
        handle: VariableHandle,
        items: &[Item<Value>],
        script: &mut Script,
    ) -> Check<Answer> {
        let place = match self.check_batch(items.len()).and_then(|()| self.place(session, handle)) {
            Ok(place) => place,
            Err(code) => return Ok(Err(code)),
        };
        let added: u64 = items.iter().map(|item| u64::from(item.value.bytes)).sum();
        if self.values_bytes() + added > self.settings.values_bytes {
            return Ok(Err(ErrorCode::MemoryFull));
        }
        let at = self.ensure(place);
        self.put(at, items, script)?;
        Ok(DONE)
    }

    fn finish(
        &mut self,
        session: SessionId,
        handle: VariableHandle,
        items: &[FinishItem<Value>],
        script: &mut Script,
    ) -> Check<Answer> {
        let place = match self.check_batch(items.len()).and_then(|()| self.place(session, handle)) {
            Ok(place) => place,
            Err(code) => return Ok(Err(code)),
        };
        // The histories do not finish by lease where memory is short.
        let (mut refused, mut results, mut lessened) = (Vec::new(), Vec::new(), Vec::new());
        for (position, item) in (0..).zip(items) {
            if self.leases.get(&item.lease).is_some_and(|lease| lease.session == session) {
                lessened.extend(self.leases.remove(&item.lease).map(|lease| lease.variable));
                if item.result != nothing() {
                    results.push(item.result.clone());
                }
            } else {
                refused.push((position, ErrorCode::LeaseEnded));
            }
        }
        if !results.is_empty() {
            let at = self.ensure(place);
            self.put(at, &results, script)?;
        }
        self.recall_for_lessened(session, lessened, script)?;
        Ok(Ok(Some(Reply::Finished { refused })))
    }

    fn release_done(&mut self, session: SessionId, leases: &[LeaseId], script: &mut Script) -> Check<Answer> {
        let (mut refused, mut lessened) = (Vec::new(), Vec::new());
        for (position, id) in (0..).zip(leases) {
            if self.leases.get(id).is_some_and(|lease| lease.session == session) {
                lessened.extend(self.leases.remove(id).map(|lease| lease.variable));
            } else {
                refused.push((position, ErrorCode::LeaseEnded));
            }
        }
        self.recall_for_lessened(session, lessened, script)?;
        Ok(Ok(Some(Reply::Finished { refused })))
    }

    fn release(
        &mut self,
        session: SessionId,
        leases: &[LeaseId],
        died: bool,
        recalled: bool,
        script: &mut Script,
    ) -> Check<Answer> {
        let mut values = Vec::new();
        for id in leases {
            if self.leases.get(id).is_some_and(|lease| lease.session == session) {
                let mut lease = self.leases.remove(id).expect("just seen");
                lease.grant.deaths += u16::from(died);
                values.push((lease.variable, lease.grant));
            }
        }
        let lessened = values.iter().map(|(at, _)| *at).collect();
        if recalled {
            self.recall_answered(session, values, script)?;
        } else {
            self.restore(values, None, script)?;
        }
        self.recall_for_lessened(session, lessened, script)?;
        Ok(DONE)
    }

    fn adopt(&mut self, session: SessionId, id: RequestId, wait: Wait) -> Answer {
        if let Some(adopted) = self.next_orphans(session) {
            return Ok(Some(Reply::Adopted(adopted)));
        }
        if wait == Wait::No {
            return Ok(Some(Reply::TimedOut));
        }
        self.check_may_wait(session)?;
        self.park(session, id, wait, Wish::Orphans);
        Ok(None)
    }

    pub(super) fn next_orphans(&mut self, guardian: SessionId) -> Option<Adopted> {
        let (session, leases) = self.client(guardian).orphans.pop_front()?;
        let live = leases.into_iter().filter_map(|lease| {
            let held = self.leases.get(&lease).filter(|held| held.session == guardian)?;
            Some(OrphanedLease { lease, index: held.grant.index, deaths: held.grant.deaths })
        });
        let leases = live.collect();
        Some(Adopted { session, leases })
    }

    pub(super) fn check_may_wait(&self, session: SessionId) -> Result<(), ErrorCode> {
        let waits = self.waiting.iter().filter(|waiting| waiting.session == session).count();
        if waits < self.settings.session_waiting as usize { Ok(()) } else { Err(ErrorCode::TooManyWaiting) }
    }

    pub(super) fn park(&mut self, session: SessionId, id: RequestId, wait: Wait, wish: Wish) {
        let deadline_ms = match wait {
            Wait::Ms(ms) => Some(self.now_ms + u64::from(ms)),
            _ => None,
        };
        self.waiting.push(Waiting { session, id, deadline_ms, wish });
    }
}
