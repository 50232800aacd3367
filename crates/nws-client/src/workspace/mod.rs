//! A workspace: named variables, and what is done with them.

mod long;
mod replies;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nws_proto::{
    Cursor, Item, LeaseId, Mode, Reply, Request, VariableHandle, VariableInfo, Wait, WorkspaceHandle, limits,
};

use crate::call::{done, unexpected};
use crate::in_flight::Outcome;
use crate::kept::Kept;
use crate::variables::{Bound, Variables};
use crate::{Call, Connection, Error, FromValue, IntoValue, Iter, Lease, Pending};
use replies::{first, objects, retrieve};

/// A workspace on a server; a clone is the same one.
///
/// Names of variables are bytes, so also any `&str`. A variable comes into being when it is first
/// used, and is `fifo` unless it was declared otherwise.
///
/// What is stored is anything that [`IntoValue`] knows, and what is retrieved is read as the type
/// that is asked for, by [`FromValue`]. One that is of another type is [`Error::Mismatch`]; where it
/// was taken away, the error holds it. A [`Value`](crate::Value) is stored and retrieved as it is.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/served.rs"));
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nws_client::Error> {
/// # let (endpoint, options) = served();
/// use nws_client::{Mode, Server};
///
/// let kitchen = Server::connect(&endpoint, options).await?.open("kitchen").await?;
/// let soup = kitchen.fetch::<String>("dishes"); // waits until there is one, and holds up nothing else
/// kitchen.store("dishes", "soup").await?;
/// assert_eq!(soup.await?, "soup");
///
/// kitchen.declare("menu", Mode::Single).await?;
/// kitchen.store("menu", ["bread", "butter"]).await?;
/// kitchen.store("menu", ["pie"]).await?;
/// assert_eq!(kitchen.find::<Vec<String>>("menu").await?, ["pie"]); // it stays there
/// assert_eq!(kitchen.fetch_try::<String>("dishes").await?, None);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Workspace {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    opened: Opened,
    name: Vec<u8>,
    owned: bool,
    variables: Variables,
    kept: Kept,
}

/// A handle that the server is told to forget when nobody uses it any more.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) connection: Connection,
    pub(crate) handle: WorkspaceHandle,
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.connection.request_and_forget(&Request::CloseWorkspace { workspace: self.handle });
    }
}

/// How many values a retrieval of one asks for, and of how many bytes: the first always comes.
const ONE: (u32, u32) = (1, 0);

