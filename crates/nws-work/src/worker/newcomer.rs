//! The first steps of a worker process.

use std::io::{self, BufReader, Read};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};

use nws_client::{Connection, Silence};
use nws_proto::SessionId;

use super::Worker;
use crate::control::{Bootstrap, FromWorker, WORKER_LINK_FD, WORKER_PAGE_FD, read_message, write_message};
use crate::error::WorkError;
use crate::link;
use crate::page::Page;

/// A worker process that knows its server and has not connected yet.
#[derive(Debug)]
pub struct Newcomer {
    bootstrap: Bootstrap,
    link: UnixStream,
    page: Page,
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
        let mut reader = BufReader::new(UnixStream::from(link));
        let Some(bootstrap) = read_message::<Bootstrap>(&mut reader)? else { return Ok(None) };
        Ok(Some(Newcomer { bootstrap, link: reader.into_inner(), page: Page::map(&page)? }))
    }

    /// What the host said.
    pub fn bootstrap(&self) -> &Bootstrap {
        &self.bootstrap
    }

    /// Connects to the sleigh's server as anybody may, for what is to be done before [`Newcomer::join`].
    ///
    /// # Errors
    /// Those of the connection.
    pub fn connect(&self) -> Result<Connection, WorkError> {
        let label = format!("worker {} begins", self.bootstrap.rank);
        link::connect(&self.bootstrap.server, SessionId(0), Silence::Default, &label)
    }

    /// Connects, begins to ask for tasks, and tells the host. The worker ends when the host says so.
    ///
    /// # Errors
    /// Those of [`Worker::join`], which the host has been told then, and those of the link.
    pub fn join(mut self) -> Result<(Bootstrap, Worker), WorkError> {
        let worker = match Worker::join(&self.bootstrap, self.page) {
            Ok(worker) => worker,
            Err(error) => {
                complain(&mut self.link, &error.to_string());
                return Err(error);
            }
        };
        let session = worker.connection().session().0;
        write_message(&mut self.link, &FromWorker::Joined { session })?;
        let end = worker.ender();
        let mut link = self.link;
        std::thread::Builder::new().name("nws-link".into()).spawn(move || {
            // The host says nothing more: the link's end is the word to go.
            let _ = link.read_to_end(&mut Vec::new());
            end("the sleigh was stopped");
        })?;
        Ok((self.bootstrap, worker))
    }

    /// Tells the host why this worker cannot work.
    pub fn fail(mut self, message: &str) {
        complain(&mut self.link, message);
    }
}

fn complain(link: &mut UnixStream, message: &str) {
    // The host learns it from the exit as well.
    let _ = write_message(link, &FromWorker::Failed { message: message.to_owned() });
}

fn close_on_exec(descriptor: impl AsFd) -> io::Result<()> {
    Ok(rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::CLOEXEC)?)
}
