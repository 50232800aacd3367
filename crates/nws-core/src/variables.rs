//! Variables: what they hold, and what is done to them as a whole.

use alloc::vec::Vec;
use nws_proto::{Mode, Reply, SessionId, VariableHandle};

use crate::core::{Core, Outcome};
use crate::effect::{Effect, Payload};
use crate::fact::{Fact, Journal};
use crate::fault;
use crate::kept::Kept;
use crate::names::variable_id;
use crate::recall::Consumers;
use crate::slab::{Chain, Key};

/// A queue of values.
pub(crate) struct Variable<V> {
    pub(crate) name: Vec<u8>,
    /// Its workspace.
    pub(crate) home: Key,
    /// It was deleted, and who waits for it is about to be told.
    pub(crate) gone: bool,
    /// `None` as long as nobody stored to it or declared it; it holds nothing then.
    pub(crate) mode: Option<Mode>,
    pub(crate) kept: Kept<V>,
    /// The next value's index.
    pub(crate) next_index: u64,
    /// Finds that wait, in the order in which they came.
    pub(crate) finders: Chain,
    /// Fetches that wait, in the order in which they came. A fetch that could have a kept value
    /// never waits.
    pub(crate) fetchers: Chain,
    pub(crate) consumers: Consumers,
    /// Blocks of leased values.
    pub(crate) blocks: Chain,
    pub(crate) leased: u64,
    /// What the values kept and leased take, in bytes.
    pub(crate) bytes: u64,
}

impl<V> Variable<V> {
    pub(crate) fn new(name: Vec<u8>, home: Key) -> Self {
        Self {
            name,
            home,
            gone: false,
            mode: None,
            kept: Kept::new(None),
            next_index: 0,
            finders: Chain::default(),
            fetchers: Chain::default(),
            consumers: Consumers::default(),
            blocks: Chain::default(),
            leased: 0,
            bytes: 0,
        }
    }

    /// Gives it its first mode.
    pub(crate) fn set_mode(&mut self, mode: Mode) {
        self.mode = Some(mode);
        self.kept = Kept::new(Some(mode));
    }
}

impl<V: Payload, J: Journal<V>> Core<V, J> {
    pub(crate) fn declare(
        &mut self,
        session: SessionId,
        handle: VariableHandle,
        mode: Mode,
        effects: &mut Vec<Effect<V>>,
    ) -> Outcome<V> {
        let place = self.place(session, handle)?;
        self.check_may_make(session, handle, place)?;
        let key = self.ensure(session, handle, place);
        let Some(variable) = key.and_then(|key| self.variables.get_mut(key)) else { return Ok(None) };
        match variable.mode {
            Some(has) if has != mode => return Err(fault::mode_conflict(&variable.name, has, mode)),
            Some(_) => {}
            None => {
                variable.set_mode(mode);
                if let Some(key) = key {
                    self.journal.record(Fact::Declare { variable: variable_id(key), mode });
                    self.refuse_iterators(key, mode, effects);
                }
            }
        }
        Ok(Some(Reply::Done))
    }

    /// Answers the iterators that wait on a variable which now has a mode that knows none.
    fn refuse_iterators(&mut self, key: Key, mode: Mode, effects: &mut Vec<Effect<V>>) {
        if matches!(mode, Mode::Fifo | Mode::Single) {
            return;
        }
        let Some(variable) = self.variables.get(key) else { return };
        let fault = fault::not_iterable(&variable.name, mode);
        for chain in [variable.finders.first(), variable.fetchers.first()] {
            let mut next = chain;
            while let Some(waiter) = next {
                next = self.waiters.after(waiter);
                let iterated = self.waiters.get(waiter).and_then(|waiter| waiter.ask()).is_some_and(|ask| ask.iterated);
                if iterated {
                    self.answer(waiter, Reply::Failed(fault.clone()), effects);
                }
            }
        }
    }

    pub(crate) fn delete_bound_variable(
        &mut self,
        session: SessionId,
        handle: VariableHandle,
        effects: &mut Vec<Effect<V>>,
    ) -> Outcome<V> {
        let place = self.place(session, handle)?;
        let name = self.bound_name(session, handle);
        let Some(key) = place.variable else {
            return Err(fault::no_such_variable(name));
        };
        let fault = fault::variable_gone(name);
        if let Some((variable, workspace)) = self.variables.get(key).zip(self.workspaces.get_mut(place.workspace)) {
            workspace.variables.remove(&variable.name);
        }
        self.drop_variable(key, fault, effects);
        Ok(Some(Reply::Done))
    }
}
