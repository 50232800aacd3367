//! Connections and workspaces, as `nws.client` uses them.

use std::time::Duration;

use bytes::Bytes;
use nws_client::{ConnectOptions, Endpoint};
use nws_proto::{OpenMode, Reply, Request, Token, WorkspaceHandle, WorkspaceInfo};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::call::{Call, Late, check_process};
use crate::workspace::Workspace;
use crate::{connecting, errors};

/// A connection to a server. What its methods begin is a [`Call`], to be waited for. It ends with `close`, or when nothing refers to it any more.
#[pyclass(frozen, module = "nws._native")]
pub(crate) struct Connection {
    client: nws_client::Connection,
}

/// Name, owner, mine, persistent, names of the variables.
type WorkspaceRow = (Py<PyAny>, Py<PyAny>, bool, bool, Vec<Py<PyAny>>);

#[pymethods]
impl Connection {
    /// Connects to `host` and `port`; a host that holds a slash is the path of a Unix socket.
    #[new]
    #[pyo3(signature = (host, port, *, token = None, timeout_s = 10.0))]
    fn new(py: Python<'_>, host: &str, port: u16, token: Option<&[u8]>, timeout_s: f64) -> PyResult<Self> {
        let endpoint = if host.contains('/') { Endpoint::Unix(host.into()) } else { Endpoint::Tcp(host.into(), port) };
        let timeout = Duration::try_from_secs_f64(timeout_s)
            .map_err(|_| PyValueError::new_err(format!("expected a timeout in seconds, got {timeout_s}")))?;
        let token = token.map(|bytes| <[u8; 32]>::try_from(bytes).map(Token)).transpose();
        let token = token.map_err(|_| PyValueError::new_err("expected a token of 32 bytes"))?;
        let client = connecting::connect(py, endpoint, ConnectOptions { token, timeout, ..ConnectOptions::default() })?;
        Ok(Self { client })
    }

    /// Opens or uses a workspace; a [`Workspace`] comes of it.
    fn open(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        own: bool,
        persistent: bool,
        create: bool,
    ) -> PyResult<Call> {
        let name = name_bytes(name, "a workspace")?;
        let mode = if own { OpenMode::Own { persistent } } else { OpenMode::Use };
        let workspace = self.client.new_workspace_handle();
        let request = Request::Open { workspace, name: name.clone(), mode, create };
        let client = self.client.clone();
        self.call(py, request, Some(self.closing(workspace)), move |py, _| {
            Ok(Py::new(py, Workspace::new(client, workspace, name))?.into_any())
        })
    }

    /// Makes a workspace with a name of its own; the name comes of it.
    fn make_temporary(&self, py: Python<'_>, template: &Bound<'_, PyAny>) -> PyResult<Call> {
        let template = name_bytes(template, "a workspace")?;
        let workspace = self.client.new_workspace_handle();
        let request = Request::MakeTemporary { workspace, template };
        let client = self.client.clone();
        self.call(py, request, Some(self.closing(workspace)), move |py, reply| {
            client.request_and_forget(&Request::CloseWorkspace { workspace });
            match reply {
                Reply::Opened { name, .. } => name_object(py, &name),
                other => Err(unexpected(py, &other)),
            }
        })
    }

    /// Deletes the workspace that bears the name now.
    fn delete_workspace(&self, py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<Call> {
        let name = name_bytes(name, "a workspace")?;
        self.call(py, Request::DeleteWorkspace { name }, None, |py, _| Ok(py.None()))
    }

    /// Lists the workspaces, sorted by name: name, owner, mine, persistent, names of the variables.
    fn list_workspaces(&self, py: Python<'_>) -> PyResult<Call> {
        self.call(py, Request::ListWorkspaces { name: None }, None, |py, reply| match reply {
            Reply::Workspaces(workspaces) => {
                let rows = workspaces.iter().map(|info| workspace_row(py, info)).collect::<PyResult<Vec<_>>>()?;
                Ok(rows.into_pyobject(py)?.unbind())
            }
            other => Err(unexpected(py, &other)),
        })
    }

    /// Ends the connection, and with it all that waits and all that this client owns.
    fn close(&self) {
        self.client.close();
    }

    /// Whether the connection has ended.
    #[getter]
    fn closed(&self) -> bool {
        self.client.closed().is_some()
    }
}

impl Connection {
    /// Of a connection that is there already.
    pub(crate) fn of(client: nws_client::Connection) -> Self {
        Self { client }
    }

