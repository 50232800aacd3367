//! One connection: many requests in flight at a time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mio::unix::SourceFd;
use mio::{Interest, Poll};
use nws_proto::{
    Cursor, Event, Given, LongRequest, OpenMode, ReadingId, Reply, Request, RequestId, Retrieve, SessionId,
    VariableHandle, Wait, WorkspaceHandle,
};

use crate::awaited::{Answer, Awaited, Late, Place};
use crate::error::ConnectProblem;
use crate::handshake::{self, Deadline};
use crate::in_flight::Receiver;
use crate::pending::Pending;
use crate::pieces::{InPieces, Pieces};
use crate::shared::{SOCKET, Shared};
use crate::{ConnectOptions, Endpoint, Error, LongCall, LongValue, Transfer, dial, io_thread};

/// A connection to a server, to be cloned and used from any thread.
///
/// Requests go out in the order in which one thread makes them, and are answered as the server can:
/// one that waits holds up no other. A thread of the connection's own reads the answers; no async
/// runtime is needed. The connection ends with its last clone and [`Pending`], or by
/// [`Connection::close`]; then the session ends, with what it owns and holds.
///
/// Nothing is ever sent a second time by itself.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/served.rs"));
/// # fn main() -> Result<(), nws_client::Error> {
/// # let (endpoint, options) = served();
/// use nws_client::Connection;
/// use nws_proto::{Reply, Request};
///
/// let connection = Connection::connect(&endpoint, options)?;
/// let answers = [connection.request(Request::Ping), connection.request(Request::Ping)];
/// for answer in answers {
///     assert_eq!(answer.wait()?, Reply::Pong);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Connection {
    users: Arc<Users>,
}

/// Shared by all clones; the I/O thread has only what is inside.
#[derive(Debug)]
struct Users {
    shared: Arc<Shared>,
}

impl Drop for Users {
    fn drop(&mut self) {
        self.shared.close("this client closed it");
    }
}

impl Connection {
    /// Connects, and proves the token; a server that cannot prove it is refused.
    ///
    /// # Errors
    /// [`Error::Connect`], which says why; [`Error::Fault`] where the options are wrong.
    pub fn connect(endpoint: &Endpoint, options: ConnectOptions) -> Result<Connection, Error> {
        handshake::check(&options)?;
        let problem = |problem| Error::Connect { endpoint: endpoint.clone(), problem };
        Self::connect_to(endpoint, &options).map_err(problem)
    }

    fn connect_to(endpoint: &Endpoint, options: &ConnectOptions) -> Result<Connection, ConnectProblem> {
        let deadline = Deadline::new(options.timeout);
        let dial::Dialed { socket, token } = dial::dial(endpoint, options, deadline)?;
        handshake::greet(&socket)?;
        let challenge = handshake::challenge(&socket, deadline)?;
        let token = token.map_err(|looked| ConnectProblem::NoToken { looked })?;
        let greeted = handshake::prove(&socket, &challenge, &token, options, deadline)?;
        let system = |step| move |error: std::io::Error| ConnectProblem::System { step, message: error.to_string() };
        let poll = Poll::new().map_err(system("making a poll"))?;
        let descriptor = std::os::fd::AsRawFd::as_raw_fd(&socket);
        poll.registry().register(&mut SourceFd(&descriptor), SOCKET, Interest::READABLE).map_err(system("polling"))?;
        let registry = poll.registry().try_clone().map_err(system("sharing a poll"))?;
        let shared = Arc::new(Shared::new(socket, &greeted, registry));
        io_thread::start(Arc::clone(&shared), poll).map_err(system("starting a thread"))?;
        Ok(Connection { users: Arc::new(Users { shared }) })
    }

    fn shared(&self) -> &Shared {
        &self.users.shared
    }

    /// The session that this connection is.
    pub fn session(&self) -> SessionId {
        self.shared().session
    }

    /// Which run of which server this is; two connections with the same one share their workspaces.
    pub fn server_id(&self) -> [u8; 16] {
        self.shared().server
    }

    /// After how much silence either end gives the other up, as granted by the server; `None`: never.
    pub fn silence(&self) -> Option<std::time::Duration> {
        self.shared().silence
    }

