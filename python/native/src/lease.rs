//! A value that was handed out and is not done yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use nws_proto::{ErrorCode, Fault, FinishItem, Grant, LeaseId, Reply, Request};
use pyo3::prelude::*;

use crate::call::{Call, check_process};
use crate::client::{name_bytes, unexpected};
use crate::errors;
use crate::value::{self, Encoding};
use crate::variables::Variables;

/// A value taken by lease. It goes back to its place by `release`, or when nothing refers to this any
/// more, unless it was finished.
#[pyclass(frozen, module = "nws._native")]
pub(crate) struct Lease {
    variables: Arc<Variables>,
    id: LeaseId,
    deaths: u16,
    value: Py<PyAny>,
    ended: AtomicBool,
}

impl Lease {
    /// A value that cannot be decoded goes back.
    pub(crate) fn new(py: Python<'_>, variables: Arc<Variables>, id: LeaseId, grant: Grant<Bytes>) -> PyResult<Self> {
        match value::decode_item(py, grant.item, value::loads(py)?) {
            Ok(value) => {
                let ended = AtomicBool::new(false);
                Ok(Self { variables, id, deaths: grant.deaths, value: value.unbind(), ended })
            }
            Err(error) => {
                variables.client().request_and_forget(&release(id));
                Err(error)
            }
        }
    }

    /// Marks it as ended, once.
    fn end(&self, py: Python<'_>) -> PyResult<()> {
        if self.ended.swap(true, Ordering::Relaxed) {
            let message = "expected a lease that goes on, got one that has ended by finish, done or release";
            return Err(errors::from_fault(py, &Fault::new(ErrorCode::LeaseEnded, message)));
        }
        Ok(())
    }
}

const FINISHED_LATE: &str = "the lease has ended, so the result was not stored; somebody else does the work, or its \
                            variable was deleted";
const DONE_LATE: &str = "the lease had ended before its value was done; the value was given back, or its variable \
                         was deleted";

#[pymethods]
impl Lease {
    /// The value.
    #[getter]
    fn value(&self, py: Python<'_>) -> Py<PyAny> {
        self.value.clone_ref(py)
    }

    /// How many holders died of the value so far.
    #[getter]
    fn deaths(&self) -> u16 {
        self.deaths
    }

    /// Whether it was finished or released here.
    #[getter]
    fn ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Ends the lease and stores a result, in one step.
    #[pyo3(signature = (name, object, encoding = None))]
    fn finish(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        object: &Bound<'_, PyAny>,
        encoding: Option<&str>,
    ) -> PyResult<Call> {
        let name = name_bytes(name, "a variable")?;
        check_process(py, self.variables.client())?;
        let result = value::encode_item(object, Encoding::of_name(encoding)?)?;
        self.end(py)?;
        let item = FinishItem { lease: self.id, result };
        let request = |variable| Request::Finish { variable, items: vec![item] };
        let call = self.variables.call_pieces(py, name, request, |py, reply| {
            reply.map_or_else(|| Ok(py.None()), |reply| finished(py, reply, FINISHED_LATE))
        })?;
        // What could not even be sent leaves the lease to be released.
        self.ended.store(call.was_sent(), Ordering::Relaxed);
        Ok(call)
    }

    /// Ends the lease, without a result.
    fn done(&self, py: Python<'_>) -> PyResult<Call> {
        check_process(py, self.variables.client())?;
        self.end(py)?;
        let request = Request::ReleaseDone { leases: vec![self.id] };
        let call = Call::send(self.variables.client(), request, None, |py, outcome| {
            finished(py, outcome.map_err(|error| errors::from_client(py, &error))?, DONE_LATE)
        });
        self.ended.store(call.was_sent(), Ordering::Relaxed);
        Ok(call)
    }

    /// Gives the value back to its place; nothing happens where the lease has ended. Returns without
    /// an answer, as what is asked for next is asked of the server later.
    fn release(&self, py: Python<'_>) -> PyResult<()> {
        check_process(py, self.variables.client())?;
        if !self.ended.swap(true, Ordering::Relaxed) {
            self.variables.client().request_and_forget(&release(self.id));
        }
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // In a forked child this sends nothing: the lease is the parent's.
        if !*self.ended.get_mut() {
            self.variables.client().request_and_forget(&release(self.id));
        }
    }
}

fn release(id: LeaseId) -> Request<Bytes> {
    Request::Release { leases: vec![id], died: false, recalled: false }
}

/// What comes of an answer to who ends a lease; `late` is for whom it had ended.
fn finished(py: Python<'_>, reply: Reply<Bytes>, late: &str) -> PyResult<Py<PyAny>> {
    match reply {
        Reply::Finished { refused } => match refused.first() {
            Some((_, code)) => Err(errors::from_fault(py, &Fault::new(*code, late))),
            None => Ok(py.None()),
        },
        other => Err(unexpected(py, &other)),
    }
}