    fn call(
        &self,
        py: Python<'_>,
        request: Request<Bytes>,
        late: Option<Late>,
        read: impl FnOnce(Python<'_>, Reply<Bytes>) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> PyResult<Call> {
        check_process(py, &self.client)?;
        Ok(Call::send(&self.client, request, late, |py, outcome| match outcome {
            Ok(reply) => read(py, reply),
            Err(error) => Err(errors::from_client(py, &error)),
        }))
    }

    /// Nobody will use the handle.
    fn closing(&self, workspace: WorkspaceHandle) -> Late {
        let client = self.client.clone();
        Box::new(move |_| client.request_and_forget(&Request::CloseWorkspace { workspace }))
    }
}

fn workspace_row(py: Python<'_>, info: &WorkspaceInfo) -> PyResult<WorkspaceRow> {
    let variables = info.variables.iter().map(|name| name_object(py, name)).collect::<PyResult<_>>()?;
    Ok((name_object(py, &info.name)?, name_object(py, &info.owner)?, info.mine, info.persistent, variables))
}

/// Host and port of the server that a text names, as `NWS_URL` does; a host with a slash is the path of a
/// Unix socket.
#[pyfunction]
pub(crate) fn server_of_url(url: &str) -> PyResult<(String, u16)> {
    match url.parse() {
        Ok(Endpoint::Tcp(host, port)) => Ok((host, port)),
        Ok(Endpoint::Unix(path)) => {
            let path = path.to_string_lossy().into_owned();
            Ok((if path.contains('/') { path } else { format!("./{path}") }, 0))
        }
        Ok(other) => Err(PyValueError::new_err(format!("expected a server by TCP or a Unix socket, got {other}"))),
        Err(error) => Err(PyValueError::new_err(error.to_string())),
    }
}

/// The bytes of a name. Those of other clients that are not UTF-8 are `str` with escapes here.
pub(crate) fn name_bytes(name: &Bound<'_, PyAny>, of: &str) -> PyResult<Vec<u8>> {
    let Ok(text) = name.cast::<PyString>() else {
        let got = name.get_type().name()?;
        return Err(PyTypeError::new_err(format!("expected the name of {of} as a str, got {got}")));
    };
    let bytes = match text.to_str() {
        Ok(text) => text.as_bytes().to_vec(),
        Err(_) => text.call_method1("encode", ("utf-8", "surrogateescape"))?.extract::<Vec<u8>>()?,
    };
    let limit = usize::from(nws_proto::limits::NAME_BYTES);
    if bytes.len() > limit {
        let message = format!("expected a name of {of} of at most {limit} bytes, got {}", bytes.len());
        let fault = nws_proto::Fault::new(nws_proto::ErrorCode::NameTooLong, message);
        return Err(errors::from_fault(name.py(), &fault));
    }
    Ok(bytes)
}

/// The `str` of a name.
pub(crate) fn name_object(py: Python<'_>, name: &[u8]) -> PyResult<Py<PyAny>> {
    Ok(match core::str::from_utf8(name) {
        Ok(text) => PyString::new(py, text).into_any().unbind(),
        Err(_) => PyBytes::new(py, name).call_method1("decode", ("utf-8", "surrogateescape"))?.unbind(),
    })
}

/// The server answered with what does not belong to the request.
pub(crate) fn unexpected(py: Python<'_>, reply: &Reply<Bytes>) -> PyErr {
    let message = format!("expected the answer to this request, got {:?}; please report this", reply.opcode());
    errors::Exception::Server.error(py, &message, "internal")
}
