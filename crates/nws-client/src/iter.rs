//! Iterators over the values of a variable.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use nws_proto::{Cursor, Reply, Wait};

use crate::call::unexpected;
use crate::in_flight::Outcome;
use crate::shared::lock;
use crate::workspace::to_wait;
use crate::{Call, Error, Value, Workspace};

/// Goes over the values of a variable, each once: made by [`Workspace::ifind`] and
/// [`Workspace::ifetch`].
///
/// Await each value before asking for the next: two that are asked for together may be the same.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/served.rs"));
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nws_client::Error> {
/// # let (endpoint, options) = served();
/// let kitchen = nws_client::Server::connect(&endpoint, options).await?.open("kitchen").await?;
/// kitchen.store_many("log", [1, 2, 3]).await?;
/// let mut log = kitchen.ifind("log");
/// let mut sum = 0;
/// while let Some(value) = log.next_try().await? {
///     sum += value.as_i64().unwrap_or(0);
/// }
/// assert_eq!(sum, 6);
/// kitchen.store("log", 4).await?;
/// assert_eq!(log.next().await?.as_i64(), Some(4));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Iter {
    workspace: Workspace,
    variable: Vec<u8>,
    take: bool,
    /// Behind what was seen last; moved when an answer is read.
    cursor: Arc<Mutex<Cursor>>,
}

impl Iter {
    pub(crate) fn new(workspace: Workspace, variable: &[u8], take: bool) -> Self {
        Self { workspace, variable: variable.to_vec(), take, cursor: Arc::new(Mutex::new(Cursor::Oldest)) }
    }

    /// The next value; waits until there is one.
    #[allow(clippy::should_implement_trait, reason = "an iterator that waits and fails is none of std's")]
    pub fn next(&mut self) -> Call<Value> {
        self.ask(Wait::Forever, |value| value.ok_or(Error::TimedOut))
    }

    /// The next value, where there is one.
    pub fn next_try(&mut self) -> Call<Option<Value>> {
        self.ask(Wait::No, Ok)
    }

    /// The next value; after `timeout` it is [`Error::TimedOut`].
    pub fn next_timeout(&mut self, timeout: Duration) -> Call<Value> {
        self.ask(to_wait(timeout), |value| value.ok_or(Error::TimedOut))
    }

    fn ask<T: 'static>(
        &self,
        wait: Wait,
        read: impl FnOnce(Option<Value>) -> Result<T, Error> + Send + 'static,
    ) -> Call<T> {
        let at = if self.workspace.connection().is_foreign() { Cursor::Oldest } else { *lock(&self.cursor) };
        let cursor = Arc::clone(&self.cursor);
        let read = move |outcome: Outcome| match outcome? {
            Reply::Values { variable, values, .. } => {
                let grant = values.into_iter().next();
                if let Some(grant) = &grant {
                    *lock(&cursor) = Cursor::After { variable, index: grant.index };
                }
                read(grant.map(|grant| grant.item.into()))
            }
            reply => Err(unexpected(&reply)),
        };
        self.workspace.retrieve_at(&self.variable, self.take, wait, at, read)
    }
}
