//! When to look at which connection again.
//!
//! A connection has one appointment. What it receives does not move it; when it comes, who keeps it
//! sees whether there is still anything to do. So traffic costs nothing here, and an idle connection
//! one look each time its silence could matter.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Appointments, the earliest first.
#[derive(Debug, Default)]
pub(crate) struct Timers(BinaryHeap<Reverse<(u64, u64, usize)>>);

impl Timers {
    /// Makes an appointment with the connection that has this serial number in this slot.
    pub(crate) fn add(&mut self, due_ms: u64, serial: u64, slot: usize) {
        self.0.push(Reverse((due_ms, serial, slot)));
    }

    pub(crate) fn next_ms(&self) -> Option<u64> {
        self.0.peek().map(|Reverse((due_ms, ..))| *due_ms)
    }

    /// The next appointment that is due: its time, the serial number and the slot.
    pub(crate) fn pop_due(&mut self, now_ms: u64) -> Option<(u64, u64, usize)> {
        self.next_ms().filter(|due_ms| *due_ms <= now_ms)?;
        self.0.pop().map(|Reverse(appointment)| appointment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appointments_come_when_they_are_due_and_in_order() {
        let mut timers = Timers::default();
        timers.add(30, 1, 5);
        timers.add(10, 2, 6);
        timers.add(20, 3, 7);
        assert_eq!(timers.next_ms(), Some(10));
        assert_eq!(timers.pop_due(9), None);
        assert_eq!(timers.pop_due(20), Some((10, 2, 6)));
        assert_eq!(timers.pop_due(20), Some((20, 3, 7)));
        assert_eq!(timers.pop_due(20), None);
        assert_eq!(timers.next_ms(), Some(30));
    }
}
