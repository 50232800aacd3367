//! A worker's side of the dispatch: fetches tasks ahead, gives back what others need more, sends
//! results in batches.
//!
//! The thread that runs tasks takes them from a queue in this process and puts results into an
//! outbox; the connection's I/O thread fills the queue, also while a task computes, and answers
//! recalls from it. How many tasks a fetch asks for is the `pace`'s business.

mod capture;
mod hand;
mod newcomer;
mod outbox;
mod pace;
mod queue;
mod shared;
mod task;

use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use nws_client::{Connection, Silence};
use nws_proto::{Cursor, OpenMode, Reply, Request, Retrieve, SessionId, Wait, limits};

use crate::clock::monotonic_ns;
use crate::control::Bootstrap;
use crate::envelope::{Outcome, PassedOver, RESULT_HEAD_BYTES, ResultHead, Said, TaskHead};
use crate::error::WorkError;
use crate::page::{Page, Running, Wanted};
use crate::platform::fork_generation;
use crate::{link, names};

pub use capture::{Capture, Marks};
pub use newcomer::{CaptureEnds, Joining, Newcomer};
use outbox::Outbox;
use queue::{Popped, Queue};
use shared::Shared;
pub use task::Task;

/// Results that are not written to the socket yet make the worker pause above this, in bytes.
const UNSENT_BYTES: usize = 16 << 20;

/// A worker that has joined its sleigh.
#[derive(Debug)]
pub struct Worker {
    shared: Arc<Shared>,
    page: Arc<Page>,
    capture: OnceLock<Capture>,
    rank: u32,
    /// Hold each task until its result has arrived.
    careful: bool,
    /// Of this process, not of its children.
    generation: u32,
    /// How many tasks were run of which the pace has not been told yet, and how long they took.
    tasks: AtomicU32,
    took_ns: AtomicU64,
}

/// What a worker is to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Run the task that there is now.
    Task,
    /// Wait.
    Nothing,
    /// End, for this reason.
    Over(String),
}

/// What there is to know after a task.
#[derive(Clone, Copy, Debug)]
pub struct Finished {
    /// When it ended, in nanoseconds of CLOCK_MONOTONIC.
    pub at_ns: u64,
    /// Whether the connection is so far behind that the worker should [`pause`](Worker::pause).
    pub is_behind: bool,
}

impl Worker {
    /// Connects and begins to ask for tasks.
    ///
    /// # Errors
    /// Those of the connection; a workspace that is not there any more.
    pub fn join(bootstrap: &Bootstrap, page: Page) -> Result<Worker, WorkError> {
        let worker = Worker::connect(bootstrap, page)?;
        worker.set_ready();
        Ok(worker)
    }

    /// Connects. It gets no tasks before [`Worker::set_ready`]; what it does until then is its set-up.
    ///
    /// # Errors
    /// Those of the connection; a workspace that is not there any more.
    pub fn connect(bootstrap: &Bootstrap, page: Page) -> Result<Worker, WorkError> {
        let guardian = SessionId(bootstrap.guardian);
        let label = format!("worker {}", bootstrap.rank);
        let connection = link::connect(&bootstrap.server, guardian, Silence::Default, &label)?;
        let workspace = link::use_workspace(&connection, &bootstrap.workspace, OpenMode::Use)?;
        let page = Arc::new(page);
        let shared = Arc::new(Shared {
            page: page.clone(),
            queue: Queue::default(),
            outbox: Outbox::default(),
            tasks: link::bind(&connection, workspace, names::TASKS),
            own_tasks: link::bind(&connection, workspace, &names::tasks_of(bootstrap.rank)),
            results: link::bind(&connection, workspace, names::RESULTS),
            rank: bootstrap.rank,
            careful: bootstrap.careful,
            workspace,
            connection,
        });
        page.join(shared.connection.session());
        shared.listen();
        let flusher = shared.clone();
        std::thread::Builder::new().name("nws-flush".into()).spawn(move || flusher.flush_when_due())?;
        let Bootstrap { rank, careful, .. } = *bootstrap;
        let (tasks, took_ns) = (AtomicU32::new(0), AtomicU64::new(0));
        let (capture, generation) = (OnceLock::new(), fork_generation());
        Ok(Worker { shared, page, capture, rank, careful, generation, tasks, took_ns })
    }

    /// Begins to ask for tasks.
    pub fn set_ready(&self) {
        self.page.set_ready();
        self.shared.clone().fetch(self.shared.own_tasks, 1);
        if let Some(count) = self.shared.queue.first_fetch() {
            self.shared.clone().fetch(self.shared.tasks, count);
        }
    }

    /// The connection, for what a task does with workspaces itself.
    pub fn connection(&self) -> &Connection {
        &self.shared.connection
    }

    /// Whether [`Worker::finish`] waits for the server.
    pub fn is_careful(&self) -> bool {
        self.careful
    }

    /// This worker's place among the workers.
    pub fn rank(&self) -> u32 {
        self.rank
    }

