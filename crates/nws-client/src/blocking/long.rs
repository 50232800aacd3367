//! Long values, part by part.

use std::io::{Read, Write};
use std::time::Duration;

use bytes::Bytes;
use nws_proto::Descriptor;

use super::Workspace;
use crate::{Error, long};

/// A value that is sent part by part; see [`crate::LongStore`].
#[derive(Debug)]
pub struct LongStore {
    inner: crate::LongStore,
}

/// A value that is read part by part; see [`crate::LongValue`].
#[derive(Debug)]
pub struct LongValue {
    inner: crate::LongValue,
}

impl LongStore {
    /// Sends these bytes behind those that were sent before.
    ///
    /// # Errors
    /// Those of [`crate::LongStore::push`].
    pub fn push(&mut self, bytes: impl Into<Bytes>) -> Result<(), Error> {
        self.inner.wait_push(bytes.into())
    }

    /// Adds what was sent as one value, to be read as the descriptor says.
    ///
    /// # Errors
    /// Those of the operation; what went wrong with a part is told here too.
    pub fn store(self, variable: impl AsRef<[u8]>, descriptor: Descriptor) -> Result<(), Error> {
        self.inner.store(variable, descriptor).wait()
    }
}

impl From<crate::LongValue> for LongValue {
    fn from(inner: crate::LongValue) -> Self {
        Self { inner }
    }
}

impl From<LongValue> for crate::LongValue {
    fn from(value: LongValue) -> Self {
        value.inner
    }
}

impl LongValue {
    /// How to read the bytes.
    pub fn descriptor(&self) -> Descriptor {
        self.inner.descriptor()
    }

    /// The value's length in bytes.
    pub fn len_bytes(&self) -> u64 {
        self.inner.len_bytes()
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// Those of [`crate::LongValue::next_part`].
    pub fn next_part(&mut self) -> Result<Option<Bytes>, Error> {
        self.inner.wait_next_part()
    }

    /// The value is done; if it was fetched, it is gone.
    ///
    /// # Errors
    /// Those of [`crate::LongValue::done`].
    pub fn done(self) -> Result<(), Error> {
        self.inner.done().wait()
    }
}

impl Workspace {
    /// Takes a value away to read it part by part, where there is one.
    ///
    /// # Errors
    /// Those of the operation.
    pub fn fetch_long_try(&self, variable: impl AsRef<[u8]>) -> Result<Option<LongValue>, Error> {
        Ok(self.as_async().fetch_long_try(variable).wait()?.map(LongValue::from))
    }

    /// Reads a value part by part and leaves it where it is, where there is one.
    ///
    /// # Errors
    /// Those of the operation.
    pub fn find_long_try(&self, variable: impl AsRef<[u8]>) -> Result<Option<LongValue>, Error> {
        Ok(self.as_async().find_long_try(variable).wait()?.map(LongValue::from))
    }

    /// Begins a value that is sent part by part.
    pub fn begin_long(&self) -> LongStore {
        LongStore { inner: self.as_async().begin_long() }
    }

    /// Stores all that can be read as one value, in bounded memory; says how many bytes that were. Where
    /// reading fails nothing is stored.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/served.rs"));
    /// # fn main() -> Result<(), nws_client::Error> {
    /// # let (endpoint, options) = served();
    /// use nws_proto::{Descriptor, Language};
    ///
    /// let films = nws_client::blocking::Server::connect(&endpoint, options)?.open("films")?;
    /// let film = b"a door opens slowly"; // or a file
    /// films.store_from("new", Descriptor::bytes(Language::Rust), &film[..])?;
    /// let mut copy = Vec::new(); // or a file
    /// films.fetch_to("new", &mut copy)?;
    /// assert_eq!(copy, film);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`] where reading fails, and those of the operation.
    pub fn store_from(
        &self,
        variable: impl AsRef<[u8]>,
        descriptor: Descriptor,
        reader: impl Read,
    ) -> Result<u64, Error> {
        long::store_from(self.as_async(), variable.as_ref(), descriptor, reader)
    }

    /// Takes a value away and writes its bytes, in bounded memory; waits until there is one. Where
    /// writing fails it is back at its place. Says how to read the bytes.
    ///
    /// # Errors
    /// [`Error::Io`] where writing fails, and those of the operation.
    pub fn fetch_to(&self, variable: impl AsRef<[u8]>, writer: impl Write) -> Result<Descriptor, Error> {
        long::write_to(self.as_async().fetch_long(variable).wait()?, writer)
    }

    /// As [`Workspace::fetch_to`], where there is a value; `None` where there is none.
    ///
    /// # Errors
    /// Those of [`Workspace::fetch_to`].
    pub fn fetch_to_try(&self, variable: impl AsRef<[u8]>, writer: impl Write) -> Result<Option<Descriptor>, Error> {
        self.as_async().fetch_long_try(variable).wait()?.map(|value| long::write_to(value, writer)).transpose()
    }

    /// As [`Workspace::fetch_to`], but where no value comes within `timeout` it is [`Error::TimedOut`].
    ///
    /// # Errors
    /// Those of [`Workspace::fetch_to`].
    pub fn fetch_to_timeout(
        &self,
        variable: impl AsRef<[u8]>,
        writer: impl Write,
        timeout: Duration,
    ) -> Result<Descriptor, Error> {
        long::write_to(self.as_async().fetch_long_timeout(variable, timeout).wait()?, writer)
    }

    /// Writes a value's bytes, in bounded memory, and leaves it where it is; waits until there is one.
    ///
    /// # Errors
    /// Those of [`Workspace::fetch_to`].
    pub fn find_to(&self, variable: impl AsRef<[u8]>, writer: impl Write) -> Result<Descriptor, Error> {
        long::write_to(self.as_async().find_long(variable).wait()?, writer)
    }

    /// As [`Workspace::find_to`], where there is a value; `None` where there is none.
    ///
    /// # Errors
    /// Those of [`Workspace::fetch_to`].
    pub fn find_to_try(&self, variable: impl AsRef<[u8]>, writer: impl Write) -> Result<Option<Descriptor>, Error> {
        self.as_async().find_long_try(variable).wait()?.map(|value| long::write_to(value, writer)).transpose()
    }

    /// As [`Workspace::find_to`], but where no value comes within `timeout` it is [`Error::TimedOut`].
    ///
    /// # Errors
    /// Those of [`Workspace::fetch_to`].
    pub fn find_to_timeout(
        &self,
        variable: impl AsRef<[u8]>,
        writer: impl Write,
        timeout: Duration,
    ) -> Result<Descriptor, Error> {
        long::write_to(self.as_async().find_long_timeout(variable, timeout).wait()?, writer)
    }
}
