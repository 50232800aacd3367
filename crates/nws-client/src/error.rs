//! What can go wrong, from the side of the client.

use nws_proto::{ErrorCode, Fault};

use crate::{Endpoint, Mismatch};

/// Why an operation failed. The text says what was expected, what came and what to do.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// No connection could be made.
    Connect {
        /// Where to.
        endpoint: Endpoint,
        /// Why not.
        problem: ConnectProblem,
    },
    /// The connection has ended. Whether the server carried out what was not answered is unknown.
    Closed {
        /// Why.
        reason: String,
    },
    /// The server, or the client before it sent anything, refused the request; nothing changed.
    Fault(Fault),
    /// A value is not of the type that was asked for; where it was taken away, it is in here.
    Mismatch(Box<Mismatch>),
    /// An object that no value can say; nothing was stored.
    NotStorable {
        /// The variable that it was for.
        variable: Option<Vec<u8>>,
        /// Why.
        reason: String,
    },
    /// The time given was over and there was no value.
    TimedOut,
    /// The wait was canceled.
    Canceled,
    /// The connection belongs to the process that this one was forked from.
    Forked,
    /// What a value was read from or written to failed; the server is not to blame.
    Io {
        /// What was being done.
        action: &'static str,
        /// What kind of error it is.
        kind: std::io::ErrorKind,
        /// What the system says.
        message: String,
    },
}

/// Why no connection could be made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectProblem {
    /// Nobody listens there.
    NobodyListens,
    /// There was no answer in time.
    NoAnswer {
        /// What was waited for.
        step: &'static str,
        /// For how long, in milliseconds.
        timeout_ms: u64,
    },
    /// The name of the host leads to no address.
    UnknownHost {
        /// What the resolver says.
        message: String,
    },
    /// Somebody answers, but not in this protocol.
    NotOurProtocol {
        /// What came instead.
        got: String,
    },
    /// The two share no version of the protocol.
    Version {
        /// Oldest version that the server speaks.
        oldest: u16,
        /// Newest version that the server speaks.
        newest: u16,
    },
    /// No token was given and none was found.
    NoToken {
        /// Where it was looked for.
        looked: String,
    },
    /// The server refused the token.
    WrongToken,
    /// The other end could not prove that it knows the token.
    Unproven,
    /// The server refused the connection for another reason.
    Refused(Fault),
    /// What the operating system says.
    System {
        /// What was being done.
        step: &'static str,
        /// What it says.
        message: String,
    },
}

impl Error {
    pub(crate) fn closed(reason: impl Into<String>) -> Self {
        Error::Closed { reason: reason.into() }
    }

    pub(crate) fn misuse(message: impl Into<String>) -> Self {
        Error::Fault(Fault::new(ErrorCode::BadArguments, message))
    }

    /// The same, about the variable of this name.
    pub(crate) fn about(self, name: &[u8]) -> Self {
        match self {
            Error::Mismatch(mut mismatch) => {
                mismatch.variable.get_or_insert_with(|| name.to_vec());
                Error::Mismatch(mismatch)
            }
            Error::NotStorable { variable, reason } => {
                Error::NotStorable { variable: variable.or_else(|| Some(name.to_vec())), reason }
            }
            error => error,
        }
    }

    pub(crate) fn io(action: &'static str, error: &std::io::Error) -> Self {
        Error::Io { action, kind: error.kind(), message: error.to_string() }
    }

    /// The code, where there is a fault with one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Error::Fault(fault) => Some(fault.code),
            Error::Connect { problem: ConnectProblem::Refused(fault), .. } => Some(fault.code),
            Error::Connect { problem: ConnectProblem::WrongToken, .. } => Some(ErrorCode::NotAuthorized),
            Error::Connect { problem: ConnectProblem::Version { .. }, .. } => Some(ErrorCode::VersionMismatch),
            _ => None,
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Error::Fault(fault)
    }
}

impl From<Mismatch> for Error {
    fn from(mismatch: Mismatch) -> Self {
        Error::Mismatch(Box::new(mismatch))
    }
}

/// The text for people, as what a `main` that returns it prints.
impl std::fmt::Debug for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::Connect { endpoint, problem } => problem.explain(endpoint, f),
            Error::Closed { reason } => write!(f, "the connection to the NetWorkSpaces server has ended: {reason}"),
            Error::Fault(fault) => fault.fmt(f),
            Error::Mismatch(mismatch) => mismatch.fmt(f),
            Error::NotStorable { variable, reason } => {
                f.write_str("expected what a value can say")?;
                if let Some(variable) = variable {
                    write!(f, ", to store it in the variable '{}'", variable.escape_ascii())?;
                }
                write!(f, "; {reason}")
            }
            Error::TimedOut => f.write_str("no value came in the time given"),
            Error::Canceled => f.write_str("the wait was canceled"),
            Error::Io { action, message, .. } => write!(f, "{action} failed: {message}"),
            Error::Forked => f.write_str(
                "this connection was made before the process was forked, and belongs to the parent; connect again in \
                 the child",
            ),
        }
    }
}

impl std::error::Error for Error {}

impl ConnectProblem {
    fn explain(&self, endpoint: &Endpoint, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ConnectProblem::NobodyListens => write!(
                f,
                "no NetWorkSpaces server answers at {endpoint}; start one with `nws serve`, or name the address of \
                 one that runs"
            ),
            ConnectProblem::NoAnswer { step, timeout_ms } => write!(
                f,
                "expected {step} from {endpoint} within {timeout_ms} ms, and nothing came; check that a \
                 NetWorkSpaces server listens there, or allow more time"
            ),
            ConnectProblem::UnknownHost { message } => {
                write!(f, "the host of {endpoint} has no address ({message}); check its name")
            }
            ConnectProblem::NotOurProtocol { got } => write!(
                f,
                "expected a NetWorkSpaces server at {endpoint}, got {got}; check the address and port (the clients' \
                 port, 8765 by default, not the web port)"
            ),
            ConnectProblem::Version { oldest, newest } => write!(
                f,
                "the server at {endpoint} speaks the versions {oldest} to {newest} of the protocol, this client {}; \
                 bring the older of the two up to date",
                nws_proto::PROTOCOL_VERSION
            ),
            ConnectProblem::NoToken { looked } => write!(
                f,
                "the server at {endpoint} asks for a token, and none was given or found ({looked}); run as the user \
                 who started the server, or give its token"
            ),
            ConnectProblem::WrongToken => write!(
                f,
                "the server at {endpoint} refused the token; give the one that it was started with (the file `token` \
                 beside its socket)"
            ),
            ConnectProblem::Unproven => write!(
                f,
                "what answers at {endpoint} does not know the token, so it is not the server that was meant; nothing \
                 was sent to it. Check the address and the token"
            ),
            ConnectProblem::Refused(fault) => write!(f, "the server at {endpoint} refused the connection: {fault}"),
            ConnectProblem::System { step, message } => write!(f, "cannot connect to {endpoint}: {step}: {message}"),
        }
    }
}
