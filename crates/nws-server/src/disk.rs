//! Files for values that are too long for memory, and the thread that reads and writes them.
//!
//! The event loop never touches the disk: it hands jobs to one thread, which is started with the first
//! of them, and hears of their ends through its waker. How many bytes are on their way to the thread
//! is bounded by who asks: [`WINDOW_BYTES`] for a connection, [`WINDOWS_BYTES`] for all.
//!
//! A file has no name, so nothing is left of it when the process ends, however it ends. It is closed,
//! which can take long, on the thread too.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use bytes::Bytes;
use nws_proto::{ErrorCode, Fault, RequestId, TransferId};

use crate::platform;
use crate::server::Shared;

/// Most bytes of one connection that may be on their way to the disk before it is read from no more.
pub(crate) const WINDOW_BYTES: usize = 4 << 20;
/// The same of all connections.
pub(crate) const WINDOWS_BYTES: usize = 32 << 20;
/// The part of all descriptors that files of values may take.
const DESCRIPTORS_PART: u64 = 2;

/// What a job was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A value of which the frame or classic request has not come whole.
    Spool,
    /// A piece of a transfer; this request is to be answered then.
    Transfer(TransferId, Option<RequestId>),
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
    /// How many bytes were asked to be written; 0 for a read.
    pub(crate) written_bytes: usize,
    /// What was read; nothing for a write.
    pub(crate) result: io::Result<Bytes>,
}

#[derive(Debug)]
enum Job {
    Write { file: Arc<SpoolFile>, offset: u64, bytes: Bytes, asker: Asker },
    Read { file: Arc<SpoolFile>, offset: u64, len: usize, asker: Asker },
    Close(Open),
}

/// What values may take on disk, and what they take.
#[derive(Debug)]
pub(crate) struct Space {
    most_bytes: u64,
    used_bytes: AtomicU64,
    most_files: usize,
    files: AtomicUsize,
}