impl Workspace {
    pub(crate) fn new(opened: Opened, name: Vec<u8>, owned: bool) -> Self {
        Self { inner: Arc::new(Inner { opened, name, owned, variables: Variables::default(), kept: Kept::default() }) }
    }

    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.inner.name
    }

    /// Whether this connection owns it.
    pub fn is_owned(&self) -> bool {
        self.inner.owned
    }

    /// The connection to its server.
    pub fn connection(&self) -> &Connection {
        &self.inner.opened.connection
    }

    /// Gives a variable its mode. That it has another already is
    /// [`ModeConflict`](nws_proto::ErrorCode::ModeConflict).
    pub fn declare(&self, variable: impl AsRef<[u8]>, mode: Mode) -> Call<()> {
        self.request(variable.as_ref(), done, |variable| Request::Declare { variable, mode })
    }

    /// Adds a value. When this is done the server has it, or somebody got it.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/served.rs"));
    /// # fn main() -> Result<(), nws_client::Error> {
    /// # let (endpoint, options) = served();
    /// #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
    /// struct Order {
    ///     dish: String,
    ///     table: u32,
    /// }
    ///
    /// let kitchen = nws_client::blocking::Server::connect(&endpoint, options)?.open("kitchen")?;
    /// let order = Order { dish: "soup".into(), table: 7 };
    /// kitchen.store("orders", &order)?; // in Python {'dish': 'soup', 'table': 7}
    /// assert_eq!(kitchen.fetch::<Order>("orders")?, order);
    /// # Ok(())
    /// # }
    /// ```
    pub fn store(&self, variable: impl AsRef<[u8]>, value: impl IntoValue) -> Call<()> {
        match value.into_value() {
            Ok(value) => self.store_items(variable.as_ref(), vec![value.into()]),
            Err(error) => Call::over(Err(error.about(variable.as_ref()))),
        }
    }

    /// Adds values in this order, all or none. At most 4,096 at a time.
    pub fn store_many<V: IntoValue>(
        &self,
        variable: impl AsRef<[u8]>,
        values: impl IntoIterator<Item = V>,
    ) -> Call<()> {
        let items: Result<Vec<Item<Bytes>>, Error> =
            values.into_iter().map(|value| value.into_value().map(Item::from)).collect();
        match items {
            Ok(items) if items.is_empty() => Call::over(Ok(())),
            Ok(items) => self.store_items(variable.as_ref(), items),
            Err(error) => Call::over(Err(error.about(variable.as_ref()))),
        }
    }

    pub(crate) fn store_items(&self, variable: &[u8], items: Vec<Item<Bytes>>) -> Call<()> {
        self.request(variable, done, |variable| Request::Store { variable, items })
    }

    /// Takes a value away; waits until there is one. No other client gets it.
    pub fn fetch<T: FromValue>(&self, variable: impl AsRef<[u8]>) -> Call<T> {
        self.one(variable.as_ref(), true, Wait::Forever)
    }

    /// Takes a value away, where there is one.
    pub fn fetch_try<T: FromValue>(&self, variable: impl AsRef<[u8]>) -> Call<Option<T>> {
        self.retrieve(variable.as_ref(), true, Wait::No, ONE, first)
    }

    /// As [`Workspace::fetch`], but after `timeout` it is [`Error::TimedOut`]. The server keeps the
    /// time, so no value can be lost between the two of you.
    pub fn fetch_timeout<T: FromValue>(&self, variable: impl AsRef<[u8]>, timeout: Duration) -> Call<T> {
        self.one(variable.as_ref(), true, to_wait(timeout))
    }

    /// Takes up to `most` values away, and no more than 4,096; waits until there is one. Where others
    /// fetch from the same variable, it gets its share, at least one.
    pub fn fetch_many<T: FromValue>(&self, variable: impl AsRef<[u8]>, most: u32) -> Call<Vec<T>> {
        self.retrieve(
            variable.as_ref(),
            true,
            Wait::Forever,
            (most.min(limits::BATCH_VALUES), limits::BATCH_BYTES),
            objects,
        )
    }

    /// Takes up to `most` of the values away that are there, and no more than 4,096; perhaps none.
    pub fn fetch_many_try<T: FromValue>(&self, variable: impl AsRef<[u8]>, most: u32) -> Call<Vec<T>> {
        self.retrieve(variable.as_ref(), true, Wait::No, (most.min(limits::BATCH_VALUES), limits::BATCH_BYTES), objects)
    }

    /// Reads a value and leaves it there; waits until there is one.
    pub fn find<T: FromValue>(&self, variable: impl AsRef<[u8]>) -> Call<T> {
        self.one(variable.as_ref(), false, Wait::Forever)
    }

    /// Reads a value and leaves it there, where there is one.
    pub fn find_try<T: FromValue>(&self, variable: impl AsRef<[u8]>) -> Call<Option<T>> {
        self.retrieve(variable.as_ref(), false, Wait::No, ONE, first)
    }

    /// As [`Workspace::find`], but after `timeout` it is [`Error::TimedOut`].
    pub fn find_timeout<T: FromValue>(&self, variable: impl AsRef<[u8]>, timeout: Duration) -> Call<T> {
        self.one(variable.as_ref(), false, to_wait(timeout))
    }

    /// Takes the values away one after the other, in `fifo` and `single` variables; waits for each.
    pub fn ifetch<T: FromValue>(&self, variable: impl AsRef<[u8]>) -> Iter<T> {
        Iter::new(self.clone(), variable.as_ref(), true, Wait::Forever)
    }

    /// Takes the values away one after the other, until there are no more.
    pub fn ifetch_try<T: FromValue>(&self, variable: impl AsRef<[u8]>) -> Iter<T> {
        Iter::new(self.clone(), variable.as_ref(), true, Wait::No)
    }

    /// Reads the values one after the other, each once, in `fifo` and `single` variables; waits for
    /// each.
    pub fn ifind<T: FromValue>(&self, variable: impl AsRef<[u8]>) -> Iter<T> {
        Iter::new(self.clone(), variable.as_ref(), false, Wait::Forever)
    }

    /// Reads the values one after the other, each once, until there are no more.
    pub fn ifind_try<T: FromValue>(&self, variable: impl AsRef<[u8]>) -> Iter<T> {
        Iter::new(self.clone(), variable.as_ref(), false, Wait::No)
    }

    /// Takes a value by lease; waits until there is one. The value is gone when the lease is
    /// finished; until then it returns to its place when the lease is released or dropped, or this
    /// connection ends.
    pub fn fetch_lease(&self, variable: impl AsRef<[u8]>) -> Call<Lease> {
        let first = |leases: Vec<Lease>| leases.into_iter().next().ok_or(Error::TimedOut);
        self.leases(variable.as_ref(), ONE, Wait::Forever, first)
    }

    /// As [`Workspace::fetch_lease`], but after `timeout` it is [`Error::TimedOut`].
    pub fn fetch_lease_timeout(&self, variable: impl AsRef<[u8]>, timeout: Duration) -> Call<Lease> {
        let first = |leases: Vec<Lease>| leases.into_iter().next().ok_or(Error::TimedOut);
        self.leases(variable.as_ref(), ONE, to_wait(timeout), first)
    }

    /// Takes up to `most` values by lease; waits until there is one.
    pub fn fetch_leases(&self, variable: impl AsRef<[u8]>, most: u32) -> Call<Vec<Lease>> {
        self.leases(variable.as_ref(), (most, limits::BATCH_BYTES), Wait::Forever, Ok)
    }

    /// Takes up to `most` of the values that are there by lease, perhaps none.
    pub fn fetch_leases_try(&self, variable: impl AsRef<[u8]>, most: u32) -> Call<Vec<Lease>> {
        self.leases(variable.as_ref(), (most, limits::BATCH_BYTES), Wait::No, Ok)
    }

    /// Deletes a variable with its values. Whoever waits on it is told.
    pub fn delete_variable(&self, variable: impl AsRef<[u8]>) -> Call<()> {
        self.request(variable.as_ref(), done, |variable| Request::DeleteVariable { variable })
    }

    /// The variables, sorted by name.
    pub fn list_variables(&self) -> Call<Vec<VariableInfo>> {
        let request = Request::ListVariables { workspace: self.inner.opened.handle };
        Call::new(self.inner.opened.connection.request(request), |outcome| match outcome? {
            Reply::Variables(variables) => Ok(variables),
            reply => Err(unexpected(&reply)),
        })
    }

    fn one<T: FromValue>(&self, variable: &[u8], take: bool, wait: Wait) -> Call<T> {
        // A wait of no time is answered with no value instead.
        self.retrieve(variable, take, wait, ONE, |outcome| first(outcome)?.ok_or(Error::TimedOut))
    }

    fn leases<T: 'static>(
        &self,
        variable: &[u8],
        most: (u32, u32),
        wait: Wait,
        read: impl FnOnce(Vec<Lease>) -> Result<T, Error> + Send + 'static,
    ) -> Call<T> {
        let connection = self.inner.opened.connection.clone();
        let read = move |outcome: Outcome| match outcome? {
            Reply::Values { first_lease: LeaseId(first), values, .. } => {
                let lease = |(id, grant)| Lease::new(connection.clone(), LeaseId(id), grant);
                read((first..).zip(values).map(lease).collect())
            }
            reply => Err(unexpected(&reply)),
        };
        self.request(variable, read, |variable| retrieve(variable, true, true, wait, Cursor::Mode, most))
    }

    fn retrieve<T: 'static>(
        &self,
        variable: &[u8],
        take: bool,
        wait: Wait,
        most: (u32, u32),
        read: impl FnOnce(Outcome) -> Result<T, Error> + Send + 'static,
    ) -> Call<T> {
        self.plain(variable, take, read, |variable| retrieve(variable, take, false, wait, Cursor::Mode, most))
    }

    pub(crate) fn retrieve_at<T: 'static>(
        &self,
        variable: &[u8],
        take: bool,
        wait: Wait,
        cursor: Cursor,
        read: impl FnOnce(Outcome) -> Result<T, Error> + Send + 'static,
    ) -> Call<T> {
        self.plain(variable, take, read, |variable| retrieve(variable, take, false, wait, cursor, ONE))
    }

    /// A retrieval without a lease. What was taken and nobody waits for any more is kept for the next
    /// one that takes.
    fn plain<T: 'static>(
        &self,
        variable: &[u8],
        take: bool,
        read: impl FnOnce(Outcome) -> Result<T, Error> + Send + 'static,
        request: impl FnOnce(VariableHandle) -> Request<Bytes>,
    ) -> Call<T> {
        if !take || self.connection().is_foreign() {
            return self.request(variable, read, request);
        }
        let name = variable.to_vec();
        let mut call = match self.inner.kept.take(variable) {
            Some(reply) => {
                Call::new(Pending::answered(reply), move |outcome| read(outcome).map_err(|error| error.about(&name)))
            }
            None => self.request(variable, read, request),
        };
        // A workspace that nobody has any more has no next fetch.
        let (inner, name) = (Arc::downgrade(&self.inner), variable.to_vec());
        call.pending = call.pending.or_else(Box::new(move |reply| {
            if let Some(inner) = inner.upgrade() {
                inner.kept.keep(&name, reply);
            }
        }));
        call
    }

    /// Sends a request about the variable of this name.
    pub(crate) fn request<T: 'static>(
        &self,
        variable: &[u8],
        read: impl FnOnce(Outcome) -> Result<T, Error> + Send + 'static,
        request: impl FnOnce(VariableHandle) -> Request<Bytes>,
    ) -> Call<T> {
        let connection = &self.inner.opened.connection;
        if connection.is_foreign() {
            // The lock on the names may be held by a thread that was not forked.
            return Call::new(Pending::failed(Error::Forked), read);
        }
        let bound: Arc<Bound> = self.inner.variables.bound(connection, self.inner.opened.handle, variable);
        let pending = connection.request(request(bound.handle));
        // With the workspace, which shall not be closed while something waits in it.
        let workspace = self.clone();
        Call::new(pending, move |outcome| {
            drop(workspace);
            read(outcome).map_err(|error| bound.explain(error))
        })
    }
}

/// Parts of a millisecond count as a whole one; what is longer than the longest wait has no end.
pub(crate) fn to_wait(timeout: Duration) -> Wait {
    match timeout.as_nanos().div_ceil(1_000_000) {
        0 => Wait::No,
        ms if ms <= limits::WAIT_MS.into() => Wait::Ms(ms as u32),
        _ => Wait::Forever,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_becomes_a_wait_that_is_no_shorter() {
        assert_eq!(to_wait(Duration::ZERO), Wait::No);
        assert_eq!(to_wait(Duration::from_nanos(1)), Wait::Ms(1));
        assert_eq!(to_wait(Duration::from_millis(20)), Wait::Ms(20));
        assert_eq!(to_wait(Duration::from_micros(20_001)), Wait::Ms(21));
        assert_eq!(to_wait(Duration::from_millis(limits::WAIT_MS.into())), Wait::Ms(limits::WAIT_MS));
        assert_eq!(to_wait(Duration::MAX), Wait::Forever);
    }
}
