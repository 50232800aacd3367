//! How a session ends.

use nws_proto::{Reply, SessionId};

use super::{Check, Model, Script, Wish};

impl Model {
    pub(super) fn end(&mut self, session: SessionId, script: &mut Script) -> Check {
        let Some(ended) = self.sessions.remove(&session) else { return Ok(()) };
        self.waiting.retain(|waiting| waiting.session != session);
        let leases = self.leases_of(session);
        if self.sessions.contains_key(&ended.guardian) {
            self.pass_on(session, ended.guardian, leases, script)?;
        } else {
            let values = leases.iter().filter_map(|id| self.leases.remove(id));
            let values = values.map(|lease| (lease.variable, lease.grant)).collect();
            self.restore(values, None, script)?;
        }
        for at in 0..self.spaces.len() {
            let space = &mut self.spaces[at];
            if space.alive && space.owner == Some(session) {
                space.owner = None;
                if !space.persistent {
                    self.delete_space(at, script)?;
                }
            }
        }
        ended.recall.map_or(Ok(()), |at| self.recall_for_waiting(at, script))
    }

    fn pass_on(
        &mut self,
        ended: SessionId,
        guardian: SessionId,
        leases: Vec<nws_proto::LeaseId>,
        script: &mut Script,
    ) -> Check {
        for id in &leases {
            if let Some(lease) = self.leases.get_mut(id) {
                lease.session = guardian;
                let variable = lease.variable;
                self.client(guardian).spent.remove(&variable);
            }
        }
        self.client(guardian).orphans.push_back((ended, leases));
        let adopts = self
            .waiting
            .iter()
            .position(|waiting| waiting.session == guardian && matches!(waiting.wish, Wish::Orphans));
        let Some(position) = adopts else { return Ok(()) };
        let waiting = self.waiting.remove(position);
        match self.next_orphans(guardian) {
            Some(adopted) => script.expect(guardian, waiting.id, &Reply::Adopted(adopted)),
            None => Ok(()),
        }
    }
}
