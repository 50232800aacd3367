//! The values of an ordered variable, by index.

use alloc::collections::{BTreeMap, VecDeque};
use nws_proto::{Grant, Index};

/// How many empty places the ring may have beside twice its values.
const SPARE_PLACES: usize = 64;

/// Values in the order of their indices. New ones come at the end and most go from an end, so
/// they stand in a ring, at `index - base`. Places of values that went from the middle stay empty;
/// the first and the last place never are. Values below the ring (they came back late, or the
/// ring had become too sparse) are in a map.
pub(crate) struct Ring<V> {
    base: u64,
    places: VecDeque<Option<Grant<V>>>,
    /// How many places hold a value.
    held: usize,
    /// All below `base` while the ring holds anything.
    low: BTreeMap<u64, Grant<V>>,
}

impl<V> Ring<V> {
    pub(crate) fn new() -> Self {
        Self { base: 0, places: VecDeque::new(), held: 0, low: BTreeMap::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.held + self.low.len()
    }

    /// Puts a value to its index, which must be free.
    pub(crate) fn put(&mut self, value: Grant<V>) {
        let index = value.index.0;
        if self.places.is_empty() {
            if self.low.last_key_value().is_some_and(|(last, _)| *last > index) {
                self.low.insert(index, value);
                return;
            }
            self.base = index;
        } else if index < self.base {
            self.low.insert(index, value);
            return;
        }
        let mut offset = (index - self.base) as usize;
        if offset > 2 * self.held + SPARE_PLACES && offset >= self.places.len() {
            self.spill();
            self.base = index;
            offset = 0;
        }
        if offset >= self.places.len() {
            if offset > self.places.len() {
                self.places.resize_with(offset, || None);
            }
            self.places.push_back(Some(value));
            self.held += 1;
        } else if let Some(place) = self.places.get_mut(offset)
            && place.replace(value).is_none()
        {
            self.held += 1;
        }
    }

    /// Moves everything to the map. Each value goes there at most once.
    fn spill(&mut self) {
        let values = self.places.drain(..).flatten().map(|value| (value.index.0, value));
        self.low.extend(values);
        self.held = 0;
    }

    /// Drops empty places at the ends, and spills where too many are left between them.
    fn trim(&mut self) {
        while let Some(None) = self.places.front() {
            self.places.pop_front();
            self.base += 1;
        }
        while let Some(None) = self.places.back() {
            self.places.pop_back();
        }
        if self.places.len() > 2 * self.held + SPARE_PLACES {
            self.spill();
        }
        if self.places.is_empty() && self.places.capacity() > 1024 {
            self.places = VecDeque::new();
        }
    }

    pub(crate) fn oldest(&self) -> Option<&Grant<V>> {
        if let Some((_, value)) = self.low.first_key_value() {
            return Some(value);
        }
        self.places.front()?.as_ref()
    }

    pub(crate) fn take_oldest(&mut self) -> Option<Grant<V>> {
        if let Some((_, value)) = self.low.pop_first() {
            return Some(value);
        }
        let value = self.places.pop_front()??;
        self.base += 1;
        self.held -= 1;
        self.trim();
        Some(value)
    }

    pub(crate) fn newest(&self) -> Option<&Grant<V>> {
        match self.places.back() {
            Some(value) => value.as_ref(),
            None => self.low.last_key_value().map(|(_, value)| value),
        }
    }

    pub(crate) fn take_newest(&mut self) -> Option<Grant<V>> {
        let Some(value) = self.places.pop_back() else {
            return self.low.pop_last().map(|(_, value)| value);
        };
        self.held -= 1;
        self.trim();
        value
    }

    /// The first value whose index is `least` or above.
    pub(crate) fn first_from(&self, least: u64) -> Option<&Grant<V>> {
        if let Some((_, value)) = self.low.range(least..).next() {
            return Some(value);
        }
        self.places.range(self.offset_from(least)..).find_map(Option::as_ref)
    }

    pub(crate) fn take_first_from(&mut self, least: u64) -> Option<Grant<V>> {
        if let Some(index) = self.low.range(least..).next().map(|(index, _)| *index) {
            return self.low.remove(&index);
        }
        let start = self.offset_from(least);
        let value = self.places.range_mut(start..).find(|place| place.is_some())?.take();
        self.held -= 1;
        self.trim();
        value
    }

    fn offset_from(&self, least: u64) -> usize {
        usize::try_from(least.saturating_sub(self.base)).unwrap_or(usize::MAX).min(self.places.len())
    }

    /// All values, in no order that counts.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = Grant<V>> {
        self.held = 0;
        core::mem::take(&mut self.low).into_values().chain(core::mem::take(&mut self.places).into_iter().flatten())
    }

