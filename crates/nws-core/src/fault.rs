//! The faults of this crate: what was expected, what came, what to do.

use alloc::format;
use alloc::string::String;
use nws_proto::{ErrorCode, Fault, Mode};

/// How much of a name a message repeats, in bytes.
const SHOWN_BYTES: usize = 100;

fn shown(name: &[u8]) -> String {
    let cut = name.get(..SHOWN_BYTES).unwrap_or(name);
    let dots = if cut.len() < name.len() { "..." } else { "" };
    format!("'{}{dots}'", String::from_utf8_lossy(cut))
}

pub(crate) fn no_such_workspace(name: &[u8]) -> Fault {
    Fault::new(ErrorCode::NoSuchWorkspace, format!("there is no workspace {}; open it to make it", shown(name)))
}

pub(crate) fn workspace_gone(name: Option<&[u8]>) -> Fault {
    let name = name.map(|name| format!(" {}", shown(name))).unwrap_or_default();
    Fault::new(ErrorCode::WorkspaceGone, format!("the workspace{name} was deleted, or its owner ended; open it again"))
}

pub(crate) fn no_such_variable(name: &[u8]) -> Fault {
    Fault::new(ErrorCode::NoSuchVariable, format!("there is no variable {}", shown(name)))
}

pub(crate) fn variable_gone(name: &[u8]) -> Fault {
    Fault::new(ErrorCode::VariableGone, format!("the variable {} was deleted; begin anew", shown(name)))
}

pub(crate) fn mode_conflict(name: &[u8], has: Mode, wanted: Mode) -> Fault {
    let (name, has, wanted) = (shown(name), has.name(), wanted.name());
    Fault::new(ErrorCode::ModeConflict, format!("the variable {name} is {has}, so it cannot be declared {wanted}"))
}

pub(crate) fn not_iterable(name: &[u8], mode: Mode) -> Fault {
    let (name, mode) = (shown(name), mode.name());
    Fault::new(ErrorCode::NotIterable, format!("iterators need fifo or single, and the variable {name} is {mode}"))
}

pub(crate) fn protected(name: &[u8]) -> Fault {
    Fault::new(ErrorCode::ProtectedWorkspace, format!("the workspace {} cannot be deleted", shown(name)))
}

pub(crate) fn name_too_long(name: &[u8], most: u32) -> Fault {
    let length = name.len();
    Fault::new(
        ErrorCode::NameTooLong,
        format!("a name has at most {most} bytes (setting name-length), this one has {length}"),
    )
}

pub(crate) fn unknown_handle(kind: &str, handle: u32) -> Fault {
    Fault::new(ErrorCode::UnknownHandle, format!("{kind} handle {handle} is bound to nothing in this session"))
}

pub(crate) fn handle_in_use(kind: &str, handle: u32) -> Fault {
    Fault::new(ErrorCode::HandleInUse, format!("{kind} handle {handle} is bound already; choose another"))
}

pub(crate) fn bad_template(template: &[u8]) -> Fault {
    let template = shown(template);
    Fault::new(ErrorCode::BadTemplate, format!("expected exactly one %d or %i, as in __ws__%d, got {template}"))
}

pub(crate) fn bad_arguments(message: impl Into<String>) -> Fault {
    Fault::new(ErrorCode::BadArguments, message)
}

pub(crate) fn value_too_long(length: u64, most: u64) -> Fault {
    let message =
        format!("a value has at most {most} bytes (setting value-size), this one has {length}; store it in parts");
    Fault::new(ErrorCode::ValueTooLong, message)
}

pub(crate) fn too_many(code: ErrorCode, most: u32, what: &str, advice: &str) -> Fault {
    let setting = match code {
        ErrorCode::TooManyWorkspaces => "session-workspaces",
        ErrorCode::TooManyVariables => "session-variables",
        ErrorCode::TooManyLeases => "session-leases",
        _ => "session-waiting",
    };
    Fault::new(code, format!("a session has at most {most} {what} (setting {setting}); {advice}"))
}

pub(crate) fn too_many_waiting(most: u32) -> Fault {
    let message = format!("at most {most} requests of all sessions wait (setting waiting); try again when fewer wait");
    Fault::new(ErrorCode::TooManyWaiting, message)
}

pub(crate) fn memory_full(most_bytes: u64) -> Fault {
    Fault::new(
        ErrorCode::MemoryFull,
        format!(
            "the server keeps at most {most_bytes} bytes of values and names (setting values-memory); fetch or delete \
             some first"
        ),
    )
}