    /// From now on what this process writes to standard output and error goes to the master, with
    /// the task that wrote it: at most `limit` bytes of each. `descriptors` are those of
    /// [`crate::control::WORKER_CAPTURE_FDS`], and `marks` says whether what the language prints goes
    /// through [`Capture::write`].
    ///
    /// # Errors
    /// Where no thread can be started, or no descriptor is left.
    pub fn capture(&self, descriptors: [OwnedFd; 4], limit: usize, marks: Marks) -> std::io::Result<Capture> {
        let capture = Capture::start(descriptors, limit, marks, self.page.clone(), self.shared.clone())?;
        Ok(self.capture.get_or_init(|| capture).clone())
    }

    /// The task that runs.
    pub fn running(&self) -> Option<TaskHead> {
        self.page.running().map(|running| TaskHead { run: running.run, index: running.index })
    }

    /// Sends what the task that runs has to say beside what it prints; see [`Said`]. `false` in a child
    /// that a task has forked: what leads to the master is its parent's.
    pub fn say(&self, said: Said, payload: &[u8]) -> bool {
        if fork_generation() != self.generation {
            return false;
        }
        self.shared.say(said.to_value(self.running().unwrap_or(TaskHead::NONE), self.rank, payload));
        true
    }

    /// Puts the next task into `task`, if one is here: that which follows the one there in its bundle, where it
    /// does. Results that wait are sent before this says [`Next::Nothing`].
    pub fn try_next(&self, task: &mut Option<Task>) -> Next {
        let queue = &self.shared.queue;
        if task.as_mut().is_some_and(|task| task.advance(&queue.hand)) {
            return Next::Task;
        }
        *task = None;
        loop {
            // Only this thread writes them.
            let (took_ns, tasks) = (self.took_ns.load(Ordering::Relaxed), self.tasks.load(Ordering::Relaxed));
            self.took_ns.store(0, Ordering::Relaxed);
            self.tasks.store(0, Ordering::Relaxed);
            let (popped, fetch) = queue.pop(took_ns, tasks);
            if let Some(count) = fetch {
                self.shared.clone().fetch(self.shared.tasks, count);
            }
            match popped {
                Popped::Task(popped) => {
                    *task = if popped.bundled { self.take_up(popped) } else { Some(popped) };
                    if task.is_some() {
                        return Next::Task;
                    }
                }
                Popped::Nothing => {
                    self.shared.flush();
                    return Next::Nothing;
                }
                Popped::Over(reason) => return Next::Over(reason),
            }
        }
    }

    /// Begins with a bundle; `None` where nothing of it is to be run.
    fn take_up(&self, mut task: Task) -> Option<Task> {
        let Shared { queue, outbox, .. } = &*self.shared;
        if task.deaths > 0 {
            task.passed_over = self.passed_over(&task);
        }
        queue.hand.take_up(&task, monotonic_ns());
        outbox.watch();
        if !task.is_passed_over() {
            return Some(task);
        }
        if task.advance(&queue.hand) {
            return Some(task);
        }
        let TaskHead { run, .. } = task.head;
        queue.hand.leave(|ends| ends.then(|| outbox.put_end(task.lease, run)));
        None
    }

    /// What the host says of a bundle that came back from a dead worker: which tasks are not to be run again with it.
    fn passed_over(&self, task: &Task) -> Vec<Range<u64>> {
        let connection = &self.shared.connection;
        let variable = link::bind(connection, self.shared.workspace, &names::passed_over(task.head.run));
        let mut ranges = Vec::new();
        let mut cursor = Cursor::Oldest;
        loop {
            let find = Retrieve {
                variable,
                take: false,
                lease: false,
                wait: Wait::No,
                cursor,
                max_values: limits::BATCH_VALUES,
                max_bytes: u32::MAX,
            };
            // Without an answer the connection has ended, or somebody has deleted the variable: then tasks run twice.
            let reply = connection.request(Request::Retrieve(find)).wait();
            let Ok(Reply::Values { variable, values, .. }) = reply else { break };
            let Some(last) = values.last() else { break };
            cursor = Cursor::After { variable, index: last.index };
            let told = values.iter().filter_map(|grant| PassedOver::decode(&grant.item.value));
            ranges.extend(told.filter(|told| told.place == task.place).map(|told| told.indexes));
        }
        connection.request_and_forget(&Request::Unbind { variable });
        ranges
    }

    /// Waits until [`Worker::try_next`] has something to say, at most this long.
    pub fn wait(&self, timeout: Duration) {
        self.shared.queue.wait(timeout);
    }

    /// What the tasks of a run have in common.
    ///
    /// # Errors
    /// The run is over, or the connection has ended.
    pub fn definition(&self, run: u32) -> Result<Bytes, WorkError> {
        let connection = &self.shared.connection;
        let variable = link::bind(connection, self.shared.workspace, &names::run(run));
        let find = Retrieve {
            variable,
            take: false,
            lease: false,
            wait: Wait::No,
            cursor: Cursor::Mode,
            max_values: 1,
            max_bytes: u32::MAX,
        };
        let reply = connection.request(Request::Retrieve(find)).wait();
        connection.request_and_forget(&Request::Unbind { variable });
        match reply? {
            Reply::Values { mut values, .. } if !values.is_empty() => Ok(values.swap_remove(0).item.value),
            _ => Err(WorkError::Ended(format!("run {run} is over"))),
        }
    }

