//! Files for values that are too long for memory, and the thread that reads and writes them.
//!
//! The event loop never touches the disk: it hands jobs to one thread, which is started with the first
//! of them, and hears of their ends through its waker. How many bytes are on their way to the thread
//! is bounded by who asks: see [`Windows`].
//!
//! A file has no name, so nothing is left of it when the process ends, however it ends. It is closed,
//! which can take long, on the thread too.

#[cfg(feature = "simulation")]
mod driven;
mod file;
mod windows;

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use bytes::Bytes;
use nws_proto::{ErrorCode, Fault, TransferId};

use crate::platform;
use crate::server::Shared;
pub(crate) use file::{Space, SpoolFile};
pub(crate) use windows::Windows;

/// What a job was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A value of which the frame or classic request has not come whole.
    Spool,
    /// A piece of this part of a transfer.
    Part(TransferId, u64),
    /// What is to be sent.
    Read,
}

/// Whose job it is. The serial number tells whether the slot still has the same connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    pub(crate) slot: usize,
    pub(crate) serial: u64,
    /// Which [`crate::spool::Writer`] it is for; 0 for a read.
    pub(crate) writer: u64,
    pub(crate) purpose: Purpose,
}

/// A job that is over.
#[derive(Debug)]
pub(crate) struct Completed {
    pub(crate) asker: Asker,
    /// What it took of the windows; 0 for a read.
    pub(crate) window_bytes: usize,
    /// What was read; nothing for a write.
    pub(crate) result: io::Result<Bytes>,
}

#[derive(Debug)]
enum Job {
    Write { file: Arc<SpoolFile>, offset: u64, bytes: Bytes, asker: Asker },
    Read { file: Arc<SpoolFile>, offset: u64, len: usize, asker: Asker },
    Close(File),
}

/// Jobs that are over, and who is to be woken for them.
#[derive(Debug)]
struct Ends {
    completed: Mutex<Vec<Completed>>,
    shared: Arc<Shared>,
}

impl Ends {
    #[cfg(feature = "simulation")]
    fn are_there(&self) -> bool {
        !self.completed.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn add(&self, completed: Completed) {
        let mut ends = self.completed.lock().unwrap_or_else(PoisonError::into_inner);
        let first = ends.is_empty();
        ends.push(completed);
        drop(ends);
        if first {
            self.shared.wake();
        }
    }
}

/// Who does the jobs.
#[derive(Debug)]
enum Worker {
    /// A thread that is not started yet.
    Nobody,
    Thread(Sender<Job>),
    /// Whoever simulates: no thread may choose the order there.
    #[cfg(feature = "simulation")]
    Driver(driven::Waiting),
}

/// The loop's side of the disk.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: PathBuf,
    space: Arc<Space>,
    windows: Windows,
    ends: Arc<Ends>,
    worker: Worker,
    /// The number of the last writer.
    writers: u64,
    /// Jobs that are over and of which nobody was told yet.
    told: VecDeque<Completed>,
    /// Jobs of which nobody was told that they are over.
    jobs_open: usize,
    /// What is on its way to the disk, as the windows count it.
    writing_bytes: usize,
}

impl Disk {
    /// Values go to `folder`, and may take so much there and on the way: where the first is not said, nine
    /// tenths of what is free there now. There may be so many of them.
    pub(crate) fn new(
        folder: PathBuf,
        most_bytes: Option<u64>,
        values_bytes: u64,
        most_files: usize,
        shared: Arc<Shared>,
    ) -> Self {
        let most_bytes = most_bytes.unwrap_or_else(|| platform::free_bytes(&folder).unwrap_or(0) / 10 * 9);
        Self {
            folder,
            space: Arc::new(Space::new(most_bytes, most_files)),
            windows: Windows::of(values_bytes),
            ends: Arc::new(Ends { completed: Mutex::default(), shared }),
            worker: Worker::Nobody,
            writers: 0,
            told: VecDeque::new(),
            jobs_open: 0,
            writing_bytes: 0,
        }
    }

    pub(crate) fn windows(&self) -> Windows {
        self.windows
    }

    /// Whether all connections together send faster than the disk takes.
    pub(crate) fn is_full(&self) -> bool {
        self.writing_bytes >= self.windows.writing_bytes
    }

    pub(crate) fn space(&self) -> &Space {
        &self.space
    }

    /// What is on its way to the disk, as the windows count it.
    pub(crate) fn writing_bytes(&self) -> usize {
        self.writing_bytes
    }

