//! What a Boss decides: inputs come with the time, and what is to be done goes to its [`Crew`].

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::report::{Ended, Failure, Report, Status, Trouble, TroubleKind, WorkerReport};
use super::scheduler::{Scheduler, Working};

/// How long a worker that was asked to end may go on.
const GRACE: Duration = Duration::from_secs(1);
/// How often the scheduler is asked although nothing has changed: it may go by the time.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// What the program may tell its Boss at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// No more workers begin until `Resume`.
    Halt,
    /// It goes on with what is pending.
    Resume,
    /// It ends when all that is pending is done, and takes no new instructions.
    End,
    /// Nothing more begins; it ends when those who work have finished.
    Stop,
    /// It gives its report now. Workers finish what they do, and nobody hears theirs.
    StopListening,
    /// Workers are stopped, and it ends.
    StopRightNow,
}

/// Who starts and ends workers. They are known by numbers.
pub(super) trait Crew<I> {
    /// Starts one. What becomes of it is told to [`Office::ended`].
    fn hire(&mut self, number: u64, instructions: &I, core: Option<u32>) -> Result<(), Box<Trouble>>;
    fn name(&self, number: u64, instructions: &I) -> String;
    fn ask_to_end(&mut self, number: u64);
    fn end(&mut self, number: u64);
}

struct Worker<I> {
    working: Working<I>,
    core: Option<u32>,
    /// It is being stopped, so its end is no failure; when it is ended if it goes on.
    last_moment: Option<Instant>,
}

pub(super) struct Office<I, R> {
    scheduler: Box<dyn Scheduler<I, R>>,
    pending: VecDeque<I>,
    workers: BTreeMap<u64, Worker<I>>,
    /// In the order of the numbers of `workers`, for the scheduler.
    reports: Vec<WorkerReport<R>>,
    /// What was begun and stopped.
    undone: Vec<I>,
    /// The cores that workers are bound to.
    cores: Vec<u32>,
    next_number: u64,
    is_halted: bool,
    /// No new instructions are taken.
    is_ending: bool,
    /// Nothing more begins.
    is_stopping: bool,
    /// Nobody hears of workers any more.
    is_deaf: bool,
    failure: Option<Failure<I>>,
    asked: Option<Instant>,
}

impl<I: Clone, R: Clone> Office<I, R> {
    pub(super) fn new(scheduler: Box<dyn Scheduler<I, R>>, cores: Vec<u32>) -> Self {
        Self {
            scheduler,
            pending: VecDeque::new(),
            workers: BTreeMap::new(),
            reports: Vec::new(),
            undone: Vec::new(),
            cores,
            next_number: 0,
            is_halted: true,
            is_ending: false,
            is_stopping: false,
            is_deaf: false,
            failure: None,
            asked: None,
        }
    }

    /// Adds instructions.
    pub(super) fn instruct(&mut self, instructions: Vec<I>) {
        if !self.is_ending {
            self.pending.extend(instructions);
        }
    }

    pub(super) fn control(&mut self, signal: Signal, crew: &mut impl Crew<I>, now: Instant) {
        match signal {
            Signal::Halt => self.is_halted = true,
            Signal::Resume => self.is_halted = false,
            Signal::End => self.is_ending = true,
            Signal::Stop => (self.is_ending, self.is_stopping) = (true, true),
            Signal::StopListening => (self.is_ending, self.is_stopping, self.is_deaf) = (true, true, true),
            Signal::StopRightNow => self.stop(crew, now),
        }
    }

    fn stop(&mut self, crew: &mut impl Crew<I>, now: Instant) {
        (self.is_ending, self.is_stopping, self.asked) = (true, true, None);
        for (number, worker) in &mut self.workers {
            if worker.last_moment.is_none() {
                worker.last_moment = Some(now + GRACE);
                crew.ask_to_end(*number);
            }
        }
    }

    /// What ends all of it.
    pub(super) fn fail(&mut self, failure: Failure<I>, crew: &mut impl Crew<I>, now: Instant) {
        self.failure.get_or_insert(failure);
        self.stop(crew, now);
    }

    /// A worker has ended, and this is its report, or what went wrong.
    pub(super) fn ended(
        &mut self,
        number: u64,
        result: Result<R, Box<Trouble>>,
        crew: &mut impl Crew<I>,
        now: Instant,
    ) {
        let Some(Worker { working, last_moment, .. }) = self.workers.remove(&number) else { return };
        if self.is_deaf {
            return;
        }
        let Working { name, instructions, since } = working;
        match result {
            Ok(report) => {
                let took = now.saturating_duration_since(since);
                self.scheduler.finished(&instructions, took);
                self.reports.push(WorkerReport { name, report, took });
            }
            Err(_) if last_moment.is_some() => self.undone.push(instructions),
            Err(trouble) => self.fail(Failure::Worker { name, instructions, trouble }, crew, now),
        }
    }

