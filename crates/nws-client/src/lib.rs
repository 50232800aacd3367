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
//! assert_eq!(kitchen.fetch::<String>("orders")?, "soup");
//! assert_eq!(kitchen.fetch::<String>("orders")?, "bread");
//! # Ok(())
//! # }
//! ```
#![warn(missing_debug_implementations)]

/// The README's program is tried as well.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

mod assembly;
mod awaited;
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
mod kept;
mod lease;
mod long;
mod outgoing;
mod pending;
mod pieces;
mod platform;
mod server;
mod shared;
mod transfer;
mod typed;
mod value;
mod variables;
mod workspace;

// What the operations take and tell, so that nobody needs the crate below for them.
pub use nws_proto::{
    Descriptor, ErrorClass, ErrorCode, Fault, Index, Language, LeaseId, Mode, OpenMode, SessionId, Token, VariableInfo,
    WorkspaceInfo,
};

pub use call::Call;
pub use connection::Connection;
pub use endpoint::{ConnectOptions, DEFAULT_PORT, Endpoint, Silence};
pub use error::{ConnectProblem, Error};
pub use iter::Iter;
pub use lease::Lease;
pub use long::{LongCall, LongStore, LongValue, Transfer};
pub use pending::Pending;
pub use pieces::Pieces;
pub use server::{Connecting, Server};
pub use typed::{FromValue, IntoValue, Mismatch};
pub use value::Value;
pub use workspace::Workspace;

/// What users send to other threads, hold across awaits and print.
#[cfg(test)]
mod tests {
    use super::*;

    fn is_shared<T: Send + Sync + std::fmt::Debug>() {}
    fn is_sent<T: Send + Unpin + std::fmt::Debug>() {}

    #[test]
    fn all_that_users_hold_goes_to_other_threads_and_is_printed() {
        is_shared::<Server>();
        is_shared::<Workspace>();
        is_shared::<Connection>();
        is_shared::<blocking::Server>();
        is_shared::<blocking::Workspace>();
        is_shared::<Lease>();
        is_shared::<Value>();
        is_shared::<Error>();
        is_shared::<Mismatch>();
        is_sent::<Connecting>();
        // Whatever is read: it does not exist before it is.
        is_sent::<Call<std::rc::Rc<str>>>();
        is_sent::<Iter<std::rc::Rc<str>>>();
        is_sent::<blocking::Iter<std::rc::Rc<str>>>();
        is_sent::<Pending>();
    }
}
