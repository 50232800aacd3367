//! An operation that was begun.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use nws_proto::{ErrorCode, Fault, Reply};

use crate::in_flight::Outcome;
use crate::{Error, Pending};

type Read<T> = Box<dyn FnOnce(Outcome) -> Result<T, Error> + Send>;

/// An operation that was sent to the server: await it, or [`wait`](Call::wait) for it.
///
/// It was sent when it was made, so several can be begun before the first is waited for. Any runtime
/// can await it, and none is needed.
///
/// # Cancellation
/// Dropping one before it is done, as `select!` and timeouts do, ends its wait at the server:
///
/// | dropped | what becomes of it |
/// |---|---|
/// | a find | nothing has happened |
/// | a fetch | a value that was on its way already is kept, and is what the next fetch of that variable by this [`Workspace`](crate::Workspace) or a clone of it gets, or the next value of its iterators that fetch; a long value goes back to its place |
/// | a fetch by lease | the lease is released: the value is back at its place, for everybody |
/// | a store, a declare, a delete | it was sent, and is carried out |
/// | a `finish` | it was sent, and is carried out, unless the lease has ended |
///
/// A value that is kept is gone with the last clone of its workspace. Where that matters, fetch by
/// lease. A fetch with a timeout of the server's
/// ([`fetch_timeout`](crate::Workspace::fetch_timeout)) keeps nothing: no value is on its way when it is
/// over.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/served.rs"));
/// # fn main() -> Result<(), nws_client::Error> {
/// # let (endpoint, options) = served();
/// let kitchen = nws_client::blocking::Server::connect(&endpoint, options)?.open("kitchen")?;
/// // Sent one after the other, with no wait between them.
/// let stores: Vec<_> = (0..100).map(|n| kitchen.as_async().store("orders", n)).collect();
/// for store in stores {
///     store.wait()?;
/// }
/// assert_eq!(kitchen.fetch_many::<u32>("orders", 1000)?.len(), 100);
/// # Ok(())
/// # }
/// ```
#[must_use = "the outcome of the operation, await it or call `wait`"]
pub struct Call<T> {
    pub(crate) pending: Pending,
    /// Taken with the outcome.
    pub(crate) read: Option<Read<T>>,
}

impl<T> std::fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").field("pending", &self.pending).finish_non_exhaustive()
    }
}

impl<T> Call<T> {
    /// `read` makes the result of what the server says.
    pub(crate) fn new(pending: Pending, read: impl FnOnce(Outcome) -> Result<T, Error> + Send + 'static) -> Self {
        Self { pending, read: Some(Box::new(read)) }
    }

    /// One that is over.
    pub(crate) fn over(result: Result<T, Error>) -> Self
    where
        T: Send + 'static,
    {
        Self::new(Pending::failed(Error::Canceled), |_| result)
    }

    /// Waits on this thread.
    ///
    /// # Errors
    /// Those of the operation.
    pub fn wait(mut self) -> Result<T, Error> {
        let outcome = self.pending.wait_until(None).unwrap_or(Err(Error::TimedOut));
        self.finish(outcome)
    }

    /// Waits on this thread, but not longer than `timeout`. `None`: not over yet, and it goes on.
    pub fn wait_timeout(&mut self, timeout: Duration) -> Option<Result<T, Error>> {
        self.pending.wait_timeout(timeout).map(|outcome| self.finish(outcome))
    }

    /// Whether it is over.
    pub fn is_ready(&self) -> bool {
        self.pending.is_ready()
    }

    /// Asks the server to end the wait. It is over soon, with [`Error::Canceled`] or a value that was
    /// on its way.
    pub fn cancel(&self) {
        self.pending.cancel();
    }

    /// Whether the request is on its way.
    pub(crate) fn was_sent(&self) -> bool {
        self.pending.id().is_some()
    }

    fn finish(&mut self, outcome: Outcome) -> Result<T, Error> {
        match self.read.take() {
            Some(read) => read(outcome),
            None => Err(Error::misuse("the outcome was taken already")),
        }
    }
}

impl<T> Future for Call<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match Pin::new(&mut self.pending).poll(context) {
            Poll::Ready(outcome) => Poll::Ready(self.finish(outcome)),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// A reply that this request cannot have: a defect of the server.
pub(crate) fn unexpected(reply: &Reply<Bytes>) -> Error {
    let message = format!("the server gave an answer that does not belong to the request: {:?}", reply.opcode());
    Error::Fault(Fault::new(ErrorCode::Internal, message))
}

/// For requests that have nothing to say but that they are done.
pub(crate) fn done(outcome: Outcome) -> Result<(), Error> {
    match outcome? {
        Reply::Done => Ok(()),
        reply => Err(unexpected(&reply)),
    }
}
