//! One job: its command, what it has written, how it ended.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Instant, SystemTime};

use nws_work::commands::CommandId;
use nws_work::control::Cause;
use rustix::io::Errno;

use super::inputs::Inputs;
use super::joblog::Entry;
use super::record::{Field, Utf8Check};
use super::spool::{Kept, Spool};
use super::{quote, tag};

/// Longest line that is kept whole where lines of jobs go among each other.
const LINE_BYTES: usize = 1 << 20;
/// Most characters of a command that a failure shows to people.
const STORY_CHARACTERS: usize = 500;
/// The exit code of what could not be started, as in a shell.
const NOT_STARTED: i32 = 127;

/// A job that was begun, or is to be.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) number: u64,
    pub(super) inputs: Inputs,
    /// The program first.
    pub(super) command: Vec<OsString>,
    /// How often it was begun.
    pub(super) tries: u32,
    pub(super) id: Option<CommandId>,
    /// Which of the places of jobs that run it has, from 1, where jobs are told.
    pub(super) slot: Option<usize>,
    /// Standard output and standard error.
    pub(super) outputs: [Outflow; 2],
    pub(super) stdin: Option<Inflow>,
    pub(super) started: Option<(SystemTime, Instant)>,
    /// When it is to be asked to end.
    pub(super) due: Option<Instant>,
    /// When it is ended, as it was asked and goes on.
    pub(super) last_moment: Option<Instant>,
    pub(super) timed_out: bool,
    /// It was ended because the run is over, so it is neither done nor failed.
    pub(super) cut_short: bool,
    pub(super) is_logged: bool,
    /// Which of its outputs is being printed as a field of its record, and how far.
    pub(super) field: Option<(usize, Option<Field>)>,
    pub(super) ending: Option<Ending>,
}

/// How a job has ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Ending {
    pub(super) exit_code: Option<i32>,
    pub(super) signal: Option<i32>,
    /// Why it could not be started.
    pub(super) problem: Option<String>,
    /// In seconds since 1970.
    pub(super) start: f64,
    pub(super) seconds: f64,
}

/// What it writes to one of its outputs.
#[derive(Debug, Default)]
pub(super) struct Outflow {
    pub(super) pipe: Option<OwnedFd>,
    /// It is not listened to, as enough is kept.
    pub(super) is_paused: bool,
    pub(super) kept: Kept,
    /// The beginning of a line, where lines are kept whole.
    begun: Vec<u8>,
    pub(super) text: Utf8Check,
    pub(super) tagger: tag::Tagger,
}

/// What it is given to read.
#[derive(Debug)]
pub(super) struct Inflow {
    pub(super) pipe: OwnedFd,
    pub(super) bytes: Vec<u8>,
    pub(super) written: usize,
}

impl Job {
    pub(super) fn new(number: u64, inputs: Inputs, command: Vec<OsString>) -> Self {
        Self {
            number,
            inputs,
            command,
            tries: 0,
            id: None,
            slot: None,
            outputs: Default::default(),
            stdin: None,
            started: None,
            due: None,
            last_moment: None,
            timed_out: false,
            cut_short: false,
            is_logged: false,
            field: None,
            ending: None,
        }
    }

    /// Whether it ended in any other way than by itself with 0.
    pub(super) fn has_failed(&self) -> bool {
        self.timed_out || self.ending.as_ref().is_none_or(|ending| ending.exit_code != Some(0))
    }

    pub(super) fn end(&mut self, cause: &Cause) {
        let (exit_code, signal) = (cause.exit_code, cause.signal);
        self.ending = Some(Ending { exit_code, signal, problem: None, ..self.times() });
    }

    pub(super) fn end_unstarted(&mut self, problem: String) {
        self.ending = Some(Ending { exit_code: Some(NOT_STARTED), problem: Some(problem), ..self.times() });
    }

    fn times(&self) -> Ending {
        let (start, began) = self.started.unwrap_or_else(|| (SystemTime::now(), Instant::now()));
        let start = start.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        Ending { start, seconds: began.elapsed().as_secs_f64(), ..Ending::default() }
    }

