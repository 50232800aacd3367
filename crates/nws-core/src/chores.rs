//! Work that is done in parts: deletions, and the ends of sessions that own or hold much.
//!
//! A request or an end does the first part at once, which is all of it in most cases. What is left
//! stands here, and every request and every call of [`Core::sweep`] does a part of it. Nobody can tell
//! the difference but by listings of memory: what is to go is gone for every request from the start
//! (see [`Core::is_live`]).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use nws_proto::{Fault, Reply, SessionId};

use crate::core::Core;
use crate::effect::{Effect, Payload};
use crate::fact::{Fact, Journal};
use crate::memory::variable_bytes;
use crate::names::variable_id;
use crate::slab::Key;

/// What a part is where the driver does not say, in units of about 100 ns.
pub(crate) const PART_UNITS: usize = 4096;
/// What each request does of what others left. Every value that is stored pays for the drop of one as
/// well, so what is left never grows by who makes and deletes all the time.
const REQUEST_UNITS: usize = 32;
const WAITER_UNITS: usize = 3;
const VARIABLE_UNITS: usize = 8;
/// Bytes of a value whose memory goes back to the system in a unit's time.
const UNIT_BYTES: u64 = 8192;

/// What is left to be done.
pub(crate) enum Chore {
    /// A variable is gone: who waits is told, its leases end.
    Variable { key: Key, fault: Fault },
    /// A workspace is gone, and these were its variables.
    Variables { variables: BTreeMap<Vec<u8>, Key>, fault: Fault },
    /// The workspaces of a session that ended.
    Owned(BTreeSet<Key>),
    /// What a session held by lease that ended, and those that its guardian has got so far.
    Leases { session: SessionId, guardian: SessionId, blocks: BTreeMap<u64, Key>, passed: Vec<u64> },
}

impl<V: Payload, J: Journal<V>> Core<V, J> {
    /// Whether a variable is there, for all that anybody can ask for: one that was deleted, by itself or
    /// with its workspace, may stand in the tables for a while.
    pub(crate) fn is_live(&self, key: Key) -> bool {
        self.variables.get(key).is_some_and(|variable| !variable.gone && self.workspaces.get(variable.home).is_some())
    }

    /// Does a part of what deletions and ends have left to be done; whether more is left. Each request
    /// does a little of it as well. A driver with nothing else to do calls this to have it done.
    pub fn sweep(&mut self, effects: &mut Vec<Effect<V>>) -> bool {
        let left = self.do_chores(self.settings.part_units, effects);
        self.drop_trash(left);
        !self.chores.is_empty() || !self.trash.is_empty()
    }

    /// What each request does of that.
    pub(crate) fn sweep_a_little(&mut self, effects: &mut Vec<Effect<V>>) {
        if !self.chores.is_empty() || !self.trash.is_empty() {
            let left = self.do_chores(REQUEST_UNITS.min(self.settings.part_units), effects);
            self.drop_trash(left);
        }
    }

    /// Does a part of this now, and the rest of it before anything else that was left.
    pub(crate) fn begin_chore(&mut self, chore: Chore, effects: &mut Vec<Effect<V>>) {
        let mut units = self.settings.part_units;
        if let Some(rest) = self.do_part(chore, &mut units, effects) {
            self.chores.push(rest);
        }
    }

    /// How many units are not needed.
    fn do_chores(&mut self, mut units: usize, effects: &mut Vec<Effect<V>>) -> usize {
        while units > 0
            && let Some(chore) = self.chores.pop()
        {
            let above = self.chores.len();
            if let Some(rest) = self.do_part(chore, &mut units, effects) {
                // What this part has left itself was put behind it, and is done before it goes on.
                self.chores.insert(above, rest);
            }
        }
        units
    }

