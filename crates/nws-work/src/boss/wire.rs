//! How instructions come to a worker, and its report back: in memory without a name, which no process
//! has to read in time, and of which nothing is left when a process dies.
//!
//! The instructions begin with the core to run on, as a number of 32 bits, or all ones. The report
//! begins with the length of what follows, plus one, in 64 bits, and a byte that is 0 for a failure; it
//! is written last, so that a report is whole or is none.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::control::WORKER_LINK_FD;

/// Where a worker finds its instructions.
pub(super) const INSTRUCTIONS_FD: RawFd = WORKER_LINK_FD;
/// Where it leaves its report.
pub(super) const REPORT_FD: RawFd = INSTRUCTIONS_FD + 1;
/// No core in particular.
const ANY_CORE: u32 = u32::MAX;
const HEAD_BYTES: usize = 9;

/// The instructions of one worker.
pub(super) fn instructions(core: Option<u32>, bytes: &[u8]) -> io::Result<File> {
    let mut file = memory()?;
    file.write_all(&core.unwrap_or(ANY_CORE).to_le_bytes())?;
    file.write_all(bytes)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

/// Where a report is to come.
pub(super) fn memory() -> io::Result<File> {
    Ok(File::from(memfd_create("nws-boss", MemfdFlags::CLOEXEC)?))
}

/// What a worker left: whether it is a report rather than a failure, and its bytes.
pub(super) fn report(file: &File) -> io::Result<Option<(bool, Vec<u8>)>> {
    let mut head = [0; HEAD_BYTES];
    if file.read_at(&mut head, 0)? < HEAD_BYTES {
        return Ok(None);
    }
    let (length, is_report) = split(head);
    // The length is that of bytes that are there, before room is made for them.
    let there = file.metadata()?.len().saturating_sub(HEAD_BYTES as u64);
    let Some(length) = length.checked_sub(1).filter(|length| *length <= there) else { return Ok(None) };
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, HEAD_BYTES as u64)?;
    Ok(Some((is_report, bytes)))
}

fn split(head: [u8; HEAD_BYTES]) -> (u64, bool) {
    let [l0, l1, l2, l3, l4, l5, l6, l7, kind] = head;
    (u64::from_le_bytes([l0, l1, l2, l3, l4, l5, l6, l7]), kind != 0)
}

fn leave(file: &File, is_report: bool, bytes: &[u8]) -> io::Result<()> {
    file.write_all_at(bytes, HEAD_BYTES as u64)?;
    let mut head = (bytes.len() as u64 + 1).to_le_bytes().to_vec();
    head.push(u8::from(is_report));
    file.write_all_at(&head, 0)
}

/// A worker's side: its instructions, and where its report goes.
#[derive(Debug)]
pub struct Hired {
    /// The bytes of its instructions.
    pub instructions: Vec<u8>,
    report: File,
}

impl Hired {
    /// Takes what this process was started with, and goes to its core where it has one.
    ///
    /// # Errors
    /// The system refuses.
    ///
    /// # Safety
    /// A Boss has started this process, and this is called once: it takes the descriptors that the Boss
    /// has handed over, which nothing else in this process may have.
    pub unsafe fn receive() -> io::Result<Self> {
        let [mut instructions, report] = [INSTRUCTIONS_FD, REPORT_FD].map(|number| {
            // SAFETY: as the caller promises.
            File::from(unsafe { OwnedFd::from_raw_fd(number) })
        });
        for file in [&instructions, &report] {
            fcntl_setfd(file, FdFlags::CLOEXEC)?;
        }
        let mut core = [0; 4];
        instructions.read_exact(&mut core)?;
        let mut bytes = Vec::new();
        instructions.read_to_end(&mut bytes)?;
        let core = u32::from_le_bytes(core);
        if core != ANY_CORE {
            go_to(core)?;
        }
        Ok(Self { instructions: bytes, report })
    }

    /// Leaves the report.
    ///
    /// # Errors
    /// No memory is left.
    pub fn report(&self, bytes: &[u8]) -> io::Result<()> {
        leave(&self.report, true, bytes)
    }

    /// Leaves a failure instead.
    ///
    /// # Errors
    /// As for [`Hired::report`].
    pub fn fail(&self, bytes: &[u8]) -> io::Result<()> {
        leave(&self.report, false, bytes)
    }
}

fn go_to(core: u32) -> io::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core as usize);
    Ok(sched_setaffinity(None, &cores)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_whole_or_none() {
        let file = memory().unwrap();
        assert_eq!(report(&file).unwrap(), None);
        file.write_all_at(b"a report", HEAD_BYTES as u64).unwrap();
        assert_eq!(report(&file).unwrap(), None, "its length is not there yet");
        leave(&file, true, b"a report").unwrap();
        assert_eq!(report(&file).unwrap(), Some((true, b"a report".to_vec())));
        let file = memory().unwrap();
        leave(&file, false, b"").unwrap();
        assert_eq!(report(&file).unwrap(), Some((false, Vec::new())));
    }

    #[test]
    fn a_length_that_lies_takes_no_memory() {
        let file = memory().unwrap();
        leave(&file, true, b"short").unwrap();
        file.write_all_at(&u64::MAX.to_le_bytes(), 0).unwrap();
        assert_eq!(report(&file).unwrap(), None);
    }

    #[test]
    fn instructions_begin_with_the_core() {
        let mut bytes = Vec::new();
        instructions(Some(3), b"x").unwrap().read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"\x03\0\0\0x");
    }
}
