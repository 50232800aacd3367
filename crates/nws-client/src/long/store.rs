//! A value that is sent part by part.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use nws_proto::{Descriptor, ErrorCode, Item, LongRequest, Reply, Request, TransferId, VariableHandle};

use super::wait_for;
use crate::in_flight::Outcome;
use crate::transfer::part_bytes;
use crate::{Call, Connection, Error, Pending, Pieces, Workspace};

/// Parts that are on their way before the next bytes are taken.
const PARTS_AHEAD: usize = 4;
/// What is gathered before anything is sent: a value that has no more goes in one request, so that the
/// server can keep it in memory. What is sent in parts goes to its disk.
const WHOLE_BYTES: u64 = 32 << 20;

/// A value that is sent part by part, before anybody sees it. Dropped, it is forgotten.
///
/// Up to 32 MiB are gathered and go in one request, which the server keeps in memory where it has room.
/// What is longer goes to its disk as it comes, a few MiB at a time; where the server has none, all of it is
/// gathered for its memory.
#[derive(Debug)]
pub struct LongStore {
    workspace: Workspace,
    transfer: Transfer,
}

impl LongStore {
    pub(crate) fn new(workspace: Workspace) -> Self {
        let transfer = workspace.connection().begin_transfer();
        Self { workspace, transfer }
    }

    /// Adds these bytes behind those that were pushed before. Waits where the server has not written what
    /// came some MiB before: so memory is bounded however slow the disk is.
    ///
    /// What this gives may be dropped before it is done, as `select!` and timeouts do: then none of the bytes
    /// were added, and they can be pushed again.
    ///
    /// # Errors
    /// [`DiskFull`](nws_proto::ErrorCode::DiskFull), [`ValueTooLong`](nws_proto::ErrorCode::ValueTooLong). Once
    /// it has failed, everything fails for the same reason.
    pub async fn push(&mut self, bytes: Bytes) -> Result<(), Error> {
        let mut bytes = bytes;
        poll_fn(|context| self.transfer.poll_push(context, &mut bytes)).await
    }

    /// As [`LongStore::push`], on this thread.
    pub(crate) fn wait_push(&mut self, mut bytes: Bytes) -> Result<(), Error> {
        let connection = self.workspace.connection().clone();
        wait_for(&connection, |context| self.transfer.poll_push(context, &mut bytes))
    }

    /// Adds what was pushed as one value, to be read as the descriptor says.
    ///
    /// # Errors
    /// Of the call: what went wrong with a part is told here too.
    pub fn store(self, variable: impl AsRef<[u8]>, descriptor: Descriptor) -> Call<()> {
        self.workspace.store_transfer(variable.as_ref(), self.transfer, descriptor)
    }
}

/// The bytes of a [`LongStore`] on their way, for who has handles of his own: [`Connection::begin_transfer`]
/// makes them. Dropped, they are forgotten.
#[derive(Debug)]
pub struct Transfer {
    connection: Connection,
    id: TransferId,
    stage: Stage,
    /// In order; nothing once they are sent.
    gathered: Vec<Bytes>,
    gathered_bytes: u64,
    /// Answers that are to come.
    ahead: VecDeque<Pending>,
}

#[derive(Debug)]
enum Stage {
    /// Nothing is sent.
    Gathering,
    /// So many bytes of what is gathered are sent, to see whether the server has a disk for them.
    Asking(usize),
    /// Parts go out as they come.
    Sending,
    /// The server has no disk, for this reason: it is to be one request, however long.
    Whole(Error),
    /// For this reason nothing comes of it.
    Failed(Error),
    /// It is stored, or was.
    Over,
}

impl Transfer {
    pub(crate) fn new(connection: Connection, id: TransferId) -> Self {
        Self {
            connection,
            id,
            stage: Stage::Gathering,
            gathered: Vec::new(),
            gathered_bytes: 0,
            ahead: VecDeque::new(),
        }
    }

