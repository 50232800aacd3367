//! What the engine and who takes the answers tell each other.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};

use super::{Answer, Arrival};
use crate::commands::CommandEvent;

/// How many answers are worth waking somebody at once.
const MANY: usize = 128;
/// How long an answer waits for others that are taken with it.
const PATIENCE: Duration = Duration::from_millis(3);
/// How many tasks are kept ready beside those for the workers.
const AHEAD: usize = 256;
/// How many bytes of tasks are kept ready beyond the workers' next ones.
const AHEAD_BYTES: usize = 8 << 20;

/// How many bytes of answers may wait before no more tasks are handed out.
const ANSWER_BYTES: usize = 16 << 20;

/// To the engine.
#[derive(Debug)]
pub(super) enum Order {
    Task(Vec<u8>),
    Close,
    Refuse {
        task: u64,
        worker: usize,
        life: u64,
        delay_s: f64,
    },
    Reject {
        task: u64,
        worker: usize,
        life: u64,
        why: String,
    },
    /// These answers are results.
    Accept(Vec<(u64, usize, u64)>),
    Event(CommandEvent),
    Stop,
}

#[derive(Debug, Default)]
struct State {
    arrivals: VecDeque<Arrival>,
    answers: usize,
    /// Somebody should look at once.
    urgent: bool,
    over: bool,
    /// Answers that were taken and are not settled.
    taken: Vec<(u64, usize, u64)>,
    orders: Vec<Order>,
    closed: bool,
    /// The bytes of answers that nobody has taken.
    answer_bytes: usize,
    /// Tasks that no worker has.
    ahead: usize,
    ahead_bytes: usize,
}

/// Between two threads.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    came: Condvar,
    /// Wakes the engine.
    wakeup: OwnedFd,
    workers: usize,
}

impl Shared {
    pub(super) fn new(workers: usize) -> io::Result<Self> {
        let wakeup = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { state: Mutex::default(), came: Condvar::new(), wakeup, workers })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wakeup(&self) -> BorrowedFd<'_> {
        self.wakeup.as_fd()
    }

    /// For the engine: what it is to do.
    pub(super) fn orders(&self) -> Vec<Order> {
        // It fails where nobody woke it.
        let _ = rustix::io::read(&self.wakeup, &mut [0; 8]);
        std::mem::take(&mut self.lock().orders)
    }

    pub(super) fn order(&self, order: Order) {
        let mut state = self.lock();
        state.closed |= matches!(order, Order::Close);
        if let Order::Refuse { task, worker, life, .. } | Order::Reject { task, worker, life, .. } = &order {
            let settled = (*task, *worker, *life);
            let Some(place) = state.taken.iter().position(|answer| *answer == settled) else {
                // It is settled already, or of another job.
                return;
            };
            state.taken.remove(place);
        }
        self.put(state, order);
    }

    fn put(&self, mut state: MutexGuard<'_, State>, order: Order) {
        state.orders.push(order);
        let first = state.orders.len() == 1;
        drop(state);
        if first {
            // It fails where the counter is full, and then the engine is awake.
            let _ = rustix::io::write(&self.wakeup, &1_u64.to_ne_bytes());
        }
    }

    pub(super) fn submit(&self, task: Vec<u8>) {
        let mut state = self.lock();
        state.ahead += 1;
        state.ahead_bytes += task.len();
        self.put(state, Order::Task(task));
    }

    pub(super) fn room(&self) -> usize {
        self.lock().room(self.workers)
    }

    pub(super) fn is_urgent(&self) -> bool {
        self.lock().urgent
    }

    /// For the engine: a worker has got a task of so many bytes.
    pub(super) fn handed_out(&self, bytes: usize) {
        let mut state = self.lock();
        let before = state.is_hungry(self.workers);
        state.ahead = state.ahead.saturating_sub(1);
        state.ahead_bytes = state.ahead_bytes.saturating_sub(bytes);
        if !before && state.is_hungry(self.workers) {
            self.came.notify_one();
        }
    }

    /// For the engine: whether so many bytes of answers wait that no more tasks should be handed out.
    /// Who takes them lets the engine know by settling them.
    pub(super) fn is_full(&self) -> bool {
        self.lock().answer_bytes > ANSWER_BYTES
    }

    /// For the engine: a task waits again.
    pub(super) fn put_back(&self, bytes: usize) {
        let mut state = self.lock();
        state.ahead += 1;
        state.ahead_bytes += bytes;
    }

    /// For the engine: an answer has come; `urgent`: its worker waits until it is settled.
    pub(super) fn answered(&self, answer: Answer, urgent: bool) {
        let mut state = self.lock();
        state.answers += 1;
        state.answer_bytes += answer.bytes.len();
        state.urgent |= urgent;
        state.arrivals.push_back(Arrival::Answer(answer));
        if urgent || state.arrivals.len() == 1 || state.answers == MANY {
            self.came.notify_one();
        }
    }

    /// For the engine: something else has happened.
    pub(super) fn tell(&self, arrival: Arrival) {
        let mut state = self.lock();
        state.urgent = true;
        state.over |= matches!(arrival, Arrival::Over(_));
        state.arrivals.push_back(arrival);
        self.came.notify_one();
    }

    pub(super) fn take(&self, until: Instant) -> Vec<Arrival> {
        let mut state = self.lock();
        if !state.taken.is_empty() {
            let settled = std::mem::take(&mut state.taken);
            self.put(state, Order::Accept(settled));
            state = self.lock();
        }
        let mut first = None;
        loop {
            let now = Instant::now();
            if !state.arrivals.is_empty() {
                first.get_or_insert(now);
            }
            let hungry = state.is_hungry(self.workers);
            let waited = first.is_some_and(|first| now >= first + PATIENCE);
            if state.urgent || state.over || hungry || waited || state.answers >= MANY || now >= until {
                break;
            }
            let until = first.map_or(until, |first| until.min(first + PATIENCE));
            let left = until.saturating_duration_since(now);
            state = self.came.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.urgent = false;
        state.answers = 0;
        state.answer_bytes = 0;
        let arrivals: Vec<Arrival> = state.arrivals.drain(..).collect();
        let answers = arrivals.iter().filter_map(|arrival| match arrival {
            Arrival::Answer(answer) => Some((answer.task, answer.worker, answer.life)),
            _ => None,
        });
        state.taken.extend(answers);
        arrivals
    }
}

