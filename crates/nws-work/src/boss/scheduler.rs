//! Which instructions are handed out, and when.
//!
//! - [`MaxThreads`]: in order, to so many workers at a time. [`Unlimited`]: all at once.
//! - [`MaxMemory`]: what fits into memory. [`SingleOpenFile`]: nothing whose files another worker has.
//! - [`LongestFirst`]: first what takes longest, as declared or as remembered of earlier runs.
//! - [`OnCores`]: any of them, with each worker bound to a core.
//! - [`Scheduler`]: one of your own.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::durations::Durations;
use super::report::WorkerReport;

/// Says which instructions `I` are handed out, seeing the reports `R` of workers that have finished.
///
/// It is asked whenever something has changed, and some twenty times a second as long as instructions
/// are pending.
pub trait Scheduler<I, R>: Send {
    /// Takes out of `pending` what is to be handed out now; what is left there may be put in another
    /// order. New instructions are added at its end. `workers` are those that work, in the order in
    /// which they began; `reports` are those of workers that have finished.
    ///
    /// There are as many instructions afterwards as before: to lose some, or to hand out what is left as
    /// well, ends the Boss as an error does.
    ///
    /// # Errors
    /// Instructions that can never be handed out: that ends the Boss.
    fn launchable(
        &mut self,
        pending: &mut VecDeque<I>,
        workers: &[Working<I>],
        reports: &[WorkerReport<R>],
    ) -> Result<Vec<I>, String>;

    /// Whether each worker is to be bound to a core of its own, as far as there are enough.
    fn binds(&self) -> bool {
        false
    }

    /// A worker has given its report.
    fn finished(&mut self, instructions: &I, took: Duration) {
        let _ = (instructions, took);
    }

    /// The Boss ends.
    fn ended(&mut self) {}
}

/// A worker that works.
#[derive(Clone, Debug, PartialEq)]
pub struct Working<I> {
    /// Its name.
    pub name: String,
    /// What it was told to do.
    pub instructions: I,
    /// When it began.
    pub since: Instant,
}

/// What is asked of instructions.
type Ask<I, V> = Box<dyn Fn(&I) -> V + Send>;

/// Takes the first of `pending` that fit, `most` at most; what does not fit lets others pass.
fn take<I>(
    pending: &mut VecDeque<I>,
    most: usize,
    mut fits: impl FnMut(&I) -> Result<bool, String>,
) -> Result<Vec<I>, String> {
    let (mut chosen, mut left) = (Vec::new(), VecDeque::new());
    let mut problem = None;
    while chosen.len() < most
        && problem.is_none()
        && let Some(instructions) = pending.pop_front()
    {
        match fits(&instructions) {
            Ok(true) => chosen.push(instructions),
            Ok(false) => left.push_back(instructions),
            Err(told) => {
                left.push_back(instructions);
                problem = Some(told);
            }
        }
    }
    if let Some(problem) = problem {
        for instructions in left.into_iter().chain(chosen).rev() {
            pending.push_front(instructions);
        }
        return Err(problem);
    }
    while let Some(instructions) = left.pop_back() {
        pending.push_front(instructions);
    }
    Ok(chosen)
}

/// Lets so many workers work at a time, by default one for each core that this process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxThreads {
    most: usize,
}

impl MaxThreads {
    /// At most this many; 0 is one for each core (the process's affinity, its control group and Slurm
    /// are asked).
    pub fn new(most: u32) -> Self {
        let most = if most == 0 { crate::usable_cores() } else { most };
        Self { most: most as usize }
    }

    fn room(self, working: usize) -> usize {
        self.most.saturating_sub(working)
    }
}

impl Default for MaxThreads {
    fn default() -> Self {
        Self::new(0)
    }
}

impl<I, R> Scheduler<I, R> for MaxThreads {
    fn launchable(
        &mut self,
        pending: &mut VecDeque<I>,
        workers: &[Working<I>],
        _reports: &[WorkerReport<R>],
    ) -> Result<Vec<I>, String> {
        let count = self.room(workers.len()).min(pending.len());
        Ok(pending.drain(..count).collect())
    }
}

/// Hands out everything at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unlimited;

impl<I, R> Scheduler<I, R> for Unlimited {
    fn launchable(
        &mut self,
        pending: &mut VecDeque<I>,
        _workers: &[Working<I>],
        _reports: &[WorkerReport<R>],
    ) -> Result<Vec<I>, String> {
        Ok(pending.drain(..).collect())
    }
}

