//! Connections of the classic protocol: who is let in, and the way of their requests to the core.

use std::fmt::Display;

use bytes::Bytes;
use nws_core::{Effect, SessionInit};
use nws_proto::classic::{Brought, Intake, Request as Asked, Start, VariableName, WELCOME, Weight, wants_cookies};
use nws_proto::{
    Cursor, ErrorCode, Fault, Item, Reply, Request, Retrieve, SessionId, Sink, VariableId, Wait, WorkspaceHandle,
    limits,
};

use super::handshake::too_many_connections;
use super::serve::Onward;
use super::weigh::{self, Room};
use super::{Asking, EventLoop};
use crate::admission::refusal;
use crate::classic::{Classic, QUIET_REQUEST, REQUEST, VARIABLE};
use crate::config::Limits;
use crate::connection::Phase;
use crate::disk::Disk;
use crate::input::Scratch;
use crate::log::Level;
use crate::long::Held;
use crate::platform::owner::own_user;
use crate::stored::Stored;

/// How many open workspaces are looked at in a unit's time.
const UNIT_HANDLES: usize = 16;

impl EventLoop {
    /// Lets in who opened with these bytes, if it may come in.
    pub(super) fn greet_classic(&mut self, slot: usize, greeting: [u8; 4]) {
        let Some(connection) = self.table.get(slot) else { return };
        let address = String::from_utf8_lossy(&connection.address).into_owned();
        let refusal = if connection.surplus {
            Some(too_many_connections(self.descriptors, connection.stream.is_unix()))
        } else {
            refusal(&connection.stream.origin(), own_user(), &self.rules)
        };
        if let Some(refusal) = refusal {
            self.measures.refused += 1;
            let fields: [(&str, &dyn Display); 2] = [("peer", &address), ("why", &refusal)];
            self.shared.log.of_a_connection(Level::Warn, "refused a classic client", &fields);
            return self.close(slot, "it was refused");
        }
        let session = SessionId(self.next_session);
        self.next_session += 1;
        let init =
            SessionInit { session, address: connection.address.clone(), label: Vec::new(), guardian: SessionId(0) };
        if self.core.session_opened(init).is_err() {
            return self.close(slot, "it got no session");
        }
        // The protocol has no pings: a quiet client is one that has nothing to say.
        connection.phase = Phase::Open { session, silence_ms: 0 };
        connection.classic = Some(Box::new(Classic::new(wants_cookies(greeting))));
        Sink::<Stored>::put(&mut connection.outbox, &WELCOME);
        self.table.add_session(session, slot);
        self.log_session(slot, session, "classic");
        self.flush_soon(slot);
    }

    /// Executes the next request, where it has come whole.
    pub(super) fn execute_classic(&mut self, slot: usize, session: SessionId, scratch: &mut Scratch) -> Option<Onward> {
        let room = self.room(slot);
        let Self { table, limits, disk, .. } = self;
        let mut intake = Values { room, limits, disk, spooled: Vec::new(), spools: false };
        let Some(connection) = table.get(slot) else { return Some(Onward::Stop) };
        let Some(classic) = connection.classic.as_mut() else { return Some(Onward::Stop) };
        if scratch.peek().is_none() {
            return Some(Onward::Receive);
        }
        let asked = if classic.waits {
            Err("expected nothing while a retrieval waits, got the next request".to_owned())
        } else {
            let mut unread = scratch.unread();
            let before = unread.len();
            let asked = classic.decoder.next(&mut unread, &mut intake);
            let read = before - unread.len();
            scratch.consume(read);
            asked.map_err(|bad| bad.to_string())
        };
        let Values { spooled, spools, .. } = intake;
        if let Ok(Some(asked)) = &asked {
            classic.waits = true;
            classic.wants_value = asked.replies_with_value();
        }
        if spools || !spooled.is_empty() {
            self.spool(slot, spooled.into());
        }
        match asked {
            Ok(Some(asked)) => {
                self.measures.operations += 1;
                self.spent_units += 1;
                if let Err(fault) = self.execute_asked(slot, session, asked) {
                    self.reply_classic(slot, &Reply::Failed(fault));
                }
                None
            }
            Ok(None) => {
                self.weigh_value_again(slot);
                Some(Onward::Receive)
            }
            Err(why) => {
                let connection = self.table.get(slot)?;
                let address = String::from_utf8_lossy(&connection.address);
                let fields: [(&str, &dyn Display); 2] = [("peer", &address), ("why", &why)];
                self.shared.log.of_a_connection(Level::Warn, "closed the connection of a classic client", &fields);
                scratch.discard();
                self.end_connection(slot, None);
                None
            }
        }
    }

