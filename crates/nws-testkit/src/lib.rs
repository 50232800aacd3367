//! What the tests of the core and the fuzzers share. Not published.
//!
//! [`World`] drives a core in virtual time and sorts its effects by session and request, for tests
//! that say one rule each. [`history`] drives one at random, and holds it against [`model`].
//! [`fuzz`] has what the fuzzers run, and runs it without one as well. [`Dice`] make all choices.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is how it fails")]

mod dice;
pub mod fuzz;
pub mod history;
pub mod model;
mod value;
mod watchdog;
mod world;

pub use dice::Dice;
pub use value::{Value, item, nothing, sized};
pub use watchdog::Watchdog;
pub use world::{SPACE, VARIABLE, World, fetch, find, lease};
