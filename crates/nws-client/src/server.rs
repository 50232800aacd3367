//! A server, from the side of who uses it.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;

use nws_proto::{OpenMode, Reply, Request, WorkspaceHandle, WorkspaceInfo};

use crate::call::{done, unexpected};
use crate::shared::lock;
use crate::workspace::Opened;
use crate::{Call, ConnectOptions, ConnectProblem, Connection, Endpoint, Error, Workspace};

/// A server that holds workspaces; a clone uses the same connection.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/served.rs"));
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nws_client::Error> {
/// # let (endpoint, options) = served();
/// use nws_client::Server;
///
/// let server = Server::connect(&endpoint, options).await?;
/// let kitchen = server.open("kitchen").await?;
/// assert!(kitchen.is_owned());
/// let names: Vec<Vec<u8>> = server.list_workspaces().await?.into_iter().map(|info| info.name).collect();
/// assert_eq!(names, [b"__default".to_vec(), b"kitchen".to_vec()]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Server {
    connection: Connection,
}

impl From<Connection> for Server {
    fn from(connection: Connection) -> Self {
        Self { connection }
    }
}

impl Server {
    /// Connects on a thread of its own. Await what this gives; who does not live in async code calls
    /// [`blocking::Server::connect`](crate::blocking::Server::connect).
    pub fn connect(endpoint: &Endpoint, options: ConnectOptions) -> Connecting {
        let state = Arc::new(Mutex::new(ConnectState::default()));
        let (endpoint, told) = (endpoint.clone(), Arc::clone(&state));
        let unstarted = endpoint.clone();
        let run = move || {
            let result = Connection::connect(&endpoint, options).map(Server::from);
            ConnectState::complete(&told, result);
        };
        if let Err(error) = thread::Builder::new().name("nws-connect".to_owned()).spawn(run) {
            let problem = ConnectProblem::System { step: "starting a thread", message: error.to_string() };
            ConnectState::complete(&state, Err(Error::Connect { endpoint: unstarted, problem }));
        }
        Connecting { state }
    }

    /// The connection to it.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Opens a workspace, made where there is none. Who opens one that never had an owner owns it:
    /// when the owner's connection ends, the workspace goes.
    pub fn open(&self, name: impl AsRef<[u8]>) -> Call<Workspace> {
        self.open_with(name, OpenMode::Own { persistent: false }, true)
    }

    /// As [`Server::open`]; but if this makes us the owner, the workspace stays when our connection
    /// ends, until somebody deletes it or the server ends.
    pub fn open_persistent(&self, name: impl AsRef<[u8]>) -> Call<Workspace> {
        self.open_with(name, OpenMode::Own { persistent: true }, true)
    }

    /// Uses a workspace without owning it; made where there is none.
    pub fn use_workspace(&self, name: impl AsRef<[u8]>) -> Call<Workspace> {
        self.open_with(name, OpenMode::Use, true)
    }

    /// Opens or uses a workspace; without `create`, one that is not there is
    /// [`NoSuchWorkspace`](nws_proto::ErrorCode::NoSuchWorkspace).
    pub fn open_with(&self, name: impl AsRef<[u8]>, mode: OpenMode, create: bool) -> Call<Workspace> {
        let (handle, opened) = self.connection.open(name.as_ref(), mode, create);
        self.opened(handle, opened)
    }

    /// Makes a workspace with a name that nobody has, and uses it; [`Workspace::name`] tells. The
    /// template has exactly one `%d`, which becomes a number: `"scratch %d"`. Nobody owns it: it
    /// stays until it is deleted.
    pub fn make_temporary(&self, template: impl AsRef<[u8]>) -> Call<Workspace> {
        let workspace = self.connection.new_workspace_handle();
        let template = template.as_ref().to_vec();
        let opened = self.connection.request(Request::MakeTemporary { workspace, template });
        self.opened(workspace, opened)
    }

    fn opened(&self, handle: WorkspaceHandle, opened: crate::Pending) -> Call<Workspace> {
        // Forgotten also where nobody waits for the answer.
        let workspace = Opened { connection: self.connection.clone(), handle };
        Call::new(opened, move |outcome| match outcome? {
            Reply::Opened { name, owned } => Ok(Workspace::new(workspace, name, owned)),
            reply => Err(unexpected(&reply)),
        })
    }

    /// Deletes the workspace that bears the name now, with its variables and values. Whoever waits on
    /// one of them is told.
    pub fn delete_workspace(&self, name: impl AsRef<[u8]>) -> Call<()> {
        Call::new(self.connection.request(Request::DeleteWorkspace { name: name.as_ref().to_vec() }), done)
    }

    /// All workspaces, sorted by name.
    pub fn list_workspaces(&self) -> Call<Vec<WorkspaceInfo>> {
        self.list(None)
    }

    /// What is known of one workspace; `None` where there is none of this name.
    pub fn workspace_info(&self, name: impl AsRef<[u8]>) -> Call<Option<WorkspaceInfo>> {
        let Call { pending, read } = self.list(Some(name.as_ref().to_vec()));
        Call::new(pending, move |outcome| match read {
            Some(read) => read(outcome).map(|infos| infos.into_iter().next()),
            None => Ok(None),
        })
    }

    fn list(&self, name: Option<Vec<u8>>) -> Call<Vec<WorkspaceInfo>> {
        Call::new(self.connection.request(Request::ListWorkspaces { name }), |outcome| match outcome? {
            Reply::Workspaces(workspaces) => Ok(workspaces),
            reply => Err(unexpected(&reply)),
        })
    }

    /// Whether the server answers.
    pub fn ping(&self) -> Call<()> {
        Call::new(self.connection.request(Request::Ping), |outcome| match outcome? {
            Reply::Pong => Ok(()),
            reply => Err(unexpected(&reply)),
        })
    }
}

/// A [`Server`] that is to come.
#[must_use = "a future does nothing unless it is awaited"]
#[derive(Debug)]
pub struct Connecting {
    state: Arc<Mutex<ConnectState>>,
}

#[derive(Debug, Default)]
struct ConnectState {
    result: Option<Result<Server, Error>>,
    waker: Option<Waker>,
}

impl ConnectState {
    fn complete(state: &Mutex<ConnectState>, result: Result<Server, Error>) {
        let mut state = lock(state);
        state.result = Some(result);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Future for Connecting {
    type Output = Result<Server, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = lock(&self.state);
        match state.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