    /// Receives a value into memory no further where that has no room for more.
    fn weigh_value_again(&mut self, slot: usize) {
        let Some(length) = self.classic(slot).and_then(|classic| classic.decoder.announced_bytes()) else { return };
        if !self.room(slot).is_outgrown_by(length) {
            return;
        }
        let weight = weigh::outgrown_value(length, &self.disk);
        let Some(classic) = self.classic(slot) else { return };
        if weight == Weight::Spool {
            let come = classic.decoder.spool_value();
            self.spool(slot, come.into());
        } else {
            classic.decoder.skip_value();
        }
    }

    /// Executes a request, or says why it fails before it gets anywhere.
    fn execute_asked(&mut self, slot: usize, session: SessionId, asked: Asked) -> Result<(), Fault> {
        match asked {
            Asked::Open { name, label, mode, create } => {
                let label = label.get(..limits::LABEL_BYTES.into()).unwrap_or(&label);
                self.core.label_session(session, label);
                // Closed first: the name means what is found now, and what it meant no longer counts.
                self.forget_workspace(slot, session, &name);
                let open = |workspace| Request::Open { workspace, name: name.clone(), mode, create };
                self.open_classic(slot, session, open)
            }
            Asked::MakeTemporary { template } => {
                let make = |workspace| Request::MakeTemporary { workspace, template: template.clone() };
                self.open_classic(slot, session, make)
            }
            Asked::DeleteWorkspace { name } => {
                self.ask_core(slot, session, Request::DeleteWorkspace { name });
                Ok(())
            }
            Asked::ListWorkspaces { name } => {
                self.ask_core(slot, session, Request::ListWorkspaces { name });
                Ok(())
            }
            Asked::ListVariables { workspace } => {
                let workspace = self.workspace(slot, &workspace)?;
                self.ask_core(slot, session, Request::ListVariables { workspace });
                Ok(())
            }
            asked => self.execute_on_variable(slot, session, asked),
        }
    }

    fn execute_on_variable(&mut self, slot: usize, session: SessionId, asked: Asked) -> Result<(), Fault> {
        let (name, request) = match asked {
            Asked::Declare { variable, mode } => {
                let mode = mode.ok_or_else(|| misuse("expected the mode fifo, lifo, multi or single"))?;
                (variable, Request::Declare { variable: VARIABLE, mode })
            }
            Asked::DeleteVariable { variable } => (variable, Request::DeleteVariable { variable: VARIABLE }),
            Asked::Store { variable, item, only } => {
                let item = item.ok_or_else(|| Fault::new(ErrorCode::MemoryFull, "there is no room for the value"))?;
                let Item { descriptor, value } = item;
                return match value {
                    Brought::Here(value) => {
                        let item = Item { descriptor, value: Bytes::from(value).into() };
                        self.store_classic(slot, session, variable, item, only)
                    }
                    Brought::Spooled => {
                        self.hold(slot, Held::Classic { variable, descriptor, only });
                        Ok(())
                    }
                };
            }
            Asked::Retrieve { variable, take, wait, iterated } => {
                let cursor = match iterated {
                    None => Cursor::Mode,
                    Some(Start::Oldest) => Cursor::Oldest,
                    // No variable has the id 0.
                    Some(Start::After(id, index)) => Cursor::After { variable: id.unwrap_or(VariableId(0)), index },
                };
                let wait = if wait { Wait::Forever } else { Wait::No };
                let max_bytes = u32::MAX;
                let retrieve =
                    Retrieve { variable: VARIABLE, take, lease: false, wait, cursor, max_values: 1, max_bytes };
                (variable, Request::Retrieve(retrieve))
            }
            _ => return Err(misuse("expected a request about a variable")),
        };
        self.with_variable(slot, session, name, |this| {
            this.ask_core(slot, session, request);
            Ok(())
        })
    }

    /// Executes a store whose value the disk has confirmed, or says why it has not.
    pub(super) fn store_spooled(
        &mut self,
        slot: usize,
        session: SessionId,
        name: VariableName,
        item: Result<Item<Stored>, Fault>,
        only: Option<Option<VariableId>>,
    ) {
        if let Err(fault) = item.and_then(|item| self.store_classic(slot, session, name, item, only)) {
            self.reply_classic(slot, &Reply::Failed(fault));
        }
    }

    fn store_classic(
        &mut self,
        slot: usize,
        session: SessionId,
        name: VariableName,
        item: Item<Stored>,
        only: Option<Option<VariableId>>,
    ) -> Result<(), Fault> {
        self.with_variable(slot, session, name, |this| {
            if let Some(only) = only
                && (only.is_none() || this.core.variable_of(session, VARIABLE) != only)
            {
                return Err(misuse("expected the variable's own id"));
            }
            this.ask_core(slot, session, Request::Store { variable: VARIABLE, items: vec![item] });
            Ok(())
        })
    }

