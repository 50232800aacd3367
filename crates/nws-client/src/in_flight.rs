//! The requests that are not answered yet, and who is told when they are.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use nws_proto::{Given, Reply, RequestId};

use crate::Error;
use crate::awaited::Place;

/// What a request led to. The replies that say that nothing was done are errors.
pub(crate) type Outcome<R = Reply<Bytes>> = Result<R, Error>;

/// Who is told.
pub(crate) enum Receiver {
    /// A function, on the I/O thread.
    Then(Box<dyn FnOnce(Outcome) + Send>),
    /// A [`crate::Pending`].
    Pending(Arc<Place<Reply<Bytes>>>),
    /// Who reads the values of the reply itself, part by part.
    Unread(Arc<Place<Reply<Given>>>),
    /// Who asked for a part of a value.
    PartTo(Arc<Place<Bytes>>),
    /// The I/O thread: a part of a value that it reads.
    Part,
    /// Who made this request: its reply is whole, and to be given out when the server has said that it
    /// knows.
    Closed {
        /// Which.
        request: RequestId,
        /// Its reply.
        reply: Box<Reply<Bytes>>,
    },
    /// Nobody; but leases that come are given back.
    Nobody,
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Receiver::Then(_) => "Then",
            Receiver::Pending(_) => "Pending",
            Receiver::Unread(_) => "Unread",
            Receiver::PartTo(_) => "PartTo",
            Receiver::Part => "Part",
            Receiver::Closed { .. } => "Closed",
            Receiver::Nobody => "Nobody",
        })
    }
}

/// Request ids count up, so the id itself is the best hash.
#[derive(Debug, Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0 << 8 | u64::from(*byte));
    }
    fn write_u32(&mut self, id: u32) {
        // The table looks at the upper bits too.
        self.0 = u64::from(id).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// The table of requests in flight.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    receivers: HashMap<u32, Receiver, BuildHasherDefault<IdHasher>>,
    last: u32,
    closed: Option<Error>,
}

impl InFlight {
    /// A new request's id; or the receiver back, and why the connection has ended.
    pub(crate) fn insert(&mut self, receiver: Receiver) -> Result<RequestId, (Receiver, Error)> {
        if let Some(error) = &self.closed {
            return Err((receiver, error.clone()));
        }
        // Ids come round after four thousand million; those that still wait are passed over.
        loop {
            self.last = self.last.wrapping_add(1);
            if self.last != 0 && !self.receivers.contains_key(&self.last) {
                break;
            }
        }
        self.receivers.insert(self.last, receiver);
        Ok(RequestId(self.last))
    }

    pub(crate) fn remove(&mut self, id: RequestId) -> Option<Receiver> {
        self.receivers.remove(&id.0)
    }

    /// Who asked for the part that has come; `None` where somebody asked for something else, or nobody:
    /// the table stays as it is.
    pub(crate) fn remove_part(&mut self, id: RequestId) -> Option<Receiver> {
        match self.receivers.get(&id.0) {
            Some(Receiver::Part | Receiver::PartTo(_) | Receiver::Nobody) => self.remove(id),
            _ => None,
        }
    }

    /// Who waits for the reply that has come; `None` where somebody asked for a part of a value and it is
    /// none, or nobody asked: the table stays as it is.
    pub(crate) fn remove_replied(&mut self, id: RequestId, failed: bool) -> Option<Receiver> {
        match self.receivers.get(&id.0) {
            Some(Receiver::PartTo(_)) if !failed => None,
            Some(Receiver::Part) => None,
            _ => self.remove(id),
        }
    }

    pub(crate) fn contains(&self, id: RequestId) -> bool {
        self.receivers.contains_key(&id.0)
    }

    /// Whether the I/O thread asked for this, a part of a value that it reads.
    pub(crate) fn is_own_part(&self, id: RequestId) -> bool {
        matches!(self.receivers.get(&id.0), Some(Receiver::Part))
    }

    /// Whether this answer's values are not to be assembled.
    pub(crate) fn is_unread(&self, id: RequestId) -> bool {
        matches!(self.receivers.get(&id.0), Some(Receiver::Unread(_)))
    }

    /// Whether nobody waits for this answer.
    pub(crate) fn is_abandoned(&self, id: RequestId) -> bool {
        match self.receivers.get(&id.0) {
            Some(Receiver::Nobody) => true,
            Some(Receiver::Pending(slot)) => slot.is_abandoned(),
            _ => false,
        }
    }

    /// Lets nobody wait for this answer any more; says whether somebody did.
    pub(crate) fn abandon(&mut self, id: RequestId) -> bool {
        self.receivers.get_mut(&id.0).map(|receiver| *receiver = Receiver::Nobody).is_some()
    }

    /// Ends the table; the first reason stays. Gives back who is to be told.
    pub(crate) fn close(&mut self, error: Error) -> Vec<Receiver> {
        self.closed.get_or_insert(error);
        std::mem::take(&mut self.receivers).into_values().collect()
    }

    pub(crate) fn closed(&self) -> Option<&Error> {
        self.closed.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_in_flight_is_not_given_again_when_the_ids_come_round() {
        let mut table = InFlight::default();
        let first = table.insert(Receiver::Nobody).unwrap();
        table.last = u32::MAX - 1;
        assert_eq!(table.insert(Receiver::Nobody).unwrap(), RequestId(u32::MAX));
        let next = table.insert(Receiver::Nobody).unwrap();
        assert!(next != first && next != RequestId(0), "{next:?}");
    }

    #[test]
    fn an_ended_table_takes_nothing_and_keeps_the_first_reason() {
        let mut table = InFlight::default();
        table.insert(Receiver::Nobody).unwrap();
        assert_eq!(table.close(Error::closed("first")).len(), 1);
        assert_eq!(table.close(Error::closed("second")).len(), 0);
        let (_, error) = table.insert(Receiver::Nobody).unwrap_err();
        assert_eq!(error, Error::closed("first"));
    }
}
