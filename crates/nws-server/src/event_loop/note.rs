//! What the poll tells of one source.

use mio::Token;
use mio::event::Event;

/// That something can be done with a connection or a listener now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Note {
    pub(crate) token: Token,
    pub(crate) readable: bool,
    /// It can be written to, or never again.
    pub(crate) writable: bool,
    /// Nothing comes any more behind what has come.
    pub(crate) hung_up: bool,
}

impl From<&Event> for Note {
    fn from(event: &Event) -> Self {
        Self {
            token: event.token(),
            readable: event.is_readable(),
            writable: event.is_writable() || event.is_write_closed(),
            hung_up: event.is_read_closed() || event.is_error(),
        }
    }
}
