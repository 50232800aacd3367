//! The fuzzers' functions around the whole server, on what is known and on what is made from it.

use nws_simulation::fuzz;
use nws_testkit::Watchdog;
use nws_testkit::fuzz::{seeds, smoke};

#[test]
fn no_first_bytes_but_the_proof_of_the_token_are_let_in() {
    let _watchdog = Watchdog::start(180);
    smoke("handshake", fuzz::handshake, fuzz::handshake_seeds(), 3000);
}

#[test]
fn no_bytes_of_a_client_break_the_server() {
    let _watchdog = Watchdog::start(180);
    smoke("server", fuzz::server, fuzz::server_seeds(), 3000);
}

#[test]
fn whatever_bytes_choose_the_server_keeps_its_promises() {
    let _watchdog = Watchdog::start(180);
    smoke("simulation", fuzz::simulation, seeds::choices(), 500);
}

#[test]
fn the_end_of_a_pickle_is_the_same_however_it_is_cut() {
    let _watchdog = Watchdog::start(120);
    smoke("pickles", fuzz::pickles, fuzz::pickle_seeds(), 40_000);
}
