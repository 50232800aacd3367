//! The variables of one workspace: their names as bound on this connection, and what was fetched from
//! them and not handed out.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use nws_client::{Connection, Error, Pieces};
use nws_proto::{ErrorCode, Grant, LeaseId, Reply, Request, VariableHandle, VariableId, WorkspaceHandle};
use pyo3::prelude::*;

use crate::call::{Call, Late, Outcome, check_process, lock};
use crate::errors;

/// Most names of variables that are kept bound for one workspace.
const BOUND_NAMES: usize = 4096;

/// A value, and the instance of the variable that it was in.
pub(crate) type Granted = (VariableId, Grant<Bytes>);

/// What a workspace's objects share.
pub(crate) struct Variables {
    client: Connection,
    workspace: WorkspaceHandle,
    bound: Mutex<Bound>,
    /// Bindings that the server refused, and why; their handles mean nothing to it.
    refused: Arc<Mutex<HashMap<VariableHandle, Error>>>,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Bound {
    handles: HashMap<Vec<u8>, VariableHandle>,
    /// The names in `handles`, in the order in which they were bound.
    order: VecDeque<Vec<u8>>,
}

/// Values that this client had fetched when nobody waited for them any more: the next fetch gets them.
type Kept = HashMap<Vec<u8>, VecDeque<Granted>>;

impl Variables {
    pub(crate) fn new(client: Connection, workspace: WorkspaceHandle) -> Arc<Self> {
        let (bound, refused, kept) = (Mutex::default(), Arc::default(), Arc::default());
        Arc::new(Self { client, workspace, bound, refused, kept })
    }

    pub(crate) fn client(&self) -> &Connection {
        &self.client
    }

    pub(crate) fn workspace(&self) -> WorkspaceHandle {
        self.workspace
    }

