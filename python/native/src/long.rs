//! Values that go to files and come from files, a part at a time.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use nws_client::{Connection, Error, LongCall, Transfer};
use nws_proto::{Cursor as At, Descriptor, Index, Language, VariableId};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView};

use crate::buffers::Buffer;
use crate::call::{check_process, lock};
use crate::errors;
use crate::step::{Doing, Finish, Step};
use crate::value;
use crate::variables::{Granted, Variables};

/// A value that is sent part by part, before anybody sees it.
#[pyclass(frozen, module = "nws._native")]
pub(crate) struct LongStore {
    variables: Arc<Variables>,
    name: Vec<u8>,
    transfer: Arc<Mutex<Option<Transfer>>>,
}

impl LongStore {
    pub(crate) fn new(variables: Arc<Variables>, name: Vec<u8>) -> Self {
        let transfer = variables.client().begin_transfer();
        Self { variables, name, transfer: Arc::new(Mutex::new(Some(transfer))) }
    }
}

#[pymethods]
impl LongStore {
    /// Adds bytes; waits where the server is behind. One that is given up has added nothing.
    fn push(&self, py: Python<'_>, data: &Bound<'_, PyBytes>) -> PyResult<Step> {
        check_process(py, self.variables.client())?;
        let mut bytes = value::shared(data);
        let (transfer, variables, name) = (Arc::clone(&self.transfer), Arc::clone(&self.variables), self.name.clone());
        let push = move |context: &mut Context<'_>| {
            let pushed = match lock(&transfer).as_mut() {
                Some(transfer) => transfer.poll_push(context, &mut bytes),
                None => return Poll::Ready(used_up()),
            };
            let (variables, name) = (Arc::clone(&variables), name.clone());
            pushed.map(|pushed| -> Finish {
                Box::new(move |py| match pushed {
                    Ok(()) => Ok(py.None()),
                    Err(error) => Err(variables.raised(py, &name, &error)),
                })
            })
        };
        Ok(Step::new(self.variables.client(), push))
    }

    /// Stores what was pushed, as bytes.
    fn store(&self, py: Python<'_>) -> PyResult<Step> {
        check_process(py, self.variables.client())?;
        let Some(transfer) = lock(&self.transfer).take() else {
            return Ok(Step::over(self.variables.client(), used_up()));
        };
        let mut stored = self
            .variables
            .send(py, &self.name, |variable| transfer.store(variable, Descriptor::bytes(Language::Python)))?;
        let (variables, name) = (Arc::clone(&self.variables), self.name.clone());
        let store = move |context: &mut Context<'_>| {
            let (variables, name) = (Arc::clone(&variables), name.clone());
            Pin::new(&mut stored).poll(context).map(|outcome| -> Finish {
                Box::new(move |py| match outcome {
                    Ok(_) => Ok(py.None()),
                    Err(error) => Err(variables.raised(py, &name, &error)),
                })
            })
        };
        Ok(Step::new(self.variables.client(), store))
    }

    /// Forgets what was pushed.
    fn forget(&self, py: Python<'_>) -> PyResult<()> {
        check_process(py, self.variables.client())?;
        lock(&self.transfer).take();
        Ok(())
    }
}

/// A value that is read part by part. One that was fetched goes back, by `release` or when nothing refers
/// to it any more, unless it is done.
#[pyclass(frozen, module = "nws._native")]
pub(crate) struct LongValue {
    client: Connection,
    descriptor: Descriptor,
    len_bytes: u64,
    place: (VariableId, Index),
    held: Arc<Mutex<Option<Held>>>,
}

enum Held {
    /// Held by lease, where it was fetched.
    There(nws_client::LongValue),
    /// Fetched before, for a call that nobody waited for.
    Kept(Kept),
}

struct Kept {
    variables: Arc<Variables>,
    name: Vec<u8>,
    granted: Option<Granted>,
    /// Its bytes were given out.
    read: bool,
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(granted) = self.granted.take()
            && !self.variables.is_foreign()
        {
            self.variables.keep_first(&self.name, vec![granted]);
        }
    }
}

impl LongValue {
    /// One that was fetched before.
    pub(crate) fn kept(variables: &Arc<Variables>, name: Vec<u8>, granted: Granted) -> Self {
        let (variable, grant) = &granted;
        let (descriptor, len_bytes) = (grant.item.descriptor, grant.item.value.len() as u64);
        let place = (*variable, grant.index);
        let kept = Kept { variables: Arc::clone(variables), name, granted: Some(granted), read: false };
        let held = Arc::new(Mutex::new(Some(Held::Kept(kept))));
        Self { client: variables.client().clone(), descriptor, len_bytes, place, held }
    }

