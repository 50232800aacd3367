//! A listing of very many names: made in parts, with turns of the loop between them, and sent whole.
//!
//! Its connection is not read from meanwhile, so that replies keep their order. What is made or deleted
//! between the parts may be in it or not.

use bytes::Bytes;
use nws_core::Core;
use nws_proto::{Fault, Opcode, Reply, Request, RequestId, SessionId, WorkspaceHandle, classic};

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
    /// The name that was told last.
    after: Option<Vec<u8>>,
    count: u32,
    told: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum Of {
    Variables(WorkspaceHandle),
    Workspaces,
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
            Request::ListVariables { workspace } => Of::Variables(*workspace),
            Request::ListWorkspaces { name: None } => Of::Workspaces,
            _ => return None,
        };
        Some(Self { request, session, of, classic, after: None, count: 0, told: Vec::new() })
    }

    /// Makes the next part.
    pub(crate) fn step(&mut self, core: &Core<Stored>) -> Step {
        let ended = match self.of {
            Of::Variables(handle) => {
                let part = match core.variables_after(self.session, handle, self.after.as_deref(), PART_NAMES) {
                    Ok(part) => part,
                    Err(fault) => return Step::Failed(fault),
                };
                let ended = part.len() < PART_NAMES;
                self.after = part.last().map(|info| info.name.clone()).or(self.after.take());
                if self.classic && !part.is_empty() {
                    self.separate();
                    self.told.extend(classic::variables_text(&part));
                } else if !self.classic {
                    self.append(part.len(), &Reply::Variables(part));
                }
                ended
            }
            Of::Workspaces => {
                let part = core.workspaces_after(self.session, self.after.as_deref(), PART_NAMES);
                let ended = part.is_empty();
                self.after = part.last().map(|info| info.name.clone()).or(self.after.take());
                if self.classic && !part.is_empty() {
                    self.told.extend(classic::workspaces_text(&part));
                } else if !self.classic {
                    self.append(part.len(), &Reply::Workspaces(part));
                }
                ended
            }
        };
        if !ended {
            return Step::GoesOn;
        }
        let opcode = match self.of {
            Of::Variables(_) => Opcode::Variables,
            Of::Workspaces => Opcode::Workspaces,
        };
        Step::Whole(opcode, self.count.to_le_bytes(), std::mem::take(&mut self.told).into())
    }

    /// Lines of variables have an end between them, and none after the last.
    fn separate(&mut self) {
        if !self.told.is_empty() {
            self.told.push(b'\n');
        }
    }

    /// Adds the items of a part to those of the parts before: a reply of any listing is a count, and
    /// items.
    fn append(&mut self, count: usize, part: &Reply<Bytes>) {
        let start = self.told.len();
        part.encode(&mut self.told);
        self.told.drain(start..start + 4);
        self.count += count as u32;
    }
}
