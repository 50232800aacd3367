//! Hands out tasks to supervised workers.
//!
//! Here live the sleigh's [`master`] and [`worker`] (both only speak to a server, by
//! `nws-client`), the host that starts, watches and replaces the workers of one machine, and
//! what they agree on: the [`control`] channel between master, host and worker, the shared
//! [`page`] that says what a worker is doing, and the [`envelope`] around tasks and results.
//! Nothing here knows how a language encodes functions and arguments: payloads are bytes.
//!
//! Without a server: [`boss`] hires a worker for each set of instructions, [`spread`] hands tasks to any
//! commands, and [`commands`] is the same supervision for programs of any kind.
//!
//! Start with [`envelope`], then follow a task through [`master`] and [`worker`].

pub mod boss;
pub mod clock;
pub mod commands;
pub mod control;
pub mod envelope;
mod error;
pub mod events;
pub mod host;
pub mod launch;
mod link;
pub mod master;
pub mod names;
pub mod page;
pub mod platform;
pub mod roles;
pub mod sleigh;
pub mod spread;
pub mod threads;
pub mod worker;

pub use error::WorkError;
pub use nws_supervise::{fitting_workers, usable_cores};