    /// All workers have ended, and nobody can be hired: nothing more is to be expected.
    pub(super) fn lost(&mut self, why: String) {
        self.failure.get_or_insert(Failure::Lost(why));
        (self.is_ending, self.is_stopping) = (true, true);
        self.workers.clear();
    }

    /// Does what is due: hires whom the scheduler allows, ends who does not end.
    pub(super) fn turn(&mut self, crew: &mut impl Crew<I>, now: Instant) {
        for (number, worker) in &mut self.workers {
            if worker.last_moment.is_some_and(|moment| now >= moment) {
                // Its end is to be expected; it is not asked for again.
                worker.last_moment = Some(now + 3600 * GRACE);
                crew.end(*number);
            }
        }
        if self.pending.is_empty() || self.is_halted || self.is_stopping {
            self.asked = None;
            return;
        }
        self.asked = Some(now);
        let workers: Vec<Working<I>> = self.workers.values().map(|worker| worker.working.clone()).collect();
        let (scheduler, pending, reports) = (&mut self.scheduler, &mut self.pending, &self.reports);
        let before = pending.len();
        // What it shares with later calls is its own, and there are none.
        let chosen = catch_unwind(AssertUnwindSafe(|| scheduler.launchable(pending, &workers, reports)));
        match chosen {
            Ok(Ok(chosen)) if chosen.len() + self.pending.len() != before => {
                let problem = format!(
                    "the scheduler's launchable: expected each instructions to be handed out or left pending, once, got {} \
                     to hand out and {} left of {before}: take out of `pending` what is handed out, and nothing else",
                    chosen.len(),
                    self.pending.len()
                );
                self.fail(Failure::Scheduler(problem), crew, now);
            }
            Ok(Ok(chosen)) => self.hire(chosen, crew, now),
            Ok(Err(problem)) => self.fail(Failure::Scheduler(problem), crew, now),
            Err(panic) => {
                let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
                let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
                let problem = format!("the scheduler panicked: {}", text.unwrap_or_default());
                self.fail(Failure::Scheduler(problem), crew, now);
            }
        }
    }

    fn hire(&mut self, chosen: Vec<I>, crew: &mut impl Crew<I>, now: Instant) {
        for instructions in chosen {
            if self.is_stopping {
                self.undone.push(instructions);
                continue;
            }
            let number = self.next_number;
            self.next_number += 1;
            let core = if self.scheduler.binds() { self.free_core() } else { None };
            let name = crew.name(number, &instructions);
            match crew.hire(number, &instructions, core) {
                Ok(()) => {
                    let working = Working { name, instructions, since: now };
                    self.workers.insert(number, Worker { working, core, last_moment: None });
                }
                Err(trouble) => self.fail(Failure::Worker { name, instructions, trouble }, crew, now),
            }
        }
    }

    /// A core that no worker is bound to.
    fn free_core(&self) -> Option<u32> {
        let is_taken = |core: &&u32| self.workers.values().any(|worker| worker.core == Some(**core));
        self.cores.iter().find(|core| !is_taken(core)).copied()
    }

    /// When [`Office::turn`] is to be called though nothing has happened.
    pub(super) fn next(&self) -> Option<Instant> {
        let last_moments = self.workers.values().filter_map(|worker| worker.last_moment);
        last_moments.chain(self.asked.map(|asked| asked + ASK_AGAIN)).min()
    }

    /// Whether the final report is there.
    pub(super) fn is_over(&self) -> bool {
        let is_idle = self.workers.is_empty() && (self.pending.is_empty() || self.is_stopping);
        self.is_deaf || self.is_ending && is_idle
    }

    /// Whether it is halted with instructions pending.
    pub(super) fn is_stuck(&self) -> bool {
        self.is_halted && !self.is_stopping && !self.pending.is_empty()
    }

    /// Whether there is nobody left to end.
    pub(super) fn is_deserted(&self) -> bool {
        self.workers.is_empty()
    }

    pub(super) fn report(&self) -> Ended<I, R> {
        if let Some(failure) = self.failure.clone().filter(|_| self.is_over()) {
            return Err(failure);
        }
        let undone = self.undone.iter().chain(&self.pending).cloned();
        let (status, pending): (Status, Vec<I>) = match (self.is_over(), undone.collect::<Vec<I>>()) {
            (false, _) => (Status::Interim, Vec::new()),
            (true, pending) if pending.is_empty() => (Status::Finished, pending),
            (true, pending) => (Status::Pending, pending),
        };
        Ok(Report { status, workers_report: self.reports.clone(), pending })
    }

    /// The Boss ends.
    pub(super) fn close(&mut self) {
        self.scheduler.ended();
    }
}

impl Trouble {
    pub(super) fn not_started(message: impl Into<String>) -> Box<Self> {
        Box::new(Self::in_words(TroubleKind::NotStarted, message))
    }
}

#[cfg(test)]
mod tests;
