//! What is around the payload of a task and of a result.
//!
//! A task is `run u32, index u64`, then the encoded arguments. A result is
//! `run u32, index u64, rank u32, outcome u8, began_ns u64, duration_ns u64`, then the encoded
//! value or, where the outcome is a failure, a [`Failure`] in JSON. What a task says meanwhile
//! (prints, log records) comes before its result, in the same variable and the same form, with a
//! [`Said`] in the place of the outcome. Several results of one run may be one value: 16 bytes that mean
//! nothing and a mark in the place of the outcome, then of each result its length in a `u32` and itself.
//! Integers are little-endian.

use serde::{Deserialize, Serialize};

use crate::control::Cause;

/// Length of what precedes a task's payload, in bytes.
pub const TASK_HEAD_BYTES: usize = 12;
/// Length of what precedes a result's payload, in bytes.
pub const RESULT_HEAD_BYTES: usize = 33;
/// Where a result says how the task went.
const OUTCOME_AT: usize = 16;

/// In the place of the outcome: results follow.
const SEVERAL: u8 = 32;
/// Length of what precedes the first of several results, in bytes.
const SEVERAL_HEAD_BYTES: usize = OUTCOME_AT + 1;

/// Where the first of several results begins: one alone may be sent from there on, by itself.
pub const LONE_RESULT_AT: usize = SEVERAL_HEAD_BYTES + 4;

/// Begins a value of several results; [`add_result`] is to follow.
pub fn begin_results(buffer: &mut Vec<u8>) {
    buffer.extend_from_slice(&[0; OUTCOME_AT]);
    buffer.push(SEVERAL);
}

/// Adds a result to a value of several. It is shorter than 4 GiB.
pub fn add_result(buffer: &mut Vec<u8>, result: &[u8]) {
    buffer.extend_from_slice(&(result.len() as u32).to_le_bytes());
    buffer.extend_from_slice(result);
}

/// The results in a value: one, or several. Stops where the bytes are not those of a result.
pub fn results(value: &[u8]) -> Results<'_> {
    match value.get(OUTCOME_AT) {
        Some(&SEVERAL) => Results { rest: &value[SEVERAL_HEAD_BYTES..], several: true },
        _ => Results { rest: value, several: false },
    }
}

/// What [`results`] returns.
#[derive(Clone, Debug)]
pub struct Results<'a> {
    rest: &'a [u8],
    several: bool,
}

impl<'a> Iterator for Results<'a> {
    type Item = (ResultHead, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = std::mem::take(&mut self.rest);
        if !self.several {
            return ResultHead::decode(rest);
        }
        let (length, rest) = rest.split_first_chunk()?;
        let (result, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        self.rest = rest;
        ResultHead::decode(result)
    }
}

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

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The function raised.
    Exception,
    /// The worker died while it ran the task, as often as is allowed.
    Died,
    /// The task took longer than it may.
    TimedOut,
}

/// Why a task did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind.
    pub kind: FailureKind,
    /// The exception's type, with its module where that is not the language's own.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The exception's message, or the cause of death.
    pub message: String,
    /// The traceback as text.
    #[serde(default)]
    pub traceback: String,
    /// How the worker ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// How many workers the task has cost.
    #[serde(default)]
    pub deaths: u32,
}

impl Failure {
    /// The failure of a task that has cost too many workers.
    pub fn died(cause: Cause, deaths: u32) -> Self {
        let times = if deaths == 1 { "once".to_owned() } else { format!("{deaths} times") };
        Self {
            kind: FailureKind::Died,
            type_name: "WorkerDied".to_owned(),
            message: format!("the worker died {times} while it ran this task; the last time: {}", cause.text),
            traceback: String::new(),
            cause: Some(cause),
            deaths,
        }
    }

    /// The failure of a task that took longer than this.
    pub fn timed_out(timeout_ms: u64, cause: Cause) -> Self {
        let seconds = timeout_ms as f64 / 1000.0;
        Self {
            kind: FailureKind::TimedOut,
            type_name: "TimeoutError".to_owned(),
            message: format!("the task took longer than its timeout of {seconds} s, and was ended with its worker"),
            traceback: String::new(),
            cause: Some(cause),
            deaths: 1,
        }
    }

    /// The failure of a task that took its worker beyond its limit on memory.
    pub fn over_memory(used_bytes: u64, limit_bytes: u64, cause: Cause) -> Self {
        let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
        Self {
            kind: FailureKind::Died,
            type_name: "MemoryError".to_owned(),
            message: format!(
                "the task took its worker to {} MiB of memory, and at most {} MiB are allowed; {}",
                mebibytes(used_bytes),
                mebibytes(limit_bytes),
                cause.text
            ),
            traceback: String::new(),
            cause: Some(cause),
            deaths: 1,
        }
    }

    /// The failure of a task that was not begun, as its call was cancelled.
    pub fn cancelled() -> Self {
        Self {
            kind: FailureKind::Exception,
            type_name: "Cancelled".to_owned(),
            message: "the call was cancelled before this task had begun".to_owned(),
            traceback: String::new(),
            cause: None,
            deaths: 0,
        }
    }

    /// The failure of a task whose result the server did not take.
    pub fn refused(fault: &nws_proto::Fault) -> Self {
        Self {
            kind: FailureKind::Exception,
            type_name: "ResultRefused".to_owned(),
            message: format!("the task was done, but the server did not take its result: {fault}"),
            traceback: String::new(),
            cause: None,
            deaths: 0,
        }
    }

    /// Its JSON: the payload of a result.
    pub fn to_json(&self) -> Vec<u8> {
        // A struct of strings and numbers has a JSON form.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The whole result value for a failed task.
    pub fn to_result(&self, mut head: ResultHead) -> Vec<u8> {
        head.outcome = Outcome::Failed;
        let mut value = head.to_bytes().to_vec();
        value.extend(self.to_json());
        value
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

    #[test]
    fn several_results_are_read_one_by_one_and_no_bytes_are_a_panic() {
        let head = |index| {
            let task = TaskHead { run: 4, index };
            ResultHead { task, rank: 2, outcome: Outcome::Done, began_ns: 1, duration_ns: 2 }
        };
        let one = [&head(0).to_bytes()[..], b"one"].concat();
        assert!(results(&one).eq([(head(0), &b"one"[..])]));
        let mut several = Vec::new();
        begin_results(&mut several);
        add_result(&mut several, &one);
        add_result(&mut several, &head(1).to_bytes());
        assert!(results(&several).eq([(head(0), &b"one"[..]), (head(1), &b""[..])]));
        assert_eq!((ResultHead::decode(&several), Said::decode(&several)), (None, None));
        for cut in 0..several.len() {
            assert!(results(&several[..cut]).count() < 2);
        }
        let mut lying = several.clone();
        lying[SEVERAL_HEAD_BYTES..SEVERAL_HEAD_BYTES + 4].fill(0xff);
        assert_eq!(results(&lying).count(), 0);
    }

    #[test]
    fn a_death_tells_its_cause() {
        let cause = Cause { text: "killed by signal 9 (SIGKILL)".into(), signal: Some(9), ..Cause::default() };
        let failure = Failure::died(cause, 2);
        assert!(failure.message.contains("2 times") && failure.message.contains("SIGKILL"));
        let json = serde_json::to_vec(&failure).unwrap();
        assert_eq!(serde_json::from_slice::<Failure>(&json).unwrap(), failure);
    }
}
