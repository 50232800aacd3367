//! The stream of events that a master writes where it is asked to: one JSON object a line.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::envelope::{Outcome, ResultHead};

/// What is written at a time, in bytes; always whole lines, so that sleighs may share a file.
const CHUNK_BYTES: usize = 64 << 10;

/// A file of events that is appended to.
///
/// A file that cannot be written (a full disk) does not end the run that is told in it: the first
/// error is kept for [`problem`](EventLog::problem), and nothing more is written.
///
/// ```
/// use nws_work::events::EventLog;
///
/// let folder = tempfile::tempdir()?;
/// let log = EventLog::open(&folder.path().join("events.jsonl"))?;
/// log.line(r#"{"event": "run_began", "run": 1}"#);
/// log.flush();
/// assert!(log.problem().is_none());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct EventLog {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    text: Vec<u8>,
    owner_pid: u32,
    problem: Option<io::Error>,
    failed: bool,
}

impl EventLog {
    /// Opens the file to append to it, and makes it where there is none.
    ///
    /// # Errors
    /// Those of the file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().append(true).create(true).open(path)?;
        let owner_pid = std::process::id();
        Ok(Self { state: Mutex::new(State { file, text: Vec::new(), owner_pid, problem: None, failed: false }) })
    }

    /// Appends an event: the text of one JSON object without a line break.
    pub fn line(&self, event: &str) {
        let mut state = self.state();
        state.text.extend_from_slice(event.as_bytes());
        state.end_line();
    }

    /// Appends that a task of the sleigh called `sleigh` has ended.
    pub fn task(&self, sleigh: &str, head: &ResultHead) {
        let mut state = self.state();
        let text = &mut state.text;
        text.extend_from_slice(br#"{"event": "task", "sleigh": ""#);
        text.extend_from_slice(sleigh.as_bytes());
        // By hand, as hundreds of thousands a second may be told: `write!` takes twice as long.
        let numbers: [(&[u8], u64); 5] = [
            (br#"", "run": "#, head.task.run.into()),
            (br#", "index": "#, head.task.index),
            (br#", "rank": "#, head.rank.into()),
            (br#", "began_ns": "#, head.began_ns),
            (br#", "duration_ns": "#, head.duration_ns),
        ];
        let mut digits = itoa::Buffer::new();
        for (name, number) in numbers {
            text.extend_from_slice(name);
            text.extend_from_slice(digits.format(number).as_bytes());
        }
        let ok: &[u8] = if head.outcome == Outcome::Done { br#", "ok": true}"# } else { br#", "ok": false}"# };
        text.extend_from_slice(ok);
        state.end_line();
    }

    /// Lets readers see what was appended.
    pub fn flush(&self) {
        self.state().write();
    }

    /// The error that ended the writing, once.
    pub fn problem(&self) -> Option<io::Error> {
        self.state().problem.take()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // No code that can panic runs under this lock, so the state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for EventLog {
    fn drop(&mut self) {
        self.flush();
    }
}

impl State {
    fn end_line(&mut self) {
        self.text.push(b'\n');
        if self.text.len() >= CHUNK_BYTES {
            self.write();
        }
    }

    fn write(&mut self) {
        // A forked child has a copy of what its parent is going to write.
        let ours = self.owner_pid == std::process::id();
        if ours
            && !self.failed
            && let Err(error) = self.file.write_all(&self.text)
        {
            self.failed = true;
            self.problem = Some(error);
        }
        self.text.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::TaskHead;

    fn head(index: u64) -> ResultHead {
        let task = TaskHead { run: 3, index };
        ResultHead { task, rank: 1, outcome: Outcome::Failed, began_ns: 5, duration_ns: 7 }
    }

    #[test]
    fn a_task_is_a_json_object_on_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        let log = EventLog::open(&path).unwrap();
        log.task("a", &head(9));
        drop(log);
        let told: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let expected = serde_json::json!({
            "event": "task", "sleigh": "a", "run": 3, "index": 9, "rank": 1,
            "began_ns": 5, "duration_ns": 7, "ok": false,
        });
        assert_eq!(told, expected);
    }

    #[test]
    fn two_logs_of_one_file_do_not_cut_each_others_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        let logs = [EventLog::open(&path).unwrap(), EventLog::open(&path).unwrap()];
        // Several chunks of each, which come in turns.
        for index in 0..4000 {
            logs.iter().zip(["a", "b"]).for_each(|(log, name)| log.task(name, &head(index)));
        }
        drop(logs);
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.len() > 4 * CHUNK_BYTES);
        assert_eq!(text.lines().count(), 8000);
        assert!(text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    }

    #[test]
    fn a_full_disk_is_told_once_and_ends_nothing() {
        let log = EventLog::open(Path::new("/dev/full")).unwrap();
        log.line("{}");
        log.flush();
        log.line("{}");
        log.flush();
        assert_eq!(log.problem().unwrap().kind(), io::ErrorKind::StorageFull);
        assert!(log.problem().is_none());
    }
}
