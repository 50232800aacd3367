//! A client of the classic protocol.

use std::collections::VecDeque;

use bytes::Bytes;
use nws_proto::{Index, VariableId};
use nws_testkit::Dice;

use crate::client::Out;
use crate::ledger::{DESCRIPTOR, KEPT, Ledger, Seen, VARIABLES, VOLATILE, ValueId};
use crate::{Tally, Wrong};

const STATUS_BYTES: usize = 4;
const NUMBER_BYTES: usize = 20;

/// What was asked, as far as the answer matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Greeting,
    Status,
    Store(ValueId),
    Text,
    Retrieve { how: Seen, waits: bool },
}

#[derive(Debug)]
pub(crate) struct Classic {
    cookies: bool,
    /// What is not answered, in order.
    asked: VecDeque<Asked>,
    /// How an iterator goes on: the variable's id as it came, and the index.
    cursor: Option<(VariableId, Index)>,
}

fn request<A: AsRef<[u8]>>(arguments: &[A]) -> Vec<u8> {
    let mut bytes = format!("{:04}", arguments.len()).into_bytes();
    for argument in arguments {
        bytes.extend_from_slice(format!("{:020}", argument.as_ref().len()).as_bytes());
        bytes.extend_from_slice(argument.as_ref());
    }
    bytes
}

impl Classic {
    pub(crate) fn new(cookies: bool) -> Self {
        Self { cookies, asked: VecDeque::new(), cursor: None }
    }

    pub(crate) fn begin(&mut self, out: &mut Out) {
        out.say(if self.cookies { b"1112" } else { b"1111" });
        self.asked.push_back(Asked::Greeting);
        self.say(out, &["use ws", KEPT, "4711", "no"], Asked::Status);
        self.say(out, &["open ws", VOLATILE, "4711", "no"], Asked::Status);
        for (variable, mode) in VARIABLES.iter().zip(["fifo", "lifo", "multi", "fifo", "single"]) {
            self.say(out, &["declare var", KEPT, variable, mode], Asked::Status);
        }
    }

    fn say<A: AsRef<[u8]>>(&mut self, out: &mut Out, arguments: &[A], asked: Asked) {
        let values = match asked {
            Asked::Store(id) => Some(id),
            _ => None,
        };
        out.say_values(&request(arguments), values);
        self.asked.push_back(asked);
    }

    fn waits(&self) -> bool {
        matches!(self.asked.back(), Some(Asked::Retrieve { waits: true, .. }))
    }

    /// It is to get a value for good.
    pub(crate) fn takes(&self) -> bool {
        matches!(self.asked.front(), Some(Asked::Retrieve { how: Seen::Taken, .. }))
    }

    /// How many requests are not answered, beside one that waits.
    pub(crate) fn unanswered(&self) -> usize {
        self.asked.len() - usize::from(self.waits())
    }

