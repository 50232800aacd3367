//! The master's side of the dispatch: stores tasks, collects results.
//!
//! Results come in on the connection's I/O thread and wait in this process, up to a limit, until
//! the caller takes them. What ends the sleigh (a lost server, a dead host) arrives by the same
//! way, so that whoever waits for results wakes up and learns why.

mod bundling;
mod inbox;
mod missing;
mod submit;
mod vanishing;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use nws_client::{Connection, Silence};
use nws_proto::{
    Cursor, Descriptor, ErrorCode, Item, Language, OpenMode, Reply, Request, Retrieve, SessionId, VariableHandle, Wait,
    WorkspaceHandle, limits,
};

use crate::control::ServerAddress;
use crate::envelope::{Bundle, TASK_HEAD_BYTES};
use crate::error::WorkError;
use crate::{link, names};

use inbox::Inbox;
pub use inbox::{Arrival, TaskResult};
pub use missing::Missing;
pub use submit::Tasks;
use vanishing::Vanishing;

/// Most bytes of results in one fetch; the first result always goes.
const FETCH_BYTES: u32 = 1 << 20;
/// Tasks that are not written to the socket yet make the submitter wait above this, in bytes.
const UNSENT_BYTES: usize = 8 << 20;

/// The master of a sleigh, connected to its server.
#[derive(Debug)]
pub struct Master {
    shared: Arc<Shared>,
    workspace_name: String,
    tasks: VariableHandle,
    last_run: AtomicU32,
}

#[derive(Debug)]
struct Shared {
    connection: Connection,
    inbox: Inbox,
    workspace: WorkspaceHandle,
    results: VariableHandle,
    vanishing: Vanishing,
}

impl Master {
    /// Connects and makes the sleigh's workspace, which goes when this connection ends.
    ///
    /// # Errors
    /// Those of the connection; a template that is not one integer conversion.
    pub fn connect(address: &ServerAddress, template: &str) -> Result<Master, WorkError> {
        // A master that is suspended for a while (Ctrl-Z, a debugger) keeps its sleigh.
        let silence = if address.unix.is_some() { Silence::Never } else { Silence::Default };
        let label = std::process::id().to_string();
        let connection = link::connect(address, SessionId(0), silence, &label)?;
        let temporary = connection.new_workspace_handle();
        let template = template.as_bytes().to_vec();
        let made = connection.request(Request::MakeTemporary { workspace: temporary, template }).wait()?;
        let Reply::Opened { name, .. } = made else {
            return Err(WorkError::Ended(format!("expected a new workspace from the server, got {:?}", made.opcode())));
        };
        let workspace_name = String::from_utf8_lossy(&name).into_owned();
        let own = OpenMode::Own { persistent: false };
        let workspace = link::use_workspace(&connection, &workspace_name, own)?;
        let shared = Arc::new(Shared {
            inbox: Inbox::default(),
            workspace,
            vanishing: Vanishing::default(),
            results: link::bind(&connection, workspace, names::RESULTS),
            connection,
        });
        let inbox = Arc::downgrade(&shared);
        shared.connection.on_close(move |error| {
            if let Some(shared) = inbox.upgrade() {
                shared.inbox.disconnect(&error.to_string());
            }
        });
        shared.fetch();
        let tasks = link::bind(&shared.connection, workspace, names::TASKS);
        Ok(Master { shared, workspace_name, tasks, last_run: AtomicU32::new(0) })
    }

    /// The sleigh's workspace.
    pub fn workspace_name(&self) -> &str {
        &self.workspace_name
    }

    /// The connection, for other workspaces on the same server.
    pub fn connection(&self) -> &Connection {
        &self.shared.connection
    }

    /// The next run's number.
    pub fn next_run(&self) -> u32 {
        self.last_run.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Begins a run, which may be one at a time: makes known what its tasks have in common.
    ///
    /// # Errors
    /// Those of the connection; a definition that is too long.
    pub fn define(&self, run: u32, definition: Vec<u8>) -> Result<(), WorkError> {
        if definition.len() > limits::VALUE_BYTES as usize - TASK_HEAD_BYTES {
            return Err(too_long("the function with its fixed arguments", definition.len()));
        }
        self.shared.vanishing.begin(run);
        self.shared.rely_on(run, names::TASKS);
        let variable = link::bind(&self.shared.connection, self.shared.workspace, &names::run(run));
        let item = Item { descriptor: Descriptor::bytes(Language::Rust), value: Bytes::from(definition) };
        self.store(variable, vec![item]);
        self.shared.connection.request_and_forget(&Request::Unbind { variable });
        Ok(())
    }

    /// Stores tasks for any worker. Waits while much is unsent.
    pub fn submit(&self, tasks: &mut Tasks) {
        tasks.take().into_iter().for_each(|items| self.store(self.tasks, items));
    }

    /// Stores tasks for the worker of this rank alone.
    pub fn submit_to(&self, rank: u32, tasks: &mut Tasks) {
        let name = names::tasks_of(rank);
        if let Some(run) = self.shared.vanishing.run() {
            self.shared.rely_on(run, &name);
        }
        let variable = link::bind(&self.shared.connection, self.shared.workspace, &name);
        tasks.take().into_iter().for_each(|items| self.store(variable, items));
        self.shared.connection.request_and_forget(&Request::Unbind { variable });
    }

    /// Whether so much is unsent that the submitter should [`pause`](Master::pause).
    pub fn is_behind(&self) -> bool {
        self.shared.connection.queued_bytes() > UNSENT_BYTES
    }

    /// Waits until what was submitted has mostly left, at most this long.
    pub fn pause(&self, timeout: Duration) {
        self.shared.connection.wait_queued_below(UNSENT_BYTES, timeout);
    }

    /// Everything that has come in: results, and what the host says. Empty after `timeout`.
    ///
    /// # Errors
    /// The connection has ended, and everything that came before was taken.
    pub fn arrivals(&self, timeout: Duration) -> Result<Vec<Arrival>, WorkError> {
        let (arrivals, fetch) = self.shared.inbox.take(timeout)?;
        if fetch {
            self.shared.fetch();
        }
        if let Some((run, variables)) = self.shared.vanishing.heard(!arrivals.is_empty()) {
            variables.into_iter().for_each(|(name, variable)| self.shared.check(run, name, variable));
        }
        Ok(arrivals)
    }

    /// What the host says goes the same way as results.
    pub(crate) fn arrive(&self, arrival: Arrival) {
        self.shared.inbox.put(arrival, 0);
    }

    /// Whether this run has begun and is not over.
    pub(crate) fn goes_on(&self, run: u32) -> bool {
        self.shared.vanishing.run() == Some(run)
    }

    /// The run is over: its definition goes.
    pub fn end_run(&self, run: u32) {
        self.shared.vanishing.end(run);
        self.delete(&names::run(run));
    }

    /// Takes the tasks of a run that nobody holds back from the server: their indexes.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn withdraw(&self, run: u32, worker_count: u32) -> Result<Vec<u64>, WorkError> {
        let own = (0..worker_count).map(names::tasks_of);
        let mut withdrawn = Vec::new();
        for name in std::iter::once(names::TASKS.to_owned()).chain(own) {
            let variable = link::bind(&self.shared.connection, self.shared.workspace, &name);
            while self.withdraw_some(variable, run, &mut withdrawn)? {}
            self.shared.connection.request_and_forget(&Request::Unbind { variable });
        }
        Ok(withdrawn)
    }

