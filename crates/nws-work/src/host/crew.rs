//! The workers of this machine, by rank.

use std::ops::Range;
use std::time::{Duration, Instant};

use nws_proto::SessionId;
use nws_supervise::{End, OutOfMemory, ProcessId, Supervisor};

use super::charge::{Loads, is_killed};
use super::unwanted::Unwanted;
use super::worker::{Ended, Worker, start};
use crate::clock::monotonic_ns;
use crate::control::{Bootstrap, Cause, FromWorker, ToWorker, WorkerCommand};
use crate::page::{Running, Wanted};

/// A worker that ends by itself this many times in a row, before it is ready or soon after and
/// without having begun a task, is given up.
const FRUITLESS_STARTS: u32 = 3;
/// Why a rank is given up that nobody had joined with when the group was closed.
const TOO_LATE: &str = "the group of workers was closed before it had joined";
/// How soon.
const SOON: Duration = Duration::from_secs(10);
/// One that others kill before it is ready is not to blame, and is given up after this many.
const KILLED_STARTS: u32 = 1000;

/// A worker that has died, with all that is needed to settle it.
#[derive(Clone, Debug)]
pub(super) struct Death {
    pub(super) rank: u32,
    pub(super) pid: u32,
    pub(super) at_ns: u64,
    pub(super) cause: Cause,
    /// `None`: it had not connected.
    pub(super) session: Option<SessionId>,
    pub(super) running: Option<Running>,
    /// Of the bundle with the task that it was running, the tasks that are not to be run again with it.
    pub(super) passed_over: Vec<Range<u64>>,
    /// Whether the task that it was running pays for it.
    pub(super) charges: bool,
    /// Why the host ended it, where it did.
    pub(super) ended: Option<Ended>,
    /// What it wrote last, to standard output and to standard error.
    pub(super) written: [Vec<u8>; 2],
}

#[derive(Debug, Default)]
struct Seat {
    worker: Option<Worker>,
    fruitless_starts: u32,
    killed_starts: u32,
    /// Its workers are to be careful from now on: see [`Bootstrap::careful`].
    careful: bool,
    /// A worker of this rank has joined, and the master was told.
    joined: bool,
    /// The group was closed before one had; nobody else is started for this rank.
    late: bool,
    last_end: Option<Cause>,
}

impl Seat {
    /// Counts the end of its worker among those that came to nothing, or forgets these.
    fn count(&mut self, worker: &Worker, end: &End) {
        let killed = is_killed(end) && end.out_of_memory != OutOfMemory::Yes;
        let idle = worker.page.tasks_done() == 0 && worker.page.running().is_none();
        match (worker.page.is_ready(), killed) {
            _ if worker.hopeless => self.fruitless_starts = FRUITLESS_STARTS,
            (false, true) => self.killed_starts += 1,
            (false, false) => self.fruitless_starts += 1,
            (true, false) if idle && end.ran < SOON => self.fruitless_starts += 1,
            (true, _) => (self.fruitless_starts, self.killed_starts) = (0, 0),
        }
    }
}

/// All ranks of this machine.
#[derive(Debug)]
pub(super) struct Crew {
    command: WorkerCommand,
    seats: Vec<Seat>,
    loads: Loads,
    unwanted: Unwanted,
    /// Tasks done by workers that are dead.
    done_by_dead: u64,
}

impl Crew {
    pub(super) fn new(command: WorkerCommand, worker_count: u32) -> Self {
        let seats = (0..worker_count).map(|_| Seat::default()).collect();
        Self { command, seats, loads: Loads::default(), unwanted: Unwanted::default(), done_by_dead: 0 }
    }

    /// The living workers, with their ranks.
    pub(super) fn workers(&mut self) -> impl Iterator<Item = (u32, &mut Worker)> {
        (0..).zip(&mut self.seats).filter_map(|(rank, seat)| Some((rank, seat.worker.as_mut()?)))
    }

    pub(super) fn worker(&mut self, rank: u32) -> Option<&mut Worker> {
        self.seats.get_mut(rank as usize)?.worker.as_mut()
    }

