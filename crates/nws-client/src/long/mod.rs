//! Values that are written and read part by part, in bounded memory, however long they are.

mod store;
mod streams;
mod value;

pub use store::{LongStore, Transfer};
pub(crate) use streams::{store_from, write_to};
pub use value::LongValue;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use nws_proto::{Given, Reply};

use crate::awaited::{Awaited, waits_for_itself};
use crate::in_flight::Outcome;
use crate::{Connection, Error};

type Read1<T> = Box<dyn FnOnce(Outcome<Reply<Given>>) -> Result<T, Error> + Send>;

/// A retrieval of a long value that was begun: await it, or [`wait`](LongCall::wait) for it. Dropping it
/// ends its wait, and the value stays at its place.
#[must_use = "dropping it cancels the wait"]
pub struct LongCall<T> {
    awaited: Awaited<Reply<Given>>,
    read: Option<Read1<T>>,
}

impl<T> std::fmt::Debug for LongCall<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LongCall").field("awaited", &self.awaited).finish_non_exhaustive()
    }
}

impl<T> LongCall<T> {
    pub(crate) fn new(
        awaited: Awaited<Reply<Given>>,
        read: impl FnOnce(Outcome<Reply<Given>>) -> Result<T, Error> + Send + 'static,
    ) -> Self {
        Self { awaited, read: Some(Box::new(read)) }
    }

    /// Waits on this thread.
    ///
    /// # Errors
    /// Those of the operation.
    pub fn wait(self) -> Result<T, Error> {
        let outcome = self.awaited.wait();
        self.read.map_or_else(|| Err(Error::misuse("the outcome was taken already")), |read| read(outcome))
    }
}

impl<T> LongCall<T> {
    /// Asks the server to end the wait. It is over soon, with [`Error::Canceled`] or a value that was on its
    /// way.
    pub fn cancel(&self) {
        self.awaited.cancel();
    }
}

impl<T> Future for LongCall<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Poll::Ready(outcome) = Pin::new(&mut self.awaited).poll(context) else { return Poll::Pending };
        Poll::Ready(match self.read.take() {
            Some(read) => read(outcome),
            None => Err(Error::misuse("the outcome was taken already")),
        })
    }
}

/// Wakes the thread that waits.
struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls on this thread until it is over.
fn wait_for<T>(
    connection: &Connection,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<Result<T, Error>>,
) -> Result<T, Error> {
    let waker = Waker::from(std::sync::Arc::new(Parked(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match poll(&mut context) {
            Poll::Ready(outcome) => return outcome,
            Poll::Pending if connection.is_io_thread() => return Err(waits_for_itself()),
            Poll::Pending => thread::park(),
        }
    }
}