    /// Whether a value of this length could be written, as far as is known now.
    ///
    /// # Errors
    /// `DiskFull`.
    pub(crate) fn check_room(&self, len_bytes: u64) -> Result<(), Fault> {
        self.check_files()?;
        let left_bytes = self.space.left_bytes();
        if len_bytes > left_bytes {
            return Err(self.no_room(format!(
                "expected at most {left_bytes} bytes, the room left for long values on disk, got {len_bytes}"
            )));
        }
        Ok(())
    }

    fn check_files(&self) -> Result<(), Fault> {
        let Some(most) = self.space.full_of_files() else { return Ok(()) };
        let limit = platform::descriptor_limit();
        Err(self.no_room(format!(
            "expected at most {most} long values, got one more: each takes one of the {limit} descriptors (ulimit -n), \
             of which the others are for connections (setting connections)"
        )))
    }

    /// The fault of who stores what cannot be written.
    pub(crate) fn failed(&self, error: &io::Error) -> Fault {
        self.no_room(format!("the value cannot be written to {}: {error}", self.folder.display()))
    }

    /// The same where the limit stands against it.
    pub(crate) fn over_limit(&self) -> Fault {
        self.no_room(format!("long values take {} bytes of the disk already", self.space.used_bytes()))
    }

    /// The fault of who asks for what cannot be read.
    pub(crate) fn unreadable(&self, error: &io::Error) -> Fault {
        let folder = self.folder.display();
        let message = format!(
            "the value cannot be read from its file in {folder} (setting tmp-dir): {error}; look after the disk, and \
             ask again or delete the value"
        );
        Fault::new(ErrorCode::DiskFailed, message)
    }

    fn no_room(&self, what: String) -> Fault {
        let message = format!("{what} (settings values-disk and tmp-dir); fetch or delete long values, or free space");
        Fault::new(ErrorCode::DiskFull, message)
    }

