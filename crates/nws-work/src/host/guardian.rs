//! The host's own session at the server: it takes over what dead workers held.

use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, channel};

use bytes::Bytes;
use nws_client::{Connection, Silence};
use nws_proto::{
    Adopted, Cursor, Descriptor, ErrorCode, FinishItem, Grant, Index, Item, Language, LeaseId, OpenMode, Reply,
    Request, Retrieve, SessionId, VariableHandle, Wait, WorkspaceHandle,
};
use nws_supervise::Waker;

use crate::clock::monotonic_ns;
use crate::control::{Cause, ServerAddress};
use crate::envelope::{Failure, FailureKind, Outcome, PassedOver, ResultHead, TaskHead};
use crate::error::WorkError;
use crate::{link, names};

/// What threads of the connection tell the host's loop.
#[derive(Debug)]
pub(super) enum Post {
    /// There is a connection, or none can be made.
    Connected(Result<Connection, WorkError>),
    /// A worker's session has ended.
    Adopted(Adopted),
    /// The connection has ended; why.
    Closed(String),
}

/// Posts to the host's loop from other threads.
#[derive(Clone, Debug)]
pub(super) struct Poster {
    posts: Sender<Post>,
    waker: Waker,
}

impl Poster {
    pub(super) fn new(waker: Waker) -> (Self, Receiver<Post>) {
        let (posts, inbox) = channel();
        (Self { posts, waker }, inbox)
    }

    fn post(&self, post: Post) {
        // Where the loop is gone nobody is left to be told.
        let _ = self.posts.send(post);
        self.waker.wake();
    }
}

/// The host's session.
#[derive(Debug)]
pub(super) struct Guardian {
    connection: Connection,
    poster: Poster,
    place: Option<Place>,
}

/// The sleigh's workspace and its results.
#[derive(Clone, Copy, Debug)]
struct Place {
    workspace: WorkspaceHandle,
    results: VariableHandle,
}

impl Guardian {
    /// Connects on a thread of its own and posts what came of it.
    pub(super) fn dial(address: ServerAddress, poster: Poster) {
        let dial = {
            let poster = poster.clone();
            move || {
                // So a server that is stopped is noticed; a host that is stopped is ended by its warden.
                let connection = link::connect(&address, SessionId(0), Silence::Default, "nws host");
                poster.post(Post::Connected(connection));
            }
        };
        if let Err(error) = std::thread::Builder::new().name("nws-dial".into()).spawn(dial) {
            poster.post(Post::Connected(Err(error.into())));
        }
    }

    /// Begins to take over sessions; each is posted.
    pub(super) fn new(connection: Connection, poster: Poster) -> Self {
        let closed = poster.clone();
        connection.on_close(move |error| closed.post(Post::Closed(error.to_string())));
        adopt(connection.clone(), poster.clone());
        Self { connection, poster, place: None }
    }

    pub(super) fn session(&self) -> SessionId {
        self.connection.session()
    }

    /// The workspace is there.
    pub(super) fn use_workspace(&mut self, name: &str) {
        let workspace = self.connection.new_workspace_handle();
        let name = name.as_bytes().to_vec();
        // Nothing is waited for, as requests of one session are carried out in their order.
        insist(&self.connection, &self.poster, Request::Open { workspace, name, mode: OpenMode::Use, create: false });
        let results = link::bind(&self.connection, workspace, names::RESULTS);
        self.place = Some(Place { workspace, results });
    }

    /// Gives leases back.
    pub(super) fn release(&self, leases: Vec<LeaseId>, died: bool) {
        if !leases.is_empty() {
            insist(&self.connection, &self.poster, Request::Release { leases, died, recalled: false });
        }
    }

    /// Ends a lease with this result. One that has ended meanwhile is left alone.
    pub(super) fn finish(&self, lease: LeaseId, result: Vec<u8>) {
        let Some(Place { results: variable, .. }) = self.place else { return };
        let items = vec![FinishItem { lease, result: item(result) }];
        insist(&self.connection, &self.poster, Request::Finish { variable, items });
    }

    /// Stores a result that ends no lease.
    pub(super) fn tell(&self, result: Vec<u8>) {
        let Some(Place { results: variable, .. }) = self.place else { return };
        insist(&self.connection, &self.poster, Request::Store { variable, items: vec![item(result)] });
    }

    /// Stores what tasks said, where the master looks for their results.
    pub(super) fn say(&self, values: Vec<Vec<u8>>) {
        let Some(Place { results: variable, .. }) = self.place else { return };
        let items: Vec<_> = values.into_iter().map(item).collect();
        if !items.is_empty() {
            // Where the server has no room for it, it is lost.
            self.connection.request_then(Request::Store { variable, items }, |_| {});
        }
    }

