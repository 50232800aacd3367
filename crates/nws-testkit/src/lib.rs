//! What the tests of the core share: a driver in virtual time. Not published.
//!
//! [`World`] drives a core and sorts its effects by session and request, for tests that say one
//! rule each. [`history`] drives one at random, and holds it against [`model`].

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is how it fails")]

pub mod history;
pub mod model;
mod value;
mod watchdog;
mod world;

pub use value::{Value, item, sized};
pub use watchdog::Watchdog;
pub use world::{SPACE, VARIABLE, World, fetch, find, lease};
