//! From a session's handles to workspaces and variables.

use alloc::vec::Vec;
use nws_proto::{ErrorCode, Fault, SessionId, VariableHandle, VariableId, WorkspaceHandle};

use crate::core::{Core, Outcome};
use crate::effect::Payload;
use crate::fact::{Fact, Journal};
use crate::fault;
use crate::memory::{handle_bytes, variable_bytes};
use crate::slab::Key;
use crate::variables::Variable;

/// A workspace as a session opened it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    pub(crate) workspace: Key,
    /// What keeping it takes.
    pub(crate) bytes: u64,
}

/// A variable's name as a session bound it. It names whatever variable bears the name in that
/// instance of the workspace.
pub(crate) struct Binding {
    through: WorkspaceHandle,
    workspace: Key,
    name: Vec<u8>,
    /// The variable that bore the name when it was last looked up.
    variable: Option<Key>,
}

impl Binding {
    /// What keeping it takes.
    pub(crate) fn bytes(&self) -> u64 {
        handle_bytes(&self.name)
    }
}

/// Where a variable's handle leads now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) workspace: Key,
    pub(crate) variable: Option<Key>,
}

pub(crate) fn variable_id(key: Key) -> VariableId {
    VariableId(key.to_u64())
}

impl<V: Payload, J: Journal<V>> Core<V, J> {
    pub(crate) fn check_name(&self, name: &[u8]) -> Result<(), Fault> {
        let most = self.settings.name_bytes;
        if name.len() <= most as usize { Ok(()) } else { Err(fault::name_too_long(name, most)) }
    }

    /// The workspace that a handle was opened on.
    ///
    /// # Errors
    /// `UnknownHandle`, or `WorkspaceGone`.
    pub(crate) fn opened(&self, session: SessionId, handle: WorkspaceHandle) -> Result<Key, Fault> {
        let open = self.sessions.get(&session);
        let Some(key) = open.and_then(|open| open.workspaces.get(&handle).map(|opening| opening.workspace)) else {
            return Err(fault::unknown_handle("workspace", handle.0));
        };
        if self.workspaces.get(key).is_some() { Ok(key) } else { Err(fault::workspace_gone(None)) }
    }

    pub(crate) fn bind(
        &mut self,
        session: SessionId,
        handle: VariableHandle,
        through: WorkspaceHandle,
        name: Vec<u8>,
    ) -> Outcome<V> {
        self.check_name(&name)?;
        let workspace = self.opened(session, through)?;
        let bytes = handle_bytes(&name);
        self.check_room_for_names(bytes)?;
        let most = self.settings.session_variables;
        let Some(open) = self.sessions.get_mut(&session) else { return Ok(None) };
        if open.variables.contains_key(&handle) {
            return Err(fault::handle_in_use("variable", handle.0));
        }
        if open.variables.len() >= most as usize {
            return Err(fault::too_many(ErrorCode::TooManyVariables, most, "variables bound", "unbind some"));
        }
        open.variables.insert(handle, Binding { through, workspace, name, variable: None });
        open.names_bytes += bytes;
        self.names_bytes += bytes;
        Ok(Some(nws_proto::Reply::Done))
    }

    pub(crate) fn unbind(&mut self, session: SessionId, handle: VariableHandle) -> Outcome<V> {
        let removed = self.sessions.get_mut(&session).and_then(|open| open.variables.remove(&handle));
        match removed {
            Some(binding) => {
                self.forget_names(session, binding.bytes());
                Ok(Some(nws_proto::Reply::Done))
            }
            None => Err(fault::unknown_handle("variable", handle.0)),
        }
    }

    pub(crate) fn close_workspace(&mut self, session: SessionId, handle: WorkspaceHandle) -> Outcome<V> {
        let Some(open) = self.sessions.get_mut(&session) else { return Ok(None) };
        let Some(Opening { mut bytes, .. }) = open.workspaces.remove(&handle) else {
            return Err(fault::unknown_handle("workspace", handle.0));
        };
        open.variables.retain(|_, binding| {
            let stays = binding.through != handle;
            bytes += if stays { 0 } else { binding.bytes() };
            stays
        });
        self.forget_names(session, bytes);
        Ok(Some(nws_proto::Reply::Done))
    }

