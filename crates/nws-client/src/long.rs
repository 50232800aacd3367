//! Values that are written and read part by part, in bounded memory, however long they are.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use nws_proto::{
    Descriptor, Given, Grant, Index, Item, LeaseId, LongRequest, ReadingId, Reply, Request, TransferId, VariableId,
    limits,
};

use crate::awaited::Awaited;
use crate::call::done;
use crate::in_flight::Outcome;
use crate::transfer::part_bytes;
use crate::{Call, Connection, Error, Pending, Workspace};

/// Parts that are on their way at a time, in and out.
const PARTS_AHEAD: usize = 4;

type Read1<T> = Box<dyn FnOnce(Outcome<Reply<Given>>) -> Result<T, Error> + Send>;

/// A retrieval of a long value that was begun: await it, or [`wait`](LongCall::wait) for it. Dropping it
/// ends its wait, and the value stays at its place.
#[must_use = "dropping it cancels the wait"]
pub struct LongCall<T> {
    awaited: Awaited<Reply<Given>>,
    read: Option<Read1<T>>,
}

impl<T> std::fmt::Debug for LongCall<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LongCall").field("awaited", &self.awaited).finish_non_exhaustive()
    }
}

impl<T> LongCall<T> {
    pub(crate) fn new(
        awaited: Awaited<Reply<Given>>,
        read: impl FnOnce(Outcome<Reply<Given>>) -> Result<T, Error> + Send + 'static,
    ) -> Self {
        Self { awaited, read: Some(Box::new(read)) }
    }

    /// Waits on this thread.
    ///
    /// # Errors
    /// Those of the operation.
    pub fn wait(self) -> Result<T, Error> {
        let outcome = self.awaited.wait();
        self.read.map_or_else(|| Err(Error::misuse("the outcome was taken already")), |read| read(outcome))
    }
}

impl<T> Future for LongCall<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Poll::Ready(outcome) = Pin::new(&mut self.awaited).poll(context) else { return Poll::Pending };
        Poll::Ready(match self.read.take() {
            Some(read) => read(outcome),
            None => Err(Error::misuse("the outcome was taken already")),
        })
    }
}

/// Where the bytes are.
#[derive(Debug)]
enum Source {
    Here(Option<Bytes>),
    Reading { id: ReadingId, asked_bytes: u64, ahead: VecDeque<Awaited<Bytes>> },
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
    _workspace: Workspace,
    variable: VariableId,
    index: Index,
    descriptor: Descriptor,
    len_bytes: u64,
    lease: Option<LeaseId>,
    source: Source,
}

