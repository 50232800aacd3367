//! A listing of very many names: made in parts, with turns of the loop between them, and sent whole.
//!
//! Its connection is not read from meanwhile, so that replies keep their order. What is made or deleted
//! between the parts may be in it or not.

use bytes::Bytes;
use nws_core::{Core, From, WorkspacePart};
use nws_proto::{Fault, Opcode, Request, RequestId, SessionId, Sink, WorkspaceHandle, WorkspaceInfo, classic};

use crate::stored::Stored;

/// Names of one part: some tenths of a millisecond.
const PART_NAMES: usize = 1024;

/// A listing so far.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) request: RequestId,
    session: SessionId,
    of: Of,
    /// The client speaks the classic protocol, and gets lines of text.
    classic: bool,
    /// How many items were told.
    count: u32,
    told: Vec<u8>,
}

#[derive(Debug)]
enum Of {
    Variables(WorkspaceHandle, After),
    Workspaces(Place, Option<Growing>),
    Workspace(Vec<u8>, After, Option<Growing>),
}

/// The variable that was told last.
type After = Option<Vec<u8>>;

/// How far a listing of all workspaces is.
#[derive(Debug)]
enum Place {
    Start,
    After(Vec<u8>),
    Within(Vec<u8>, Vec<u8>),
}

/// A workspace whose variables are being told.
#[derive(Debug)]
struct Growing {
    /// Without variables.
    info: WorkspaceInfo,
    variables: u32,
    /// Their names, as they stand in the answer.
    names: Vec<u8>,
}

/// How a step ended.
pub(crate) enum Step {
    /// There is more.
    GoesOn,
    /// This is all of it: the frame's opcode, what its payload begins with, and the rest; or the text for
    /// a client of the classic protocol.
    Whole(Opcode, [u8; 4], Bytes),
    Failed(Fault),
}

impl Listing {
    pub(crate) fn new(session: SessionId, request: RequestId, asked: &Request<Stored>, classic: bool) -> Option<Self> {
        let of = match asked {
            Request::ListVariables { workspace } => Of::Variables(*workspace, None),
            Request::ListWorkspaces { name: None } => Of::Workspaces(Place::Start, None),
            Request::ListWorkspaces { name: Some(name) } => Of::Workspace(name.clone(), None, None),
            _ => return None,
        };
        Some(Self { request, session, of, classic, count: 0, told: Vec::new() })
    }

    /// What was told so far, in bytes.
    #[cfg(feature = "simulation")]
    pub(crate) fn told_bytes(&self) -> usize {
        self.told.len()
    }

    /// Makes the next part.
    pub(crate) fn step(&mut self, core: &Core<Stored>) -> Step {
        let Self { session, of, classic, count, told, .. } = self;
        let mut answer = Answer { classic: *classic, count, told };
        let (ended, opcode) = match of {
            Of::Variables(handle, after) => {
                let part = match core.variables_after(*session, *handle, after.as_deref(), PART_NAMES) {
                    Ok(part) => part,
                    Err(fault) => return Step::Failed(fault),
                };
                answer.put_variables(&part);
                let ended = part.len() < PART_NAMES;
                *after = part.into_iter().next_back().map(|info| info.name);
                (ended, Opcode::Variables)
            }
            Of::Workspaces(place, growing) => {
                let parts = core.workspaces_from(*session, place.from(), PART_NAMES);
                if let Some(last) = parts.last() {
                    *place = Place::behind(last);
                }
                let ended = parts.is_empty();
                parts.into_iter().for_each(|part| answer.put_workspace(part, growing));
                if ended {
                    answer.end_workspace(growing);
                }
                (ended, Opcode::Workspaces)
            }
            Of::Workspace(name, after, growing) => {
                let from = after.as_deref().map_or(From::Workspace(name), |after| From::Within(name, after));
                let part = core.workspaces_from(*session, from, PART_NAMES).into_iter().next();
                let part = part.filter(|part| part.info.name == *name);
                let goes_on = part.as_ref().is_some_and(|part| part.goes_on);
                if let Some(part) = part {
                    *after = part.info.variables.last().cloned();
                    answer.put_workspace(part, growing);
                }
                if !goes_on {
                    answer.end_workspace(growing);
                    answer.end_line();
                }
                (!goes_on, Opcode::Workspaces)
            }
        };
        if !ended {
            return Step::GoesOn;
        }
        Step::Whole(opcode, self.count.to_le_bytes(), std::mem::take(&mut self.told).into())
    }
}

impl Place {
    fn from(&self) -> From<'_> {
        match self {
            Place::Start => From::Start,
            Place::After(workspace) => From::After(workspace),
            Place::Within(workspace, variable) => From::Within(workspace, variable),
        }
    }

    fn behind(part: &WorkspacePart) -> Self {
        match part.info.variables.last().filter(|_| part.goes_on) {
            Some(last) => Place::Within(part.info.name.clone(), last.clone()),
            None => Place::After(part.info.name.clone()),
        }
    }
}

/// What was told so far.
struct Answer<'a> {
    classic: bool,
    count: &'a mut u32,
    told: &'a mut Vec<u8>,
}

impl Answer<'_> {
    fn put_variables(&mut self, part: &[nws_proto::VariableInfo]) {
        *self.count += part.len() as u32;
        if !self.classic {
            return part.iter().for_each(|info| info.encode::<Bytes>(self.told));
        }
        // Lines of variables have an end between them, and none after the last.
        if !part.is_empty() && !self.told.is_empty() {
            self.told.push(b'\n');
        }
        self.told.extend(classic::variables_text(part));
    }

    /// Tells a workspace, or goes on with the one that is growing.
    fn put_workspace(&mut self, part: WorkspacePart, growing: &mut Option<Growing>) {
        let WorkspacePart { mut info, goes_on } = part;
        let variables = std::mem::take(&mut info.variables);
        if growing.as_ref().is_some_and(|one| one.info.name != info.name) {
            // It was deleted before all of it was told.
            self.end_workspace(growing);
        }
        let one = growing.get_or_insert_with(|| Growing { info, variables: 0, names: Vec::new() });
        for name in variables {
            if !self.classic {
                Sink::<Bytes>::put_name(&mut one.names, &name);
            } else {
                if one.variables > 0 {
                    one.names.push(b',');
                }
                one.names.extend_from_slice(&name);
            }
            one.variables += 1;
        }
        if !goes_on {
            self.end_workspace(growing);
        }
    }

    /// For a name that nobody has any more an old client gets an empty line.
    fn end_line(&mut self) {
        if self.classic && self.told.is_empty() {
            self.told.push(b'\n');
        }
    }

    fn end_workspace(&mut self, growing: &mut Option<Growing>) {
        let Some(Growing { info, variables, names }) = growing.take() else { return };
        *self.count += 1;
        if self.classic {
            classic::put_workspace_line(self.told, &info, variables as usize, &names);
        } else {
            info.encode_head::<Bytes>(self.told, variables);
            self.told.extend(names);
        }
    }
}
