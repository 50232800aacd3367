//! Who gets which task, and when: no I/O and no clock, `now` comes from outside.
//!
//! A task is in the queue, with a worker, or answered and not [settled](Dispatch::accepted) yet: an
//! answer may still turn out to be a refusal or junk when it is read.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

/// After how many ends in a row without an answer a worker is given up.
pub const MOST_ENDS: u32 = 3;
/// After how many of its timeouts a task ends the job.
pub const MOST_TIMEOUTS: u32 = 3;
/// The shortest and the longest rest of a busy worker, in seconds.
pub const REST_S: (f64, f64) = (0.01, 1000.0);

/// A rest within [`REST_S`]; what is no number is the shortest.
pub fn sane_rest_s(rest_s: f64) -> f64 {
    if rest_s.is_nan() { REST_S.0 } else { rest_s.clamp(REST_S.0, REST_S.1) }
}

/// How long a worker rests that has said for the `refusals`th time that it is too busy and asked for
/// `delay_s`: longer the busier it has been, shorter as the queue empties, so that the last tasks find
/// it ready.
pub fn rest_s(delay_s: f64, refusals: u32, queued: usize, workers: usize) -> f64 {
    let fullness = queued as f64 / (queued + workers.max(1)) as f64;
    sane_rest_s(delay_s * f64::from(refusals.max(1)) * fullness)
}

/// How many ends in a row without an answer a worker has had after one more end; `None`: it is given up.
pub fn ends_after(before: u32, answered: bool) -> Option<u32> {
    let ends = if answered { 0 } else { before + 1 };
    (ends < MOST_ENDS).then_some(ends)
}

/// What a worker is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// This task.
    Task(u64),
    /// Nothing before then.
    Rest(Instant),
    /// Nothing until something else happens.
    Wait,
}

/// What follows from a worker's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterEnd {
    /// It is started again.
    Again,
    /// There is nothing to do for it now.
    Sleep,
    /// It is not started any more.
    GivenUp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seat {
    /// It is being started.
    Coming,
    Free,
    Busy(u64),
    Asleep,
    GivenUp,
}

#[derive(Clone, Copy, Debug)]
struct Rest {
    since: Instant,
    delay_s: f64,
}

#[derive(Clone, Debug)]
struct Worker {
    /// Which command it is; several may be the same.
    kind: usize,
    seat: Seat,
    rest: Option<Rest>,
    /// Grows by one with each refusal, and is halved by each result.
    refusals: u32,
    /// Whether it has answered anything since it was started.
    answered: bool,
    /// Ends in a row without an answer.
    ends: u32,
}

/// What has become of a task that has failed, but for refusals.
#[derive(Clone, Debug, Default)]
struct Failed {
    /// On which kinds of workers.
    on: BTreeSet<usize>,
    timeouts: u32,
}

impl Failed {
    /// Whether its next timeout would end the job.
    fn is_last_chance(&self) -> bool {
        self.timeouts + 1 >= MOST_TIMEOUTS
    }
}

/// Which kinds of workers there are now.
#[derive(Clone, Debug, Default)]
struct There {
    living: BTreeSet<usize>,
    /// Those of them that are not all left alone for a while.
    awake: BTreeSet<usize>,
}

/// The tasks and workers of one job.
#[derive(Debug)]
pub struct Dispatch {
    queue: VecDeque<u64>,
    workers: Vec<Worker>,
    /// More tasks may come.
    open: bool,
    /// Tasks that are out of the queue and not settled.
    unsettled: usize,
    /// Tasks that have failed and have no result yet.
    failed: HashMap<u64, Failed>,
}

impl Dispatch {
    /// A job without tasks, whose workers are all being started. Workers with the same number among
    /// `kinds` are the same command.
    pub fn new(kinds: impl IntoIterator<Item = usize>) -> Self {
        let worker = |kind| Worker { kind, seat: Seat::Coming, rest: None, refusals: 0, answered: false, ends: 0 };
        Self {
            queue: VecDeque::new(),
            workers: kinds.into_iter().map(worker).collect(),
            open: true,
            unsettled: 0,
            failed: HashMap::new(),
        }
    }

    /// Adds a task.
    pub fn push(&mut self, task: u64) {
        self.queue.push_back(task);
    }

    /// No more tasks come from outside.
    pub fn close(&mut self) {
        self.open = false;
    }

