//! Tasks on their way into the server, many a frame.

use bytes::Bytes;
use nws_proto::{Descriptor, Item, Language, limits};

use super::too_long;
use crate::envelope::{TASK_HEAD_BYTES, TaskHead};
use crate::error::WorkError;

/// Tasks in the second frame; each further one holds twice as many.
const SECOND_TASKS: usize = 64;
/// Most tasks in one frame.
const MOST_TASKS: usize = 4096;
/// A frame of this many bytes takes no more tasks.
const FRAME_BYTES: usize = 128 << 10;

/// A frame of tasks that is being filled.
#[derive(Debug)]
pub struct Tasks {
    run: u32,
    next_index: u64,
    buffer: Vec<u8>,
    ends: Vec<usize>,
    limit: usize,
}

impl Tasks {
    /// Tasks of this run, from index 0 on. The first frame holds one for each of `worker_count`
    /// workers: each that waits gets one, so that tasks begin in order, and soon.
    pub fn new(run: u32, worker_count: u32) -> Self {
        Self { run, next_index: 0, buffer: Vec::new(), ends: Vec::new(), limit: (worker_count as usize).max(1) }
    }

    /// Adds a task whose payload `encode` appends; when that fails nothing is added.
    ///
    /// # Errors
    /// Those of `encode`, and a task that fits no frame.
    pub fn push<E: From<WorkError>>(&mut self, encode: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let start = self.buffer.len();
        TaskHead { run: self.run, index: self.next_index }.encode(&mut self.buffer);
        let encoded = encode(&mut self.buffer).and_then(|()| {
            let length = self.buffer.len() - start;
            let fits = length <= limits::VALUE_BYTES as usize;
            if fits { Ok(()) } else { Err(too_long("the arguments of a task", length - TASK_HEAD_BYTES).into()) }
        });
        if encoded.is_err() {
            self.buffer.truncate(start);
            return encoded;
        }
        self.next_index += 1;
        self.ends.push(self.buffer.len());
        Ok(())
    }

    /// The index that the next task gets: how many tasks the run has so far.
    pub fn next_index(&self) -> u64 {
        self.next_index
    }

    /// Whether the frame should be submitted.
    pub fn is_full(&self) -> bool {
        self.ends.len() >= self.limit || self.buffer.len() >= FRAME_BYTES
    }

    /// The values of a frame, or of two, as a task that is longer than a usual frame has one of its
    /// own. The next frame may hold more.
    pub(super) fn take(&mut self) -> Vec<Vec<Item<Bytes>>> {
        let capacity = self.buffer.capacity().min(2 * FRAME_BYTES);
        let buffer = Bytes::from(std::mem::replace(&mut self.buffer, Vec::with_capacity(capacity)));
        self.limit = (self.limit * 2).clamp(SECOND_TASKS, MOST_TASKS);
        let mut start = 0;
        let slice = |end| {
            let value = buffer.slice(start..end);
            start = end;
            Item { descriptor: Descriptor::bytes(Language::Rust), value }
        };
        let mut items: Vec<_> = self.ends.drain(..).map(slice).collect();
        let long = items.pop_if(|item| item.value.len() > FRAME_BYTES);
        [items, long.into_iter().collect()].into_iter().filter(|frame| !frame.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_cannot_be_encoded_leaves_no_trace() {
        let mut tasks = Tasks::new(3, 1);
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
        let mut tasks = Tasks::new(1, 3);
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
        let mut tasks = Tasks::new(1, 3);
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