    /// A file for one value.
    ///
    /// # Errors
    /// `DiskFull` where there are too many, or no thread can be started.
    pub(crate) fn file(&mut self) -> Result<Arc<SpoolFile>, Fault> {
        self.check_files()?;
        match self.jobs() {
            Ok(jobs) => Ok(SpoolFile::new(&self.space, jobs)),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// A number that no other writer has.
    pub(crate) fn next_writer(&mut self) -> u64 {
        self.writers += 1;
        self.writers
    }

    /// Where jobs go, where that is a thread.
    fn jobs(&mut self) -> io::Result<Option<Sender<Job>>> {
        match &self.worker {
            Worker::Thread(jobs) => Ok(Some(jobs.clone())),
            #[cfg(feature = "simulation")]
            Worker::Driver(_) => Ok(None),
            Worker::Nobody => {
                let (jobs, queue) = mpsc::channel();
                let (ends, folder) = (Arc::clone(&self.ends), self.folder.clone());
                thread::Builder::new().name("nws-disk".to_owned()).spawn(move || work(&queue, &ends, &folder))?;
                self.worker = Worker::Thread(jobs.clone());
                Ok(Some(jobs))
            }
        }
    }

    /// Writes these bytes, which were reserved, at this place of a file. Says what that takes of the windows.
    pub(crate) fn write(&mut self, file: &Arc<SpoolFile>, offset: u64, bytes: Bytes, asker: Asker) -> usize {
        let window_bytes = Windows::taken_by(bytes.len());
        self.writing_bytes += window_bytes;
        self.ask(Job::Write { file: Arc::clone(file), offset, bytes, asker });
        window_bytes
    }

    /// Reads so many bytes, which are there.
    pub(crate) fn read(&mut self, file: &Arc<SpoolFile>, offset: u64, len: usize, asker: Asker) {
        self.ask(Job::Read { file: Arc::clone(file), offset, len, asker });
    }

    fn ask(&mut self, job: Job) {
        self.jobs_open += 1;
        let job = match &mut self.worker {
            Worker::Thread(jobs) => match jobs.send(job) {
                Ok(()) => return,
                // The thread has panicked, which is a defect; the values that it would have taken fail.
                Err(mpsc::SendError(job)) => job,
            },
            #[cfg(feature = "simulation")]
            Worker::Driver(waiting) => match waiting.add(job) {
                None => return,
                Some(job) => job,
            },
            Worker::Nobody => job,
        };
        do_job(job, &self.ends, &self.folder);
    }

    /// Whether there may be something to be told of.
    pub(crate) fn is_busy(&self) -> bool {
        self.jobs_open > 0
    }

    /// Whether jobs are over of which the loop is to hear though nobody wakes it.
    pub(crate) fn has_completed(&self) -> bool {
        !self.told.is_empty()
            || match self.worker {
                #[cfg(feature = "simulation")]
                Worker::Driver(_) => self.ends.are_there(),
                _ => false,
            }
    }

    /// What is over, the next one.
    pub(crate) fn completed(&mut self) -> Option<Completed> {
        if self.told.is_empty() {
            self.told = std::mem::take(&mut *self.ends.completed.lock().unwrap_or_else(PoisonError::into_inner)).into();
        }
        let completed = self.told.pop_front()?;
        self.jobs_open -= 1;
        self.writing_bytes -= completed.window_bytes;
        Some(completed)
    }
}

fn work(queue: &Receiver<Job>, ends: &Ends, folder: &Path) {
    // It ends when the loop and all files are gone.
    while let Ok(job) = queue.recv() {
        do_job(job, ends, folder);
    }
}

fn do_job(job: Job, ends: &Ends, folder: &Path) {
    match job {
        Job::Write { file, offset, bytes, asker } => {
            let result = file.open(folder).and_then(|file| file.write_all_at(&bytes, offset));
            let window_bytes = Windows::taken_by(bytes.len());
            // Before the loop hears of it: whoever waits for the end of a job may ask what is in use.
            drop((bytes, file));
            ends.add(Completed { asker, window_bytes, result: result.map(|()| Bytes::new()) });
        }
        Job::Read { file, offset, len, asker } => {
            let mut buffer = vec![0; len];
            let result = file.open(folder).and_then(|file| file.read_exact_at(&mut buffer, offset));
            drop(file);
            ends.add(Completed { asker, window_bytes: 0, result: result.map(|()| buffer.into()) });
        }
        Job::Close(file) => drop(file),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    const ASKER: Asker = Asker { slot: 0, serial: 0, writer: 0, purpose: Purpose::Spool };

    fn disk(folder: &Path, most_bytes: u64) -> (Disk, mio::Poll) {
        let poll = mio::Poll::new().unwrap();
        let waker = mio::Waker::new(poll.registry(), mio::Token(0)).unwrap();
        (Disk::new(folder.to_owned(), Some(most_bytes), 1 << 30, 10, Arc::new(Shared::new(waker, None, false))), poll)
    }

    fn next(disk: &mut Disk, poll: &mut mio::Poll) -> Completed {
        let until = Instant::now() + Duration::from_secs(20);
        let mut events = mio::Events::with_capacity(1);
        loop {
            assert!(Instant::now() < until, "the disk thread says nothing");
            if let Some(completed) = disk.completed() {
                return completed;
            }
            poll.poll(&mut events, Some(Duration::from_secs(1))).unwrap();
        }
    }

    #[test]
    fn what_is_written_is_read_and_leaves_nothing_in_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (mut disk, mut poll) = disk(folder.path(), 100);
        let file = disk.file().unwrap();
        assert!(file.reserve(5));
        disk.write(&file, 0, Bytes::from_static(b"seven"), ASKER);
        assert!(disk.writing_bytes() > 5, "the job counts as well");
        assert!(next(&mut disk, &mut poll).result.is_ok());
        assert_eq!((disk.writing_bytes(), disk.is_busy()), (0, false));
        disk.read(&file, 1, 3, ASKER);
        assert_eq!(next(&mut disk, &mut poll).result.unwrap(), "eve");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn space_comes_back_with_the_last_handle() {
        let folder = tempfile::tempdir().unwrap();
        let (mut disk, mut poll) = disk(folder.path(), 100);
        let file = disk.file().unwrap();
        assert!(file.reserve(100));
        assert!(!file.reserve(1), "there are 100");
        assert_eq!(disk.check_room(1).unwrap_err().code, ErrorCode::DiskFull);
        disk.write(&file, 0, vec![7; 100].into(), ASKER);
        next(&mut disk, &mut poll);
        drop(file);
        // The file is closed on the thread, before it does what it is asked next.
        let other = disk.file().unwrap();
        disk.read(&other, 0, 0, ASKER);
        next(&mut disk, &mut poll);
        assert_eq!(disk.space().used_bytes(), 0);
        assert!(disk.check_room(100).is_ok());
    }

    #[test]
    fn a_folder_that_is_not_there_is_the_fault_of_a_full_disk() {
        let folder = tempfile::tempdir().unwrap();
        let (mut disk, mut poll) = disk(&folder.path().join("gone"), 100);
        let file = disk.file().unwrap();
        disk.write(&file, 0, Bytes::from_static(b"x"), ASKER);
        let error = next(&mut disk, &mut poll).result.unwrap_err();
        let fault = disk.failed(&error);
        assert_eq!(fault.code, ErrorCode::DiskFull);
        assert!(fault.message.contains("gone") && fault.message.contains("tmp-dir"), "{}", fault.message);
    }
}
