//! What the server tells the people who run it, on standard error.

use std::io::{self, Write};

/// Writes a line. Nobody has to listen.
pub(crate) fn line(message: impl std::fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "nws: {message}");
}
