//! Requests about values that travel in parts.

use bytes::Bytes;
use nws_proto::{
    ErrorCode, Fault, Head, Heading, LongRequest, ReadingId, Reply, RequestId, SessionId, TransferId, VariableId,
};

use super::EventLoop;
use super::long::unknown_transfer;
use crate::disk::{Asker, Purpose};
use crate::input::Spooled;
use crate::spool::Writer;
use crate::stored::Stored;

/// What such a request comes to: a reply now, none yet, or a fault.
type Outcome = Result<Option<Reply<Stored>>, Fault>;

impl EventLoop {
    /// Executes one.
    pub(super) fn execute_long(
        &mut self,
        slot: usize,
        session: SessionId,
        request: RequestId,
        asked: Result<LongRequest, Fault>,
    ) {
        let asked = match asked {
            Ok(asked) => asked,
            Err(fault) => return self.say_goodbye(slot, fault),
        };
        self.measures.operations += 1;
        self.spent_units += 1;
        let outcome = match asked {
            LongRequest::BeginTransfer { transfer } => self.begin_transfer(slot, transfer),
            LongRequest::TransferPart { transfer, bytes } => self.take_part(slot, transfer, bytes, Some(request)),
            LongRequest::DropTransfer { transfer } => self.drop_transfer(slot, transfer),
            LongRequest::ReadPart { reading, offset, max_bytes } => {
                self.read_part(slot, request, reading, offset, max_bytes)
            }
            LongRequest::CloseReading { reading, give_back } => self.close_reading(slot, reading, give_back),
        };
        match outcome {
            Ok(Some(reply)) => self.answer(slot, session, request, reply),
            Ok(None) => {}
            Err(fault) => self.refuse(slot, session, request, fault),
        }
    }

    fn begin_transfer(&mut self, slot: usize, transfer: TransferId) -> Outcome {
        let most = self.limits.session_transfers;
        let Some(connection) = self.table.get(slot) else { return Ok(None) };
        let transfers = &mut connection.long().transfers;
        if transfers.contains_key(&transfer) {
            let message = format!("transfer {transfer} was begun already; choose another number");
            return Err(Fault::new(ErrorCode::HandleInUse, message));
        }
        if transfers.len() >= most as usize {
            let message = format!(
                "a session sends at most {most} values in parts at a time (setting session-transfers); end some"
            );
            return Err(Fault::new(ErrorCode::TooManyTransfers, message));
        }
        // Where the disk can take nothing, those hear of it who send the parts and store the value: they may
        // have been sent by now, and are about a transfer that was begun.
        transfers.insert(transfer, Writer::new(&mut self.disk));
        Ok(Some(Reply::Done))
    }

    /// Takes a piece of a part that goes on as it comes, and whether it is the last.
    pub(super) fn take_piece(&mut self, slot: usize, session: SessionId, piece: Spooled) {
        let Some(Heading { head: Head::Part { transfer }, .. }) = Head::read(piece.header.opcode, &piece.head) else {
            return;
        };
        let request = piece.header.request;
        match self.take_part(slot, transfer, piece.bytes, piece.ends.then_some(request)) {
            Err(fault) if piece.ends => self.refuse(slot, session, request, fault),
            // Who asked hears of it at the end.
            _ => {}
        }
    }

    /// The request, where this is the last of it, is answered when the disk has the bytes.
    fn take_part(&mut self, slot: usize, transfer: TransferId, bytes: Bytes, request: Option<RequestId>) -> Outcome {
        let most = self.limits.value_bytes;
        let Some(connection) = self.table.get(slot) else { return Ok(None) };
        let asker = Asker { slot, serial: connection.serial, writer: 0, purpose: Purpose::Part(transfer, 0) };
        let long = connection.long();
        let writer = long.transfers.get_mut(&transfer).ok_or_else(|| unknown_transfer(transfer))?;
        let length = writer.len_bytes() + bytes.len() as u64;
        if length > most {
            let message = format!("a value has at most {most} bytes (setting value-size), this one {length} or more");
            writer.fail(Fault::new(ErrorCode::ValueTooLong, message));
        }
        long.transfer(&mut self.disk, transfer, bytes, request, asker).map(|()| None)
    }

    fn drop_transfer(&mut self, slot: usize, transfer: TransferId) -> Outcome {
        let Some(connection) = self.table.get(slot) else { return Ok(None) };
        if connection.long().drop_transfer(transfer) { Ok(Some(Reply::Done)) } else { Err(unknown_transfer(transfer)) }
    }

    fn read_part(&mut self, slot: usize, request: RequestId, id: ReadingId, offset: u64, max_bytes: u32) -> Outcome {
        let Some(connection) = self.table.get(slot) else { return Ok(None) };
        connection.outbox.prepare(&mut self.spare);
        let reading = connection.long.as_ref().and_then(|long| long.readings.get(id)).ok_or_else(|| unknown(id))?;
        let len = reading.len_bytes.saturating_sub(offset).min(max_bytes.into());
        connection.outbox.part(request, &reading.file, offset, u32::try_from(len).unwrap_or(max_bytes));
        self.flush_soon(slot);
        Ok(None)
    }

    fn close_reading(&mut self, slot: usize, id: ReadingId, give_back: bool) -> Outcome {
        let Some(connection) = self.table.get(slot) else { return Ok(None) };
        let closed = connection.long.as_mut().and_then(|long| long.readings.close(id)).ok_or_else(|| unknown(id))?;
        if let Some((variable, value)) = closed.fetched.filter(|_| give_back) {
            self.put_back(variable, value);
        }
        Ok(Some(Reply::Done))
    }

    fn put_back(&mut self, variable: VariableId, value: nws_proto::Grant<Stored>) {
        self.core.undelivered(variable, vec![value], &mut self.effects);
        self.carry_out(None);
    }
}

fn unknown(reading: ReadingId) -> Fault {
    let message = format!("reading {reading} is not open in this session; retrieve the value again");
    Fault::new(ErrorCode::UnknownHandle, message)
}
