//! A vector that grows without moving what it holds.

use alloc::vec::Vec;

/// Items of one segment. A vector that doubles would move a million items at once, and keep everybody
/// waiting meanwhile.
const SEGMENT: usize = 512;

/// All segments but the last are full.
pub(crate) struct Segmented<T> {
    segments: Vec<Vec<T>>,
}

impl<T> Segmented<T> {
    pub(crate) const fn new() -> Self {
        Self { segments: Vec::new() }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        match self.segments.last() {
            Some(last) => (self.segments.len() - 1) * SEGMENT + last.len(),
            None => 0,
        }
    }

    #[inline]
    pub(crate) fn get(&self, place: usize) -> Option<&T> {
        self.segments.get(place / SEGMENT)?.get(place % SEGMENT)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        self.segments.get_mut(place / SEGMENT)?.get_mut(place % SEGMENT)
    }

    pub(crate) fn last(&self) -> Option<&T> {
        self.segments.last()?.last()
    }

    #[inline]
    pub(crate) fn push(&mut self, item: T) {
        match self.segments.last_mut() {
            Some(last) if last.len() < SEGMENT => last.push(item),
            full => {
                // The first one grows as it is used; behind it there will be many items.
                let mut segment = Vec::with_capacity(if full.is_some() { SEGMENT } else { 0 });
                segment.push(item);
                self.segments.push(segment);
            }
        }
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        let last = self.segments.last_mut()?;
        let item = last.pop();
        if last.is_empty() {
            self.segments.pop();
        }
        item
    }

    /// Takes the item at this place, where the last one stands from then on.
    pub(crate) fn swap_remove(&mut self, place: usize) -> Option<T> {
        let last = self.pop()?;
        match self.get_mut(place) {
            Some(item) => Some(core::mem::replace(item, last)),
            None => Some(last),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.segments.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::{SEGMENT, Segmented};
    use crate::kept::Entropy;

    #[test]
    fn a_segmented_vector_is_a_vector() {
        for seed in 0..20 {
            let mut entropy = Entropy(seed);
            let (mut segmented, mut plain) = (Segmented::new(), Vec::new());
            for step in 0..8 * SEGMENT {
                match entropy.next() % 5 {
                    0 => assert_eq!(segmented.pop(), plain.pop()),
                    1 if !plain.is_empty() => {
                        let place = entropy.next() as usize % plain.len();
                        assert_eq!(segmented.swap_remove(place), Some(plain.swap_remove(place)), "seed {seed}");
                    }
                    _ => {
                        segmented.push(step);
                        plain.push(step);
                    }
                }
                let place = entropy.next() as usize % (plain.len() + 1);
                assert_eq!(segmented.get(place), plain.get(place), "seed {seed}");
                assert_eq!((segmented.len(), segmented.last()), (plain.len(), plain.last()), "seed {seed}");
            }
            assert!(segmented.iter().eq(&plain), "seed {seed}");
        }
    }
}
