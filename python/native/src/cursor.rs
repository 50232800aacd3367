//! Where an iterator is, and a value as it is stored.

use std::sync::{Arc, Mutex};

use nws_proto::Cursor as At;
use pyo3::prelude::*;
use pyo3::types::PyMemoryView;

use crate::buffers::Buffer;
use crate::call::lock;
use crate::long::LongValue;
use crate::value;
use crate::variables::Granted;

/// How far an iterator is.
#[pyclass(frozen, module = "nws._native")]
pub(crate) struct Cursor {
    pub(crate) at: Arc<Mutex<At>>,
}

/// A value as it is stored, not decoded.
#[pyclass(frozen, module = "nws._native")]
pub(crate) struct Stored {
    pub(crate) granted: Granted,
}

#[pymethods]
impl Cursor {
    #[new]
    fn new() -> Self {
        Self { at: Arc::new(Mutex::new(At::Oldest)) }
    }

    /// Back to where it began.
    fn reset(&self) {
        *lock(&self.at) = At::Oldest;
    }

    /// Behind this value.
    fn pass_over(&self, value: &Bound<'_, LongValue>) {
        *lock(&self.at) = value.get().cursor();
    }
}

#[pymethods]
impl Stored {
    /// The 32 bits that say how it is to be read.
    #[getter]
    fn descriptor(&self) -> u32 {
        self.granted.1.item.descriptor.0
    }

    /// How it was stored: `text`, `bytes`, `json`, `native`, `pickle`, or `other`.
    #[getter]
    fn kind(&self) -> &'static str {
        value::kind(self.granted.1.item.descriptor)
    }

    /// Whether every language reads it as a string.
    #[getter]
    fn is_string(&self) -> bool {
        self.granted.1.item.descriptor.is_string()
    }

    /// Its bytes, where they lie.
    fn view<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyMemoryView>> {
        PyMemoryView::from(Bound::new(py, Buffer::readonly(self.granted.1.item.value.clone()))?.as_any())
    }
}
