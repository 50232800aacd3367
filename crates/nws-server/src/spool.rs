//! A value on its way to the disk.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use nws_proto::{Fault, RequestId, TransferId};

use crate::disk::{Asker, Completed, Disk, Purpose, SpoolFile};
use crate::stored::Stored;

/// Writes one value, as its bytes come. Once something has failed the rest goes by.
#[derive(Debug)]
pub(crate) struct Writer {
    /// Tells its jobs from those of one that bore the same name before.
    number: u64,
    file: Result<Arc<SpoolFile>, Fault>,
    len_bytes: u64,
    /// What the disk has not confirmed, as [`crate::disk::Windows`] count it.
    outstanding_bytes: usize,
    /// Parts of a transfer that are not answered; of all but the last every piece has come.
    parts: VecDeque<Part>,
    last_part: u64,
    finished: bool,
}

/// A part of a transfer: one request, whose bytes may come in several pieces.
#[derive(Debug)]
struct Part {
    number: u64,
    /// How many the disk has not confirmed.
    pieces: usize,
    /// What is to be answered; known with the last piece.
    request: Option<RequestId>,
}

/// How a part ended.
pub(crate) type Answer = (RequestId, Result<(), Fault>);

impl Drop for Writer {
    fn drop(&mut self) {
        // Jobs that are not over hold the file.
        if let Ok(file) = &self.file
            && !self.finished
        {
            file.give_up();
        }
    }
}

impl Writer {
    pub(crate) fn new(disk: &mut Disk) -> Self {
        Self {
            number: disk.next_writer(),
            file: disk.file(),
            len_bytes: 0,
            outstanding_bytes: 0,
            parts: VecDeque::new(),
            last_part: 0,
            finished: false,
        }
    }

    /// Whether the job was this writer's.
    pub(crate) fn has_asked(&self, completed: &Completed) -> bool {
        completed.asker.writer == self.number
    }

    /// Sends the next bytes to the disk.
    pub(crate) fn put(&mut self, disk: &mut Disk, bytes: Bytes, asker: Asker) {
        let asker = Asker { writer: self.number, ..asker };
        let Ok(file) = &self.file else { return };
        if !file.reserve(bytes.len()) {
            return self.fail(disk.over_limit());
        }
        let offset = self.len_bytes;
        self.len_bytes += bytes.len() as u64;
        self.outstanding_bytes += disk.write(file, offset, bytes, asker);
    }

    /// Sends a piece of a part to the disk; the last one says which request is to be answered.
    ///
    /// # Errors
    /// Why the value is given up: no other answer will come.
    pub(crate) fn put_piece(
        &mut self,
        disk: &mut Disk,
        transfer: TransferId,
        bytes: Bytes,
        request: Option<RequestId>,
        asker: Asker,
    ) -> Result<(), Fault> {
        if self.parts.back().is_none_or(|part| part.request.is_some()) {
            self.last_part += 1;
            self.parts.push_back(Part { number: self.last_part, pieces: 0, request: None });
        }
        self.put(disk, bytes, Asker { purpose: Purpose::Part(transfer, self.last_part), ..asker });
        if let Err(fault) = &self.file {
            if request.is_some() {
                self.parts.pop_back();
            }
            return Err(fault.clone());
        }
        if let Some(part) = self.parts.back_mut() {
            part.pieces += 1;
            part.request = request;
        }
        Ok(())
    }

    /// A job of this writer is over; the answer to who sent the part, where this was the last of it.
    pub(crate) fn completed(&mut self, disk: &Disk, completed: &Completed) -> Option<Answer> {
        self.outstanding_bytes -= completed.window_bytes;
        if let Err(error) = &completed.result {
            self.fail(disk.failed(error));
        }
        let Purpose::Part(_, number) = completed.asker.purpose else { return None };
        // A part that failed at its last piece was answered then.
        let place = self.parts.iter().position(|part| part.number == number)?;
        let part = self.parts.get_mut(place)?;
        part.pieces -= 1;
        let request = part.request.filter(|_| part.pieces == 0)?;
        self.parts.remove(place);
        Some((request, self.fault().map_or(Ok(()), |fault| Err(fault.clone()))))
    }

    /// Nobody will store the value: its space is free, though some of it may be on its way to the disk.
    pub(crate) fn give_up(&self) {
        if let Ok(file) = &self.file {
            file.give_up();
        }
    }

    /// The value is given up for this reason, if it was not for another; its file goes.
    pub(crate) fn fail(&mut self, fault: Fault) {
        if let Ok(file) = &self.file {
            file.give_up();
            self.file = Err(fault);
        }
    }

    pub(crate) fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// Why the value is given up, where it is.
    pub(crate) fn fault(&self) -> Option<&Fault> {
        self.file.as_ref().err()
    }

    /// What the disk has not confirmed, as its windows count it.
    pub(crate) fn outstanding_bytes(&self) -> usize {
        self.outstanding_bytes
    }

    /// The value, which is to be complete and confirmed.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn finish(mut self) -> Result<Stored, Fault> {
        let file = match &self.file {
            // There would be nothing to read.
            Ok(_) if self.len_bytes == 0 => return Ok(Stored::Memory(Bytes::new())),
            Ok(file) => Arc::clone(file),
            Err(fault) => return Err(fault.clone()),
        };
        self.finished = true;
        Ok(Stored::Disk { file, len_bytes: self.len_bytes })
    }
}
