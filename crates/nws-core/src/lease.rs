//! Leases: values handed out and not done yet.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use nws_proto::{Descriptor, ErrorCode, FinishItem, Grant, Item, LeaseId, Reply, SessionId, VariableHandle};

use crate::core::{Core, Outcome};
use crate::effect::{Effect, Payload};
use crate::fact::{Fact, Journal};
use crate::fault;
use crate::names::variable_id;
use crate::slab::{Key, Linked, Links};
use crate::waiting::Ask;

/// The leases of one grant, whose ids follow each other.
pub(crate) struct Block<V> {
    pub(crate) session: SessionId,
    pub(crate) variable: Key,
    pub(crate) first: u64,
    /// `None` where the lease has ended.
    values: Vec<Option<Grant<V>>>,
    /// How many have not ended. At least one.
    pub(crate) live: u32,
    links: Links,
}

impl<V> Linked for Block<V> {
    fn links(&self) -> &Links {
        &self.links
    }

    fn links_mut(&mut self) -> &mut Links {
        &mut self.links
    }
}

impl<V> Block<V> {
    /// What its end costs, in units of [`crate::chores`].
    pub(crate) fn units(&self) -> usize {
        2 + 2 * self.live as usize
    }

    pub(crate) fn live_leases(&self) -> impl Iterator<Item = (u64, &Grant<V>)> {
        (self.first..).zip(&self.values).filter_map(|(lease, value)| Some((lease, value.as_ref()?)))
    }
}

/// Leases of one block that end one after the other; their tables are put right once for all.
#[derive(Default)]
struct Run {
    block: Option<(Key, u64)>,
    variable: Option<Key>,
    ended: u32,
}

/// Whether a lease ends without a result of its own.
fn is_nothing<V: Payload>(result: &Item<V>) -> bool {
    result.descriptor == Descriptor::NOTHING && result.value.len_bytes() == 0
}

impl<V: Payload, J: Journal<V>> Core<V, J> {
    /// Whether a session may hold one more lease.
    ///
    /// # Errors
    /// `TooManyLeases`.
    pub(crate) fn check_may_lease(&self, session: SessionId) -> Result<u32, nws_proto::Fault> {
        let most = self.settings.session_leases;
        let held = self.sessions.get(&session).map_or(0, |open| open.leased);
        if held < most {
            return Ok(most - held);
        }
        Err(fault::too_many(ErrorCode::TooManyLeases, most, "values by lease", "finish or release some"))
    }

    /// Hands values out by lease; the first one's id.
    pub(crate) fn lease_out(&mut self, session: SessionId, ask: Ask, values: &[Grant<V>]) -> LeaseId {
        let first = self.next_lease;
        let live = values.len() as u32;
        self.next_lease += u64::from(live);
        for (value, lease) in values.iter().zip(first..) {
            let (variable, index, lease) = (variable_id(ask.variable), value.index, LeaseId(lease));
            self.journal.record(Fact::Lease { variable, index, lease, session });
        }
        let block = Block {
            session,
            variable: ask.variable,
            first,
            values: values.iter().cloned().map(Some).collect(),
            live,
            links: Links::default(),
        };
        let key = self.blocks.insert(block);
        if let Some(variable) = self.variables.get_mut(ask.variable) {
            self.blocks.append(&mut variable.blocks, key);
            variable.leased += u64::from(live);
            variable.consumers.leased(session, live, Some(ask.handle));
        }
        if let Some(open) = self.sessions.get_mut(&session) {
            open.blocks.insert(first, key);
            open.leased += live;
        }
        LeaseId(first)
    }

    /// Ends one lease of a session, and gives its value with the variable that it came from.
    fn end_lease(&mut self, session: SessionId, lease: LeaseId, run: &mut Run) -> Option<(Key, Grant<V>)> {
        let in_run = run.block.filter(|(key, first)| {
            let offset = lease.0.checked_sub(*first);
            let block = self.blocks.get(*key);
            offset.zip(block).is_some_and(|(offset, block)| offset < block.values.len() as u64)
        });
        let (key, first) = match in_run {
            Some(block) => block,
            None => {
                self.end_run(session, run);
                let blocks = &self.sessions.get(&session)?.blocks;
                let (first, key) = blocks.range(..=lease.0).next_back().map(|(first, key)| (*first, *key))?;
                // What was deleted has no leases, though they may stand in the tables for a while.
                self.blocks.get(key).filter(|block| self.is_live(block.variable))?;
                run.block = Some((key, first));
                (key, first)
            }
        };
        let block = self.blocks.get_mut(key)?;
        let value = block.values.get_mut(usize::try_from(lease.0 - first).ok()?)?.take()?;
        run.variable = Some(block.variable);
        run.ended += 1;
        Some((block.variable, value))
    }