    /// Longest payload of a request that the server takes, in bytes.
    pub fn payload_limit_bytes(&self) -> u32 {
        self.shared().payload_limit_bytes
    }

    /// Sends a request. Never waits: what the kernel does not take at once is queued; see
    /// [`Connection::wait_queued_below`].
    pub fn request(&self, request: Request<Bytes>) -> Pending {
        self.pending(can_wait(&request), |receiver| self.shared().submit(&request, receiver))
    }

    /// Sends a request and gives its outcome to a function, which runs on the I/O thread: it must not
    /// wait for anything, and may send further requests. Those that it sends go out together when
    /// all that has arrived is dealt with.
    ///
    /// Where the request cannot be sent, the function is called at once, on this thread, and the id
    /// is 0.
    pub fn request_then(
        &self,
        request: Request<Bytes>,
        then: impl FnOnce(Result<Reply<Bytes>, Error>) + Send + 'static,
    ) -> RequestId {
        self.submit_then(&request, then)
    }

    /// As [`Connection::request_then`], for values that lie in several pieces of memory.
    pub fn request_pieces_then(
        &self,
        request: Request<Pieces>,
        then: impl FnOnce(Result<Reply<Bytes>, Error>) + Send + 'static,
    ) -> RequestId {
        self.submit_then(&request, then)
    }

    fn submit_then<V: InPieces>(
        &self,
        request: &Request<V>,
        then: impl FnOnce(Result<Reply<Bytes>, Error>) + Send + 'static,
    ) -> RequestId {
        match self.shared().submit(request, Receiver::Then(Box::new(then))) {
            Ok(id) => id,
            Err((receiver, error)) => {
                if let Receiver::Then(then) = receiver {
                    then(Err(error));
                }
                RequestId(0)
            }
        }
    }

    /// Sends a request whose answer does not matter.
    pub fn request_and_forget(&self, request: &Request<Bytes>) {
        self.shared().submit_and_forget(request);
    }

    /// Asks the server to end the wait of a request in flight; nothing happens where it was answered.
    pub fn cancel(&self, id: RequestId) {
        self.shared().cancel(id);
    }

    /// Has `handler` called, on the I/O thread, for what the server says unasked. It must not wait for
    /// anything. Handlers add up.
    pub fn on_event(&self, handler: impl Fn(Event) + Send + Sync + 'static) {
        self.shared().on_event(Arc::new(handler));
    }

    /// Has `handler` called when the connection ends, on the I/O thread, after everybody who waited
    /// was told; at once, on this thread, where it has ended.
    pub fn on_close(&self, handler: impl FnOnce(&Error) + Send + 'static) {
        self.shared().on_close(Box::new(handler));
    }

    /// Why the connection has ended, if it has.
    pub fn closed(&self) -> Option<Error> {
        self.shared().closed()
    }

    /// Bytes of requests that the kernel has not taken yet.
    pub fn queued_bytes(&self) -> usize {
        self.shared().queued_bytes()
    }

    /// Waits until fewer than `bytes` are queued, the connection has ended or `timeout` is over.
    /// Returns at once on the I/O thread, which would wait for itself.
    pub fn wait_queued_below(&self, bytes: usize, timeout: Duration) {
        self.shared().wait_queued_below(bytes, timeout);
    }

    /// A handle that no workspace of this connection has had.
    pub fn new_workspace_handle(&self) -> WorkspaceHandle {
        WorkspaceHandle(self.shared().next_workspace())
    }

    /// A handle that no variable of this connection has had.
    pub fn new_variable_handle(&self) -> VariableHandle {
        VariableHandle(self.shared().next_variable())
    }

    /// Opens or uses a workspace under a new handle, which may be used at once: requests are carried
    /// out in order.
    pub fn open(&self, name: &[u8], mode: OpenMode, create: bool) -> (WorkspaceHandle, Pending) {
        let workspace = self.new_workspace_handle();
        let opened = self.request(Request::Open { workspace, name: name.to_vec(), mode, create });
        (workspace, opened)
    }

    /// Binds a variable's name to a new handle, which may be used at once. Where that fails, requests
    /// with the handle fail with [`nws_proto::ErrorCode::UnknownHandle`].
    pub fn bind(&self, workspace: WorkspaceHandle, name: &[u8]) -> VariableHandle {
        let variable = self.new_variable_handle();
        self.request_and_forget(&Request::Bind { variable, workspace, name: name.to_vec() });
        variable
    }

