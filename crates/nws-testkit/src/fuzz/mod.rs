//! What the fuzzers run: functions of any bytes, which panic where something is wrong.
//!
//! `fuzz/` hands them to libFuzzer (`make fuzz`); tests run them on the [`seeds`], on a few thousand
//! inputs made from those, and on everything that ever failed ([`smoke`]).

mod classic;
mod frames;
mod memory;
pub mod seeds;
mod smoke;

pub use classic::classic;
pub use frames::frames;
pub use memory::{Counting, most_held_by};
pub use smoke::smoke;

use crate::history;

/// Most steps of one history: a fuzzer's longest input is to end in milliseconds.
const STEPS: usize = 400;

/// The bytes choose what several clients ask of a core, when they end and how time passes; the core
/// does what the plain model says.
///
/// # Panics
/// Where it does anything else.
pub fn histories(bytes: &[u8]) {
    if let Err(wrong) = history::replay(bytes, STEPS) {
        panic!("{wrong}");
    }
}
