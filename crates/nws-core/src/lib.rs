//! Workspaces, variables, waiters and leases as a pure state machine: inputs in, effects out.
//!
//! Here live the rules of NetWorkSpaces: who owns a workspace, which value a retrieval gets, who
//! waits for what, what becomes of a lease. There is no I/O, clock, thread or randomness here:
//! whoever drives a [`Core`] (the server's loop, tests, a simulation) gives it requests together
//! with the time and some entropy, and carries out the [`Effect`]s that come back.
//!
//! Start with [`Core::request`]. Each group of requests has its file: `workspaces`, `variables`,
//! `retrieve`, `deal` (stores, and who gets what comes in), `lease`, `recall`, `sessions`.
#![no_std]
extern crate alloc;

mod audit;
mod chores;
mod core;
mod deal;
mod effect;
mod fact;
mod fault;
mod kept;
mod lease;
mod listings;
mod memory;
mod names;
mod recall;
mod retrieve;
mod ring;
mod segmented;
mod sessions;
mod settings;
mod slab;
mod template;
mod variables;
mod waiting;
mod workspaces;

pub use crate::core::Core;
pub use crate::effect::{Effect, Payload, SessionInit};
pub use crate::fact::{Fact, Journal};
pub use crate::listings::{From, WorkspacePart};
pub use crate::settings::Settings;
