//! NetWorkSpaces for Rust programs: variables shared over a network, and work spread over cores.
//!
//! # Work spread over cores
//! Start with [`sleigh`]: a [`Sleigh`](sleigh::Sleigh) runs functions that are marked by
//! [`#[nws::task]`](macro@task) in worker processes, with nothing to set up.
//!
//! # Tasks for commands
//! [`spread`] hands tasks to any commands, by lines of JSON on their standard input and output.
//!
//! # Shared variables
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
//! - [`boss`]: a worker process for each set of instructions, as a scheduler allows.
//! - [`sleigh`]: the master's side; [`worker`]: what a task can ask for; [`mod@task`]: what a task is.
//! - What is below this crate is not for users to name.

// What the attributes make names this crate, also in here.
extern crate self as nws;

pub mod boss;
mod init;
pub mod sleigh;
pub mod spread;
pub mod task;
pub mod worker;

pub use init::init;
pub use nws_macros::main;
/// Makes a function one that the workers of a sleigh can run.
///
/// ```
/// # use nws::sleigh::Sleigh;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Line {
///     slope: f64,
///     offset: f64,
/// }
///
/// #[nws::task]
/// fn height(x: f64, #[fixed] line: &Line) -> f64 {
///     line.slope * x + line.offset
/// }
///
/// # #[nws::main]
/// # fn main() -> Result<(), nws::sleigh::Error> {
/// let sleigh = Sleigh::builder().workers(2).build()?;
/// let line = Line { slope: 2.0, offset: 1.0 };
/// assert_eq!(height(0.5, &line), 2.0); // called here, as ever
/// assert_eq!(sleigh.each_elem(height::with(&line), [0.0, 0.5])?, [1.0, 2.0]);
/// # Ok(())
/// # }
/// ```
pub use nws_macros::task;

pub use nws_client::{
    Call, ConnectOptions, ConnectProblem, Connecting, Connection, DEFAULT_PORT, Descriptor, Endpoint, Error,
    ErrorClass, ErrorCode, Fault, FromValue, Index, IntoValue, Iter, Language, Lease, LeaseId, Mismatch, Mode,
    OpenMode, Pending, Server, SessionId, Silence, Token, Value, VariableInfo, Workspace, WorkspaceInfo, blocking,
};

/// The programs of the page run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/rust.md")]
mod page {}