    /// Puts the tables right after the leases of one block.
    fn end_run(&mut self, session: SessionId, run: &mut Run) {
        let Run { block: Some((key, first)), variable: Some(variable_key), ended } = core::mem::take(run) else {
            return;
        };
        let Some(block) = self.blocks.get_mut(key) else { return };
        block.live -= ended;
        let done = block.live == 0;
        if let Some(variable) = self.variables.get_mut(variable_key) {
            variable.leased -= u64::from(ended);
            variable.consumers.ended(session, ended);
            if done {
                self.blocks.unlink(&mut variable.blocks, key);
            }
        }
        if let Some(open) = self.sessions.get_mut(&session) {
            open.leased -= ended;
            if done {
                open.blocks.remove(&first);
            }
        }
        if done {
            self.blocks.remove(key);
        }
    }

    /// So many values of this variable are gone for good: they count no more, and what they took.
    pub(crate) fn discount(&mut self, key: Key, count: usize, bytes: u64) {
        self.values -= count as u64;
        self.bytes -= bytes;
        if let Some(variable) = self.variables.get_mut(key) {
            variable.bytes -= bytes;
        }
    }

    pub(crate) fn finish(
        &mut self,
        session: SessionId,
        handle: VariableHandle,
        items: Vec<FinishItem<V>>,
        effects: &mut Vec<Effect<V>>,
    ) -> Outcome<V> {
        self.check_batch(items.len())?;
        let place = self.place(session, handle)?;
        self.check_may_make(session, handle, place)?;
        self.check_results_fit(session, &items)?;
        let mut refused = Vec::new();
        let mut results = Vec::with_capacity(items.len());
        let mut run = Run::default();
        let mut lessened = Vec::new();
        for (position, item) in (0..).zip(items) {
            match self.end_lease(session, item.lease, &mut run) {
                Some((key, value)) => {
                    self.consume(key, &value, &mut lessened);
                    if !is_nothing(&item.result) {
                        results.push(item.result);
                    }
                }
                None => refused.push((position, ErrorCode::LeaseEnded)),
            }
        }
        self.end_run(session, &mut run);
        if !results.is_empty()
            && let Some(key) = self.ensure(session, handle, place)
        {
            self.put(key, results, effects);
        }
        self.recall_for_lessened(session, lessened, effects);
        Ok(Some(Reply::Finished { refused }))
    }

    /// Whether the results fit the memory that the leased values leave.
    fn check_results_fit(&self, session: SessionId, items: &[FinishItem<V>]) -> Result<(), nws_proto::Fault> {
        self.check_lengths(items.iter().map(|item| &item.result))?;
        let bytes = |item: &Item<V>| item.value.held_bytes();
        let added = items.iter().fold(0u64, |sum, item| sum.saturating_add(bytes(&item.result)));
        if self.check_room_for_values(added).is_ok() {
            return Ok(());
        }
        let mut counted = BTreeSet::new();
        let freed = items.iter().filter(|item| counted.insert(item.lease)).filter_map(|item| {
            let blocks = &self.sessions.get(&session)?.blocks;
            let (first, key) = blocks.range(..=item.lease.0).next_back()?;
            let block = self.blocks.get(*key).filter(|block| self.is_live(block.variable))?;
            let value = block.values.get(usize::try_from(item.lease.0 - first).ok()?)?.as_ref()?;
            Some(bytes(&value.item))
        });
        // Names may have taken more than the limit: what makes nothing worse is done all the same.
        match added.saturating_sub(freed.sum()) {
            0 => Ok(()),
            more => self.check_room_for_values(more),
        }
    }

