//! The ends of lives, of patience and of the job.

use std::time::Instant;

use super::super::dispatch::AfterEnd;
use super::super::life::Life;
use super::super::{Arrival, Over};
use super::Engine;

impl Engine {
    /// Takes in the end of a life, once its process has ended and its answers are settled.
    pub(super) fn bury(&mut self, worker: usize) {
        let place = &mut self.workers[worker];
        let Some(life) = place.life.take_if(|life| life.cause.is_some() && life.unsettled == 0) else { return };
        self.waiting.remove(&(place.rank, worker));
        if let Some(deadline) = life.deadline {
            self.deadlines.remove(&(deadline, worker));
        }
        let task = life.task.map(|(task, _)| task);
        place.output = Some((life.incoming, life.answers));
        for task in life.results {
            self.tasks.remove(&task);
        }
        if let Some(task) = task {
            self.put_back(task);
        }
        if self.closing.is_some() {
            return;
        }
        let cause = life.cause.unwrap_or_default();
        let cause = life.broken.map_or(cause.clone(), |why| cause.preceded_by(&why));
        let after = self.dispatch.ended(worker);
        if after != AfterEnd::Sleep || task.is_some() {
            self.shared.tell(Arrival::Ended { worker, cause, task, given_up: after == AfterEnd::GivenUp });
        }
        if after == AfterEnd::Again {
            self.launch(worker);
        }
    }

    pub(super) fn look_at_the_clock(&mut self, now: Instant) {
        while let Some((_, worker)) = self.deadlines.first().copied().filter(|(deadline, _)| *deadline <= now) {
            self.deadlines.pop_first();
            let task = self.workers[worker].life.as_ref().and_then(|life| life.task);
            if let Some((task, _)) = task {
                let timeout_s = self.options.timeout.unwrap_or_default().as_secs_f64();
                self.break_off(worker, format!("it did not answer within {timeout_s} s"));
                if self.dispatch.timed_out(task) {
                    self.end(Over::TimedOut { task });
                }
            }
        }
        while let Some((deadline, worker, number)) = self.lingering.front().copied() {
            let life = self.workers[worker].life.as_ref().filter(|life| life.number == number);
            if life.is_some() && deadline > now {
                break;
            }
            self.lingering.pop_front();
            if life.is_some() && self.closing.is_none() {
                self.break_off(worker, "it closed its standard output and did not end".to_owned());
            }
        }
        if self.closing.flatten().is_some_and(|deadline| deadline <= now) {
            self.closing = Some(None);
            self.workers.iter().filter_map(|worker| worker.life.as_ref()).for_each(|life| self.host.end(life.id));
        }
    }

    pub(super) fn look_whether_over(&mut self) {
        if self.closing.is_none() && self.dispatch.is_done() {
            self.closing = Some(self.options.timeout.map(|timeout| Instant::now() + timeout));
            self.workers.iter_mut().filter_map(|worker| worker.life.as_mut()).for_each(Life::close);
            (0..self.workers.len()).for_each(|worker| self.look_at_output(worker));
        }
        if self.closing.is_some() && self.workers.iter().all(|worker| worker.life.is_none()) {
            for (worker, place) in self.workers.iter_mut().enumerate() {
                if let Some((bytes, answers)) = place.output.take() {
                    self.shared.tell(Arrival::Output { worker, bytes, answers });
                }
            }
            self.end(Over::Done);
        } else if self.dispatch.queued() > 0 && self.dispatch.is_deserted() {
            self.end(Over::NoWorkers);
        }
    }
}
