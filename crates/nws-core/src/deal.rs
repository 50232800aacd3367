//! Values that come in, stored or given back, and who gets them.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::vec::Vec;
use nws_proto::{Grant, Index, Item, Mode, Reply, SessionId, VariableHandle, VariableId};

use crate::core::{Core, Outcome};
use crate::effect::{Effect, Payload};
use crate::fact::{Fact, Journal};
use crate::fault;
use crate::memory::variable_bytes;
use crate::names::variable_id;
use crate::slab::Key;
use crate::waiting::Ask;

impl<V: Payload, J: Journal<V>> Core<V, J> {
    /// Whether a request may carry this many values.
    pub(crate) fn check_batch(&self, len: usize) -> Result<(), nws_proto::Fault> {
        let most = self.settings.batch_values;
        if (1..=most as usize).contains(&len) {
            return Ok(());
        }
        Err(fault::bad_arguments(format!("a request carries 1 to {most} values, this one {len}; use several")))
    }

    /// Whether each of these values may be as long as it is.
    pub(crate) fn check_lengths<'a>(&self, mut items: impl Iterator<Item = &'a Item<V>>) -> Result<(), nws_proto::Fault>
    where
        V: 'a,
    {
        let most = self.settings.value_bytes;
        match items.find(|item| item.value.len_bytes() > most) {
            Some(item) => Err(fault::value_too_long(item.value.len_bytes(), most)),
            None => Ok(()),
        }
    }

    pub(crate) fn store(
        &mut self,
        session: SessionId,
        handle: VariableHandle,
        items: Vec<Item<V>>,
        effects: &mut Vec<Effect<V>>,
    ) -> Outcome<V> {
        self.check_batch(items.len())?;
        let place = self.place(session, handle)?;
        self.check_lengths(items.iter())?;
        let name_bytes = if place.variable.is_none() { variable_bytes(self.bound_name(session, handle)) } else { 0 };
        let bytes = items.iter().fold(name_bytes, |sum, item| sum.saturating_add(item.value.held_bytes()));
        self.check_room_for_values(bytes)?;
        if let Some(key) = self.ensure(session, handle, place) {
            self.put(key, items, effects);
        }
        Ok(Some(Reply::Done))
    }

    /// Adds values to a variable, in this order, as if each were stored by itself.
    pub(crate) fn put(&mut self, key: Key, items: Vec<Item<V>>, effects: &mut Vec<Effect<V>>) {
        // What waits to be dropped never grows by who stores and deletes faster than is swept.
        self.drop_trash(items.len());
        let Some(variable) = self.variables.get_mut(key) else { return };
        let id = variable_id(key);
        if variable.mode.is_none() {
            variable.set_mode(Mode::Fifo);
            self.journal.record(Fact::Declare { variable: id, mode: Mode::Fifo });
        }
        let straight =
            variable.mode != Some(Mode::Single) && variable.finders.is_empty() && variable.fetchers.is_empty();
        let mut arrivals = VecDeque::with_capacity(if straight { 0 } else { items.len() });
        let mut bytes = 0;
        self.values += items.len() as u64;
        for item in items {
            let index = Index(variable.next_index);
            variable.next_index += 1;
            bytes += item.value.held_bytes();
            self.journal.record(Fact::Put { variable: id, index, item: &item });
            let value = Grant { index, deaths: 0, item };
            if straight {
                variable.kept.put(value);
            } else {
                arrivals.push_back(value);
            }
        }
        variable.bytes += bytes;
        self.bytes += bytes;
        if !straight {
            self.replace_single(key);
            self.deal(key, arrivals, None, effects);
        }
    }

    /// Puts values back to their places that were fetched without a lease and never reached the
    /// session that fetched them. To be called after [`Core::session_ended`] of that session, so
    /// that its own waits do not get them.
    pub fn undelivered(&mut self, variable: VariableId, values: Vec<Grant<V>>, effects: &mut Vec<Effect<V>>) {
        let key = Key::from_u64(variable.0);
        if !self.is_live(key) {
            return;
        }
        let Some(place) = self.variables.get_mut(key) else { return };
        self.values += values.len() as u64;
        let bytes: u64 = values.iter().map(|value| value.item.value.held_bytes()).sum();
        place.bytes += bytes;
        self.bytes += bytes;
        self.restore(values.into_iter().map(|value| (key, value)).collect(), None, effects);
    }

    /// Puts values that were handed out back to their places, `passed_over`'s waiting fetches last
    /// in line for them.
    pub(crate) fn restore(
        &mut self,
        mut values: Vec<(Key, Grant<V>)>,
        passed_over: Option<SessionId>,
        effects: &mut Vec<Effect<V>>,
    ) {
        // Variable by variable as they were made, and there by place.
        values.sort_by_key(|(key, value)| (*key, value.index));
        let mut values = values.into_iter().peekable();
        while let Some((key, first)) = values.next() {
            let mut arrivals = VecDeque::from([first]);
            while let Some((_, value)) = values.next_if(|(next, _)| *next == key) {
                arrivals.push_back(value);
            }
            if !self.is_live(key) {
                self.forget_values(key, arrivals.iter());
                continue;
            }
            self.drop_outdated(key, &mut arrivals);
            for value in &arrivals {
                let (variable, index, deaths) = (variable_id(key), value.index, value.deaths);
                self.journal.record(Fact::Restore { variable, index, deaths });
            }
            self.deal(key, arrivals, passed_over, effects);
        }
    }

    /// These were handed out by a variable that has gone since. Its own end has discounted them, or
    /// has yet to come.
    fn forget_values<'a>(&mut self, key: Key, values: impl Iterator<Item = &'a Grant<V>>)
    where
        V: 'a,
    {
        if self.variables.get(key).is_some_and(|variable| !variable.gone) {
            values.for_each(|value| self.discount(key, 1, value.item.value.held_bytes()));
        }
    }

    /// In single, a value is out of date as soon as a newer one has come, wherever that is now.
    fn drop_outdated(&mut self, key: Key, arrivals: &mut VecDeque<Grant<V>>) {
        let Some(variable) = self.variables.get(key).filter(|variable| variable.mode == Some(Mode::Single)) else {
            return;
        };
        let next_index = variable.next_index;
        let outdated = arrivals.partition_point(|value| value.index.0 + 1 < next_index);
        for value in arrivals.drain(..outdated) {
            self.replaced(key, &value);
        }
    }

    /// In single, what was kept goes as soon as newer values come.
    fn replace_single(&mut self, key: Key) {
        if self.variables.get(key).is_none_or(|variable| variable.mode != Some(Mode::Single)) {
            return;
        }
        while let Some(value) = self.variables.get_mut(key).and_then(|variable| variable.kept.take_any()) {
            self.replaced(key, &value);
        }
    }

    fn replaced(&mut self, key: Key, value: &Grant<V>) {
        self.journal.record(Fact::Replaced { variable: variable_id(key), index: value.index });
        self.discount(key, 1, value.item.value.held_bytes());
    }

    /// Answers those who wait with values that came in, in the order of their indices, and keeps
    /// the rest.
    fn deal(
        &mut self,
        key: Key,
        mut arrivals: VecDeque<Grant<V>>,
        passed_over: Option<SessionId>,
        effects: &mut Vec<Effect<V>>,
    ) {
        self.answer_finders(key, &mut arrivals, effects);
        self.answer_fetchers(key, &mut arrivals, |session| Some(session) != passed_over, effects);
        if passed_over.is_some() {
            self.answer_fetchers(key, &mut arrivals, |session| Some(session) == passed_over, effects);
        }
        let Some(variable) = self.variables.get_mut(key) else { return };
        if variable.mode == Some(Mode::Single) {
            let newest = arrivals.pop_back();
            for value in arrivals {
                self.replaced(key, &value);
            }
            if let (Some(value), Some(variable)) = (newest, self.variables.get_mut(key)) {
                variable.kept.put(value);
            }
        } else {
            arrivals.into_iter().for_each(|value| variable.kept.put(value));
        }
        self.recall_for_waiting(key, effects);
    }

    fn answer_finders(&mut self, key: Key, arrivals: &mut VecDeque<Grant<V>>, effects: &mut Vec<Effect<V>>) {
        let Some(variable) = self.variables.get(key) else { return };
        let single = variable.mode == Some(Mode::Single);
        let mut next = variable.finders.first();
        while let Some(waiter) = next {
            next = self.waiters.after(waiter);
            let Some(ask) = self.waiters.get(waiter).and_then(|waiter| waiter.ask()) else { continue };
            let most = if single { 1 } else { ask.max_values };
            let (start, count) = matching(arrivals, ask, most);
            if count > 0 {
                let values = arrivals.range(start..start + count).cloned().collect();
                let reply = Reply::Values { variable: variable_id(key), first_lease: Default::default(), values };
                self.answer(waiter, reply, effects);
            }
        }
    }

    /// Spreads the values among the waiting fetches that `may` have them, in waiting order: each
    /// gets at most what it asked for, at most its session's share, and at most an even part of
    /// what is left for those who still wait.
    fn answer_fetchers(
        &mut self,
        key: Key,
        arrivals: &mut VecDeque<Grant<V>>,
        may: impl Fn(SessionId) -> bool,
        effects: &mut Vec<Effect<V>>,
    ) {
        let Some(variable) = self.variables.get(key) else { return };
        let single = variable.mode == Some(Mode::Single);
        let share = arrivals.len().div_ceil(variable.consumers.count().max(1));
        let mut waiting = variable.fetchers.len() as usize;
        let mut next = variable.fetchers.first();
        while let (Some(waiter), false) = (next, arrivals.is_empty()) {
            next = self.waiters.after(waiter);
            let even = arrivals.len().div_ceil(waiting.max(1));
            waiting = waiting.saturating_sub(1);
            let Some(found) = self.waiters.get(waiter).filter(|waiter| may(waiter.session)) else { continue };
            let (session, Some(ask)) = (found.session, found.ask()) else { continue };
            let mut most = if single { 1 } else { share.min(even).min(ask.max_values as usize) as u32 };
            if matching(arrivals, ask, most).1 == 0 {
                continue;
            }
            if ask.lease {
                match self.check_may_lease(session) {
                    Ok(room) => most = most.min(room),
                    Err(fault) => {
                        self.answer(waiter, Reply::Failed(fault), effects);
                        continue;
                    }
                }
            }
            let (start, count) = matching(arrivals, ask, most);
            let values = arrivals.drain(start..start + count).collect();
            self.unpark_and_hand_out(waiter, ask, values, effects);
        }
    }

    fn unpark_and_hand_out(&mut self, waiter: Key, ask: Ask, values: Vec<Grant<V>>, effects: &mut Vec<Effect<V>>) {
        if let Some(waiter) = self.unpark(waiter) {
            let reply = self.hand_out(waiter.session, ask, values);
            effects.push(Effect::Reply { session: waiter.session, request: waiter.request, reply });
        }
    }
}

/// Where the values begin that a waiting retrieval has not seen, and how many of them it gets.
fn matching<V: Payload>(arrivals: &VecDeque<Grant<V>>, ask: Ask, most: u32) -> (usize, usize) {
    let start = if ask.least == 0 { 0 } else { arrivals.partition_point(|value| value.index.0 < ask.least) };
    let mut bytes: u64 = 0;
    let mut count = 0;
    for value in arrivals.range(start..).take(most as usize) {
        bytes = bytes.saturating_add(value.item.value.len_bytes());
        if bytes > ask.max_bytes.into() && count > 0 {
            break;
        }
        count += 1;
    }
    (start, count)
}
