//! A time limit for each test.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long a test may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs a test, which fails when it takes longer than it may.
pub(crate) fn limited(test: impl FnOnce() + Send + 'static) {
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
