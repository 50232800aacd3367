//! Brings the two halves of a death together: the process that ended, which the host sees, and the
//! session that ended, which the server tells.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use nws_proto::{Adopted, SessionId};

use super::crew::Death;

/// How long the end of a process waits for that of its session before the master is told.
const ADOPTION_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a process may live after its session has ended: it may just be dying.
const SILENCE_GRACE: Duration = Duration::from_millis(500);
/// Deaths told without their session that are remembered, in case it is told yet.
const LATE_DEATHS: usize = 256;

/// Halves whose other half has not come yet.
#[derive(Debug, Default)]
pub(super) struct Deaths {
    waiting: Vec<(Death, Instant)>,
    late: VecDeque<Death>,
    /// Sessions of workers that still live.
    adopted: Vec<(Adopted, Instant)>,
}

/// What to do about a half that has come.
#[derive(Debug)]
pub(super) enum Step {
    /// Wait for the other.
    Wait,
    /// Both are there: settle the leases and tell the master.
    Settle(Death, Adopted),
    /// The session came after the master was told: settle the leases.
    SettleLate(Death, Adopted),
    /// There is no other half: the worker had not connected.
    Tell(Death),
    /// No worker had this session.
    Unknown(Adopted),
}

impl Deaths {
    /// A process has ended.
    pub(super) fn process(&mut self, death: Death, now: Instant) -> Step {
        let Some(session) = death.session else { return Step::Tell(death) };
        match self.adopted.iter().position(|(adopted, _)| adopted.session == session) {
            Some(at) => Step::Settle(death, self.adopted.swap_remove(at).0),
            None => {
                self.waiting.push((death, now + ADOPTION_TIMEOUT));
                Step::Wait
            }
        }
    }

    /// A session has ended. `lives`: the process of its worker has not.
    pub(super) fn session(&mut self, adopted: Adopted, lives: bool, now: Instant) -> Step {
        let is_its = |death: &Death| death.session == Some(adopted.session);
        if let Some(at) = self.waiting.iter().position(|(death, _)| is_its(death)) {
            return Step::Settle(self.waiting.swap_remove(at).0, adopted);
        }
        if let Some(death) = self.late.iter().position(is_its).and_then(|at| self.late.remove(at)) {
            return Step::SettleLate(death, adopted);
        }
        if lives {
            self.adopted.push((adopted, now + SILENCE_GRACE));
            Step::Wait
        } else {
            Step::Unknown(adopted)
        }
    }

    /// Deaths that have waited long enough for their session.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<Death> {
        let overdue: Vec<Death> =
            self.waiting.extract_if(.., |(_, until)| *until <= now).map(|(death, _)| death).collect();
        for death in &overdue {
            self.late.push_back(death.clone());
        }
        let excess = self.late.len().saturating_sub(LATE_DEATHS);
        self.late.drain(..excess);
        overdue
    }

    /// Sessions whose workers have lived too long after them. Each is given once; the other half
    /// comes when the worker has been ended.
    pub(super) fn silent(&mut self, now: Instant) -> Vec<SessionId> {
        let far = now + Duration::from_secs(3600);
        let silent = self.adopted.iter_mut().filter(|(_, until)| *until <= now);
        silent
            .map(|(adopted, until)| {
                *until = far;
                adopted.session
            })
            .collect()
    }

    /// When [`Deaths::overdue`] or [`Deaths::silent`] will next have something.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let waiting = self.waiting.iter().map(|(_, until)| *until);
        waiting.chain(self.adopted.iter().map(|(_, until)| *until)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Cause;

    fn death(session: Option<u64>) -> Death {
        Death {
            rank: 0,
            pid: 1,
            at_ns: 0,
            cause: Cause::default(),
            session: session.map(SessionId),
            running: None,
            passed_over: Vec::new(),
            charges: true,
            ended: None,
            written: Default::default(),
        }
    }

    fn adopted(session: u64) -> Adopted {
        Adopted { session: SessionId(session), leases: Vec::new() }
    }

    #[test]
    fn the_halves_meet_in_either_order() {
        let (mut deaths, now) = (Deaths::default(), Instant::now());
        assert!(matches!(deaths.process(death(Some(7)), now), Step::Wait));
        assert!(matches!(deaths.session(adopted(7), false, now), Step::Settle(..)));
        assert!(matches!(deaths.session(adopted(8), true, now), Step::Wait));
        assert!(matches!(deaths.process(death(Some(8)), now), Step::Settle(..)));
        assert_eq!(deaths.next_deadline(), None);
    }

    #[test]
    fn a_worker_that_never_connected_waits_for_nothing() {
        let mut deaths = Deaths::default();
        assert!(matches!(deaths.process(death(None), Instant::now()), Step::Tell(_)));
    }

    #[test]
    fn a_session_that_is_told_late_is_settled_yet() {
        let (mut deaths, now) = (Deaths::default(), Instant::now());
        deaths.process(death(Some(7)), now);
        assert!(deaths.overdue(now).is_empty());
        assert_eq!(deaths.overdue(now + ADOPTION_TIMEOUT).len(), 1);
        assert!(matches!(deaths.session(adopted(7), false, now), Step::SettleLate(..)));
        assert!(matches!(deaths.session(adopted(7), false, now), Step::Unknown(_)));
    }

    #[test]
    fn a_worker_that_outlives_its_session_is_given_a_moment_and_then_named_once() {
        let (mut deaths, now) = (Deaths::default(), Instant::now());
        deaths.session(adopted(7), true, now);
        assert!(deaths.silent(now).is_empty());
        assert_eq!(deaths.next_deadline(), Some(now + SILENCE_GRACE));
        assert_eq!(deaths.silent(now + SILENCE_GRACE), [SessionId(7)]);
        assert!(deaths.silent(now + SILENCE_GRACE).is_empty());
        assert!(matches!(deaths.process(death(Some(7)), now), Step::Settle(..)));
    }
}
