//! The file of events of a sleigh. Python says what is rare; tasks are told without it.

use std::path::PathBuf;

use nws_work::envelope::ResultHead;
use nws_work::events;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;

/// An open file of events.
#[pyclass(module = "nws._native", frozen)]
pub(crate) struct EventLog {
    log: events::EventLog,
    sleigh: String,
}

impl EventLog {
    /// A task has ended.
    pub(crate) fn task(&self, head: &ResultHead) {
        self.log.task(&self.sleigh, head);
    }
}

#[pymethods]
impl EventLog {
    /// Opens the file to append to it. `sleigh` tells this one's tasks from those of others: letters and digits.
    #[new]
    fn new(path: PathBuf, sleigh: String) -> PyResult<Self> {
        let log = events::EventLog::open(&path).map_err(|error| {
            let what = error.to_string();
            let what = what.split(" (os error").next().unwrap_or_default().to_owned();
            PyOSError::new_err((error.raw_os_error(), what, path))
        })?;
        Ok(Self { log, sleigh })
    }

    /// Appends an event: the text of a JSON object.
    fn line(&self, event: &str) {
        self.log.line(event);
    }

    /// Lets readers see what was appended. Returns the error that ended the writing, once.
    fn flush(&self) -> Option<String> {
        self.log.flush();
        self.log.problem().map(|error| error.to_string())
    }
}
