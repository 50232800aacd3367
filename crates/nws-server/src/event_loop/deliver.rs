//! Handing out what the core says, and giving back to it what cannot be handed out.

use nws_core::Effect;
use nws_proto::{Reply, RequestId, SessionId};

use super::serve::UNIT_VALUES;
use super::{Asking, EventLoop};
use crate::readings::{self, Unopened};
use crate::stored::Stored;

/// How long giving back goes on at once, and in a turn, in units of a turn. What is given back may go to
/// the next who waits and come back from there, so it is done in slices.
const GIVEN_BACK_AT_ONCE_UNITS: usize = 200;
pub(super) const GIVEN_BACK_A_TURN_UNITS: usize = 1000;
/// What giving back costs.
const GIVE_BACK_UNITS: usize = 3;

impl EventLoop {
    /// Hands out what the core says, to the session that asked and to others. What they cannot take is on
    /// its way back then, or back.
    pub(super) fn carry_out(&mut self, asking: Option<Asking>) {
        match &asking {
            // As in most cases, the answer is all that follows.
            Some(asking) if self.effects.len() == 1 => self.hand_out_answer(asking),
            _ => self.hand_out(asking),
        }
        if !self.returns.is_empty() {
            self.give_back(GIVEN_BACK_AT_ONCE_UNITS);
        }
    }

    /// Takes back what was to be handed out and was not, as long as this many units of a turn.
    pub(super) fn give_back(&mut self, units: usize) {
        let until = self.spent_units + units;
        while self.spent_units < until
            && let Some(values) = self.returns.pop()
        {
            self.spent_units += GIVE_BACK_UNITS + values.len() / UNIT_VALUES;
            match values {
                Unopened::Fetched(variable, values) => self.core.undelivered(variable, values, &mut self.effects),
                Unopened::Leased(session, leases) => self.core.give_back(session, leases, &mut self.effects),
            }
            self.hand_out(None);
        }
    }

    /// What memory values take that are out of the core and not delivered, in bytes.
    pub(super) fn undelivered_bytes(&self) -> u64 {
        self.transit_bytes + self.returns.bytes()
    }

    /// The same with what is on its way to and from the disk.
    pub(super) fn moving_bytes(&self) -> u64 {
        self.undelivered_bytes() + (self.disk.writing_bytes() + self.loaded_bytes) as u64
    }
    /// Hands out one effect, if it is the answer to what was asked.
    fn hand_out_answer(&mut self, asking: &Asking) {
        match self.effects.pop() {
            Some(Effect::Reply { session, request, reply })
                if session == asking.session && request == asking.request =>
            {
                self.put_reply(asking.slot, session, request, reply, asking.fetches);
                self.flush_soon(asking.slot);
            }
            other => {
                self.effects.extend(other);
                self.hand_out(Some(*asking));
            }
        }
    }

    fn hand_out(&mut self, asking: Option<Asking>) {
        let mut effects = std::mem::take(&mut self.effects);
        self.spent_units += effects.len();
        let mut answered = false;
        for effect in effects.drain(..) {
            let (Effect::Reply { session, .. } | Effect::Event { session, .. }) = effect;
            let asked = asking.as_ref().filter(|asking| asking.session == session);
            let Some(slot) = asked.map_or_else(|| self.table.session_slot(session), |asking| Some(asking.slot)) else {
                continue;
            };
            let Some(connection) = self.table.get(slot) else { continue };
            match effect {
                Effect::Reply { request, reply, .. } => {
                    let its_own = asked.filter(|asking| asking.request == request);
                    answered |= its_own.is_some();
                    let fetched =
                        its_own.map_or_else(|| connection.transit.was_fetch(request), |asking| asking.fetches);
                    self.put_reply(slot, session, request, reply, fetched);
                }
                // Events are about leases, which the classic protocol has not.
                Effect::Event { .. } if connection.classic.is_some() => {}
                Effect::Event { event, .. } => {
                    connection.outbox.prepare(&mut self.spare);
                    connection.outbox.event(&event);
                }
            }
            let Some(connection) = self.table.get(slot) else { continue };
            if !connection.dirty {
                connection.dirty = true;
                if asked.is_some() { &mut self.dirty } else { &mut self.urgent }.push_back(slot);
            }
        }
        self.effects = effects;
        // Before anything else is asked of the core: what that hands out may be for who now waits.
        if let Some(asking) = asking.filter(|asking| asking.fetches && !answered)
            && let Some(connection) = self.table.get(asking.slot)
        {
            connection.transit.waits(asking.request);
        }
    }

    /// Puts a reply into the outbox of who asked; what was fetched is in transit from now on.
    fn put_reply(&mut self, slot: usize, session: SessionId, request: RequestId, reply: Reply<Stored>, fetched: bool) {
        let Some(connection) = self.table.get(slot) else { return };
        connection.outbox.prepare(&mut self.spare);
        let own = connection.classic.is_none();
        let (reply, readings) = if own && readings::are_needed(&reply) {
            connection.open_readings(session, reply, fetched, &self.limits, &mut self.returns)
        } else {
            (reply, Vec::new())
        };
        if let Reply::Failed(fault) = &reply {
            self.measures.count_fault(fault.code);
        }
        match &mut connection.classic {
            Some(classic) => {
                let start = connection.outbox.small_end();
                classic.answer(&mut connection.outbox, &reply);
                connection.outbox.hold_from(start);
            }
            None if readings.is_empty() => connection.outbox.reply(request, &reply),
            None => connection.outbox.reply_with_readings(request, &reply, readings.into_iter()),
        }
        if let Reply::Values { values, .. } = &reply {
            self.spent_units += values.len() / UNIT_VALUES;
        }
        if fetched && let Reply::Values { variable, values, .. } = reply {
            self.transit_bytes -= connection.transit.bytes();
            let (end, spare) = (connection.outbox.end(), &mut self.spare_queues);
            connection.transit.sends(end, variable, values, own, spare);
            self.transit_bytes += connection.transit.bytes();
        }
    }
}
