//! What can go wrong in dispatch.

use std::io;

/// Why a sleigh, or a worker of one, cannot go on.
#[derive(Debug)]
pub enum WorkError {
    /// The server refused, or the connection to it ended.
    Client(nws_client::Error),
    /// The host process, or what it started, has ended; the text tells how.
    Ended(String),
    /// A process could not be started.
    Start(String),
    /// An argument cannot be used.
    Argument(String),
    /// The system refused.
    Io(io::Error),
}

impl std::fmt::Display for WorkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            WorkError::Client(error) => error.fmt(f),
            WorkError::Ended(text) | WorkError::Start(text) | WorkError::Argument(text) => f.write_str(text),
            WorkError::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for WorkError {}

impl From<nws_client::Error> for WorkError {
    fn from(error: nws_client::Error) -> Self {
        WorkError::Client(error)
    }
}

impl From<io::Error> for WorkError {
    fn from(error: io::Error) -> Self {
        WorkError::Io(error)
    }
}
