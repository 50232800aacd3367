//! The same operations for threads that wait.
//!
//! Each method waits for what the one of the same name in [`crate`] gives. Use the async types where
//! several operations are to be under way at a time: their [`Call`](crate::Call)s can be waited for
//! without async code, too.
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/served.rs"));
//! # fn main() -> Result<(), nws_client::Error> {
//! # let (endpoint, options) = served();
//! use std::time::Duration;
//!
//! use nws_client::{Error, blocking::Server};
//!
//! let kitchen = Server::connect(&endpoint, options)?.open("kitchen")?;
//! let dish = kitchen.fetch_timeout::<String>("dishes", Duration::from_millis(10));
//! assert_eq!(dish, Err(Error::TimedOut));
//! kitchen.store("dishes", "soup")?;
//! assert_eq!(kitchen.fetch::<String>("dishes")?, "soup");
//! # Ok(())
//! # }
//! ```

mod long;

pub use long::{LongStore, LongValue};

use std::time::Duration;

use nws_proto::{LeaseId, Mode, OpenMode, VariableInfo, WorkspaceInfo};

use crate::{ConnectOptions, Connection, Endpoint, Error, FromValue, IntoValue, Value};

/// A server that holds workspaces; see [`crate::Server`].
#[derive(Clone, Debug)]
pub struct Server {
    inner: crate::Server,
}

/// A workspace on a server; see [`crate::Workspace`].
#[derive(Clone, Debug)]
pub struct Workspace {
    inner: crate::Workspace,
}

/// A value taken by lease; see [`crate::Lease`]. Dropping it releases it.
#[derive(Debug)]
pub struct Lease {
    inner: crate::Lease,
}

/// Goes over the values of a variable, each once; see [`crate::Iter`].
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/served.rs"));
/// # fn main() -> Result<(), nws_client::Error> {
/// # let (endpoint, options) = served();
/// let kitchen = nws_client::blocking::Server::connect(&endpoint, options)?.open("kitchen")?;
/// kitchen.store_many("prices", [3, 4])?;
/// let mut prices = kitchen.ifind_try::<u32>("prices");
/// let mut sum = 0;
/// for price in &mut prices {
///     sum += price?;
/// }
/// assert_eq!(sum, 7);
/// kitchen.store("prices", 5)?;
/// assert_eq!(prices.next(), None); // an end lasts ...
/// prices.restart(); // ... until it is told to go on
/// assert_eq!(prices.next(), Some(Ok(5)));
/// # Ok(())
/// # }
/// ```
#[must_use = "an iterator asks for nothing until it is asked"]
#[derive(Debug)]
pub struct Iter<T> {
    inner: crate::Iter<T>,
}

impl From<crate::Workspace> for Workspace {
    fn from(inner: crate::Workspace) -> Self {
        Self { inner }
    }
}

impl From<crate::Lease> for Lease {
    fn from(inner: crate::Lease) -> Self {
        Self { inner }
    }
}

impl From<Connection> for Server {
    fn from(connection: Connection) -> Self {
        Self { inner: connection.into() }
    }
}

/// Methods that wait for the async one of the same name; the errors are the same.
macro_rules! waiting {
    ($($name:ident $(<$object:ident>)? ($($argument:ident: $type:ty),*) -> $output:ty;)*) => {
        $(
            #[doc = concat!("Waits for what the async [`", stringify!($name), "`](Self::as_async) gives.")]
            ///
            /// # Errors
            /// Those of the operation.
            pub fn $name $(<$object: FromValue>)? (&self $(, $argument: $type)*) -> Result<$output, Error> {
                self.inner.$name $(::<$object>)? ($($argument),*).wait().map(Into::into)
            }
        )*
    };
}

impl Server {
    /// Connects.
    ///
    /// # Errors
    /// [`Error::Connect`], which says why.
    pub fn connect(endpoint: &Endpoint, options: ConnectOptions) -> Result<Self, Error> {
        Ok(Connection::connect(endpoint, options)?.into())
    }

    /// The same server, for async code.
    pub fn as_async(&self) -> &crate::Server {
        &self.inner
    }

    /// The connection to it.
    pub fn connection(&self) -> &Connection {
        self.inner.connection()
    }

    waiting! {
        open(name: impl AsRef<[u8]>) -> Workspace;
        open_persistent(name: impl AsRef<[u8]>) -> Workspace;
        use_workspace(name: impl AsRef<[u8]>) -> Workspace;
        open_with(name: impl AsRef<[u8]>, mode: OpenMode, create: bool) -> Workspace;
        make_temporary(template: impl AsRef<[u8]>) -> Workspace;
        delete_workspace(name: impl AsRef<[u8]>) -> ();
        list_workspaces() -> Vec<WorkspaceInfo>;
        workspace_info(name: impl AsRef<[u8]>) -> Option<WorkspaceInfo>;
        ping() -> ();
    }
}

impl Workspace {
    /// The same workspace, for async code.
    pub fn as_async(&self) -> &crate::Workspace {
        &self.inner
    }

    /// Its name.
    pub fn name(&self) -> &[u8] {
        self.inner.name()
    }

    /// Whether this connection owns it.
    pub fn is_owned(&self) -> bool {
        self.inner.is_owned()
    }

