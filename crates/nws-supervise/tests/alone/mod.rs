//! What tests share that start real processes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Longest that any wait of these tests takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// One test at a time, as a supervisor minds all orphans of its process; and each within bounds.
pub(crate) struct Alone {
    over: Arc<AtomicBool>,
    _lock: MutexGuard<'static, ()>,
}

impl Alone {
    pub(crate) fn new() -> Self {
        static LOCK: Mutex<()> = Mutex::new(());
        let lock = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
        let over = Arc::new(AtomicBool::new(false));
        let watched = over.clone();
        std::thread::spawn(move || {
            let deadline = Instant::now() + 3 * LIMIT;
            while Instant::now() < deadline {
                std::thread::park_timeout(Duration::from_millis(200));
                if watched.load(Ordering::Relaxed) {
                    return;
                }
            }
            eprintln!("a test hangs");
            std::process::abort();
        });
        Self { over, _lock: lock }
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}
