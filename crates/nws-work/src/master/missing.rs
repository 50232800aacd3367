//! Which tasks of a run have no result yet.

use std::collections::VecDeque;

/// Tasks without a result, in memory for those only that lie between the oldest of them and the
/// newest: a run may be endless. A result that comes twice is a defect, but must not make a call
/// return too early.
#[derive(Debug, Default)]
pub struct Missing {
    first: u64,
    missing: VecDeque<bool>,
}

impl Missing {
    /// The next task was submitted.
    pub fn push(&mut self) {
        self.missing.push_back(true);
    }

    /// A result has come; whether it was missing.
    pub fn remove(&mut self, index: u64) -> bool {
        let place = index.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        let Some(missing) = place.and_then(|place| self.missing.get_mut(place)) else { return false };
        let was_missing = std::mem::replace(missing, false);
        while self.missing.front() == Some(&false) {
            self.missing.pop_front();
            self.first += 1;
        }
        was_missing
    }

    /// All that is missing: it will not come any more.
    pub fn take_all(&mut self) -> Vec<u64> {
        let (first, missing) = (self.first, std::mem::take(&mut self.missing));
        self.first += missing.len() as u64;
        (first..).zip(missing).filter_map(|(index, missing)| missing.then_some(index)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_will_not_come_any_more_is_taken_at_once() {
        let mut missing = Missing::default();
        (0..5).for_each(|_| missing.push());
        assert!(missing.remove(0) && missing.remove(3));
        assert_eq!(missing.take_all(), [1, 2, 4]);
        assert!(!missing.remove(2));
        missing.push();
        assert_eq!(missing.take_all(), [5]);
    }

    #[test]
    fn each_result_is_taken_once_and_memory_follows_the_oldest_missing() {
        let mut missing = Missing::default();
        (0..5).for_each(|_| missing.push());
        assert!(!missing.remove(5), "it was never submitted");
        assert!(missing.remove(1));
        assert!(!missing.remove(1));
        assert_eq!(missing.missing.len(), 5);
        assert!(missing.remove(0));
        assert_eq!(missing.missing.len(), 3);
        assert!(!missing.remove(0));
        assert!([4, 3, 2].into_iter().all(|index| missing.remove(index)));
        assert!(missing.missing.is_empty());
    }
}
