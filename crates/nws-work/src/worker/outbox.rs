//! Results that have not been sent yet.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use nws_proto::{Descriptor, FinishItem, Item, Language, LeaseId};

use super::queue::Task;
use crate::clock::monotonic_ns;
use crate::envelope::{LONE_RESULT_AT, TaskHead, add_result, begin_results};

/// Longest time that a result waits for others to travel with, in nanoseconds.
const DELAY_NS: u64 = 1_000_000;
/// A batch of this many bytes does not wait for more.
const BATCH_BYTES: usize = 64 << 10;
/// A batch of this many results does not wait for more.
const BATCH_RESULTS: usize = 4096;

/// Whether the outbox wants to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    Later,
    Now,
}

/// What was in the outbox.
#[derive(Debug)]
pub(super) struct Sent {
    /// What tasks said, to be stored before their results.
    pub(super) said: Vec<Item<Bytes>>,
    pub(super) items: Vec<FinishItem<Bytes>>,
    /// Whose results these are.
    pub(super) tasks: Vec<(LeaseId, TaskHead)>,
}

/// What is put in first leaves first, whichever thread sends it.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Held from taking out to having sent.
    turn: Mutex<()>,
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Short results, those of a run together as one value.
    buffer: Vec<u8>,
    /// Whose results these are.
    short: Vec<(LeaseId, TaskHead)>,
    groups: Vec<Group>,
    long: Vec<((LeaseId, TaskHead), Vec<u8>)>,
    said: Vec<Item<Bytes>>,
    said_bytes: usize,
    since_ns: u64,
    closed: bool,
}

/// Short results of one run. The leases of a run end together, by themselves or all at once: so where
/// the first is refused, which the value goes with, nothing of the others is lost.
#[derive(Clone, Copy, Debug)]
struct Group {
    run: u32,
    /// Where its value begins in the buffer, and its first task among the short ones.
    start: usize,
    first: usize,
}

/// Whether a result travels alone.
pub(super) fn is_long(result: &[u8]) -> bool {
    result.len() >= BATCH_BYTES
}

impl Outbox {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock, so the state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a result; a long one is taken, not copied.
    pub(super) fn put(&self, task: &Task, result: &mut Vec<u8>, now_ns: u64, duration_ns: u64) -> Urgency {
        let mut state = self.state();
        let was_empty = state.is_empty();
        if was_empty {
            state.since_ns = now_ns;
        }
        let long = is_long(result);
        if long {
            state.long.push(((task.lease, task.head), std::mem::take(result)));
        } else {
            state.add_short(task, result);
        }
        let full = long || state.is_full();
        let old = duration_ns >= DELAY_NS / 2 || now_ns.saturating_sub(state.since_ns) >= DELAY_NS;
        if full || old {
            return Urgency::Now;
        }
        if was_empty {
            self.filled.notify_one();
        }
        Urgency::Later
    }

