//! Who takes values of a variable, and how those who hold many are asked to share.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use hashbrown::HashMap;
use nws_proto::{Event, Grant, SessionId, VariableHandle};

use crate::core::Core;
use crate::effect::{Effect, Payload};
use crate::fact::Journal;
use crate::slab::Key;

/// The sessions that wait to fetch from a variable or hold leases of it.
#[derive(Default)]
pub(crate) struct Consumers {
    by_session: HashMap<SessionId, Consumer>,
    /// Those that may be asked to release some, by how many they hold.
    askable: BTreeSet<(u32, SessionId)>,
}

/// One session's part in a variable. Removed when it neither waits nor holds.
#[derive(Clone, Copy, Default)]
struct Consumer {
    waiting: u32,
    leased: u32,
    /// As the session bound the variable when it last leased from it.
    handle: Option<VariableHandle>,
    /// It was asked to release some, and has not answered.
    asked: bool,
    /// It had nothing to spare when last asked, and got no more since.
    spent: bool,
}

impl Consumer {
    fn is_askable(&self) -> bool {
        self.leased > 1 && self.handle.is_some() && !self.asked && !self.spent
    }
}

impl Consumers {
    fn change(&mut self, session: SessionId, change: impl FnOnce(&mut Consumer)) {
        let consumer = self.by_session.entry(session).or_default();
        let before = *consumer;
        change(consumer);
        let after = *consumer;
        if after.waiting == 0 && after.leased == 0 {
            self.by_session.remove(&session);
        }
        if before.is_askable() {
            self.askable.remove(&(before.leased, session));
        }
        if after.is_askable() {
            self.askable.insert((after.leased, session));
        }
    }

    pub(crate) fn waits(&mut self, session: SessionId) {
        self.change(session, |consumer| consumer.waiting += 1);
    }

    pub(crate) fn waits_no_more(&mut self, session: SessionId) {
        self.change(session, |consumer| consumer.waiting -= 1);
    }

    /// The session got this many leases; by adoption where it has no handle for it.
    pub(crate) fn leased(&mut self, session: SessionId, count: u32, handle: Option<VariableHandle>) {
        self.change(session, |consumer| {
            consumer.leased += count;
            consumer.handle = handle.or(consumer.handle);
            consumer.spent = false;
        });
    }

    pub(crate) fn ended(&mut self, session: SessionId, count: u32) {
        self.change(session, |consumer| consumer.leased -= count);
    }

    /// How many sessions there are.
    pub(crate) fn count(&self) -> usize {
        self.by_session.len()
    }

    /// How many sessions there are, this one among them.
    pub(crate) fn count_with(&self, session: SessionId) -> u32 {
        let more = usize::from(!self.by_session.contains_key(&session));
        u32::try_from(self.by_session.len() + more).unwrap_or(u32::MAX)
    }

    /// Whether this is what the waiters and leases say: how often each session waits, and how many
    /// it holds.
    pub(crate) fn audit(&self, seen: &HashMap<SessionId, (u32, u32)>) -> Result<(), String> {
        let counts = |(session, consumer): (&SessionId, &Consumer)| (*session, (consumer.waiting, consumer.leased));
        let has: HashMap<_, _> = self.by_session.iter().map(counts).collect();
        if has != *seen {
            return Err(format!("consumers of a variable: expected {seen:?}, found {has:?}"));
        }
        let askable = self.by_session.iter().filter(|(_, consumer)| consumer.is_askable());
        let askable: BTreeSet<_> = askable.map(|(session, consumer)| (consumer.leased, *session)).collect();
        if askable != self.askable {
            return Err(format!("who may be asked: expected {askable:?}, found {:?}", self.askable));
        }
        Ok(())
    }

    fn held_by(&self, session: SessionId) -> u32 {
        self.by_session.get(&session).map_or(0, |consumer| consumer.leased)
    }
}