    fn there(client: Connection, value: nws_client::LongValue) -> Self {
        let (descriptor, len_bytes, place) = (value.descriptor(), value.len_bytes(), value.place());
        Self { client, descriptor, len_bytes, place, held: Arc::new(Mutex::new(Some(Held::There(value)))) }
    }

    /// Behind it.
    pub(crate) fn cursor(&self) -> At {
        At::After { variable: self.place.0, index: self.place.1 }
    }
}

#[pymethods]
impl LongValue {
    /// How it was stored: `text`, `bytes`, `json`, `native`, `pickle`, or `other`.
    #[getter]
    fn kind(&self) -> &'static str {
        value::kind(self.descriptor)
    }

    /// Whether every language reads it as a string.
    #[getter]
    fn is_string(&self) -> bool {
        self.descriptor.is_string()
    }

    #[getter]
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// The next bytes; None at the end.
    fn part(&self, py: Python<'_>) -> PyResult<Step> {
        check_process(py, &self.client)?;
        let held = Arc::clone(&self.held);
        let part = move |context: &mut Context<'_>| {
            let part = match lock(&held).as_mut() {
                Some(Held::There(value)) => match value.poll_next_part(context) {
                    Poll::Ready(part) => part,
                    Poll::Pending => return Poll::Pending,
                },
                Some(Held::Kept(kept)) => Ok(kept.part()),
                None => return Poll::Ready(used_up()),
            };
            let finish: Finish = Box::new(move |py| match part {
                Ok(Some(bytes)) => {
                    let buffer = Bound::new(py, Buffer::readonly(bytes))?;
                    Ok(PyMemoryView::from(buffer.as_any())?.into_any().unbind())
                }
                Ok(None) => Ok(py.None()),
                Err(error) => Err(errors::from_client(py, &error)),
            });
            Poll::Ready(finish)
        };
        Ok(Step::new(&self.client, part))
    }

    /// It is done: if it was fetched, it is gone.
    fn done(&self, py: Python<'_>) -> PyResult<Step> {
        check_process(py, &self.client)?;
        let held = lock(&self.held).take();
        Ok(match held {
            Some(Held::There(value)) => {
                let mut done = value.done();
                Step::new(&self.client, move |context: &mut Context<'_>| {
                    Pin::new(&mut done).poll(context).map(|outcome| -> Finish {
                        Box::new(move |py| match outcome {
                            Ok(()) => Ok(py.None()),
                            Err(error) => Err(errors::from_client(py, &error)),
                        })
                    })
                })
            }
            Some(Held::Kept(mut kept)) => {
                kept.granted = None;
                Step::over(&self.client, |py| Ok(py.None()))
            }
            None => Step::over(&self.client, used_up()),
        })
    }

    /// Gives it back, if it was fetched and is not done.
    fn release(&self, py: Python<'_>) -> PyResult<()> {
        check_process(py, &self.client)?;
        let held = lock(&self.held).take();
        drop(held);
        Ok(())
    }
}

impl Kept {
    fn part(&mut self) -> Option<Bytes> {
        let (_, grant) = self.granted.as_ref().filter(|_| !std::mem::replace(&mut self.read, true))?;
        Some(grant.item.value.clone()).filter(|bytes| !bytes.is_empty())
    }
}

/// A retrieval that goes on: a [`LongValue`] comes of it, or what `absent` makes.
pub(crate) struct Retrieving<A> {
    pub(crate) variables: Arc<Variables>,
    pub(crate) name: Vec<u8>,
    pub(crate) call: LongCall<Option<nws_client::LongValue>>,
    pub(crate) absent: Option<A>,
}

impl<A: FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send + Unpin + 'static> Doing for Retrieving<A> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Finish> {
        let Poll::Ready(outcome) = Pin::new(&mut self.call).poll(context) else { return Poll::Pending };
        let (variables, name, absent) = (Arc::clone(&self.variables), self.name.clone(), self.absent.take());
        Poll::Ready(Box::new(move |py| match outcome {
            Ok(Some(value)) => Ok(Py::new(py, LongValue::there(variables.client().clone(), value))?.into_any()),
            Ok(None) | Err(Error::TimedOut) => absent.map_or_else(|| Ok(py.None()), |absent| absent(py)),
            Err(error) => Err(variables.raised(py, &name, &error)),
        }))
    }

    fn cancel(&mut self) {
        self.call.cancel();
    }
}

fn used_up() -> Finish {
    Box::new(|_| Err(PyRuntimeError::new_err("expected a value that goes on, got one that was done or given up")))
}
