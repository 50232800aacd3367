//! `nws host` with real processes: who dies, what is told of it, and that nothing is left.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test they are assertions")]

mod command_deaths;
mod commands;
mod deaths;
mod endings;
mod group;
mod processes;
mod roles;
mod silence;
mod sleighs;
