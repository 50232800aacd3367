//! How the I/O threads wake an event loop: a descriptor to watch, and who was called.
//!
//! Nothing here needs the interpreter's lock, which `call_soon_threadsafe` would: a thread of
//! Python's that computes for long must not keep a connection's I/O thread from answering pings.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex};

use pyo3::prelude::*;
use rustix::event::{EventfdFlags, eventfd};

use crate::call::lock;

/// Rung by I/O threads.
pub(crate) struct Bell {
    descriptor: OwnedFd,
    keys: Mutex<Vec<u64>>,
}

impl Bell {
    /// Says that the call of this key has its result.
    pub(crate) fn ring(&self, key: u64) {
        let mut keys = lock(&self.keys);
        keys.push(key);
        if keys.len() == 1 {
            // It fails where the counter is full, and then it is readable already.
            let _ = rustix::io::write(&self.descriptor, &1_u64.to_ne_bytes());
        }
    }
}

/// A bell, as an event loop has it.
#[pyclass(frozen, name = "Bell", module = "nws._native")]
pub(crate) struct PyBell {
    bell: Arc<Bell>,
}

impl PyBell {
    pub(crate) fn bell(&self) -> Arc<Bell> {
        Arc::clone(&self.bell)
    }
}

#[pymethods]
impl PyBell {
    #[new]
    fn new() -> PyResult<Self> {
        let descriptor = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).map_err(std::io::Error::from)?;
        Ok(Self { bell: Arc::new(Bell { descriptor, keys: Mutex::default() }) })
    }

    /// The descriptor that becomes readable when the bell rings.
    fn fileno(&self) -> i32 {
        self.bell.descriptor.as_raw_fd()
    }

    /// The keys for which it rang since it was asked last.
    fn answered(&self) -> Vec<u64> {
        let mut keys = lock(&self.bell.keys);
        // It fails where nothing was rung, and then there is nothing to reset.
        let _ = rustix::io::read(&self.bell.descriptor, &mut [0; 8]);
        std::mem::take(&mut keys)
    }
}