    /// Ends the connection. Everything that waits fails with [`Error::Closed`]; what was not sent yet
    /// is not sent.
    pub fn close(&self) {
        self.shared().close("this client closed it");
    }

    /// Sends a retrieval whose long values are not to be assembled.
    pub(crate) fn request_unread(&self, request: &Request<Bytes>) -> Awaited<Reply<Given>> {
        self.awaited(can_wait(request), Receiver::Unread, |receiver| self.shared().submit(request, receiver))
    }

    /// Asks for a part of a value.
    pub(crate) fn read_part(&self, reading: ReadingId, offset: u64, max_bytes: u32) -> Awaited<Bytes> {
        let request = LongRequest::ReadPart { reading, offset, max_bytes };
        self.awaited(false, Receiver::PartTo, |receiver| self.shared().submit_long(&request, receiver))
    }

    /// Sends a request about a value that travels in parts, but for a part to be read.
    pub(crate) fn request_long(&self, request: &LongRequest) -> Pending {
        self.pending(false, |receiver| self.shared().submit_long(request, receiver))
    }

    /// The same where the answer does not matter.
    pub(crate) fn request_long_and_forget(&self, request: &LongRequest) {
        // It fails where the connection has ended, and with it what the request was about.
        let _ = self.shared().submit_long(request, Receiver::Nobody);
    }

    /// Sends a request that does not wait, whose values lie in pieces or came by a transfer.
    pub(crate) fn request_stored<V: InPieces>(&self, request: &Request<V>) -> Pending {
        self.pending(false, |receiver| self.shared().submit(request, receiver))
    }

    fn pending(&self, waits: bool, submit: impl FnOnce(Receiver) -> Result<RequestId, (Receiver, Error)>) -> Pending {
        self.awaited(waits, Receiver::Pending, submit).into()
    }

    fn awaited<R: Answer>(
        &self,
        waits: bool,
        receiver: impl FnOnce(Arc<Place<R>>) -> Receiver,
        submit: impl FnOnce(Receiver) -> Result<RequestId, (Receiver, Error)>,
    ) -> Awaited<R> {
        let place = Arc::new(Place::default());
        match submit(receiver(Arc::clone(&place))) {
            Ok(id) => Awaited::sent(self.clone(), id, place, waits),
            Err((_, error)) => Awaited::over(Err(error)),
        }
    }

    /// Begins a value that is sent part by part, for who has handles of his own: see
    /// [`Workspace::begin_long`](crate::Workspace::begin_long).
    pub fn begin_transfer(&self) -> Transfer {
        Transfer::new(self.clone(), self.shared().next_transfer())
    }

    /// Asks for one value to read it part by part, for who has handles of his own; see
    /// [`Workspace::fetch_long`](crate::Workspace::fetch_long). One that is taken is taken by lease.
    pub fn retrieve_long(
        &self,
        variable: VariableHandle,
        take: bool,
        wait: Wait,
        cursor: Cursor,
    ) -> LongCall<Option<LongValue>> {
        let retrieve = Retrieve { variable, take, lease: take, wait, cursor, max_values: 1, max_bytes: 0 };
        let connection = self.clone();
        LongCall::new(self.request_unread(&Request::Retrieve(retrieve)), move |outcome| {
            Ok(LongValue::of(connection, None, outcome?))
        })
    }

    pub(crate) fn abandon<R: Answer>(&self, id: RequestId, place: &Place<R>, late: Option<Late<R>>, waits: bool) {
        self.shared().abandon(id, place, late, waits);
    }

    pub(crate) fn is_foreign(&self) -> bool {
        self.shared().is_foreign()
    }

    pub(crate) fn is_io_thread(&self) -> bool {
        self.shared().is_io_thread()
    }
}

/// Whether the server may let this request wait, so that there is something to cancel.
fn can_wait(request: &Request<Bytes>) -> bool {
    match request {
        Request::Retrieve(retrieve) => retrieve.wait != Wait::No,
        Request::Adopt { wait } => *wait != Wait::No,
        _ => false,
    }
}