    /// The rank of the living worker with this process.
    pub(super) fn rank_of(&mut self, process: ProcessId) -> Option<u32> {
        self.workers().find(|(_, worker)| worker.process == process).map(|(rank, _)| rank)
    }

    /// The rank of the living worker with this session.
    pub(super) fn rank_with(&mut self, session: SessionId) -> Option<u32> {
        self.workers().find(|(_, worker)| worker.page.session() == Some(session)).map(|(rank, _)| rank)
    }

    /// Why no worker of a rank runs tasks any more, where none does: how the last one ended, or that
    /// it is too late.
    pub(super) fn given_up(&self, rank: u32) -> Option<Cause> {
        let seat = self.seats.get(rank as usize)?;
        match seat.late {
            true => Some(Cause::in_words(TOO_LATE)),
            false => seat.last_end.clone().filter(|_| seat.worker.is_none()),
        }
    }

    /// Whether no rank has a worker, nor ever will.
    pub(super) fn is_lost(&self) -> bool {
        self.seats.iter().all(|seat| seat.worker.is_none())
    }

    /// How the last worker of each rank ended.
    pub(super) fn last_ends(&self) -> Vec<(u32, Cause)> {
        (0..).zip(&self.seats).filter_map(|(rank, seat)| Some((rank, seat.last_end.clone()?))).collect()
    }

    /// Starts the worker of a rank, unless the rank is given up.
    pub(super) fn start(&mut self, rank: u32, supervisor: &mut Supervisor) {
        let Some(seat) = self.seats.get_mut(rank as usize) else { return };
        while !seat.late && seat.fruitless_starts < FRUITLESS_STARTS && seat.killed_starts < KILLED_STARTS {
            match start(&self.command, supervisor) {
                Ok(worker) => {
                    self.unwanted.tell(&worker.page);
                    seat.worker = Some(worker);
                    return;
                }
                Err(error) => {
                    seat.fruitless_starts += 1;
                    seat.last_end = Some(Cause::in_words(error.to_string()));
                }
            }
        }
    }

    /// Tells a worker what it needs to join.
    pub(super) fn bootstrap(&mut self, rank: u32, bootstrap: &Bootstrap) {
        let Some(seat) = self.seats.get_mut(rank as usize) else { return };
        if let Some(worker) = &mut seat.worker {
            let captures = self.command.captures;
            worker.link.send(&Bootstrap { rank, careful: seat.careful, captures, ..bootstrap.clone() });
            if seat.late {
                worker.link.send(&ToWorker::TooLate);
            }
        }
    }

    /// Whether the group was closed before a worker of this rank had joined.
    pub(super) fn is_late(&self, rank: u32) -> bool {
        self.seats.get(rank as usize).is_some_and(|seat| seat.late)
    }

    /// A worker has said that it has joined; whether it was in time.
    pub(super) fn admit(&mut self, rank: u32) -> bool {
        let Some(seat) = self.seats.get_mut(rank as usize) else { return false };
        seat.joined = !seat.late;
        seat.joined
    }

    /// Whoever has not joined is too late, and is told so unless its bootstrap is still to come.
    /// Returns the ranks that have, and those that have not.
    pub(super) fn close_group(&mut self, bootstrapped: bool) -> (Vec<u32>, Vec<u32>) {
        for seat in self.seats.iter_mut().filter(|seat| !seat.joined) {
            seat.late = true;
            if let Some(worker) = seat.worker.as_mut().filter(|_| bootstrapped) {
                worker.link.send(&ToWorker::TooLate);
            }
        }
        (0..).zip(&self.seats).map(|(rank, _)| rank).partition(|rank| !self.is_late(*rank))
    }

    /// Takes in what a worker says; whether it has joined with that, and its process.
    pub(super) fn listen(&mut self, rank: u32) -> Option<u32> {
        let worker = self.worker(rank)?;
        let mut joined = None;
        // A link that is closed or broken means nothing by itself: the process tells when it ends.
        for message in worker.link.receive().map(|received| received.messages).unwrap_or_default() {
            match message {
                FromWorker::Joined { .. } => joined = Some(worker.pid),
                FromWorker::Failed { message, for_good } => {
                    worker.complaint = Some(message);
                    worker.hopeless = for_good;
                }
            }
        }
        joined
    }

