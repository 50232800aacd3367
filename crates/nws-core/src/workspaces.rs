//! Workspaces and their owners.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use nws_proto::{ErrorCode, Fault, OpenMode, Reply, SessionId, WorkspaceHandle, WorkspaceInfo};

use crate::chores::Chore;
use crate::core::{Core, Outcome};
use crate::effect::{Effect, Payload};
use crate::fact::{Fact, Journal};
use crate::fault;
use crate::memory::{handle_bytes, workspace_bytes};
use crate::names::Opening;
use crate::slab::Key;
use crate::template;

const DEFAULT_NAME: &[u8] = b"__default";
const DEFAULT_OWNER: &[u8] = b"[system]";

/// A named set of variables.
pub(crate) struct Workspace {
    pub(crate) name: Vec<u8>,
    pub(crate) variables: BTreeMap<Vec<u8>, Key>,
    owner: Owner,
    persistent: bool,
}

enum Owner {
    /// Nobody so far.
    None,
    /// A live session, and its text.
    Session(SessionId, Vec<u8>),
    /// Whoever it was, nobody follows.
    Past(Vec<u8>),
}

impl<V: Payload, J: Journal<V>> Core<V, J> {
    pub(crate) fn make_default_workspace(&mut self) {
        let owner = Owner::Past(DEFAULT_OWNER.to_vec());
        self.make_workspace(DEFAULT_NAME.to_vec(), owner, true);
    }

    fn make_workspace(&mut self, name: Vec<u8>, owner: Owner, persistent: bool) -> Key {
        self.journal.record(Fact::WorkspaceMade { name: &name });
        self.names_bytes += workspace_bytes(&name);
        let workspace = Workspace { name: name.clone(), variables: BTreeMap::new(), owner, persistent };
        let key = self.workspaces.insert(workspace);
        self.names.insert(name, key);
        key
    }

    /// Whether a session may open one more workspace under this handle.
    fn check_may_open(&self, session: SessionId, handle: WorkspaceHandle) -> Result<(), Fault> {
        let most = self.settings.session_workspaces;
        let Some(open) = self.sessions.get(&session) else { return Ok(()) };
        if open.workspaces.contains_key(&handle) {
            return Err(fault::handle_in_use("workspace", handle.0));
        }
        if open.workspaces.len() >= most as usize {
            return Err(fault::too_many(ErrorCode::TooManyWorkspaces, most, "workspaces open", "close some"));
        }
        Ok(())
    }

    pub(crate) fn open(
        &mut self,
        session: SessionId,
        handle: WorkspaceHandle,
        name: Vec<u8>,
        mode: OpenMode,
        create: bool,
    ) -> Outcome<V> {
        self.check_name(&name)?;
        self.check_may_open(session, handle)?;
        let opening_bytes = handle_bytes(&name);
        let made_bytes = if create && !self.names.contains_key(&name) { workspace_bytes(&name) } else { 0 };
        self.check_room_for_names(opening_bytes + made_bytes)?;
        let key = match self.names.get(&name) {
            Some(key) => *key,
            None if create => self.make_workspace(name, Owner::None, false),
            None => return Err(fault::no_such_workspace(&name)),
        };
        let (Some(open), Some(workspace)) = (self.sessions.get_mut(&session), self.workspaces.get_mut(key)) else {
            return Ok(None);
        };
        if let (Owner::None, OpenMode::Own { persistent }) = (&workspace.owner, mode) {
            let owner = [open.init.address.as_slice(), b" (", &open.init.label, b")"].concat();
            self.journal.record(Fact::WorkspaceOwned { name: &workspace.name, owner: &owner, persistent });
            workspace.owner = Owner::Session(session, owner);
            workspace.persistent = persistent;
            open.owned.insert(key);
        }
        open.workspaces.insert(handle, Opening { workspace: key, bytes: opening_bytes });
        open.names_bytes += opening_bytes;
        self.names_bytes += opening_bytes;
        let owned = workspace.is_owned_by(session);
        Ok(Some(Reply::Opened { name: workspace.name.clone(), owned }))
    }

    pub(crate) fn make_temporary(
        &mut self,
        session: SessionId,
        handle: WorkspaceHandle,
        template: &[u8],
    ) -> Outcome<V> {
        self.check_may_open(session, handle)?;
        let name = loop {
            self.temporaries += 1;
            let Some(mut name) = template::fill(template, self.temporaries) else {
                return Err(fault::bad_template(template));
            };
            name.extend_from_slice(&self.settings.temporary_suffix);
            if !self.names.contains_key(&name) {
                break name;
            }
        };
        self.check_name(&name)?;
        self.open(session, handle, name, OpenMode::Use, true)
    }

    pub(crate) fn delete_named_workspace(&mut self, name: &[u8], effects: &mut Vec<Effect<V>>) -> Outcome<V> {
        if name == DEFAULT_NAME {
            return Err(fault::protected(name));
        }
        let Some(key) = self.names.get(name).copied() else {
            return Err(fault::no_such_workspace(name));
        };
        self.delete_workspace(key, effects);
        Ok(Some(Reply::Done))
    }

    fn delete_workspace(&mut self, key: Key, effects: &mut Vec<Effect<V>>) {
        let Some(workspace) = self.workspaces.remove(key) else { return };
        self.names.remove(&workspace.name);
        self.names_bytes -= workspace_bytes(&workspace.name);
        if let Owner::Session(owner, _) = workspace.owner
            && let Some(open) = self.sessions.get_mut(&owner)
        {
            open.owned.remove(&key);
        }
        self.journal.record(Fact::WorkspaceDeleted { name: &workspace.name });
        let fault = fault::workspace_gone(Some(&workspace.name));
        self.begin_chore(Chore::Variables { variables: workspace.variables, fault }, effects);
    }

    /// A session that came to own this workspace has ended.
    pub(crate) fn owner_ended(&mut self, key: Key, effects: &mut Vec<Effect<V>>) {
        let Some(workspace) = self.workspaces.get_mut(key) else { return };
        if !workspace.persistent {
            return self.delete_workspace(key, effects);
        }
        if let Owner::Session(_, text) = &mut workspace.owner {
            workspace.owner = Owner::Past(core::mem::take(text));
        }
    }
}

impl Workspace {
    fn is_owned_by(&self, session: SessionId) -> bool {
        matches!(self.owner, Owner::Session(owner, _) if owner == session)
    }

    pub(crate) fn info(&self, session: SessionId, variables: Vec<Vec<u8>>) -> WorkspaceInfo {
        WorkspaceInfo {
            name: self.name.clone(),
            owner: match &self.owner {
                Owner::None => Vec::new(),
                Owner::Session(_, text) | Owner::Past(text) => text.clone(),
            },
            mine: self.is_owned_by(session),
            persistent: self.persistent,
            variables,
        }
    }
}
