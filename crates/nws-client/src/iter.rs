//! Iterators over the values of a variable.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use nws_proto::{Cursor, ErrorCode, Reply, Wait};

use crate::call::unexpected;
use crate::in_flight::Outcome;
use crate::shared::lock;
use crate::workspace::to_wait;
use crate::{Call, Error, FromValue, Value, Workspace};

/// Goes over the values of a variable, each once: a [`Stream`], made by [`Workspace::ifind`] and
/// those like it.
///
/// It ends when the variable is deleted, and that of a Try also when there are no more values. An
/// error ends it, too, but for [`Error::TimedOut`] and [`Error::Mismatch`], after which it goes on
/// with the next value. An end lasts until [`restart`](Iter::restart) or [`reset`](Iter::reset).
/// Variables of the modes `lifo` and `multi` have no iterators: there the first item is
/// [`NotIterable`](ErrorCode::NotIterable).
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/served.rs"));
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nws_client::Error> {
/// # let (endpoint, options) = served();
/// let kitchen = nws_client::Server::connect(&endpoint, options).await?.open("kitchen").await?;
/// kitchen.store_many("prices", [3, 4]).await?;
/// let mut prices = kitchen.ifind_try::<u32>("prices");
/// let mut sum = 0;
/// while let Some(price) = prices.next().await {
///     sum += price?;
/// }
/// assert_eq!(sum, 7);
/// kitchen.store("prices", 5).await?;
/// assert_eq!(prices.next().await, None); // an end lasts ...
/// prices.restart(); // ... until it is told to go on
/// assert_eq!(prices.next().await, Some(Ok(5)));
/// prices.reset();
/// assert_eq!(prices.next().await, Some(Ok(3)));
/// # Ok(())
/// # }
/// ```
#[must_use = "an iterator asks for nothing until it is polled"]
#[derive(Debug)]
pub struct Iter<T> {
    workspace: Workspace,
    variable: Vec<u8>,
    take: bool,
    wait: Wait,
    /// Ends where there is no value.
    trying: bool,
    /// Behind what was seen last; moved when an answer is read.
    cursor: Arc<Mutex<Cursor>>,
    /// On its way: it stays with the iterator where nobody waits for it any more.
    asked: Option<Call<Option<T>>>,
    ended: bool,
}

impl<T: FromValue> Iter<T> {
    pub(crate) fn new(workspace: Workspace, variable: &[u8], take: bool, wait: Wait) -> Self {
        let cursor = Arc::new(Mutex::new(Cursor::Oldest));
        let (variable, trying) = (variable.to_vec(), wait == Wait::No);
        Self { workspace, variable, take, wait, trying, cursor, asked: None, ended: false }
    }

    /// Waits no longer than this for each value; then it is [`Error::TimedOut`], and the iterator can
    /// go on. Those of a Try do not wait.
    pub fn timeout(self, timeout: Duration) -> Self {
        if self.trying { self } else { Self { wait: to_wait(timeout), ..self } }
    }

    /// The next value; `None` is the end. What this gives may be dropped and asked for again, as
    /// `select!` does: no value is lost.
    pub async fn next(&mut self) -> Option<Result<T, Error>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// Goes back to the beginning of the variable, as if the iterator had just been made.
    pub fn reset(&mut self) {
        self.asked = None;
        self.cursor = Arc::new(Mutex::new(Cursor::Oldest));
        self.ended = false;
    }

    /// Goes on after an end, behind the value that was seen last. One whose variable was deleted ends
    /// again.
    pub fn restart(&mut self) {
        self.ended = false;
    }

    pub(crate) fn wait_next(&mut self) -> Option<Result<T, Error>> {
        if self.ended {
            return None;
        }
        let asked = self.asked.take().unwrap_or_else(|| self.ask());
        let answer = asked.wait();
        self.judge(answer)
    }

    /// Whether an answer is a value, an error or the end.
    fn judge(&mut self, answer: Result<Option<T>, Error>) -> Option<Result<T, Error>> {
        match answer {
            Ok(Some(value)) => Some(Ok(value)),
            Ok(None) if !self.trying => Some(Err(Error::TimedOut)),
            Ok(None) => {
                self.ended = true;
                None
            }
            Err(error) => {
                self.ended = !matches!(error, Error::TimedOut | Error::Mismatch(_));
                (error.code() != Some(ErrorCode::VariableGone)).then_some(Err(error))
            }
        }
    }

    fn ask(&self) -> Call<Option<T>> {
        let at = if self.workspace.connection().is_foreign() { Cursor::Oldest } else { *lock(&self.cursor) };
        let cursor = Arc::clone(&self.cursor);
        let read = move |outcome: Outcome| match outcome? {
            Reply::Values { variable, values, .. } => {
                let Some(grant) = values.into_iter().next() else { return Ok(None) };
                *lock(&cursor) = Cursor::After { variable, index: grant.index };
                T::from_value(&Value::from(grant.item)).map(Some)
            }
            reply => Err(unexpected(&reply)),
        };
        self.workspace.retrieve_at(&self.variable, self.take, self.wait, at, read)
    }
}

impl<T: FromValue> Stream for Iter<T> {
    type Item = Result<T, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let mut asked = self.asked.take().unwrap_or_else(|| self.ask());
        let Poll::Ready(answer) = Pin::new(&mut asked).poll(context) else {
            self.asked = Some(asked);
            return Poll::Pending;
        };
        Poll::Ready(self.judge(answer))
    }
}
