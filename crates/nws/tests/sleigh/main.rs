//! Sleighs of real processes. Host, server and workers are this test program, started again for the
//! one test that calls `nws::init()` and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test an unwrap is an assertion")]

mod calls;
mod failures;
mod spaces;

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nws::sleigh::{Builder, Sleigh};

/// Longer than anything takes that does not hang.
const PATIENCE: Duration = Duration::from_secs(120);

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

/// Runs a test, which fails when it takes longer than it may.
fn limited(test: impl FnOnce() + Send + 'static) {
    let (sender, ended) = mpsc::channel();
    let running = thread::spawn(move || {
        test();
        sender.send(()).unwrap();
    });
    match ended.recv_timeout(PATIENCE) {
        Ok(()) => running.join().unwrap(),
        Err(mpsc::RecvTimeoutError::Disconnected) => std::panic::resume_unwind(running.join().unwrap_err()),
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("the test takes longer than {PATIENCE:?}"),
    }
}
