//! What clients of both protocols have in common: a link, a pace, and what goes wrong with them.

use bytes::Bytes;
use nws_proto::{FrameHeader, Opcode};
use nws_server::simulation::Link;
use nws_testkit::Dice;

use crate::classic::Classic;
use crate::ledger::{Ledger, ValueId};
use crate::own::Own;
use crate::{Tally, Wrong};

/// What goes wrong with a client, once it has sent so many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// It leaves, and what it sent arrives.
    Close,
    /// It leaves, and what it sent may be lost.
    Reset,
    /// It does nothing more; what became of it is known later, or never.
    Vanish,
    /// It sends and does not read.
    Deaf,
    /// It sends nothing more and reads on.
    Half,
    /// It sends what is no request.
    Garbage,
}

const FAULTS: [Fault; 7] =
    [Fault::Close, Fault::Close, Fault::Reset, Fault::Vanish, Fault::Deaf, Fault::Half, Fault::Garbage];

/// What a client says. The places are those behind the last byte, from the connection's first one.
#[derive(Default)]
pub(crate) struct Out {
    bytes: Vec<u8>,
    left: usize,
    /// Values that are sent whole with the byte before this place.
    values: Vec<(usize, ValueId)>,
}

impl std::fmt::Debug for Out {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} bytes left", self.left, self.bytes.len())
    }
}

impl Out {
    pub(crate) fn say(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Says a request that stores these values.
    pub(crate) fn say_values(&mut self, bytes: &[u8], values: impl IntoIterator<Item = ValueId>) {
        self.say(bytes);
        let end = self.bytes.len();
        self.values.extend(values.into_iter().map(|id| (end, id)));
    }
}

/// What speaks one of the protocols.
#[derive(Debug)]
pub(crate) enum Speaker {
    Own(Box<Own>),
    Classic(Box<Classic>),
}

/// A client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) link: Link,
    pub(crate) speaker: Speaker,
    /// There were too many when it came.
    pub(crate) surplus: bool,
    /// The disk may not give what it was sent a part of: then its connection ends.
    pub(crate) disk_fails: bool,
    pub(crate) out: Out,
    /// Most bytes at a time, each way.
    pace: usize,
    /// It was slow at some time, or its link is: it may be sent away for that.
    slow: bool,
    fault: Fault,
    /// After how many bytes the fault happens at the latest.
    until: usize,
    /// It happens as soon as a value is on its way to it.
    amid: bool,
    pub(crate) failed: bool,
    /// How many bytes of what it was sent were looked at.
    observed: usize,
    received: usize,
    /// It has been seen to the end.
    pub(crate) over: bool,
}

impl Speaker {
    /// Whether these first bytes of what is not there whole can be of a long value.
    fn reads_long(&self, rest: &[u8]) -> bool {
        match self {
            Speaker::Own(_) => {
                let header = rest.first_chunk().and_then(FrameHeader::decode);
                header.is_some_and(|header| header.opcode == Opcode::Part.to_wire())
            }
            Speaker::Classic(_) => !rest.is_empty(),
        }
    }
}

impl Client {
    pub(crate) fn new(link: Link, mut speaker: Speaker, slow: bool, dice: &mut Dice) -> Self {
        let pace = if slow { 1 + dice.below(20) } else { usize::MAX };
        let fault = if dice.one_in(3) { Fault::None } else { dice.any(&FAULTS).unwrap_or(Fault::None) };
        let amid = dice.one_in(2);
        let most = match dice.one_in(3) {
            true => 120,
            // It is to come so far.
            false if amid => 8000,
            false => 4000,
        };
        let until = dice.below(most);
        let mut out = Out::default();
        match &mut speaker {
            Speaker::Own(own) => own.begin(&mut out),
            Speaker::Classic(classic) => classic.begin(&mut out),
        }
        Self {
            link,
            speaker,
            surplus: false,
            disk_fails: false,
            out,
            pace,
            slow,
            fault,
            until,
            amid,
            failed: false,
            observed: 0,
            received: 0,
            over: false,
        }
    }

    /// One that does everything right.
    pub(crate) fn well(link: Link, speaker: Speaker) -> Self {
        let mut client = Self::new(link, speaker, false, &mut Dice::of(&[]));
        client.fault = Fault::None;
        client
    }

    /// Nothing has gone wrong with it so far.
    pub(crate) fn is_well(&self) -> bool {
        !self.failed && !self.surplus && !self.over
    }

    /// It has something to read, and reads.
    pub(crate) fn has_something(&self) -> bool {
        !self.over && (!self.failed || self.fault == Fault::Half) && self.link.has_something()
    }

    /// From here on it does everything right, where it is not too late.
    pub(crate) fn recover(&mut self) {
        self.pace = usize::MAX;
        if !self.failed {
            self.fault = Fault::None;
            self.link.widen(1 << 20);
        }
    }

    pub(crate) fn ask(&mut self, ledger: &mut Ledger, dice: &mut Dice) {
        let asks = !self.failed || self.fault == Fault::Deaf;
        if !asks || self.over || self.out.bytes.len() > self.out.left + 10_000 {
            return;
        }
        match &mut self.speaker {
            Speaker::Own(own) => own.ask(&mut self.out, ledger, dice),
            Speaker::Classic(classic) => classic.ask(&mut self.out, ledger, dice),
        }
    }

