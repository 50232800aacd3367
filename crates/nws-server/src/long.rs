//! What a connection has to do with long values: one that comes with a request, those that come in
//! parts, those that are read in parts.

use std::collections::HashMap;

use bytes::Bytes;
use nws_core::Payload;
use nws_proto::classic::VariableName;
use nws_proto::{Descriptor, Fault, FrameHeader, Request, RequestId, Sent, TransferId, VariableId};

use crate::disk::{Asker, Completed, Disk, Purpose};
use crate::readings::Readings;
use crate::spool::{Answer, Writer};

/// A request that has come whole and is not executed yet, mostly as the disk has not confirmed its values.
#[derive(Debug)]
pub(crate) enum Held {
    /// A store or finish whose value was spooled; here is what came before that.
    Spooled(FrameHeader, Bytes),
    /// One whose values came by transfers, or are in memory.
    Transferred(RequestId, Request<Sent>),
    /// A store of the classic protocol.
    Classic { variable: VariableName, descriptor: Descriptor, only: Option<Option<VariableId>> },
}

impl Held {
    /// What values it has in memory, in bytes.
    fn bytes(&self) -> u64 {
        let here = |value: &Sent| match value {
            Sent::Here(bytes) => bytes.held_bytes(),
            Sent::Transfer(_) => 0,
        };
        match self {
            Held::Transferred(_, Request::Store { items, .. }) => items.iter().map(|item| here(&item.value)).sum(),
            Held::Transferred(_, Request::Finish { items, .. }) => {
                items.iter().map(|item| here(&item.result.value)).sum()
            }
            _ => 0,
        }
    }
}

/// One connection's long values.
#[derive(Debug, Default)]
pub(crate) struct Long {
    /// The value that comes with the request that is being received, or held.
    pub(crate) spool: Option<Writer>,
    held: Option<Held>,
    held_bytes: u64,
    pub(crate) transfers: HashMap<TransferId, Writer>,
    /// Transfers that are over, of which parts are to be answered.
    dropped: Vec<Writer>,
    pub(crate) readings: Readings,
    /// What the disk has not confirmed, as its windows count it; also of transfers that were dropped.
    outstanding_bytes: usize,
}

impl Long {
    /// Sets a request aside.
    pub(crate) fn hold(&mut self, held: Held) {
        self.held_bytes = held.bytes();
        self.held = Some(held);
    }

    /// What was set aside.
    pub(crate) fn take_held(&mut self) -> Option<Held> {
        self.held_bytes = 0;
        self.held.take()
    }

    /// What values in memory were set aside, in bytes.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// Sends bytes of the value that is being spooled to the disk.
    pub(crate) fn spool(&mut self, disk: &mut Disk, bytes: Bytes, slot: usize, serial: u64) {
        let Some(writer) = &mut self.spool else { return };
        let before = writer.outstanding_bytes();
        writer.put(disk, bytes, Asker { slot, serial, writer: 0, purpose: Purpose::Spool });
        self.outstanding_bytes += writer.outstanding_bytes() - before;
    }

    /// Sends a piece of a part of a transfer to the disk; the last one says which request is to be answered.
    ///
    /// # Errors
    /// Why the value is given up: no other answer will come.
    pub(crate) fn transfer(
        &mut self,
        disk: &mut Disk,
        transfer: TransferId,
        bytes: Bytes,
        request: Option<RequestId>,
        asker: Asker,
    ) -> Result<(), Fault> {
        let Some(writer) = self.transfers.get_mut(&transfer) else { return Ok(()) };
        let before = writer.outstanding_bytes();
        let put = writer.put_piece(disk, transfer, bytes, request, asker);
        self.outstanding_bytes += writer.outstanding_bytes() - before;
        put
    }

    /// Ends a transfer; whether there is one. What is on its way to the disk is still to be answered.
    pub(crate) fn drop_transfer(&mut self, transfer: TransferId) -> bool {
        let Some(writer) = self.transfers.remove(&transfer) else { return false };
        writer.give_up();
        if writer.outstanding_bytes() > 0 {
            self.dropped.push(writer);
        }
        true
    }

    /// A write is over; the answer to who waits for it.
    pub(crate) fn completed(&mut self, disk: &Disk, completed: &Completed) -> Option<Answer> {
        self.outstanding_bytes -= completed.window_bytes;
        let current = match completed.asker.purpose {
            Purpose::Spool => self.spool.as_mut(),
            Purpose::Part(transfer, _) => self.transfers.get_mut(&transfer),
            Purpose::Read => None,
        };
        // Another one may bear the same number by now.
        let dropped = self.dropped.iter_mut();
        let writer = current.into_iter().chain(dropped).find(|writer| writer.has_asked(completed))?;
        let answer = writer.completed(disk, completed);
        self.dropped.retain(|writer| writer.outstanding_bytes() > 0);
        answer
    }

    /// Whether nothing more is to be received until the disk has confirmed some of what it was sent, of
    /// which there may be as much as this.
    pub(crate) fn is_full(&self, window_bytes: usize) -> bool {
        match self.held {
            Some(_) => self.outstanding_bytes > 0,
            None => self.outstanding_bytes >= window_bytes,
        }
    }

    /// Whether the disk has something that it has not confirmed.
    pub(crate) fn is_writing(&self) -> bool {
        self.outstanding_bytes > 0
    }

    /// Whether it sends anything to the disk and nothing is set aside.
    pub(crate) fn writes(&self) -> bool {
        self.held.is_none() && (self.spool.is_some() || !self.transfers.is_empty())
    }
}
