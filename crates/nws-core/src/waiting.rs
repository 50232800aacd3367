//! Requests that wait: set aside, answered, cancelled, timed out.

use alloc::vec::Vec;
use nws_proto::{ErrorCode, Reply, RequestId, SessionId, VariableHandle, Wait, limits};

use crate::core::{Call, Core, Outcome};
use crate::effect::{Effect, Payload};
use crate::fact::Journal;
use crate::fault;
use crate::slab::{Key, Linked, Links};

/// Most requests whose wait ends in one call.
const EXPIRED_AT_A_TIME: usize = 4096;

/// A request that waits.
pub(crate) struct Waiter {
    pub(crate) session: SessionId,
    pub(crate) request: RequestId,
    pub(crate) deadline_ms: Option<u64>,
    links: Links,
    pub(crate) wish: Wish,
}

/// What it waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wish {
    Values(Ask),
    Orphans,
}

/// A retrieval, resolved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) variable: Key,
    pub(crate) handle: VariableHandle,
    pub(crate) take: bool,
    pub(crate) lease: bool,
    pub(crate) iterated: bool,
    /// Where it is iterated, the lowest index that it has not seen.
    pub(crate) least: u64,
    pub(crate) max_values: u32,
    pub(crate) max_bytes: u32,
}

impl Ask {
    /// Whether others may be asked to release values of this variable for it. An iterator may have
    /// seen what they have.
    pub(crate) fn is_hungry_for(&self, variable: Key) -> bool {
        self.variable == variable && self.lease && !self.iterated
    }
}

impl Linked for Waiter {
    fn links(&self) -> &Links {
        &self.links
    }

    fn links_mut(&mut self) -> &mut Links {
        &mut self.links
    }
}

impl Waiter {
    pub(crate) fn ask(&self) -> Option<Ask> {
        match self.wish {
            Wish::Values(ask) => Some(ask),
            Wish::Orphans => None,
        }
    }
}

impl<V: Payload, J: Journal<V>> Core<V, J> {
    /// Whether one more request of this session may wait.
    ///
    /// # Errors
    /// `TooManyWaiting`.
    pub(crate) fn check_may_wait(&self, session: SessionId) -> Result<(), nws_proto::Fault> {
        let most = self.settings.session_waiting;
        let waiting = self.sessions.get(&session).map_or(0, |open| open.waiting.len());
        if waiting >= most as usize {
            let advice = "cancel some or wait less often";
            return Err(fault::too_many(ErrorCode::TooManyWaiting, most, "requests waiting", advice));
        }
        if self.waiters.len() >= self.settings.waiting as usize {
            return Err(fault::too_many_waiting(self.settings.waiting));
        }
        Ok(())
    }

    /// Sets a request aside.
    pub(crate) fn park(&mut self, call: Call, wait: Wait, wish: Wish) {
        let deadline_ms = match wait {
            Wait::Ms(ms) if ms <= limits::WAIT_MS => Some(call.now_ms.saturating_add(ms.into())),
            _ => None,
        };
        let (session, request) = (call.session, call.id);
        let key = self.waiters.insert(Waiter { session, request, deadline_ms, links: Links::default(), wish });
        if let Some(deadline_ms) = deadline_ms {
            self.deadlines.insert((deadline_ms, key));
        }
        let Some(open) = self.sessions.get_mut(&session) else { return };
        open.waiting.insert(request, key);
        let Wish::Values(ask) = wish else {
            return self.waiters.append(&mut open.adopters, key);
        };
        let Some(variable) = self.variables.get_mut(ask.variable) else { return };
        if ask.take {
            self.waiters.append(&mut variable.fetchers, key);
            variable.consumers.waits(session);
        } else {
            self.waiters.append(&mut variable.finders, key);
        }
    }

    /// Takes a waiting request out of every table.
    pub(crate) fn unpark(&mut self, key: Key) -> Option<Waiter> {
        let waiter = self.waiters.get(key)?;
        let (session, wish) = (waiter.session, waiter.wish);
        let open = self.sessions.get_mut(&session);
        match wish {
            Wish::Values(ask) => {
                if let Some(variable) = self.variables.get_mut(ask.variable) {
                    if ask.take {
                        self.waiters.unlink(&mut variable.fetchers, key);
                        variable.consumers.waits_no_more(session);
                    } else {
                        self.waiters.unlink(&mut variable.finders, key);
                    }
                }
                if let Some(open) = open {
                    open.waiting.remove(&self.waiters.get(key)?.request);
                }
            }
            Wish::Orphans => {
                if let Some(open) = open {
                    self.waiters.unlink(&mut open.adopters, key);
                    open.waiting.remove(&self.waiters.get(key)?.request);
                }
            }
        }
        let waiter = self.waiters.remove(key)?;
        if let Some(deadline_ms) = waiter.deadline_ms {
            self.deadlines.remove(&(deadline_ms, key));
        }
        Some(waiter)
    }

    /// Takes a waiting request out and answers it.
    pub(crate) fn answer(&mut self, key: Key, reply: Reply<V>, effects: &mut Vec<Effect<V>>) {
        if let Some(waiter) = self.unpark(key) {
            effects.push(Effect::Reply { session: waiter.session, request: waiter.request, reply });
        }
    }

    /// Ends the wait of a request of the same session.
    pub(crate) fn cancel(&mut self, session: SessionId, target: RequestId, effects: &mut Vec<Effect<V>>) -> Outcome<V> {
        let waiter = self.sessions.get(&session).and_then(|open| open.waiting.get(&target).copied());
        if let Some(key) = waiter {
            self.answer(key, Reply::Canceled, effects);
        }
        Ok(Some(Reply::Done))
    }

    /// Answers the requests whose wait is over at `now_ms`, some thousand of them at a time: whether more
    /// are due, [`Core::next_deadline_ms`] tells.
    pub fn expire(&mut self, now_ms: u64, effects: &mut Vec<Effect<V>>) {
        for _ in 0..EXPIRED_AT_A_TIME {
            let Some((deadline_ms, key)) = self.deadlines.first().copied() else { return };
            if deadline_ms > now_ms {
                return;
            }
            self.deadlines.pop_first();
            self.answer(key, Reply::TimedOut, effects);
        }
    }

    /// When [`Core::expire`] has something to do next.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.deadlines.first().map(|(deadline_ms, _)| *deadline_ms)
    }
}
