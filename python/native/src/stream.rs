//! What stands in the place of Python's standard output and error in a worker.

use nws_work::worker::Capture;
use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;

/// Where Python writes standard output or error, so that it is known which task did.
#[pyclass(module = "nws._native", frozen)]
pub(crate) struct Stream {
    pub(crate) capture: Capture,
    pub(crate) error: bool,
}

#[pymethods]
impl Stream {
    /// Writes; whole lines leave at once.
    fn write(&self, py: Python<'_>, data: PyBuffer<u8>) -> PyResult<usize> {
        let bytes = data.to_vec(py)?;
        py.detach(|| self.capture.write(self.error, &bytes))?;
        Ok(bytes.len())
    }

    /// Lets what has no end of line leave, too.
    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        Ok(py.detach(|| self.capture.flush(self.error))?)
    }

    /// The descriptor behind it.
    fn fileno(&self) -> i32 {
        if self.error { 2 } else { 1 }
    }

    fn isatty(&self) -> bool {
        false
    }

    fn readable(&self) -> bool {
        false
    }

    fn writable(&self) -> bool {
        true
    }

    fn seekable(&self) -> bool {
        false
    }

    #[getter]
    fn closed(&self) -> bool {
        false
    }

    /// Standard streams stay open.
    fn close(&self) {}
}