    /// All values, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Grant<V>> {
        self.low.values().chain(self.places.iter().flatten())
    }

    /// Drops this many places or all, empty ones among them, of a ring that is not used again; how
    /// many.
    pub(crate) fn discard(&mut self, count: usize) -> usize {
        let mut dropped = 0;
        while dropped < count && (self.low.pop_first().is_some() || self.places.pop_front().is_some()) {
            dropped += 1;
        }
        self.held = self.places.len();
        dropped
    }
}

/// The index that follows.
pub(crate) fn next(index: Index) -> u64 {
    index.0.saturating_add(1)
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use alloc::vec::Vec;

    use nws_proto::{Descriptor, Grant, Index, Item};

    use super::Ring;
    use crate::kept::Entropy;

    fn value(index: u64) -> Grant<u64> {
        Grant { index: Index(index), deaths: 0, item: Item { descriptor: Descriptor(0), value: index } }
    }

    fn index(value: Option<Grant<u64>>) -> Option<u64> {
        value.map(|value| value.index.0)
    }

    /// Any mix of stores, takes from everywhere, and returns, against a sorted map.
    #[test]
    fn a_ring_holds_what_a_sorted_map_holds() {
        for seed in 0..300 {
            let mut entropy = Entropy(seed);
            let mut any = |below: u64| entropy.next() % below;
            let (mut ring, mut map, mut out) = (Ring::new(), BTreeMap::new(), Vec::new());
            let mut end = 0;
            let stores = 1 + any(6);
            for _ in 0..400 {
                let least = any(end + 2);
                let taken = match any(6 + stores) {
                    0 => (index(ring.take_oldest()), map.pop_first().map(|(index, ())| index)),
                    1 => (index(ring.take_newest()), map.pop_last().map(|(index, ())| index)),
                    2 | 3 => {
                        let expected = map.range(least..).next().map(|(index, ())| *index);
                        map.retain(|index, ()| Some(*index) != expected);
                        (index(ring.take_first_from(least)), expected)
                    }
                    4 if !out.is_empty() => {
                        let back = out.swap_remove(any(out.len() as u64) as usize);
                        ring.put(value(back));
                        map.insert(back, ());
                        (None, None)
                    }
                    _ => {
                        // Gaps are what values leave that were handed to those who wait.
                        end += if any(8) == 0 { any(500) } else { 0 };
                        ring.put(value(end));
                        map.insert(end, ());
                        end += 1;
                        (None, None)
                    }
                };
                assert_eq!(taken.0, taken.1, "seed {seed}");
                out.extend(taken.0);
                assert!(ring.iter().map(|value| &value.index.0).eq(map.keys()), "seed {seed}");
                assert_eq!(ring.len(), map.len(), "seed {seed}");
                assert_eq!(index(ring.oldest().cloned()), map.keys().next().copied(), "seed {seed}");
                assert_eq!(index(ring.newest().cloned()), map.keys().last().copied(), "seed {seed}");
                let from = map.range(least..).next().map(|(index, ())| *index);
                assert_eq!(index(ring.first_from(least).cloned()), from, "seed {seed}");
                assert!(ring.places.len() <= 3 * (ring.held + super::SPARE_PLACES), "seed {seed}: sparse");
            }
        }
    }

    #[test]
    fn one_old_value_does_not_make_the_ring_grow_with_every_value_that_passes() {
        let mut ring = Ring::new();
        ring.put(value(0));
        for passing in 1..100_000 {
            ring.put(value(passing));
            assert_eq!(index(ring.take_newest()), Some(passing));
        }
        assert_eq!(ring.len(), 1);
        assert!(ring.places.capacity() < 1024);
    }
}