    /// Takes back a frame of tasks; whether there was any.
    fn withdraw_some(&self, variable: VariableHandle, run: u32, into: &mut Vec<u64>) -> Result<bool, WorkError> {
        let fetch = Retrieve {
            variable,
            take: true,
            lease: false,
            wait: Wait::No,
            cursor: Cursor::Mode,
            max_values: limits::BATCH_VALUES,
            max_bytes: FETCH_BYTES,
        };
        let Reply::Values { values, .. } = self.shared.connection.request(Request::Retrieve(fetch)).wait()? else {
            return Ok(false);
        };
        let bundles = values.iter().filter_map(|grant| Bundle::decode(&grant.item.value));
        into.extend(bundles.filter(|bundle| bundle.first.run == run).flat_map(Bundle::indexes));
        Ok(!values.is_empty())
    }

    /// Gives up all tasks of the current run: those that wait go, leases end, results that still
    /// come are refused.
    pub fn give_up(&self, run: u32, worker_count: u32) {
        self.delete(names::TASKS);
        (0..worker_count).for_each(|rank| self.delete(&names::tasks_of(rank)));
        self.end_run(run);
    }

    /// Ends the connection, and with it the workspace.
    pub fn close(&self) {
        self.shared.connection.close();
    }

    fn delete(&self, name: &str) {
        let connection = &self.shared.connection;
        let variable = link::bind(connection, self.shared.workspace, name);
        connection.request_and_forget(&Request::DeleteVariable { variable });
        connection.request_and_forget(&Request::Unbind { variable });
    }

    fn store(&self, variable: VariableHandle, items: Vec<Item<Bytes>>) {
        let shared = Arc::downgrade(&self.shared);
        self.shared.connection.request_then(Request::Store { variable, items }, move |reply| {
            // The tasks are not there: without a word the caller would wait for ever.
            if let (Err(error), Some(shared)) = (reply, shared.upgrade()) {
                shared.inbox.disconnect(&format!("the server did not take the tasks: {error}"));
            }
        });
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        self.close();
    }
}

/// The error for something that does not fit a frame.
pub fn too_long(what: &str, bytes: usize) -> WorkError {
    WorkError::Argument(format!(
        "{what} take {bytes} bytes; at most {} fit: store them in a file or a workspace and pass the name",
        limits::VALUE_BYTES
    ))
}

impl Shared {
    /// Asks for results; the answer goes to the inbox, which says whether to ask again.
    fn fetch(self: &Arc<Self>) {
        let fetch = Retrieve {
            variable: self.results,
            take: true,
            lease: false,
            wait: Wait::Forever,
            cursor: Cursor::Mode,
            max_values: limits::BATCH_VALUES,
            max_bytes: FETCH_BYTES,
        };
        let shared = Arc::downgrade(self);
        self.connection.request_then(Request::Retrieve(fetch), move |reply| {
            let Some(shared) = shared.upgrade() else { return };
            match reply {
                Ok(Reply::Values { values, .. }) => {
                    let bytes = values.iter().map(|grant| grant.item.value.len()).sum();
                    // Results of nothing would look like a fetch that was never made.
                    let results = values.into_iter().map(TaskResult).collect();
                    if shared.inbox.put(Arrival::Results(results), usize::max(bytes, 1)) {
                        shared.fetch();
                    }
                }
                // Somebody deleted the variable; what was in it is lost, but not what comes.
                Err(nws_client::Error::Fault(fault)) if fault.code == ErrorCode::VariableGone => {
                    if let Some(run) = shared.vanishing.run() {
                        shared.inbox.put(Arrival::Vanished { run, name: names::RESULTS.to_owned() }, 0);
                    }
                    shared.fetch();
                }
                Ok(other) => shared.inbox.disconnect(&format!("expected results, got {:?}", other.opcode())),
                Err(error) => shared.inbox.disconnect(&error.to_string()),
            }
        });
    }
}
