//! From bytes, however they are cut, to requests.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::operation::{ARGUMENTS, Kind, OPERATION_BYTES, Operation, Request, check, number};
use crate::limits;

const COUNT_BYTES: usize = 4;
const LENGTH_BYTES: usize = 20;
/// What is kept of an argument that is no value: enough to see that a name is too long.
const KEPT_BYTES: u64 = limits::NAME_BYTES as u64 + 1;
/// What a value gets at first, whatever was announced, in bytes.
const FIRST_VALUE_BYTES: u64 = 64 * 1024;
/// How much of what came a message repeats, in bytes.
const SHOWN_BYTES: usize = 40;

/// Why a connection is to be closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRequest {
    expected: String,
    got: String,
}

impl BadRequest {
    /// Expected this, got these bytes.
    pub(super) fn new(expected: impl Into<String>, got: &[u8]) -> Self {
        let shown = got.get(..SHOWN_BYTES).unwrap_or(got);
        let dots = if shown.len() < got.len() { "..." } else { "" };
        Self::told(expected, format!("\"{}{dots}\"", shown.escape_ascii()))
    }

    fn told(expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self { expected: expected.into(), got: got.into() }
    }
}

impl core::fmt::Display for BadRequest {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "expected {}, got {}", self.expected, self.got)
    }
}

impl core::error::Error for BadRequest {}

/// What is to happen with a value whose length has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Receive it.
    Take,
    /// Let it go by: its request gets no value.
    Skip,
    /// Hand its bytes to [`Intake::spool`] as they come: its request gets none.
    Spool,
    /// It is longer than this many bytes, the most that is taken: end the connection.
    Refuse(u64),
}

/// Who says what is to happen with values, and takes those that are too long to be kept here. A
/// closure that weighs is one for whom no value is too long.
pub trait Intake {
    /// Says what is to happen with a value of this length, in bytes.
    fn weigh(&mut self, length: u64) -> Weight;

    /// Takes the next bytes of the value for which it said [`Weight::Spool`].
    fn spool(&mut self, _bytes: &[u8]) {}
}

impl<F: FnMut(u64) -> Weight> Intake for F {
    fn weigh(&mut self, length: u64) -> Weight {
        self(length)
    }
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Count,
    Length,
    Argument,
}

/// What becomes of a request's value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fate {
    #[default]
    Kept,
    Skipped,
    Spooled,
}

/// Takes a connection's bytes as they come. What it holds grows with what has arrived, never with
/// what was announced.
#[derive(Debug)]
pub struct Decoder {
    next: Next,
    /// The digits of a count or length that have come.
    digits: [u8; LENGTH_BYTES],
    digits_come: usize,
    count: usize,
    operation: Option<&'static Operation>,
    arguments: Vec<Vec<u8>>,
    argument: Vec<u8>,
    /// Bytes of the argument that are still to come.
    missing: u64,
    /// How many of the argument's bytes are kept at most.
    kept: u64,
    fate: Fate,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            next: Next::Count,
            digits: [0; LENGTH_BYTES],
            digits_come: 0,
            count: 0,
            operation: None,
            arguments: Vec::new(),
            argument: Vec::new(),
            missing: 0,
            kept: 0,
            fate: Fate::Kept,
        }
    }
}

impl Decoder {
    /// The next request, if it is complete; what was read is taken off `input`, all of it where the
    /// request is not complete. `intake` is asked about each value as soon as its length is known.
    ///
    /// # Errors
    /// Where the bytes are no request; the connection is to be closed.
    pub fn next(&mut self, input: &mut &[u8], mut intake: impl Intake) -> Result<Option<Request>, BadRequest> {
        loop {
            match self.next {
                Next::Count => {
                    let Some(()) = self.collect(input, COUNT_BYTES) else { return Ok(None) };
                    self.begin_request()?;
                }
                Next::Length => {
                    let Some(()) = self.collect(input, LENGTH_BYTES) else { return Ok(None) };
                    self.begin_argument(&mut intake)?;
                }
                Next::Argument => {
                    self.receive(input, &mut intake);
                    if self.missing > 0 {
                        return Ok(None);
                    }
                    if let Some(request) = self.end_argument()? {
                        return Ok(Some(request));
                    }
                }
            }
        }
    }

    /// What has come of a value that is being received and kept here, in bytes.
    pub fn value_bytes(&self) -> u64 {
        if self.keeps_value() { self.argument.len() as u64 } else { 0 }
    }

    /// The length of the value that is being received and kept here, in bytes.
    pub fn announced_bytes(&self) -> Option<u64> {
        self.keeps_value().then(|| self.argument.len() as u64 + self.missing)
    }

    /// Lets the value that is being received go by after all: its request gets none.
    pub fn skip_value(&mut self) {
        self.give_up_value(Fate::Skipped);
    }

    /// Hands the rest of the value that is being received to [`Intake::spool`]. What has come of it is to go
    /// there first.
    pub fn spool_value(&mut self) -> Vec<u8> {
        self.give_up_value(Fate::Spooled)
    }