    /// A new run has begun: forgets how long the tasks of the one before took. With `chunk_size` a
    /// fetch asks for just so many.
    pub fn begin_run(&self, chunk_size: Option<u32>) {
        self.shared.outbox.begin_run(chunk_size == Some(1));
        self.shared.queue.begin_run(chunk_size);
    }

    /// Says that a task begins, and returns the time: now, or `at_ns` where that is known to be now
    /// because the task before has just ended.
    pub fn begin(&self, task: &Task, at_ns: Option<u64>) -> u64 {
        self.show(task, false, at_ns)
    }

    /// Says that what this task's run has in common is loaded now: what kills meanwhile kills
    /// every worker that comes to such a task.
    pub fn load(&self, task: &Task) {
        self.show(task, true, None);
    }

    fn show(&self, task: &Task, loading: bool, at_ns: Option<u64>) -> u64 {
        let began_ns = at_ns.unwrap_or_else(monotonic_ns);
        let TaskHead { run, index } = task.head;
        let bundled = task.bundled;
        self.page.begin(Running { lease: task.lease, run, index, began_ns, loading, bundled });
        began_ns
    }

    /// Whether the task that [`Worker::begin`] was told of is to be run after all.
    pub fn wanted(&self, task: &Task) -> Wanted {
        self.page.wanted(task.head.run)
    }

    /// Says that the task shown last is not run after all, nor are those that share its lease: its run was given up.
    pub fn pass_over(&self, task: &mut Task) {
        self.page.end();
        task.drop_rest(&self.shared.queue.hand);
        // Mostly it has ended, and the server says so; one that was stored meanwhile would be held for ever.
        self.shared.outbox.put_end(task.lease, task.head.run);
    }

    /// Sends a task's result. `result` begins with [`RESULT_HEAD_BYTES`] bytes of any content, which
    /// are filled in here, and comes back empty, for the next one.
    pub fn finish(&self, task: &mut Task, began_ns: u64, outcome: Outcome, result: &mut Vec<u8>) -> Finished {
        let now_ns = monotonic_ns();
        let duration_ns = now_ns.saturating_sub(began_ns);
        let head = ResultHead { task: task.head, rank: self.rank, outcome, began_ns, duration_ns };
        if let Some(place) = result.first_chunk_mut::<RESULT_HEAD_BYTES>() {
            *place = head.to_bytes();
        }
        if let Some(capture) = self.capture.get() {
            capture.task_ended(task.lease, task.head, duration_ns);
        }
        if !self.careful {
            self.page.end();
        }
        self.took_ns.store(self.took_ns.load(Ordering::Relaxed) + duration_ns, Ordering::Relaxed);
        self.tasks.store(self.tasks.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        if outbox::is_long(result) {
            // With others before it, it might not fit a frame.
            self.shared.flush();
        }
        let sent = self.put(task, result, now_ns, duration_ns);
        result.clear();
        Finished { at_ns: now_ns, is_behind: sent && self.shared.connection.queued_bytes() > UNSENT_BYTES }
    }

    /// Puts a result into the outbox; whether that was sent then.
    fn put(&self, task: &mut Task, result: &mut Vec<u8>, now_ns: u64, duration_ns: u64) -> bool {
        let (shared, hand) = (&self.shared, &self.shared.queue.hand);
        let goes_on = task.look_ahead(hand);
        if self.careful {
            let ends = !goes_on && (!task.bundled || hand.leave(|ends| ends));
            // Where it does not arrive, the page goes on to show who is to pay for that.
            if shared.deliver(task, ends, result, now_ns) {
                self.page.end();
            }
            return true;
        }
        let mut put = |ends| shared.put(task, ends, result, now_ns, duration_ns);
        let now = match (goes_on, task.bundled) {
            (true, _) => put(false),
            (false, false) => put(true),
            (false, true) => hand.leave(put),
        };
        if now {
            shared.flush();
        }
        now
    }

    /// Waits until what was sent has mostly left, or the connection has ended.
    pub fn pause(&self) {
        self.shared.connection.wait_queued_below(UNSENT_BYTES, Duration::MAX);
    }

    /// A function that makes this worker end, for this reason, as soon as no task runs.
    pub fn ender(&self) -> impl Fn(&str) + Send + use<> {
        let shared = Arc::downgrade(&self.shared);
        move |reason| {
            if let Some(shared) = shared.upgrade() {
                shared.queue.close(reason);
            }
        }
    }

    /// Sends what waits and ends the connection.
    pub fn leave(&self) {
        if let Some(capture) = self.capture.get() {
            capture.end();
        }
        self.shared.flush();
        self.shared.queue.close("the worker has left");
        self.shared.outbox.close();
        self.shared.connection.close();
    }
}
