//! Error codes: each has one slug, one number, one class.

use alloc::string::String;

/// Whose fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The bytes are not the protocol. The connection ends.
    Malformed,
    /// A limit or a right stands against it.
    Refused,
    /// The workspace, variable, lease or mode it needs is not there.
    NotThere,
    /// The caller used the interface wrongly.
    Misuse,
    /// A defect of ours.
    Internal,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $slug:literal, $class:ident;)*) => {
        /// What went wrong. The number is on the wire; the slug is for people and scripts.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum ErrorCode {
            $($(#[$doc])* $name = $number,)*
        }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$name),*];

            /// The stable name.
            pub const fn slug(self) -> &'static str {
                match self { $(ErrorCode::$name => $slug,)* }
            }

            /// Whose fault it is.
            pub const fn class(self) -> ErrorClass {
                match self { $(ErrorCode::$name => ErrorClass::$class,)* }
            }

            /// The code with this number.
            pub const fn from_wire(number: u16) -> Option<ErrorCode> {
                match number { $($number => Some(ErrorCode::$name),)* _ => None }
            }

            /// The number on the wire.
            pub const fn to_wire(self) -> u16 {
                self as u16
            }
        }
    };
}

codes! {
    /// The bytes are not a frame, or a frame's payload is not what its opcode says.
    MalformedFrame = 100, "malformed-frame", Malformed;
    /// The opcode is none that this server knows.
    UnknownOpcode = 101, "unknown-opcode", Malformed;
    /// The client and the server share no version of the protocol.
    VersionMismatch = 102, "version-mismatch", Malformed;

    /// The client did not prove the server's token.
    NotAuthorized = 200, "not-authorized", Refused;
    /// A frame is longer than the server takes.
    FrameTooLong = 201, "frame-too-long", Refused;
    /// A name is longer than the server takes.
    NameTooLong = 202, "name-too-long", Refused;
    /// The session has too many workspaces open.
    TooManyWorkspaces = 203, "too-many-workspaces", Refused;
    /// The session has too many variables bound.
    TooManyVariables = 204, "too-many-variables", Refused;
    /// The session has too many requests waiting.
    TooManyWaiting = 205, "too-many-waiting", Refused;
    /// The session holds too many leases.
    TooManyLeases = 206, "too-many-leases", Refused;
    /// The server has no memory left for values.
    MemoryFull = 207, "memory-full", Refused;
    /// The server has too many connections.
    TooManyConnections = 208, "too-many-connections", Refused;
    /// The workspace `__default` cannot be deleted.
    ProtectedWorkspace = 209, "protected-workspace", Refused;
    /// The server is going down.
    ShuttingDown = 210, "shutting-down", Refused;
    /// The client said nothing for longer than it may.
    Silent = 211, "silent", Refused;
    /// A value is longer than the server takes.
    ValueTooLong = 212, "value-too-long", Refused;
    /// The server has no space on disk left for a long value, or cannot write it.
    DiskFull = 213, "disk-full", Refused;
    /// The session sends too many values in parts.
    TooManyTransfers = 214, "too-many-transfers", Refused;
    /// The session has too many long values open.
    TooManyReadings = 215, "too-many-readings", Refused;
    /// A long value cannot be read from the disk.
    DiskFailed = 216, "disk-failed", Refused;

    /// There is no such workspace.
    NoSuchWorkspace = 300, "no-such-workspace", NotThere;
    /// There is no such variable.
    NoSuchVariable = 301, "no-such-variable", NotThere;
    /// The variable has another mode.
    ModeConflict = 302, "mode-conflict", NotThere;
    /// The workspace that this handle was opened on is gone.
    WorkspaceGone = 303, "workspace-gone", NotThere;
    /// The variable was deleted while the request waited, or since the iterator began.
    VariableGone = 304, "variable-gone", NotThere;
    /// The variable's mode has no iterators.
    NotIterable = 305, "not-iterable", NotThere;
    /// The lease has ended, or is not this session's.
    LeaseEnded = 306, "lease-ended", NotThere;
    /// The guardian that a hello names is no live session.
    NoSuchGuardian = 307, "no-such-guardian", NotThere;

    /// The handle is bound to nothing.
    UnknownHandle = 400, "unknown-handle", Misuse;
    /// The handle is bound already.
    HandleInUse = 401, "handle-in-use", Misuse;
    /// A request with this id is in flight already.
    RequestInUse = 402, "request-in-use", Misuse;
    /// The template is not one integer conversion.
    BadTemplate = 403, "bad-template", Misuse;
    /// The arguments of the request exclude each other.
    BadArguments = 404, "bad-arguments", Misuse;

    /// A defect of the server.
    Internal = 900, "internal", Internal;
}

/// An error as it travels: the code, and a message that says what was expected, what came and what
/// to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What went wrong.
    pub code: ErrorCode,
    /// For people.
    pub message: String,
}

impl Fault {
    /// A fault with this message.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl core::fmt::Display for Fault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} ({})", self.message, self.code.slug())
    }
}

impl core::error::Error for Fault {}
