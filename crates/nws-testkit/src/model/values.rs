//! Which value goes to whom.

use nws_proto::{Cursor, ErrorCode, Grant, Index, Item, LeaseId, Mode, Reply, RequestId, Retrieve, SessionId, Wait};

use super::requests::Answer;
use super::script::failed;
use super::{Arrival, Ask, Check, Leased, Model, Script, Wish};
use crate::value::Value;

impl Ask {
    pub(super) fn iterates(&self) -> bool {
        self.wanted.cursor != Cursor::Mode
    }
}

/// As many of the values as `most` and the bytes allow; the first always.
fn fitting(values: &[Arrival], most: usize, most_bytes: u64) -> usize {
    let mut bytes = 0;
    let fits = |value: &&Arrival| {
        bytes += u64::from(value.item.value.bytes);
        bytes <= most_bytes
    };
    let fitting = values.iter().take(most).take_while(fits).count();
    if values.is_empty() || most == 0 { 0 } else { fitting.max(1) }
}

impl Model {
    pub(super) fn retrieve(
        &mut self,
        session: SessionId,
        id: RequestId,
        wanted: &Retrieve,
        script: &mut Script,
    ) -> Check<Answer> {
        let (place, ask) = match self.check_retrieve(session, wanted) {
            Ok(checked) => checked,
            Err(code) => return Ok(Err(code)),
        };
        if let Some(ask) = ask {
            let values = self.retrievable(ask);
            if !values.is_empty() || wanted.wait == Wait::No {
                return self.hand_over(session, id, ask, values, script).map(|()| Ok(None));
            }
        } else if wanted.wait == Wait::No {
            let ask = Ask { variable: self.ensure(place), least: 0, wanted: *wanted };
            return self.hand_over(session, id, ask, vec![], script).map(|()| Ok(None));
        }
        if let Err(code) = self.check_may_wait(session) {
            return Ok(Err(code));
        }
        let variable = self.ensure(place);
        let ask = ask.unwrap_or(Ask { variable, least: 0, wanted: *wanted });
        self.park(session, id, wanted.wait, Wish::Values(ask));
        if wanted.lease && !ask.iterates() {
            self.recall_for(variable, session, script)?;
        }
        Ok(Ok(None))
    }

    #[allow(clippy::type_complexity, reason = "used once")]
    fn check_retrieve(
        &self,
        session: SessionId,
        wanted: &Retrieve,
    ) -> Result<((usize, Vec<u8>, Option<usize>), Option<Ask>), ErrorCode> {
        if wanted.lease && !wanted.take || wanted.max_values == 0 {
            return Err(ErrorCode::BadArguments);
        }
        let place = self.place(session, wanted.variable)?;
        let least = match wanted.cursor {
            Cursor::After { variable, index } => {
                let known = place.2.and_then(|at| self.variables[at].id);
                if known != Some(variable) {
                    return Err(ErrorCode::VariableGone);
                }
                index.0 + 1
            }
            _ => 0,
        };
        let mode = place.2.and_then(|at| self.variables[at].mode);
        if wanted.cursor != Cursor::Mode && matches!(mode, Some(Mode::Lifo | Mode::Multi)) {
            return Err(ErrorCode::NotIterable);
        }
        if wanted.lease && self.lease_room(session) == 0 {
            return Err(ErrorCode::TooManyLeases);
        }
        let ask = place.2.map(|variable| Ask { variable, least, wanted: *wanted });
        Ok((place, ask))
    }

    fn lease_room(&self, session: SessionId) -> usize {
        (self.settings.session_leases as usize).saturating_sub(self.leases_of(session).len())
    }

    fn most_bytes(&self, ask: Ask) -> u64 {
        ask.wanted.max_bytes.min(self.settings.batch_bytes).into()
    }

    /// The values that a retrieval could have now, in its order.
    fn retrievable(&self, ask: Ask) -> Vec<Arrival> {
        let variable = &self.variables[ask.variable];
        let kept = variable.kept.range(ask.least..);
        let mut values: Vec<_> = kept
            .map(|(index, (deaths, item))| Grant { index: Index(*index), deaths: *deaths, item: item.clone() })
            .collect();
        if variable.mode == Some(Mode::Lifo) {
            values.reverse();
        }
        values
    }

