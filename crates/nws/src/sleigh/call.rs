//! A task with options for its calls.

use std::time::Duration;

use super::pending::Gathered;
use super::run::{GivenOf, OutputOf, Run, Terms};
use super::{Error, Outcome, Pending, Results, Sleigh};
use crate::task::{Given, Job};

/// How many tasks are submitted between two looks at what came back, first and at most: it tells how long tasks
/// are, and so how many of the next share a lease.
const FIRST_TASKS: u64 = 512;
const SUBMIT_TASKS: u64 = 8192;
/// How long the first result is waited for before more is submitted: tasks of unknown length cost more.
const FIRST_RESULT: Duration = Duration::from_millis(5);

/// A task with options for its calls. [`Sleigh::call`] makes one.
///
/// ```
/// # use nws::sleigh::Sleigh;
/// use std::time::Duration;
///
/// #[nws::task]
/// fn length(line: &str) -> usize {
///     line.len()
/// }
///
/// # #[nws::main]
/// # fn main() -> Result<(), nws::sleigh::Error> {
/// let sleigh = Sleigh::builder().workers(2).build()?;
/// let lines = ["one", "three"];
/// let lengths = sleigh.call(length::task()).timeout(Duration::from_secs(60)).retries(0).each_elem(lines)?;
/// assert_eq!(lengths, [3, 5]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing is run before each_elem() or another call"]
pub struct Call<'a, J> {
    sleigh: &'a Sleigh,
    job: J,
    terms: Terms,
}

impl<'a, J: Job> Call<'a, J> {
    pub(super) fn new(sleigh: &'a Sleigh, job: J) -> Self {
        Self { sleigh, job, terms: Terms::default() }
    }

    /// How many tasks stay together on their way to a worker, which takes several such chunks at a time
    /// while they are short. By default how many it takes follows from how long they are alone.
    pub fn chunk_size(mut self, tasks: u32) -> Self {
        self.terms.chunk_size = Some(tasks);
        self
    }

    /// The most tasks a worker that are under way at one time; by default all are submitted at once, or
    /// with [`Call::imap`] as many as keep the workers busy.
    pub fn load_factor(mut self, tasks: u32) -> Self {
        self.terms.load_factor = Some(tasks.max(1));
        self
    }

