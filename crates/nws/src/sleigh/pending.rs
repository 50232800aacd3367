//! A call that is not waited for.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use super::run::{OutputOf, Run};
use super::{Error, Outcome, TaskFailure, TaskFailures};
use crate::task::Job;

/// A call in progress. Its sleigh is occupied until it is waited for, cancelled or dropped.
#[must_use = "a call that is dropped is cancelled"]
pub struct Pending<'a, J: Job> {
    run: Run<'a>,
    gathered: Gathered<OutputOf<J>>,
    job: PhantomData<J>,
}

/// Results, each in its place.
pub(super) struct Gathered<R> {
    outcomes: Vec<Option<Outcome<R>>>,
}

impl<R> Default for Gathered<R> {
    fn default() -> Self {
        Self { outcomes: Vec::new() }
    }
}

impl<R> Gathered<R> {
    pub(super) fn put(&mut self, index: u64, outcome: Outcome<R>) {
        // As many as were submitted, so memory has room for their places.
        let place = index as usize;
        if self.outcomes.len() <= place {
            self.outcomes.resize_with(place + 1, || None);
        }
        self.outcomes[place] = Some(outcome);
    }
}

impl<'a, J: Job> Pending<'a, J> {
    pub(super) fn new(run: Run<'a>, gathered: Gathered<OutputOf<J>>) -> Self {
        Self { run, gathered, job: PhantomData }
    }

    /// How many tasks have no result yet. Does not wait.
    ///
    /// # Errors
    /// [`Error::Lost`], [`Error::Stopped`].
    pub fn check(&mut self) -> Result<u64, Error> {
        self.collect(Some(Duration::ZERO))?;
        Ok(self.run.outstanding())
    }

    /// Waits for all results, at most this long; how many tasks have none then.
    ///
    /// # Errors
    /// [`Error::Lost`], [`Error::Stopped`].
    pub fn wait_timeout(&mut self, timeout: Duration) -> Result<u64, Error> {
        self.collect(Some(timeout))?;
        Ok(self.run.outstanding())
    }

    /// Waits for all results, and gives them in order.
    ///
    /// # Errors
    /// [`Error::Tasks`] where tasks have failed; [`Error::Lost`], [`Error::Stopped`].
    pub fn wait(self) -> Result<Vec<OutputOf<J>>, Error> {
        let outcomes = self.wait_outcomes()?;
        let tasks = outcomes.len() as u64;
        let mut failed = Vec::new();
        let keep = |outcome: Outcome<_>| outcome.map_err(|failure| failed.push(*failure)).ok();
        let results: Vec<_> = outcomes.into_iter().filter_map(keep).collect();
        if failed.is_empty() { Ok(results) } else { Err(Error::Tasks(TaskFailures { failed, tasks })) }
    }

    /// Waits for all results, and gives what became of each task, in order.
    ///
    /// # Errors
    /// [`Error::Lost`], [`Error::Stopped`].
    pub fn wait_outcomes(mut self) -> Result<Vec<Outcome<OutputOf<J>>>, Error> {
        self.collect(None)?;
        // Nothing is outstanding, so every place is taken.
        Ok(self.gathered.outcomes.into_iter().flatten().collect())
    }

    /// Gives up the tasks that have no result yet, and gives what has become of all, in order: those
    /// given up are [`Cancelled`](super::FailureKind::Cancelled). Workers that are busy with one are
    /// ended, with all that they started, and replaced. To drop this is to cancel it as well.
    ///
    /// # Errors
    /// [`Error::Lost`], [`Error::Stopped`].
    pub fn cancel(mut self) -> Result<Vec<Outcome<OutputOf<J>>>, Error> {
        self.collect(Some(Duration::ZERO))?;
        let given_up = self.run.give_up();
        self.put_cancelled(given_up);
        self.wait_outcomes()
    }

    /// Takes back the tasks that have not begun, waits for those that have, and gives what has become
    /// of all, in order: those taken back are [`Cancelled`](super::FailureKind::Cancelled).
    ///
    /// # Errors
    /// [`Error::Lost`], [`Error::Stopped`].
    pub fn cancel_the_rest(mut self) -> Result<Vec<Outcome<OutputOf<J>>>, Error> {
        let withdrawn = self.run.withdraw()?;
        self.put_cancelled(withdrawn);
        self.wait_outcomes()
    }

    fn put_cancelled(&mut self, indexes: Vec<u64>) {
        for index in indexes {
            self.gathered.put(index, Err(Box::new(TaskFailure::cancelled(index))));
        }
    }

    fn collect(&mut self, timeout: Option<Duration>) -> Result<(), Error> {
        let gathered = &mut self.gathered;
        self.run.collect::<J::Task>(0, timeout, |index, outcome| gathered.put(index, outcome))
    }
}

impl<J: Job> fmt::Debug for Pending<'_, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("run", &self.run).finish_non_exhaustive()
    }
}
