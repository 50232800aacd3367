//! Large values in memory, and those of them that are there only because they are to be sent.
//!
//! A value is counted by the core while it is kept, leased or waits, and in transit while it is on its way
//! to who fetched it. A reply holds on to it too: where it is deleted, or delivered to somebody else, before
//! a slow client has read it, its bytes stay and nobody else counts them. They are counted here, once for
//! each value however many replies hold it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use nws_core::Payload;

/// What is held by replies alone, in bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pinned(Arc<AtomicU64>);

impl Pinned {
    pub(crate) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A handle of who keeps a value.
#[derive(Debug)]
pub(crate) struct Kept(Arc<Value>);

/// A handle of a reply that is to be sent.
#[derive(Debug)]
pub(crate) struct Pin(Arc<Value>);

#[derive(Debug)]
struct Value {
    bytes: Bytes,
    /// How many of its handles are of who keeps it; the others are of replies.
    keepers: AtomicUsize,
    /// Where it is counted without keepers; known since it had its first reply.
    pinned: OnceLock<Pinned>,
}

impl Kept {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self(Arc::new(Value { bytes, keepers: AtomicUsize::new(1), pinned: OnceLock::new() }))
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        &self.0.bytes
    }

    /// The bytes, where this is the only handle.
    pub(crate) fn bytes_mut(&mut self) -> Option<&mut Bytes> {
        Arc::get_mut(&mut self.0).map(|value| &mut value.bytes)
    }

    /// A handle for a reply. All replies of one server count in the same place.
    pub(crate) fn pin(&self, pinned: &Pinned) -> Pin {
        self.0.pinned.get_or_init(|| pinned.clone());
        Pin(Arc::clone(&self.0))
    }
}

impl Clone for Kept {
    fn clone(&self) -> Self {
        self.0.keepers.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }
}

// Handles are made and dropped by the loop's thread alone, so the counts below belong together.

impl Drop for Kept {
    fn drop(&mut self) {
        let last = self.0.keepers.fetch_sub(1, Ordering::Relaxed) == 1;
        if last
            && Arc::strong_count(&self.0) > 1
            && let Some(pinned) = self.0.pinned.get()
        {
            pinned.0.fetch_add(self.0.bytes.held_bytes(), Ordering::Relaxed);
        }
    }
}

impl Pin {
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.0.bytes
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        if Arc::strong_count(&self.0) == 1
            && let Some(pinned) = self.0.pinned.get()
        {
            // The last keeper went before, else it would hold this too.
            pinned.0.fetch_sub(self.0.bytes.held_bytes(), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_once_from_when_nobody_keeps_it_to_when_its_last_reply_is_sent() {
        let pinned = Pinned::default();
        let kept = Kept::new(Bytes::from(vec![7; 10_000]));
        let held_bytes = kept.bytes().held_bytes();
        let other = kept.clone();
        let pins = [kept.pin(&pinned), other.pin(&pinned)];
        drop(kept);
        assert_eq!(pinned.bytes(), 0, "somebody keeps it");
        drop(other);
        assert_eq!(pinned.bytes(), held_bytes);
        let [one, two] = pins;
        drop(one);
        assert_eq!(pinned.bytes(), held_bytes, "another reply has it");
        assert_eq!(two.bytes().len(), 10_000);
        drop(two);
        assert_eq!(pinned.bytes(), 0);
    }

    #[test]
    fn a_value_that_is_kept_until_all_is_sent_never_counts() {
        let pinned = Pinned::default();
        let kept = Kept::new(Bytes::from(vec![7; 10_000]));
        drop(kept.pin(&pinned));
        drop([kept.pin(&pinned), kept.pin(&pinned)]);
        drop(kept.clone());
        drop(kept);
        assert_eq!(pinned.bytes(), 0);
    }
}
