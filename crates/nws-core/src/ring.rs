//! The values of an ordered variable, by index.

use alloc::collections::VecDeque;
use nws_proto::{Grant, Index};

/// Most values of one run. To put one between others, or to take one away there, moves at most as many.
const RUN: usize = 256;
/// A run that is hardly used gives room back beyond this many places.
const SPARE_PLACES: usize = 32;

/// Values in the order of their indices. New ones come at the end and most go from an end; those that
/// return late go between. They stand in runs, none of them empty unless it is the only one, so that
/// nothing ever moves more than a run: a ring in one piece would move a million values when it grows.
pub(crate) struct Ring<V> {
    runs: VecDeque<VecDeque<Grant<V>>>,
    len: usize,
}

impl<V> Ring<V> {
    pub(crate) fn new() -> Self {
        Self { runs: VecDeque::new(), len: 0 }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Puts a value to its index, which must be free.
    #[inline]
    pub(crate) fn put(&mut self, value: Grant<V>) {
        self.len += 1;
        match self.runs.back_mut() {
            Some(last) if last.back().is_none_or(|newest| newest.index < value.index) => {
                if last.len() < RUN {
                    return last.push_back(value);
                }
                let mut run = VecDeque::with_capacity(RUN);
                run.push_back(value);
                self.runs.push_back(run);
            }
            Some(_) => self.put_between(value),
            None => self.runs.push_back(VecDeque::from([value])),
        }
    }

    fn put_between(&mut self, value: Grant<V>) {
        let behind = self.runs.partition_point(|run| run.front().is_some_and(|first| first.index < value.index));
        let place = behind.saturating_sub(1);
        let Some(run) = self.runs.get_mut(place) else { return };
        let at = run.partition_point(|other| other.index < value.index);
        run.insert(at, value);
        if run.len() > RUN {
            let rest = run.split_off(RUN / 2);
            self.runs.insert(place + 1, rest);
        }
    }

    #[inline]
    pub(crate) fn oldest(&self) -> Option<&Grant<V>> {
        self.runs.front()?.front()
    }

    #[inline]
    pub(crate) fn take_oldest(&mut self) -> Option<Grant<V>> {
        let value = self.runs.front_mut()?.pop_front()?;
        self.taken_from(0);
        Some(value)
    }

    pub(crate) fn newest(&self) -> Option<&Grant<V>> {
        self.runs.back()?.back()
    }

    pub(crate) fn take_newest(&mut self) -> Option<Grant<V>> {
        let value = self.runs.back_mut()?.pop_back()?;
        self.taken_from(self.runs.len() - 1);
        Some(value)
    }

    /// The first value whose index is `least` or above.
    pub(crate) fn first_from(&self, least: u64) -> Option<&Grant<V>> {
        let (place, at) = self.seek(least)?;
        self.runs.get(place)?.get(at)
    }

    pub(crate) fn take_first_from(&mut self, least: u64) -> Option<Grant<V>> {
        let (place, at) = self.seek(least)?;
        let value = self.runs.get_mut(place)?.remove(at)?;
        self.taken_from(place);
        Some(value)
    }

    /// The run, and the place in it, of the first value whose index is `least` or above.
    fn seek(&self, least: u64) -> Option<(usize, usize)> {
        let place = self.runs.partition_point(|run| run.back().is_none_or(|last| last.index.0 < least));
        let at = self.runs.get(place)?.partition_point(|value| value.index.0 < least);
        Some((place, at))
    }

    /// Puts things right after a value was taken from a run. Each value that is moved stands for several
    /// that were taken.
    #[inline]
    fn taken_from(&mut self, place: usize) {
        self.len -= 1;
        let alone = self.runs.len() == 1;
        let Some(run) = self.runs.get_mut(place) else { return };
        if run.is_empty() && !alone {
            self.runs.remove(place);
            if self.runs.capacity() > SPARE_PLACES && self.runs.len() < self.runs.capacity() / 8 {
                self.runs.shrink_to(self.runs.len() * 2);
            }
        } else if run.capacity() > SPARE_PLACES && run.len() < run.capacity() / 8 {
            run.shrink_to(run.len() * 2);
        }
    }

    /// All values, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Grant<V>> {
        self.runs.iter().flatten()
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
            for _ in 0..1000 {
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
                assert!(places(&ring) <= 8 * (ring.len() + super::RUN), "seed {seed}: sparse");
                assert!(ring.runs.iter().all(|run| run.len() <= super::RUN), "seed {seed}");
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
        assert!(places(&ring) < 1024);
    }

    #[test]
    fn what_was_taken_leaves_no_room_behind() {
        let mut ring = Ring::new();
        for index in 0..100_000 {
            ring.put(value(index));
        }
        // From the front, from the end and between.
        while ring.len() > 10 {
            ring.take_oldest();
            ring.take_newest();
            ring.take_first_from(50_000);
        }
        assert!(places(&ring) < 1000, "{} places for 10 values", places(&ring));
        while ring.take_oldest().is_some() {}
        assert!(places(&ring) <= super::SPARE_PLACES);
    }

    /// How many values there is room for.
    fn places(ring: &Ring<u64>) -> usize {
        ring.runs.iter().map(|run| run.capacity()).sum()
    }
}