    /// Begins an operation on a variable. `read` gets the answer, or none where a wait was over.
    pub(crate) fn call(
        self: &Arc<Self>,
        py: Python<'_>,
        name: Vec<u8>,
        request: impl FnOnce(VariableHandle) -> Request<Bytes>,
        late: Option<Late>,
        read: impl FnOnce(Python<'_>, Option<Reply<Bytes>>) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> PyResult<Call> {
        check_process(py, &self.client)?;
        // Under the lock, so that the name stays bound until the request is on its way.
        let mut bound = lock(&self.bound);
        let request = request(self.handle(&mut bound, &name));
        Ok(Call::send(&self.client, request, late, self.reader(name, read)))
    }

    /// As [`Variables::call`], for values in pieces.
    pub(crate) fn call_pieces(
        self: &Arc<Self>,
        py: Python<'_>,
        name: Vec<u8>,
        request: impl FnOnce(VariableHandle) -> Request<Pieces>,
        read: impl FnOnce(Python<'_>, Option<Reply<Bytes>>) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> PyResult<Call> {
        check_process(py, &self.client)?;
        let mut bound = lock(&self.bound);
        let request = request(self.handle(&mut bound, &name));
        Ok(Call::send_pieces(&self.client, request, self.reader(name, read)))
    }

    /// Sends what needs the variable's handle, in another way than as a request of its own.
    pub(crate) fn send<T>(
        self: &Arc<Self>,
        py: Python<'_>,
        name: &[u8],
        send: impl FnOnce(VariableHandle) -> T,
    ) -> PyResult<T> {
        check_process(py, &self.client)?;
        // Under the lock, so that the name stays bound until the request is on its way.
        let mut bound = lock(&self.bound);
        Ok(send(self.handle(&mut bound, name)))
    }

    /// Whether this is a child of the process that connected.
    pub(crate) fn is_foreign(&self) -> bool {
        matches!(self.client.closed(), Some(Error::Forked))
    }

    fn reader(
        self: &Arc<Self>,
        name: Vec<u8>,
        read: impl FnOnce(Python<'_>, Option<Reply<Bytes>>) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> impl FnOnce(Python<'_>, Outcome) -> PyResult<Py<PyAny>> + Send + 'static {
        let variables = Arc::clone(self);
        move |py, outcome| match outcome {
            Ok(reply) => read(py, Some(reply)),
            Err(Error::TimedOut) => read(py, None),
            Err(error) => Err(variables.raised(py, &name, &error)),
        }
    }

    fn handle(&self, bound: &mut Bound, name: &[u8]) -> VariableHandle {
        if let Some(handle) = bound.handles.get(name) {
            return *handle;
        }
        if bound.order.len() >= BOUND_NAMES
            && let Some(oldest) = bound.order.pop_front()
            && let Some(variable) = bound.handles.remove(&oldest)
        {
            self.client.request_and_forget(&Request::Unbind { variable });
        }
        let variable = self.client.new_variable_handle();
        let refused = Arc::clone(&self.refused);
        let bind = Request::Bind { variable, workspace: self.workspace, name: name.to_vec() };
        self.client.request_then(bind, move |outcome| {
            if let Err(error) = outcome {
                lock(&refused).insert(variable, error);
            }
        });
        bound.handles.insert(name.to_vec(), variable);
        bound.order.push_back(name.to_vec());
        variable
    }

    /// The exception of an operation on this variable.
    pub(crate) fn raised(&self, py: Python<'_>, name: &[u8], error: &Error) -> PyErr {
        let mut cause = None;
        if error.code() == Some(ErrorCode::UnknownHandle) {
            // The answer to the binding came before this one. The next use of the name binds it anew.
            let mut bound = lock(&self.bound);
            bound.order.retain(|other| other != name);
            cause = bound.handles.remove(name).and_then(|handle| lock(&self.refused).remove(&handle));
        }
        errors::from_client(py, cause.as_ref().unwrap_or(error))
    }

    /// Takes up to `most` of the values that are kept for the next fetch; none in a forked child, to
    /// whom they do not belong.
    pub(crate) fn take_kept(&self, py: Python<'_>, name: &[u8], most: usize) -> PyResult<Vec<Granted>> {
        check_process(py, &self.client)?;
        let mut kept = lock(&self.kept);
        let Some(values) = kept.get_mut(name) else { return Ok(Vec::new()) };
        let taken = values.drain(..most.min(values.len())).collect();
        if values.is_empty() {
            kept.remove(name);
        }
        Ok(taken)
    }

    /// Keeps values for the next fetch, before those that are kept already.
    pub(crate) fn keep_first(&self, name: &[u8], values: Vec<Granted>) {
        let mut kept = lock(&self.kept);
        let queue = kept.entry(name.to_vec()).or_default();
        values.into_iter().rev().for_each(|value| queue.push_front(value));
    }

    /// Forgets what is kept: the variable is deleted.
    pub(crate) fn forget_kept(&self, py: Python<'_>, name: &[u8]) -> PyResult<()> {
        check_process(py, &self.client)?;
        lock(&self.kept).remove(name);
        Ok(())
    }

    /// Keeps what a fetch gets that nobody waits for any more.
    pub(crate) fn keeper(&self, name: &[u8]) -> Late {
        let (kept, name) = (Arc::clone(&self.kept), name.to_vec());
        Box::new(move |reply| {
            if let Reply::Values { variable, values, .. } = reply
                && !values.is_empty()
            {
                lock(&kept).entry(name).or_default().extend(values.into_iter().map(|grant| (variable, grant)));
            }
        })
    }

    /// Gives leases back that nobody waits for any more.
    pub(crate) fn releaser(&self) -> Late {
        let client = self.client.clone();
        Box::new(move |reply| {
            if let Reply::Values { first_lease: LeaseId(first), values, .. } = reply
                && !values.is_empty()
            {
                let leases = (first..).take(values.len()).map(LeaseId).collect();
                client.request_and_forget(&Request::Release { leases, died: false, recalled: false });
            }
        })
    }
}

impl Drop for Variables {
    fn drop(&mut self) {
        self.client.request_and_forget(&Request::CloseWorkspace { workspace: self.workspace });
    }
}