    /// Answers a retrieval with what it is due of the values that it could have.
    fn hand_over(
        &mut self,
        session: SessionId,
        id: RequestId,
        ask: Ask,
        mut values: Vec<Arrival>,
        script: &mut Script,
    ) -> Check {
        let wanted = &ask.wanted;
        let most = if wanted.take {
            let consumers = self.consumers(ask.variable, Some(session));
            let share = self.variables[ask.variable].kept.len().div_ceil(consumers).max(1);
            let room = if wanted.lease { self.lease_room(session) } else { usize::MAX };
            (wanted.max_values as usize).min(share).min(room)
        } else if ask.iterates() {
            wanted.max_values as usize
        } else {
            1
        };
        let most = most.min(self.settings.batch_values as usize);
        if self.variables[ask.variable].mode == Some(Mode::Multi) {
            return self.hand_over_any(session, id, ask, &values, most, script);
        }
        values.truncate(fitting(&values, most, self.most_bytes(ask)));
        let reply = script.next(session, id)?;
        self.handed_over(session, ask, &values, &reply)
    }

    /// In multi the core chooses: any of the values, none twice, as many as fit.
    fn hand_over_any(
        &mut self,
        session: SessionId,
        id: RequestId,
        ask: Ask,
        values: &[Arrival],
        most: usize,
        script: &mut Script,
    ) -> Check {
        let reply = script.next(session, id)?;
        let Reply::Values { values: chosen, .. } = &reply else {
            return Err(format!("expected values, got {reply:?}"));
        };
        let mut left = values.to_vec();
        for value in chosen {
            let position = left.iter().position(|one| one == value);
            left.remove(position.ok_or(format!("{value:?} is not there, or not twice"))?);
        }
        let most_bytes = self.most_bytes(ask);
        let bytes: u64 = chosen.iter().map(|value| u64::from(value.item.value.bytes)).sum();
        let fits = chosen.len() <= most && (chosen.len() <= 1 || bytes <= most_bytes);
        let another = |value: &Arrival| chosen.is_empty() || bytes + u64::from(value.item.value.bytes) <= most_bytes;
        let full = chosen.len() == most || !left.iter().all(another) || left.is_empty();
        if !fits || !full {
            return Err(format!("{chosen:?} are too many or too few of {values:?}, most {most}"));
        }
        self.handed_over(session, ask, &chosen.clone(), &reply)
    }

    /// The reply must hand out these values; they are the session's then.
    fn handed_over(&mut self, session: SessionId, ask: Ask, values: &[Arrival], reply: &Reply<Value>) -> Check {
        let Reply::Values { variable, first_lease, values: actual } = reply else {
            return Err(format!("session {session}: expected {values:?}, got {reply:?}"));
        };
        if actual != values {
            return Err(format!("session {session}: expected {values:?}, got {actual:?}"));
        }
        self.learn_id(ask.variable, *variable)?;
        let leases = ask.wanted.lease && !values.is_empty();
        if leases != (first_lease.0 != 0) || leases && *first_lease <= self.last_lease {
            return Err(format!("a lease of {first_lease} is wrong, or not new"));
        }
        if !ask.wanted.take {
            return Ok(());
        }
        for (value, lease) in values.iter().zip(first_lease.0..) {
            self.variables[ask.variable].kept.remove(&value.index.0);
            if leases {
                self.last_lease = LeaseId(lease);
                let leased = Leased { session, variable: ask.variable, grant: value.clone() };
                self.leases.insert(self.last_lease, leased);
            }
        }
        if leases {
            let client = self.client(session);
            client.known_as.insert(ask.variable, ask.wanted.variable);
            client.spent.remove(&ask.variable);
        }
        Ok(())
    }

    fn learn_id(&mut self, at: usize, id: nws_proto::VariableId) -> Check {
        let taken = self.variables.iter().any(|variable| variable.id == Some(id));
        match self.variables[at].id {
            Some(known) if known == id => Ok(()),
            None if !taken => {
                self.variables[at].id = Some(id);
                Ok(())
            }
            known => Err(format!("the variable's id is {known:?}, not {id}, or another bears it")),
        }
    }

    pub(super) fn put(&mut self, at: usize, items: &[Item<Value>], script: &mut Script) -> Check {
        let variable = &mut self.variables[at];
        variable.mode.get_or_insert(Mode::Fifo);
        let single = variable.mode == Some(Mode::Single);
        let mut arrivals = Vec::new();
        for item in items {
            arrivals.push(Grant { index: Index(variable.next), deaths: 0, item: item.clone() });
            variable.next += 1;
        }
        if single {
            // As if each were stored by itself.
            for arrival in arrivals {
                self.variables[at].kept.clear();
                self.deal(at, vec![arrival], None, script)?;
            }
        } else {
            self.deal(at, arrivals, None, script)?;
        }
        self.recall_for_waiting(at, script)
    }

