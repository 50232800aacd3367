//! One call while it goes on: tasks out, results in.

use std::time::{Duration, Instant};

use nws_work::envelope::{Outcome as Ended, TaskHead};
use nws_work::master::{Arrival, Missing, TaskResult, Tasks};

use super::progress::Bar;
use super::{Error, Outcome, Sleigh, TaskFailure};
use crate::task::{Given, Job, Task, decode, register};

/// How long a wait goes on before it is looked whether the sleigh still is.
const TURN: Duration = Duration::from_millis(200);

/// What the tasks of `J` take.
pub(super) type GivenOf<J> = <<J as Job>::Task as Task>::Given;
/// What the tasks of `J` give.
pub(super) type OutputOf<J> = <<J as Job>::Task as Task>::Output;

/// How the tasks of a call are run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Terms {
    pub(super) chunk_size: Option<u32>,
    pub(super) load_factor: Option<u32>,
    pub(super) timeout: Option<Duration>,
    pub(super) retries: Option<u32>,
}

/// A call of a sleigh, which is occupied while this lives.
#[derive(Debug)]
pub(super) struct Run<'a> {
    sleigh: &'a Sleigh,
    number: u32,
    tasks: Tasks,
    missing: Missing,
    outstanding: u64,
    bar: Bar,
    /// Whether the end of this was told already, or there is nobody to tell.
    over: bool,
}

impl<'a> Run<'a> {
    /// Begins a call, of so many tasks where that is known.
    pub(super) fn begin<J: Job>(sleigh: &'a Sleigh, job: &J, terms: Terms, total: Option<u64>) -> Result<Self, Error> {
        let named = |message| Error::Argument(format!("the task {}: {message}", J::Task::NAME));
        let fixed = job.fixed().map_err(named)?;
        let definition = register::<J::Task>(terms.chunk_size, fixed).map_err(named)?;
        let timeout_ms = terms.timeout.map(checked_ms).transpose()?;
        sleigh.occupy()?;
        sleigh.heard.forget();
        let begun = sleigh.core.begin_run(definition, terms.retries.unwrap_or(sleigh.defaults.retries), timeout_ms);
        let number = begun.map_err(|error| {
            sleigh.release();
            sleigh.explain(error)
        })?;
        let tasks = Tasks::new(number, sleigh.worker_count(), terms.chunk_size);
        let bar = Bar::new(sleigh.defaults.progress, total);
        Ok(Self { sleigh, number, tasks, missing: Missing::default(), outstanding: 0, bar, over: false })
    }

    /// How many workers there are.
    pub(super) fn worker_count(&self) -> u32 {
        self.sleigh.worker_count()
    }

    /// How many tasks have no result yet.
    pub(super) fn outstanding(&self) -> u64 {
        self.outstanding
    }

    /// How many tasks were submitted.
    pub(super) fn submitted(&self) -> u64 {
        self.tasks.next_index()
    }

    /// From now on at most so many are under way.
    pub(super) fn set_under_way(&mut self, most: u64) {
        self.tasks.set_under_way(most);
    }

    /// Adds a task; whether it is time to [`Run::flush`].
    pub(super) fn push<A>(&mut self, given: &impl Given<A>) -> Result<bool, Error> {
        let index = self.tasks.next_index();
        self.tasks.push(|buffer| {
            given
                .encode(buffer)
                .map_err(|message| Error::Argument(format!("the arguments of task {index} cannot be sent: {message}")))
        })?;
        self.missing.push();
        self.outstanding += 1;
        Ok(self.tasks.is_full())
    }

    /// Adds a task for the worker of this rank alone, and sends it.
    pub(super) fn push_to<A>(&mut self, rank: u32, given: &impl Given<A>) -> Result<(), Error> {
        self.push(given)?;
        self.sleigh.core.master().submit_to(rank, &mut self.tasks);
        Ok(())
    }

    /// Sends the tasks that were added. Waits while much is unsent.
    pub(super) fn flush(&mut self) -> Result<(), Error> {
        let core = &self.sleigh.core;
        core.submit(&mut self.tasks);
        while core.master().is_behind() {
            // A server that is gone closes the connection, which empties the queue.
            core.master().pause(TURN);
            if let Err(error) = core.check() {
                return Err(self.lose(error));
            }
        }
        Ok(())
    }

