//! What can be said of effects without knowing the rules.

use std::collections::BTreeSet;

use nws_core::Effect;
use nws_proto::{Grant, LeaseId, Reply, Request, RequestId, SessionId};

use crate::model::Wrong;
use crate::value::Value;

/// Knows nothing of the rules but that each request has one reply and each value one taker.
#[derive(Default)]
pub(super) struct Ledger {
    open: BTreeSet<(SessionId, RequestId)>,
    /// Requests that fetch without a lease.
    pub(super) takes: BTreeSet<(SessionId, RequestId)>,
    taken: BTreeSet<u64>,
    ended: BTreeSet<SessionId>,
    /// Requests that bear the id of one that waits: they are answered at once.
    doubled: Option<(SessionId, RequestId)>,
}

impl Ledger {
    pub(super) fn asked(&mut self, session: SessionId, id: RequestId, request: &Request<Value>) {
        self.doubled = None;
        if !self.open.insert((session, id)) {
            self.doubled = Some((session, id));
        } else if matches!(request, Request::Retrieve(wanted) if wanted.take && !wanted.lease) {
            self.takes.insert((session, id));
        } else {
            self.takes.remove(&(session, id));
        }
    }

    pub(super) fn ended(&mut self, session: SessionId) {
        self.ended.insert(session);
        self.open.retain(|(of, _)| *of != session);
    }

    pub(super) fn taken_back(&mut self, values: &[Grant<Value>]) {
        for value in values {
            self.taken.remove(&value.item.value.id);
        }
    }

    pub(super) fn answered(&mut self, effects: &[Effect<Value>]) -> Result<(), Wrong> {
        for effect in effects {
            let Effect::Reply { session, request, reply } = effect else { continue };
            let doubled = self.doubled.take_if(|doubled| *doubled == (*session, *request)).is_some();
            if self.ended.contains(session) || (!doubled && !self.open.remove(&(*session, *request))) {
                return Err(format!("a reply that nobody waits for: {effect:?}"));
            }
            let Reply::Values { values, .. } = reply else { continue };
            for value in values {
                let id = value.item.value.id;
                let takes = self.takes.contains(&(*session, *request));
                if self.taken.contains(&id) || takes && !self.taken.insert(id) {
                    return Err(format!("value {id} was given before: {effect:?}"));
                }
            }
        }
        Ok(())
    }
}

/// The kind of an effect; `late`: of a request that had waited.
pub(super) fn kind(effect: &Effect<Value>, late: bool) -> &'static str {
    let Effect::Reply { reply, .. } = effect else { return "recall" };
    match reply {
        Reply::Done => "done",
        Reply::Failed(fault) => fault.code.slug(),
        Reply::TimedOut => "timed out",
        Reply::Canceled => "canceled",
        Reply::Opened { owned: false, .. } => "opened",
        Reply::Opened { .. } => "owned",
        Reply::Workspaces(_) => "workspaces",
        Reply::Variables(_) => "variables",
        Reply::Values { values, .. } if values.is_empty() => "no values",
        Reply::Values { first_lease: LeaseId(0), values, .. } => match (late, values.len()) {
            (false, 1) => "value",
            (false, _) => "values",
            (true, 1) => "value after a wait",
            (true, _) => "values after a wait",
        },
        Reply::Values { values, .. } => match (late, values.len()) {
            (false, 1) => "lease",
            (false, _) => "leases",
            (true, 1) => "lease after a wait",
            (true, _) => "leases after a wait",
        },
        Reply::Finished { refused } if refused.is_empty() => "finished",
        Reply::Finished { .. } => "finished in part",
        Reply::Adopted(adopted) => match (late, adopted.leases.is_empty()) {
            (_, true) => "adopted nothing",
            (false, false) => "adopted",
            (true, false) => "adopted after a wait",
        },
        Reply::Pong => "pong",
    }
}
