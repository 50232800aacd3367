//! Results that have not been sent yet.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use nws_proto::{Descriptor, FinishItem, Item, Language, LeaseId};

use super::task::Task;
use crate::clock::monotonic_ns;
use crate::envelope::{LONE_RESULT_AT, TaskHead, add_result, begin_results};

/// Longest time that a result waits for others to travel with, in nanoseconds.
const DELAY_NS: u64 = 4_000_000;
/// The same where each task is to travel by itself.
const SHORT_DELAY_NS: u64 = 1_000_000;
/// How long the tasks of a bundle go on before it is looked whether others should have some, in nanoseconds.
pub(super) const BUNDLE_PATIENCE_NS: u64 = 2_000_000;
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

/// Tasks of one lease that follow each other, whose results are in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) lease: LeaseId,
    pub(super) first: TaskHead,
    pub(super) count: u32,
    /// Whether the lease ends with the last of them.
    pub(super) ends: bool,
}

impl Part {
    fn of(task: &Task, ends: bool) -> Self {
        Self { lease: task.lease, first: task.head, count: 1, ends }
    }

    pub(super) fn tasks(self) -> impl Iterator<Item = TaskHead> {
        (0..u64::from(self.count)).map(move |place| TaskHead { index: self.first.index + place, ..self.first })
    }
}

/// What was in the outbox.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// What tasks said, to be stored before their results.
    pub(super) said: Vec<Item<Bytes>>,
    /// Results with which no lease ends, and whose they are.
    pub(super) partial: Vec<Item<Bytes>>,
    pub(super) open: Vec<Part>,
    /// Results with which leases end, and whose they are.
    pub(super) items: Vec<FinishItem<Bytes>>,
    pub(super) parts: Vec<Part>,
    /// The run of each of the items.
    pub(super) runs: Vec<u32>,
}

impl Sent {
    fn end(&mut self, lease: LeaseId, run: u32, value: Option<Bytes>) {
        self.items.push(finish_item(lease, value));
        self.runs.push(run);
    }

    /// A value with results of these parts: it goes with the first lease that ends, so that it is not there twice.
    fn add(&mut self, parts: &[Part], value: Bytes) {
        let mut value = Some(value);
        for part in parts.iter().filter(|part| part.ends) {
            self.end(part.lease, part.first.run, value.take());
        }
        match value {
            Some(value) => {
                self.partial.push(item(value));
                self.open.extend_from_slice(parts);
            }
            None => self.parts.extend_from_slice(parts),
        }
    }
}

