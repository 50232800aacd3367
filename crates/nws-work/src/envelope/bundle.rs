//! Short tasks of a run as one value, which is held by one lease.

use std::ops::Range;

use nws_proto::Index;

use super::{TASK_HEAD_BYTES, TaskHead};

/// In the index of a value's first task: a bundle follows.
const MARK: u64 = 1 << 63;
/// Length of what precedes each task of a bundle, in bytes.
const LENGTH_BYTES: usize = 4;
/// Most tasks in a bundle.
pub const BUNDLE_TASKS: u32 = 256;
/// A bundle of this many bytes takes no more tasks.
const BUNDLE_BYTES: usize = 16 << 10;
/// A task that is longer travels alone, in bytes.
const TASK_BYTES: usize = 2 << 10;

/// Which tasks a value holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// The first.
    pub first: TaskHead,
    /// How many, at least one.
    pub count: u32,
    /// Whether it has the form of a bundle.
    pub several: bool,
}

impl Bundle {
    /// What a value holds; `None` where the bytes are not those of tasks.
    pub fn decode(value: &[u8]) -> Option<Bundle> {
        let (first, rest) = TaskHead::decode(value)?;
        if first.index & MARK == 0 {
            return Some(Bundle { first, count: 1, several: false });
        }
        let first = TaskHead { index: first.index & !MARK, ..first };
        let mut count = 0;
        let mut at = value.len() - rest.len();
        while at < value.len() {
            at = next_payload(value, at)?.end;
            count += 1;
        }
        (count > 0).then_some(Bundle { first, count, several: true })
    }

    /// Where the payload of the first task is in the value.
    pub fn first_payload(self, value: &[u8]) -> Option<Range<usize>> {
        if self.several { next_payload(value, TASK_HEAD_BYTES) } else { Some(TASK_HEAD_BYTES..value.len()) }
    }

    /// The indexes of the tasks.
    pub fn indexes(self) -> Range<u64> {
        self.first.index..self.first.index + u64::from(self.count)
    }
}

/// Where the payload of the task of a bundle is whose predecessor's ends at `end`.
pub fn next_payload(value: &[u8], end: usize) -> Option<Range<usize>> {
    let (length, rest) = value.get(end..)?.split_first_chunk()?;
    let length = u32::from_le_bytes(*length) as usize;
    (length <= rest.len()).then(|| end + LENGTH_BYTES..end + LENGTH_BYTES + length)
}

/// Tasks of a bundle that are not to be run again with it: a value for workers, from the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// The place of the bundle in its variable.
    pub place: Index,
    /// The tasks.
    pub indexes: Range<u64>,
}

impl PassedOver {
    /// The value.
    pub fn to_value(&self) -> Vec<u8> {
        [self.place.0, self.indexes.start, self.indexes.end].iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    /// What a value says; `None` where the bytes are something else.
    pub fn decode(value: &[u8]) -> Option<PassedOver> {
        let (place, rest) = value.split_first_chunk()?;
        let (start, end) = rest.split_first_chunk()?;
        let indexes = u64::from_le_bytes(*start)..u64::from_le_bytes(end.try_into().ok()?);
        Some(PassedOver { place: Index(u64::from_le_bytes(*place)), indexes })
    }
}

/// Writes tasks of one run one behind the other, as bundles where they are short.
#[derive(Debug)]
pub struct Bundles {
    run: u32,
    buffer: Vec<u8>,
    /// Where each whole value is in the buffer.
    values: Vec<Range<usize>>,
    /// The bundle that takes tasks still: where it begins, and how many it has.
    open: Option<(usize, u32)>,
}

impl Bundles {
    /// Of this run.
    pub fn new(run: u32) -> Self {
        Self { run, buffer: Vec::new(), values: Vec::new(), open: None }
    }

    /// Adds a task whose payload `encode` appends, to a bundle of at most `most`; where that fails nothing is
    /// added.
    ///
    /// # Errors
    /// Those of `encode`.
    pub fn push<E>(
        &mut self,
        index: u64,
        most: u32,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let before = self.buffer.len();
        let head = TaskHead { run: self.run, index };
        if most <= 1 {
            self.close();
            head.encode(&mut self.buffer);
            return self.undo_if(encode, before).map(|()| self.values.push(before..self.buffer.len()));
        }
        if self.open.is_some_and(|(start, count)| count >= most || before - start >= BUNDLE_BYTES) {
            self.close();
        }
        let (start, count) = self.open.unwrap_or((before, 0));
        if count == 0 {
            TaskHead { index: index | MARK, ..head }.encode(&mut self.buffer);
        }
        let at = self.buffer.len();
        self.buffer.extend_from_slice(&[0; LENGTH_BYTES]);
        self.undo_if(encode, before)?;
        let length = self.buffer.len() - at - LENGTH_BYTES;
        if length <= TASK_BYTES {
            self.buffer[at..at + LENGTH_BYTES].copy_from_slice(&(length as u32).to_le_bytes());
            self.open = Some((start, count + 1));
        } else {
            self.part_with(head, before, at);
        }
        Ok(())
    }

    fn undo_if<E>(&mut self, encode: impl FnOnce(&mut Vec<u8>) -> Result<(), E>, before: usize) -> Result<(), E> {
        encode(&mut self.buffer).inspect_err(|_| self.buffer.truncate(before))
    }

    /// The task that begins `at` with the place of its length is too long for a bundle: makes it a value.
    fn part_with(&mut self, head: TaskHead, before: usize, at: usize) {
        self.close_at(before);
        let mut alone = Vec::with_capacity(TASK_HEAD_BYTES);
        head.encode(&mut alone);
        self.buffer.splice(before..at + LENGTH_BYTES, alone);
        self.values.push(before..self.buffer.len());
    }