    /// A session keeps this much less of names.
    fn forget_names(&mut self, session: SessionId, bytes: u64) {
        self.names_bytes -= bytes;
        if let Some(open) = self.sessions.get_mut(&session) {
            open.names_bytes -= bytes;
        }
    }

    /// Where a handle leads now; the variable may not be there yet.
    ///
    /// # Errors
    /// `UnknownHandle`, or `WorkspaceGone`.
    pub(crate) fn place(&mut self, session: SessionId, handle: VariableHandle) -> Result<Place, Fault> {
        let open = self.sessions.get_mut(&session);
        let Some(binding) = open.and_then(|open| open.variables.get_mut(&handle)) else {
            return Err(fault::unknown_handle("variable", handle.0));
        };
        let workspace = binding.workspace;
        let Some(home) = self.workspaces.get(workspace) else {
            return Err(fault::workspace_gone(None));
        };
        let is_live = |key: &Key| self.variables.get(*key).is_some_and(|variable| !variable.gone);
        if let Some(variable) = binding.variable.filter(is_live) {
            return Ok(Place { workspace, variable: Some(variable) });
        }
        binding.variable = home.variables.get(&binding.name).copied();
        Ok(Place { workspace, variable: binding.variable })
    }

    /// Whether the workspace that a handle was opened on is still there.
    pub fn is_open(&self, session: SessionId, handle: WorkspaceHandle) -> bool {
        self.opened(session, handle).is_ok()
    }

    /// The variable that a handle leads to now, where there is one.
    pub fn variable_of(&mut self, session: SessionId, handle: VariableHandle) -> Option<VariableId> {
        self.place(session, handle).ok()?.variable.map(variable_id)
    }

    /// The name that a handle is bound to.
    pub(crate) fn bound_name(&self, session: SessionId, handle: VariableHandle) -> &[u8] {
        let binding = self.sessions.get(&session).and_then(|open| open.variables.get(&handle));
        binding.map_or(&[], |binding| binding.name.as_slice())
    }

    /// Whether a handle of this session leads to this variable, which is live.
    pub(crate) fn leads_to(&self, session: SessionId, handle: VariableHandle, variable: Key) -> bool {
        let Some(binding) = self.sessions.get(&session).and_then(|open| open.variables.get(&handle)) else {
            return false;
        };
        let named = || self.workspaces.get(binding.workspace)?.variables.get(&binding.name);
        binding.variable == Some(variable) || named() == Some(&variable)
    }

    /// Whether the variable that a handle leads to is there or may be made.
    ///
    /// # Errors
    /// `MemoryFull`.
    pub(crate) fn check_may_make(&self, session: SessionId, handle: VariableHandle, place: Place) -> Result<(), Fault> {
        match place.variable {
            Some(_) => Ok(()),
            None => self.check_room_for_names(variable_bytes(self.bound_name(session, handle))),
        }
    }

    /// The variable that a handle leads to, made where it is not there.
    pub(crate) fn ensure(&mut self, session: SessionId, handle: VariableHandle, place: Place) -> Option<Key> {
        if place.variable.is_some() {
            return place.variable;
        }
        let binding = self.sessions.get_mut(&session)?.variables.get_mut(&handle)?;
        let workspace = self.workspaces.get_mut(place.workspace)?;
        let key = self.variables.insert(Variable::new(binding.name.clone(), place.workspace));
        workspace.variables.insert(binding.name.clone(), key);
        binding.variable = Some(key);
        self.names_bytes += variable_bytes(&binding.name);
        let (variable, name) = (variable_id(key), binding.name.as_slice());
        self.journal.record(Fact::VariableMade { variable, workspace: &workspace.name, name });
        Some(key)
    }
}