    /// How many tasks wait.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// The tasks that wait.
    pub fn waiting(&self) -> impl Iterator<Item = u64> + '_ {
        self.queue.iter().copied()
    }

    /// Whether every task has its result.
    pub fn is_done(&self) -> bool {
        !self.open && self.queue.is_empty() && self.unsettled == 0
    }

    /// Whether nobody is left who could take a task.
    pub fn is_deserted(&self) -> bool {
        self.workers.iter().all(|worker| worker.seat == Seat::GivenUp)
    }

    /// The worker can take tasks.
    pub fn ready(&mut self, worker: usize) {
        if let Some(worker) = self.workers.get_mut(worker)
            && worker.seat == Seat::Coming
        {
            worker.seat = Seat::Free;
            worker.answered = false;
        }
    }

    /// The worker cannot be had at all.
    pub fn leave_out(&mut self, worker: usize) {
        self.give_back(worker);
        self.sit(worker, Seat::GivenUp);
    }

    /// What a free worker is to do; a [`Next::Task`] is its own from then on.
    pub fn next(&mut self, worker: usize, now: Instant) -> Next {
        let Some(kind) = self.workers.get(worker).filter(|worker| worker.seat == Seat::Free).map(|free| free.kind)
        else {
            return Next::Wait;
        };
        let Some(at) = self.best_for(kind, now) else { return Next::Wait };
        if let Some(until) = self.rests_until(worker).filter(|until| *until > now) {
            return Next::Rest(until);
        }
        let (Some(task), Some(free)) = (self.queue.remove(at), self.workers.get_mut(worker)) else {
            return Next::Wait;
        };
        free.rest = None;
        free.seat = Seat::Busy(task);
        self.unsettled += 1;
        Next::Task(task)
    }

    /// The place of the first task that such a worker may have: not one that has failed on its kind as
    /// long as there is another.
    fn best_for(&self, kind: usize, now: Instant) -> Option<usize> {
        if self.failed.is_empty() {
            return (!self.queue.is_empty()).then_some(0);
        }
        let there = self.there(now);
        self.queue.iter().position(|task| {
            self.failed.get(task).is_none_or(|failed| {
                // Who rests is waited for where another failure would be the last.
                let others = if failed.is_last_chance() { &there.living } else { &there.awake };
                !failed.on.contains(&kind) || others.is_subset(&failed.on)
            })
        })
    }

    fn there(&self, now: Instant) -> There {
        let mut there = There::default();
        for (number, worker) in self.workers.iter().enumerate() {
            if worker.seat != Seat::GivenUp {
                there.living.insert(worker.kind);
                if self.rests_until(number).is_none_or(|until| until <= now) {
                    there.awake.insert(worker.kind);
                }
            }
        }
        there
    }

    /// When a worker's rest is over, which may come nearer as the queue empties.
    fn rests_until(&self, worker: usize) -> Option<Instant> {
        let there = self.workers.iter().filter(|worker| worker.seat != Seat::GivenUp).count();
        let worker = self.workers.get(worker)?;
        let rest = worker.rest?;
        let rest_s = rest_s(rest.delay_s, worker.refusals, self.queue.len(), there);
        rest.since.checked_add(Duration::from_secs_f64(rest_s))
    }

    /// A worker has answered, and is free; the task that it had.
    pub fn answered(&mut self, worker: usize) -> Option<u64> {
        let Some(Seat::Busy(task)) = self.workers.get(worker).map(|worker| worker.seat) else { return None };
        self.sit(worker, Seat::Free);
        Some(task)
    }

    /// What a worker had answered is a result.
    pub fn accepted(&mut self, worker: usize, task: u64) {
        self.unsettled = self.unsettled.saturating_sub(1);
        self.failed.remove(&task);
        if let Some(worker) = self.workers.get_mut(worker) {
            worker.refusals /= 2;
            worker.answered = true;
        }
    }

    /// What a worker had answered to `task` is that it is too busy, and would like `delay_s` of rest.
    pub fn refused(&mut self, worker: usize, task: u64, delay_s: f64, now: Instant) {
        self.unsettled = self.unsettled.saturating_sub(1);
        self.queue.push_front(task);
        if let Some(worker) = self.workers.get_mut(worker) {
            worker.refusals = worker.refusals.saturating_add(1);
            worker.rest = Some(Rest { since: now, delay_s });
            worker.answered = true;
        }
    }

    /// What a worker had answered to `task` is no answer. The worker is to be ended.
    pub fn rejected(&mut self, worker: usize, task: u64) {
        self.unsettled = self.unsettled.saturating_sub(1);
        self.failed_on(worker, task);
        self.queue.push_back(task);
    }

    /// A task that has its result is to be done once more.
    pub fn again(&mut self, task: u64) {
        self.queue.push_back(task);
    }

    /// A task has taken too long. Its worker is to be ended. `true`: for the last time.
    pub fn timed_out(&mut self, task: u64) -> bool {
        let failed = self.failed.entry(task).or_default();
        failed.timeouts += 1;
        failed.timeouts >= MOST_TIMEOUTS
    }

    fn failed_on(&mut self, worker: usize, task: u64) {
        if let Some(worker) = self.workers.get(worker) {
            self.failed.entry(task).or_default().on.insert(worker.kind);
        }
    }

    /// A worker has ended, and all its answers are settled. The task that it had goes to the end of the
    /// queue, as it may have brought the end about; so it costs the others nothing.
    pub fn ended(&mut self, worker: usize) -> AfterEnd {
        self.give_back(worker);
        let wanted = !self.queue.is_empty();
        let Some(gone) = self.workers.get_mut(worker) else { return AfterEnd::GivenUp };
        let ends = ends_after(gone.ends, std::mem::take(&mut gone.answered));
        let (seat, after) = match (ends, wanted) {
            (None, _) => (Seat::GivenUp, AfterEnd::GivenUp),
            (Some(_), true) => (Seat::Coming, AfterEnd::Again),
            (Some(_), false) => (Seat::Asleep, AfterEnd::Sleep),
        };
        gone.ends = ends.unwrap_or(MOST_ENDS);
        gone.seat = seat;
        after
    }

    /// A worker that ended when there was nothing to do, and is to be started again now.
    pub fn wake(&mut self) -> Option<usize> {
        if self.queue.is_empty() {
            return None;
        }
        let worker = self.workers.iter().position(|worker| worker.seat == Seat::Asleep)?;
        self.sit(worker, Seat::Coming);
        Some(worker)
    }

    fn give_back(&mut self, worker: usize) {
        if let Some(Seat::Busy(task)) = self.workers.get(worker).map(|worker| worker.seat) {
            self.unsettled = self.unsettled.saturating_sub(1);
            self.failed_on(worker, task);
            self.queue.push_back(task);
        }
    }

    fn sit(&mut self, worker: usize, seat: Seat) {
        if let Some(worker) = self.workers.get_mut(worker) {
            worker.seat = seat;
        }
    }
}

#[cfg(test)]
mod tests;