    /// Binds a variable's name for as long as `execute` takes. What waits then waits on the variable
    /// itself.
    fn with_variable(
        &mut self,
        slot: usize,
        session: SessionId,
        name: VariableName,
        execute: impl FnOnce(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let workspace = self.workspace(slot, &name.workspace)?;
        self.ask_quietly(session, Request::Bind { variable: VARIABLE, workspace, name: name.variable })?;
        let executed = execute(self);
        self.ask_quietly(session, Request::Unbind { variable: VARIABLE })?;
        executed
    }

    /// Opens a workspace, remembers what its name means, and answers.
    fn open_classic(
        &mut self,
        slot: usize,
        session: SessionId,
        request: impl Fn(WorkspaceHandle) -> Request<Stored>,
    ) -> Result<(), Fault> {
        let Some(handle) = self.classic(slot).map(Classic::new_handle) else { return Ok(()) };
        let mut reply = self.ask_quietly(session, request(handle));
        if matches!(&reply, Err(fault) if fault.code == ErrorCode::TooManyWorkspaces) {
            // Old clients cannot close any, and what was deleted need not count.
            self.forget_gone_workspaces(slot, session);
            reply = self.ask_quietly(session, request(handle));
        }
        let reply = reply?;
        if let (Reply::Opened { name, .. }, Some(classic)) = (&reply, self.classic(slot)) {
            classic.opened(name.clone(), handle);
        }
        self.reply_classic(slot, &reply);
        Ok(())
    }

    fn classic(&mut self, slot: usize) -> Option<&mut Classic> {
        self.table.get(slot)?.classic.as_deref_mut()
    }

    fn workspace(&mut self, slot: usize, name: &[u8]) -> Result<WorkspaceHandle, Fault> {
        self.classic(slot)
            .and_then(|classic| classic.workspace(name))
            .ok_or_else(|| Fault::new(ErrorCode::UnknownHandle, "this connection has not opened the workspace"))
    }

    fn forget_workspace(&mut self, slot: usize, session: SessionId, name: &[u8]) {
        if let Some(workspace) = self.classic(slot).and_then(|classic| classic.forget(name)) {
            let _ = self.ask_quietly(session, Request::CloseWorkspace { workspace });
        }
    }

    fn forget_gone_workspaces(&mut self, slot: usize, session: SessionId) {
        let Self { core, table, .. } = self;
        let Some(classic) = table.get(slot).and_then(|connection| connection.classic.as_deref_mut()) else { return };
        self.spent_units += classic.workspaces() / UNIT_HANDLES;
        for workspace in classic.forget_gone(|handle| core.is_open(session, handle)) {
            let _ = self.ask_quietly(session, Request::CloseWorkspace { workspace });
        }
    }

    /// Makes a request of which nobody but this session hears.
    fn ask_quietly(&mut self, session: SessionId, request: Request<Stored>) -> Result<Reply<Stored>, Fault> {
        self.core.request(self.now_ms, 0, session, QUIET_REQUEST, request, &mut self.effects);
        let reply = self.effects.pop();
        // What earlier deletions had left to be told may have come before it.
        self.carry_out(None);
        match reply {
            Some(Effect::Reply { reply: Reply::Failed(fault), .. }) => Err(fault),
            Some(Effect::Reply { reply, .. }) => Ok(reply),
            _ => Err(Fault::new(ErrorCode::Internal, "a request that cannot wait was not answered")),
        }
    }

    /// Makes a request and carries out what comes of it.
    fn ask_core(&mut self, slot: usize, session: SessionId, request: Request<Stored>) {
        if self.begin_listing(slot, session, REQUEST, &request) {
            return;
        }
        let fetches = matches!(request, Request::Retrieve(Retrieve { take: true, .. }));
        let random = self.random.next();
        let outside_bytes = self.outside_bytes(slot);
        self.core.set_undelivered_bytes(outside_bytes);
        self.core.request(self.now_ms, random, session, REQUEST, request, &mut self.effects);
        self.carry_out(Some(Asking { session, slot, request: REQUEST, fetches }));
    }

    fn reply_classic(&mut self, slot: usize, reply: &Reply<Stored>) {
        let Some(connection) = self.table.get(slot) else { return };
        connection.outbox.prepare(&mut self.spare);
        if let Reply::Failed(fault) = reply {
            self.measures.count_fault(fault.code);
        }
        if let Some(classic) = &mut connection.classic {
            classic.answer(&mut connection.outbox, reply);
        }
        self.flush_soon(slot);
    }
}

/// Says what is to happen with values, and takes those that are to be spooled.
struct Values<'a> {
    room: Room,
    limits: &'a Limits,
    disk: &'a Disk,
    /// One is to be spooled from here on.
    spools: bool,
    spooled: Vec<u8>,
}

impl Intake for &mut Values<'_> {
    fn weigh(&mut self, length: u64) -> Weight {
        let weight = weigh::value(length, self.limits, self.room, self.disk);
        self.spools = weight == Weight::Spool;
        weight
    }

    fn spool(&mut self, bytes: &[u8]) {
        self.spooled.extend_from_slice(bytes);
    }
}

fn misuse(message: &str) -> Fault {
    Fault::new(ErrorCode::BadArguments, message)
}
