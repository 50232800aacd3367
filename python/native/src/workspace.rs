//! One workspace as this client has it open.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use nws_client::{Connection, Error, Pending};
use nws_proto::{
    Cursor, ErrorCode, Item, Mode, Reply, Request, Retrieve, VariableHandle, Wait, WorkspaceHandle, limits,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::client::{name_bytes, name_object, unexpected};
use crate::errors::{self, Exception};
use crate::value::{self, pickling};
use crate::waiting::{self, Waited};

/// Most names of variables that are kept bound for one workspace.
const BOUND_NAMES: usize = 4096;

/// A workspace, bound to the instance that was opened.
#[pyclass(frozen, module = "nws._native")]
pub(crate) struct Workspace {
    client: Connection,
    handle: WorkspaceHandle,
    name: Vec<u8>,
    variables: Mutex<Variables>,
    /// Bindings that the server refused, and why; their handles mean nothing to it.
    refused: Arc<Mutex<HashMap<VariableHandle, Error>>>,
}

#[derive(Default)]
struct Variables {
    handles: HashMap<Vec<u8>, VariableHandle>,
    /// The names in `handles`, in the order in which they were bound.
    order: VecDeque<Vec<u8>>,
    /// Values that this client had fetched when a signal ended the wait: the next fetch gets them.
    kept: HashMap<Vec<u8>, VecDeque<Item<Bytes>>>,
}

/// Name, values, fetchers, finders, mode.
type VariableRow = (Py<PyAny>, u64, u32, u32, &'static str);

#[pymethods]
impl Workspace {
    /// Stores a value.
    fn store(&self, py: Python<'_>, name: &Bound<'_, PyAny>, object: &Bound<'_, PyAny>) -> PyResult<()> {
        let name = name_bytes(name, "a variable")?;
        let item = value::encode_item(object, &pickling(py)?.dumps)?;
        let stored = self.send(&name, |variable| Request::Store { variable, items: vec![item] });
        self.answer(py, &name, stored).map(drop)
    }

    /// Fetches (`take`) or finds a value; waits for one, `timeout_s` seconds at most.
    #[pyo3(signature = (name, take, timeout_s = None))]
    fn retrieve<'py>(
        &self,
        py: Python<'py>,
        name: &Bound<'py, PyAny>,
        take: bool,
        timeout_s: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let name = name_bytes(name, "a variable")?;
        match self.item(py, &name, take, wait_of(timeout_s)?)? {
            Some(item) => value::decode_item(py, &item, &pickling(py)?.loads),
            None => {
                let message = format!(
                    "expected a value of the variable '{}' within {} s, and none came",
                    String::from_utf8_lossy(&name),
                    timeout_s.unwrap_or_default()
                );
                Err(Exception::Timeout.error(py, &message, "timed-out"))
            }
        }
    }

    /// Fetches or finds a value; gives `missing` where there is none.
    fn retrieve_try<'py>(
        &self,
        py: Python<'py>,
        name: &Bound<'py, PyAny>,
        take: bool,
        missing: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let name = name_bytes(name, "a variable")?;
        match self.item(py, &name, take, Wait::No)? {
            Some(item) => value::decode_item(py, &item, &pickling(py)?.loads),
            None => Ok(missing),
        }
    }

    /// Gives a variable its mode.
    fn declare(&self, py: Python<'_>, name: &Bound<'_, PyAny>, mode: &str) -> PyResult<()> {
        let name = name_bytes(name, "a variable")?;
        let Some(mode) = Mode::from_name(mode.as_bytes()) else {
            let message = format!("expected a mode 'fifo', 'lifo', 'multi' or 'single', got '{mode}'");
            return Err(Exception::Declaration.error(py, &message, "bad-mode"));
        };
        let declared = self.send(&name, |variable| Request::Declare { variable, mode });
        self.answer(py, &name, declared).map(drop)
    }

    /// Deletes a variable with its values.
    fn delete_variable(&self, py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<()> {
        let name = name_bytes(name, "a variable")?;
        self.variables().kept.remove(&name);
        let deleted = self.send(&name, |variable| Request::DeleteVariable { variable });
        self.answer(py, &name, deleted).map(drop)
    }

    /// Lists the variables, sorted by name.
    fn list_variables(&self, py: Python<'_>) -> PyResult<Vec<VariableRow>> {
        match waiting::answer(py, self.client.request(Request::ListVariables { workspace: self.handle }))? {
            Reply::Variables(variables) => variables
                .into_iter()
                .map(|info| {
                    let mode = info.mode.map_or("unknown", Mode::name);
                    Ok((name_object(py, &info.name)?, info.values, info.fetchers, info.finders, mode))
                })
                .collect(),
            other => Err(unexpected(py, &other)),
        }
    }

    /// The workspace's name.
    #[getter]
    fn name(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        name_object(py, &self.name)
    }
}

impl Workspace {
    pub(crate) fn new(client: Connection, handle: WorkspaceHandle, name: Vec<u8>) -> Self {
        Self { client, handle, name, variables: Mutex::default(), refused: Arc::default() }
    }

    fn variables(&self) -> MutexGuard<'_, Variables> {
        lock(&self.variables)
    }

    /// Sends a request about a variable. Under the lock, so that the name stays bound until then.
    fn send(&self, name: &[u8], request: impl FnOnce(VariableHandle) -> Request<Bytes>) -> Pending {
        let mut variables = self.variables();
        let handle = match variables.handles.get(name) {
            Some(handle) => *handle,
            None => self.bind(&mut variables, name),
        };
        self.client.request(request(handle))
    }

    fn bind(&self, variables: &mut Variables, name: &[u8]) -> VariableHandle {
        if variables.order.len() >= BOUND_NAMES
            && let Some(oldest) = variables.order.pop_front()
            && let Some(variable) = variables.handles.remove(&oldest)
        {
            self.client.request_and_forget(&Request::Unbind { variable });
        }
        let variable = self.client.new_variable_handle();
        let refused = Arc::clone(&self.refused);
        let bind = Request::Bind { variable, workspace: self.handle, name: name.to_vec() };
        self.client.request_then(bind, move |outcome| {
            if let Err(error) = outcome {
                lock(&refused).insert(variable, error);
            }
        });
        variables.handles.insert(name.to_vec(), variable);
        variables.order.push_back(name.to_vec());
        variable
    }

    fn answer(&self, py: Python<'_>, name: &[u8], pending: Pending) -> PyResult<Reply<Bytes>> {
        match waiting::wait(py, pending) {
            Waited::Answered(outcome) => outcome.map_err(|error| self.raised(py, name, &error)),
            Waited::Interrupted(interrupt, _) => Err(interrupt),
        }
    }

    fn raised(&self, py: Python<'_>, name: &[u8], error: &Error) -> PyErr {
        let mut cause = None;
        if error.code() == Some(ErrorCode::UnknownHandle) {
            // The answer to the binding came before this one. The next use of the name binds it anew.
            let mut variables = self.variables();
            variables.order.retain(|bound| bound != name);
            cause = variables.handles.remove(name).and_then(|handle| lock(&self.refused).remove(&handle));
        }
        errors::from_client(py, cause.as_ref().unwrap_or(error))
    }

    /// One value, or none where there was none in time.
    fn item(&self, py: Python<'_>, name: &[u8], take: bool, wait: Wait) -> PyResult<Option<Item<Bytes>>> {
        if take && let Some(item) = self.variables().kept.get_mut(name).and_then(VecDeque::pop_front) {
            return Ok(Some(item));
        }
        let pending = self.send(name, |variable| {
            let (lease, cursor, max_values, max_bytes) = (false, Cursor::Mode, 1, limits::VALUE_BYTES);
            Request::Retrieve(Retrieve { variable, take, lease, wait, cursor, max_values, max_bytes })
        });
        match waiting::wait(py, pending) {
            Waited::Answered(Ok(Reply::Values { values, .. })) => Ok(values.into_iter().next().map(|grant| grant.item)),
            Waited::Answered(Ok(other)) => Err(unexpected(py, &other)),
            Waited::Answered(Err(Error::TimedOut)) => Ok(None),
            Waited::Answered(Err(error)) => Err(self.raised(py, name, &error)),
            Waited::Interrupted(interrupt, late) => {
                if let Some(Reply::Values { values, .. }) = late
                    && take
                {
                    let kept = values.into_iter().map(|grant| grant.item);
                    self.variables().kept.entry(name.to_vec()).or_default().extend(kept);
                }
                Err(interrupt)
            }
        }
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        self.client.request_and_forget(&Request::CloseWorkspace { workspace: self.handle });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait_of(timeout_s: Option<f64>) -> PyResult<Wait> {
    match timeout_s {
        None => Ok(Wait::Forever),
        Some(0.0) => Ok(Wait::No),
        Some(seconds) if seconds > 0.0 => {
            let ms = (seconds * 1000.0).ceil();
            Ok(if ms > f64::from(limits::WAIT_MS) { Wait::Forever } else { Wait::Ms(ms as u32) })
        }
        Some(seconds) => {
            Err(PyValueError::new_err(format!("expected a timeout of 0 or more seconds, or None, got {seconds}")))
        }
    }
}