/// What is put in first leaves first, whichever thread sends it.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Held from taking out to having sent.
    turn: Mutex<()>,
    state: Mutex<State>,
    filled: Condvar,
    /// Whether the thread that waits for something to be due waits for as long as there is nothing.
    sleeps: AtomicBool,
    /// Each result is to be on its way soon, rather than with others.
    hurries: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// Short results, those of a run together as one value.
    buffer: Vec<u8>,
    /// Whose results these are.
    short: Vec<Part>,
    groups: Vec<Group>,
    results: usize,
    long: Vec<(Part, Vec<u8>)>,
    /// Leases that end without a result, and their runs.
    ended: Vec<(LeaseId, u32)>,
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
    /// Where its value begins in the buffer, and its first part among the short ones.
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

    /// A run begins: whether each of its results is to be on its way soon.
    pub(super) fn begin_run(&self, hurries: bool) {
        self.hurries.store(hurries, Ordering::Relaxed);
    }

    fn delay_ns(&self) -> u64 {
        if self.hurries.load(Ordering::Relaxed) { SHORT_DELAY_NS } else { DELAY_NS }
    }

    /// Adds a result, with which the lease `ends`; a long one is taken, not copied.
    pub(super) fn put(&self, task: &Task, ends: bool, result: &mut Vec<u8>, now_ns: u64, duration_ns: u64) -> Urgency {
        let delay_ns = self.delay_ns();
        let mut state = self.state();
        let was_empty = state.is_empty();
        if was_empty {
            state.since_ns = now_ns;
        }
        let long = is_long(result);
        if long {
            state.long.push((Part::of(task, ends), std::mem::take(result)));
        } else {
            state.add_short(task, ends, result);
        }
        let full = long || state.is_full();
        let old = duration_ns >= delay_ns / 2 || now_ns.saturating_sub(state.since_ns) >= delay_ns;
        if full || old {
            return Urgency::Now;
        }
        if was_empty {
            self.filled.notify_one();
        }
        Urgency::Later
    }

    /// A lease ends whose last result was put in before, or that has none.
    pub(super) fn put_end(&self, lease: LeaseId, run: u32) {
        self.state().ended.push((lease, run));
    }

    /// Adds what a task said: it leaves before the results that are put in later.
    pub(super) fn say(&self, value: Vec<u8>, now_ns: u64) -> Urgency {
        let mut state = self.state();
        if state.is_empty() {
            state.since_ns = now_ns;
            self.filled.notify_one();
        }
        state.said_bytes += value.len();
        state.said.push(item(Bytes::from(value)));
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

    /// Does something while nobody sends.
    pub(super) fn in_turn<R>(&self, act: impl FnOnce() -> R) -> R {
        let _turn = self.turn();
        act()
    }

    /// Adds a result and gives all there is to `send`: no other thread can come between and send it.
    pub(super) fn put_and_send<R>(
        &self,
        task: &Task,
        ends: bool,
        result: &mut Vec<u8>,
        now_ns: u64,
        send: impl FnOnce(Sent) -> R,
    ) -> Option<R> {
        let _turn = self.turn();
        self.put(task, ends, result, now_ns, 0);
        self.take().map(send)
    }

    fn take(&self) -> Option<Sent> {
        let mut state = self.state();
        if state.is_empty() {
            return None;
        }
        let mut sent = Sent { said: std::mem::take(&mut state.said), ..Sent::default() };
        state.said_bytes = 0;
        state.results = 0;
        let capacity = state.buffer.len();
        let buffer = Bytes::from(std::mem::replace(&mut state.buffer, Vec::with_capacity(capacity)));
        let short = std::mem::take(&mut state.short);
        let groups = std::mem::take(&mut state.groups);
        let long = std::mem::take(&mut state.long);
        let ended = std::mem::take(&mut state.ended);
        drop(state);
        for (at, group) in groups.iter().enumerate() {
            let next = groups.get(at + 1);
            let end = next.map_or(buffer.len(), |next| next.start);
            let parts = short.get(group.first..next.map_or(short.len(), |next| next.first)).unwrap_or_default();
            // One alone needs nothing around it.
            let alone = matches!(parts, [Part { count: 1, .. }]);
            let start = if alone { group.start + LONE_RESULT_AT } else { group.start };
            sent.add(parts, buffer.slice(start..end));
        }
        long.into_iter().for_each(|(part, value)| sent.add(&[part], Bytes::from(value)));
        ended.into_iter().for_each(|(lease, run)| sent.end(lease, run, None));
        Some(sent)
    }

    /// Waits until a result has waited long enough, or, while there is a bundle of which `has_rest` says that not
    /// all was begun, for a while; `false` when the box is closed.
    pub(super) fn wait_until_due(&self, has_rest: impl Fn() -> bool) -> bool {
        let mut state = self.state();
        loop {
            if state.closed {
                return false;
            }
            if state.is_empty() {
                // In this order: whoever takes up a bundle afterwards sees that it has to wake this thread.
                self.sleeps.store(true, Ordering::SeqCst);
                if has_rest() {
                    self.sleeps.store(false, Ordering::SeqCst);
                    let patience = Duration::from_nanos(BUNDLE_PATIENCE_NS);
                    state = self.filled.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0;
                    if state.is_empty() {
                        return !state.closed;
                    }
                    continue;
                }
                state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
                self.sleeps.store(false, Ordering::SeqCst);
                continue;
            }
            let (age_ns, delay_ns) = (monotonic_ns().saturating_sub(state.since_ns), self.delay_ns());
            if age_ns >= delay_ns {
                return true;
            }
            let rest = Duration::from_nanos(delay_ns - age_ns);
            state = self.filled.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// A bundle was taken up, which is to be looked at after a while.
    pub(super) fn watch(&self) {
        if self.sleeps.swap(false, Ordering::SeqCst) {
            let _state = self.state();
            self.filled.notify_all();
        }
    }

    pub(super) fn close(&self) {
        self.state().closed = true;
        self.filled.notify_all();
    }
}

impl State {
    fn add_short(&mut self, task: &Task, ends: bool, result: &[u8]) {
        if self.groups.last().is_none_or(|group| group.run != task.head.run) {
            let (start, first) = (self.buffer.len(), self.short.len());
            self.groups.push(Group { run: task.head.run, start, first });
            begin_results(&mut self.buffer);
        }
        add_result(&mut self.buffer, result);
        self.results += 1;
        match self.short.last_mut() {
            Some(last) if last.lease == task.lease && last.first.index + u64::from(last.count) == task.head.index => {
                last.count += 1;
                last.ends = ends;
            }
            _ => self.short.push(Part::of(task, ends)),
        }
    }

    fn is_empty(&self) -> bool {
        self.short.is_empty() && self.long.is_empty() && self.said.is_empty() && self.ended.is_empty()
    }

    fn is_full(&self) -> bool {
        self.buffer.len() + self.said_bytes >= BATCH_BYTES || self.results + self.said.len() >= BATCH_RESULTS
    }
}

pub(super) fn item(value: Bytes) -> Item<Bytes> {
    Item { descriptor: Descriptor::bytes(Language::Rust), value }
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
        let head = TaskHead { run: 1, index: lease };
        Task::of_bundle(LeaseId(lease), head, Bytes::new(), 0..0, 1)
    }

    fn put(outbox: &Outbox, task: &Task, payload: &[u8]) -> Urgency {
        let head =
            ResultHead { task: task.head, rank: 0, outcome: Outcome::Done, began_ns: 0, duration_ns: 0 }.to_bytes();
        outbox.put(task, true, &mut [&head, payload].concat(), 0, 10)
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
        assert_eq!(sent.runs, [1, 1, 2, 1], "in the order of the items");
        assert!(outbox.take().is_none());
    }

    #[test]
    fn a_long_result_is_taken_rather_than_copied() {
        let mut long = vec![3; BATCH_BYTES];
        Outbox::default().put(&task(3), true, &mut long, 0, 10);
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
                    outbox.put_and_send(&task(1), true, &mut vec![1], 0, sent);
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
        let sent = outbox.put_and_send(&task(1), true, &mut vec![1], 0, |sent| (sent.said.len(), sent.items.len()));
        assert_eq!(sent, Some((1, 1)));
        assert!(outbox.send(|_| ()).is_none());
    }

    #[test]
    fn a_result_of_a_long_task_does_not_wait() {
        let outbox = Outbox::default();
        assert_eq!(outbox.put(&task(1), true, &mut vec![1], 5, DELAY_NS), Urgency::Now);
    }

    #[test]
    fn what_a_task_says_leaves_with_its_result_or_soon_by_itself() {
        let outbox = Outbox::default();
        assert_eq!(outbox.say(vec![7], monotonic_ns()), Urgency::Later);
        assert!(outbox.wait_until_due(|| false));
        assert_eq!(outbox.put(&task(1), true, &mut vec![1], monotonic_ns(), 10), Urgency::Now, "it has waited");
        let sent = outbox.take().unwrap();
        assert_eq!((sent.said.len(), sent.items.len()), (1, 1));
        assert_eq!(outbox.say(vec![0; BATCH_BYTES], 0), Urgency::Now);
    }

    #[test]
    fn a_result_that_others_do_not_follow_is_due_soon() {
        let outbox = Outbox::default();
        outbox.put(&task(1), true, &mut vec![1], monotonic_ns(), 10);
        assert!(outbox.wait_until_due(|| false));
        outbox.close();
        assert!(!outbox.wait_until_due(|| false));
    }

    #[test]
    fn results_of_a_bundle_end_its_lease_with_the_last() {
        let outbox = Outbox::default();
        let member = |index| Task { head: TaskHead { run: 1, index }, ..task(7) };
        let put = |index, ends| outbox.put(&member(index), ends, &mut vec![0; 40], 0, 10);
        put(10, false);
        put(11, false);
        let sent = outbox.take().unwrap();
        assert_eq!((sent.partial.len(), sent.items.len()), (1, 0));
        assert_eq!(sent.open, [Part { lease: LeaseId(7), first: member(10).head, count: 2, ends: false }]);
        put(12, false);
        put(13, true);
        outbox.put_end(LeaseId(8), 1);
        let sent = outbox.take().unwrap();
        assert_eq!((sent.partial.len(), sent.items.len(), &sent.runs), (0, 2, &vec![1, 1]));
        assert_eq!(sent.items[0].lease, LeaseId(7));
        assert_eq!(sent.items[1].result.descriptor, Descriptor::NOTHING);
        assert_eq!(sent.parts[0].tasks().map(|head| head.index).collect::<Vec<_>>(), [12, 13]);
    }

    #[test]
    fn who_waits_while_a_bundle_has_a_rest_looks_again() {
        let outbox = Outbox::default();
        assert!(outbox.wait_until_due(|| true), "nothing is due, but the time has come to look at the bundle");
        let has_rest = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| outbox.wait_until_due(|| has_rest.load(Ordering::SeqCst)));
            while !outbox.sleeps.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            has_rest.store(true, Ordering::SeqCst);
            outbox.watch();
            assert!(waiting.join().unwrap());
        });
    }
}
