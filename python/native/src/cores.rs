//! How many workers this machine carries, and how many threads each of them.

use nws_work::control::WorkerCommand;
use nws_work::threads::Threads;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// One worker for each core that this process may use, or as many as `NWS_WORKERS` says.
#[pyfunction]
fn fitting_workers() -> PyResult<u32> {
    nws_work::fitting_workers().map_err(PyValueError::new_err)
}

/// The variables that tell numerical libraries in each of `workers` workers how many threads to
/// start: their share of the cores, or `threads`.
#[pyfunction]
#[pyo3(signature = (workers, threads))]
fn thread_limits(workers: u32, threads: Option<u32>) -> Vec<(String, Option<String>)> {
    let mut command = WorkerCommand::default();
    threads.map_or(Threads::Share, Threads::Each).limit(&mut command, workers);
    command.env
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(fitting_workers, module)?)?;
    module.add_function(wrap_pyfunction!(thread_limits, module)?)
}
