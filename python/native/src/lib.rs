//! The private module `nws._native`: client and dispatch for Python.
//!
//! It holds mechanism only: encoding of values, connections and waits. Names, defaults and policy
//! are the facade's, in `python/src/nws`. This file registers what the others define: start with
//! `client` and `workspace` for what `nws.client` uses, `call` for how it waits, `long` for files, `value` for how an
//! object becomes bytes, `errors` for the exceptions.

mod bell;
mod buffers;
mod call;
mod client;
mod commands;
mod compact;
mod connecting;
mod cores;
mod cursor;
mod errors;
mod events;
mod lease;
mod long;
mod seeding;
mod sleigh_master;
mod sleigh_worker;
mod spread;
mod step;
mod stream;
mod value;
mod variables;
mod workspace;

use pyo3::prelude::*;

#[pymodule(name = "_native")]
fn native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    errors::register(module)?;
    compact::register(module)?;
    value::register(module)?;
    module.add_class::<bell::PyBell>()?;
    module.add_class::<call::Call>()?;
    module.add_class::<client::Connection>()?;
    module.add_class::<commands::PyCause>()?;
    module.add_class::<commands::PyCommandEvent>()?;
    module.add_class::<commands::PyCommandHost>()?;
    module.add_class::<events::EventLog>()?;
    module.add_class::<lease::Lease>()?;
    module.add_class::<long::LongStore>()?;
    module.add_class::<long::LongValue>()?;
    module.add_class::<step::Step>()?;
    module.add_class::<cursor::Cursor>()?;
    module.add_class::<cursor::Stored>()?;
    module.add_class::<workspace::Workspace>()?;
    module.add_class::<seeding::SeededDraws>()?;
    module.add_class::<seeding::SeededLock>()?;
    module.add_class::<sleigh_master::SleighCore>()?;
    module.add_class::<sleigh_master::Run>()?;
    module.add_class::<sleigh_worker::WorkerStart>()?;
    module.add_class::<sleigh_worker::WorkerLoop>()?;
    module.add_class::<stream::Stream>()?;
    module.add_function(wrap_pyfunction!(sleigh_worker::worker_bootstrap, module)?)?;
    spread::register(module)?;
    module.add_function(wrap_pyfunction!(client::server_of_url, module)?)?;
    cores::register(module)?;
    Ok(())
}
