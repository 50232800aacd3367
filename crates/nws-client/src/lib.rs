//! Async and blocking client of the NetWorkSpaces server.
//!
//! [`Connection`] is one connection with many requests in flight; it speaks in the requests and
//! replies of `nws-proto`. Nothing here knows how values are made or used, and nothing dispatches
//! work.
mod check;
mod connection;
mod dial;
mod endpoint;
mod error;
mod handshake;
mod in_flight;
mod incoming;
mod io_thread;
mod outgoing;
mod pending;
mod platform;
mod shared;

pub use connection::Connection;
pub use endpoint::{ConnectOptions, DEFAULT_PORT, Endpoint, Silence};
pub use error::{ConnectProblem, Error};
pub use pending::Pending;
