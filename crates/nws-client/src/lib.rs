//! Async and blocking client of the NetWorkSpaces server.
//!
//! Start with [`Server`] and [`Workspace`] in async code, or with those of [`blocking`]: they need no
//! runtime of any kind. Below them, [`Connection`] is one connection with many requests in flight,
//! in the requests and replies of `nws-proto`. Nothing here dispatches work: that is `nws-work`.
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/served.rs"));
//! # fn main() -> Result<(), nws_client::Error> {
//! # let (endpoint, options) = served();
//! use nws_client::blocking::Server;
//!
//! let server = Server::connect(&endpoint, options)?;
//! let kitchen = server.open("kitchen")?;
//! kitchen.store_many("orders", ["soup", "bread"])?;
//! assert_eq!(kitchen.fetch("orders")?.as_text(), Some("soup"));
//! assert_eq!(kitchen.fetch("orders")?.as_text(), Some("bread"));
//! # Ok(())
//! # }
//! ```
mod assembly;
pub mod blocking;
mod call;
mod check;
mod connection;
mod dial;
mod endpoint;
mod error;
mod handshake;
mod in_flight;
mod incoming;
mod io_thread;
mod iter;
mod lease;
mod outgoing;
mod pending;
mod pieces;
mod platform;
mod server;
mod shared;
mod transfer;
mod value;
mod variables;
mod workspace;

pub use call::Call;
pub use connection::Connection;
pub use endpoint::{ConnectOptions, DEFAULT_PORT, Endpoint, Silence};
pub use error::{ConnectProblem, Error};
pub use iter::Iter;
pub use lease::Lease;
pub use pending::Pending;
pub use pieces::Pieces;
pub use server::{Connecting, Server};
pub use value::Value;
pub use workspace::Workspace;
