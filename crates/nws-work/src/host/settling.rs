//! What follows from the deaths of workers: leases are settled, the master is told.

use std::time::Instant;

use nws_proto::{Adopted, LeaseId};

use super::charge::{self, Verdict};
use super::crew::Death;
use super::deaths::Step;
use super::inner::Host;
use super::worker::Ended;
use crate::control::FromHost;
use crate::envelope::{Failure, Outcome, ResultHead, Said, TaskHead};
use crate::page::Running;

/// What a dead worker wrote last, as values for the master.
fn last_words(death: &Death) -> Vec<Vec<u8>> {
    let task = death.running.map_or(TaskHead::NONE, |running| TaskHead { run: running.run, index: running.index });
    let written = [Said::Stdout, Said::Stderr].into_iter().zip(&death.written);
    let written = written.filter(|(_, bytes)| !bytes.is_empty());
    written.map(|(said, bytes)| said.to_value(task, death.rank, bytes)).collect()
}

/// The result of a task that has cost as many workers as it may.
fn failure_of(death: &Death, running: &Running, deaths: u32) -> Vec<u8> {
    let head = ResultHead {
        task: TaskHead { run: running.run, index: running.index },
        rank: death.rank,
        outcome: Outcome::Failed,
        began_ns: running.began_ns,
        duration_ns: death.at_ns.saturating_sub(running.began_ns),
    };
    let cause = death.cause.clone();
    let failure = match death.ended {
        Some(Ended::TimedOut { timeout_ms, .. }) => Failure::timed_out(timeout_ms, cause),
        Some(Ended::OverMemory { used_bytes, limit_bytes, .. }) => Failure::over_memory(used_bytes, limit_bytes, cause),
        _ => Failure::died(cause, deaths),
    };
    failure.to_result(head)
}

impl Host {
    /// The process of a worker has ended.
    pub(super) fn worker_ended(&mut self, death: Death) {
        let step = self.deaths.process(death, Instant::now());
        self.take(step);
    }

    /// The session of a worker has ended.
    pub(super) fn session_ended(&mut self, adopted: Adopted) {
        let lives = self.crew.rank_with(adopted.session).is_some();
        let step = self.deaths.session(adopted, lives, Instant::now());
        self.take(step);
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Wait => {}
            Step::Tell(death) => self.tell_death(death, false),
            Step::Settle(death, adopted) => {
                let verdict = self.judge(&death, &adopted);
                // Told before the task can run again, so that its result mostly comes after this.
                self.tell_death(death.clone(), verdict.failed.is_some());
                self.settle(&death, &adopted, verdict);
            }
            Step::SettleLate(death, adopted) => {
                let verdict = self.judge(&death, &adopted);
                self.settle(&death, &adopted, verdict);
            }
            Step::Unknown(adopted) => {
                if let Some(guardian) = &self.guardian {
                    guardian.release(adopted.leases.iter().map(|orphan| orphan.lease).collect(), false);
                }
            }
        }
    }

    fn judge(&self, death: &Death, adopted: &Adopted) -> Verdict {
        let running = death.running.filter(|_| death.charges);
        // What took too long or too much would do so again.
        let again = !matches!(death.ended, Some(Ended::TimedOut { .. } | Ended::OverMemory { .. }));
        let retries = running.filter(|_| again).map_or(0, |running| self.terms.retries(running.run));
        let before = running.map_or(0, |running| self.terms.deaths(&running));
        charge::judge(running, &adopted.leases, before, retries)
    }

    /// Settles the leases of a dead worker.
    fn settle(&mut self, death: &Death, adopted: &Adopted, verdict: Verdict) {
        let Some(guardian) = &self.guardian else { return };
        // Before the result, which may follow from somewhere else at once.
        guardian.say(last_words(death));
        let bundle = death.running.filter(|running| running.bundled);
        let is_bundle = |lease: &LeaseId| bundle.is_some_and(|running| running.lease == *lease);
        let untouched = verdict.untouched.iter().filter(|lease| !is_bundle(lease));
        guardian.release(untouched.copied().collect(), false);
        let Some(running) = death.running else { return };
        let failure = verdict.failed.map(|(lease, deaths)| (lease, failure_of(death, &running, deaths)));
        if !running.bundled {
            guardian.release(verdict.charged.into_iter().collect(), true);
            failure.into_iter().for_each(|(lease, failure)| guardian.finish(lease, failure));
            return;
        }
        // The others of its bundle are run again with the lease, without what is done. Nobody else has it.
        let Some(orphan) = adopted.leases.iter().find(|orphan| is_bundle(&orphan.lease)) else { return };
        let mut passed_over = death.passed_over.clone();
        let charged = verdict.charged.is_some() || failure.is_some();
        if let Some((_, failure)) = failure {
            passed_over.push(running.index..running.index + 1);
            guardian.tell(failure);
        }
        guardian.pass_over(running.run, orphan.index, passed_over);
        guardian.release(vec![orphan.lease], true);
        if charged {
            self.terms.charge(&running);
        }
    }

    fn tell_death(&mut self, death: Death, failed: bool) {
        let Death { rank, pid, at_ns, cause, running, .. } = death;
        let task = running.map(|running| (running.run, running.index));
        self.control.send(&FromHost::WorkerDied { rank, pid, at_ns, cause, task, failed });
    }

    /// Ends workers whose task takes longer than it may.
    pub(super) fn look_at_tasks(&mut self, now_ns: u64) {
        let terms = &self.terms;
        let overdue = self.crew.workers().filter_map(|(rank, worker)| {
            let running = worker.running_on()?;
            Some((rank, Ended::TimedOut { lease: running.lease, timeout_ms: terms.overdue_ms(&running, now_ns)? }))
        });
        let overdue: Vec<(u32, Ended)> = overdue.collect();
        for (rank, why) in overdue {
            self.crew.end(rank, why, &mut self.supervisor);
        }
    }

    /// Ends workers that are stopped before they have joined. Looked at with every beat, as nothing tells.
    pub(super) fn look_at_joining(&mut self, now: Instant) {
        if now < self.pulse.next() {
            return;
        }
        for rank in self.crew.stuck(&self.supervisor, now, self.pulse.silence()) {
            self.crew.end(rank, Ended::Silent, &mut self.supervisor);
        }
    }

    /// Ends workers whose task takes more memory than it may.
    pub(super) fn look_at_memory(&mut self, now: Instant) {
        let Some(memory) = &mut self.memory else { return };
        for (rank, why) in memory.look(&mut self.crew, now) {
            self.crew.end(rank, why, &mut self.supervisor);
        }
    }

    /// Sees to halves of deaths whose other half does not come.
    pub(super) fn look_at_deaths(&mut self, now: Instant) {
        for death in self.deaths.overdue(now) {
            self.tell_death(death, false);
        }
        for session in self.deaths.silent(now) {
            if let Some(rank) = self.crew.rank_with(session) {
                self.crew.end(rank, Ended::Silent, &mut self.supervisor);
            }
        }
    }
}
