//! What there is, told whole or in parts.

use alloc::vec::Vec;
use core::ops::Bound;
use nws_proto::{Fault, Reply, Request, RequestId, SessionId, VariableInfo, WorkspaceHandle, WorkspaceInfo};

use crate::core::{Core, Outcome};
use crate::effect::Payload;
use crate::fact::Journal;

/// A listing of more names than this takes long enough for others to notice.
const LONG_NAMES: usize = 4096;

impl<V: Payload, J: Journal<V>> Core<V, J> {
    /// Whether a request is for a listing of so much that a driver that serves others should make it in
    /// parts, by [`Core::variables_after`] or [`Core::workspaces_after`], instead of asking for it here.
    pub fn is_long_listing(&self, session: SessionId, id: RequestId, request: &Request<V>) -> bool {
        let names = match request {
            Request::ListVariables { workspace } => {
                let workspace = self.opened(session, *workspace).ok().and_then(|key| self.workspaces.get(key));
                workspace.map_or(0, |workspace| workspace.variables.len())
            }
            Request::ListWorkspaces { name: None } => self.workspaces.len() + self.variables.len(),
            _ => 0,
        };
        names > LONG_NAMES && self.sessions.get(&session).is_some_and(|open| !open.waiting.contains_key(&id))
    }

    /// The variables of a workspace whose names come after this one, in the order of their names, so
    /// many at most.
    ///
    /// # Errors
    /// `UnknownHandle`, or `WorkspaceGone`, which can happen between two parts.
    pub fn variables_after(
        &self,
        session: SessionId,
        handle: WorkspaceHandle,
        after: Option<&[u8]>,
        most: usize,
    ) -> Result<Vec<VariableInfo>, Fault> {
        let workspace = self.opened(session, handle)?;
        let Some(workspace) = self.workspaces.get(workspace) else { return Ok(Vec::new()) };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let some = workspace.variables.range::<[u8], _>((from, Bound::Unbounded)).take(most);
        let infos = some.filter_map(|(_, key)| {
            let variable = self.variables.get(*key)?;
            Some(VariableInfo {
                name: variable.name.clone(),
                values: variable.kept.len() as u64,
                leased: variable.leased,
                fetchers: variable.fetchers.len(),
                finders: variable.finders.len(),
                mode: variable.mode,
            })
        });
        Ok(infos.collect())
    }

    /// The workspaces whose names come after this one, in the order of their names: until they and
    /// their variables are so many names, and one at least. None when these were all.
    pub fn workspaces_after(&self, session: SessionId, after: Option<&[u8]>, most_names: usize) -> Vec<WorkspaceInfo> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let (mut infos, mut names) = (Vec::new(), 0);
        for (_, key) in self.names.range::<[u8], _>((from, Bound::Unbounded)) {
            let Some(workspace) = self.workspaces.get(*key) else { continue };
            names += 1 + workspace.variables.len();
            if names > most_names && !infos.is_empty() {
                break;
            }
            infos.push(workspace.info(session));
        }
        infos
    }

    pub(crate) fn list_variables(&self, session: SessionId, handle: WorkspaceHandle) -> Outcome<V> {
        Ok(Some(Reply::Variables(self.variables_after(session, handle, None, usize::MAX)?)))
    }

    pub(crate) fn list_workspaces(&self, session: SessionId, name: Option<Vec<u8>>) -> Outcome<V> {
        let workspaces = match name {
            Some(name) => {
                let workspace = self.names.get(&name).and_then(|key| self.workspaces.get(*key));
                workspace.map(|workspace| workspace.info(session)).into_iter().collect()
            }
            None => self.workspaces_after(session, None, usize::MAX),
        };
        Ok(Some(Reply::Workspaces(workspaces)))
    }
}
