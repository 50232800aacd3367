//! One load for two servers: ours by our protocol, Redis by RESP.
//!
//! `load JOB` takes a [`Job`] as JSON and prints what it measured as JSON, for `benches/server.py`.
//! Both servers get the same loop, the same sockets, the same sizes of reads and writes; all bytes that
//! are sent are made before the clock starts, and of replies only the heads are looked at.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that meets an error has nothing to say")]

mod dialect;
mod nws;
mod process;
mod replies;
mod resp;
mod socket;
mod work;

use dialect::Dialect;
use serde::Deserialize;
use socket::Place;
use work::Work;

/// What to measure.
#[derive(Debug, Deserialize)]
struct Job {
    /// What the server understands.
    dialect: Dialect,
    /// Where it is.
    place: Place,
    /// Its process, whose processor time and memory are looked at.
    process: u32,
    /// What it is to do.
    work: Work,
}

fn main() {
    let text = std::env::args().nth(1).expect("expected a job in JSON as the only argument");
    let job: Job = serde_json::from_str(&text).expect("expected a job in JSON");
    println!("{}", work::run(&job.work, &job.dialect, &job.place, job.process));
}