    /// As before it was begun for the first time, but for the tries.
    pub(super) fn begin_again(&mut self, spool: &mut Spool) {
        for output in &mut self.outputs {
            output.kept.clear(spool);
            *output = Outflow::default();
        }
        let (number, tries) = (self.number, self.tries);
        let (inputs, command) = (std::mem::take(&mut self.inputs), std::mem::take(&mut self.command));
        *self = Self { tries, ..Self::new(number, inputs, command) };
    }

    /// Whether there is nothing left to print.
    pub(super) fn is_printed(&self) -> bool {
        self.outputs.iter().all(|output| output.kept.is_empty())
    }

    /// Its line in the log.
    pub(super) fn entry(&self) -> Option<Entry> {
        let ending = self.ending.as_ref()?;
        // One that timed out has failed, however it took that.
        let exit_code = if self.timed_out { -1 } else { ending.exit_code.unwrap_or(0) };
        Some(Entry {
            number: self.number,
            start: ending.start,
            seconds: ending.seconds,
            exit_code,
            signal: ending.signal.unwrap_or(0),
            command: quote::command(&self.command),
        })
    }

    /// How it failed, for people.
    pub(super) fn story(&self) -> String {
        let command = excerpt(&quote::command(&self.command));
        let ending = self.ending.clone().unwrap_or_default();
        let how = match (ending.problem, self.timed_out, ending.signal, ending.exit_code) {
            (Some(problem), ..) => format!("could not be started: {problem}"),
            (_, true, ..) => "took too long".to_owned(),
            (_, _, Some(signal), _) => {
                format!("was killed by signal {signal} ({})", nws_supervise::signal_name(signal))
            }
            (.., code) => format!("ended with exit code {}", code.unwrap_or(0)),
        };
        format!("job {} ({command}) {how}", self.number)
    }
}

/// The beginning of a command that is too long to be read by people; the log has all of it.
fn excerpt(command: &str) -> String {
    match command.char_indices().nth(STORY_CHARACTERS) {
        Some((end, _)) => format!("{}… ({} bytes)", &command[..end], command.len()),
        None => command.to_owned(),
    }
}

impl Outflow {
    /// Takes what has come; with `lines` only whole lines are kept for printing. `false`: its end
    /// has come, and the pipe is closed. No more than `most` pieces are taken.
    ///
    /// # Errors
    /// What was read cannot be kept.
    pub(super) fn read(&mut self, spool: &mut Spool, lines: bool, buffer: &mut [u8], most: usize) -> io::Result<bool> {
        for _ in 0..most {
            let Some(pipe) = &self.pipe else { return Ok(false) };
            let count = match rustix::io::read(pipe, &mut *buffer) {
                Ok(0) => 0,
                Ok(count) => count,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Ok(true),
                Err(_) => 0,
            };
            let bytes = buffer.get(..count).unwrap_or_default();
            if bytes.is_empty() {
                self.close(spool)?;
                return Ok(false);
            }
            self.text.add(bytes);
            self.add(spool, lines, bytes)?;
        }
        Ok(true)
    }

    fn add(&mut self, spool: &mut Spool, lines: bool, bytes: &[u8]) -> io::Result<()> {
        if !lines {
            return self.kept.push(spool, bytes);
        }
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place + 1);
        let (whole, begun) = bytes.split_at(whole);
        if !whole.is_empty() || self.begun.len() + begun.len() > LINE_BYTES {
            let first = std::mem::take(&mut self.begun);
            self.kept.push(spool, &first)?;
            self.kept.push(spool, whole)?;
        }
        self.begun.extend_from_slice(begun);
        Ok(())
    }

    /// Nothing more comes.
    ///
    /// # Errors
    /// As for [`Outflow::read`].
    pub(super) fn close(&mut self, spool: &mut Spool) -> io::Result<()> {
        self.pipe = None;
        let mut last = std::mem::take(&mut self.begun);
        if !last.is_empty() {
            // The next line may be another job's.
            last.push(b'\n');
        }
        self.kept.push(spool, &last)?;
        self.kept.close(spool)
    }
}

impl Inflow {
    /// Gives what is taken now; `false`: all is given, or nobody takes more.
    pub(super) fn write(&mut self) -> bool {
        while let Some(rest) = self.bytes.get(self.written..).filter(|rest| !rest.is_empty()) {
            match rustix::io::write(&self.pipe, rest) {
                Ok(count) => self.written += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return true,
                // The command has closed its input, as it may.
                Err(_) => return false,
            }
        }
        false
    }
}
