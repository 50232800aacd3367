//! Who takes from a variable, and who is asked to share.

use std::collections::BTreeSet;

use nws_proto::{Event, SessionId};

use super::{Arrival, Check, Model, Script};

impl Model {
    /// How many sessions wait to fetch from a variable or hold leases of it; `with` counts too.
    pub(super) fn consumers(&self, at: usize, with: Option<SessionId>) -> usize {
        let waiting = self.waiting.iter().filter(|waiting| waiting.fetches_from(at)).map(|waiting| waiting.session);
        let holding = self.leases.values().filter(|lease| lease.variable == at).map(|lease| lease.session);
        waiting.chain(holding).chain(with).collect::<BTreeSet<_>>().len()
    }

    fn held(&self, at: usize, session: SessionId) -> usize {
        self.leases.values().filter(|lease| lease.variable == at && lease.session == session).count()
    }

    /// A recall must follow where someone has at least two more than the one who waits, can be
    /// asked, and has no question open; it goes to one who has the most.
    pub(super) fn recall_for(&mut self, at: usize, hungry: SessionId, script: &mut Script) -> Check<bool> {
        let has = self.held(at, hungry);
        let may_be_asked = |session: SessionId| {
            let client = &self.sessions[&session];
            let handle = client.known_as.get(&at);
            let leads_here = handle
                .is_some_and(|handle| matches!(self.place(session, *handle), Ok((_, _, Some(found))) if found == at));
            session != hungry && client.recall.is_none() && !client.spent.contains(&at) && leads_here
        };
        let askable = self.sessions.keys().copied().filter(|session| may_be_asked(*session));
        let held: Vec<_> = askable.map(|session| (session, self.held(at, session))).collect();
        let most = held.iter().map(|(_, held)| *held).max().unwrap_or(0);
        if most < 2 || most < has + 2 {
            return Ok(false);
        }
        let (session, event) = script.event()?;
        let handle = self.sessions.get(&session).and_then(|client| client.known_as.get(&at)).copied();
        let expected = handle.map(|variable| Event::Recall { variable, wanted: ((most - has) / 2) as u32 });
        if Some(&event) != expected.as_ref() || !held.contains(&(session, most)) {
            return Err(format!("expected a recall {expected:?} to one of {held:?}, got {event:?} to {session}"));
        }
        self.client(session).recall = Some(at);
        Ok(true)
    }

    pub(super) fn recall_for_waiting(&mut self, at: usize, script: &mut Script) -> Check {
        if !self.variables[at].alive {
            return Ok(());
        }
        for waiting in self.waiting.clone() {
            let hungry = waiting.ask().is_some_and(|ask| ask.variable == at && ask.wanted.lease && !ask.iterates());
            if hungry && self.recall_for(at, waiting.session, script)? {
                break;
            }
        }
        Ok(())
    }

    /// Who waits while it holds fewer than before may have reason to ask now.
    pub(super) fn recall_for_lessened(&mut self, session: SessionId, of: Vec<usize>, script: &mut Script) -> Check {
        for at in of.into_iter().collect::<BTreeSet<_>>() {
            let hungry = |ask: super::Ask| ask.variable == at && ask.wanted.lease && !ask.iterates();
            let mut own = self.waiting.iter().filter(|waiting| waiting.session == session);
            if own.any(|waiting| waiting.ask().is_some_and(hungry)) {
                self.recall_for(at, session, script)?;
            }
        }
        Ok(())
    }

    pub(super) fn recall_answered(
        &mut self,
        session: SessionId,
        values: Vec<(usize, Arrival)>,
        script: &mut Script,
    ) -> Check {
        let asked = self.client(session).recall.take();
        if let Some(at) = asked {
            if values.iter().any(|(of, _)| *of == at) {
                self.client(session).spent.remove(&at);
            } else {
                self.client(session).spent.insert(at);
            }
        }
        self.restore(values, Some(session), script)?;
        let held = self.leases.values().filter(|lease| lease.session == session).map(|lease| lease.variable);
        for at in held.chain(asked).collect::<BTreeSet<_>>() {
            self.recall_for_waiting(at, script)?;
        }
        Ok(())
    }
}
