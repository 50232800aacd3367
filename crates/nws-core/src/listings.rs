//! What there is, told whole or in parts.

use alloc::vec::Vec;
use core::ops::Bound;
use nws_proto::{Fault, Reply, Request, RequestId, SessionId, VariableInfo, WorkspaceHandle, WorkspaceInfo};

use crate::core::{Core, Outcome};
use crate::effect::Payload;
use crate::fact::Journal;
use crate::workspaces::Workspace;

/// Where a part of a listing of workspaces begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From<'a> {
    /// With the first one.
    Start,
    /// With this one.
    Workspace(&'a [u8]),
    /// Behind this one.
    After(&'a [u8]),
    /// In this one, where it is still there, behind this variable.
    Within(&'a [u8], &'a [u8]),
}

/// A workspace in a part of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkspacePart {
    /// The workspace, with those of its variables that are in this part.
    pub info: WorkspaceInfo,
    /// More of its variables follow.
    pub goes_on: bool,
}

/// A listing of more names than this takes long enough for others to notice.
const LONG_NAMES: usize = 4096;

impl<V: Payload, J: Journal<V>> Core<V, J> {
    /// Whether a request is for a listing of so much that a driver that serves others should make it in
    /// parts, by [`Core::variables_after`] or [`Core::workspaces_from`], instead of asking for it here.
    pub fn is_long_listing(&self, session: SessionId, id: RequestId, request: &Request<V>) -> bool {
        let names = match request {
            Request::ListVariables { workspace } => {
                let workspace = self.opened(session, *workspace).ok().and_then(|key| self.workspaces.get(key));
                workspace.map_or(0, |workspace| workspace.variables.len())
            }
            Request::ListWorkspaces { name: None } => self.workspaces.len() + self.variables.len(),
            Request::ListWorkspaces { name: Some(name) } => {
                let workspace = self.names.get(name).and_then(|key| self.workspaces.get(*key));
                workspace.map_or(0, |workspace| workspace.variables.len())
            }
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

    /// The workspaces from here on, in the order of their names, until they and their variables are so many
    /// names, at least 2. None when there are no more. Only the last one may go on.
    pub fn workspaces_from(&self, session: SessionId, from: From<'_>, most_names: usize) -> Vec<WorkspacePart> {
        let start = match from {
            From::Start => Bound::Unbounded,
            From::Workspace(name) | From::Within(name, _) => Bound::Included(name),
            From::After(name) => Bound::Excluded(name),
        };
        let (mut parts, mut left) = (Vec::new(), most_names.max(2));
        for (name, key) in self.names.range::<[u8], _>((start, Bound::Unbounded)) {
            let Some(workspace) = self.workspaces.get(*key) else { continue };
            // A workspace and one of its variables, so that each part gets on.
            if left < 2 {
                break;
            }
            let after = match from {
                From::Within(within, after) if within == name.as_slice() => Bound::Excluded(after),
                _ => Bound::Unbounded,
            };
            let mut variables = workspace.variables.range::<[u8], _>((after, Bound::Unbounded));
            let some = variables.by_ref().take(left - 1).map(|(name, _)| name.clone()).collect();
            let part = WorkspacePart { info: workspace.info(session, some), goes_on: variables.next().is_some() };
            left -= 1 + part.info.variables.len();
            parts.push(part);
        }
        parts
    }

    pub(crate) fn list_variables(&self, session: SessionId, handle: WorkspaceHandle) -> Outcome<V> {
        Ok(Some(Reply::Variables(self.variables_after(session, handle, None, usize::MAX)?)))
    }

    pub(crate) fn list_workspaces(&self, session: SessionId, name: Option<Vec<u8>>) -> Outcome<V> {
        let workspaces = match name {
            Some(name) => {
                let workspace = self.names.get(&name).and_then(|key| self.workspaces.get(*key));
                let info =
                    |workspace: &Workspace| workspace.info(session, workspace.variables.keys().cloned().collect());
                workspace.map(info).into_iter().collect()
            }
            None => {
                let parts = self.workspaces_from(session, From::Start, usize::MAX);
                parts.into_iter().map(|part| part.info).collect()
            }
        };
        Ok(Some(Reply::Workspaces(workspaces)))
    }
}
