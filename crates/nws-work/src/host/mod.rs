//! The supervisor of one machine: `nws host`.
//!
//! It is two processes. The *warden* ([`warden`]) is what the master starts: it leaves the
//! master's session, starts the host proper, and does nothing but wait for the end of either, so
//! that it is there to end everything when the host dies of whatever. The host proper ([`serve`])
//! starts the embedded server and the workers, is the guardian of their leases, and says who died
//! and why.
//!
//! - `channel`: one end of a control channel. `server`: the embedded server. `crew`: the workers, `worker`: one;
//!   `leftovers`: what they wrote and did not send. `memory`: how much they hold. `unwanted`: what
//!   later ones are not to begin.
//! - `guardian`: the host's own session. `deaths`: brings the end of a process and that of its
//!   session together. `charge`: decides who pays for a death.
//! - `inner`: the loop around them. `settling`: what follows from a death. `group`: who is too late.
//!   `closing`: the orderly end.
//! - `commands`: another host proper, which starts commands for its master and knows no server.
//! - `seat`: what both have in common. `vigil`: how warden and host notice that the other is stopped.
//!
//! Nothing here is in the path of tasks and results.

mod cause;
mod channel;
mod charge;
mod closing;
mod commands;
mod crew;
mod deaths;
mod group;
mod guardian;
mod inner;
mod leftovers;
mod memory;
mod seat;
mod server;
mod settling;
mod terms;
mod unwanted;
mod vigil;
mod warden;
mod worker;

pub use commands::serve_commands;
pub use inner::serve;
pub use warden::warden;
