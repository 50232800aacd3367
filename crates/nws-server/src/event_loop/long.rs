//! Long values: what comes from the disk thread, and the requests of those that travel in parts.

use std::io;

use bytes::Bytes;
use nws_proto::{
    ErrorCode, Fault, FrameHeader, Head, Item, Opcode, Reply, Request, RequestId, Sent, SessionId, TransferId,
};

use super::{Asking, EventLoop};
use crate::disk::{Asker, Purpose, Windows};
use crate::input::Spooled;
use crate::log::Level;
use crate::long::Held;
use crate::spool::Writer;
use crate::stored::Stored;

/// The least that is loaded of a file at a time, in bytes: what everybody gets however many there are who
/// do not read.
const LEAST_LOAD_BYTES: usize = 16 << 10;
/// Most ends of jobs that are heard of in a turn.
const ENDS_A_TURN: usize = 2048;

/// How much is loaded of a file at a time, in bytes: less the more all connections have loaded and not
/// sent.
fn load_bytes(loaded_bytes: usize, windows: Windows) -> usize {
    let loads = [(4, 1 << 20), (2, 256 << 10), (1, 64 << 10)];
    let load = loads.iter().find(|(part, _)| loaded_bytes < windows.loading_bytes / part);
    load.map_or(LEAST_LOAD_BYTES, |(_, load)| (*load).min(windows.loading_bytes))
}

impl EventLoop {
    /// Takes what the disk thread has done.
    pub(super) fn hear_of_disk(&mut self) {
        if !self.disk.is_busy() {
            return;
        }
        for _ in 0..ENDS_A_TURN {
            let Some(completed) = self.disk.completed() else { break };
            let Asker { slot, serial, purpose, .. } = completed.asker;
            let Some(connection) = self.table.get(slot).filter(|connection| connection.serial == serial) else {
                continue;
            };
            match purpose {
                Purpose::Read => self.loaded(slot, completed.result),
                Purpose::Spool | Purpose::Part(..) => {
                    let session = connection.session();
                    let answer = connection.long.as_mut().and_then(|long| long.completed(&self.disk, &completed));
                    if let (Some(session), Some((request, outcome))) = (session, answer) {
                        self.answer(slot, session, request, outcome.map_or_else(Reply::Failed, |()| Reply::Done));
                    }
                    self.read_again(slot);
                }
            }
        }
        if self.disk.writing_bytes() <= self.disk.windows().writing_bytes / 2 {
            for slot in std::mem::take(&mut self.awaiting_disk) {
                self.read_again(slot);
            }
        }
    }

    /// A part of a file has come that is to be sent.
    fn loaded(&mut self, slot: usize, result: io::Result<Bytes>) {
        let Some(connection) = self.table.get(slot) else { return };
        match result {
            Ok(bytes) => {
                self.loaded_bytes += bytes.len();
                connection.outbox.load(bytes);
                self.flush_soon(slot);
            }
            Err(error) => self.cannot_load(slot, &error),
        }
    }

    /// The disk does not give what is to be sent: who asked for it is told, where nothing of the answer has
    /// gone out.
    fn cannot_load(&mut self, slot: usize, error: &io::Error) {
        let fault = self.disk.unreadable(error);
        self.measures.count_fault(fault.code);
        let Some(connection) = self.table.get(slot) else { return };
        connection.outbox.loads = false;
        let peer = String::from_utf8_lossy(&connection.address);
        let fields: [(&str, &dyn std::fmt::Display); 2] = [("peer", &peer), ("error", error)];
        self.shared.log.of_a_connection(Level::Error, "a long value cannot be read from disk", &fields);
        let mut answer = Vec::new();
        match (&connection.classic, connection.outbox.unbegun()) {
            (Some(classic), Some(_)) => classic.put_failed(&mut answer),
            (None, Some(head)) => put_failed(&mut answer, head, fault),
            // What was announced cannot be sent, and nothing else can follow it.
            (_, None) => return self.close(slot, "a value for it cannot be read from disk, and was sent in part"),
        }
        self.loaded_bytes -= connection.outbox.loaded_bytes();
        let replaced = connection.outbox.replace_unbegun(&answer);
        self.loaded_bytes += connection.outbox.loaded_bytes();
        let Some((end, by)) = replaced else { return };
        self.transit_bytes -= connection.transit.bytes();
        let unsent = connection.transit.take_back(end);
        connection.transit.shift(end, by);
        self.transit_bytes += connection.transit.bytes();
        self.flush_soon(slot);
        if let Some((variable, values)) = unsent {
            self.core.undelivered(variable, values, &mut self.effects);
            self.carry_out(None);
        }
    }

    /// Has the disk load what is to be sent next.
    pub(super) fn load(&mut self, slot: usize) {
        let most = load_bytes(self.loaded_bytes, self.disk.windows());
        let Some(connection) = self.table.get(slot) else { return };
        if let Some(wanted) = connection.outbox.wanted(most) {
            connection.outbox.loads = true;
            let asker = Asker { slot, serial: connection.serial, writer: 0, purpose: Purpose::Read };
            self.disk.read(&wanted.file, wanted.offset, wanted.len, asker);
        }
    }

    /// Whether the connection is not to be read from until the disk has taken more.
    pub(super) fn awaits_disk(&mut self, slot: usize) -> bool {
        let Some(connection) = self.table.get(slot) else { return false };
        let Some(long) = &connection.long else { return false };
        let all_full = self.disk.is_full() && long.writes();
        if !all_full && !long.is_full(self.disk.windows().connection_bytes) {
            return false;
        }
        connection.awaits_disk = true;
        if all_full {
            self.awaiting_disk.push(slot);
        }
        true
    }

