//! The cause of an end, as the master and the failure results tell it.

use nws_supervise::{End, OutOfMemory, Status};

use crate::control::Cause;

impl From<&End> for Cause {
    fn from(end: &End) -> Self {
        let (exit_code, signal) = match end.status {
            Status::Exited(code) => (Some(code), None),
            Status::Signaled { signal, .. } => (None, Some(signal)),
        };
        Self {
            text: end.to_string(),
            exit_code,
            signal,
            peak_memory_bytes: end.peak_memory_bytes,
            out_of_memory: match end.out_of_memory {
                OutOfMemory::Yes => Some(true),
                OutOfMemory::No => Some(false),
                OutOfMemory::Unknown => None,
            },
            stderr_tail: end.stderr_tail.clone(),
        }
    }
}

impl Cause {
    /// A cause of which there is nothing but words.
    pub(crate) fn in_words(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// The same end with what led to it said first.
    pub(crate) fn preceded_by(mut self, words: &str) -> Self {
        self.text = format!("{words}; {}", self.text);
        self
    }
}
