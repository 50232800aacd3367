//! A value on its way to the disk.

use std::sync::Arc;

use bytes::Bytes;
use nws_proto::Fault;

use crate::disk::{Asker, Completed, Disk, SpoolFile};
use crate::stored::Stored;

/// Writes one value, as its bytes come. Once something has failed the rest goes by.
#[derive(Debug)]
pub(crate) struct Writer {
    /// Tells its jobs from those of one that bore the same name before.
    number: u64,
    file: Result<Arc<SpoolFile>, Fault>,
    len_bytes: u64,
    /// What the disk has not confirmed.
    outstanding_bytes: usize,
    finished: bool,
}

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
        Self { number: disk.next_writer(), file: disk.file(), len_bytes: 0, outstanding_bytes: 0, finished: false }
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
        self.outstanding_bytes += bytes.len();
        disk.write(file, offset, bytes, asker);
    }

    /// A job is over; it may be another's.
    pub(crate) fn completed(&mut self, disk: &Disk, completed: &Completed) {
        if completed.asker.writer != self.number {
            return;
        }
        self.outstanding_bytes -= completed.written_bytes;
        if let Err(error) = &completed.result {
            self.fail(disk.failed(error));
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

    /// What the disk has not confirmed, in bytes.
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