    /// The connection is not to be read from until all together have less on its way to the disk.
    pub(super) fn await_disk(&mut self, slot: usize) {
        if let Some(connection) = self.table.get(slot) {
            connection.awaits_disk = true;
            self.awaiting_disk.push(slot);
        }
    }

    fn read_again(&mut self, slot: usize) {
        let Some(connection) = self.table.get(slot) else { return };
        let window_bytes = self.disk.windows().connection_bytes;
        let full = connection.long.as_ref().is_some_and(|long| long.is_full(window_bytes));
        if connection.awaits_disk && !full {
            connection.awaits_disk = false;
            // It was we who did not listen.
            connection.heard(self.now_ms);
            self.stand_in_line(slot);
        }
    }

    /// Takes a piece of a frame.
    pub(super) fn spool_of_frame(&mut self, slot: usize, session: SessionId, piece: Spooled) {
        if piece.header.opcode == Opcode::TransferPart.to_wire() {
            return self.take_piece(slot, session, piece);
        }
        let Spooled { header, head, bytes, ends } = piece;
        self.spool(slot, bytes);
        if ends {
            self.hold(slot, Held::Spooled(header, head));
        }
    }

    /// Takes bytes of the value that is being received.
    pub(super) fn spool(&mut self, slot: usize, bytes: Bytes) {
        let Some(connection) = self.table.get(slot) else { return };
        let (serial, disk) = (connection.serial, &mut self.disk);
        let long = connection.long();
        long.spool.get_or_insert_with(|| Writer::new(disk));
        if !bytes.is_empty() {
            long.spool(disk, bytes, slot, serial);
        }
    }

    /// Sets a request aside until the disk has confirmed its values.
    pub(super) fn hold(&mut self, slot: usize, held: Held) {
        if let Some(connection) = self.table.get(slot) {
            connection.long().hold(held);
        }
    }

    /// Executes what was set aside, and whether there was something; the disk has confirmed its values.
    pub(super) fn execute_held(&mut self, slot: usize, session: SessionId) -> bool {
        let Some(long) = self.table.get(slot).and_then(|connection| connection.long.as_mut()) else { return false };
        let Some(held) = long.take_held() else { return false };
        let spooled = long.spool.take();
        match held {
            Held::Spooled(header, head) => {
                match value(spooled).map(|value| Head::read(header.opcode, &head)?.head.with(value)) {
                    Ok(Some(request)) => self.ask(slot, session, header.request, request),
                    Ok(None) => self.say_goodbye(slot, Fault::new(ErrorCode::Internal, "a frame has lost its head")),
                    Err(fault) => self.refuse(slot, session, header.request, fault),
                }
            }
            Held::Transferred(id, request) => self.execute_request(slot, session, id, request),
            Held::Classic { variable, descriptor, only } => {
                let item = value(spooled).map(|value| Item { descriptor, value });
                self.store_spooled(slot, session, variable, item, only);
            }
        }
        true
    }

    /// Puts the values in the place of the transfers that a request names.
    ///
    /// # Errors
    /// Where one is not there, or has failed.
    pub(super) fn resolve(&mut self, slot: usize, request: Request<Sent>) -> Result<Request<Stored>, Fault> {
        let mut transfers =
            self.table.get(slot).and_then(|connection| connection.long.as_mut()).map(|long| &mut long.transfers);
        request.try_map(|value| match value {
            Sent::Here(bytes) => Ok(Stored::from(bytes)),
            Sent::Transfer(transfer) => {
                let writer = transfers.as_mut().and_then(|transfers| transfers.remove(&transfer));
                writer.ok_or_else(|| unknown_transfer(transfer))?.finish()
            }
        })
    }

    /// Whether a request brings values by transfers that the disk has not confirmed.
    pub(super) fn is_early(&mut self, slot: usize, request: &Request<Sent>) -> bool {
        let transferred = |value: &Sent| matches!(value, Sent::Transfer(_));
        let any = match request {
            Request::Store { items, .. } => items.iter().any(|item| transferred(&item.value)),
            Request::Finish { items, .. } => items.iter().any(|item| transferred(&item.result.value)),
            _ => false,
        };
        any && self
            .table
            .get(slot)
            .and_then(|connection| connection.long.as_ref())
            .is_some_and(|long| long.is_writing())
    }

    pub(super) fn answer(&mut self, slot: usize, session: SessionId, request: RequestId, reply: Reply<Stored>) {
        self.effects.push(nws_core::Effect::Reply { session, request, reply });
        self.carry_out(Some(Asking { session, slot, request, fetches: false }));
    }
}

/// Writes the failure of the request that a frame which begins so would have answered.
fn put_failed(answer: &mut Vec<u8>, head: &[u8], fault: Fault) {
    let request = head.first_chunk().and_then(FrameHeader::decode).map_or(RequestId(0), |header| header.request);
    let mut payload = Vec::new();
    Reply::<Bytes>::Failed(fault).encode(&mut payload);
    let (payload_bytes, opcode) = (payload.len() as u32, Opcode::Failed.to_wire());
    answer.extend_from_slice(&FrameHeader { payload_bytes, request, opcode }.encode());
    answer.extend_from_slice(&payload);
}

/// The value that was spooled with a request.
fn value(spooled: Option<Writer>) -> Result<Stored, Fault> {
    spooled.ok_or_else(|| Fault::new(ErrorCode::Internal, "a value was spooled and is not there"))?.finish()
}

pub(super) fn unknown_transfer(transfer: TransferId) -> Fault {
    let message = format!("transfer {transfer} was not begun in this session, or is over; begin it and send its parts");
    Fault::new(ErrorCode::UnknownHandle, message)
}