impl LongValue {
    pub(crate) fn of(workspace: &Workspace, reply: Reply<Given>) -> Option<Self> {
        let Reply::Values { variable, first_lease, values } = reply else { return None };
        let Grant { index, item, .. } = values.into_iter().next()?;
        let (len_bytes, source) = match item.value {
            Given::Here(bytes) => (bytes.len() as u64, Source::Here(Some(bytes))),
            Given::Reading { reading, len_bytes } => {
                (len_bytes, Source::Reading { id: reading, asked_bytes: 0, ahead: VecDeque::new() })
            }
        };
        let lease = (first_lease.0 != 0).then_some(first_lease);
        let (connection, descriptor) = (workspace.connection().clone(), item.descriptor);
        let _workspace = workspace.clone();
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

    /// Where it is from, for who goes on behind it: see [`nws_proto::Cursor::After`].
    pub fn place(&self) -> (VariableId, Index) {
        (self.variable, self.index)
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Closed`] where the connection has ended.
    pub async fn next_part(&mut self) -> Result<Option<Bytes>, Error> {
        match self.begin_part() {
            Ok(Some(part)) => Ok(Some(part.await?)),
            Ok(None) => Ok(None),
            Err(bytes) => Ok(Some(bytes)),
        }
    }

    /// As [`LongValue::next_part`], on this thread.
    pub(crate) fn wait_next_part(&mut self) -> Result<Option<Bytes>, Error> {
        match self.begin_part() {
            Ok(Some(part)) => Ok(Some(part.wait()?)),
            Ok(None) => Ok(None),
            Err(bytes) => Ok(Some(bytes)),
        }
    }

    /// Asks ahead, and gives the oldest part that was asked for; as an error what is here already.
    fn begin_part(&mut self) -> Result<Option<Awaited<Bytes>>, Bytes> {
        match &mut self.source {
            Source::Here(bytes) => bytes.take().filter(|bytes| !bytes.is_empty()).map_or(Ok(None), Err),
            Source::Reading { id, asked_bytes, ahead } => {
                while ahead.len() < PARTS_AHEAD && *asked_bytes < self.len_bytes {
                    ahead.push_back(self.connection.read_part(*id, *asked_bytes, limits::PART_BYTES));
                    *asked_bytes += u64::from(limits::PART_BYTES).min(self.len_bytes - *asked_bytes);
                }
                Ok(ahead.pop_front())
            }
        }
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

/// A value that is sent part by part, before anybody sees it. Dropped, it is forgotten.
#[derive(Debug)]
pub struct LongStore {
    workspace: Workspace,
    transfer: TransferId,
    begun: bool,
    ahead: VecDeque<Pending>,
}

impl LongStore {
    pub(crate) fn new(workspace: Workspace) -> Self {
        let transfer = workspace.connection().new_transfer();
        Self { workspace, transfer, begun: false, ahead: VecDeque::new() }
    }

    /// Sends these bytes behind those that were sent before. Waits where the server has not written what
    /// came some MiB before: so memory is bounded however slow the disk is.
    ///
    /// # Errors
    /// [`DiskFull`](nws_proto::ErrorCode::DiskFull), [`ValueTooLong`](nws_proto::ErrorCode::ValueTooLong).
    pub async fn push(&mut self, bytes: Bytes) -> Result<(), Error> {
        for part in self.cut(bytes) {
            if let Some(oldest) = self.send(part) {
                done(oldest.await)?;
            }
        }
        Ok(())
    }

    /// As [`LongStore::push`], on this thread.
    pub(crate) fn wait_push(&mut self, bytes: Bytes) -> Result<(), Error> {
        for part in self.cut(bytes) {
            if let Some(oldest) = self.send(part) {
                done(oldest.wait())?;
            }
        }
        Ok(())
    }

    fn cut(&self, bytes: Bytes) -> impl Iterator<Item = Bytes> + use<> {
        let most = part_bytes(self.workspace.connection().payload_limit_bytes());
        (0..bytes.len()).step_by(most).map(move |start| bytes.slice(start..bytes.len().min(start + most)))
    }

    /// Sends a part; the answer that is to be waited for before the next.
    fn send(&mut self, bytes: Bytes) -> Option<Pending> {
        let (connection, transfer) = (self.workspace.connection(), self.transfer);
        if !self.begun {
            self.begun = true;
            self.ahead.push_back(connection.request_long(&LongRequest::BeginTransfer { transfer }));
        }
        self.ahead.push_back(connection.request_long(&LongRequest::TransferPart { transfer, bytes }));
        if self.ahead.len() > PARTS_AHEAD { self.ahead.pop_front() } else { None }
    }

    /// Adds what was sent as one value, to be read as the descriptor says.
    ///
    /// # Errors
    /// Of the call: what went wrong with a part is told here too.
    pub fn store(mut self, variable: impl AsRef<[u8]>, descriptor: Descriptor) -> Call<()> {
        if !self.begun {
            let item = Item { descriptor, value: Bytes::new() };
            return self.workspace.store_items(variable.as_ref(), vec![item]);
        }
        self.begun = false;
        let item = Item { descriptor, value: self.transfer };
        self.workspace.store_transferred(variable.as_ref(), item)
    }
}

impl Drop for LongStore {
    fn drop(&mut self) {
        if self.begun {
            let forget = LongRequest::DropTransfer { transfer: self.transfer };
            self.workspace.connection().request_long_and_forget(&forget);
        }
    }
}

/// Stores all that can be read, as one value; how many bytes that were.
pub(crate) fn store_from(
    workspace: &Workspace,
    variable: &[u8],
    descriptor: Descriptor,
    mut reader: impl Read,
) -> Result<u64, Error> {
    let failed = |error| Error::io("reading what is to be stored", &error);
    let most = part_bytes(workspace.connection().payload_limit_bytes());
    let first = fill(&mut reader, most).map_err(failed)?;
    let mut length = first.len() as u64;
    if first.len() < most {
        // It fits a frame.
        let item = Item { descriptor, value: first };
        workspace.store_items(variable, vec![item]).wait()?;
        return Ok(length);
    }
    let mut store = LongStore::new(workspace.clone());
    store.wait_push(first)?;
    loop {
        let part = fill(&mut reader, most).map_err(failed)?;
        if part.is_empty() {
            store.store(variable, descriptor).wait()?;
            return Ok(length);
        }
        length += part.len() as u64;
        store.wait_push(part)?;
    }
}

/// Reads until there are so many bytes, or no more.
fn fill(reader: &mut impl Read, most: usize) -> io::Result<Bytes> {
    let mut bytes = Vec::with_capacity(most);
    reader.by_ref().take(most as u64).read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

/// Writes a value, and is done with it; if that fails a fetched one is back at its place.
pub(crate) fn write_to(mut value: LongValue, mut writer: impl Write) -> Result<Descriptor, Error> {
    let failed = |error| Error::io("writing the value", &error);
    while let Some(part) = value.wait_next_part()? {
        writer.write_all(&part).map_err(failed)?;
    }
    writer.flush().map_err(failed)?;
    let descriptor = value.descriptor();
    value.done().wait()?;
    Ok(descriptor)
}
