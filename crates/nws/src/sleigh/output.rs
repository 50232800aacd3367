//! What tasks write to standard output and error, as the master hears it.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nws_work::envelope::{Said, TaskHead};

use super::progress::Bar;

/// Most that is kept of the output of a call, in bytes; what is older goes.
const KEPT_BYTES: usize = 16 << 20;

/// What becomes of what tasks write to standard output and error, by whatever way: prints, libraries in
/// other languages, child processes. [`Builder::output`](super::Builder::output) takes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// It goes where the program's own goes, as it comes, and is not kept.
    #[default]
    Inherit,
    /// It is kept for each task: [`Sleigh::output`](super::Sleigh::output).
    Keep,
    /// It is kept, and the program shows it on its own standard output and error while it waits for results,
    /// whole lines at a time.
    Show,
    /// As `Show`, with `[worker:task]` before each line.
    Prefix,
}

/// What one task wrote; where it was run more than once, of all times. Bytes that are no UTF-8 are replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskOutput {
    /// To standard output.
    pub stdout: String,
    /// To standard error.
    pub stderr: String,
}

impl TaskOutput {
    fn bytes(&self) -> usize {
        self.stdout.len() + self.stderr.len()
    }
}

/// Keeps what the tasks of a call write, and shows it.
#[derive(Debug)]
pub(super) struct Heard {
    mode: Output,
    kept: Mutex<Kept>,
}

/// Outputs by index, and which were added to before which.
#[derive(Debug, Default)]
struct Kept {
    outputs: BTreeMap<u64, (TaskOutput, u64)>,
    turns: BTreeMap<u64, u64>,
    turn: u64,
    bytes: usize,
}

impl Heard {
    pub(super) fn new(mode: Output) -> Self {
        Self { mode, kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // No code that can panic runs under this lock, so what is kept is whole.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call begins: what was kept of the one before goes.
    pub(super) fn forget(&self) {
        *self.kept() = Kept::default();
    }

    pub(super) fn of_task(&self, index: u64) -> TaskOutput {
        self.kept().outputs.get(&index).map(|(output, _)| output.clone()).unwrap_or_default()
    }

    pub(super) fn of_all(&self) -> BTreeMap<u64, TaskOutput> {
        self.kept().outputs.iter().map(|(index, (output, _))| (*index, output.clone())).collect()
    }

    /// Takes in what a task wrote; [`TaskHead::NONE`] between tasks. Where a bar is shown, it steps aside.
    pub(super) fn hear(&self, said: Said, task: TaskHead, rank: u32, bytes: &[u8], bar: &Bar) {
        let error = match said {
            Said::Stdout => false,
            Said::Stderr => true,
            // Python's, which has them from its own libraries.
            Said::Record | Said::Warning => return,
        };
        let text = String::from_utf8_lossy(bytes);
        let index = (task != TaskHead::NONE).then_some(task.index);
        if let Some(index) = index {
            self.kept().add(index, error, &text);
        }
        let lines = match self.mode {
            Output::Inherit | Output::Keep => return,
            Output::Show => shown(&text, ""),
            Output::Prefix => {
                let index = index.map_or_else(|| "-".to_owned(), |index| index.to_string());
                shown(&text, &format!("[{rank}:{index}] "))
            }
        };
        // Who was to read it may have gone; that must not end the call.
        bar.aside(|| _ = if error { write(io::stderr(), &lines) } else { write(io::stdout(), &lines) });
    }
}

impl Kept {
    fn add(&mut self, index: u64, error: bool, text: &str) {
        self.turn += 1;
        let (output, turn) = self.outputs.entry(index).or_default();
        self.turns.remove(&std::mem::replace(turn, self.turn));
        self.turns.insert(self.turn, index);
        if error { &mut output.stderr } else { &mut output.stdout }.push_str(text);
        self.bytes += text.len();
        while self.bytes > KEPT_BYTES && self.outputs.len() > 1 {
            let oldest = self.turns.pop_first().and_then(|(_, index)| self.outputs.remove(&index));
            self.bytes -= oldest.map_or(0, |(output, _)| output.bytes());
        }
    }
}

/// Whole lines, each with the prefix before it.
fn shown(text: &str, prefix: &str) -> String {
    let mut lines: String = text.split_inclusive('\n').flat_map(|line| [prefix, line]).collect();
    if !text.ends_with('\n') {
        lines.push('\n');
    }
    lines
}

fn write(mut stream: impl Write, lines: &str) -> io::Result<()> {
    stream.write_all(lines.as_bytes())?;
    stream.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_its_prefix_and_an_end() {
        assert_eq!(shown("one\ntwo", "[0:1] "), "[0:1] one\n[0:1] two\n");
        assert_eq!(shown("one\n\n", "> "), "> one\n> \n");
    }

    #[test]
    fn the_newest_output_is_kept() {
        let mut kept = Kept::default();
        kept.add(1, false, "old");
        kept.add(2, false, &"x".repeat(KEPT_BYTES - 10));
        kept.add(1, true, "new");
        assert_eq!(kept.outputs.len(), 2);
        kept.add(3, false, "last words");
        let left: Vec<u64> = kept.outputs.keys().copied().collect();
        assert_eq!(left, [1, 3], "of task 1 something came after that of task 2");
        assert_eq!(kept.bytes, "oldnewlast words".len());
        assert_eq!(kept.turns.len(), 2);
    }
}