    /// Sends and, if it `reads`, receives what its pace allows; whether anything moved.
    pub(crate) fn pump(&mut self, reads: bool, ledger: &mut Ledger, dice: &mut Dice, tally: &mut Tally) -> bool {
        let mut moved = false;
        if !self.failed || self.fault == Fault::Deaf {
            moved |= self.send(ledger);
        }
        if !self.failed && self.fault != Fault::None && self.is_amid() && dice.one_in(2) {
            self.link.stop_short();
        }
        if !self.failed && self.fault != Fault::None && self.is_due() {
            self.fail(dice, tally);
            moved = true;
        }
        if reads && (!self.failed || self.fault == Fault::Half) {
            let count = self.link.receive(self.pace).len();
            self.received += count;
            moved |= count > 0;
            moved |= match &mut self.speaker {
                Speaker::Own(own) => own.react(self.received, &mut self.out, ledger, dice),
                Speaker::Classic(_) => false,
            };
        }
        moved
    }

    /// Whether its fault happens now: when it has sent so many bytes, or amid values that it takes.
    fn is_due(&self) -> bool {
        let closes = matches!(&self.speaker, Speaker::Own(own) if own.closes());
        let unanswered = self.amid && closes && self.out.left == self.out.bytes.len();
        self.out.left >= self.until || unanswered || self.is_amid() && self.link.has_something()
    }

    fn is_amid(&self) -> bool {
        let takes = match &self.speaker {
            Speaker::Own(own) => own.takes(),
            Speaker::Classic(classic) => classic.takes(),
        };
        self.amid && takes
    }

    fn send(&mut self, ledger: &mut Ledger) -> bool {
        let end = if self.failed || self.fault == Fault::None { usize::MAX } else { self.until };
        let most = self.pace.min(end.saturating_sub(self.out.left));
        let waiting = &self.out.bytes[self.out.left..];
        let count = self.link.send(&waiting[..waiting.len().min(most)]);
        self.out.left += count;
        let left = self.out.left;
        self.out.values.retain(|(end, id)| {
            if *end <= left {
                ledger.sent(*id);
            }
            *end > left
        });
        count > 0
    }

    fn fail(&mut self, dice: &mut Dice, tally: &mut Tally) {
        // Garbage that comes in the middle of a request could be a good value.
        if self.fault == Fault::Garbage && self.out.left < self.out.bytes.len() {
            self.until = self.out.bytes.len();
            return;
        }
        self.failed = true;
        let kind = match self.fault {
            Fault::None => return,
            Fault::Close => {
                self.link.close();
                "closed"
            }
            Fault::Reset => {
                self.link.reset();
                "reset"
            }
            Fault::Vanish => "vanished",
            Fault::Deaf => "deaf",
            Fault::Half => {
                self.link.end_writing();
                "half closed"
            }
            Fault::Garbage => {
                let garbage: &[u8] = match &self.speaker {
                    Speaker::Own(own) => own.garbage(dice),
                    Speaker::Classic(classic) => classic.garbage(),
                };
                self.link.send(garbage);
                "garbage"
            }
        };
        *tally.entry(kind).or_default() += 1;
    }

    /// The news of a client that vanished, or that is done.
    pub(crate) fn leave(&mut self, dice: &mut Dice) {
        self.failed = true;
        if dice.one_in(2) { self.link.close() } else { self.link.reset() }
    }

    /// Ends the waits that it can end; what it cannot end it leaves.
    pub(crate) fn cancel_waits(&mut self) {
        if let Speaker::Own(own) = &mut self.speaker {
            own.cancel_waits(&mut self.out);
        }
    }

    /// The last time that it asked for values there were none.
    pub(crate) fn found_nothing(&self) -> bool {
        matches!(&self.speaker, Speaker::Own(own) if own.found_nothing)
    }

    /// What it asked and was not answered, waits of the classic protocol apart.
    pub(crate) fn unanswered(&self) -> usize {
        match &self.speaker {
            Speaker::Own(own) => own.unanswered(),
            Speaker::Classic(classic) => classic.unanswered(),
        }
    }

    /// Looks at what it was sent since the last time.
    pub(crate) fn observe(&mut self, ledger: &mut Ledger, tally: &mut Tally) -> Result<(), Wrong> {
        if self.over {
            return Ok(());
        }
        let new = self.link.look(self.observed, Bytes::copy_from_slice);
        let read = match &mut self.speaker {
            Speaker::Own(own) => own.observe(self.observed, &new, ledger, tally)?,
            Speaker::Classic(classic) => classic.observe(&new, ledger, tally)?,
        };
        self.observed += read;
        if !self.link.is_closed() {
            return Ok(());
        }
        self.over = true;
        let rest = new.slice(read..);
        if !rest.is_empty() {
            *tally.entry("ended amid a reply").or_default() += 1;
        }
        let slow = self.slow;
        let torn = self.disk_fails && self.speaker.reads_long(&rest);
        let justified = match &mut self.speaker {
            Speaker::Own(own) => {
                own.ended(&rest, ledger, tally)?;
                own.may_be_ended(slow)
            }
            Speaker::Classic(classic) => {
                classic.ended(&rest, tally);
                *tally.entry("a classic client ended").or_default() += 1;
                slow && self.out.left < 4
            }
        };
        if self.failed || self.surplus || torn || justified {
            return Ok(());
        }
        Err(format!("a client that did nothing wrong was sent away: {:?}", self.speaker))
    }
}
