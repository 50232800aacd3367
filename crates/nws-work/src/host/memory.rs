//! Looks how much memory workers hold, where that is limited.

use std::time::{Duration, Instant};

use nws_supervise::resident_bytes;

use super::crew::Crew;
use super::worker::Ended;

/// Between two looks, whatever the workers hold.
const LONGEST: Duration = Duration::from_millis(100);
const SHORTEST: Duration = Duration::from_millis(5);
/// No process takes memory faster than this, in bytes a second.
const FASTEST: f64 = 16e9;

/// When to look, and for what.
#[derive(Debug)]
pub(super) struct MemoryWatch {
    limit_bytes: u64,
    due: Instant,
}

impl MemoryWatch {
    pub(super) fn new(limit_bytes: u64) -> Self {
        Self { limit_bytes, due: Instant::now() }
    }

    /// When the next look is due.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Looks, if it is time to: the workers to be ended, with what they held.
    pub(super) fn look(&mut self, crew: &mut Crew, now: Instant) -> Vec<(u32, Ended)> {
        if now < self.due {
            return Vec::new();
        }
        let limit_bytes = self.limit_bytes;
        let mut most = 0;
        let mut over = Vec::new();
        for (rank, worker) in crew.workers() {
            let Some(running) = worker.running_on() else { continue };
            let Some(used_bytes) = resident_bytes(worker.pid, limit_bytes) else { continue };
            most = most.max(used_bytes);
            if used_bytes > limit_bytes {
                over.push((rank, Ended::OverMemory { lease: running.lease, used_bytes, limit_bytes }));
            }
        }
        self.due = now + pause(limit_bytes.saturating_sub(most));
        over
    }
}

/// How long it takes at least until a worker with this much room can have filled it.
fn pause(room_bytes: u64) -> Duration {
    Duration::from_secs_f64(room_bytes as f64 / FASTEST).clamp(SHORTEST, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_less_room_there_is_the_sooner_is_the_next_look() {
        assert_eq!(pause(64 << 30), LONGEST);
        assert_eq!(pause(0), SHORTEST);
        assert_eq!(pause(160_000_000), Duration::from_millis(10));
    }
}