    /// Does a part of a chore, and gives back what is left of it.
    fn do_part(&mut self, chore: Chore, units: &mut usize, effects: &mut Vec<Effect<V>>) -> Option<Chore> {
        match chore {
            Chore::Variable { key, fault } => {
                let done = self.undo_variable(key, &fault, units, effects);
                (!done).then_some(Chore::Variable { key, fault })
            }
            Chore::Variables { mut variables, fault } => {
                while *units > 0
                    && let Some((_, key)) = variables.pop_first()
                {
                    *units = units.saturating_sub(VARIABLE_UNITS);
                    self.mark_gone(key);
                    if !self.undo_variable(key, &fault, units, effects) {
                        self.chores.push(Chore::Variable { key, fault: fault.clone() });
                    }
                }
                (!variables.is_empty()).then_some(Chore::Variables { variables, fault })
            }
            Chore::Owned(mut workspaces) => {
                while *units > 0
                    && let Some(workspace) = workspaces.pop_first()
                {
                    *units = units.saturating_sub(VARIABLE_UNITS);
                    self.owner_ended(workspace, effects);
                }
                (!workspaces.is_empty()).then_some(Chore::Owned(workspaces))
            }
            Chore::Leases { session, guardian, mut blocks, mut passed } => {
                if self.pass_on_or_return(session, guardian, &mut blocks, &mut passed, units, effects) {
                    return None;
                }
                Some(Chore::Leases { session, guardian, blocks, passed })
            }
        }
    }

    /// Ends a variable that its workspace no longer lists: its values go, its leases end, who waits on
    /// it is told.
    pub(crate) fn drop_variable(&mut self, key: Key, fault: Fault, effects: &mut Vec<Effect<V>>) {
        self.mark_gone(key);
        self.begin_chore(Chore::Variable { key, fault }, effects);
    }

    /// From here on the variable and what it holds count no more.
    fn mark_gone(&mut self, key: Key) {
        let Some(variable) = self.variables.get_mut(key).filter(|variable| !variable.gone) else { return };
        self.journal.record(Fact::VariableDeleted { variable: variable_id(key) });
        variable.gone = true;
        self.values -= variable.kept.len() as u64 + variable.leased;
        self.bytes -= core::mem::take(&mut variable.bytes);
        self.names_bytes -= variable_bytes(&variable.name);
        if variable.kept.len() > 0 {
            let kept = core::mem::replace(&mut variable.kept, crate::kept::Kept::new(None));
            self.trash.push(kept);
        }
    }

    /// Tells those who wait on a variable that is gone, ends its leases, and then forgets it; whether
    /// that is done.
    fn undo_variable(&mut self, key: Key, fault: &Fault, units: &mut usize, effects: &mut Vec<Effect<V>>) -> bool {
        while let Some(variable) = self.variables.get(key) {
            let Some(waiter) = variable.finders.first().or(variable.fetchers.first()) else { break };
            if *units == 0 {
                return false;
            }
            *units = units.saturating_sub(WAITER_UNITS);
            self.answer(waiter, Reply::Failed(fault.clone()), effects);
        }
        while let Some(variable) = self.variables.get_mut(key) {
            let Some(first) = variable.blocks.first() else { break };
            if *units == 0 {
                return false;
            }
            self.blocks.unlink(&mut variable.blocks, first);
            let Some(block) = self.blocks.remove(first) else { break };
            *units = units.saturating_sub(block.units());
            if let Some(open) = self.sessions.get_mut(&block.session) {
                open.blocks.remove(&block.first);
                open.leased -= block.live;
            }
        }
        self.variables.remove(key);
        true
    }

    /// Drops values of variables that are gone.
    pub(crate) fn drop_trash(&mut self, mut units: usize) {
        while units > 0
            && let Some(kept) = self.trash.last_mut()
        {
            match kept.take_any() {
                Some(value) => {
                    let bytes = value.item.value.held_bytes();
                    units = units.saturating_sub(1 + (bytes / UNIT_BYTES) as usize);
                }
                None => {
                    self.trash.pop();
                }
            }
        }
    }
}
