//! What is around the payload of a task and of a result.
//!
//! A task is `run u32, index u64`, then the encoded arguments. Short tasks of a run may be one value, a
//! bundle: in the index of the first the highest bit is set, and each follows with its length in a `u32`;
//! their indexes follow each other. A result is
//! `run u32, index u64, rank u32, outcome u8, began_ns u64, duration_ns u64`, then the encoded
//! value or, where the outcome is a failure, a [`Failure`] in JSON. What a task says meanwhile
//! (prints, log records) comes before its result, in the same variable and the same form, with a
//! [`Said`] in the place of the outcome. Several results of one run may be one value: 16 bytes that mean
//! nothing and a mark in the place of the outcome, then of each result its length in a `u32` and itself.
//! Integers are little-endian.

mod bundle;
mod failure;
mod several;

pub use bundle::{BUNDLE_TASKS, Bundle, Bundles, PassedOver, next_payload};
pub use failure::{Failure, FailureKind};
pub use several::{LONE_RESULT_AT, Results, add_result, begin_results, results};

/// Length of what precedes a task's payload, in bytes.
pub const TASK_HEAD_BYTES: usize = 12;
/// Length of what precedes a result's payload, in bytes.
pub const RESULT_HEAD_BYTES: usize = 33;
/// Where a result says how the task went.
const OUTCOME_AT: usize = 16;

/// Which task of which run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskHead {
    /// The run, unique in its sleigh.
    pub run: u32,
    /// The place in the run, from 0.
    pub index: u64,
}

impl TaskHead {
    /// What is said while no task runs.
    pub const NONE: TaskHead = TaskHead { run: 0, index: u64::MAX };

    /// Appends the head's bytes.
    pub fn encode(self, buffer: &mut Vec<u8>) {
        buffer.extend_from_slice(&self.run.to_le_bytes());
        buffer.extend_from_slice(&self.index.to_le_bytes());
    }

    /// The head and the payload of a task; `None` where the bytes are too few to be one.
    pub fn decode(task: &[u8]) -> Option<(Self, &[u8])> {
        let (run, rest) = task.split_first_chunk()?;
        let (index, payload) = rest.split_first_chunk()?;
        Some((Self { run: u32::from_le_bytes(*run), index: u64::from_le_bytes(*index) }, payload))
    }
}

/// Whether a task came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The payload is the encoded value.
    Done,
    /// The payload is a [`Failure`].
    Failed,
}

/// What a task said while it ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// The payload was written to standard output.
    Stdout,
    /// The payload was written to standard error.
    Stderr,
    /// The payload is a log record, as the language has it.
    Record,
    /// The payload is a warning, as the language has it.
    Warning,
}

impl Said {
    const FIRST: u8 = 16;
    const ALL: [Said; 4] = [Said::Stdout, Said::Stderr, Said::Record, Said::Warning];

    fn to_byte(self) -> u8 {
        Self::FIRST + self as u8
    }

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte.checked_sub(Self::FIRST)?)).copied()
    }

    /// The whole value.
    pub fn to_value(self, task: TaskHead, rank: u32, payload: &[u8]) -> Vec<u8> {
        let head = ResultHead { task, rank, outcome: Outcome::Done, began_ns: 0, duration_ns: 0 };
        let mut value = Vec::with_capacity(RESULT_HEAD_BYTES + payload.len());
        value.extend_from_slice(&head.to_bytes());
        value[OUTCOME_AT] = self.to_byte();
        value.extend_from_slice(payload);
        value
    }

    /// What was said, by which task, on which worker; `None` where the bytes are something else.
    pub fn decode(value: &[u8]) -> Option<(Said, TaskHead, u32, &[u8])> {
        let payload = value.get(RESULT_HEAD_BYTES..)?;
        let (task, rest) = TaskHead::decode(value)?;
        let (rank, rest) = rest.split_first_chunk()?;
        let said = Said::from_byte(*rest.first()?)?;
        Some((said, task, u32::from_le_bytes(*rank), payload))
    }
}

/// Which task this is the result of, and how it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResultHead {
    /// The task.
    pub task: TaskHead,
    /// The worker.
    pub rank: u32,
    /// Whether it came to its end.
    pub outcome: Outcome,
    /// When it began, in nanoseconds of the worker's CLOCK_MONOTONIC.
    pub began_ns: u64,
    /// How long it took, in nanoseconds.
    pub duration_ns: u64,
}

impl ResultHead {
    /// The head's bytes.
    pub fn to_bytes(self) -> [u8; RESULT_HEAD_BYTES] {
        let mut bytes = [0; RESULT_HEAD_BYTES];
        bytes[0..4].copy_from_slice(&self.task.run.to_le_bytes());
        bytes[4..12].copy_from_slice(&self.task.index.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.rank.to_le_bytes());
        bytes[16] = match self.outcome {
            Outcome::Done => 0,
            Outcome::Failed => 1,
        };
        bytes[17..25].copy_from_slice(&self.began_ns.to_le_bytes());
        bytes[25..33].copy_from_slice(&self.duration_ns.to_le_bytes());
        bytes
    }

    /// The head and the payload of a result; `None` where the bytes are not one.
    pub fn decode(result: &[u8]) -> Option<(Self, &[u8])> {
        let (task, rest) = TaskHead::decode(result)?;
        let (rank, rest) = rest.split_first_chunk()?;
        let (outcome, rest) = rest.split_first()?;
        let (began, rest) = rest.split_first_chunk()?;
        let (duration, payload) = rest.split_first_chunk()?;
        let outcome = match outcome {
            0 => Outcome::Done,
            1 => Outcome::Failed,
            _ => return None,
        };
        let head = Self {
            task,
            rank: u32::from_le_bytes(*rank),
            outcome,
            began_ns: u64::from_le_bytes(*began),
            duration_ns: u64::from_le_bytes(*duration),
        };
        Some((head, payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_survive_the_round_trip() {
        let task = TaskHead { run: 4, index: u64::MAX - 1 };
        let mut bytes = Vec::new();
        task.encode(&mut bytes);
        assert_eq!(bytes.len(), TASK_HEAD_BYTES);
        bytes.push(9);
        assert_eq!(TaskHead::decode(&bytes), Some((task, &[9u8][..])));
        let head = ResultHead { task, rank: 2, outcome: Outcome::Failed, began_ns: 1, duration_ns: u64::MAX };
        let bytes = head.to_bytes();
        assert_eq!(ResultHead::decode(&bytes), Some((head, &[][..])));
        for cut in 0..RESULT_HEAD_BYTES {
            assert_eq!(ResultHead::decode(&bytes[..cut]), None);
        }
    }

    #[test]
    fn what_a_task_says_is_told_apart_from_its_result() {
        let task = TaskHead { run: 4, index: 7 };
        for said in Said::ALL {
            let value = said.to_value(task, 3, b"hello");
            assert_eq!(Said::decode(&value), Some((said, task, 3, &b"hello"[..])));
            assert_eq!(ResultHead::decode(&value), None);
            assert_eq!(Said::decode(&value[..RESULT_HEAD_BYTES - 1]), None);
        }
        let head = ResultHead { task, rank: 2, outcome: Outcome::Failed, began_ns: 1, duration_ns: 2 };
        assert_eq!(Said::decode(&head.to_bytes()), None);
    }
}
