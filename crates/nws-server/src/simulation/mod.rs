//! The whole server without sockets, threads and clocks, driven turn by turn.
//!
//! Input, handshake, admission, core, delivery, outboxes and timers are those of every server; only the
//! poll, the sockets and the clock are replaced. A [`Link`] is the client's end of a connection in
//! memory, on which everything can happen that happens on a network. Who drives it chooses the time,
//! the order in which connections are looked at, and all faults, so a run can be repeated.
//!
//! Clients are not here: whoever simulates brings them.

mod link;
mod simulated;

pub use link::Link;
pub(crate) use link::Socket;
pub use simulated::{Carried, DiskOutcome, Held, Simulated};
