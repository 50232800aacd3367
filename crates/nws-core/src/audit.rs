//! Whether the tables agree with each other.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use hashbrown::HashMap;
use nws_proto::SessionId;

use crate::chores::Chore;
use crate::core::Core;
use crate::effect::Payload;
use crate::memory::{variable_bytes, workspace_bytes};
use crate::names::Binding;
use crate::slab::Key;
use crate::waiting::Wish;

/// What the waiters and blocks say about one variable.
#[derive(Default)]
struct Seen {
    finders: u32,
    fetchers: u32,
    blocks: u32,
    leased: u64,
    bytes: u64,
    /// How often each session waits, and how many leases it holds.
    consumers: HashMap<SessionId, (u32, u32)>,
}

fn same<T: PartialEq + core::fmt::Debug>(what: &str, has: T, expected: T) -> Result<(), String> {
    if has == expected { Ok(()) } else { Err(format!("{what}: expected {expected:?}, found {has:?}")) }
}

impl<V: Payload, J> Core<V, J> {
    /// Walks through all tables and says where they disagree: a defect of this crate. For tests
    /// and simulations; it takes as long as there is state.
    ///
    /// # Errors
    /// What disagrees, for people.
    pub fn audit(&self) -> Result<(), String> {
        let mut seen = BTreeMap::new();
        self.audit_waiters(&mut seen)?;
        self.audit_blocks(&mut seen)?;
        self.audit_names()?;
        let (mut values, mut bytes) = (0, 0);
        for (key, variable) in self.variables.iter() {
            let seen = seen.remove(&key).unwrap_or_default();
            if variable.gone {
                same("bytes of a variable that is gone", (variable.bytes, variable.kept.len()), (0, 0))?;
                continue;
            }
            let kept: u64 = variable.kept.iter().map(|value| value.item.value.held_bytes()).sum();
            same("kept values", variable.kept.len(), variable.kept.iter().count())?;
            same("finders of a variable", variable.finders.len(), seen.finders)?;
            same("fetchers of a variable", variable.fetchers.len(), seen.fetchers)?;
            same("blocks of a variable", variable.blocks.len(), seen.blocks)?;
            same("leases of a variable", variable.leased, seen.leased)?;
            same("bytes of a variable", variable.bytes, kept + seen.bytes)?;
            variable.consumers.audit(&seen.consumers)?;
            values += variable.kept.len() as u64 + variable.leased;
            bytes += variable.bytes;
        }
        same("values", self.values, values)?;
        same("bytes", self.bytes, bytes)?;
        self.audit_names_bytes()?;
        same("what belongs to no variable", seen.len(), 0)
    }

    fn audit_waiters(&self, seen: &mut BTreeMap<Key, Seen>) -> Result<(), String> {
        let mut deadlines = BTreeSet::new();
        let mut adopters: HashMap<SessionId, u32> = HashMap::new();
        for (key, waiter) in self.waiters.iter() {
            let listed = self.sessions.get(&waiter.session).and_then(|open| open.waiting.get(&waiter.request));
            same("the session's entry of a waiter", listed, Some(&key))?;
            deadlines.extend(waiter.deadline_ms.map(|deadline_ms| (deadline_ms, key)));
            match waiter.wish {
                Wish::Orphans => *adopters.entry(waiter.session).or_default() += 1,
                Wish::Values(ask) => {
                    let seen = seen.entry(ask.variable).or_default();
                    if ask.take {
                        seen.fetchers += 1;
                        seen.consumers.entry(waiter.session).or_default().0 += 1;
                    } else {
                        seen.finders += 1;
                    }
                }
            }
        }
        same("deadlines", &self.deadlines, &deadlines)?;
        let listed: usize = self.sessions.values().map(|open| open.waiting.len()).sum();
        same("waiters listed by sessions", listed, self.waiters.len())?;
        for (session, open) in &self.sessions {
            same("adopters", open.adopters.len(), adopters.get(session).copied().unwrap_or(0))?;
        }
        Ok(())
    }

    fn audit_blocks(&self, seen: &mut BTreeMap<Key, Seen>) -> Result<(), String> {
        let mut leased: HashMap<SessionId, u32> = HashMap::new();
        let ended = self.blocks_of_ended_sessions();
        for (key, block) in self.blocks.iter() {
            let live = block.live_leases().count() as u32;
            same("live leases of a block", block.live, live)?;
            same("whether a block is empty", live == 0, false)?;
            let listed = match self.sessions.get(&block.session) {
                Some(open) => open.blocks.get(&block.first),
                None => ended.get(&(block.session, block.first)),
            };
            same("the session's entry of a block", listed, Some(&key))?;
            *leased.entry(block.session).or_default() += live;
            let seen = seen.entry(block.variable).or_default();
            seen.blocks += 1;
            seen.leased += u64::from(live);
            seen.bytes += block.live_leases().map(|(_, value)| value.item.value.held_bytes()).sum::<u64>();
            seen.consumers.entry(block.session).or_default().1 += live;
        }
        let listed: usize = self.sessions.values().map(|open| open.blocks.len()).sum();
        same("blocks listed by sessions", listed + ended.len(), self.blocks.len())?;
        for (session, open) in &self.sessions {
            same("leases of a session", open.leased, leased.get(session).copied().unwrap_or(0))?;
        }
        Ok(())
    }

    /// Those that are about to go to a guardian or to return.
    fn blocks_of_ended_sessions(&self) -> HashMap<(SessionId, u64), Key> {
        let mut ended = HashMap::new();
        for chore in &self.chores {
            if let Chore::Leases { session, blocks, .. } = chore {
                let alive = blocks.iter().filter(|(_, key)| self.blocks.get(**key).is_some());
                ended.extend(alive.map(|(first, key)| ((*session, *first), *key)));
            }
        }
        ended
    }

    fn audit_names_bytes(&self) -> Result<(), String> {
        let workspaces = self.workspaces.iter().map(|(_, workspace)| workspace_bytes(&workspace.name)).sum::<u64>();
        let variables = self.variables.iter().filter(|(_, variable)| !variable.gone);
        let variables = variables.map(|(_, variable)| variable_bytes(&variable.name)).sum::<u64>();
        let mut handles = 0;
        for open in self.sessions.values() {
            let opened = open.workspaces.values().map(|opening| opening.bytes).sum::<u64>();
            let bound = open.variables.values().map(Binding::bytes).sum::<u64>();
            same("bytes of a session's names", open.names_bytes, opened + bound)?;
            handles += open.names_bytes;
        }
        same("bytes of names", self.names_bytes, workspaces + variables + handles)
    }

    fn audit_names(&self) -> Result<(), String> {
        same("names of workspaces", self.names.len(), self.workspaces.len())?;
        let mut variables = 0;
        for (name, key) in &self.names {
            let workspace = self.workspaces.get(*key);
            same("the name of a workspace", workspace.map(|workspace| &workspace.name), Some(name))?;
            for (name, key) in workspace.iter().flat_map(|workspace| &workspace.variables) {
                same("the name of a variable", self.variables.get(*key).map(|variable| &variable.name), Some(name))?;
                variables += 1;
            }
        }
        let gone = self.variables.iter().filter(|(_, variable)| variable.gone).count();
        let to_go = self.chores.iter().map(|chore| match chore {
            Chore::Variables { variables, .. } => variables.len(),
            _ => 0,
        });
        same("variables listed by workspaces", variables + gone + to_go.sum::<usize>(), self.variables.len())
    }
}