    /// Ends leases whose values are done, without results.
    pub(crate) fn release_done(
        &mut self,
        session: SessionId,
        leases: Vec<LeaseId>,
        effects: &mut Vec<Effect<V>>,
    ) -> Option<Reply<V>> {
        let mut refused = Vec::new();
        let mut run = Run::default();
        let mut lessened = Vec::new();
        for (position, lease) in (0..).zip(leases) {
            match self.end_lease(session, lease, &mut run) {
                Some((key, value)) => self.consume(key, &value, &mut lessened),
                None => refused.push((position, ErrorCode::LeaseEnded)),
            }
        }
        self.end_run(session, &mut run);
        self.recall_for_lessened(session, lessened, effects);
        Some(Reply::Finished { refused })
    }

    /// The value of a lease that has ended is gone for good.
    fn consume(&mut self, key: Key, value: &Grant<V>, lessened: &mut Vec<Key>) {
        note(lessened, key);
        self.discount(key, 1, value.item.value.held_bytes());
        let (variable, index) = (variable_id(key), value.index);
        self.journal.record(Fact::Finish { variable, index });
    }

    pub(crate) fn release(
        &mut self,
        session: SessionId,
        leases: Vec<LeaseId>,
        died: bool,
        recalled: bool,
        effects: &mut Vec<Effect<V>>,
    ) -> Outcome<V> {
        let mut values = Vec::with_capacity(leases.len());
        let mut lessened = Vec::new();
        let mut run = Run::default();
        for lease in leases {
            if let Some((key, mut value)) = self.end_lease(session, lease, &mut run) {
                value.deaths = value.deaths.saturating_add(died.into());
                note(&mut lessened, key);
                values.push((key, value));
            }
        }
        self.end_run(session, &mut run);
        if recalled {
            self.recall_answered(session, values, effects);
        } else {
            self.restore(values, None, effects);
        }
        self.recall_for_lessened(session, lessened, effects);
        Ok(Some(Reply::Done))
    }

    /// Puts values back that were handed out by lease and never reached the session, as a release does.
    pub fn give_back(&mut self, session: SessionId, leases: Vec<LeaseId>, effects: &mut Vec<Effect<V>>) {
        // A release of leases is never refused.
        let _ = self.release(session, leases, false, false, effects);
    }

    /// Gives leases of a session that has ended to its guardian, or their values back where there is
    /// none; whether that is done.
    pub(crate) fn pass_on_or_return(
        &mut self,
        session: SessionId,
        guardian: SessionId,
        blocks: &mut BTreeMap<u64, Key>,
        passed: &mut Vec<u64>,
        units: &mut usize,
        effects: &mut Vec<Effect<V>>,
    ) -> bool {
        let guarded = self.sessions.contains_key(&guardian);
        let mut values = Vec::new();
        while *units > 0
            && let Some((first, key)) = blocks.pop_first()
        {
            let Some(block) = self.blocks.get(key).filter(|block| block.session == session) else { continue };
            *units = units.saturating_sub(block.units());
            if guarded {
                self.pass_block(key, first, guardian);
                passed.push(first);
            } else {
                self.return_block(key, &mut values);
            }
        }
        self.restore(values, None, effects);
        if !blocks.is_empty() {
            return false;
        }
        if guarded {
            self.announce_orphan(session, guardian, core::mem::take(passed), effects);
        }
        true
    }

    fn pass_block(&mut self, key: Key, first: u64, guardian: SessionId) {
        let Some(block) = self.blocks.get_mut(key) else { return };
        let (ended, live) = (core::mem::replace(&mut block.session, guardian), block.live);
        if let Some(variable) = self.variables.get_mut(block.variable) {
            variable.consumers.ended(ended, live);
            variable.consumers.leased(guardian, live, None);
        }
        if let Some(heir) = self.sessions.get_mut(&guardian) {
            heir.blocks.insert(first, key);
            heir.leased += live;
        }
    }

    fn return_block(&mut self, key: Key, values: &mut Vec<(Key, Grant<V>)>) {
        let Some(variable_key) = self.blocks.get(key).map(|block| block.variable) else { return };
        let Some(variable) = self.variables.get_mut(variable_key) else { return };
        self.blocks.unlink(&mut variable.blocks, key);
        if let Some(block) = self.blocks.remove(key) {
            variable.leased -= u64::from(block.live);
            variable.consumers.ended(block.session, block.live);
            values.extend(block.values.into_iter().flatten().map(|value| (variable_key, value)));
        }
    }
}

/// Notes a variable, once for values of it that follow each other.
fn note(variables: &mut Vec<Key>, key: Key) {
    if variables.last() != Some(&key) {
        variables.push(key);
    }
}
