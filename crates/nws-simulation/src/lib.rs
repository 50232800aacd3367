//! Whole runs of the server with clients that do what clients on networks do, all from one seed.
//!
//! The server is the real one but for its sockets and its clock (`nws_server::simulation`). Around it
//! are clients of both protocols that send and read in pieces, are slow, stop reading, fall silent,
//! close half of their connection, die at any byte, or send garbage. What each connection was sent is
//! read along, and a ledger of all values says where each one is; at the end everything
//! that was acknowledged has to be in exactly one place.
//!
//! Start with [`run`]. `world` has the course of a run, `client` what both protocols' clients have in
//! common, `own` and `classic` what each of them says, `ledger` what must be true of values. `hand` is a client
//! for tests that say themselves what it does.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is how it fails")]

mod classic;
mod client;
pub mod fuzz;
pub mod hand;
mod ledger;
mod own;
mod pickles;
mod world;

use std::collections::BTreeMap;

use nws_testkit::Dice;
use world::World;

/// How often each kind of thing has happened.
pub type Tally = BTreeMap<&'static str, u64>;
/// What is wrong, for people.
pub type Wrong = String;

/// Runs the simulation of one seed.
///
/// # Errors
/// What is wrong: a defect of the server, or of the simulation.
///
/// ```
/// let mut tally = nws_simulation::Tally::new();
/// nws_simulation::run(17, 300, &mut tally)?;
/// assert!(tally.values().sum::<u64>() > 0);
/// # Ok::<(), String>(())
/// ```
pub fn run(seed: u64, steps: usize, tally: &mut Tally) -> Result<(), Wrong> {
    go(Dice::seeded(seed), steps, tally).map_err(|wrong| format!("seed {seed}, {wrong}"))
}

/// Runs the simulation that these bytes choose, as far as they go and at most so many steps.
///
/// # Errors
/// As [`run`].
pub fn replay(bytes: &[u8], steps: usize) -> Result<(), Wrong> {
    go(Dice::of(bytes), steps, &mut Tally::new())
}

fn go(dice: Dice, steps: usize, tally: &mut Tally) -> Result<(), Wrong> {
    let mut world = World::new(dice)?;
    let outcome = world.live(steps).and_then(|()| world.settle()).and_then(|()| world.reckon());
    for (kind, times) in world.tally() {
        *tally.entry(kind).or_default() += times;
    }
    outcome.map_err(|wrong| world.tell(&wrong))
}
