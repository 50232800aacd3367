//! The long values that a session has open to be read in parts.
//!
//! A value that was fetched without a lease is delivered when its reading is closed. Until then it goes
//! back to its place if the session ends, or if it says so.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use nws_core::Payload;
use nws_proto::{ErrorCode, Fault, Grant, LeaseId, ReadingId, Reply, SessionId, VariableId};

use crate::config::Limits;
use crate::connection::Connection;
use crate::disk::SpoolFile;
use crate::stored::Stored;

/// A value that was fetched and is not delivered, and where it came from.
pub(crate) type Fetched = (VariableId, Grant<Stored>);

/// Values that were to be handed out, where the session had too many open already.
#[derive(Debug)]
pub(crate) enum Unopened {
    /// They were fetched.
    Fetched(VariableId, Vec<Grant<Stored>>),
    /// They were fetched by these leases.
    Leased(SessionId, Vec<LeaseId>),
}

impl Unopened {
    /// How many values.
    pub(crate) fn len(&self) -> usize {
        match self {
            Unopened::Fetched(_, values) => values.len(),
            Unopened::Leased(_, leases) => leases.len(),
        }
    }

    /// What they take outside of the core, which counts what is leased itself.
    fn held_bytes(&self) -> u64 {
        match self {
            Unopened::Fetched(_, values) => values.iter().map(|value| value.item.value.held_bytes()).sum(),
            Unopened::Leased(..) => 0,
        }
    }
}

/// Values that are on their way back to the core.
#[derive(Debug, Default)]
pub(crate) struct Returns {
    queue: VecDeque<Unopened>,
    bytes: u64,
}

impl Returns {
    fn push(&mut self, values: Unopened) {
        self.bytes += values.held_bytes();
        self.queue.push_back(values);
    }

    pub(crate) fn pop(&mut self) -> Option<Unopened> {
        let values = self.queue.pop_front()?;
        self.bytes -= values.held_bytes();
        Some(values)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// What they take, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) file: Arc<SpoolFile>,
    pub(crate) len_bytes: u64,
    /// `None` where the value is not this reading's to give back.
    pub(crate) fetched: Option<Fetched>,
}

/// One session's.
#[derive(Debug, Default)]
pub(crate) struct Readings {
    open: BTreeMap<u32, Reading>,
    last: u32,
}

impl Readings {
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// Opens one.
    pub(crate) fn open(&mut self, reading: Reading) -> ReadingId {
        // Numbers come round after four thousand million; those that are open are passed over.
        loop {
            self.last = self.last.wrapping_add(1);
            if !self.open.contains_key(&self.last) {
                break;
            }
        }
        self.open.insert(self.last, reading);
        ReadingId(self.last)
    }

    pub(crate) fn get(&self, reading: ReadingId) -> Option<&Reading> {
        self.open.get(&reading.0)
    }

    pub(crate) fn close(&mut self, reading: ReadingId) -> Option<Reading> {
        self.open.remove(&reading.0)
    }

    /// Forgets everything, and says what was not delivered, variable by variable.
    pub(crate) fn undelivered(&mut self) -> Vec<(VariableId, Vec<Grant<Stored>>)> {
        let mut values: BTreeMap<VariableId, Vec<Grant<Stored>>> = BTreeMap::new();
        for (variable, value) in std::mem::take(&mut self.open).into_values().filter_map(|reading| reading.fetched) {
            values.entry(variable).or_default().push(value);
        }
        values.into_iter().collect()
    }
}

/// Whether a reply has values that are not to be in its frame.
pub(crate) fn are_needed(reply: &Reply<Stored>) -> bool {
    matches!(reply, Reply::Values { values, .. } if values.iter().any(|grant| grant.item.value.is_on_disk()))
}

impl Connection {
    /// Opens a reading for each long value of a reply, in order. Where that would be too many the request
    /// fails, and what it would have got is to be taken back.
    pub(crate) fn open_readings(
        &mut self,
        session: SessionId,
        reply: Reply<Stored>,
        fetched: bool,
        limits: &Limits,
        returns: &mut Returns,
    ) -> (Reply<Stored>, Vec<ReadingId>) {
        let Reply::Values { variable, first_lease, values } = reply else { return (reply, Vec::new()) };
        let readings = &mut self.long().readings;
        let wanted = values.iter().filter(|grant| grant.item.value.is_on_disk()).count();
        if readings.len() + wanted > limits.session_readings as usize {
            if fetched {
                returns.push(Unopened::Fetched(variable, values));
            } else if first_lease != LeaseId(0) {
                let leases = (first_lease.0..).take(values.len()).map(LeaseId).collect();
                returns.push(Unopened::Leased(session, leases));
            }
            return (Reply::Failed(too_many(limits.session_readings)), Vec::new());
        }
        let mut ids = Vec::with_capacity(wanted);
        for grant in &values {
            if let Stored::Disk { file, len_bytes } = &grant.item.value {
                let fetched = fetched.then(|| (variable, grant.clone()));
                ids.push(readings.open(Reading { file: Arc::clone(file), len_bytes: *len_bytes, fetched }));
            }
        }
        (Reply::Values { variable, first_lease, values }, ids)
    }
}

fn too_many(most: u32) -> Fault {
    let message = format!(
        "expected at most {most} long values open in a session (setting session-readings), got one more; close some \
         readings"
    );
    Fault::new(ErrorCode::TooManyReadings, message)
}