    pub(super) fn undelivered(&mut self, id: nws_proto::VariableId, values: &[Arrival], script: &mut Script) -> Check {
        let at = self.variables.iter().position(|variable| variable.alive && variable.id == Some(id));
        let Some(at) = at else { return Ok(()) };
        self.restore(values.iter().map(|value| (at, value.clone())).collect(), None, script)
    }

    /// Values come back: variable by variable, as they were made, and there by index.
    pub(super) fn restore(
        &mut self,
        mut values: Vec<(usize, Arrival)>,
        passed_over: Option<SessionId>,
        script: &mut Script,
    ) -> Check {
        values.sort_by_key(|(at, value)| (*at, value.index));
        let mut variables: Vec<_> = values.iter().map(|(at, _)| *at).collect();
        variables.dedup();
        for at in variables {
            let back = values.iter().filter(|(of, _)| *of == at).map(|(_, value)| value.clone());
            let newest = self.variables[at].next - 1;
            let single = self.variables[at].mode == Some(Mode::Single);
            let back = back.filter(|value| !single || value.index.0 == newest).collect();
            self.deal(at, back, passed_over, script)?;
            self.recall_for_waiting(at, script)?;
        }
        Ok(())
    }

    /// Values come, in order of index: first to all who find, then to those who fetch, as they
    /// wait; the rest is kept.
    fn deal(
        &mut self,
        at: usize,
        mut arrivals: Vec<Arrival>,
        passed_over: Option<SessionId>,
        script: &mut Script,
    ) -> Check {
        for waiting in self.waiting.clone() {
            let Some(ask) = waiting.ask().filter(|ask| ask.variable == at && !ask.wanted.take) else { continue };
            let unseen: Vec<_> = arrivals.iter().filter(|value| value.index.0 >= ask.least).cloned().collect();
            let most = if ask.iterates() { ask.wanted.max_values.min(self.settings.batch_values) } else { 1 };
            let count = fitting(&unseen, most as usize, self.most_bytes(ask));
            if count > 0 {
                self.deliver(waiting.session, waiting.id, ask, &unseen[..count], script)?;
            }
        }
        self.deal_to_fetchers(at, &mut arrivals, &|session| Some(session) != passed_over, script)?;
        self.deal_to_fetchers(at, &mut arrivals, &|session| Some(session) == passed_over, script)?;
        for value in arrivals {
            self.variables[at].kept.insert(value.index.0, (value.deaths, value.item));
        }
        Ok(())
    }

    fn deal_to_fetchers(
        &mut self,
        at: usize,
        arrivals: &mut Vec<Arrival>,
        may: &dyn Fn(SessionId) -> bool,
        script: &mut Script,
    ) -> Check {
        let fetchers: Vec<_> = self.waiting.iter().filter(|waiting| waiting.fetches_from(at)).cloned().collect();
        let share = arrivals.len().div_ceil(self.consumers(at, None).max(1));
        for (position, waiting) in fetchers.iter().enumerate() {
            let Some(ask) = waiting.ask() else { continue };
            let even = arrivals.len().div_ceil(fetchers.len() - position);
            let unseen: Vec<_> = arrivals.iter().filter(|value| value.index.0 >= ask.least).cloned().collect();
            if !may(waiting.session) || unseen.is_empty() {
                continue;
            }
            let mut most = (ask.wanted.max_values.min(self.settings.batch_values) as usize).min(share).min(even);
            if ask.wanted.lease {
                most = most.min(self.lease_room(waiting.session));
            }
            if most == 0 {
                self.waiting.retain(|one| (one.session, one.id) != (waiting.session, waiting.id));
                self.bring_forward_in_single(at, waiting.session, waiting.id, script)?;
                script.expect(waiting.session, waiting.id, &failed(ErrorCode::TooManyLeases))?;
                continue;
            }
            let count = fitting(&unseen, most, self.most_bytes(ask));
            arrivals.retain(|value| !unseen[..count].contains(value));
            self.deliver(waiting.session, waiting.id, ask, &unseen[..count], script)?;
        }
        Ok(())
    }

    /// In single the model goes value by value, and the core request by request.
    fn bring_forward_in_single(&self, at: usize, session: SessionId, id: RequestId, script: &mut Script) -> Check {
        if self.variables[at].mode == Some(Mode::Single) { script.bring_forward(session, id) } else { Ok(()) }
    }

    /// Answers a request that waits.
    fn deliver(
        &mut self,
        session: SessionId,
        id: RequestId,
        ask: Ask,
        values: &[Arrival],
        script: &mut Script,
    ) -> Check {
        self.waiting.retain(|waiting| (waiting.session, waiting.id) != (session, id));
        self.bring_forward_in_single(ask.variable, session, id, script)?;
        let reply = script.next(session, id)?;
        self.handed_over(session, ask, values, &reply)
    }
}