impl Space {
    pub(crate) fn most_bytes(&self) -> u64 {
        self.most_bytes
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    fn left_bytes(&self) -> u64 {
        self.most_bytes.saturating_sub(self.used_bytes())
    }
}

/// An open file, which counts as one until it is closed.
#[derive(Debug)]
struct Open {
    file: Option<File>,
    space: Arc<Space>,
}

impl Drop for Open {
    fn drop(&mut self) {
        drop(self.file.take());
        self.space.files.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The file of one value. It is opened when its first bytes are written.
#[derive(Debug)]
pub(crate) struct SpoolFile {
    /// Set by the thread that writes.
    file: OnceLock<File>,
    bytes: AtomicU64,
    space: Arc<Space>,
    /// `None` where there is no thread.
    jobs: Option<Sender<Job>>,
}

impl SpoolFile {
    fn open(&self, folder: &Path) -> io::Result<&File> {
        if self.file.get().is_none() {
            // Only the thread that writes comes here, so nobody is overtaken.
            let _ = self.file.set(platform::open_unnamed(folder)?);
        }
        self.file.get().ok_or_else(|| io::Error::other("the file is not open"))
    }

    /// What was counted counts no more: nobody will see it. The file is closed before what is written from
    /// now on, or soon after, so space that comes back may be used at once.
    pub(crate) fn give_up(&self) {
        let bytes = self.bytes.swap(0, Ordering::Relaxed);
        self.space.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Counts bytes that are to be written. False: there is no space for them.
    pub(crate) fn reserve(&self, bytes: usize) -> bool {
        let bytes = bytes as u64;
        if bytes > self.space.left_bytes() {
            return false;
        }
        self.space.used_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        true
    }
}

impl Drop for SpoolFile {
    fn drop(&mut self) {
        self.give_up();
        let open = Open { file: self.file.take(), space: Arc::clone(&self.space) };
        if let Some(jobs) = self.jobs.as_ref().filter(|_| open.file.is_some()) {
            // Where the thread is gone the file is closed here.
            let _ = jobs.send(Job::Close(open));
        }
    }
}

/// Jobs that are over, and who is to be woken for them.
#[derive(Debug)]
struct Ends {
    completed: Mutex<Vec<Completed>>,
    shared: Arc<Shared>,
}

impl Ends {
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

/// The loop's side of the disk.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: PathBuf,
    space: Arc<Space>,
    ends: Arc<Ends>,
    jobs: Option<Sender<Job>>,
    /// Jobs are done at once, by who asks: for simulations, where no thread may choose the order.
    inline: bool,
    /// The number of the last writer.
    writers: u64,
    /// Jobs that are not over.
    jobs_open: usize,
    /// Bytes that are on their way to the disk.
    writing_bytes: usize,
}

impl Disk {
    /// Values go to `folder`, and may take `most_bytes` there: where that is not said, nine tenths of
    /// what is free there now.
    pub(crate) fn new(folder: PathBuf, most_bytes: Option<u64>, shared: Arc<Shared>) -> Self {
        let most_bytes = most_bytes.unwrap_or_else(|| platform::free_bytes(&folder).unwrap_or(0) / 10 * 9);
        let most_files = usize::try_from(platform::descriptor_limit() / DESCRIPTORS_PART).unwrap_or(usize::MAX);
        let space =
            Arc::new(Space { most_bytes, used_bytes: AtomicU64::new(0), most_files, files: AtomicUsize::new(0) });
        let ends = Arc::new(Ends { completed: Mutex::default(), shared });
        Self { folder, space, ends, jobs: None, inline: false, writers: 0, jobs_open: 0, writing_bytes: 0 }
    }

    /// The same without a thread.
    #[cfg(feature = "simulation")]
    pub(crate) fn inline(self) -> Self {
        Self { inline: true, ..self }
    }

    pub(crate) fn space(&self) -> &Space {
        &self.space
    }

    /// Bytes that are on their way to the disk.
    pub(crate) fn writing_bytes(&self) -> usize {
        self.writing_bytes
    }

    /// Whether a value of this length could be written, as far as is known now.
    ///
    /// # Errors
    /// `DiskFull`.
    pub(crate) fn check_room(&self, len_bytes: u64) -> Result<(), Fault> {
        let left_bytes = self.space.left_bytes();
        if len_bytes > left_bytes {
            return Err(self.no_room(format!(
                "expected at most {left_bytes} bytes, the room left for long values on disk, got {len_bytes}"
            )));
        }
        Ok(())
    }

    /// The fault of who stores what cannot be written.
    pub(crate) fn failed(&self, error: &io::Error) -> Fault {
        self.no_room(format!("the value cannot be written to {}: {error}", self.folder.display()))
    }

    /// The same where the limit stands against it.
    pub(crate) fn over_limit(&self) -> Fault {
        self.no_room(format!("long values take {} bytes of the disk already", self.space.used_bytes()))
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
        let most = self.space.most_files;
        if self.space.files.load(Ordering::Relaxed) >= most {
            let what =
                format!("there are {most} long values already, each with a descriptor of this process (ulimit -n)");
            return Err(self.no_room(what));
        }
        let jobs = match self.jobs() {
            Ok(jobs) => jobs,
            Err(error) => return Err(self.failed(&error)),
        };
        self.space.files.fetch_add(1, Ordering::Relaxed);
        let space = Arc::clone(&self.space);
        Ok(Arc::new(SpoolFile { file: OnceLock::new(), bytes: AtomicU64::new(0), space, jobs }))
    }

    /// A number that no other writer has.
    pub(crate) fn next_writer(&mut self) -> u64 {
        self.writers += 1;
        self.writers
    }

    fn jobs(&mut self) -> io::Result<Option<Sender<Job>>> {
        if self.jobs.is_none() && !self.inline {
            let (jobs, queue) = mpsc::channel();
            let (ends, folder) = (Arc::clone(&self.ends), self.folder.clone());
            thread::Builder::new().name("nws-disk".to_owned()).spawn(move || work(&queue, &ends, &folder))?;
            self.jobs = Some(jobs);
        }
        Ok(self.jobs.clone())
    }

    /// Writes these bytes, which were reserved, at this place of a file.
    pub(crate) fn write(&mut self, file: &Arc<SpoolFile>, offset: u64, bytes: Bytes, asker: Asker) {
        self.writing_bytes += bytes.len();
        self.ask(Job::Write { file: Arc::clone(file), offset, bytes, asker });
    }

    /// Reads so many bytes, which are there.
    pub(crate) fn read(&mut self, file: &Arc<SpoolFile>, offset: u64, len: usize, asker: Asker) {
        self.ask(Job::Read { file: Arc::clone(file), offset, len, asker });
    }

    fn ask(&mut self, job: Job) {
        self.jobs_open += 1;
        let job = match &self.jobs {
            Some(jobs) => match jobs.send(job) {
                Ok(()) => return,
                // The thread has panicked, which is a defect; the values that it would have taken fail.
                Err(mpsc::SendError(job)) => job,
            },
            None => job,
        };
        do_job(job, &self.ends, &self.folder);
    }

    /// Whether there may be something to be told of.
    pub(crate) fn is_busy(&self) -> bool {
        self.jobs_open > 0
    }

    /// Whether jobs are over that nobody was told of: without a thread nobody wakes the loop.
    pub(crate) fn has_completed(&self) -> bool {
        self.inline && self.jobs_open > 0
    }

    /// What is over.
    pub(crate) fn completed(&mut self) -> Vec<Completed> {
        let completed = std::mem::take(&mut *self.ends.completed.lock().unwrap_or_else(PoisonError::into_inner));
        self.jobs_open -= completed.len();
        self.writing_bytes -= completed.iter().map(|one| one.written_bytes).sum::<usize>();
        completed
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
            let written_bytes = bytes.len();
            // Before the loop hears of it: whoever waits for the end of a job may ask what is in use.
            drop((bytes, file));
            ends.add(Completed { asker, written_bytes, result: result.map(|()| Bytes::new()) });
        }
        Job::Read { file, offset, len, asker } => {
            let mut buffer = vec![0; len];
            let result = file.open(folder).and_then(|file| file.read_exact_at(&mut buffer, offset));
            drop(file);
            ends.add(Completed { asker, written_bytes: 0, result: result.map(|()| buffer.into()) });
        }
        Job::Close(open) => drop(open),
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
        (Disk::new(folder.to_owned(), Some(most_bytes), Arc::new(Shared::new(waker, None, false))), poll)
    }

    fn next(disk: &mut Disk, poll: &mut mio::Poll) -> Completed {
        let until = Instant::now() + Duration::from_secs(20);
        let mut events = mio::Events::with_capacity(1);
        loop {
            assert!(Instant::now() < until, "the disk thread says nothing");
            if let Some(completed) = disk.completed().pop() {
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
        assert_eq!(disk.writing_bytes(), 5);
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
