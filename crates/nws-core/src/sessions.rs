//! Sessions: how they begin and end, and what passes to a guardian.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::vec::Vec;
use hashbrown::HashMap;
use nws_proto::{
    Adopted, ErrorCode, Fault, LeaseId, OrphanedLease, Reply, RequestId, SessionId, VariableHandle, Wait,
    WorkspaceHandle,
};

use crate::chores::Chore;
use crate::core::{Call, Core, Outcome};
use crate::effect::{Effect, Payload, SessionInit};
use crate::fact::Journal;
use crate::names::{Binding, Opening};
use crate::slab::{Chain, Key};
use crate::waiting::Wish;

/// One connection's part of the state.
pub(crate) struct Session {
    pub(crate) init: SessionInit,
    pub(crate) workspaces: HashMap<WorkspaceHandle, Opening>,
    pub(crate) variables: HashMap<VariableHandle, Binding>,
    /// What those two take.
    pub(crate) names_bytes: u64,
    pub(crate) waiting: HashMap<RequestId, Key>,
    /// The workspaces that it came to own. Some may be gone.
    pub(crate) owned: BTreeSet<Key>,
    /// Blocks of leases by the first one's id.
    pub(crate) blocks: BTreeMap<u64, Key>,
    /// How many leases those blocks hold.
    pub(crate) leased: u32,
    /// The variable of which it was asked to release values and has not answered yet.
    pub(crate) recall: Option<Key>,
    /// Its waiting adoptions.
    pub(crate) adopters: Chain,
    /// Sessions in its care that ended, with their blocks, not announced yet. Empty while an
    /// adoption waits.
    orphans: VecDeque<(SessionId, Vec<u64>)>,
}

impl<V: Payload, J: Journal<V>> Core<V, J> {
    /// Lets a session begin.
    ///
    /// # Errors
    /// `NoSuchGuardian` where the guardian is no live session; `Internal` where the id is taken.
    pub fn session_opened(&mut self, init: SessionInit) -> Result<(), Fault> {
        let (session, guardian) = (init.session, init.guardian);
        if guardian.0 != 0 && !self.sessions.contains_key(&guardian) {
            let message = format!("the guardian must be a live session, and {guardian} is none");
            return Err(Fault::new(ErrorCode::NoSuchGuardian, message));
        }
        if session.0 == 0 || self.sessions.contains_key(&session) {
            let message = format!("session ids must be new and not 0, and {session} is not");
            return Err(Fault::new(ErrorCode::Internal, message));
        }
        let open = Session {
            init,
            workspaces: HashMap::new(),
            variables: HashMap::new(),
            names_bytes: 0,
            waiting: HashMap::new(),
            owned: BTreeSet::new(),
            blocks: BTreeMap::new(),
            leased: 0,
            recall: None,
            adopters: Chain::default(),
            orphans: VecDeque::new(),
        };
        self.sessions.insert(session, Box::new(open));
        Ok(())
    }

    /// What a session calls itself from now on, where its protocol says so late. What it owns already
    /// keeps the text it has.
    pub fn label_session(&mut self, session: SessionId, label: &[u8]) {
        if let Some(open) = self.sessions.get_mut(&session) {
            open.init.label = label.to_vec();
        }
    }

    /// Ends a session: its waits are forgotten, its leases go to its guardian or their values
    /// return, the workspaces that it owns and that are not persistent go.
    pub fn session_ended(&mut self, session: SessionId, effects: &mut Vec<Effect<V>>) {
        let Some(ended) = self.sessions.remove(&session) else { return };
        self.names_bytes -= ended.names_bytes;
        for key in ended.waiting.into_values() {
            self.unpark(key);
        }
        let (most, named) = (self.settings.session_orphans as usize, ended.init.guardian);
        let accepts = self.sessions.get(&named).is_some_and(|heir| heir.orphans.len() < most);
        let guardian = if accepts { named } else { SessionId(0) };
        self.begin_chore(Chore::Leases { session, guardian, blocks: ended.blocks, passed: Vec::new() }, effects);
        self.begin_chore(Chore::Owned(ended.owned), effects);
        if let Some(variable) = ended.recall {
            self.recall_for_waiting(variable, effects);
        }
    }

    /// The guardian has got all that this session held.
    pub(crate) fn announce_orphan(
        &mut self,
        ended: SessionId,
        guardian: SessionId,
        firsts: Vec<u64>,
        effects: &mut Vec<Effect<V>>,
    ) {
        let Some(heir) = self.sessions.get_mut(&guardian) else { return };
        heir.orphans.push_back((ended, firsts));
        if let Some(key) = heir.adopters.first()
            && let Some(adopted) = self.next_orphans(guardian)
        {
            self.answer(key, Reply::Adopted(adopted), effects);
        }
    }

    /// What is to be announced next to this guardian. Leases that ended meanwhile are left out.
    fn next_orphans(&mut self, guardian: SessionId) -> Option<Adopted> {
        let heir = self.sessions.get_mut(&guardian)?;
        let (session, firsts) = heir.orphans.pop_front()?;
        let mut leases = Vec::new();
        for first in firsts {
            let Some(block) = heir.blocks.get(&first).and_then(|key| self.blocks.get(*key)) else { continue };
            let variable = self.variables.get(block.variable).filter(|variable| !variable.gone);
            if variable.is_none_or(|variable| self.workspaces.get(variable.home).is_none()) {
                continue;
            }
            leases.extend(block.live_leases().map(|(lease, value)| OrphanedLease {
                lease: LeaseId(lease),
                index: value.index,
                deaths: value.deaths,
            }));
        }
        Some(Adopted { session, leases })
    }

    /// Answers with a session in this one's care that has ended, or waits for one.
    pub(crate) fn adopt(&mut self, call: Call, wait: Wait) -> Outcome<V> {
        if let Some(adopted) = self.next_orphans(call.session) {
            return Ok(Some(Reply::Adopted(adopted)));
        }
        if wait == Wait::No {
            return Ok(Some(Reply::TimedOut));
        }
        self.check_may_wait(call.session)?;
        self.park(call, wait, Wish::Orphans);
        Ok(None)
    }
}
