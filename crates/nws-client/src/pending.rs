//! The reply that is to come.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use nws_proto::{Reply, RequestId};

use crate::Error;
use crate::awaited::{Awaited, Late};
use crate::in_flight::Outcome;

/// The answer to a request that was sent: a future, and to be waited for without one.
///
/// The replies [`Failed`](nws_proto::Reply::Failed), [`TimedOut`](nws_proto::Reply::TimedOut) and
/// [`Canceled`](nws_proto::Reply::Canceled) arrive as [`Error`]s. The request is sent when the
/// `Pending` is made, not when it is first polled.
///
/// Dropping an unfinished one cancels a wait, and gives leases back that still come. A value that a
/// plain fetch of [`Connection::request`](crate::Connection::request) had taken by then is gone: nothing
/// brings it back to its place. So give a fetch that may be given up a deadline
/// ([`nws_proto::Wait::Ms`]), fetch by lease, or by a [`Workspace`](crate::Workspace), which keeps it.
#[must_use = "dropping it cancels a wait"]
#[derive(Debug)]
pub struct Pending {
    awaited: Awaited<Reply<Bytes>>,
}

impl From<Awaited<Reply<Bytes>>> for Pending {
    fn from(awaited: Awaited<Reply<Bytes>>) -> Self {
        Self { awaited }
    }
}

impl Pending {
    pub(crate) fn failed(error: Error) -> Self {
        Awaited::over(Err(error)).into()
    }

    /// One whose answer is there already.
    pub(crate) fn answered(reply: Reply<Bytes>) -> Self {
        Awaited::over(Ok(reply)).into()
    }

    /// Has `late` take an answer that nobody takes.
    pub(crate) fn or_else(self, late: Late<Reply<Bytes>>) -> Self {
        self.awaited.or_else(late).into()
    }

    /// The request's id, where it was sent and not answered yet.
    pub fn id(&self) -> Option<RequestId> {
        self.awaited.id()
    }

    /// Waits for the answer on this thread.
    ///
    /// # Errors
    /// What the request came to; also where this is the connection's own I/O thread, which would
    /// wait for itself.
    pub fn wait(self) -> Outcome {
        self.awaited.wait()
    }

    /// Waits for the answer, but not longer than `timeout`. `None`: not there yet. This gives up the
    /// waiting here and leaves the request as it is.
    pub fn wait_timeout(&mut self, timeout: Duration) -> Option<Outcome> {
        self.wait_until(Instant::now().checked_add(timeout))
    }

    pub(crate) fn wait_until(&mut self, until: Option<Instant>) -> Option<Outcome> {
        self.awaited.wait_until(until)
    }

    /// Whether the answer is there.
    pub fn is_ready(&self) -> bool {
        self.awaited.is_ready()
    }

    /// Asks the server to end the wait. The answer is still to come: [`Error::Canceled`], or a value
    /// that was on its way.
    pub fn cancel(&self) {
        self.awaited.cancel();
    }
}

impl Future for Pending {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        Pin::new(&mut self.awaited).poll(context)
    }
}