/// Lets so many workers work at a time that what they need fits into memory.
pub struct MaxMemory<I> {
    limit_bytes: u64,
    need_bytes: Ask<I, u64>,
}

impl<I> MaxMemory<I> {
    /// The limit is three quarters of the machine's memory, or of its control group's. `need_bytes`
    /// says what instructions need. A need beyond the limit is an error, as it could never be met.
    pub fn new(need_bytes: impl Fn(&I) -> u64 + Send + 'static) -> Self {
        let limit_bytes = nws_server::machine_memory_bytes() / 4 * 3;
        Self { limit_bytes, need_bytes: Box::new(need_bytes) }
    }

    /// Another limit.
    pub fn limit_bytes(mut self, limit_bytes: u64) -> Self {
        self.limit_bytes = limit_bytes;
        self
    }

    /// What says whether instructions fit beside those that are worked on and those that were chosen.
    fn fits(&self, workers: &[Working<I>]) -> impl FnMut(&I) -> Result<bool, String> {
        let needs = workers.iter().map(|worker| (self.need_bytes)(&worker.instructions));
        let mut taken = needs.fold(0, u64::saturating_add);
        move |instructions| {
            let need = (self.need_bytes)(instructions);
            if need > self.limit_bytes {
                let limit = self.limit_bytes;
                return Err(format!("instructions need {need} bytes of memory, and the limit is {limit}"));
            }
            let fits = taken.saturating_add(need) <= self.limit_bytes;
            if fits {
                taken += need;
            }
            Ok(fits)
        }
    }
}

impl<I, R> Scheduler<I, R> for MaxMemory<I> {
    fn launchable(
        &mut self,
        pending: &mut VecDeque<I>,
        workers: &[Working<I>],
        _reports: &[WorkerReport<R>],
    ) -> Result<Vec<I>, String> {
        take(pending, usize::MAX, self.fits(workers))
    }
}

impl<I> fmt::Debug for MaxMemory<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MaxMemory").field("limit_bytes", &self.limit_bytes).finish_non_exhaustive()
    }
}

/// Lets no two workers have the same file at a time.
pub struct SingleOpenFile<I> {
    threads: MaxThreads,
    files: Ask<I, Vec<PathBuf>>,
    /// The one path of each: a file system may be slow, and the scheduler is asked often.
    known: HashMap<PathBuf, PathBuf>,
}

/// How many paths a [`SingleOpenFile`] knows before it looks all of them up again.
const MOST_PATHS: usize = 100_000;

impl<I> SingleOpenFile<I> {
    /// `files` says which files instructions open. A file is the same under any of its paths,
    /// each of which is looked up once.
    pub fn new(files: impl Fn(&I) -> Vec<PathBuf> + Send + 'static) -> Self {
        Self { threads: MaxThreads::default(), files: Box::new(files), known: HashMap::new() }
    }

    /// So many workers at a time at most, as for [`MaxThreads::new`].
    pub fn max_threads(mut self, most: u32) -> Self {
        self.threads = MaxThreads::new(most);
        self
    }

    fn files(&mut self, instructions: &I) -> BTreeSet<PathBuf> {
        let look_up = |path: PathBuf| self.known.entry(path).or_insert_with_key(|path| same(path)).clone();
        (self.files)(instructions).into_iter().map(look_up).collect()
    }
}

/// The one path of a file, also of one that is yet to be made in a folder that is there.
fn same(path: &Path) -> PathBuf {
    let folder = || Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?));
    let found = path.canonicalize().ok().or_else(folder).or_else(|| std::path::absolute(path).ok());
    found.unwrap_or_else(|| path.to_owned())
}

impl<I, R> Scheduler<I, R> for SingleOpenFile<I> {
    fn launchable(
        &mut self,
        pending: &mut VecDeque<I>,
        workers: &[Working<I>],
        _reports: &[WorkerReport<R>],
    ) -> Result<Vec<I>, String> {
        if self.known.len() > MOST_PATHS {
            self.known.clear();
        }
        let mut open: BTreeSet<PathBuf> = workers.iter().flat_map(|worker| self.files(&worker.instructions)).collect();
        take(pending, self.threads.room(workers.len()), |instructions| {
            let mut files = self.files(instructions);
            let is_free = files.is_disjoint(&open);
            if is_free {
                open.append(&mut files);
            }
            Ok(is_free)
        })
    }
}

