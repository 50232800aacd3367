//! The answer that is to come.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Condvar, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use nws_proto::{Reply, RequestId};

use crate::connection::Connection;
use crate::in_flight::Outcome;
use crate::kept::Late;
use crate::shared::lock;
use crate::{Error, shared};

/// Where the I/O thread puts an answer.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    state: Mutex<State>,
    ready: Condvar,
}

#[derive(Default)]
struct State {
    outcome: Option<Outcome>,
    waker: Option<Waker>,
    /// A thread sleeps; telling a condition variable costs a system call also where nobody does.
    sleeping: bool,
    /// Nobody will look here any more.
    abandoned: bool,
    /// What becomes of the answer then.
    late: Option<Late>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("outcome", &self.outcome)
            .field("abandoned", &self.abandoned)
            .finish_non_exhaustive()
    }
}

impl Slot {
    /// Puts the answer here; gives it back where nobody will look for it.
    pub(crate) fn complete(&self, outcome: Outcome) -> Option<Outcome> {
        let mut state = lock(&self.state);
        if state.abandoned {
            return Some(outcome);
        }
        state.outcome = Some(outcome);
        let waker = state.waker.take();
        if state.sleeping {
            self.ready.notify_one();
        }
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        None
    }

    /// Looks here no more; gives what came and was not taken.
    pub(crate) fn abandon(&self) -> Option<Outcome> {
        let mut state = lock(&self.state);
        state.abandoned = true;
        state.outcome.take()
    }

    /// What becomes of an answer that nobody takes, where there is something to be done.
    pub(crate) fn late(&self) -> Option<Late> {
        lock(&self.state).late.take()
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        lock(&self.state).abandoned
    }

    pub(crate) fn has_late(&self) -> bool {
        lock(&self.state).late.is_some()
    }

    fn take(&self) -> Option<Outcome> {
        lock(&self.state).outcome.take()
    }

    fn wait(&self, until: Option<Instant>) -> Option<Outcome> {
        let mut state = lock(&self.state);
        loop {
            if let Some(outcome) = state.outcome.take() {
                return Some(outcome);
            }
            let left = match until {
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return None;
                    }
                    left
                }
                None => Duration::MAX,
            };
            state.sleeping = true;
            state = shared::wait_on(&self.ready, state, left);
            state.sleeping = false;
        }
    }
}

/// The answer to a request that was sent: a future, and to be waited for without one.
///
/// The replies [`Failed`](nws_proto::Reply::Failed), [`TimedOut`](nws_proto::Reply::TimedOut) and
/// [`Canceled`](nws_proto::Reply::Canceled) arrive as [`Error`]s. The request is sent when the
/// `Pending` is made, not when it is first polled.
///
/// Dropping an unfinished one cancels a wait, and gives leases back that still come. A value that a
/// plain fetch of [`Connection::request`] had taken by then is gone: nothing brings it back to its
/// place. So give a fetch that may be given up a deadline ([`nws_proto::Wait::Ms`]), fetch by lease, or
/// by a [`Workspace`](crate::Workspace), which keeps it.
#[must_use = "dropping it cancels a wait"]
#[derive(Debug)]
pub struct Pending {
    inner: Inner,
    late: Unused,
}

/// What becomes of an answer that is not used.
#[derive(Default)]
struct Unused(Option<Late>);

impl std::fmt::Debug for Unused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "kept" } else { "dropped" })
    }
}

#[derive(Debug)]
enum Inner {
    /// Sent.
    Sent { connection: Connection, id: RequestId, slot: std::sync::Arc<Slot>, waits: bool },
    /// Never sent, or answered and not taken.
    Ready(Option<Outcome>),
}

impl Pending {
    pub(crate) fn sent(connection: Connection, id: RequestId, slot: std::sync::Arc<Slot>, waits: bool) -> Self {
        Self { inner: Inner::Sent { connection, id, slot, waits }, late: Unused::default() }
    }

