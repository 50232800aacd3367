//! Time and chance, which the core is given and never asks for.

#[cfg(feature = "simulation")]
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use std::time::Instant;

/// Milliseconds since the server began.
#[derive(Clone, Debug)]
pub(crate) enum Clock {
    /// By the monotonic clock.
    Monotonic(Instant),
    /// As a simulation says.
    #[cfg(feature = "simulation")]
    Virtual(Arc<AtomicU64>),
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self::Monotonic(Instant::now())
    }

    pub(crate) fn now_ms(&self) -> u64 {
        match self {
            Clock::Monotonic(began) => began.elapsed().as_millis() as u64,
            #[cfg(feature = "simulation")]
            Clock::Virtual(now_ms) => now_ms.load(Ordering::Relaxed),
        }
    }
}

/// SplitMix64: chooses among values, and keeps nothing secret.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