    /// How long a task may run. One that takes longer is ended with its worker, and fails alone.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.terms.timeout = Some(timeout);
        self
    }

    /// How often a task is run again after a worker died of it; by default as
    /// [the sleigh](super::Builder::retries) has it.
    pub fn retries(mut self, count: u32) -> Self {
        self.terms.retries = Some(count);
        self
    }

    /// Runs the task once for each input and gives the results in order: [`Sleigh::each_elem`].
    ///
    /// # Errors
    /// As there.
    pub fn each_elem<I>(self, inputs: I) -> Result<Vec<OutputOf<J>>, Error>
    where
        I: IntoIterator,
        I::Item: Given<GivenOf<J>>,
    {
        self.start_with_factor(inputs)?.wait()
    }

    /// Runs the task once for each input and gives what became of each, in order.
    ///
    /// ```
    /// # use nws::sleigh::Sleigh;
    /// #[nws::task]
    /// fn parse(text: &str) -> Result<i64, std::num::ParseIntError> {
    ///     text.trim().parse()
    /// }
    ///
    /// # #[nws::main]
    /// # fn main() -> Result<(), nws::sleigh::Error> {
    /// let sleigh = Sleigh::builder().workers(2).build()?;
    /// let outcomes = sleigh.call(parse::task()).each_elem_outcomes(["1", "one"])?;
    /// assert_eq!(outcomes[0], Ok(1));
    /// assert_eq!(outcomes[1].as_ref().unwrap_err().message, "invalid digit found in string");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`Sleigh::each_elem`], but for [`Error::Tasks`].
    pub fn each_elem_outcomes<I>(self, inputs: I) -> Result<Vec<Outcome<OutputOf<J>>>, Error>
    where
        I: IntoIterator,
        I::Item: Given<GivenOf<J>>,
    {
        self.start_with_factor(inputs)?.wait_outcomes()
    }

    /// Runs the task once for each input and hands what became of each to `accumulate`, with the input's
    /// place, as it comes.
    ///
    /// ```
    /// # use nws::sleigh::Sleigh;
    /// # #[nws::task]
    /// # fn square(x: u64) -> u64 {
    /// #     x * x
    /// # }
    /// # #[nws::main]
    /// # fn main() -> Result<(), nws::sleigh::Error> {
    /// let sleigh = Sleigh::builder().workers(2).build()?;
    /// let mut sum = 0;
    /// sleigh.call(square::task()).each_elem_into(1..=3, |_, outcome| sum += outcome.unwrap_or_default())?;
    /// assert_eq!(sum, 14);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`Sleigh::each_elem`], but for [`Error::Tasks`].
    pub fn each_elem_into<I>(
        self,
        inputs: I,
        mut accumulate: impl FnMut(u64, Outcome<OutputOf<J>>),
    ) -> Result<(), Error>
    where
        I: IntoIterator,
        I::Item: Given<GivenOf<J>>,
    {
        let mut run = self.submit_all(inputs, self.terms.load_factor, &mut accumulate)?;
        run.collect::<J::Task>(0, None, &mut accumulate)
    }

    /// Submits a task for each input and returns; the results are for [`Pending::wait`]. A
    /// [load factor](Call::load_factor) is ignored.
    ///
    /// ```
    /// # use nws::sleigh::Sleigh;
    /// # #[nws::task]
    /// # fn square(x: u64) -> u64 {
    /// #     x * x
    /// # }
    /// # #[nws::main]
    /// # fn main() -> Result<(), nws::sleigh::Error> {
    /// let sleigh = Sleigh::builder().workers(2).build()?;
    /// let pending = sleigh.call(square::task()).start(1..=3)?;
    /// // ... the program does something else ...
    /// assert_eq!(pending.wait()?, [1, 4, 9]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`Sleigh::each_elem`], but for [`Error::Tasks`].
    pub fn start<I>(self, inputs: I) -> Result<Pending<'a, J>, Error>
    where
        I: IntoIterator,
        I::Item: Given<GivenOf<J>>,
    {
        let mut gathered = Gathered::default();
        let run = self.submit_all(inputs, None, |index, outcome| gathered.put(index, outcome))?;
        Ok(Pending::new(run, gathered))
    }

    /// Runs the task once on every worker: [`Sleigh::each_worker`].
    ///
    /// # Errors
    /// As there.
    pub fn each_worker(self, given: impl Given<GivenOf<J>>) -> Result<Vec<OutputOf<J>>, Error> {
        self.start_on_each_worker(given)?.wait()
    }

    /// Submits the task to every worker and returns; the results are for [`Pending::wait`].
    ///
    /// # Errors
    /// As for [`Sleigh::each_elem`], but for [`Error::Tasks`].
    pub fn start_on_each_worker(self, given: impl Given<GivenOf<J>>) -> Result<Pending<'a, J>, Error> {
        let workers = Some(self.sleigh.worker_count().into());
        let mut run = Run::begin(self.sleigh, &self.job, Terms { chunk_size: Some(1), ..self.terms }, workers)?;
        for rank in 0..run.worker_count() {
            run.push_to(rank, &given)?;
        }
        Ok(Pending::new(run, Gathered::default()))
    }

    /// Runs the task for each input and gives the results one by one: [`Sleigh::imap`].
    ///
    /// # Errors
    /// As there.
    pub fn imap<I>(self, inputs: I) -> Result<Results<'a, J, I::IntoIter>, Error>
    where
        I: IntoIterator,
        I::Item: Given<GivenOf<J>>,
    {
        let inputs = inputs.into_iter();
        let run = Run::begin(self.sleigh, &self.job, self.terms, exact(&inputs))?;
        Results::new(run, inputs, self.terms.load_factor)
    }

    fn start_with_factor<I>(self, inputs: I) -> Result<Pending<'a, J>, Error>
    where
        I: IntoIterator,
        I::Item: Given<GivenOf<J>>,
    {
        let mut gathered = Gathered::default();
        let run = self.submit_all(inputs, self.terms.load_factor, |index, outcome| gathered.put(index, outcome))?;
        Ok(Pending::new(run, gathered))
    }

    /// Submits all tasks, at most `load_factor` for each worker at a time.
    fn submit_all<I>(
        &self,
        inputs: I,
        load_factor: Option<u32>,
        mut place: impl FnMut(u64, Outcome<OutputOf<J>>),
    ) -> Result<Run<'a>, Error>
    where
        I: IntoIterator,
        I::Item: Given<GivenOf<J>>,
    {
        let inputs = inputs.into_iter();
        let mut run = Run::begin(self.sleigh, &self.job, self.terms, exact(&inputs))?;
        let most = load_factor.map(|factor| u64::from(factor) * u64::from(run.worker_count()));
        run.set_under_way(most.unwrap_or(u64::MAX));
        let (mut look_at, mut step) = (FIRST_TASKS, FIRST_TASKS);
        for given in inputs {
            let full = run.push(&given)?;
            if most.is_some_and(|most| run.outstanding() >= most) {
                run.flush()?;
                run.collect::<J::Task>(run.outstanding() - 1, None, &mut place)?;
            } else if full {
                run.flush()?;
                if run.submitted() >= look_at {
                    step = (2 * step).min(SUBMIT_TASKS);
                    look_at = run.submitted() + step;
                    if run.submitted() == run.outstanding() {
                        run.collect::<J::Task>(run.outstanding() - 1, Some(FIRST_RESULT), &mut place)?;
                    }
                    run.collect::<J::Task>(0, Some(Duration::ZERO), &mut place)?;
                }
            }
        }
        run.flush()?;
        Ok(run)
    }
}

/// How many inputs there are, where they know it.
fn exact(inputs: &impl Iterator) -> Option<u64> {
    let (least, most) = inputs.size_hint();
    (Some(least) == most).then_some(least as u64)
}
