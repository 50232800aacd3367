//! The bundle of tasks that a worker runs.
//!
//! The thread that runs tasks takes one after the other. Where they take longer than was thought, those that it
//! has not begun are given to others by another thread, also while one is run: so who takes the next one is
//! decided by one atomic step, and what follows for the lease is decided under a lock.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use nws_proto::LeaseId;

use super::task::Task;
use crate::envelope::{TASK_HEAD_BYTES, TaskHead, next_payload};

const ONE_BEGUN: u64 = 1 << 32;

/// How many tasks of the bundle were begun, in the upper half, and how many it has.
fn parts(state: u64) -> (u32, u32) {
    ((state >> 32) as u32, state as u32)
}

#[derive(Debug, Default)]
pub(super) struct Hand {
    state: AtomicU64,
    bundle: Mutex<Option<Held>>,
}

#[derive(Debug)]
struct Held {
    lease: LeaseId,
    first: TaskHead,
    value: Bytes,
    /// Where the payload of the first task is.
    payload: Range<usize>,
    since_ns: u64,
    parting: Option<Arc<Parting>>,
    /// Nothing is to be run any more, and the lease is nobody's to end.
    closed: bool,
}

/// Tasks that were taken out of a bundle, on their way back to the server.
#[derive(Debug, Default)]
pub(super) struct Parting(Mutex<Phase>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// The server has not answered.
    #[default]
    Asked,
    /// It has not, and the last task of the worker's part is done.
    Left,
    /// The server has them.
    Taken,
    /// The server does not take them: they stay this worker's, by the lease of the bundle.
    Refused,
}

/// The tasks that were not begun.
#[derive(Debug)]
pub(super) struct Rest {
    pub(super) lease: LeaseId,
    pub(super) first: TaskHead,
    pub(super) payloads: Vec<Range<usize>>,
    pub(super) value: Bytes,
    pub(super) parting: Arc<Parting>,
}

impl Parting {
    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server has taken the rest: `end` is called where the lease is to be ended now.
    pub(super) fn taken(&self, end: impl FnOnce()) {
        let mut phase = self.phase();
        if *phase == Phase::Left {
            end();
        }
        *phase = Phase::Taken;
    }

    /// The server has not taken the rest.
    pub(super) fn refused(&self) {
        *self.phase() = Phase::Refused;
    }
}

impl Rest {
    /// Each as a value of its own.
    pub(super) fn tasks(&self) -> impl Iterator<Item = Vec<u8>> {
        let heads = (self.first.index..).map(|index| TaskHead { index, ..self.first });
        heads.zip(&self.payloads).map(|(head, payload)| {
            let mut task = Vec::with_capacity(TASK_HEAD_BYTES + payload.len());
            head.encode(&mut task);
            task.extend_from_slice(self.value.get(payload.clone()).unwrap_or_default());
            task
        })
    }

    /// The first of these, to be run here after all.
    pub(super) fn into_task(self) -> Option<Task> {
        let count = u32::try_from(self.payloads.len()).ok()?;
        let payload = self.payloads.into_iter().next()?;
        Some(Task::of_bundle(self.lease, self.first, self.value, payload, count))
    }
}

impl Hand {
    fn bundle(&self) -> MutexGuard<'_, Option<Held>> {
        // No code that can panic runs under this lock, so the bundle is whole.
        self.bundle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A bundle begins with this task, which is the worker's to run.
    pub(super) fn take_up(&self, task: &Task, now_ns: u64) {
        let mut bundle = self.bundle();
        *bundle = Some(Held {
            lease: task.lease,
            first: task.head,
            value: task.value.clone(),
            payload: task.payload.clone(),
            since_ns: now_ns,
            parting: None,
            closed: false,
        });
        self.state.store(ONE_BEGUN | u64::from(task.count), Ordering::SeqCst);
    }

    /// Whether there is a bundle with tasks that were not begun.
    pub(super) fn has_rest(&self) -> bool {
        let (begun, count) = parts(self.state.load(Ordering::SeqCst));
        begun < count
    }

    /// Takes the next task of the bundle, where there is one: it is the worker's to run then.
    pub(super) fn claim(&self) -> bool {
        let (begun, count) = parts(self.state.load(Ordering::Relaxed));
        // Whoever takes the rest away changes this; only this thread claims.
        begun < count && {
            let (begun, count) = parts(self.state.fetch_add(ONE_BEGUN, Ordering::AcqRel));
            begun < count
        }
    }

    /// The bundle has no task for this worker any more: `put` is called with whether the lease ends with the
    /// result of the last one.
    pub(super) fn leave<R>(&self, put: impl FnOnce(bool) -> R) -> R {
        let mut bundle = self.bundle();
        let Some(held) = bundle.take() else { return put(true) };
        self.state.store(0, Ordering::SeqCst);
        if held.closed {
            return put(false);
        }
        let Some(parting) = held.parting else { return put(true) };
        let mut phase = parting.phase();
        match *phase {
            Phase::Asked => {
                *phase = Phase::Left;
                // The lock is held until the result is there, so that nobody ends the lease before.
                put(false)
            }
            Phase::Taken => put(true),
            Phase::Left | Phase::Refused => put(false),
        }
    }

