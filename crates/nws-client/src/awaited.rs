//! The answer that is to come, of any kind: where the I/O thread puts it, and who waits for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use nws_proto::RequestId;

use crate::connection::Connection;
use crate::in_flight::Outcome;
use crate::shared::{Shared, lock};
use crate::{Error, shared};

/// What a request can be answered by.
pub(crate) trait Answer: Send + Sized + 'static {
    /// Nobody takes it: what it holds goes back.
    fn give_back(self, shared: &Shared);
}

/// What becomes of an answer that nobody takes, where there is something to be done; it may run on the
/// I/O thread.
pub(crate) type Late<R> = Box<dyn FnOnce(R) + Send>;

/// Where the I/O thread puts an answer.
#[derive(Debug)]
pub(crate) struct Place<R> {
    state: Mutex<State<R>>,
    ready: Condvar,
}

impl<R> Default for Place<R> {
    fn default() -> Self {
        let state = State { outcome: None, waker: None, sleeping: false, abandoned: false, late: None };
        Self { state: Mutex::new(state), ready: Condvar::new() }
    }
}

struct State<R> {
    outcome: Option<Outcome<R>>,
    waker: Option<Waker>,
    /// A thread sleeps; telling a condition variable costs a system call also where nobody does.
    sleeping: bool,
    /// Nobody will look here any more.
    abandoned: bool,
    /// What becomes of the answer then.
    late: Option<Late<R>>,
}

impl<R: std::fmt::Debug> std::fmt::Debug for State<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("outcome", &self.outcome)
            .field("abandoned", &self.abandoned)
            .finish_non_exhaustive()
    }
}

impl<R> Place<R> {
    /// Puts the answer here; gives it back where nobody will look for it.
    pub(crate) fn complete(&self, outcome: Outcome<R>) -> Option<Outcome<R>> {
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
    pub(crate) fn abandon(&self) -> Option<Outcome<R>> {
        let mut state = lock(&self.state);
        state.abandoned = true;
        state.outcome.take()
    }

    /// What becomes of an answer that nobody takes.
    pub(crate) fn late(&self) -> Option<Late<R>> {
        lock(&self.state).late.take()
    }

    pub(crate) fn set_late(&self, late: Late<R>) {
        lock(&self.state).late = Some(late);
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        lock(&self.state).abandoned
    }

    fn take(&self) -> Option<Outcome<R>> {
        lock(&self.state).outcome.take()
    }

    fn wait(&self, until: Option<Instant>) -> Option<Outcome<R>> {
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

/// The answer that is to come. Dropping it cancels a wait, and gives back what comes.
pub(crate) struct Awaited<R: Answer> {
    inner: Inner<R>,
    late: Option<Late<R>>,
}

impl<R: Answer + std::fmt::Debug> std::fmt::Debug for Awaited<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(f)
    }
}

#[derive(Debug)]
enum Inner<R> {
    /// Sent.
    Sent { connection: Connection, id: RequestId, place: Arc<Place<R>>, waits: bool },
    /// Never sent, or answered and not taken.
    Ready(Option<Outcome<R>>),
}

impl<R: Answer> Awaited<R> {
    pub(crate) fn sent(connection: Connection, id: RequestId, place: Arc<Place<R>>, waits: bool) -> Self {
        Self { inner: Inner::Sent { connection, id, place, waits }, late: None }
    }

    /// One whose answer is there already.
    pub(crate) fn over(outcome: Outcome<R>) -> Self {
        Self { inner: Inner::Ready(Some(outcome)), late: None }
    }

    /// Has `late` take an answer that nobody takes.
    pub(crate) fn or_else(self, late: Late<R>) -> Self {
        let mut this = self;
        this.late = Some(late);
        this
    }

    /// The request's id, where it was sent and not answered yet.
    pub(crate) fn id(&self) -> Option<RequestId> {
        match &self.inner {
            Inner::Sent { id, .. } => Some(*id),
            Inner::Ready(_) => None,
        }
    }

    /// Waits for the answer on this thread.
    pub(crate) fn wait(mut self) -> Outcome<R> {
        self.wait_until(None).unwrap_or_else(|| Err(taken()))
    }

    /// The same, up to a moment; `None`: not there yet.
    pub(crate) fn wait_until(&mut self, until: Option<Instant>) -> Option<Outcome<R>> {
        let outcome = match &mut self.inner {
            Inner::Ready(outcome) => return Some(outcome.take().unwrap_or_else(|| Err(taken()))),
            Inner::Sent { connection, place, .. } => {
                if connection.is_foreign() {
                    return Some(Err(Error::Forked));
                }
                if connection.is_io_thread() {
                    match place.take() {
                        Some(outcome) => outcome,
                        None => return Some(Err(waits_for_itself())),
                    }
                } else {
                    place.wait(until)?
                }
            }
        };
        self.inner = Inner::Ready(None);
        Some(outcome)
    }

    /// Whether the answer is there.
    pub(crate) fn is_ready(&self) -> bool {
        match &self.inner {
            Inner::Sent { connection, place, .. } => connection.is_foreign() || lock(&place.state).outcome.is_some(),
            Inner::Ready(_) => true,
        }
    }

    /// Asks the server to end the wait.
    pub(crate) fn cancel(&self) {
        if let Inner::Sent { connection, id, .. } = &self.inner {
            connection.cancel(*id);
        }
    }
}

fn taken() -> Error {
    Error::misuse("the answer was taken already")
}

pub(crate) fn waits_for_itself() -> Error {
    Error::misuse("a function that runs on the connection's I/O thread cannot wait for an answer; use request_then")
}

// No part of it is pinned.
impl<R: Answer> Unpin for Awaited<R> {}

impl<R: Answer> Future for Awaited<R> {
    type Output = Outcome<R>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome<R>> {
        let outcome = match &mut self.inner {
            Inner::Ready(outcome) => return Poll::Ready(outcome.take().unwrap_or_else(|| Err(taken()))),
            Inner::Sent { connection, place, .. } => {
                if connection.is_foreign() {
                    return Poll::Ready(Err(Error::Forked));
                }
                let mut state = lock(&place.state);
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

impl<R: Answer> Drop for Awaited<R> {
    fn drop(&mut self) {
        let late = self.late.take();
        match &mut self.inner {
            Inner::Sent { connection, id, place, waits } if !connection.is_foreign() => {
                connection.abandon(*id, place, late, *waits);
            }
            Inner::Ready(outcome) => {
                if let (Some(Ok(answer)), Some(late)) = (outcome.take(), late) {
                    late(answer);
                }
            }
            Inner::Sent { .. } => {}
        }
    }
}