    fn keeps_value(&self) -> bool {
        self.next == Next::Argument && self.kind() == Some(Kind::Value) && self.fate == Fate::Kept
    }

    fn give_up_value(&mut self, fate: Fate) -> Vec<u8> {
        if !self.keeps_value() {
            return Vec::new();
        }
        (self.fate, self.kept) = (fate, 0);
        core::mem::take(&mut self.argument)
    }

    /// Collects the digits of a field; `Some` when they are complete.
    fn collect(&mut self, input: &mut &[u8], wanted: usize) -> Option<()> {
        let count = input.len().min(wanted - self.digits_come);
        let (come, rest) = input.split_at(count);
        self.digits[self.digits_come..self.digits_come + count].copy_from_slice(come);
        *input = rest;
        self.digits_come += count;
        if self.digits_come < wanted {
            return None;
        }
        self.digits_come = 0;
        Some(())
    }

    fn begin_request(&mut self) -> Result<(), BadRequest> {
        let digits = &self.digits[..COUNT_BYTES];
        // A count has no spaces.
        let count = number(digits).filter(|_| digits.iter().all(u8::is_ascii_digit));
        self.count = match count {
            Some(count @ 1..) if count <= ARGUMENTS as u64 => count as usize,
            _ => return Err(BadRequest::new(format!("a number of arguments from 0001 to {ARGUMENTS:04}"), digits)),
        };
        self.next = Next::Length;
        Ok(())
    }

    /// What the argument that comes next is; `None` where it is the operation's name.
    fn kind(&self) -> Option<Kind> {
        let operation = self.operation?;
        operation.arguments.get(self.arguments.len()).copied()
    }

    fn begin_argument(&mut self, intake: &mut impl Intake) -> Result<(), BadRequest> {
        let length = number(&self.digits).ok_or_else(|| BadRequest::new("a length in 20 digits", &self.digits))?;
        self.kept = match self.kind() {
            None if length > OPERATION_BYTES => {
                let got = format!("a name of {length} bytes");
                return Err(BadRequest::told("the name of an operation", got));
            }
            Some(Kind::Value) => match intake.weigh(length) {
                Weight::Take => length,
                Weight::Skip => {
                    self.fate = Fate::Skipped;
                    0
                }
                Weight::Spool => {
                    self.fate = Fate::Spooled;
                    0
                }
                Weight::Refuse(most) => {
                    let expected = format!("a value of at most {most} bytes");
                    return Err(BadRequest::told(expected, format!("one of {length}")));
                }
            },
            _ => KEPT_BYTES.min(length),
        };
        self.missing = length;
        self.next = Next::Argument;
        Ok(())
    }

    fn receive(&mut self, input: &mut &[u8], intake: &mut impl Intake) {
        let count = usize::try_from(self.missing).unwrap_or(usize::MAX).min(input.len());
        let (come, rest) = input.split_at(count);
        *input = rest;
        self.missing -= count as u64;
        if self.fate == Fate::Spooled && self.kind() == Some(Kind::Value) {
            return intake.spool(come);
        }
        let held = self.argument.len() as u64;
        let room = usize::try_from(self.kept - held).unwrap_or(usize::MAX);
        let kept = &come[..count.min(room)];
        let needed = held + kept.len() as u64;
        if needed > self.argument.capacity() as u64 {
            // As much again as has arrived, and in the end exactly what is kept.
            let capacity = needed.max(2 * held).max(FIRST_VALUE_BYTES).min(self.kept);
            self.argument.reserve_exact((capacity - held) as usize);
        }
        self.argument.extend_from_slice(kept);
    }

    fn end_argument(&mut self) -> Result<Option<Request>, BadRequest> {
        let argument = core::mem::take(&mut self.argument);
        self.next = Next::Length;
        let operation = match self.operation {
            None => {
                self.operation = Some(self.named(&argument)?);
                self.operation
            }
            Some(operation) => {
                if let Some(kind) = self.kind() {
                    check(kind, &argument)?;
                }
                self.arguments.push(argument);
                Some(operation)
            }
        };
        let Some(operation) = operation.filter(|_| self.arguments.len() + 1 == self.count) else {
            return Ok(None);
        };
        let done = core::mem::take(self);
        operation.request(done.arguments, done.fate).map(Some)
    }

    fn named(&self, name: &[u8]) -> Result<&'static Operation, BadRequest> {
        let operation = Operation::named(name).ok_or_else(|| BadRequest::new("the name of an operation", name))?;
        let (least, most) = (operation.needed + 1, operation.arguments.len() + 1);
        if (least..=most).contains(&self.count) {
            return Ok(operation);
        }
        let name = name.escape_ascii();
        let expected = if least == most { format!("{least}") } else { format!("{least} to {most}") };
        Err(BadRequest::told(format!("{expected} arguments with \"{name}\""), format!("{}", self.count)))
    }
}