    /// What is no request, also while another one waits.
    pub(crate) fn garbage(&self) -> &'static [u8] {
        b"0000"
    }

    pub(crate) fn ask(&mut self, out: &mut Out, ledger: &mut Ledger, dice: &mut Dice) {
        // What is sent behind a request that waits breaks the protocol.
        if self.waits() || self.asked.len() >= 12 {
            return;
        }
        let place = dice.below(VARIABLES.len() + 1);
        let (space, variable) = VARIABLES.get(place).map_or((VOLATILE, "v"), |name| (KEPT, *name));
        match dice.below(20) {
            0..6 => {
                let kept = Some(place).filter(|place| *place < VARIABLES.len());
                let (id, item) = ledger.make(kept, dice);
                let descriptor = format!("{:020}", DESCRIPTOR.0);
                let arguments: [&[u8]; 5] =
                    [b"store", space.as_bytes(), variable.as_bytes(), descriptor.as_bytes(), &item.value];
                self.say(out, &arguments, Asked::Store(id));
            }
            6..14 => {
                let (how, operation) = if dice.one_in(2) { (Seen::Taken, "fetch") } else { (Seen::Found, "find") };
                let waits = dice.one_in(3);
                let operation = format!("{operation}{}", if waits { "" } else { "Try" });
                self.say(out, &[&operation, space, variable], Asked::Retrieve { how, waits });
            }
            14..16 => {
                let (how, operation) =
                    if dice.one_in(2) { (Seen::Taken, "ifetchTry") } else { (Seen::Found, "ifindTry") };
                let (id, index) = self.cursor.map_or((String::new(), 0), |(id, index)| (id.0.to_string(), index.0));
                let (id, index) = (format!("{id:<20}"), format!("{index:020}"));
                self.say(out, &[operation, space, variable, &id, &index], Asked::Retrieve { how, waits: false });
            }
            16 => self.say(out, &["list vars", KEPT], Asked::Text),
            17 => self.say(out, &["list wss"], Asked::Text),
            18 => match dice.below(4) {
                0 => self.say(out, &["delete var", VOLATILE, "v"], Asked::Status),
                1 => self.say(out, &["delete ws", VOLATILE], Asked::Status),
                2 => self.say(out, &["mktemp ws"], Asked::Text),
                _ => self.say(out, &["open ws", VOLATILE, "4711", "yes"], Asked::Status),
            },
            _ => self.say(out, &["use ws", KEPT, "4711", "no"], Asked::Status),
        }
    }

    /// Looks at the replies that were sent to it; how many bytes those are.
    pub(crate) fn observe(&mut self, bytes: &Bytes, ledger: &mut Ledger, tally: &mut Tally) -> Result<usize, Wrong> {
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let Some(asked) = self.asked.front().copied() else {
                return Err(format!("nothing was asked, and this came: {:?}", rest.escape_ascii().to_string()));
            };
            let mut reader = Reader(rest);
            let read = match asked {
                Asked::Greeting => reader.take(STATUS_BYTES).map(|bytes| check(bytes == b"2223", "a welcome", bytes)),
                Asked::Status => reader.status().map(|status| status.map(drop)),
                Asked::Store(id) => reader.status().map(|status| {
                    if status? {
                        ledger.stored(id)
                    } else {
                        ledger.refused(id)
                    }
                    Ok(())
                }),
                Asked::Text => reader.value(self.cookies).map(|value| value.map(drop)),
                Asked::Retrieve { how, .. } => {
                    reader.value(self.cookies).map(|value| self.retrieved(how, value?, ledger, tally))
                }
            };
            match read {
                None => break,
                Some(outcome) => outcome?,
            }
            rest = reader.0;
            self.asked.pop_front();
        }
        Ok(bytes.len() - rest.len())
    }

    /// The connection is over, and these are the bytes of a reply that was not sent whole.
    pub(crate) fn ended(&self, rest: &[u8], tally: &mut Tally) {
        if !rest.is_empty() && matches!(self.asked.front(), Some(Asked::Retrieve { how: Seen::Taken, .. })) {
            *tally.entry("classic: ended amid a value").or_default() += 1;
        }
    }

    fn retrieved(&mut self, how: Seen, value: Value<'_>, ledger: &mut Ledger, tally: &mut Tally) -> Result<(), Wrong> {
        if !value.done {
            *tally.entry("classic: no value").or_default() += 1;
            return check(value.bytes.is_empty() && value.cookie.is_none(), "an empty value", value.bytes);
        }
        *tally.entry(if how == Seen::Taken { "classic: taken" } else { "classic: found" }).or_default() += 1;
        check(value.descriptor == u64::from(DESCRIPTOR.0), "the descriptor that was stored", value.bytes)?;
        self.cursor = value.cookie.or(self.cursor);
        ledger.seen(how, value.bytes, value.cookie).map(drop)
    }
}

fn check(right: bool, expected: &str, got: &[u8]) -> Result<(), Wrong> {
    if right { Ok(()) } else { Err(format!("expected {expected}, got {:?}", got.escape_ascii().to_string())) }
}

struct Value<'a> {
    done: bool,
    descriptor: u64,
    cookie: Option<(VariableId, Index)>,
    bytes: &'a [u8],
}

/// Takes fields off the front; `None` where they have not come whole.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (field, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(field)
    }

    fn number(&mut self) -> Option<Result<u64, Wrong>> {
        let field = self.take(NUMBER_BYTES)?;
        let number = std::str::from_utf8(field).ok().and_then(|text| text.parse().ok());
        Some(number.ok_or_else(|| format!("expected 20 digits, got {:?}", field.escape_ascii().to_string())))
    }

    fn status(&mut self) -> Option<Result<bool, Wrong>> {
        Some(match self.take(STATUS_BYTES)? {
            b"0000" => Ok(true),
            b"0001" => Ok(false),
            other => Err(format!("expected a status, got {:?}", other.escape_ascii().to_string())),
        })
    }

    fn value(&mut self, cookies: bool) -> Option<Result<Value<'a>, Wrong>> {
        let done = self.status()?;
        let descriptor = self.number()?;
        let cookie = if cookies { Some((self.take(NUMBER_BYTES)?, self.number()?)) } else { None };
        let length = match self.number()? {
            Ok(length) => length,
            Err(wrong) => return Some(Err(wrong)),
        };
        let bytes = self.take(length as usize)?;
        Some((|| {
            let cookie = match cookie {
                Some((id, index)) if !id.trim_ascii().is_empty() => {
                    let id = std::str::from_utf8(id).ok().and_then(|text| text.trim_end().parse().ok());
                    Some((VariableId(id.ok_or("expected a variable's id")?), Index(index?)))
                }
                _ => None,
            };
            Ok(Value { done: done?, descriptor: descriptor?, cookie, bytes })
        })())
    }
}