    /// Says which tasks of a bundle, by index, are not to be run again with it. To be told before it is given back.
    pub(super) fn pass_over(&self, run: u32, place: Index, ranges: Vec<Range<u64>>) {
        let Some(Place { workspace, .. }) = self.place else { return };
        let items: Vec<_> = ranges.into_iter().map(|indexes| item(PassedOver { place, indexes }.to_value())).collect();
        if !items.is_empty() {
            let variable = link::bind(&self.connection, workspace, &names::passed_over(run));
            insist(&self.connection, &self.poster, Request::Store { variable, items });
            self.connection.request_and_forget(&Request::Unbind { variable });
        }
    }

    /// The run is over: nobody asks any more.
    pub(super) fn forget_passed_over(&self, run: u32) {
        let Some(Place { workspace, .. }) = self.place else { return };
        let variable = link::bind(&self.connection, workspace, &names::passed_over(run));
        self.connection.request_and_forget(&Request::DeleteVariable { variable });
        self.connection.request_and_forget(&Request::Unbind { variable });
    }

    /// Lets every task that is meant for a rank without a worker fail with this cause, from now on:
    /// nobody else would ever answer it.
    pub(super) fn refuse_tasks_of(&self, rank: u32, cause: &Cause) {
        let Some(Place { workspace, results }) = self.place else { return };
        let failure = Failure {
            kind: FailureKind::Died,
            type_name: "WorkerDied".to_owned(),
            message: format!("no worker of rank {rank} can be started any more: {}", cause.text),
            traceback: String::new(),
            cause: Some(cause.clone()),
            deaths: 0,
        };
        let tasks = link::bind(&self.connection, workspace, &names::tasks_of(rank));
        let (connection, poster) = (self.connection.clone(), self.poster.clone());
        Refusal { connection, poster, tasks, results, rank, failure }.go_on();
    }

    pub(super) fn close(&self) {
        self.connection.close();
    }
}

/// Answers tasks that no worker will.
struct Refusal {
    connection: Connection,
    poster: Poster,
    tasks: VariableHandle,
    results: VariableHandle,
    rank: u32,
    failure: Failure,
}

impl Refusal {
    fn go_on(self) {
        let fetch = Retrieve {
            variable: self.tasks,
            take: true,
            lease: true,
            wait: Wait::Forever,
            cursor: Cursor::Mode,
            max_values: 1024,
            max_bytes: 1 << 20,
        };
        self.connection.clone().request_then(Request::Retrieve(fetch), move |reply| match reply {
            Ok(Reply::Values { first_lease, values, .. }) => {
                self.refuse(first_lease, &values);
                self.go_on();
            }
            // The master deletes the variable to end a run early, and goes on with another.
            Err(nws_client::Error::Fault(fault)) if fault.code == ErrorCode::VariableGone => self.go_on(),
            // The connection has ended, which is told by itself.
            _ => {}
        });
    }

    fn refuse(&self, first_lease: LeaseId, values: &[Grant<Bytes>]) {
        let items = (first_lease.0..).zip(values).filter_map(|(lease, grant)| {
            let (task, _) = TaskHead::decode(&grant.item.value)?;
            let began_ns = monotonic_ns();
            let head = ResultHead { task, rank: self.rank, outcome: Outcome::Failed, began_ns, duration_ns: 0 };
            Some(FinishItem { lease: LeaseId(lease), result: item(self.failure.to_result(head)) })
        });
        let items: Vec<_> = items.collect();
        if !items.is_empty() {
            insist(&self.connection, &self.poster, Request::Finish { variable: self.results, items });
        }
    }
}

/// Sends what the sleigh cannot go on without: were it refused and nobody told, some task would stay
/// with a dead worker, and the master would wait for it without end.
fn insist(connection: &Connection, poster: &Poster, request: Request<Bytes>) {
    let poster = poster.clone();
    connection.request_then(request, move |reply| {
        // That the connection has ended is told by itself.
        if let Err(nws_client::Error::Fault(fault)) = reply {
            poster.post(Post::Closed(format!("the server refused what the host process asked for: {fault}")));
        }
    });
}

fn item(result: Vec<u8>) -> Item<Bytes> {
    Item { descriptor: Descriptor::bytes(Language::Rust), value: Bytes::from(result) }
}

/// Waits for the next session in our care to end, again and again.
fn adopt(connection: Connection, poster: Poster) {
    let again = connection.clone();
    connection.request_then(Request::Adopt { wait: Wait::Forever }, move |reply| match reply {
        Ok(Reply::Adopted(adopted)) => {
            poster.post(Post::Adopted(adopted));
            adopt(again, poster);
        }
        Ok(other) => poster.post(Post::Closed(format!("expected an adopted session, got {:?}", other.opcode()))),
        // The connection has ended, which is told by itself.
        Err(_) => {}
    });
}