    /// Adds what a task said: it leaves before the results that are put in later.
    pub(super) fn say(&self, value: Vec<u8>, now_ns: u64) -> Urgency {
        let mut state = self.state();
        if state.is_empty() {
            state.since_ns = now_ns;
            self.filled.notify_one();
        }
        state.said_bytes += value.len();
        state.said.push(Item { descriptor: Descriptor::bytes(Language::Rust), value: Bytes::from(value) });
        if state.is_full() { Urgency::Now } else { Urgency::Later }
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives all there is to `send`, if there is anything. Nobody else sends meanwhile.
    pub(super) fn send<R>(&self, send: impl FnOnce(Sent) -> R) -> Option<R> {
        let _turn = self.turn();
        self.take().map(send)
    }

    /// Adds a result and gives all there is to `send`: no other thread can come between and send it.
    pub(super) fn put_and_send<R>(
        &self,
        task: &Task,
        result: &mut Vec<u8>,
        now_ns: u64,
        send: impl FnOnce(Sent) -> R,
    ) -> Option<R> {
        let _turn = self.turn();
        self.put(task, result, now_ns, 0);
        self.take().map(send)
    }

    fn take(&self) -> Option<Sent> {
        let mut state = self.state();
        if state.is_empty() {
            return None;
        }
        let said = std::mem::take(&mut state.said);
        state.said_bytes = 0;
        let capacity = state.buffer.len();
        let buffer = Bytes::from(std::mem::replace(&mut state.buffer, Vec::with_capacity(capacity)));
        let count = state.short.len();
        let mut tasks = std::mem::replace(&mut state.short, Vec::with_capacity(count));
        let groups = std::mem::take(&mut state.groups);
        let long = std::mem::take(&mut state.long);
        drop(state);
        let mut items = Vec::with_capacity(tasks.len() + long.len());
        for (at, group) in groups.iter().enumerate() {
            let next = groups.get(at + 1);
            let end = next.map_or(buffer.len(), |next| next.start);
            let members = tasks.get(group.first..next.map_or(count, |next| next.first)).unwrap_or_default();
            // One alone needs nothing around it.
            let start = if members.len() == 1 { group.start + LONE_RESULT_AT } else { group.start };
            let mut value = Some(buffer.slice(start..end));
            items.extend(members.iter().map(|(lease, _)| finish_item(*lease, value.take())));
        }
        for (task, value) in long {
            tasks.push(task);
            items.push(finish_item(task.0, Some(Bytes::from(value))));
        }
        Some(Sent { said, items, tasks })
    }

    /// Waits until a result has waited long enough; `false` when the box is closed.
    pub(super) fn wait_until_due(&self) -> bool {
        let mut state = self.state();
        loop {
            if state.closed {
                return false;
            }
            if state.is_empty() {
                state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let age_ns = monotonic_ns().saturating_sub(state.since_ns);
            if age_ns >= DELAY_NS {
                return true;
            }
            let rest = Duration::from_nanos(DELAY_NS - age_ns);
            state = self.filled.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub(super) fn close(&self) {
        self.state().closed = true;
        self.filled.notify_all();
    }
}

impl State {
    fn add_short(&mut self, task: &Task, result: &[u8]) {
        if self.groups.last().is_none_or(|group| group.run != task.head.run) {
            let (start, first) = (self.buffer.len(), self.short.len());
            self.groups.push(Group { run: task.head.run, start, first });
            begin_results(&mut self.buffer);
        }
        add_result(&mut self.buffer, result);
        self.short.push((task.lease, task.head));
    }

    fn is_empty(&self) -> bool {
        self.short.is_empty() && self.long.is_empty() && self.said.is_empty()
    }

    fn is_full(&self) -> bool {
        self.buffer.len() + self.said_bytes >= BATCH_BYTES || self.short.len() + self.said.len() >= BATCH_RESULTS
    }
}

/// What ends a lease with this result, or with another's.
fn finish_item(lease: LeaseId, value: Option<Bytes>) -> FinishItem<Bytes> {
    let descriptor = if value.is_some() { Descriptor::bytes(Language::Rust) } else { Descriptor::NOTHING };
    FinishItem { lease, result: Item { descriptor, value: value.unwrap_or_default() } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{Outcome, ResultHead, results};

    fn task(lease: u64) -> Task {
        Task { lease: LeaseId(lease), head: TaskHead { run: 1, index: lease }, value: Bytes::new() }
    }

    fn put(outbox: &Outbox, task: &Task, payload: &[u8]) -> Urgency {
        let head =
            ResultHead { task: task.head, rank: 0, outcome: Outcome::Done, began_ns: 0, duration_ns: 0 }.to_bytes();
        outbox.put(task, &mut [&head, payload].concat(), 0, 10)
    }

    /// Run and index of a task, and the length of its result's payload.
    type Told = (u32, u64, usize);

    /// Leases, with the tasks whose results go with each.
    fn told(sent: &Sent) -> Vec<(u64, Vec<Told>)> {
        let told = sent.items.iter().map(|item| {
            let results = results(&item.result.value);
            (item.lease.0, results.map(|(head, payload)| (head.task.run, head.task.index, payload.len())).collect())
        });
        told.collect()
    }

    #[test]
    fn short_results_of_a_run_travel_as_one_value_and_long_ones_alone() {
        let outbox = Outbox::default();
        let of_another_run = Task { head: TaskHead { run: 2, index: 4 }, ..task(4) };
        assert_eq!(put(&outbox, &task(1), &[1]), Urgency::Later);
        assert_eq!(put(&outbox, &task(2), &[2; 2]), Urgency::Later);
        assert_eq!(put(&outbox, &task(3), &[3; BATCH_BYTES]), Urgency::Now);
        assert_eq!(put(&outbox, &of_another_run, &[4; 4]), Urgency::Later);
        let sent = outbox.take().unwrap();
        let expected =
            [(1, vec![(1, 1, 1), (1, 2, 2)]), (2, vec![]), (4, vec![(2, 4, 4)]), (3, vec![(1, 3, BATCH_BYTES)])];
        assert_eq!(told(&sent), expected);
        assert_eq!(sent.items[1].result.descriptor, Descriptor::NOTHING);
        let tasks: Vec<_> = sent.tasks.iter().map(|(lease, head)| (lease.0, head.run)).collect();
        assert_eq!(tasks, [(1, 1), (2, 1), (4, 2), (3, 1)], "in the order of the items");
        assert!(outbox.take().is_none());
    }

    #[test]
    fn a_long_result_is_taken_rather_than_copied() {
        let mut long = vec![3; BATCH_BYTES];
        Outbox::default().put(&task(3), &mut long, 0, 10);
        assert!(long.is_empty());
    }

    #[test]
    fn a_thread_that_is_slow_to_send_is_overtaken_by_no_other() {
        let outbox = Outbox::default();
        outbox.say(vec![7], 0);
        let (overtaken, waited) = std::sync::mpsc::channel();
        let order = Mutex::new(Vec::new());
        let sent = |sent: Sent| order.lock().unwrap().push((sent.said.len(), sent.items.len()));
        std::thread::scope(|scope| {
            outbox.send(|first| {
                let (outbox, sent) = (&outbox, &sent);
                scope.spawn(move || {
                    outbox.put_and_send(&task(1), &mut vec![1], 0, sent);
                    overtaken.send(()).unwrap();
                });
                assert!(waited.recv_timeout(Duration::from_millis(100)).is_err(), "another has sent meanwhile");
                sent(first);
            });
        });
        assert_eq!(order.into_inner().unwrap(), [(1, 0), (0, 1)]);
    }

    #[test]
    fn what_is_put_in_to_be_sent_is_sent_by_who_put_it_in() {
        let outbox = Outbox::default();
        outbox.say(vec![7], 0);
        let sent = outbox.put_and_send(&task(1), &mut vec![1], 0, |sent| (sent.said.len(), sent.items.len()));
        assert_eq!(sent, Some((1, 1)));
        assert!(outbox.send(|_| ()).is_none());
    }

    #[test]
    fn a_result_of_a_long_task_does_not_wait() {
        let outbox = Outbox::default();
        assert_eq!(outbox.put(&task(1), &mut vec![1], 5, DELAY_NS), Urgency::Now);
    }

    #[test]
    fn what_a_task_says_leaves_with_its_result_or_soon_by_itself() {
        let outbox = Outbox::default();
        assert_eq!(outbox.say(vec![7], monotonic_ns()), Urgency::Later);
        assert!(outbox.wait_until_due());
        assert_eq!(outbox.put(&task(1), &mut vec![1], monotonic_ns(), 10), Urgency::Now, "it has waited");
        let sent = outbox.take().unwrap();
        assert_eq!((sent.said.len(), sent.items.len()), (1, 1));
        assert_eq!(outbox.say(vec![0; BATCH_BYTES], 0), Urgency::Now);
    }

    #[test]
    fn a_result_that_others_do_not_follow_is_due_soon() {
        let outbox = Outbox::default();
        outbox.put(&task(1), &mut vec![1], monotonic_ns(), 10);
        assert!(outbox.wait_until_due());
        outbox.close();
        assert!(!outbox.wait_until_due());
    }
}
