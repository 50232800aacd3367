//! Tasks on their way into the server, many a frame.

use bytes::Bytes;
use nws_proto::{Descriptor, Item, Language, limits};

use super::bundling::Bundling;
use super::too_long;
use crate::envelope::{Bundles, TASK_HEAD_BYTES};
use crate::error::WorkError;

/// Tasks in the second frame; each further one holds twice as many.
const SECOND_TASKS: usize = 64;
/// Most tasks or bundles in one frame.
const MOST_TASKS: usize = 4096;
/// A frame of this many bytes takes no more tasks.
const FRAME_BYTES: usize = 128 << 10;

/// A frame of tasks that is being filled.
#[derive(Debug)]
pub struct Tasks {
    next_index: u64,
    bundles: Bundles,
    bundling: Bundling,
    limit: usize,
}

impl Tasks {
    /// Tasks of this run, from index 0 on. The first frame holds one for each of `worker_count`
    /// workers: each that waits gets one, so that tasks begin in order, and soon. At most `chunk_size`
    /// are held by one lease, and more than one only while they are short.
    pub fn new(run: u32, worker_count: u32, chunk_size: Option<u32>) -> Self {
        let bundling = Bundling::new(worker_count, chunk_size);
        Self { next_index: 0, bundles: Bundles::new(run), bundling, limit: (worker_count as usize).max(1) }
    }

    /// Adds a task whose payload `encode` appends; when that fails nothing is added.
    ///
    /// # Errors
    /// Those of `encode`, and a task that fits no frame.
    pub fn push<E: From<WorkError>>(&mut self, encode: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        self.bundles.push(self.next_index, self.bundling.most(), |buffer| -> Result<(), E> {
            let before = buffer.len();
            encode(buffer)?;
            let length = buffer.len() - before;
            let fits = length <= limits::VALUE_BYTES as usize - TASK_HEAD_BYTES;
            if fits { Ok(()) } else { Err(too_long("the arguments of a task", length).into()) }
        })?;
        self.next_index += 1;
        Ok(())
    }

    /// The index that the next task gets: how many tasks the run has so far.
    pub fn next_index(&self) -> u64 {
        self.next_index
    }

    /// Tasks have ended, which took so long together: from that follows how many of the next share a lease.
    pub fn took(&mut self, duration_ns: u64, tasks: u64) {
        self.bundling.took(duration_ns, tasks);
    }

    /// From now on so many are under way at most: too few to share leases among the workers, maybe.
    pub fn set_under_way(&mut self, most: u64) {
        self.bundling.set_under_way(most);
    }

    /// Whether the frame should be submitted.
    pub fn is_full(&self) -> bool {
        self.bundles.len() >= self.limit || self.bundles.len_bytes() >= FRAME_BYTES
    }

    /// The values of a frame, or of two, as a task that is longer than a usual frame has one of its
    /// own. The next frame may hold more.
    pub(super) fn take(&mut self) -> Vec<Vec<Item<Bytes>>> {
        let capacity = self.bundles.len_bytes().min(FRAME_BYTES) + 1024;
        let (buffer, values) = self.bundles.take(capacity);
        let buffer = Bytes::from(buffer);
        self.limit = (self.limit * 2).clamp(SECOND_TASKS, MOST_TASKS);
        let item = |range| Item { descriptor: Descriptor::bytes(Language::Rust), value: buffer.slice(range) };
        let mut items: Vec<_> = values.into_iter().map(item).collect();
        let long = items.pop_if(|item| item.value.len() > FRAME_BYTES);
        [items, long.into_iter().collect()].into_iter().filter(|frame| !frame.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::TaskHead;

    #[test]
    fn a_task_that_cannot_be_encoded_leaves_no_trace() {
        let mut tasks = Tasks::new(3, 1, None);
        tasks
            .push(|buffer| {
                buffer.push(1);
                Ok::<(), WorkError>(())
            })
            .unwrap();
        let fault = tasks.push(|buffer| {
            buffer.push(2);
            Err(WorkError::Argument("no".into()))
        });
        assert!(fault.is_err());
        tasks
            .push(|buffer| {
                buffer.push(3);
                Ok::<(), WorkError>(())
            })
            .unwrap();
        let items = tasks.take().concat();
        let read: Vec<_> = items.iter().map(|item| TaskHead::decode(&item.value).unwrap()).collect();
        assert_eq!(read, [(TaskHead { run: 3, index: 0 }, &[1u8][..]), (TaskHead { run: 3, index: 1 }, &[3u8][..])]);
        assert_eq!(tasks.next_index(), 2);
        assert!(tasks.take().is_empty());
    }

    #[test]
    fn a_long_task_has_a_frame_of_its_own() {
        let mut tasks = Tasks::new(1, 3, None);
        for length in [1, 1, FRAME_BYTES + 1] {
            let encode = |buffer: &mut Vec<u8>| {
                buffer.resize(buffer.len() + length, 0);
                Ok::<(), WorkError>(())
            };
            tasks.push(encode).unwrap();
        }
        assert!(tasks.is_full());
        let frames: Vec<_> = tasks.take().iter().map(Vec::len).collect();
        assert_eq!(frames, [2, 1]);
    }

    #[test]
    fn the_first_frames_are_small_and_the_later_ones_larger() {
        let mut tasks = Tasks::new(1, 3, None);
        let mut sizes = Vec::new();
        for _ in 0..20_000 {
            tasks.push(|_| Ok::<(), WorkError>(())).unwrap();
            if tasks.is_full() {
                sizes.push(tasks.take().concat().len());
            }
        }
        assert_eq!(sizes[..4], [3, 64, 128, 256]);
        assert_eq!(*sizes.iter().max().unwrap(), MOST_TASKS);
    }
}
