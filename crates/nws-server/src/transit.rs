//! Values on their way to who fetched them.
//!
//! A value that was fetched without a lease is delivered when the kernel has taken its last byte. If
//! the connection ends before, it goes back to its place, so what is not sent yet is remembered here.

use std::collections::{HashSet, VecDeque};

use nws_core::Payload;
use nws_proto::{GRANT_HEAD_BYTES, Grant, READING_BYTES, RequestId, VariableId};

use crate::stored::Stored;

#[derive(Debug)]
struct Parcel {
    /// The place in the stream of replies behind its last byte.
    end: u64,
    variable: VariableId,
    values: Values,
    /// Those on disk are not in the frame, and their readings give them back.
    readings: bool,
    /// What the values take.
    bytes: u64,
}

/// One value in most cases, which then needs no memory of its own: what is freed much later than it was
/// taken costs the allocator more.
#[derive(Debug)]
enum Values {
    One(Grant<Stored>),
    More(Vec<Grant<Stored>>),
}

impl Values {
    fn new(mut values: Vec<Grant<Stored>>) -> Self {
        match (values.len(), values.pop()) {
            (1, Some(one)) => Values::One(one),
            (_, last) => {
                values.extend(last);
                Values::More(values)
            }
        }
    }

    fn into_vec(self) -> Vec<Grant<Stored>> {
        match self {
            Values::One(one) => vec![one],
            Values::More(values) => values,
        }
    }
}

/// Queues that wait for the next parcel, so that busy connections need no allocation and idle ones
/// hold none.
#[derive(Debug, Default)]
pub(crate) struct SpareQueues(Vec<VecDeque<Parcel>>);

impl SpareQueues {
    const QUEUES: usize = 64;
    const PARCELS: usize = 64;

    fn take(&mut self) -> VecDeque<Parcel> {
        self.0.pop().unwrap_or_default()
    }

    fn put(&mut self, queue: VecDeque<Parcel>) {
        if self.0.len() < Self::QUEUES && (1..=Self::PARCELS).contains(&queue.capacity()) {
            self.0.push(queue);
        }
    }
}

/// One connection's fetches and what they got.
#[derive(Debug, Default)]
pub(crate) struct Transit {
    /// Fetches without a lease that wait.
    fetching: HashSet<RequestId>,
    parcels: VecDeque<Parcel>,
    bytes: u64,
}

impl Transit {
    /// A fetch without a lease waits.
    pub(crate) fn waits(&mut self, request: RequestId) {
        self.fetching.insert(request);
    }

    /// A request that waited is answered: was it a fetch without a lease?
    pub(crate) fn was_fetch(&mut self, request: RequestId) -> bool {
        !self.fetching.is_empty() && self.fetching.remove(&request)
    }

    /// These values were put into the outbox; their frame ends at `end`. With `readings` those on disk
    /// were not.
    pub(crate) fn sends(
        &mut self,
        end: u64,
        variable: VariableId,
        values: Vec<Grant<Stored>>,
        readings: bool,
        spare: &mut SpareQueues,
    ) {
        if !values.is_empty() {
            if self.parcels.capacity() == 0 {
                self.parcels = spare.take();
            }
            let bytes = values.iter().map(|value| value.item.value.held_bytes()).sum();
            self.bytes += bytes;
            self.parcels.push_back(Parcel { end, variable, values: Values::new(values), readings, bytes });
        }
    }

    /// The kernel has taken this many bytes.
    pub(crate) fn sent(&mut self, sent: u64, spare: &mut SpareQueues) {
        while let Some(parcel) = self.parcels.front().filter(|parcel| parcel.end <= sent) {
            self.bytes -= parcel.bytes;
            self.parcels.pop_front();
        }
        if self.parcels.is_empty() && self.parcels.capacity() > 0 {
            spare.put(std::mem::take(&mut self.parcels));
        }
    }

    /// The stream of replies was changed at this place: what is behind it moves.
    pub(crate) fn shift(&mut self, place: u64, by: i64) {
        let behind = self.parcels.iter_mut().filter(|parcel| parcel.end > place);
        behind.for_each(|parcel| parcel.end = parcel.end.saturating_add_signed(by));
    }

    /// What was to end at this place of the stream is not sent: its values.
    pub(crate) fn take_back(&mut self, end: u64) -> Option<(VariableId, Vec<Grant<Stored>>)> {
        let place = self.parcels.iter().position(|parcel| parcel.end == end)?;
        let parcel = self.parcels.remove(place)?;
        self.bytes -= parcel.bytes;
        Some((parcel.variable, parcel.values.into_vec()))
    }

    /// What the values on their way take, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.parcels.is_empty()
    }

    /// Forgets everything, and says what the kernel, which has taken this many bytes, has not got.
    pub(crate) fn undelivered(&mut self, sent: u64) -> Vec<(VariableId, Vec<Grant<Stored>>)> {
        let parcels = std::mem::take(self).parcels.into_iter();
        parcels
            .map(|parcel| (parcel.variable, parcel.undelivered(sent)))
            .filter(|(_, values)| !values.is_empty())
            .collect()
    }
}

impl Parcel {
    fn undelivered(self, sent: u64) -> Vec<Grant<Stored>> {
        let (mut end, mut values) = (self.end, self.values.into_vec());
        let is_read = |value: &Stored| self.readings && value.is_on_disk();
        let mut delivered = values.len();
        while delivered > 0 && end > sent {
            delivered -= 1;
            let value = &values[delivered].item.value;
            let value_bytes = if is_read(value) { READING_BYTES as u64 } else { value.len() };
            end = end.saturating_sub(GRANT_HEAD_BYTES as u64 + value_bytes);
        }
        let left = values.split_off(delivered);
        left.into_iter().filter(|value| !is_read(&value.item.value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use nws_proto::{Descriptor, Index, Item};

    fn grants(lengths: &[usize]) -> Vec<Grant<Stored>> {
        let grant = |(index, length): (usize, &usize)| Grant {
            index: Index(index as u64),
            deaths: 0,
            item: Item { descriptor: Descriptor(0), value: Bytes::from(vec![0; *length]).into() },
        };
        lengths.iter().enumerate().map(grant).collect()
    }

    fn left_at(sent: u64) -> Vec<u64> {
        let (mut transit, mut spare) = (Transit::default(), SpareQueues::default());
        // Two values of 10 and 20 bytes: the last byte of the first is 38 bytes before the end.
        transit.sends(1000, VariableId(3), grants(&[10, 20]), true, &mut spare);
        transit.sent(sent, &mut spare);
        transit.undelivered(sent).into_iter().flat_map(|(_, values)| values).map(|grant| grant.index.0).collect()
    }

    #[test]
    fn a_value_is_delivered_with_its_last_byte() {
        assert_eq!(left_at(0), [0, 1]);
        assert_eq!(left_at(961), [0, 1]);
        assert_eq!(left_at(962), [1]);
        assert_eq!(left_at(999), [1]);
        assert!(left_at(1000).is_empty());
    }

    #[test]
    fn only_what_waited_as_a_fetch_counts_as_one() {
        let mut transit = Transit::default();
        transit.waits(RequestId(4));
        assert!(!transit.was_fetch(RequestId(5)));
        assert!(transit.was_fetch(RequestId(4)));
        assert!(!transit.was_fetch(RequestId(4)));
    }
}
