//! The one table from error codes to Python exceptions.
//!
//! The classes themselves are Python's (`nws/_errors.py`): one of them has two bases, which a
//! native class cannot have.

use nws_client::Error;
use nws_proto::{ErrorCode, Fault};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

/// An exception of `nws._errors`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exception {
    /// No connection could be made.
    Connect,
    /// The connection ended.
    Dropped,
    /// The server cannot do this.
    Unsupported,
    /// The server and this client did not understand each other.
    Server,
    /// The operation could not be done.
    Operation,
    /// The variable has another mode.
    Declaration,
    /// No such workspace.
    NoWorkspace,
    /// A wait was over before there was a value.
    Timeout,
    /// An argument has a wrong value.
    Value,
}

impl Exception {
    const fn class_name(self) -> &'static str {
        match self {
            Exception::Connect => "NwsConnectException",
            Exception::Dropped => "NwsConnectionDroppedException",
            Exception::Unsupported => "NwsUnsupportedOperationException",
            Exception::Server => "NwsServerException",
            Exception::Operation => "NwsOperationException",
            Exception::Declaration => "NwsDeclarationFailedException",
            Exception::NoWorkspace => "NwsNoWorkSpaceException",
            Exception::Timeout => "NwsTimeoutException",
            Exception::Value => "ValueError",
        }
    }

    const fn of(code: ErrorCode) -> Exception {
        match code {
            ErrorCode::VersionMismatch | ErrorCode::NotAuthorized | ErrorCode::TooManyConnections => Exception::Connect,
            ErrorCode::ShuttingDown | ErrorCode::Silent => Exception::Dropped,
            ErrorCode::UnknownOpcode => Exception::Unsupported,
            ErrorCode::MalformedFrame
            | ErrorCode::NoSuchGuardian
            | ErrorCode::UnknownHandle
            | ErrorCode::HandleInUse
            | ErrorCode::RequestInUse
            | ErrorCode::Internal => Exception::Server,
            ErrorCode::FrameTooLong
            | ErrorCode::NameTooLong
            | ErrorCode::TooManyWorkspaces
            | ErrorCode::TooManyVariables
            | ErrorCode::TooManyWaiting
            | ErrorCode::TooManyLeases
            | ErrorCode::MemoryFull
            | ErrorCode::ValueTooLong
            | ErrorCode::DiskFull
            | ErrorCode::TooManyTransfers
            | ErrorCode::TooManyReadings
            | ErrorCode::DiskFailed
            | ErrorCode::ProtectedWorkspace
            | ErrorCode::NoSuchVariable
            | ErrorCode::VariableGone
            | ErrorCode::NotIterable
            | ErrorCode::LeaseEnded
            | ErrorCode::BadTemplate => Exception::Operation,
            ErrorCode::ModeConflict => Exception::Declaration,
            ErrorCode::NoSuchWorkspace | ErrorCode::WorkspaceGone => Exception::NoWorkspace,
            ErrorCode::BadArguments => Exception::Value,
        }
    }

    fn class(self, py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
        if self == Exception::Value {
            return Ok(py.get_type::<PyValueError>());
        }
        static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
        let module = MODULE.get_or_try_init(py, || py.import("nws._errors").map(Bound::unbind))?;
        Ok(module.bind(py).getattr(self.class_name())?.cast_into::<PyType>()?)
    }

    /// An error of this class. `slug` becomes its attribute of that name.
    pub(crate) fn error(self, py: Python<'_>, message: &str, slug: &str) -> PyErr {
        let made = self.class(py).and_then(|class| {
            let error = class.call1((message,))?;
            error.setattr("slug", slug)?;
            Ok(PyErr::from_value(error))
        });
        made.unwrap_or_else(|problem| problem)
    }
}

/// The exception that a fault of the server is raised as.
pub(crate) fn from_fault(py: Python<'_>, fault: &Fault) -> PyErr {
    Exception::of(fault.code).error(py, &fault.message, fault.code.slug())
}

/// The exception that a failed operation of the client is raised as.
pub(crate) fn from_client(py: Python<'_>, error: &Error) -> PyErr {
    let (exception, slug) = match error {
        Error::Fault(fault) => return from_fault(py, fault),
        Error::Connect { .. } => (Exception::Connect, error.code().map_or("not-connected", ErrorCode::slug)),
        Error::Closed { .. } => (Exception::Dropped, "closed"),
        Error::TimedOut => (Exception::Timeout, "timed-out"),
        Error::Canceled => (Exception::Operation, "canceled"),
        // As Python itself tells it: a full disk or a broken pipe is no fault of the server.
        Error::Io { kind, .. } => return std::io::Error::new(*kind, error.to_string()).into(),
        Error::Forked => (Exception::Dropped, "forked"),
        _ => (Exception::Server, "internal"),
    };
    exception.error(py, &error.to_string(), slug)
}

/// Every error code: its slug, its number on the wire, the name of its exception.
#[pyfunction]
fn error_table() -> Vec<(&'static str, u16, &'static str)> {
    ErrorCode::ALL.iter().map(|code| (code.slug(), code.to_wire(), Exception::of(*code).class_name())).collect()
}

/// The exception of the code with this number; for the test of the table.
#[pyfunction]
fn error_of(py: Python<'_>, number: u16, message: &str) -> PyResult<Py<PyAny>> {
    let code = ErrorCode::from_wire(number)
        .ok_or_else(|| PyValueError::new_err(format!("expected the number of an error code, got {number}")))?;
    Ok(from_fault(py, &Fault::new(code, message)).into_value(py).into_any())
}

/// The exception of a file that cannot be read or written, for this number of the system; for the test.
#[pyfunction]
fn error_of_file(py: Python<'_>, errno: i32) -> Py<PyAny> {
    let error = std::io::Error::from_raw_os_error(errno);
    let error = Error::Io { action: "writing the value", kind: error.kind(), message: error.to_string() };
    from_client(py, &error).into_value(py).into_any()
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(error_table, module)?)?;
    module.add_function(wrap_pyfunction!(error_of_file, module)?)?;
    module.add_function(wrap_pyfunction!(error_of, module)?)
}