    waiting! {
        declare(variable: impl AsRef<[u8]>, mode: Mode) -> ();
        store(variable: impl AsRef<[u8]>, value: impl IntoValue) -> ();
        fetch<T>(variable: impl AsRef<[u8]>) -> T;
        fetch_try<T>(variable: impl AsRef<[u8]>) -> Option<T>;
        fetch_timeout<T>(variable: impl AsRef<[u8]>, timeout: Duration) -> T;
        fetch_many<T>(variable: impl AsRef<[u8]>, most: u32) -> Vec<T>;
        fetch_many_try<T>(variable: impl AsRef<[u8]>, most: u32) -> Vec<T>;
        find<T>(variable: impl AsRef<[u8]>) -> T;
        find_try<T>(variable: impl AsRef<[u8]>) -> Option<T>;
        find_timeout<T>(variable: impl AsRef<[u8]>, timeout: Duration) -> T;
        fetch_long(variable: impl AsRef<[u8]>) -> LongValue;
        fetch_long_timeout(variable: impl AsRef<[u8]>, timeout: Duration) -> LongValue;
        find_long(variable: impl AsRef<[u8]>) -> LongValue;
        find_long_timeout(variable: impl AsRef<[u8]>, timeout: Duration) -> LongValue;
        fetch_lease(variable: impl AsRef<[u8]>) -> Lease;
        fetch_lease_timeout(variable: impl AsRef<[u8]>, timeout: Duration) -> Lease;
        delete_variable(variable: impl AsRef<[u8]>) -> ();
        list_variables() -> Vec<VariableInfo>;
    }

    /// Adds values in this order, all or none. At most 4,096 at a time.
    ///
    /// # Errors
    /// Those of the operation.
    pub fn store_many<V: IntoValue>(
        &self,
        variable: impl AsRef<[u8]>,
        values: impl IntoIterator<Item = V>,
    ) -> Result<(), Error> {
        self.inner.store_many(variable, values).wait()
    }

    /// Takes up to `most` values by lease; waits until there is one.
    ///
    /// # Errors
    /// Those of the operation.
    pub fn fetch_leases(&self, variable: impl AsRef<[u8]>, most: u32) -> Result<Vec<Lease>, Error> {
        Ok(self.inner.fetch_leases(variable, most).wait()?.into_iter().map(Lease::from).collect())
    }

    /// Takes up to `most` of the values that are there by lease, perhaps none.
    ///
    /// # Errors
    /// Those of the operation.
    pub fn fetch_leases_try(&self, variable: impl AsRef<[u8]>, most: u32) -> Result<Vec<Lease>, Error> {
        Ok(self.inner.fetch_leases_try(variable, most).wait()?.into_iter().map(Lease::from).collect())
    }

    /// Takes the values away one after the other, in `fifo` and `single` variables; waits for each.
    pub fn ifetch<T: FromValue>(&self, variable: impl AsRef<[u8]>) -> Iter<T> {
        Iter { inner: self.inner.ifetch(variable) }
    }

    /// Takes the values away one after the other, until there are no more.
    pub fn ifetch_try<T: FromValue>(&self, variable: impl AsRef<[u8]>) -> Iter<T> {
        Iter { inner: self.inner.ifetch_try(variable) }
    }

    /// Reads the values one after the other, each once, in `fifo` and `single` variables; waits for
    /// each.
    pub fn ifind<T: FromValue>(&self, variable: impl AsRef<[u8]>) -> Iter<T> {
        Iter { inner: self.inner.ifind(variable) }
    }

    /// Reads the values one after the other, each once, until there are no more.
    pub fn ifind_try<T: FromValue>(&self, variable: impl AsRef<[u8]>) -> Iter<T> {
        Iter { inner: self.inner.ifind_try(variable) }
    }
}

impl Lease {
    /// The value.
    pub fn value(&self) -> &Value {
        self.inner.value()
    }

    /// The value as a `T`. The lease goes on, also where the value is none.
    ///
    /// # Errors
    /// [`Error::Mismatch`].
    pub fn read<T: FromValue>(&self) -> Result<T, Error> {
        self.inner.read()
    }

    /// The lease's id.
    pub fn id(&self) -> LeaseId {
        self.inner.id()
    }

    /// How many holders died of the value so far.
    pub fn deaths(&self) -> u16 {
        self.inner.deaths()
    }

    /// Ends the lease and stores a result in a variable, in one step.
    ///
    /// # Errors
    /// [`LeaseEnded`](nws_proto::ErrorCode::LeaseEnded) where the lease has ended meanwhile; then
    /// nothing is stored.
    pub fn finish(
        self,
        workspace: &Workspace,
        variable: impl AsRef<[u8]>,
        result: impl IntoValue,
    ) -> Result<(), Error> {
        self.inner.finish(&workspace.inner, variable, result).wait()
    }

    /// Ends the lease without a result: the value is done, and gone.
    ///
    /// # Errors
    /// [`LeaseEnded`](nws_proto::ErrorCode::LeaseEnded) where the lease has ended meanwhile: the value
    /// may be somebody else's by now.
    pub fn done(self) -> Result<(), Error> {
        self.inner.done().wait()
    }

    /// Gives the value back to its place.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn release(self) -> Result<(), Error> {
        self.inner.release().wait()
    }
}

impl<T: FromValue> Iter<T> {
    /// Waits no longer than this for each value; then it is [`Error::TimedOut`], and the iterator can
    /// go on.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { inner: self.inner.timeout(timeout) }
    }

    /// Goes back to the beginning of the variable, as if the iterator had just been made.
    pub fn reset(&mut self) {
        self.inner.reset();
    }

    /// Goes on after an end, behind the value that was seen last.
    pub fn restart(&mut self) {
        self.inner.restart();
    }
}

impl<T: FromValue> Iterator for Iter<T> {
    type Item = Result<T, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.inner.wait_next()
    }
}
