//! The fuzzers' functions on what is known and on what is made from it; `make fuzz` looks further.

use nws_testkit::Watchdog;
use nws_testkit::fuzz::{self, Counting, seeds, smoke};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn frames_are_written_as_they_were_read() {
    let _watchdog = Watchdog::start(120);
    smoke("frames", fuzz::frames, seeds::frames(), 40_000);
}

#[test]
fn classic_requests_are_the_same_however_they_are_cut() {
    let _watchdog = Watchdog::start(120);
    smoke("classic", fuzz::classic, seeds::classic(), 20_000);
}

#[test]
fn histories_that_bytes_choose_agree_with_the_plain_model() {
    let _watchdog = Watchdog::start(120);
    smoke("histories", fuzz::histories, seeds::choices(), 2000);
}
