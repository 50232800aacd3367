//! A value that is read part by part.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use nws_proto::{
    Descriptor, ErrorCode, Fault, Given, Grant, Index, LeaseId, LongRequest, ReadingId, Reply, Request, VariableId,
    limits,
};

use super::wait_for;
use crate::awaited::Awaited;
use crate::{Call, Connection, Error, Workspace};

/// Parts that are asked for ahead.
const PARTS_AHEAD: usize = 4;

/// Where the bytes are.
#[derive(Debug)]
enum Source {
    Here(Option<Bytes>),
    Reading {
        id: ReadingId,
        asked_bytes: u64,
        /// What was asked for, with the length that is to come. A part stays here until it is given out.
        ahead: VecDeque<(u64, Awaited<Bytes>)>,
        failed: Option<Error>,
    },
}

/// A value that is read part by part: a few MiB of it are in memory at a time.
///
/// One that was fetched is held by lease until it is [`done`](LongValue::done). Dropped before, it is
/// back at its place.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/served.rs"));
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nws_client::Error> {
/// # let (endpoint, options) = served();
/// use nws_client::Server;
/// use nws_proto::{Descriptor, Language};
///
/// let films = Server::connect(&endpoint, options).await?.open("films").await?;
/// let mut film = films.begin_long();
/// for scene in ["a door", " opens", " slowly"] {
///     film.push(scene.into()).await?;
/// }
/// film.store("new", Descriptor::bytes(Language::Rust)).await?; // from here on others see it
///
/// let mut film = films.fetch_long("new").await?;
/// let mut length = 0;
/// while let Some(part) = film.next_part().await? {
///     length += part.len();
/// }
/// film.done().await?; // had it been dropped instead, the film would be back
/// assert_eq!(length, 19);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct LongValue {
    connection: Connection,
    /// Not to be closed while its value is read.
    _workspace: Option<Workspace>,
    variable: VariableId,
    index: Index,
    descriptor: Descriptor,
    len_bytes: u64,
    lease: Option<LeaseId>,
    source: Source,
}

impl LongValue {
    pub(crate) fn of(connection: Connection, _workspace: Option<Workspace>, reply: Reply<Given>) -> Option<Self> {
        let Reply::Values { variable, first_lease, values } = reply else { return None };
        let Grant { index, item, .. } = values.into_iter().next()?;
        let (len_bytes, source) = match item.value {
            Given::Here(bytes) => (bytes.len() as u64, Source::Here(Some(bytes))),
            Given::Reading { reading, len_bytes } => {
                (len_bytes, Source::Reading { id: reading, asked_bytes: 0, ahead: VecDeque::new(), failed: None })
            }
        };
        let lease = (first_lease.0 != 0).then_some(first_lease);
        let descriptor = item.descriptor;
        Some(Self { connection, _workspace, variable, index, descriptor, len_bytes, lease, source })
    }

    /// How to read the bytes.
    pub fn descriptor(&self) -> Descriptor {
        self.descriptor
    }

    /// The value's length in bytes.
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// Where it is from, for who goes on behind it: see [`Workspace::find_long_next`].
    pub fn place(&self) -> (VariableId, Index) {
        (self.variable, self.index)
    }

    /// The next bytes; `None` at the end. What this gives may be dropped and asked for again, as `select!`
    /// does: no bytes are lost. Once it has failed it fails for the same reason again.
    ///
    /// # Errors
    /// [`Error::Closed`] where the connection has ended.
    pub async fn next_part(&mut self) -> Result<Option<Bytes>, Error> {
        poll_fn(|context| self.poll_next_part(context)).await
    }

    /// As [`LongValue::next_part`], for who polls.
    ///
    /// # Errors
    /// Those of [`LongValue::next_part`].
    pub fn poll_next_part(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        let (id, asked_bytes, ahead, failed) = match &mut self.source {
            Source::Here(bytes) => return Poll::Ready(Ok(bytes.take().filter(|bytes| !bytes.is_empty()))),
            Source::Reading { id, asked_bytes, ahead, failed } => (*id, asked_bytes, ahead, failed),
        };
        if let Some(error) = failed {
            return Poll::Ready(Err(error.clone()));
        }
        while ahead.len() < PARTS_AHEAD && *asked_bytes < self.len_bytes {
            let length = u64::from(limits::PART_BYTES).min(self.len_bytes - *asked_bytes);
            ahead.push_back((length, self.connection.read_part(id, *asked_bytes, limits::PART_BYTES)));
            *asked_bytes += length;
        }
        let Some((length, oldest)) = ahead.front_mut() else { return Poll::Ready(Ok(None)) };
        let Poll::Ready(outcome) = Pin::new(oldest).poll(context) else { return Poll::Pending };
        let outcome = match outcome {
            Ok(bytes) if bytes.len() as u64 != *length => Err(torn(*length, bytes.len())),
            outcome => outcome,
        };
        ahead.pop_front();
        if let Err(error) = &outcome {
            ahead.clear();
            *failed = Some(error.clone());
        }
        Poll::Ready(outcome.map(Some))
    }

    /// As [`LongValue::next_part`], on this thread.
    pub(crate) fn wait_next_part(&mut self) -> Result<Option<Bytes>, Error> {
        let connection = self.connection.clone();
        wait_for(&connection, |context| self.poll_next_part(context))
    }

    /// The value is done; if it was fetched, it is gone. Where it was given back meanwhile, as by its
    /// variable's end, it is [`LeaseEnded`](nws_proto::ErrorCode::LeaseEnded).
    pub fn done(mut self) -> Call<()> {
        match self.lease.take() {
            Some(lease) => crate::lease::end(&self.connection, lease),
            None => Call::over(Ok(())),
        }
    }
}

impl Drop for LongValue {
    fn drop(&mut self) {
        if let Source::Reading { id, .. } = self.source {
            self.connection.request_long_and_forget(&LongRequest::CloseReading { reading: id, give_back: false });
        }
        if let Some(lease) = self.lease {
            let release = Request::Release { leases: vec![lease], died: false, recalled: false };
            self.connection.request_and_forget(&release);
        }
    }
}

/// A part that is not what was asked for: a defect of the server.
fn torn(expected_bytes: u64, got_bytes: usize) -> Error {
    let message = format!("expected {expected_bytes} bytes of a long value, the server sent {got_bytes}");
    Error::Fault(Fault::new(ErrorCode::Internal, message))
}
