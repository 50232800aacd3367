//! The effects of one step, which the model takes one by one.

use std::collections::VecDeque;

use nws_core::Effect;
use nws_proto::{ErrorCode, Event, Fault, Reply, RequestId, SessionId};

use super::Check;
use crate::value::Value;

pub(super) struct Script {
    effects: VecDeque<Effect<Value>>,
}

/// A failure with this code; messages are not compared.
pub(super) fn failed(code: ErrorCode) -> Reply<Value> {
    Reply::Failed(Fault::new(code, ""))
}

fn same(actual: &Reply<Value>, expected: &Reply<Value>) -> bool {
    match (actual, expected) {
        (Reply::Failed(actual), Reply::Failed(expected)) => actual.code == expected.code && !actual.message.is_empty(),
        _ => actual == expected,
    }
}

impl Script {
    pub(super) fn new(effects: Vec<Effect<Value>>) -> Self {
        Self { effects: effects.into() }
    }

    /// The next effect answers this request.
    pub(super) fn next(&mut self, session: SessionId, id: RequestId) -> Check<Reply<Value>> {
        match self.effects.pop_front() {
            Some(Effect::Reply { session: to, request, reply }) if (to, request) == (session, id) => Ok(reply),
            other => Err(format!("expected a reply to request {id} of session {session} next, got {other:?}")),
        }
    }

    /// The next effect is this answer.
    pub(super) fn expect(&mut self, session: SessionId, id: RequestId, expected: &Reply<Value>) -> Check {
        let actual = self.next(session, id)?;
        if same(&actual, expected) {
            return Ok(());
        }
        Err(format!("session {session}, request {id}: expected {expected:?}, got {actual:?}"))
    }

    /// One of the effects is this answer: for what happens to many at once, in no order that counts.
    pub(super) fn anywhere(&mut self, session: SessionId, id: RequestId, expected: &Reply<Value>) -> Check {
        self.bring_forward(session, id)?;
        self.expect(session, id, expected)
    }

    /// Makes the answer to this request the next effect.
    pub(super) fn bring_forward(&mut self, session: SessionId, id: RequestId) -> Check {
        let answers = |effect: &Effect<Value>| matches!(effect, Effect::Reply { session: to, request, .. } if (*to, *request) == (session, id));
        match self.effects.iter().position(answers).and_then(|position| self.effects.remove(position)) {
            Some(effect) => self.effects.push_front(effect),
            None => return Err(format!("expected a reply to request {id} of session {session} in {:?}", self.effects)),
        }
        Ok(())
    }

    /// The next effect is an event.
    pub(super) fn event(&mut self) -> Check<(SessionId, Event)> {
        match self.effects.pop_front() {
            Some(Effect::Event { session, event }) => Ok((session, event)),
            other => Err(format!("expected an event next, got {other:?}")),
        }
    }

    /// There are no more.
    pub(super) fn end(self) -> Check {
        if self.effects.is_empty() { Ok(()) } else { Err(format!("unexpected effects: {:?}", self.effects)) }
    }
}
