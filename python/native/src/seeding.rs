//! Generators of random numbers that are seeded when a task first uses them, so that a task which uses
//! none pays nothing.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// Whether a generator is still to be seeded, and by what.
struct Due {
    due: AtomicBool,
    seed: Py<PyAny>,
}

impl Due {
    fn settle(&self, py: Python<'_>) -> PyResult<()> {
        // Python is what orders this with other threads.
        if self.due.load(Ordering::Relaxed) {
            self.seed.call0(py)?;
        }
        Ok(())
    }
}

/// Two methods of the generator of `random`, from which all others draw.
#[pyclass(module = "nws._native", frozen)]
pub(crate) struct SeededDraws {
    due: Due,
    random: Py<PyAny>,
    getrandbits: Py<PyAny>,
}

#[pymethods]
impl SeededDraws {
    /// `seed` is called before a draw while `due` is set; it is to take that back.
    #[new]
    fn new(seed: Py<PyAny>, random: Py<PyAny>, getrandbits: Py<PyAny>) -> Self {
        Self { due: Due { due: AtomicBool::new(false), seed }, random, getrandbits }
    }

    #[getter]
    fn due(&self) -> bool {
        self.due.due.load(Ordering::Relaxed)
    }

    #[setter]
    fn set_due(&self, due: bool) {
        self.due.due.store(due, Ordering::Relaxed);
    }

    fn random(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.due.settle(py)?;
        self.random.call0(py)
    }

    #[pyo3(signature = (k, /))]
    fn getrandbits(&self, py: Python<'_>, k: Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.due.settle(py)?;
        self.getrandbits.call1(py, (k,))
    }

    /// Its methods are those of the module in whichever process they come to.
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, (&'static str,))> {
        Ok((py.import("importlib")?.getattr("import_module")?, ("random",)))
    }
}

/// The lock of a generator of numpy, which every one of its functions takes.
#[pyclass(module = "nws._native", frozen)]
pub(crate) struct SeededLock {
    due: Due,
    acquire: Py<PyAny>,
    release: Py<PyAny>,
}

#[pymethods]
impl SeededLock {
    /// `seed` is called before `lock` is taken while `due` is set; it is to take that back.
    #[new]
    fn new(seed: Py<PyAny>, lock: &Bound<'_, PyAny>) -> PyResult<Self> {
        let (acquire, release) = (lock.getattr("acquire")?.unbind(), lock.getattr("release")?.unbind());
        Ok(Self { due: Due { due: AtomicBool::new(false), seed }, acquire, release })
    }

    #[getter]
    fn due(&self) -> bool {
        self.due.due.load(Ordering::Relaxed)
    }

    #[setter]
    fn set_due(&self, due: bool) {
        self.due.due.store(due, Ordering::Relaxed);
    }

    #[pyo3(signature = (*options))]
    fn acquire(&self, py: Python<'_>, options: Bound<'_, PyTuple>) -> PyResult<Py<PyAny>> {
        self.due.settle(py)?;
        self.acquire.call1(py, options)
    }

    fn release(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.release.call0(py)
    }

    fn __enter__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.due.settle(py)?;
        self.acquire.call0(py)
    }

    #[pyo3(signature = (*_problem))]
    fn __exit__(&self, py: Python<'_>, _problem: Bound<'_, PyTuple>) -> PyResult<Py<PyAny>> {
        self.release.call0(py)
    }
}