impl<V: Payload, J: Journal<V>> Core<V, J> {
    /// Asks the holder of the most leases of a variable to share with a session that waits for
    /// some. Only a holder is asked that has at least two more than the one who waits, so that
    /// sharing brings them closer, and that has answered what it was asked before. Whether someone
    /// was asked.
    pub(crate) fn recall_for(&mut self, key: Key, hungry: SessionId, effects: &mut Vec<Effect<V>>) -> bool {
        if !self.is_live(key) {
            return false;
        }
        let Some(variable) = self.variables.get(key) else { return false };
        let consumers = &variable.consumers;
        let has = consumers.held_by(hungry);
        let found =
            consumers.askable.iter().rev().take_while(|(held, _)| *held > has + 1).find_map(|(held, holder)| {
                let busy = self.sessions.get(holder).is_none_or(|open| open.recall.is_some());
                let handle = consumers.by_session.get(holder)?.handle?;
                // A holder that let go of its handle could not tell what is meant.
                let fit = *holder != hungry && !busy && self.leads_to(*holder, handle, key);
                fit.then_some((*held, *holder, handle))
            });
        let Some((held, holder, handle)) = found else { return false };
        if let Some(variable) = self.variables.get_mut(key) {
            variable.consumers.change(holder, |consumer| consumer.asked = true);
        }
        if let Some(open) = self.sessions.get_mut(&holder) {
            open.recall = Some(key);
        }
        let wanted = ((held - has) / 2).max(1);
        effects.push(Effect::Event { session: holder, event: Event::Recall { variable: handle, wanted } });
        true
    }

    /// Asks one holder to share with those who wait for leases of a variable, where there is one
    /// to ask.
    pub(crate) fn recall_for_waiting(&mut self, key: Key, effects: &mut Vec<Effect<V>>) {
        let Some(variable) = self.variables.get(key) else { return };
        if variable.consumers.askable.is_empty() {
            return;
        }
        let mut next = variable.fetchers.first();
        while let Some(waiter) = next {
            next = self.waiters.after(waiter);
            let Some(found) = self.waiters.get(waiter) else { return };
            let hungry = found.session;
            if found.ask().is_some_and(|ask| ask.is_hungry_for(key)) && self.recall_for(key, hungry, effects) {
                return;
            }
        }
    }

    /// A session holds fewer leases of these variables than before. Who waits while it still holds
    /// some may have asked nobody; now it may have reason to.
    pub(crate) fn recall_for_lessened(
        &mut self,
        session: SessionId,
        mut variables: Vec<Key>,
        effects: &mut Vec<Effect<V>>,
    ) {
        variables.retain(|key| self.waits_for_leases(session, *key));
        variables.sort_unstable();
        variables.dedup();
        for key in variables {
            self.recall_for(key, session, effects);
        }
    }

    fn waits_for_leases(&self, session: SessionId, key: Key) -> bool {
        let Some(variable) = self.variables.get(key) else { return false };
        let consumers = &variable.consumers;
        let waits = consumers.by_session.get(&session).is_some_and(|consumer| consumer.waiting > 0);
        let Some(open) = self.sessions.get(&session).filter(|_| waits && !consumers.askable.is_empty()) else {
            return false;
        };
        open.waiting.values().filter_map(|waiter| self.waiters.get(*waiter)?.ask()).any(|ask| ask.is_hungry_for(key))
    }

    /// A holder has answered, with these values. Those who wait get them, the others first.
    pub(crate) fn recall_answered(
        &mut self,
        session: SessionId,
        values: Vec<(Key, Grant<V>)>,
        effects: &mut Vec<Effect<V>>,
    ) {
        let asked = self.sessions.get_mut(&session).and_then(|open| open.recall.take());
        if let Some(variable) = asked.and_then(|key| self.variables.get_mut(key)) {
            let spent = values.iter().all(|(key, _)| Some(*key) != asked);
            if variable.consumers.by_session.contains_key(&session) {
                variable.consumers.change(session, |consumer| {
                    consumer.asked = false;
                    consumer.spent = spent;
                });
            }
        }
        self.restore(values, Some(session), effects);
        let Some(open) = self.sessions.get(&session) else { return };
        let mut keys: Vec<Key> = open.blocks.values().filter_map(|key| Some(self.blocks.get(*key)?.variable)).collect();
        keys.extend(asked);
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            self.recall_for_waiting(key, effects);
        }
    }
}
