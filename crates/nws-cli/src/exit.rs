//! How a command ends: its exit code and what it says on standard error.

use std::io;
use std::process::ExitCode;

use nws_client::{ConnectProblem, Error};
use nws_proto::ErrorClass;

/// The exit codes, which scripts may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It is done.
    Done = 0,
    /// There was no value, or something did not happen in the time given.
    Nothing = 1,
    /// The command line or a setting is wrong.
    Usage = 2,
    /// No server answers.
    NoServer = 3,
    /// The server refused: the token is wrong, a limit is exceeded.
    Refused = 4,
    /// The workspace or variable is not there, or has another mode.
    NotThere = 5,
    /// Something else failed: a file, the connection half way, a defect of ours.
    Failed = 6,
}

impl Exit {
    /// All of them, with what they mean, for the manual.
    pub(crate) const MEANINGS: [(Exit, &'static str); 7] = [
        (Exit::Done, "It is done."),
        (
            Exit::Nothing,
            "There was no value, or it did not happen in the time given; doctor found something wrong; a job of map failed.",
        ),
        (Exit::Usage, "The command line or a setting is wrong."),
        (Exit::NoServer, "No server answers."),
        (Exit::Refused, "The server refused: the token is missing or wrong, or a limit is exceeded."),
        (Exit::NotThere, "The workspace or variable is not there, was deleted, or has another mode."),
        (Exit::Failed, "Something else failed: a file, a port, the connection half way, a defect of ours."),
    ];
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Why a command did not do what it should.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// Nothing is said where it is empty.
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// What the exit code says is all there is to say.
    pub(crate) fn quiet(exit: Exit) -> Self {
        Self::new(exit, "")
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match &error {
            Error::Connect { problem, .. } => match problem {
                ConnectProblem::NoToken { .. } | ConnectProblem::WrongToken | ConnectProblem::Refused(_) => {
                    Exit::Refused
                }
                _ => Exit::NoServer,
            },
            Error::Fault(fault) => match fault.code.class() {
                ErrorClass::Refused => Exit::Refused,
                ErrorClass::NotThere => Exit::NotThere,
                ErrorClass::Misuse => Exit::Usage,
                ErrorClass::Malformed | ErrorClass::Internal => Exit::Failed,
            },
            Error::TimedOut => Exit::Nothing,
            _ => Exit::Failed,
        };
        Self::new(exit, error.to_string())
    }
}

/// Standard output that nobody reads any more is the end of the command, and no failure.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::quiet(Exit::Done),
            io::ErrorKind::InvalidInput => Self::new(Exit::Usage, error.to_string()),
            _ => Self::new(Exit::Failed, error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_meanings_are_in_order_and_complete() {
        for (code, (exit, meaning)) in Exit::MEANINGS.iter().enumerate() {
            assert_eq!(*exit as usize, code);
            assert!(meaning.ends_with('.'));
        }
    }
}
