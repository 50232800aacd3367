//! What a connection has to do with long values: one that comes with a request, those that come in
//! parts, those that are read in parts.

use std::collections::HashMap;

use bytes::Bytes;
use nws_proto::classic::VariableName;
use nws_proto::{Descriptor, Fault, FrameHeader, Request, RequestId, Sent, TransferId, VariableId};

use crate::disk::{Asker, Completed, Disk, Purpose, WINDOW_BYTES};
use crate::readings::Readings;
use crate::spool::Writer;

/// A request that is complete but for what the disk has not confirmed.
#[derive(Debug)]
pub(crate) enum Held {
    /// A store or finish whose value was spooled; here is what came before that.
    Spooled(FrameHeader, Bytes),
    /// One whose values came by transfers.
    Transferred(RequestId, Request<Sent>),
    /// A store of the classic protocol.
    Classic { variable: VariableName, descriptor: Descriptor, only: Option<Option<VariableId>> },
}

/// One connection's long values.
#[derive(Debug, Default)]
pub(crate) struct Long {
    /// The value that comes with the request that is being received, or held.
    pub(crate) spool: Option<Writer>,
    pub(crate) held: Option<Held>,
    pub(crate) transfers: HashMap<TransferId, Writer>,
    pub(crate) readings: Readings,
    /// What the disk has not confirmed, in bytes; also of transfers that were dropped.
    outstanding_bytes: usize,
}

impl Long {
    /// Sends bytes of the value that is being spooled to the disk.
    pub(crate) fn spool(&mut self, disk: &mut Disk, bytes: Bytes, slot: usize, serial: u64) {
        let Some(writer) = &mut self.spool else { return };
        let before = writer.outstanding_bytes();
        writer.put(disk, bytes, Asker { slot, serial, writer: 0, purpose: Purpose::Spool });
        self.outstanding_bytes += writer.outstanding_bytes() - before;
    }

    /// Sends a part of a transfer to the disk; or says why it has failed: then no completion comes.
    pub(crate) fn transfer(
        &mut self,
        disk: &mut Disk,
        transfer: TransferId,
        bytes: Bytes,
        asker: Asker,
    ) -> Option<Fault> {
        let writer = self.transfers.get_mut(&transfer)?;
        let before = writer.outstanding_bytes();
        writer.put(disk, bytes, asker);
        self.outstanding_bytes += writer.outstanding_bytes() - before;
        writer.fault().cloned()
    }

    /// A write is over.
    pub(crate) fn completed(&mut self, disk: &Disk, completed: &Completed) {
        self.outstanding_bytes -= completed.written_bytes;
        let writer = match completed.asker.purpose {
            Purpose::Spool => self.spool.as_mut(),
            Purpose::Transfer(transfer, _) => self.transfers.get_mut(&transfer),
            Purpose::Read => None,
        };
        if let Some(writer) = writer {
            writer.completed(disk, completed);
        }
    }

    /// Whether nothing more is to be received until the disk has confirmed some of what it was sent.
    pub(crate) fn is_full(&self) -> bool {
        match self.held {
            Some(_) => self.outstanding_bytes > 0,
            None => self.outstanding_bytes >= WINDOW_BYTES,
        }
    }

    /// Whether the disk has something that it has not confirmed.
    pub(crate) fn is_writing(&self) -> bool {
        self.outstanding_bytes > 0
    }

    /// Whether it sends anything to the disk.
    pub(crate) fn writes(&self) -> bool {
        self.spool.is_some() || !self.transfers.is_empty()
    }
}
