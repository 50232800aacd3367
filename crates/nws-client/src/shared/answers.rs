//! What comes in: who is told of an answer, what becomes of one that nobody takes, and the end.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use nws_proto::{Given, LeaseId, Reply, Request, RequestId};

use super::sending::let_go;
use super::{Shared, lock};
use crate::Error;
use crate::awaited::{Answer, Late, Place};
use crate::in_flight::{Outcome, Receiver};

/// Calls a function of a user's; if it panics, the others are told all the same.
fn contain(tell: impl FnOnce()) {
    // The panic was reported by its hook, and there is nobody else to tell.
    let _ = catch_unwind(AssertUnwindSafe(tell));
}

impl Shared {
    pub(crate) fn is_in_flight(&self, id: RequestId) -> bool {
        lock(&self.in_flight).contains(id)
    }

    pub(crate) fn is_abandoned(&self, id: RequestId) -> bool {
        lock(&self.in_flight).is_abandoned(id)
    }

    /// Who asked for the part that has come, if somebody did.
    pub(crate) fn part_receiver(&self, id: RequestId) -> Option<Receiver> {
        lock(&self.in_flight).remove_part(id)
    }

    /// Whether this is the I/O thread's own request for a part; it is answered then.
    pub(crate) fn take_own_part(&self, id: RequestId) -> bool {
        let mut in_flight = lock(&self.in_flight);
        let is_own = in_flight.is_own_part(id);
        if is_own {
            in_flight.remove(id);
        }
        is_own
    }

    /// Gives a reply to who reads its values part by part. False: nobody does so.
    pub(crate) fn give_unread(&self, id: RequestId, reply: Reply<Given>) -> bool {
        let mut in_flight = lock(&self.in_flight);
        if !in_flight.is_unread(id) {
            return false;
        }
        let receiver = in_flight.remove(id);
        drop(in_flight);
        if let Some(Receiver::Unread(slot)) = receiver
            && let Some(Ok(reply)) = slot.complete(Ok(reply))
        {
            reply.give_back(self);
        }
        true
    }

    pub(crate) fn is_unread(&self, id: RequestId) -> bool {
        lock(&self.in_flight).is_unread(id)
    }

    pub(crate) fn cancel(&self, id: RequestId) {
        if !self.is_foreign() && lock(&self.in_flight).contains(id) {
            self.submit_and_forget(&Request::Cancel { target: id });
        }
    }

    /// Nobody waits for this answer any more: a wait ends, and what came or comes goes back, or to `late`.
    pub(crate) fn abandon<R: Answer>(&self, id: RequestId, place: &Place<R>, late: Option<Late<R>>, waits: bool) {
        // Where something is to be done with the answer, it still goes to its place, which knows what.
        let (unanswered, looks) = match late {
            Some(late) => {
                place.set_late(late);
                (lock(&self.in_flight).contains(id), true)
            }
            None => {
                let unanswered = lock(&self.in_flight).abandon(id);
                (unanswered, !unanswered)
            }
        };
        if looks && let Some(outcome) = place.abandon() {
            self.untaken(place, outcome);
        } else if unanswered && waits {
            self.submit_and_forget(&Request::Cancel { target: id });
        }
    }

    /// Nobody takes this answer.
    fn untaken<R: Answer>(&self, place: &Place<R>, outcome: Outcome<R>) {
        let Ok(answer) = outcome else { return };
        match place.late() {
            Some(late) => late(answer),
            None => answer.give_back(self),
        }
    }

    /// Gives an answer to who waits for it. False: nobody asked.
    pub(crate) fn answer(&self, id: RequestId, reply: Reply<Bytes>) -> bool {
        self.tell(
            id,
            match reply {
                Reply::Failed(fault) => Err(Error::Fault(fault)),
                Reply::TimedOut => Err(Error::TimedOut),
                Reply::Canceled => Err(Error::Canceled),
                reply => Ok(reply),
            },
        )
    }

    fn tell(&self, id: RequestId, outcome: Outcome) -> bool {
        let Some(receiver) = lock(&self.in_flight).remove_replied(id, outcome.is_err()) else { return false };
        match receiver {
            Receiver::Then(then) => then(outcome),
            Receiver::Pending(slot) => {
                if let Some(outcome) = slot.complete(outcome) {
                    self.untaken(&*slot, outcome);
                }
            }
            Receiver::Closed { request, reply } => {
                if let Err(error) = outcome {
                    return self.tell(request, Err(error));
                }
                return self.answer(request, *reply);
            }
            Receiver::Unread(slot) => {
                let unread = |reply: Reply<Bytes>| reply.try_map(|bytes| Ok::<_, Error>(Given::Here(bytes)));
                if let Some(Ok(reply)) = slot.complete(outcome.and_then(unread)) {
                    reply.give_back(self);
                }
            }
            Receiver::PartTo(slot) => {
                if let Err(error) = outcome {
                    drop(slot.complete(Err(error)));
                }
            }
            Receiver::Part => {}
            Receiver::Nobody => self.give_back(outcome),
        }
        true
    }

    /// Releases the leases in an answer that nobody takes.
    pub(crate) fn give_back(&self, outcome: Outcome) {
        let leases: Vec<LeaseId> = match outcome {
            Ok(Reply::Values { first_lease: LeaseId(first), values, .. }) if first != 0 => {
                (first..).take(values.len()).map(LeaseId).collect()
            }
            Ok(Reply::Adopted(adopted)) => adopted.leases.iter().map(|orphan| orphan.lease).collect(),
            _ => return,
        };
        if !leases.is_empty() {
            self.submit_and_forget(&Request::Release { leases, died: false, recalled: false });
        }
    }

    /// The end, told by the I/O thread: everybody who waits hears of it.
    pub(crate) fn finish(&self, reason: String) {
        let error = lock(&self.close_reason).clone().unwrap_or_else(|| Error::closed(reason));
        self.socket.shut_down();
        let waiting = lock(&self.in_flight).close(error.clone());
        let mut outgoing = lock(&self.outgoing);
        outgoing.end();
        let_go(outgoing);
        self.drained.notify_all();
        for receiver in waiting {
            match receiver {
                Receiver::Then(then) => contain(|| then(Err(error.clone()))),
                Receiver::Pending(slot) => drop(slot.complete(Err(error.clone()))),
                Receiver::Unread(slot) => drop(slot.complete(Err(error.clone()))),
                Receiver::PartTo(slot) => drop(slot.complete(Err(error.clone()))),
                Receiver::Part | Receiver::Closed { .. } | Receiver::Nobody => {}
            }
        }
        let handlers = std::mem::take(&mut *lock(&self.close_handlers));
        handlers.into_iter().for_each(|handler| contain(|| handler(&error)));
    }
}
