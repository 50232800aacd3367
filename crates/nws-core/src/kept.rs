//! The values that a variable keeps, in the way its mode wants.

use nws_proto::{Grant, Mode};

use crate::ring::Ring;
use crate::segmented::Segmented;

/// Which of the kept values comes next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Turn {
    Oldest,
    Newest,
    /// The first whose index is this or above.
    From(u64),
    /// Any, chosen by this entropy.
    Random(u64),
}

pub(crate) enum Kept<V> {
    /// For fifo, lifo, single, and as long as there is no mode.
    Ordered(Ring<V>),
    /// For multi, where no order counts.
    Bag(Segmented<Grant<V>>),
}

impl<V> Kept<V> {
    pub(crate) fn new(mode: Option<Mode>) -> Self {
        match mode {
            Some(Mode::Multi) => Kept::Bag(Segmented::new()),
            _ => Kept::Ordered(Ring::new()),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Kept::Ordered(ring) => ring.len(),
            Kept::Bag(bag) => bag.len(),
        }
    }

    #[inline]
    pub(crate) fn put(&mut self, value: Grant<V>) {
        match self {
            Kept::Ordered(ring) => ring.put(value),
            Kept::Bag(bag) => bag.push(value),
        }
    }

    #[inline]
    pub(crate) fn peek(&self, turn: Turn) -> Option<&Grant<V>> {
        match (self, turn) {
            (Kept::Ordered(ring), Turn::Oldest | Turn::Random(_)) => ring.oldest(),
            (Kept::Ordered(ring), Turn::Newest) => ring.newest(),
            (Kept::Ordered(ring), Turn::From(least)) => ring.first_from(least),
            (Kept::Bag(bag), Turn::Random(entropy)) => bag.get(place(entropy, bag.len())),
            (Kept::Bag(bag), _) => bag.last(),
        }
    }

    #[inline]
    pub(crate) fn take(&mut self, turn: Turn) -> Option<Grant<V>> {
        match (self, turn) {
            (Kept::Ordered(ring), Turn::Oldest | Turn::Random(_)) => ring.take_oldest(),
            (Kept::Ordered(ring), Turn::Newest) => ring.take_newest(),
            (Kept::Ordered(ring), Turn::From(least)) => ring.take_first_from(least),
            (Kept::Bag(bag), Turn::Random(entropy)) => bag.swap_remove(place(entropy, bag.len())),
            (Kept::Bag(bag), _) => bag.pop(),
        }
    }

    /// All values, in no order that counts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Grant<V>> {
        let (ring, bag) = match self {
            Kept::Ordered(ring) => (Some(ring), None),
            Kept::Bag(bag) => (None, Some(bag)),
        };
        ring.into_iter().flat_map(Ring::iter).chain(bag.into_iter().flat_map(Segmented::iter))
    }

    /// Takes any value.
    pub(crate) fn take_any(&mut self) -> Option<Grant<V>> {
        self.take(Turn::Newest)
    }
}

/// A place below `len`, each as likely as any other.
fn place(entropy: u64, len: usize) -> usize {
    ((u128::from(entropy) * len as u128) >> 64) as usize
}

/// Spreads the entropy of one call over the values that it takes (splitmix64).
pub(crate) struct Entropy(pub(crate) u64);

impl Entropy {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