    /// Takes in results until no more than `until` are outstanding, or `timeout` has passed. Each is
    /// given to `place` with its index.
    pub(super) fn collect<T: Task>(
        &mut self,
        until: u64,
        timeout: Option<Duration>,
        mut place: impl FnMut(u64, Outcome<T::Output>),
    ) -> Result<(), Error> {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        while self.outstanding > until {
            let left = deadline.map_or(TURN, |deadline| deadline.saturating_duration_since(Instant::now()).min(TURN));
            let arrivals = self.sleigh.core.arrivals(left).map_err(|error| self.lose(error))?;
            for arrival in arrivals {
                let Arrival::Results(results) = arrival else { continue };
                self.take::<T>(&results, &mut place);
            }
            self.bar.move_to(self.submitted() - self.outstanding);
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                break;
            }
        }
        Ok(())
    }

    /// Takes back the tasks that have not begun: their indexes. The others go on.
    pub(super) fn withdraw(&mut self) -> Result<Vec<u64>, Error> {
        let mut withdrawn = self.sleigh.core.cancel(self.number).map_err(|error| self.lose(error))?;
        withdrawn.retain(|index| self.missing.remove(*index));
        self.outstanding -= withdrawn.len() as u64;
        Ok(withdrawn)
    }

    /// Gives up the tasks that have no result: their indexes. Workers that are busy with one are replaced.
    pub(super) fn give_up(&mut self) -> Vec<u64> {
        self.sleigh.core.give_up(self.number);
        self.over = true;
        self.outstanding = 0;
        self.missing.take_all()
    }

    fn take<T: Task>(&mut self, results: &[TaskResult], mut place: impl FnMut(u64, Outcome<T::Output>)) {
        results.iter().for_each(|result| self.hear(result));
        let (mut took_ns, mut done) = (0, 0);
        for (head, payload) in results.iter().flat_map(TaskResult::read) {
            if head.task.run != self.number || !self.missing.remove(head.task.index) {
                continue;
            }
            self.outstanding -= 1;
            let result = match head.outcome {
                Ended::Done => decode(payload)
                    .inspect(|_| (took_ns, done) = (took_ns + head.duration_ns, done + 1))
                    .map_err(|problem| {
                        let problem = format!("its result cannot be read here: {problem}");
                        Box::new(TaskFailure::unreadable(&head, &problem))
                    }),
                Ended::Failed => {
                    let mut failure = TaskFailure::read(&head, payload);
                    // What the task wrote came before its result.
                    failure.output = self.sleigh.heard.of_task(head.task.index);
                    Err(Box::new(failure))
                }
            };
            place(head.task.index, result);
        }
        self.tasks.took(took_ns, done);
    }

    /// Takes in what a task of this call, or a worker between tasks, wrote.
    fn hear(&self, result: &TaskResult) {
        let Some((said, task, rank, bytes)) = result.said() else { return };
        if task.run == self.number || task == TaskHead::NONE {
            self.sleigh.heard.hear(said, task, rank, bytes, &self.bar);
        }
    }

    fn lose(&mut self, error: nws_work::WorkError) -> Error {
        self.over = true;
        self.sleigh.explain(error)
    }
}

impl Drop for Run<'_> {
    /// Ends the call: as done where no task is outstanding, else its tasks are given up.
    fn drop(&mut self) {
        if !self.over {
            if self.outstanding == 0 {
                self.sleigh.core.end_run(self.number);
            } else {
                self.sleigh.core.give_up(self.number);
            }
        }
        self.sleigh.release();
    }
}

fn checked_ms(timeout: Duration) -> Result<u64, Error> {
    let year = Duration::from_secs(366 * 24 * 3600);
    if timeout.is_zero() || timeout > year {
        return Err(Error::Argument(format!("timeout: expected more than 0 and at most a year, got {timeout:?}")));
    }
    Ok(timeout.as_millis().max(1) as u64)
}