    /// Tells all workers, and those that come later, that tasks of this run are not to be begun any more.
    pub(super) fn unwant(&mut self, run: u32, wanted: Wanted) {
        self.unwanted.add(run, wanted);
        self.workers().for_each(|(_, worker)| worker.page.unwant(run, wanted));
    }

    /// Lets go of all workers.
    pub(super) fn vacate(&mut self) -> Vec<Worker> {
        self.seats.drain(..).filter_map(|seat| seat.worker).collect()
    }

    /// Ends a worker. Its [`Crew::ended`] is to follow.
    pub(super) fn end(&mut self, rank: u32, why: Ended, supervisor: &mut Supervisor) {
        if let Some(worker) = self.worker(rank) {
            worker.ended.get_or_insert(why);
            supervisor.kill_tree(worker.process);
        }
    }

    /// The ranks of workers that have been stopped for this long before they joined: the server, which
    /// sees the silence of all others, does not know them.
    pub(super) fn stuck(&mut self, supervisor: &Supervisor, now: Instant, patience: Duration) -> Vec<u32> {
        let joining = self.workers().filter(|(_, worker)| worker.page.session().is_none() && worker.ended.is_none());
        let stuck = joining.filter_map(|(rank, worker)| {
            let is_stopped = supervisor.is_stopped(worker.process);
            let since = is_stopped.then(|| worker.stopped.unwrap_or(now));
            worker.stopped = since;
            (now >= since? + patience).then_some(rank)
        });
        stuck.collect()
    }

    /// Takes note of a worker's end, and leaves its rank free.
    pub(super) fn ended(&mut self, rank: u32, end: &End) -> Option<Death> {
        self.listen(rank);
        let seat = self.seats.get_mut(rank as usize)?;
        let worker = seat.worker.take()?;
        seat.count(&worker, end);
        seat.careful |= worker.ended_after_a_task(end);
        let running = worker.page.running();
        let (end, written) = worker.last_words(end, running);
        let end = &end;
        let cause = explain(end, worker.ended, worker.complaint.as_deref().or(worker.way_in()));
        seat.last_end = Some(cause.clone());
        self.done_by_dead += worker.page.tasks_done();
        let living = self.seats.iter().filter_map(|seat| seat.worker.as_ref());
        let tasks_done = self.done_by_dead + living.map(|worker| worker.page.tasks_done()).sum::<u64>();
        let innocent = running.is_some_and(|running| running.loading) && self.loads.is_innocent(end, tasks_done);
        Some(Death {
            rank,
            pid: worker.pid,
            at_ns: monotonic_ns(),
            cause,
            session: worker.page.session(),
            running,
            passed_over: running.map_or_else(Vec::new, |running| worker.page.passed_over(running.lease)),
            charges: worker.charges(running) && !innocent,
            ended: worker.ended,
            written,
        })
    }
}

fn explain(end: &End, ended: Option<Ended>, complaint: Option<&str>) -> Cause {
    let cause = Cause::from(end);
    match (ended, complaint) {
        (Some(Ended::Silent), _) => {
            cause.preceded_by("it was silent (stopped, or cut off from the server), so the host ended it")
        }
        (Some(Ended::TimedOut { .. }), _) => cause.preceded_by("its task took too long, so the host ended it"),
        (Some(Ended::OverMemory { .. }), _) => cause.preceded_by("its task took too much memory, so the host ended it"),
        (Some(Ended::Late), _) => {
            cause.preceded_by("it came after the group of workers was closed, so the host ended it")
        }
        (Some(Ended::Aborted), _) => cause.preceded_by("the run of its task was given up, so the host ended it"),
        (None, Some(complaint)) => cause.preceded_by(complaint),
        (None, None) => cause,
    }
}
