//! Values that are stored and retrieved part by part.

use std::time::Duration;

use nws_proto::{Cursor, Descriptor, Index, VariableId, Wait};

use super::{ONE, Workspace, retrieve, to_wait};
use crate::awaited::Awaited;
use crate::call::done;
use crate::{Call, Error, LongCall, LongStore, LongValue, Transfer};

impl Workspace {
    /// Begins a value that is sent part by part: see [`LongStore`].
    pub fn begin_long(&self) -> LongStore {
        LongStore::new(self.clone())
    }

    /// Takes a value away to read it part by part; waits until there is one. It is held by lease until
    /// it is done: see [`LongValue`].
    pub fn fetch_long(&self, variable: impl AsRef<[u8]>) -> LongCall<LongValue> {
        self.long(variable.as_ref(), true, Wait::Forever, Cursor::Mode, some)
    }

    /// As [`Workspace::fetch_long`], where there is a value.
    pub fn fetch_long_try(&self, variable: impl AsRef<[u8]>) -> LongCall<Option<LongValue>> {
        self.long(variable.as_ref(), true, Wait::No, Cursor::Mode, Ok)
    }

    /// As [`Workspace::fetch_long`], but after `timeout` it is [`Error::TimedOut`].
    pub fn fetch_long_timeout(&self, variable: impl AsRef<[u8]>, timeout: Duration) -> LongCall<LongValue> {
        self.long(variable.as_ref(), true, to_wait(timeout), Cursor::Mode, some)
    }

    /// Reads a value part by part and leaves it where it is; waits until there is one.
    pub fn find_long(&self, variable: impl AsRef<[u8]>) -> LongCall<LongValue> {
        self.long(variable.as_ref(), false, Wait::Forever, Cursor::Mode, some)
    }

    /// As [`Workspace::find_long`], where there is a value.
    pub fn find_long_try(&self, variable: impl AsRef<[u8]>) -> LongCall<Option<LongValue>> {
        self.long(variable.as_ref(), false, Wait::No, Cursor::Mode, Ok)
    }

    /// As [`Workspace::find_long`], but after `timeout` it is [`Error::TimedOut`].
    pub fn find_long_timeout(&self, variable: impl AsRef<[u8]>, timeout: Duration) -> LongCall<LongValue> {
        self.long(variable.as_ref(), false, to_wait(timeout), Cursor::Mode, some)
    }

    /// Reads the value behind a [`place`](LongValue::place) part by part, or the oldest, where there is one, in
    /// `fifo` and `single` variables: so each is read once.
    pub fn find_long_next(
        &self,
        variable: impl AsRef<[u8]>,
        behind: Option<(VariableId, Index)>,
    ) -> LongCall<Option<LongValue>> {
        let cursor = behind.map_or(Cursor::Oldest, |(variable, index)| Cursor::After { variable, index });
        self.long(variable.as_ref(), false, Wait::No, cursor, Ok)
    }

    fn long<T: 'static>(
        &self,
        variable: &[u8],
        take: bool,
        wait: Wait,
        cursor: Cursor,
        read: impl FnOnce(Option<LongValue>) -> Result<T, Error> + Send + 'static,
    ) -> LongCall<T> {
        let connection = &self.inner.opened.connection;
        if connection.is_foreign() {
            return LongCall::new(Awaited::over(Err(Error::Forked)), |outcome| outcome.and_then(|_| read(None)));
        }
        let bound = self.inner.variables.bound(connection, self.inner.opened.handle, variable);
        let request = retrieve(bound.handle, take, take, wait, cursor, ONE);
        let workspace = self.clone();
        LongCall::new(connection.request_unread(&request), move |outcome| {
            let reply = outcome.map_err(|error| bound.explain(error))?;
            read(LongValue::of(workspace.connection().clone(), Some(workspace), reply))
        })
    }

    pub(crate) fn store_transfer(&self, variable: &[u8], transfer: Transfer, descriptor: Descriptor) -> Call<()> {
        let connection = self.connection();
        if connection.is_foreign() {
            return Call::over(Err(Error::Forked));
        }
        let bound = self.inner.variables.bound(connection, self.inner.opened.handle, variable);
        let workspace = self.clone();
        Call::new(transfer.store(bound.handle, descriptor), move |outcome| {
            drop(workspace);
            done(outcome).map_err(|error| bound.explain(error))
        })
    }
}

fn some(value: Option<LongValue>) -> Result<LongValue, Error> {
    value.ok_or(Error::TimedOut)
}
