//! Why a task did not come to its end.

use serde::{Deserialize, Serialize};

use super::{Outcome, ResultHead};
use crate::control::Cause;

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
    fn a_death_tells_its_cause() {
        let cause = Cause { text: "killed by signal 9 (SIGKILL)".into(), signal: Some(9), ..Cause::default() };
        let failure = Failure::died(cause, 2);
        assert!(failure.message.contains("2 times") && failure.message.contains("SIGKILL"));
        let json = serde_json::to_vec(&failure).unwrap();
        assert_eq!(serde_json::from_slice::<Failure>(&json).unwrap(), failure);
    }
}