    pub(crate) fn failed(error: Error) -> Self {
        Self { inner: Inner::Ready(Some(Err(error))), late: Unused::default() }
    }

    /// One whose answer is there already.
    pub(crate) fn answered(reply: Reply<Bytes>) -> Self {
        Self { inner: Inner::Ready(Some(Ok(reply))), late: Unused::default() }
    }

    /// Has `late` take an answer that nobody takes.
    pub(crate) fn or_else(mut self, late: Late) -> Self {
        self.late = Unused(Some(late));
        self
    }

    /// The request's id, where it was sent and not answered yet.
    pub fn id(&self) -> Option<RequestId> {
        match &self.inner {
            Inner::Sent { id, .. } => Some(*id),
            Inner::Ready(_) => None,
        }
    }

    /// Waits for the answer on this thread.
    ///
    /// # Errors
    /// What the request came to; also where this is the connection's own I/O thread, which would
    /// wait for itself.
    pub fn wait(mut self) -> Outcome {
        self.wait_until(None).unwrap_or_else(|| Err(taken()))
    }

    /// Waits for the answer, but not longer than `timeout`. `None`: not there yet. This gives up the
    /// waiting here and leaves the request as it is.
    pub fn wait_timeout(&mut self, timeout: Duration) -> Option<Outcome> {
        self.wait_until(Instant::now().checked_add(timeout))
    }

    pub(crate) fn wait_until(&mut self, until: Option<Instant>) -> Option<Outcome> {
        let outcome = match &mut self.inner {
            Inner::Ready(outcome) => return Some(outcome.take().unwrap_or_else(|| Err(taken()))),
            Inner::Sent { connection, slot, .. } => {
                if connection.is_foreign() {
                    return Some(Err(Error::Forked));
                }
                if connection.is_io_thread() {
                    match slot.take() {
                        Some(outcome) => outcome,
                        None => {
                            return Some(Err(Error::misuse(
                                "a function that runs on the connection's I/O thread cannot wait for an answer; use \
                             request_then",
                            )));
                        }
                    }
                } else {
                    slot.wait(until)?
                }
            }
        };
        self.inner = Inner::Ready(None);
        Some(outcome)
    }

    /// Whether the answer is there.
    pub fn is_ready(&self) -> bool {
        match &self.inner {
            Inner::Sent { connection, slot, .. } => connection.is_foreign() || lock(&slot.state).outcome.is_some(),
            Inner::Ready(_) => true,
        }
    }

    /// Asks the server to end the wait. The answer is still to come: [`Error::Canceled`], or a value
    /// that was on its way.
    pub fn cancel(&self) {
        if let Inner::Sent { connection, id, .. } = &self.inner {
            connection.cancel(*id);
        }
    }
}

fn taken() -> Error {
    Error::misuse("the answer was taken already")
}

impl Future for Pending {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let outcome = match &mut self.inner {
            Inner::Ready(outcome) => return Poll::Ready(outcome.take().unwrap_or_else(|| Err(taken()))),
            Inner::Sent { connection, slot, .. } => {
                if connection.is_foreign() {
                    return Poll::Ready(Err(Error::Forked));
                }
                let mut state = lock(&slot.state);
                match state.outcome.take() {
                    Some(outcome) => outcome,
                    None => {
                        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
                            state.waker = Some(context.waker().clone());
                        }
                        return Poll::Pending;
                    }
                }
            }
        };
        self.inner = Inner::Ready(None);
        Poll::Ready(outcome)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        match &mut self.inner {
            Inner::Sent { connection, id, slot, waits } if !connection.is_foreign() => {
                lock(&slot.state).late = self.late.0.take();
                connection.abandon(*id, slot, *waits);
            }
            Inner::Ready(Some(Ok(_))) => {
                if let (Inner::Ready(Some(Ok(reply))), Some(late)) =
                    (std::mem::replace(&mut self.inner, Inner::Ready(None)), self.late.0.take())
                {
                    late(reply);
                }
            }
            _ => {}
        }
    }
}