    /// Takes the bytes when there is room for them: until this is `Ready` none of them are taken.
    ///
    /// # Errors
    /// Those of [`LongStore::push`].
    pub fn poll_push(&mut self, context: &mut Context<'_>, bytes: &mut Bytes) -> Poll<Result<(), Error>> {
        loop {
            let together_bytes = self.gathered_bytes + bytes.len() as u64;
            match &self.stage {
                // A first push that is longer lies in memory anyway.
                Stage::Gathering if self.gathered.is_empty() || together_bytes <= WHOLE_BYTES => {
                    self.gather(std::mem::take(bytes));
                    return Poll::Ready(Ok(()));
                }
                Stage::Gathering => self.ask(),
                Stage::Whole(_) if together_bytes <= u64::from(self.connection.payload_limit_bytes()) => {
                    self.gather(std::mem::take(bytes));
                    return Poll::Ready(Ok(()));
                }
                Stage::Sending if self.ahead.len() < PARTS_AHEAD => {
                    self.send(std::mem::take(bytes));
                    return Poll::Ready(Ok(()));
                }
                Stage::Asking(_) | Stage::Sending => {
                    let Poll::Ready(outcome) = self.poll_oldest(context) else { return Poll::Pending };
                    self.go_on(outcome);
                }
                Stage::Whole(error) => self.stage = Stage::Failed(error.clone()),
                Stage::Failed(error) => return Poll::Ready(Err(error.clone())),
                Stage::Over => return Poll::Ready(Err(Error::misuse("the value was stored already"))),
            }
        }
    }

    /// Sends the request that stores the value in this variable.
    pub fn store(mut self, variable: VariableHandle, descriptor: Descriptor) -> Pending {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Sending => {
                let items = vec![Item { descriptor, value: self.id }];
                self.connection.request_stored(&Request::Store { variable, items })
            }
            Stage::Failed(error) => Pending::failed(error),
            stage => {
                if matches!(stage, Stage::Asking(_)) {
                    self.forget();
                }
                let mut gathered = std::mem::take(&mut self.gathered).into_iter();
                let value = Pieces::new(gathered.next().unwrap_or_default(), gathered.collect());
                self.connection.request_stored(&Request::Store { variable, items: vec![Item { descriptor, value }] })
            }
        }
    }

    fn gather(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.gathered_bytes += bytes.len() as u64;
            self.gathered.push(bytes);
        }
    }

    /// Begins to send.
    fn ask(&mut self) {
        let first = self.gathered.first().cloned().unwrap_or_default();
        let first = first.slice(..first.len().min(self.part_bytes()));
        self.stage = Stage::Asking(first.len());
        self.ahead.push_back(self.connection.request_long(&LongRequest::BeginTransfer { transfer: self.id }));
        self.send(first);
    }

    fn send(&mut self, bytes: Bytes) {
        let most = self.part_bytes();
        for start in (0..bytes.len()).step_by(most) {
            let bytes = bytes.slice(start..bytes.len().min(start + most));
            let part = LongRequest::TransferPart { transfer: self.id, bytes };
            self.ahead.push_back(self.connection.request_long(&part));
        }
    }

    fn part_bytes(&self) -> usize {
        part_bytes(self.connection.payload_limit_bytes())
    }

    /// The oldest answer. It stays in its place until it has come.
    fn poll_oldest(&mut self, context: &mut Context<'_>) -> Poll<Outcome> {
        let Some(oldest) = self.ahead.front_mut() else { return Poll::Ready(Ok(Reply::Done)) };
        let outcome = Pin::new(oldest).poll(context);
        if outcome.is_ready() {
            self.ahead.pop_front();
        }
        outcome
    }

    /// An answer has come.
    fn go_on(&mut self, outcome: Outcome) {
        match (outcome, &self.stage) {
            (Ok(_), Stage::Asking(sent)) if self.ahead.is_empty() => {
                let sent = *sent;
                self.stage = Stage::Sending;
                self.gathered_bytes = 0;
                let mut gathered = std::mem::take(&mut self.gathered);
                if let Some(first) = gathered.first_mut() {
                    first.advance(sent);
                }
                gathered.into_iter().for_each(|bytes| self.send(bytes));
            }
            (Ok(_), _) => {}
            (Err(error), Stage::Asking(_)) if error.code() == Some(ErrorCode::DiskFull) => {
                self.forget();
                self.stage = Stage::Whole(error);
            }
            (Err(error), _) => {
                self.forget();
                self.stage = Stage::Failed(error);
            }
        }
    }

    /// Nothing comes of what was sent.
    fn forget(&mut self) {
        self.ahead.clear();
        self.connection.request_long_and_forget(&LongRequest::DropTransfer { transfer: self.id });
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        if matches!(self.stage, Stage::Asking(_) | Stage::Sending) {
            self.forget();
        }
    }
}