    fn close(&mut self) {
        self.close_at(self.buffer.len());
    }

    fn close_at(&mut self, end: usize) {
        match self.open.take() {
            Some((start, 1)) => {
                // One alone is no bundle: its head comes to stand where that and its length were.
                let alone = start + LENGTH_BYTES;
                self.buffer.copy_within(start..start + TASK_HEAD_BYTES, alone);
                self.buffer[alone + TASK_HEAD_BYTES - 1] &= (!MARK).to_le_bytes()[7];
                self.values.push(alone..end);
            }
            Some((start, _)) => self.values.push(start..end),
            None => {}
        }
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.values.len() + usize::from(self.open.is_some())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes they take.
    pub fn len_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// All of them, and where each value is in the bytes. The next ones have a buffer of this capacity.
    pub fn take(&mut self, capacity: usize) -> (Vec<u8>, Vec<Range<usize>>) {
        self.close();
        let buffer = std::mem::replace(&mut self.buffer, Vec::with_capacity(capacity));
        (buffer, std::mem::take(&mut self.values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(bundles: &mut Bundles, index: u64, most: u32, payload: &[u8]) {
        let encode = |buffer: &mut Vec<u8>| {
            buffer.extend_from_slice(payload);
            Ok::<(), ()>(())
        };
        bundles.push(index, most, encode).unwrap();
    }

    /// Of each value the first index and the payloads.
    fn read(bundles: &mut Bundles) -> Vec<(u64, Vec<Vec<u8>>)> {
        let (buffer, values) = bundles.take(0);
        let read = values.into_iter().map(|range| {
            let value = &buffer[range];
            let bundle = Bundle::decode(value).unwrap();
            assert_eq!(bundle.first.run, 7);
            let mut payloads = Vec::new();
            let mut next = bundle.first_payload(value);
            for place in 0..bundle.count {
                let range = next.take().unwrap();
                payloads.push(value[range.clone()].to_vec());
                next = (place + 1 < bundle.count).then(|| next_payload(value, range.end).unwrap());
            }
            (bundle.first.index, payloads)
        });
        read.collect()
    }

    #[test]
    fn short_tasks_share_a_value_and_long_ones_do_not() {
        let mut bundles = Bundles::new(7);
        let long = vec![9; TASK_BYTES + 1];
        push(&mut bundles, 0, 1, b"zero");
        push(&mut bundles, 1, 3, b"one");
        push(&mut bundles, 2, 3, b"");
        push(&mut bundles, 3, 3, b"three");
        push(&mut bundles, 4, 3, b"four");
        push(&mut bundles, 5, 3, &long);
        push(&mut bundles, 6, 3, &long);
        push(&mut bundles, 7, 3, b"seven");
        push(&mut bundles, 8, 3, b"eight");
        push(&mut bundles, 9, 1, b"nine");
        assert_eq!(bundles.len(), 7);
        let some = |payloads: &[&[u8]]| payloads.iter().map(|payload| payload.to_vec()).collect::<Vec<_>>();
        let expected = vec![
            (0, some(&[b"zero"])),
            (1, some(&[b"one", b"", b"three"])),
            (4, some(&[b"four"])),
            (5, vec![long.clone()]),
            (6, vec![long]),
            (7, some(&[b"seven", b"eight"])),
            (9, some(&[b"nine"])),
        ];
        assert_eq!(read(&mut bundles), expected);
        assert!(bundles.is_empty());
    }

    #[test]
    fn a_task_that_cannot_be_encoded_leaves_its_bundle_as_it_was() {
        let mut bundles = Bundles::new(7);
        push(&mut bundles, 0, 9, b"zero");
        let refused = bundles.push(1, 9, |buffer| {
            buffer.push(1);
            Err(())
        });
        assert_eq!(refused, Err(()));
        push(&mut bundles, 1, 9, b"one");
        assert_eq!(read(&mut bundles), [(0, vec![b"zero".to_vec(), b"one".to_vec()])]);
        assert_eq!(bundles.push(2, 9, |_| Err(())), Err(()));
        assert!(bundles.is_empty());
    }

    #[test]
    fn a_bundle_ends_when_it_has_grown() {
        let mut bundles = Bundles::new(7);
        (0..100).for_each(|index| push(&mut bundles, index, u32::MAX, &[0; 1000]));
        let sizes: Vec<usize> = read(&mut bundles).iter().map(|(_, payloads)| payloads.len()).collect();
        assert_eq!(sizes, [17, 17, 17, 17, 17, 15]);
    }

    #[test]
    fn what_is_passed_over_is_read_as_it_was_written() {
        let told = PassedOver { place: Index(3), indexes: 7..u64::MAX };
        assert_eq!(PassedOver::decode(&told.to_value()), Some(told));
        assert_eq!(PassedOver::decode(&[0; 23]), None);
    }

    #[test]
    fn no_bytes_are_a_panic() {
        let mut bundles = Bundles::new(7);
        push(&mut bundles, 0, 2, b"zero");
        push(&mut bundles, 1, 2, b"one");
        let value = bundles.take(0).0;
        assert!(Bundle::decode(&value).is_some());
        for cut in 0..value.len() {
            let whole = cut == TASK_HEAD_BYTES + LENGTH_BYTES + 4;
            assert_eq!(Bundle::decode(&value[..cut]).is_some(), whole, "{cut}");
        }
        let mut lying = value;
        lying[TASK_HEAD_BYTES..TASK_HEAD_BYTES + LENGTH_BYTES].fill(0xff);
        assert_eq!(Bundle::decode(&lying), None);
        assert_eq!(next_payload(&lying, usize::MAX), None);
    }
}
