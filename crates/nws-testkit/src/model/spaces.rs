//! Workspaces: opened, deleted, listed.

use nws_proto::{ErrorCode, OpenMode, Reply, SessionId, VariableHandle, WorkspaceHandle, WorkspaceInfo};

use super::requests::{Answer, DONE};
use super::script::failed;
use super::{Check, Model, Script, Space};
use crate::value::Value;

impl Model {
    pub(super) fn space_named(&self, name: &[u8]) -> Option<usize> {
        self.spaces.iter().position(|space| space.alive && space.name == name)
    }

    pub(super) fn variables_in(&self, space: usize) -> Vec<usize> {
        let mut inside: Vec<_> = (0..self.variables.len())
            .filter(|at| self.variables[*at].alive && self.variables[*at].space == space)
            .collect();
        inside.sort_by_key(|at| self.variables[*at].name.clone());
        inside
    }

    pub(super) fn open(
        &mut self,
        session: SessionId,
        handle: WorkspaceHandle,
        name: &[u8],
        mode: OpenMode,
        create: bool,
    ) -> Answer {
        if name.len() > self.settings.name_bytes as usize {
            return Err(ErrorCode::NameTooLong);
        }
        let most = self.settings.session_workspaces as usize;
        let client = self.client(session);
        if client.spaces.contains_key(&handle) {
            return Err(ErrorCode::HandleInUse);
        }
        if client.spaces.len() >= most {
            return Err(ErrorCode::TooManyWorkspaces);
        }
        let found = self.space_named(name);
        if found.is_none() && !create {
            return Err(ErrorCode::NoSuchWorkspace);
        }
        let at = found.unwrap_or_else(|| {
            let name = name.to_vec();
            self.spaces.push(Space { name, alive: true, owner: None, owner_text: None, persistent: false });
            self.spaces.len() - 1
        });
        self.client(session).spaces.insert(handle, at);
        let space = &mut self.spaces[at];
        if let (None, OpenMode::Own { persistent }) = (&space.owner_text, mode) {
            space.owner = Some(session);
            space.owner_text = Some(format!("address of {session} (label of {session})").into_bytes());
            space.persistent = persistent;
        }
        Ok(Some(Reply::Opened { name: name.to_vec(), owned: space.owner == Some(session) }))
    }

    pub(super) fn make_temporary(&mut self, session: SessionId, handle: WorkspaceHandle, template: &[u8]) -> Answer {
        let most = self.settings.session_workspaces as usize;
        let client = self.client(session);
        if client.spaces.contains_key(&handle) {
            return Err(ErrorCode::HandleInUse);
        }
        if client.spaces.len() >= most {
            return Err(ErrorCode::TooManyWorkspaces);
        }
        // The histories use `%d` at the end, or none.
        let Some(start) = template.strip_suffix(b"%d") else {
            self.temporaries += 1;
            return Err(ErrorCode::BadTemplate);
        };
        loop {
            self.temporaries += 1;
            let number = self.temporaries.to_string();
            let name = [start, number.as_bytes(), &self.settings.temporary_suffix].concat();
            if self.space_named(&name).is_none() {
                return self.open(session, handle, &name, OpenMode::Use, true);
            }
        }
    }

    pub(super) fn close(&mut self, session: SessionId, handle: WorkspaceHandle) -> Answer {
        let client = self.client(session);
        if client.spaces.remove(&handle).is_none() {
            return Err(ErrorCode::UnknownHandle);
        }
        client.variables.retain(|_, (through, _, _)| *through != handle);
        DONE
    }

    pub(super) fn delete_named(&mut self, name: &[u8], script: &mut Script) -> Check<Answer> {
        if name == b"__default" {
            return Ok(Err(ErrorCode::ProtectedWorkspace));
        }
        let Some(at) = self.space_named(name) else { return Ok(Err(ErrorCode::NoSuchWorkspace)) };
        self.delete_space(at, script)?;
        Ok(DONE)
    }

    pub(super) fn delete_space(&mut self, at: usize, script: &mut Script) -> Check {
        for variable in self.variables_in(at) {
            self.drop_variable(variable, ErrorCode::WorkspaceGone, script)?;
        }
        self.spaces[at].alive = false;
        Ok(())
    }

    pub(super) fn drop_variable(&mut self, at: usize, code: ErrorCode, script: &mut Script) -> Check {
        let (told, waiting): (Vec<_>, Vec<_>) =
            self.waiting.drain(..).partition(|waiting| waiting.ask().is_some_and(|ask| ask.variable == at));
        self.waiting = waiting;
        for waiting in told {
            script.anywhere(waiting.session, waiting.id, &failed(code))?;
        }
        self.leases.retain(|_, lease| lease.variable != at);
        self.variables[at].kept.clear();
        self.variables[at].alive = false;
        Ok(())
    }

    pub(super) fn list_spaces(&self, session: SessionId, only: Option<&[u8]>) -> Reply<Value> {
        let shown = |space: &&Space| space.alive && only.is_none_or(|name| name == space.name);
        let mut listed: Vec<_> = self
            .spaces
            .iter()
            .filter(shown)
            .map(|space| WorkspaceInfo {
                name: space.name.clone(),
                owner: space.owner_text.clone().unwrap_or_default(),
                mine: space.owner == Some(session),
                persistent: space.persistent,
                variables: self.space_named(&space.name).map_or(vec![], |at| {
                    self.variables_in(at).into_iter().map(|at| self.variables[at].name.clone()).collect()
                }),
            })
            .collect();
        listed.sort_by_key(|space| space.name.clone());
        Reply::Workspaces(listed)
    }

    pub(super) fn opened(&mut self, session: SessionId, handle: WorkspaceHandle) -> Result<usize, ErrorCode> {
        let at = *self.client(session).spaces.get(&handle).ok_or(ErrorCode::UnknownHandle)?;
        if self.spaces[at].alive { Ok(at) } else { Err(ErrorCode::WorkspaceGone) }
    }

    pub(super) fn bind(
        &mut self,
        session: SessionId,
        handle: VariableHandle,
        through: WorkspaceHandle,
        name: &[u8],
    ) -> Answer {
        if name.len() > self.settings.name_bytes as usize {
            return Err(ErrorCode::NameTooLong);
        }
        let space = self.opened(session, through)?;
        let most = self.settings.session_variables as usize;
        let client = self.client(session);
        if client.variables.contains_key(&handle) {
            return Err(ErrorCode::HandleInUse);
        }
        if client.variables.len() >= most {
            return Err(ErrorCode::TooManyVariables);
        }
        client.variables.insert(handle, (through, space, name.to_vec()));
        DONE
    }
}