impl<I> fmt::Debug for SingleOpenFile<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingleOpenFile").field("threads", &self.threads).finish_non_exhaustive()
    }
}

/// Hands out first what takes longest, so that at the end no core waits for a long one.
pub struct LongestFirst<I> {
    threads: MaxThreads,
    memory: Option<MaxMemory<I>>,
    length: Length<I>,
    /// How many of the pending ones were left in order.
    in_order: usize,
}

enum Length<I> {
    Declared(Ask<I, Duration>),
    Remembered(Durations, Ask<I, String>),
}

impl<I> LongestFirst<I> {
    /// `expected` says how long instructions take; only the order of these times counts.
    pub fn declared(expected: impl Fn(&I) -> Duration + Send + 'static) -> Self {
        Self::by(Length::Declared(Box::new(expected)))
    }

    /// The lengths are those of earlier runs, which this file remembers; `key` says by which name. What
    /// was never seen goes first. The file is made where there is none, and written when the Boss ends.
    ///
    /// # Errors
    /// The file cannot be read, or is another kind of file.
    pub fn remembered(path: impl AsRef<Path>, key: impl Fn(&I) -> String + Send + 'static) -> io::Result<Self> {
        Ok(Self::by(Length::Remembered(Durations::open(path.as_ref())?, Box::new(key))))
    }

    fn by(length: Length<I>) -> Self {
        Self { threads: MaxThreads::default(), memory: None, length, in_order: 0 }
    }

    /// So many workers at a time at most, as for [`MaxThreads::new`].
    pub fn max_threads(mut self, most: u32) -> Self {
        self.threads = MaxThreads::new(most);
        self
    }

    /// Only what fits into memory as well.
    pub fn within(mut self, memory: MaxMemory<I>) -> Self {
        self.memory = Some(memory);
        self
    }

    fn order(&self, pending: &mut VecDeque<I>) {
        let expected = |instructions: &I| match &self.length {
            Length::Declared(expected) => expected(instructions),
            Length::Remembered(durations, key) => durations.of(&key(instructions)).unwrap_or(Duration::MAX),
        };
        pending.make_contiguous().sort_by_cached_key(|instructions| std::cmp::Reverse(expected(instructions)));
    }
}

impl<I, R> Scheduler<I, R> for LongestFirst<I> {
    fn launchable(
        &mut self,
        pending: &mut VecDeque<I>,
        workers: &[Working<I>],
        _reports: &[WorkerReport<R>],
    ) -> Result<Vec<I>, String> {
        if pending.len() != self.in_order {
            self.order(pending);
        }
        let room = self.threads.room(workers.len());
        let chosen = match &self.memory {
            None => take(pending, room, |_| Ok(true)),
            Some(memory) => take(pending, room, memory.fits(workers)),
        };
        self.in_order = pending.len();
        chosen
    }

    fn finished(&mut self, instructions: &I, took: Duration) {
        if let Length::Remembered(durations, key) = &mut self.length {
            durations.note(key(instructions), took);
        }
    }

    fn ended(&mut self) {
        if let Length::Remembered(durations, _) = &mut self.length
            && let Err(error) = durations.write()
        {
            // The work is done: the next run has to do without.
            eprintln!("nws: how long instructions took cannot be remembered: {error}");
        }
    }
}

impl<I> fmt::Debug for LongestFirst<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LongestFirst").field("threads", &self.threads).finish_non_exhaustive()
    }
}

/// A scheduler with each worker bound to a core of its own, as far as there are enough.
#[derive(Clone, Copy, Debug)]
pub struct OnCores<S>(pub S);

impl<I, R, S: Scheduler<I, R>> Scheduler<I, R> for OnCores<S> {
    fn launchable(
        &mut self,
        pending: &mut VecDeque<I>,
        workers: &[Working<I>],
        reports: &[WorkerReport<R>],
    ) -> Result<Vec<I>, String> {
        self.0.launchable(pending, workers, reports)
    }

    fn binds(&self) -> bool {
        true
    }

    fn finished(&mut self, instructions: &I, took: Duration) {
        self.0.finished(instructions, took);
    }

    fn ended(&mut self) {
        self.0.ended();
    }
}

#[cfg(test)]
mod tests;
