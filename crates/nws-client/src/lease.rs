//! A value that was handed out and is not done yet.

use bytes::Bytes;
use nws_proto::{Fault, FinishItem, Grant, Index, LeaseId, Reply, Request};

use crate::call::{done, unexpected};
use crate::in_flight::Outcome;
use crate::{Call, Connection, Error, FromValue, IntoValue, Value, Workspace};

/// A value taken by lease: [`finish`](Lease::finish) it when its work is done, or say that it is
/// [`done`](Lease::done) where there is no result. Dropping it releases it.
///
/// While it lasts, nobody else gets the value; when it is released, or this connection ends, the
/// value is back at its own place. So the work of a value may be done twice, but its result is
/// stored once.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/served.rs"));
/// # fn main() -> Result<(), nws_client::Error> {
/// # let (endpoint, options) = served();
/// let kitchen = nws_client::blocking::Server::connect(&endpoint, options)?.open("kitchen")?;
/// kitchen.store("orders", "soup")?;
/// let order = kitchen.fetch_lease("orders")?;
/// assert_eq!(kitchen.find_try::<String>("orders")?, None);
/// drop(order); // not done: it is back
/// let order = kitchen.fetch_lease("orders")?;
/// let dish = format!("hot {}", order.read::<String>()?);
/// order.finish(&kitchen, "dishes", dish)?;
/// assert_eq!(kitchen.fetch::<String>("dishes")?, "hot soup");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Lease {
    connection: Connection,
    id: LeaseId,
    index: Index,
    deaths: u16,
    value: Value,
    /// Finished or released.
    ended: bool,
}

impl Lease {
    pub(crate) fn new(connection: Connection, id: LeaseId, grant: Grant<Bytes>) -> Self {
        let Grant { index, deaths, item } = grant;
        Self { connection, id, index, deaths, value: item.into(), ended: false }
    }

    /// The value.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The value as a `T`. The lease goes on, also where the value is none.
    ///
    /// # Errors
    /// [`Error::Mismatch`].
    pub fn read<T: FromValue>(&self) -> Result<T, Error> {
        T::from_value(&self.value)
    }

    /// The lease's id.
    pub fn id(&self) -> LeaseId {
        self.id
    }

    /// The value's place in its variable.
    pub fn index(&self) -> Index {
        self.index
    }

    /// How many holders died of the value so far.
    pub fn deaths(&self) -> u16 {
        self.deaths
    }

    /// Ends the lease and stores a result in a variable, in one step. Where the lease has ended
    /// meanwhile, nothing is stored, and it is [`LeaseEnded`](nws_proto::ErrorCode::LeaseEnded).
    /// Where the result cannot be stored, the value is given back.
    pub fn finish(mut self, workspace: &Workspace, variable: impl AsRef<[u8]>, result: impl IntoValue) -> Call<()> {
        let result = match result.into_value() {
            Ok(result) => result.into(),
            Err(error) => return Call::over(Err(error.about(variable.as_ref()))),
        };
        let item = FinishItem { lease: self.id, result };
        let call = workspace.request(
            variable.as_ref(),
            |outcome| finished(outcome, FINISHED_LATE),
            |variable| Request::Finish { variable, items: vec![item] },
        );
        // What could not even be sent leaves the lease to be released.
        self.ended = call.was_sent();
        call
    }

    /// Ends the lease without a result: the value is done, and gone. Where the lease has ended
    /// meanwhile, it is [`LeaseEnded`](nws_proto::ErrorCode::LeaseEnded): the value may be somebody else's by now.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/served.rs"));
    /// # fn main() -> Result<(), nws_client::Error> {
    /// # let (endpoint, options) = served();
    /// let kitchen = nws_client::blocking::Server::connect(&endpoint, options)?.open("kitchen")?;
    /// kitchen.store("letters", "Dear cook")?;
    /// let letter = kitchen.fetch_lease("letters")?;
    /// println!("{}", letter.read::<String>()?); // had this failed, the letter would be back
    /// letter.done()?;
    /// assert_eq!(kitchen.fetch_try::<String>("letters")?, None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn done(mut self) -> Call<()> {
        self.ended = true;
        end(&self.connection, self.id)
    }

    /// Gives the value back to its place.
    pub fn release(mut self) -> Call<()> {
        self.ended = true;
        Call::new(self.connection.request(self.release_request()), done)
    }

    fn release_request(&self) -> Request<Bytes> {
        Request::Release { leases: vec![self.id], died: false, recalled: false }
    }
}

/// Ends a lease without a result.
pub(crate) fn end(connection: &Connection, lease: LeaseId) -> Call<()> {
    let request = Request::ReleaseDone { leases: vec![lease] };
    Call::new(connection.request(request), |outcome| finished(outcome, DONE_LATE))
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.ended {
            self.connection.request_and_forget(&self.release_request());
        }
    }
}

const FINISHED_LATE: &str = "the lease has ended, so the result was not stored; somebody else does the work, or its \
                            variable was deleted";
const DONE_LATE: &str = "the lease had ended before its value was done; the value was given back, or its variable \
                         was deleted";

/// Whether the one lease of a request was still there; `late` is the message where it was not.
fn finished(outcome: Outcome, late: &str) -> Result<(), Error> {
    match outcome? {
        Reply::Finished { refused } => match refused.first() {
            None => Ok(()),
            Some((_, code)) => Err(Fault::new(*code, late).into()),
        },
        reply => Err(unexpected(&reply)),
    }
}