impl State {
    /// Whether tasks are wanted, soon.
    fn is_hungry(&self, workers: usize) -> bool {
        !self.closed && self.ahead <= (AHEAD + 4 * workers) / 2 && self.room(workers) > 0
    }

    fn room(&self, workers: usize) -> usize {
        if self.ahead_bytes > AHEAD_BYTES {
            return (2 * workers).saturating_sub(self.ahead);
        }
        (AHEAD + 4 * workers).saturating_sub(self.ahead)
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn answer(bytes: usize) -> Answer {
        let now = SystemTime::now();
        Answer { task: 0, worker: 0, life: 1, bytes: vec![0; bytes], sent: now, came: now }
    }

    fn refuse(worker: usize) -> Order {
        Order::Refuse { task: 0, worker, life: 1, delay_s: 0.0 }
    }

    #[test]
    fn an_answer_is_settled_once_and_by_its_own_job() {
        let shared = Shared::new(1).unwrap();
        shared.order(refuse(0));
        assert!(shared.orders().is_empty(), "nothing has been taken");
        shared.answered(answer(1), true);
        assert_eq!(shared.take(Instant::now()).len(), 1);
        shared.order(refuse(7));
        shared.order(refuse(0));
        shared.order(refuse(0));
        assert_eq!(shared.orders().len(), 1);
    }

    #[test]
    fn long_tasks_are_kept_ready_by_their_bytes_and_short_ones_by_their_number() {
        let shared = Shared::new(3).unwrap();
        let room = shared.room();
        shared.submit(vec![0; 10]);
        assert_eq!(shared.room(), room - 1);
        shared.submit(vec![0; AHEAD_BYTES]);
        assert_eq!(shared.room(), 4, "two for each worker, however long they are");
        (0..4).for_each(|_| shared.submit(Vec::new()));
        assert_eq!(shared.room(), 0);
        shared.handed_out(AHEAD_BYTES);
        assert_eq!(shared.room(), room - 5);
        shared.put_back(AHEAD_BYTES);
        assert_eq!(shared.room(), 0);
    }

    #[test]
    fn answers_that_nobody_takes_hold_the_tasks_back() {
        let shared = Shared::new(1).unwrap();
        shared.answered(answer(ANSWER_BYTES), false);
        assert!(!shared.is_full());
        shared.answered(answer(1), false);
        assert!(shared.is_full());
        shared.take(Instant::now());
        assert!(!shared.is_full());
        shared.take(Instant::now());
        assert_eq!(shared.orders().len(), 1, "the engine is woken to go on");
    }
}
