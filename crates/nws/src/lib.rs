//! NetWorkSpaces for Rust programs: variables shared over a network.
//!
//! Start with [`blocking::Server`], or in async code with [`Server`]: connect, open a [`Workspace`],
//! and store, fetch and find values of its variables. A server is started with `nws serve`.
//!
//! ```no_run
//! use nws::{ConnectOptions, Endpoint, blocking::Server};
//!
//! let server = Server::connect(&Endpoint::default(), ConnectOptions::default())?;
//! let workspace = server.open("kitchen")?;
//! workspace.store("orders", "soup")?;
//! assert_eq!(workspace.fetch::<String>("orders")?, "soup");
//! # Ok::<(), nws::Error>(())
//! ```
//!
//! This crate holds no code of its own; what is below it is not for users to name.

pub use nws_client::{
    Call, ConnectOptions, ConnectProblem, Connecting, Connection, DEFAULT_PORT, Descriptor, Endpoint, Error,
    ErrorClass, ErrorCode, Fault, FromValue, Index, IntoValue, Iter, Language, Lease, LeaseId, Mismatch, Mode,
    OpenMode, Pending, Server, SessionId, Silence, Token, Value, VariableInfo, Workspace, WorkspaceInfo, blocking,
};
