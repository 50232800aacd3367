//! One workspace as this client has it open.

use std::sync::Arc;

use bytes::Bytes;
use nws_client::{Connection, Pieces};
use nws_proto::{
    Cursor as At, Grant, Item, LeaseId, Mode, Reply, Request, Retrieve, VariableHandle, VariableInfo, Wait,
    WorkspaceHandle, limits,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::call::{Call, check_process, lock};
use crate::client::{name_bytes, name_object, unexpected};
use crate::cursor::{Cursor, Stored};
use crate::errors::{self, Exception};
use crate::lease::Lease;
use crate::long::{LongStore, LongValue, Retrieving};
use crate::step::Step;
use crate::value::{self, Encoding};
use crate::variables::{Granted, Variables};

/// A frame of many values ends before it has more bytes than this; a longer value has its own.
const FRAME_BYTES: usize = 64 << 20;

/// A workspace, bound to the instance that was opened. What its methods begin is a [`Call`].
#[pyclass(frozen, module = "nws._native")]
pub(crate) struct Workspace {
    variables: Arc<Variables>,
    name: Vec<u8>,
}

/// What a retrieval gives.
#[derive(Clone, Copy)]
struct Form {
    raw: bool,
    timeout_s: Option<f64>,
    trying: bool,
}

#[pymethods]
impl Workspace {
    /// Stores a value.
    #[pyo3(signature = (name, object, encoding = None))]
    fn store(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        object: &Bound<'_, PyAny>,
        encoding: Option<&str>,
    ) -> PyResult<Call> {
        let name = name_bytes(name, "a variable")?;
        check_process(py, self.variables.client())?;
        let item = value::encode_item(object, Encoding::of_name(encoding)?)?;
        self.store_items(py, name, vec![item])
    }

    /// Stores values in their order, in as many frames as they need. All are encoded before any is
    /// sent.
    #[pyo3(signature = (name, objects, encoding = None))]
    fn store_many(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        objects: &Bound<'_, PyAny>,
        encoding: Option<&str>,
    ) -> PyResult<Vec<Call>> {
        let name = name_bytes(name, "a variable")?;
        let encoding = Encoding::of_name(encoding)?;
        let mut frames = vec![Vec::new()];
        let mut frame_bytes = 0;
        for object in objects.try_iter()? {
            let item = value::encode_item(&object?, encoding)?;
            let bytes = item.value.len_bytes();
            let full = |frame: &Vec<Item<Pieces>>| {
                frame.len() >= limits::BATCH_VALUES as usize || frame_bytes + bytes > FRAME_BYTES
            };
            match frames.last_mut() {
                Some(frame) if frame.is_empty() || !full(frame) => {
                    frame_bytes += bytes;
                    frame.push(item);
                }
                _ => {
                    frame_bytes = bytes;
                    frames.push(vec![item]);
                }
            }
        }
        let frames = frames.into_iter().filter(|frame| !frame.is_empty());
        frames.map(|items| self.store_items(py, name.clone(), items)).collect()
    }

    /// Fetches (`take`) or finds a value; waits for one, `timeout_s` seconds at most. With `trying` it
    /// does not wait, and gives `missing` where there is none. With `raw` it gives a [`Stored`].
    #[pyo3(signature = (name, take, timeout_s = None, trying = false, missing = None, cursor = None, raw = false))]
    #[allow(clippy::too_many_arguments, reason = "named, in the facade")]
    fn retrieve(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        take: bool,
        timeout_s: Option<f64>,
        trying: bool,
        missing: Option<Py<PyAny>>,
        cursor: Option<&Bound<'_, Cursor>>,
        raw: bool,
    ) -> PyResult<Call> {
        let name = name_bytes(name, "a variable")?;
        let wait = wait_of(timeout_s, trying)?;
        let form = Form { raw, timeout_s, trying };
        let at = cursor.map(|cursor| Arc::clone(&cursor.get().at));
        let from = at.as_ref().map_or(At::Mode, |at| *lock(at));
        let shown = name.clone();
        let read = move |py: Python<'_>, reply: Option<Reply<Bytes>>| {
            let Some((variable, grant)) = granted(py, reply)?.into_iter().next() else {
                return absent(py, &shown, form, missing);
            };
            if form.raw {
                return Ok(Py::new(py, Stored { granted: (variable, grant) })?.into_any());
            }
            if let Some(at) = at {
                *lock(&at) = At::After { variable, index: grant.index };
            }
            value::decode_item(py, grant.item, value::loads(py)?).map(Bound::unbind)
        };
        let request = |variable| retrieve(variable, take, false, wait, from, (1, limits::VALUE_BYTES));
        if take { self.take(py, name, 1, request, read) } else { self.variables.call(py, name, request, None, read) }
    }

    /// Fetches up to `most` values, at least one; none of them only with `trying`.
    #[pyo3(signature = (name, most, timeout_s = None, trying = false))]
    fn fetch_many(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        most: u32,
        timeout_s: Option<f64>,
        trying: bool,
    ) -> PyResult<Call> {
        let name = name_bytes(name, "a variable")?;
        if most == 0 {
            return Err(PyValueError::new_err("expected to fetch 1 value or more, got 0"));
        }
        let most = most.min(limits::BATCH_VALUES);
        let wait = wait_of(timeout_s, trying)?;
        let (shown, variables) = (name.clone(), Arc::clone(&self.variables));
        let read = move |py: Python<'_>, reply: Option<Reply<Bytes>>| {
            let mut values = granted(py, reply)?.into_iter();
            if values.len() == 0 && !trying {
                return Err(timed_out(py, &shown, timeout_s));
            }
            let objects = PyList::empty(py);
            while let Some((_, grant)) = values.next() {
                match value::decode_item(py, grant.item, value::loads(py)?) {
                    Ok(object) => objects.append(object)?,
                    Err(error) => {
                        variables.keep_first(&shown, values.collect());
                        return Err(undecoded(py, error, &objects));
                    }
                }
            }
            Ok(objects.into_any().unbind())
        };
        let request = |variable| retrieve(variable, true, false, wait, At::Mode, (most, limits::BATCH_BYTES));
        self.take(py, name, most as usize, request, read)
    }

    /// Fetches a value by lease; waits for one, `timeout_s` seconds at most. A [`Lease`] comes of it.
    #[pyo3(signature = (name, timeout_s = None))]
    fn lease(&self, py: Python<'_>, name: &Bound<'_, PyAny>, timeout_s: Option<f64>) -> PyResult<Call> {
        let name = name_bytes(name, "a variable")?;
        let wait = wait_of(timeout_s, false)?;
        let (shown, variables) = (name.clone(), Arc::clone(&self.variables));
        let read = move |py: Python<'_>, reply: Option<Reply<Bytes>>| {
            let lease = match &reply {
                Some(Reply::Values { first_lease, .. }) => *first_lease,
                _ => LeaseId(0),
            };
            match granted(py, reply)?.into_iter().next() {
                Some((_, grant)) => Ok(Py::new(py, Lease::new(py, variables, lease, grant)?)?.into_any()),
                None => Err(timed_out(py, &shown, timeout_s)),
            }
        };
        let late = Some(self.variables.releaser());
        let request = |variable| retrieve(variable, true, true, wait, At::Mode, (1, limits::VALUE_BYTES));
        self.variables.call(py, name, request, late, read)
    }

    /// Begins a value that is sent part by part.
    fn begin_long(&self, py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<LongStore> {
        let name = name_bytes(name, "a variable")?;
        check_process(py, self.variables.client())?;
        Ok(LongStore::new(Arc::clone(&self.variables), name))
    }

    /// Fetches (`take`) or finds a value to be read part by part: a [`LongValue`], or as for `retrieve`
    /// where there is none. What is fetched is held by lease.
    #[pyo3(signature = (name, take, timeout_s = None, trying = false, missing = None, cursor = None))]
    #[allow(clippy::too_many_arguments, reason = "named, in the facade")]
    fn retrieve_long(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        take: bool,
        timeout_s: Option<f64>,
        trying: bool,
        missing: Option<Py<PyAny>>,
        cursor: Option<&Bound<'_, Cursor>>,
    ) -> PyResult<Step> {
        let name = name_bytes(name, "a variable")?;
        let wait = wait_of(timeout_s, trying)?;
        if take && let Some(granted) = self.variables.take_kept(py, &name, 1)?.pop() {
            let kept = LongValue::kept(&self.variables, name, granted);
            return Ok(Step::over(self.variables.client(), |py| Ok(Py::new(py, kept)?.into_any())));
        }
        let from = cursor.map_or(At::Mode, |cursor| *lock(&cursor.get().at));
        let client = self.variables.client();
        let call = self.variables.send(py, &name, |variable| client.retrieve_long(variable, take, wait, from))?;
        let shown = name.clone();
        let form = Form { raw: false, timeout_s, trying };
        let absent = Some(move |py: Python<'_>| absent(py, &shown, form, missing));
        Ok(Step::new(client, Retrieving { variables: Arc::clone(&self.variables), name, call, absent }))
    }

    /// Gives a variable its mode.
    fn declare(&self, py: Python<'_>, name: &Bound<'_, PyAny>, mode: &str) -> PyResult<Call> {
        let name = name_bytes(name, "a variable")?;
        let Some(mode) = Mode::from_name(mode.as_bytes()) else {
            let message = format!("expected a mode 'fifo', 'lifo', 'multi' or 'single', got '{mode}'");
            return Err(Exception::Declaration.error(py, &message, "bad-mode"));
        };
        let request = |variable| Request::Declare { variable, mode };
        self.variables.call(py, name, request, None, |py, _| Ok(py.None()))
    }

    /// Deletes a variable with its values.
    fn delete_variable(&self, py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<Call> {
        let name = name_bytes(name, "a variable")?;
        self.variables.forget_kept(py, &name)?;
        let request = |variable| Request::DeleteVariable { variable };
        self.variables.call(py, name, request, None, |py, _| Ok(py.None()))
    }

    /// Lists the variables, sorted by name: name, values, fetchers, finders, mode.
    fn list_variables(&self, py: Python<'_>) -> PyResult<Call> {
        check_process(py, self.variables.client())?;
        let request = Request::ListVariables { workspace: self.variables.workspace() };
        Ok(Call::send(self.variables.client(), request, None, |py, outcome| match outcome {
            Ok(Reply::Variables(variables)) => {
                let rows = variables.iter().map(|info| variable_row(py, info)).collect::<PyResult<Vec<_>>>()?;
                Ok(rows.into_pyobject(py)?.unbind())
            }
            Ok(other) => Err(unexpected(py, &other)),
            Err(error) => Err(errors::from_client(py, &error)),
        }))
    }

    /// The workspace's name.
    #[getter]
    fn name(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        name_object(py, &self.name)
    }
}

impl Workspace {
    pub(crate) fn new(client: Connection, handle: WorkspaceHandle, name: Vec<u8>) -> Self {
        Self { variables: Variables::new(client, handle), name }
    }

    fn store_items(&self, py: Python<'_>, name: Vec<u8>, items: Vec<Item<Pieces>>) -> PyResult<Call> {
        let request = |variable| Request::Store { variable, items };
        self.variables.call_pieces(py, name, request, |py, _| Ok(py.None()))
    }

    /// Takes up to `most` values that were kept for a call like this, or else asks the server for them; what
    /// that sends is kept in its turn if nobody waits any more.
    fn take(
        &self,
        py: Python<'_>,
        name: Vec<u8>,
        most: usize,
        request: impl FnOnce(VariableHandle) -> Request<Bytes>,
        read: impl FnOnce(Python<'_>, Option<Reply<Bytes>>) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> PyResult<Call> {
        let kept = self.variables.take_kept(py, &name, most)?;
        if !kept.is_empty() {
            return Ok(self.answered(&name, kept, move |py, reply| read(py, Some(reply))));
        }
        let late = Some(self.variables.keeper(&name));
        self.variables.call(py, name, request, late, read)
    }

    /// A call that is answered by values that were kept.
    fn answered(
        &self,
        name: &[u8],
        kept: Vec<Granted>,
        read: impl FnOnce(Python<'_>, Reply<Bytes>) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> Call {
        let variable = kept.first().map_or(nws_proto::VariableId(0), |(variable, _)| *variable);
        let values = kept.into_iter().map(|(_, grant)| grant).collect();
        let reply = Reply::Values { variable, first_lease: LeaseId(0), values };
        let (variables, shown) = (Arc::clone(&self.variables), name.to_vec());
        let late = Box::new(move |reply| {
            if let Reply::Values { variable, values, .. } = reply {
                variables.keep_first(&shown, values.into_iter().map(|grant| (variable, grant)).collect());
            }
        });
        Call::answered(reply, Some(late), |py, outcome| match outcome {
            Ok(reply) => read(py, reply),
            Err(error) => Err(errors::from_client(py, &error)),
        })
    }
}

fn retrieve(
    variable: VariableHandle,
    take: bool,
    lease: bool,
    wait: Wait,
    cursor: At,
    (max_values, max_bytes): (u32, u32),
) -> Request<Bytes> {
    Request::Retrieve(Retrieve { variable, take, lease, wait, cursor, max_values, max_bytes })
}

/// The values of an answer; none where a wait was over.
fn granted(py: Python<'_>, reply: Option<Reply<Bytes>>) -> PyResult<Vec<(nws_proto::VariableId, Grant<Bytes>)>> {
    match reply {
        Some(Reply::Values { variable, values, .. }) => Ok(values.into_iter().map(|grant| (variable, grant)).collect()),
        Some(other) => Err(unexpected(py, &other)),
        None => Ok(Vec::new()),
    }
}

fn absent(py: Python<'_>, name: &[u8], form: Form, missing: Option<Py<PyAny>>) -> PyResult<Py<PyAny>> {
    if form.trying { Ok(missing.unwrap_or_else(|| py.None())) } else { Err(timed_out(py, name, form.timeout_s)) }
}

fn timed_out(py: Python<'_>, name: &[u8], timeout_s: Option<f64>) -> PyErr {
    let name = String::from_utf8_lossy(name);
    let seconds = timeout_s.unwrap_or_default();
    let message = format!("expected a value of the variable '{name}' within {seconds} s, and none came");
    Exception::Timeout.error(py, &message, "timed-out")
}

/// What was decoded before is not to be lost with the value that could not be.
fn undecoded(py: Python<'_>, error: PyErr, before: &Bound<'_, PyList>) -> PyErr {
    // An exception that takes no attributes is raised as it is.
    let _ = error.value(py).setattr("fetched", before);
    error
}

fn variable_row(py: Python<'_>, info: &VariableInfo) -> PyResult<(Py<PyAny>, u64, u32, u32, &'static str)> {
    let mode = info.mode.map_or("unknown", Mode::name);
    Ok((name_object(py, &info.name)?, info.values, info.fetchers, info.finders, mode))
}

fn wait_of(timeout_s: Option<f64>, trying: bool) -> PyResult<Wait> {
    match timeout_s {
        _ if trying => Ok(Wait::No),
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
