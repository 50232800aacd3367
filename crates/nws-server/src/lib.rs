//! The NetWorkSpaces server.
//!
//! One thread owns the core and every data socket. In each turn it receives from all connections that
//! have something, executes what is complete, and then sends to all that have something coming:
//! deliveries to those who waited before the acknowledgements of those who stored. HTTP lives on a
//! thread of its own and sees only counters. What values, variables and leases do is the business of
//! `nws-core`; nothing of it is decided here.
//!
//! Start with [`Server`]; `event_loop` is its heart, [`program`] is what the command `nws serve` does.
mod admission;
mod classic;
mod clock;
mod config;
mod connection;
mod detach;
mod disk;
mod event_loop;
mod gauges;
mod http;
mod input;
mod kept;
mod listener;
mod listing;
pub mod log;
mod long;
mod metrics;
mod network;
mod outbox;
mod platform;
pub mod program;
mod readings;
mod server;
pub mod settings;
#[cfg(feature = "simulation")]
pub mod simulation;
mod spool;
mod stored;
mod stream;
mod table;
mod timers;
mod transit;

pub use config::{Config, Limits, check_tmp_dir, default_tmp_dir, random_token};
pub use network::{BadNetwork, Network};
pub use platform::machine_memory_bytes;
pub use server::{Handle, Server};
