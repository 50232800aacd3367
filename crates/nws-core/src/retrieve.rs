//! Fetch and find, in all their forms.

use alloc::vec::Vec;
use nws_proto::{Cursor, Grant, LeaseId, Mode, Reply, Retrieve, SessionId, Wait};

use crate::core::{Call, Core, Outcome};
use crate::effect::{Effect, Payload};
use crate::fact::{Fact, Journal};
use crate::fault;
use crate::kept::{Entropy, Turn};
use crate::names::variable_id;
use crate::ring;
use crate::slab::Key;
use crate::waiting::{Ask, Wish};

impl<V: Payload, J: Journal<V>> Core<V, J> {
    pub(crate) fn retrieve(&mut self, call: Call, wanted: Retrieve, effects: &mut Vec<Effect<V>>) -> Outcome<V> {
        let session = call.session;
        check_arguments(&wanted)?;
        let place = self.place(session, wanted.variable)?;
        self.check_cursor(call, &wanted, place.variable)?;
        if wanted.lease {
            self.check_may_lease(session)?;
        }
        if let Some(key) = place.variable {
            let ask = self.ask(key, &wanted);
            let values = self.pick(call, ask);
            if !values.is_empty() || wanted.wait == Wait::No {
                return Ok(Some(self.hand_out(session, ask, values)));
            }
        }
        if wanted.wait != Wait::No {
            self.check_may_wait(session)?;
        }
        self.check_may_make(session, wanted.variable, place)?;
        let Some(key) = self.ensure(session, wanted.variable, place) else { return Ok(None) };
        let ask = self.ask(key, &wanted);
        if wanted.wait == Wait::No {
            return Ok(Some(self.hand_out(session, ask, Vec::new())));
        }
        self.park(call, wanted.wait, Wish::Values(ask));
        if ask.is_hungry_for(key) {
            self.recall_for(key, session, effects);
        }
        Ok(None)
    }

    /// Whether the cursor suits the variable.
    fn check_cursor(&self, call: Call, wanted: &Retrieve, key: Option<Key>) -> Result<(), nws_proto::Fault> {
        let name = || self.bound_name(call.session, wanted.variable);
        if let Cursor::After { variable, .. } = wanted.cursor
            && key.map(variable_id) != Some(variable)
        {
            return Err(fault::variable_gone(name()));
        }
        let mode = key.and_then(|key| self.variables.get(key)).and_then(|variable| variable.mode);
        match mode {
            Some(mode @ (Mode::Lifo | Mode::Multi)) if wanted.cursor != Cursor::Mode => {
                Err(fault::not_iterable(name(), mode))
            }
            _ => Ok(()),
        }
    }

    fn ask(&self, variable: Key, wanted: &Retrieve) -> Ask {
        let iterated = wanted.cursor != Cursor::Mode;
        let least = match wanted.cursor {
            Cursor::After { index, .. } => ring::next(index),
            Cursor::Mode | Cursor::Oldest => 0,
        };
        Ask {
            variable,
            handle: wanted.variable,
            take: wanted.take,
            lease: wanted.lease,
            iterated,
            least,
            max_values: if wanted.take || iterated { wanted.max_values.min(self.settings.batch_values) } else { 1 },
            max_bytes: wanted.max_bytes.min(self.settings.batch_bytes),
        }
    }

    /// The values that a retrieval gets now; those that it takes are out of the variable then.
    fn pick(&mut self, call: Call, ask: Ask) -> Vec<Grant<V>> {
        let mut most = ask.max_values;
        let room = if ask.lease { self.check_may_lease(call.session).unwrap_or(0) } else { u32::MAX };
        let Some(variable) = self.variables.get_mut(ask.variable) else { return Vec::new() };
        if ask.take {
            let kept = u32::try_from(variable.kept.len()).unwrap_or(u32::MAX);
            let share = kept.div_ceil(variable.consumers.count_with(call.session));
            most = most.min(share.max(1)).min(room);
        }
        let mut entropy = Entropy(call.random);
        let mut turn = match variable.mode {
            _ if ask.iterated => Turn::From(ask.least),
            Some(Mode::Lifo) => Turn::Newest,
            Some(Mode::Multi) => Turn::Random(entropy.next()),
            _ => Turn::Oldest,
        };
        let mut values = Vec::new();
        let mut bytes: u64 = 0;
        while values.len() < most as usize {
            let Some(next) = variable.kept.peek(turn) else { break };
            bytes = bytes.saturating_add(next.item.value.len_bytes());
            if bytes > ask.max_bytes.into() && !values.is_empty() {
                break;
            }
            let value = if ask.take { variable.kept.take(turn) } else { Some(next.clone()) };
            let Some(value) = value else { break };
            match &mut turn {
                Turn::From(least) => *least = ring::next(value.index),
                Turn::Random(place) => *place = entropy.next(),
                Turn::Oldest | Turn::Newest => {}
            }
            if values.is_empty() {
                values.reserve_exact(variable.kept.len().min(most as usize - 1) + 1);
            }
            values.push(value);
        }
        values
    }

    /// The reply that hands these values out. If they are taken, they are out of the variable
    /// already.
    pub(crate) fn hand_out(&mut self, session: SessionId, ask: Ask, values: Vec<Grant<V>>) -> Reply<V> {
        let variable = variable_id(ask.variable);
        let mut first_lease = LeaseId(0);
        if ask.lease && !values.is_empty() {
            first_lease = self.lease_out(session, ask, &values);
        } else if ask.take {
            let mut bytes = 0;
            for value in &values {
                bytes += value.item.value.held_bytes();
                self.journal.record(Fact::Take { variable, index: value.index });
            }
            self.discount(ask.variable, values.len(), bytes);
        }
        Reply::Values { variable, first_lease, values }
    }
}

fn check_arguments(wanted: &Retrieve) -> Result<(), nws_proto::Fault> {
    if wanted.lease && !wanted.take {
        return Err(fault::bad_arguments("a find takes no lease; fetch, or leave the lease"));
    }
    if wanted.max_values == 0 {
        return Err(fault::bad_arguments("a retrieval asks for at least 1 value, this one asks for 0"));
    }
    Ok(())
}
