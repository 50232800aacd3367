//! One connection: how far it is, what it sent and gets, and when it was last heard.

use nws_proto::{NONCE_BYTES, SessionId};

use crate::classic::Classic;
use crate::config::Limits;
use crate::input::Input;
use crate::listing::Listing;
use crate::long::Long;
use crate::outbox::Outbox;
use crate::stream::Stream;
use crate::transit::Transit;

/// How far a connection is.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Its first bytes have not come.
    Greeting,
    /// It was challenged with this nonce.
    Challenged { nonce: [u8; NONCE_BYTES] },
    /// It is a session. `silence_ms` 0 is without limit.
    Open { session: SessionId, silence_ms: u32 },
    /// It was told goodbye; it is closed when it has hung up, or at this time.
    Closing { until_ms: u64 },
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: Stream,
    /// Shown in listings.
    pub(crate) address: Vec<u8>,
    pub(crate) phase: Phase,
    pub(crate) input: Input,
    /// It speaks the classic protocol.
    pub(crate) classic: Option<Box<Classic>>,
    pub(crate) outbox: Outbox,
    pub(crate) transit: Transit,
    /// Its long values, since it had one.
    pub(crate) long: Option<Box<Long>>,
    /// What of its input the loop has counted, in bytes.
    pub(crate) counted_bytes: u64,
    /// What of its outbox the loop has counted, in bytes.
    pub(crate) unsent_bytes: u64,
    /// Tells it from earlier ones in the same slot.
    pub(crate) serial: u64,
    pub(crate) opened_ms: u64,
    /// When anything came from it last.
    pub(crate) heard_ms: u64,
    /// When it was asked whether it is there, since it was heard.
    pub(crate) pinged_ms: Option<u64>,
    /// When it was told anything last.
    pub(crate) told_ms: u64,
    /// Its appointment.
    pub(crate) timer_ms: Option<u64>,
    /// It is to get a goodbye instead of a challenge: there are too many.
    pub(crate) surplus: bool,
    /// A listing for it is being made; nothing is read of it meanwhile.
    pub(crate) listing: Option<Box<Listing>>,
    /// It stands in the line of those to be read.
    pub(crate) in_line: bool,
    /// The kernel has seen its end: what is left is read to the last byte.
    pub(crate) hung_up: bool,
    /// It does not read what it gets, so nothing is read of it.
    pub(crate) paused: bool,
    /// It sends faster than the disk takes it, so nothing is read of it.
    pub(crate) awaits_disk: bool,
    /// It stands in a line of those to be flushed.
    pub(crate) dirty: bool,
    /// The poll tells when it can be written to.
    pub(crate) watches_writing: bool,
    /// It was told that nothing more comes.
    pub(crate) writing_ended: bool,
}

impl Connection {
    pub(crate) fn new(
        stream: Stream,
        address: Vec<u8>,
        outbox: Outbox,
        serial: u64,
        now_ms: u64,
        surplus: bool,
    ) -> Self {
        Self {
            stream,
            address,
            phase: Phase::Greeting,
            input: Input::default(),
            classic: None,
            outbox,
            transit: Transit::default(),
            long: None,
            counted_bytes: 0,
            unsent_bytes: 0,
            serial,
            opened_ms: now_ms,
            heard_ms: now_ms,
            pinged_ms: None,
            told_ms: now_ms,
            timer_ms: None,
            surplus,
            listing: None,
            in_line: false,
            hung_up: false,
            paused: false,
            awaits_disk: false,
            dirty: false,
            watches_writing: false,
            writing_ended: false,
        }
    }

    pub(crate) fn heard(&mut self, now_ms: u64) {
        self.heard_ms = now_ms;
        self.pinged_ms = None;
    }

    /// Whether it waits for our disk, and would not hear of us what it asks.
    pub(crate) fn is_kept_waiting(&self) -> bool {
        self.awaits_disk || self.outbox.loads
    }

    /// After how long without a word a session is asked whether it is there, in milliseconds, where it may
    /// not be quiet for ever.
    pub(crate) fn quarter_ms(&self) -> Option<u64> {
        match self.phase {
            Phase::Open { silence_ms, .. } if silence_ms > 0 => Some(u64::from(silence_ms / 4)),
            _ => None,
        }
    }

    /// When something is to be done with it, unless it is heard before.
    pub(crate) fn due_ms(&self, limits: &Limits) -> Option<u64> {
        match self.phase {
            Phase::Greeting | Phase::Challenged { .. } => Some(self.opened_ms + u64::from(limits.handshake_ms)),
            Phase::Open { silence_ms: 0, .. } => None,
            Phase::Open { silence_ms, .. } => {
                let (silence_ms, quarter_ms) = (u64::from(silence_ms), u64::from(silence_ms / 4));
                Some(match self.pinged_ms {
                    _ if self.is_kept_waiting() => self.told_ms + quarter_ms,
                    None => self.heard_ms + quarter_ms,
                    // A server that was late to ask gives as much time to answer.
                    Some(pinged_ms) => pinged_ms + silence_ms - quarter_ms,
                })
            }
            Phase::Closing { until_ms } => Some(until_ms),
        }
    }

    /// Its long values.
    pub(crate) fn long(&mut self) -> &mut Long {
        self.long.get_or_insert_default()
    }

    /// What is in memory of requests that are not executed, in bytes.
    pub(crate) fn receiving_bytes(&self) -> u64 {
        let classic_bytes = self.classic.as_ref().map_or(0, |classic| classic.decoder.value_bytes());
        let held_bytes = self.long.as_ref().map_or(0, |long| long.held_bytes());
        self.input.body_bytes() + classic_bytes + held_bytes
    }

    pub(crate) fn session(&self) -> Option<SessionId> {
        match self.phase {
            Phase::Open { session, .. } => Some(session),
            _ => None,
        }
    }
}