    /// Takes what was not begun out of a bundle that has gone on since `before_ns`.
    pub(super) fn part(&self, before_ns: u64) -> Option<Rest> {
        let mut bundle = self.bundle();
        let held = bundle.as_mut().filter(|held| held.since_ns <= before_ns && held.parting.is_none())?;
        let (begun, count) = self.cut()?;
        let mut payloads = Vec::with_capacity((count - begun) as usize);
        let mut payload = held.payload.clone();
        for place in 1..count {
            payload = next_payload(&held.value, payload.end)?;
            if place >= begun {
                payloads.push(payload.clone());
            }
        }
        let parting = held.parting.insert(Arc::default()).clone();
        let first = TaskHead { index: held.first.index + u64::from(begun), ..held.first };
        Some(Rest { lease: held.lease, first, payloads, value: held.value.clone(), parting })
    }

    /// Leaves those that were begun: how many these are, and how many there were.
    fn cut(&self) -> Option<(u32, u32)> {
        let cut = |state| {
            let (begun, count) = parts(state);
            (begun < count).then_some(u64::from(begun) << 32 | u64::from(begun))
        };
        self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, cut).ok().map(parts)
    }

    /// Nothing is begun any more.
    pub(super) fn close(&self) {
        let mut bundle = self.bundle();
        if let (Some(held), Some(_)) = (bundle.as_mut(), self.cut()) {
            held.closed = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use nws_proto::Index;

    use super::*;
    use crate::envelope::{Bundle, Bundles};

    /// A bundle of so many tasks, whose payloads are their indexes from 10 on.
    fn bundle(count: u8) -> Task {
        let mut bundles = Bundles::new(1);
        for index in 0..count {
            let encode = |buffer: &mut Vec<u8>| {
                buffer.push(10 + index);
                Ok::<(), ()>(())
            };
            bundles.push(10 + u64::from(index), 100, encode).unwrap();
        }
        let value = Bytes::from(bundles.take(0).0);
        Task::new(LeaseId(5), Index(0), 0, Bundle::decode(&value).unwrap(), value).unwrap()
    }

    fn left(hand: &Hand) -> bool {
        hand.leave(|ends| ends)
    }

    #[test]
    fn tasks_are_taken_one_by_one_and_the_last_ends_the_lease() {
        let hand = Hand::default();
        assert!(!hand.claim() && !hand.has_rest());
        hand.take_up(&bundle(3), 0);
        assert!(hand.has_rest());
        assert_eq!([(); 3].map(|()| hand.claim()), [true, true, false]);
        assert!(left(&hand) && !hand.has_rest());
    }

    #[test]
    fn what_was_not_begun_can_be_taken_away_once_it_has_waited() {
        let hand = Hand::default();
        hand.take_up(&bundle(5), 100);
        assert!(hand.claim());
        assert!(hand.part(99).is_none());
        let rest = hand.part(100).unwrap();
        assert_eq!((rest.lease, rest.first), (LeaseId(5), TaskHead { run: 1, index: 12 }));
        let payloads: Vec<&[u8]> = rest.payloads.iter().map(|range| &rest.value[range.clone()]).collect();
        assert_eq!(payloads, [[12], [13], [14]]);
        assert!(hand.part(100).is_none() && !hand.claim());
    }

    #[test]
    fn the_lease_ends_when_the_last_task_is_done_and_the_rest_has_a_place() {
        for (taken_first, ends) in [(true, true), (false, false)] {
            let hand = Hand::default();
            hand.take_up(&bundle(2), 0);
            let rest = hand.part(0).unwrap();
            let mut ended_later = false;
            if taken_first {
                rest.parting.taken(|| ended_later = true);
            }
            assert_eq!(left(&hand), ends);
            if !taken_first {
                rest.parting.taken(|| ended_later = true);
            }
            assert_eq!(ended_later, !taken_first);
        }
    }

    #[test]
    fn a_rest_that_the_server_refuses_keeps_the_lease() {
        let hand = Hand::default();
        hand.take_up(&bundle(2), 0);
        hand.part(0).unwrap().parting.refused();
        assert!(!left(&hand));
    }

    #[test]
    fn what_is_closed_is_not_gone_on_with_and_keeps_its_lease() {
        let hand = Hand::default();
        hand.take_up(&bundle(2), 0);
        hand.close();
        assert!(!hand.claim() && !left(&hand));
        hand.take_up(&bundle(2), 0);
        assert!(hand.claim());
        hand.close();
        assert!(left(&hand), "nothing of it was left");
    }
}
