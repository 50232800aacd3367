//! Results one by one.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use super::run::{GivenOf, OutputOf, Run};
use super::{Error, Outcome};
use crate::task::{Given, Job};

/// How many tasks a worker the window begins with, and may grow to, where no load factor was given.
const FIRST_A_WORKER: u64 = 3;
const MOST_A_WORKER: u64 = 8192;

/// The results of [`Sleigh::imap`](super::Sleigh::imap), in order. A task that failed is
/// [`Error::Task`]; after any other error there is nothing more.
///
/// Inputs are taken as results are: never more than a window ahead, which is the load factor for each
/// worker, or else grows while the workers run out of tasks. The sleigh is occupied until the results
/// have ended or this is dropped, which gives up the tasks that are under way.
#[must_use = "results that are dropped are given up"]
pub struct Results<'a, J: Job, I> {
    run: Option<Run<'a>>,
    inputs: Option<I>,
    ordered: Ordered<OutputOf<J>>,
    window: u64,
    most: u64,
    returned: u64,
    job: PhantomData<J>,
}

/// Keeps results that have come until those before them were taken.
struct Ordered<R> {
    ready: VecDeque<Outcome<R>>,
    early: HashMap<u64, Outcome<R>>,
    next_index: u64,
}

impl<R> Ordered<R> {
    fn put(&mut self, index: u64, outcome: Outcome<R>) {
        if index != self.next_index {
            self.early.insert(index, outcome);
            return;
        }
        let mut following = Some(outcome);
        while let Some(outcome) = following {
            self.ready.push_back(outcome);
            self.next_index += 1;
            following = self.early.remove(&self.next_index);
        }
    }
}

impl<'a, J: Job, I: Iterator> Results<'a, J, I>
where
    I::Item: Given<GivenOf<J>>,
{
    pub(super) fn new(run: Run<'a>, inputs: I, load_factor: Option<u32>) -> Result<Self, Error> {
        let workers = u64::from(run.worker_count());
        let factor = load_factor.map(u64::from);
        let mut results = Self {
            run: Some(run),
            inputs: Some(inputs),
            ordered: Ordered { ready: VecDeque::new(), early: HashMap::new(), next_index: 0 },
            window: workers * factor.unwrap_or(FIRST_A_WORKER),
            most: workers * factor.unwrap_or(MOST_A_WORKER),
            returned: 0,
            job: PhantomData,
        };
        results.fill()?;
        Ok(results)
    }

    /// Takes no more inputs. The results of those that were taken still come.
    pub fn take_no_more(&mut self) {
        self.inputs = None;
    }

    /// How many results have come and were not taken yet.
    pub fn buffered(&self) -> usize {
        self.ordered.ready.len() + self.ordered.early.len()
    }

    /// How many inputs were taken.
    pub fn submitted(&self) -> u64 {
        self.run.as_ref().map_or(self.returned, Run::submitted)
    }

    /// Submits tasks up to the window, many at a time.
    fn fill(&mut self) -> Result<(), Error> {
        let (Some(run), Some(inputs)) = (&mut self.run, &mut self.inputs) else { return Ok(()) };
        let mut free = self.window.saturating_sub(run.submitted() - self.returned);
        if free * 2 < self.window && run.outstanding() > 0 {
            return Ok(());
        }
        run.set_under_way(self.window);
        let mut more = true;
        while free > 0 && more {
            more = match inputs.next() {
                Some(given) => {
                    if run.push(&given)? {
                        run.flush()?;
                    }
                    true
                }
                None => false,
            };
            free -= 1;
        }
        if !more {
            self.inputs = None;
        }
        run.flush()
    }

    /// The next result, once it has come; `None` where there is none any more.
    fn advance(&mut self) -> Result<Option<Outcome<OutputOf<J>>>, Error> {
        self.fill()?;
        if self.ordered.ready.is_empty() {
            self.wait()?;
        }
        Ok(self.ordered.ready.pop_front())
    }

    fn wait(&mut self) -> Result<(), Error> {
        let outstanding = self.run.as_ref().map_or(0, Run::outstanding);
        if self.inputs.is_some() && outstanding * 4 <= self.window && self.window < self.most {
            // The workers run out of tasks: there is room for more between them and the consumer.
            self.window = (self.window * 2).min(self.most);
            self.fill()?;
        }
        let Some(run) = &mut self.run else { return Ok(()) };
        let ordered = &mut self.ordered;
        run.collect::<J::Task>(0, Some(Duration::ZERO), |index, outcome| ordered.put(index, outcome))?;
        while ordered.ready.is_empty() && run.outstanding() > 0 {
            let until = run.outstanding() - 1;
            run.collect::<J::Task>(until, None, |index, outcome| ordered.put(index, outcome))?;
        }
        Ok(())
    }
}

impl<J: Job, I: Iterator> Iterator for Results<'_, J, I>
where
    I::Item: Given<GivenOf<J>>,
{
    type Item = Result<OutputOf<J>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.run.as_ref()?;
        match self.advance() {
            Ok(Some(outcome)) => {
                self.returned += 1;
                Some(outcome.map_err(Error::Task))
            }
            Ok(None) => {
                self.run = None;
                None
            }
            Err(error) => {
                self.run = None;
                Some(Err(error))
            }
        }
    }
}

impl<J: Job, I> fmt::Debug for Results<'_, J, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Results").field("run", &self.run).field("returned", &self.returned).finish_non_exhaustive()
    }
}
