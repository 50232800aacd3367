//! Who gets which task, and when: no I/O and no clock, `now` comes from outside.
//!
//! A task is in the queue, with a worker, or answered and not [settled](Dispatch::accepted) yet: an
//! answer may still turn out to be a refusal or junk when it is read.

use std::collections::{HashMap, VecDeque};
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
    seat: Seat,
    rest: Option<Rest>,
    /// Grows by one with each refusal, and is halved by each result.
    refusals: u32,
    /// Whether it has answered anything since it was started.
    answered: bool,
    /// Ends in a row without an answer.
    ends: u32,
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
    timeouts: HashMap<u64, u32>,
}

impl Dispatch {
    /// A job without tasks, whose workers are all being started.
    pub fn new(workers: usize) -> Self {
        let worker = Worker { seat: Seat::Coming, rest: None, refusals: 0, answered: false, ends: 0 };
        Self {
            queue: VecDeque::new(),
            workers: vec![worker; workers],
            open: true,
            unsettled: 0,
            timeouts: HashMap::new(),
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
        let until = self.rests_until(worker);
        let Some(free) = self.workers.get_mut(worker).filter(|worker| worker.seat == Seat::Free) else {
            return Next::Wait;
        };
        let Some(task) = self.queue.front().copied() else { return Next::Wait };
        if let Some(until) = until.filter(|until| *until > now) {
            return Next::Rest(until);
        }
        free.rest = None;
        free.seat = Seat::Busy(task);
        self.queue.pop_front();
        self.unsettled += 1;
        Next::Task(task)
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
        self.timeouts.remove(&task);
        if let Some(worker) = self.workers.get_mut(worker) {
            worker.refusals /= 2;
            worker.answered = true;
            worker.ends = 0;
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
            worker.ends = 0;
        }
    }

    /// What a worker had answered to `task` is no answer. The worker is to be ended.
    pub fn rejected(&mut self, task: u64) {
        self.unsettled = self.unsettled.saturating_sub(1);
        self.queue.push_back(task);
    }

    /// A task has taken too long. Its worker is to be ended. `true`: for the last time.
    pub fn timed_out(&mut self, task: u64) -> bool {
        let timeouts = self.timeouts.entry(task).or_default();
        *timeouts += 1;
        *timeouts >= MOST_TIMEOUTS
    }

    /// A worker has ended, and all its answers are settled. The task that it had goes to the end of the
    /// queue, as it may have brought the end about; so it costs the others nothing.
    pub fn ended(&mut self, worker: usize) -> AfterEnd {
        self.give_back(worker);
        let wanted = !self.queue.is_empty();
        let Some(gone) = self.workers.get_mut(worker) else { return AfterEnd::GivenUp };
        if !std::mem::take(&mut gone.answered) {
            gone.ends += 1;
        }
        let (seat, after) = match (gone.ends >= MOST_ENDS, wanted) {
            (true, _) => (Seat::GivenUp, AfterEnd::GivenUp),
            (false, true) => (Seat::Coming, AfterEnd::Again),
            (false, false) => (Seat::Asleep, AfterEnd::Sleep),
        };
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
mod tests {
    use super::*;

    fn job(workers: usize, tasks: u64) -> Dispatch {
        let mut dispatch = Dispatch::new(workers);
        (0..tasks).for_each(|task| dispatch.push(task));
        (0..workers).for_each(|worker| dispatch.ready(worker));
        dispatch.close();
        dispatch
    }

    fn take(dispatch: &mut Dispatch, worker: usize, now: Instant) -> u64 {
        match dispatch.next(worker, now) {
            Next::Task(task) => task,
            other => panic!("expected a task, got {other:?}"),
        }
    }

    #[test]
    fn tasks_are_handed_out_in_order_and_the_job_is_done_when_all_are_settled() {
        let now = Instant::now();
        let mut dispatch = job(2, 3);
        assert_eq!((take(&mut dispatch, 1, now), take(&mut dispatch, 0, now)), (0, 1));
        assert_eq!(dispatch.next(0, now), Next::Wait, "who is busy gets nothing");
        assert_eq!(dispatch.answered(1), Some(0));
        assert_eq!(take(&mut dispatch, 1, now), 2);
        for (worker, task) in [(0, 1), (1, 2)] {
            assert_eq!(dispatch.answered(worker), Some(task));
        }
        dispatch.accepted(1, 0);
        dispatch.accepted(0, 1);
        assert!(!dispatch.is_done(), "an answer is not settled");
        dispatch.accepted(1, 2);
        assert!(dispatch.is_done());
        assert_eq!(dispatch.next(0, now), Next::Wait);
    }

    #[test]
    fn a_refused_task_is_the_next_of_another_while_the_worker_rests() {
        let now = Instant::now();
        let mut dispatch = job(2, 100);
        assert_eq!(take(&mut dispatch, 0, now), 0);
        dispatch.answered(0);
        dispatch.refused(0, 0, 2.0, now);
        let Next::Rest(until) = dispatch.next(0, now) else { panic!("it does not rest") };
        let expected = Duration::from_secs_f64(rest_s(2.0, 1, 100, 2));
        assert_eq!(until - now, expected);
        assert_eq!(take(&mut dispatch, 1, now), 0);
        assert_eq!(take(&mut dispatch, 0, now + expected), 1);
    }

    #[test]
    fn a_rest_is_longer_the_busier_the_worker_and_shorter_as_the_queue_empties() {
        let rests: Vec<f64> = (1..5).map(|refusals| rest_s(1.0, refusals, 50, 8)).collect();
        assert!(rests.is_sorted() && rests[0] < rests[3], "{rests:?}");
        let rests: Vec<f64> = (0..5).map(|queued| rest_s(1.0, 1, queued, 8)).collect();
        assert!(rests.is_sorted() && rests[0] < rests[4], "{rests:?}");
        assert_eq!(rest_s(1.0, 1, 0, 8), 0.01);
        assert_eq!(rest_s(f64::INFINITY, 9, 9, 8), 1000.0);
        for odd in [f64::NAN, -1.0, f64::NEG_INFINITY, 0.0] {
            assert_eq!(rest_s(odd, 1, 9, 8), 0.01, "{odd}");
        }
    }

    #[test]
    fn a_rest_that_was_long_ends_sooner_when_the_queue_has_emptied() {
        let now = Instant::now();
        let mut dispatch = job(2, 1000);
        let task = take(&mut dispatch, 0, now);
        dispatch.answered(0);
        dispatch.refused(0, task, 1000.0, now);
        for _ in 0..999 {
            let task = take(&mut dispatch, 1, now);
            dispatch.answered(1);
            dispatch.accepted(1, task);
        }
        let Next::Rest(until) = dispatch.next(0, now) else { panic!("it does not rest") };
        assert!(until - now < Duration::from_secs(400), "{:?}", until - now);
    }

    #[test]
    fn results_make_up_for_refusals() {
        let now = Instant::now();
        let mut dispatch = job(1, 100);
        let rest = |dispatch: &mut Dispatch| {
            let task = take(dispatch, 0, now + Duration::from_secs(3600));
            dispatch.answered(0);
            dispatch.refused(0, task, 1.0, now);
            match dispatch.next(0, now) {
                Next::Rest(until) => until - now,
                other => panic!("{other:?}"),
            }
        };
        let (first, _, third) = (rest(&mut dispatch), rest(&mut dispatch), rest(&mut dispatch));
        for _ in 0..2 {
            let task = take(&mut dispatch, 0, now + Duration::from_secs(3600));
            dispatch.answered(0);
            dispatch.accepted(0, task);
        }
        let after = rest(&mut dispatch);
        assert!(after < third / 2, "{first:?} {third:?} {after:?}");
    }

    #[test]
    fn the_task_of_a_worker_that_ends_goes_to_the_end_of_the_queue() {
        let now = Instant::now();
        let mut dispatch = job(2, 3);
        assert_eq!(take(&mut dispatch, 0, now), 0);
        assert_eq!(dispatch.ended(0), AfterEnd::Again);
        assert_eq!(dispatch.waiting().collect::<Vec<_>>(), [1, 2, 0]);
        assert_eq!(dispatch.next(0, now), Next::Wait, "it is not there yet");
        dispatch.ready(0);
        assert_eq!(take(&mut dispatch, 0, now), 1);
    }

    #[test]
    fn three_ends_in_a_row_without_an_answer_are_the_last() {
        let now = Instant::now();
        let mut dispatch = job(1, 2);
        let die = |dispatch: &mut Dispatch| {
            take(dispatch, 0, now);
            let after = dispatch.ended(0);
            dispatch.ready(0);
            after
        };
        assert_eq!(die(&mut dispatch), AfterEnd::Again);
        assert_eq!(die(&mut dispatch), AfterEnd::Again);
        let task = take(&mut dispatch, 0, now);
        dispatch.answered(0);
        dispatch.refused(0, task, 0.0, now - Duration::from_secs(1));
        assert_eq!([0; 3].map(|_| die(&mut dispatch)), [AfterEnd::Again, AfterEnd::Again, AfterEnd::Again]);
        assert!(!dispatch.is_deserted());
        assert_eq!(die(&mut dispatch), AfterEnd::GivenUp);
        assert!(dispatch.is_deserted());
        assert_eq!(dispatch.queued(), 2);
    }

    #[test]
    fn who_ends_when_there_is_nothing_to_do_is_started_again_when_there_is() {
        let now = Instant::now();
        let mut dispatch = job(2, 1);
        assert_eq!(take(&mut dispatch, 0, now), 0);
        assert_eq!(dispatch.ended(1), AfterEnd::Sleep);
        assert_eq!(dispatch.wake(), None);
        dispatch.answered(0);
        dispatch.rejected(0);
        assert_eq!(dispatch.wake(), Some(1));
        assert_eq!(dispatch.wake(), None);
        dispatch.ready(1);
        assert_eq!(take(&mut dispatch, 1, now), 0);
    }

    #[test]
    fn a_task_may_time_out_so_often_and_no_more() {
        let mut dispatch = job(1, 2);
        assert_eq!([0, 0, 1, 0].map(|task| dispatch.timed_out(task)), [false, false, false, true]);
    }

    #[test]
    fn nothing_is_done_while_tasks_may_come() {
        let mut dispatch = Dispatch::new(1);
        assert!(!dispatch.is_done());
        dispatch.close();
        assert!(dispatch.is_done());
        dispatch.leave_out(0);
        assert!(dispatch.is_deserted());
    }
}
