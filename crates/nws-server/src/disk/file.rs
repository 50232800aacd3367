//! The file of one value, and the space that all of them share.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock};

use super::Job;
use crate::platform;

/// What values may take on disk, and what they take.
#[derive(Debug)]
pub(crate) struct Space {
    most_bytes: u64,
    used_bytes: AtomicU64,
    most_files: usize,
    files: AtomicUsize,
}

impl Space {
    pub(super) fn new(most_bytes: u64, most_files: usize) -> Self {
        Self { most_bytes, used_bytes: AtomicU64::new(0), most_files, files: AtomicUsize::new(0) }
    }

    /// The most files, where there are as many.
    pub(super) fn full_of_files(&self) -> Option<usize> {
        (self.files.load(Ordering::Acquire) >= self.most_files).then_some(self.most_files)
    }

    pub(crate) fn most_bytes(&self) -> u64 {
        self.most_bytes
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn left_bytes(&self) -> u64 {
        self.most_bytes.saturating_sub(self.used_bytes())
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
    /// One that takes no space yet; `jobs` closes it.
    pub(super) fn new(space: &Arc<Space>, jobs: Option<Sender<Job>>) -> Arc<Self> {
        space.files.fetch_add(1, Ordering::Relaxed);
        let space = Arc::clone(space);
        Arc::new(Self { file: OnceLock::new(), bytes: AtomicU64::new(0), space, jobs })
    }

    pub(super) fn open(&self, folder: &Path) -> io::Result<&File> {
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
        if let Some(file) = self.file.take()
            && let Some(jobs) = &self.jobs
        {
            // Where the thread is gone the file is closed here.
            let _ = jobs.send(Job::Close(file));
        }
        // Whoever takes its place opens a file later on the thread, and so when this one is closed.
        self.space.files.fetch_sub(1, Ordering::Release);
    }
}
