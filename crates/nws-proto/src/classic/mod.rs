//! The protocol of the older NetWorkSpaces clients (Python, R, Matlab).
//!
//! Here are its requests and replies as bytes; `docs/classic.md` says what those clients get. Start
//! with [`Decoder`], which takes bytes as they come and gives a [`Request`] when one is complete, and
//! with [`put_status`] and [`put_value`], which write the replies.

mod decode;
mod operation;
mod pickle;
mod reply;

pub use decode::{BadRequest, Decoder, Intake, Weight};
pub use operation::{Brought, Request, Start, VariableName};
pub use pickle::for_old_clients;
pub use reply::{Cookie, put_failed_value, put_status, put_value, put_workspace_line, variables_text, workspaces_text};

/// What the server answers to a client's first four bytes: it has cookies.
pub const WELCOME: [u8; 4] = *b"2223";
/// The name of a temporary workspace where the client gives no template.
pub const DEFAULT_TEMPLATE: &[u8] = b"__ws__%d";

/// Whether a client that opened with these four bytes gets a variable's id and a value's index with
/// each value.
pub fn wants_cookies(greeting: [u8; 4]) -> bool {
    !matches!(&greeting, b"0000" | b"1111")
}
