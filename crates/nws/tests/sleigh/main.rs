//! Sleighs of real processes. Host, server and workers are this test program, started again for the
//! one test that calls `nws::init()` and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test an unwrap is an assertion")]

mod calls;
mod failures;
#[path = "../limited/mod.rs"]
mod limited;
mod output;
mod spaces;

use limited::limited;
use nws::sleigh::{Builder, Sleigh};

#[test]
fn the_processes_of_sleighs_begin_here() {
    nws::init();
}

/// A sleigh of this test program.
fn builder(workers: u32) -> Builder {
    nws::init();
    let entrance = ["the_processes_of_sleighs_begin_here", "--exact", "--nocapture", "--test-threads=1"];
    Sleigh::builder().workers(workers).args(entrance)
}

fn sleigh(workers: u32) -> Sleigh {
    builder(workers).build().unwrap()
}
