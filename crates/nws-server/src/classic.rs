//! One connection of the classic protocol: what it has opened, and its replies.

use std::collections::HashMap;

use bytes::Bytes;
use nws_proto::classic::{self, Cookie, Decoder};
use nws_proto::{Descriptor, Reply, RequestId, Sink, VariableHandle, WorkspaceHandle};

use crate::stored::Stored;

/// A connection has one request at a time, so they all bear this id.
pub(crate) const REQUEST: RequestId = RequestId(1);
/// What is done beside that request, which may be waiting, bears this one.
pub(crate) const QUIET_REQUEST: RequestId = RequestId(2);
/// A variable's name is bound for as long as a request takes, to this handle.
pub(crate) const VARIABLE: VariableHandle = VariableHandle(1);

/// What a connection of the classic protocol has beside any other one.
#[derive(Debug)]
pub(crate) struct Classic {
    pub(crate) decoder: Decoder,
    /// Whether the client gets the cookie of each value.
    cookies: bool,
    /// What it opened under each name, gone or not.
    workspaces: HashMap<Vec<u8>, WorkspaceHandle>,
    next_handle: u32,
    /// Whether the request that is not answered yet is to be answered with a value.
    pub(crate) wants_value: bool,
    /// Whether a request is not answered yet.
    pub(crate) waits: bool,
}

impl Classic {
    pub(crate) fn new(cookies: bool) -> Self {
        Self {
            decoder: Decoder::default(),
            cookies,
            workspaces: HashMap::new(),
            next_handle: 1,
            wants_value: false,
            waits: false,
        }
    }

    /// What it opened under this name.
    pub(crate) fn workspace(&self, name: &[u8]) -> Option<WorkspaceHandle> {
        self.workspaces.get(name).copied()
    }

    /// How many workspaces it has opened, gone ones too.
    pub(crate) fn workspaces(&self) -> usize {
        self.workspaces.len()
    }

    /// A handle that nothing bears.
    pub(crate) fn new_handle(&mut self) -> WorkspaceHandle {
        let handle = WorkspaceHandle(self.next_handle);
        self.next_handle = self.next_handle.wrapping_add(1);
        handle
    }

    /// The name means this from now on.
    pub(crate) fn opened(&mut self, name: Vec<u8>, handle: WorkspaceHandle) {
        self.workspaces.insert(name, handle);
    }

    /// The name means nothing any more.
    pub(crate) fn forget(&mut self, name: &[u8]) -> Option<WorkspaceHandle> {
        self.workspaces.remove(name)
    }

    /// Forgets what `is_open` says is gone, and says what that was.
    pub(crate) fn forget_gone(&mut self, is_open: impl Fn(WorkspaceHandle) -> bool) -> Vec<WorkspaceHandle> {
        let gone: Vec<WorkspaceHandle> = self.workspaces.values().copied().filter(|handle| !is_open(*handle)).collect();
        self.workspaces.retain(|_, handle| is_open(*handle));
        gone
    }

    /// Writes the reply to the request that is not answered yet.
    pub(crate) fn answer(&mut self, sink: &mut impl Sink<Stored>, reply: &Reply<Stored>) {
        self.waits = false;
        if !self.wants_value {
            let done = matches!(reply, Reply::Done | Reply::Opened { .. });
            return classic::put_status(sink, done);
        }
        match reply {
            Reply::Opened { name, .. } => self.answer_text(sink, &name.clone().into()),
            Reply::Workspaces(workspaces) => self.answer_text(sink, &classic::workspaces_text(workspaces).into()),
            Reply::Variables(variables) => self.answer_text(sink, &classic::variables_text(variables).into()),
            Reply::Values { variable, values, .. } if !values.is_empty() => {
                for grant in values {
                    let cookie = if self.cookies { Cookie::Value(*variable, grant.index) } else { Cookie::Unwanted };
                    let item = &grant.item;
                    // On disk are no native values but whole numbers of millions of digits.
                    let bytes = item.value.bytes();
                    let converted = bytes.and_then(|value| classic::for_old_clients(item.descriptor, value));
                    match converted {
                        Some((descriptor, value)) => {
                            classic::put_value(sink, descriptor, cookie, &Stored::from(Bytes::from(value)));
                        }
                        None => classic::put_value(sink, item.descriptor, cookie, &item.value),
                    }
                }
            }
            _ => classic::put_failed_value(sink, self.cookies),
        }
    }

    /// Writes the failure of a request that was to be answered with a value.
    pub(crate) fn put_failed(&self, answer: &mut Vec<u8>) {
        classic::put_failed_value::<Bytes>(answer, self.cookies);
    }

    /// Writes the reply to a request that is answered with text.
    pub(crate) fn answer_text(&mut self, sink: &mut impl Sink<Stored>, text: &Bytes) {
        self.waits = false;
        let cookie = if self.cookies { Cookie::Blank } else { Cookie::Unwanted };
        classic::put_value(sink, Descriptor(0), cookie, &Stored::from(text.clone()));
    }
}
