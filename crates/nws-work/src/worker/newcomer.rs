//! The first steps of a worker process.

use std::io::{self, BufReader, Read};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Worker;
use crate::control::{
    Bootstrap, FromWorker, ToWorker, WORKER_CAPTURE_FDS, WORKER_LINK_FD, WORKER_PAGE_FD, read_message, write_message,
};
use crate::error::WorkError;
use crate::page::Page;

/// The descriptors that [`WORKER_CAPTURE_FDS`] names.
pub type CaptureEnds = [OwnedFd; 4];

/// A worker process that knows its server and has not connected yet.
#[derive(Debug)]
pub struct Newcomer {
    bootstrap: Bootstrap,
    link: BufReader<UnixStream>,
    page: Page,
    capture: Option<CaptureEnds>,
}

/// A worker that has connected and is being set up: it gets no tasks yet.
#[derive(Debug)]
pub struct Joining {
    /// What the host said.
    pub bootstrap: Bootstrap,
    /// The worker.
    pub worker: Worker,
    /// To the host.
    word: Mutex<UnixStream>,
    capture: Mutex<Option<CaptureEnds>>,
}

impl Newcomer {
    /// Takes the descriptors that the host hands to every worker, and waits for its word; `None`
    /// where the sleigh was stopped before. To be called once in a process, before anything else
    /// is opened.
    ///
    /// # Errors
    /// The process is no worker, or has been made one already.
    pub fn receive() -> io::Result<Option<Newcomer>> {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        if TAKEN.swap(true, Ordering::Relaxed) {
            return Err(io::Error::other("this process has been made a worker already"));
        }
        // SAFETY: the host hands these two descriptors to every worker that it starts, and nothing
        // else in the process has taken them: this is the first thing that a worker does, and it
        // does it once.
        let (link, page) = unsafe { (OwnedFd::from_raw_fd(WORKER_LINK_FD), OwnedFd::from_raw_fd(WORKER_PAGE_FD)) };
        close_on_exec(&link)?;
        close_on_exec(&page)?;
        let mut link = BufReader::new(UnixStream::from(link));
        let Some(bootstrap) = read_message::<Bootstrap>(&mut link)? else { return Ok(None) };
        let capture = if bootstrap.captures { Some(capture_descriptors()?) } else { None };
        Ok(Some(Newcomer { bootstrap, link, page: Page::map(&page)?, capture }))
    }

    /// What the host said.
    pub fn bootstrap(&self) -> &Bootstrap {
        &self.bootstrap
    }

    /// Whether the host has said that the group is closed, so that this worker is to end.
    pub fn is_too_late(&mut self) -> bool {
        let mut watched = [PollFd::new(self.link.get_ref(), PollFlags::IN)];
        let readable = matches!(poll(&mut watched, Some(&Timespec::default())), Ok(1..));
        // A link that has ended is another matter.
        (readable || !self.link.buffer().is_empty())
            && matches!(read_message(&mut self.link), Ok(Some(ToWorker::TooLate)))
    }

    /// Connects. The worker ends when the host says so, as soon as no task runs.
    ///
    /// # Errors
    /// Those of [`Worker::connect`], which the host has been told then, and those of the system.
    pub fn connect(mut self) -> Result<Joining, WorkError> {
        let worker = match Worker::connect(&self.bootstrap, self.page) {
            Ok(worker) => worker,
            Err(error) => {
                tell_failure(self.link.get_mut(), &error.to_string(), false);
                return Err(error);
            }
        };
        let word = self.link.get_ref().try_clone()?;
        let end = worker.ender();
        let mut link = self.link;
        std::thread::Builder::new().name("nws-link".into()).spawn(move || {
            // Only who is too late is told more, and is ended as well: the link's end is the word to go.
            let _ = link.read_to_end(&mut Vec::new());
            end("the sleigh was stopped");
        })?;
        let capture = Mutex::new(self.capture);
        Ok(Joining { bootstrap: self.bootstrap, worker, word: Mutex::new(word), capture })
    }

    /// Tells the host why this worker cannot work; another may.
    pub fn fail(mut self, message: &str) {
        tell_failure(self.link.get_mut(), message, false);
    }
}

impl Joining {
    /// The worker is set up: tells the host, and asks for tasks.
    pub fn set_ready(&self) {
        self.worker.set_ready();
        let session = self.worker.connection().session().0;
        // A host that has gone ends this worker.
        let _ = write_message(&mut *self.word(), &FromWorker::Joined { session });
    }

    /// Tells the host why neither this worker nor another of its rank can work.
    pub fn fail(&self, message: &str) {
        tell_failure(&mut self.word(), message, true);
    }

    /// The descriptors for what is captured, where the host gave any; once.
    pub fn take_capture(&self) -> Option<CaptureEnds> {
        self.capture.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn word(&self) -> MutexGuard<'_, UnixStream> {
        self.word.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn capture_descriptors() -> io::Result<CaptureEnds> {
    // SAFETY: as for link and page; the host says that it handed these over as well.
    let descriptors = WORKER_CAPTURE_FDS.map(|number| unsafe { OwnedFd::from_raw_fd(number) });
    descriptors.iter().try_for_each(close_on_exec)?;
    Ok(descriptors)
}

fn tell_failure(link: &mut UnixStream, message: &str, for_good: bool) {
    // The host learns it from the exit as well.
    let _ = write_message(link, &FromWorker::Failed { message: message.to_owned(), for_good });
}

fn close_on_exec(descriptor: impl AsFd) -> io::Result<()> {
    Ok(rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::CLOEXEC)?)
}
