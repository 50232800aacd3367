//! A time limit for a test.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Ends the whole test program where it is not dropped in time.
pub struct Watchdog {
    _alive: Sender<()>,
}

impl Watchdog {
    /// Begins to watch the thread that calls it.
    pub fn start(limit_s: u64) -> Self {
        let (alive, ended) = channel();
        let name = std::thread::current().name().unwrap_or("a test").to_owned();
        std::thread::spawn(move || {
            if ended.recv_timeout(Duration::from_secs(limit_s)) == Err(RecvTimeoutError::Timeout) {
                eprintln!("{name} did not end within {limit_s} s");
                std::process::abort();
            }
        });
        Self { _alive: alive }
    }
}
