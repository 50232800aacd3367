//! A worker's side of the dispatch: fetches tasks ahead, gives back what others need more, sends
//! results in batches.
//!
//! The thread that runs tasks takes them from a queue in this process and puts results into an
//! outbox; the connection's I/O thread fills the queue, also while a task computes, and answers
//! recalls from it. How many tasks a fetch asks for is the `pace`'s business.

mod capture;
mod newcomer;
mod outbox;
mod pace;
mod queue;
mod shared;

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use nws_client::{Connection, Silence};
use nws_proto::{Cursor, OpenMode, Reply, Request, Retrieve, SessionId, Wait};

use crate::clock::monotonic_ns;
use crate::control::Bootstrap;
use crate::envelope::{Outcome, RESULT_HEAD_BYTES, ResultHead, Said, TaskHead};
use crate::error::WorkError;
use crate::page::{Page, Running, Wanted};
use crate::platform::fork_generation;
use crate::{link, names};

pub use capture::{Capture, Marks};
pub use newcomer::{CaptureEnds, Joining, Newcomer};
use outbox::Outbox;
use queue::Queue;
pub use queue::{Next, Task};
use shared::Shared;

/// Longer than any task.
const NO_TASK: u64 = u64::MAX;
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
    /// How long the task before took, where the pace has not been told yet.
    took_ns: AtomicU64,
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
        let shared = Arc::new(Shared {
            queue: Queue::default(),
            outbox: Outbox::default(),
            tasks: link::bind(&connection, workspace, names::TASKS),
            own_tasks: link::bind(&connection, workspace, &names::tasks_of(bootstrap.rank)),
            results: link::bind(&connection, workspace, names::RESULTS),
            rank: bootstrap.rank,
            workspace,
            connection,
        });
        page.join(shared.connection.session());
        shared.listen();
        let flusher = shared.clone();
        std::thread::Builder::new().name("nws-flush".into()).spawn(move || flusher.flush_when_due())?;
        let (page, capture) = (Arc::new(page), OnceLock::new());
        let Bootstrap { rank, careful, .. } = *bootstrap;
        Ok(Worker {
            shared,
            page,
            capture,
            rank,
            careful,
            generation: fork_generation(),
            took_ns: AtomicU64::new(NO_TASK),
        })
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

    /// The next task if one is here. Results that wait are sent before this says [`Next::Nothing`].
    pub fn try_next(&self) -> Next {
        let took_ns = self.took_ns.load(Ordering::Relaxed);
        if took_ns != NO_TASK {
            self.took_ns.store(NO_TASK, Ordering::Relaxed);
        }
        let (next, fetch) = self.shared.queue.pop((took_ns != NO_TASK).then_some(took_ns));
        if let Some(count) = fetch {
            self.shared.clone().fetch(self.shared.tasks, count);
        }
        if matches!(next, Next::Nothing) {
            self.shared.flush();
        }
        next
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
        self.page.begin(Running { lease: task.lease, run, index, began_ns, loading });
        began_ns
    }

    /// Whether the task that [`Worker::begin`] was told of is to be run after all.
    pub fn wanted(&self, task: &Task) -> Wanted {
        self.page.wanted(task.head.run)
    }

    /// Says that the task shown last is not run after all: its run was given up.
    pub fn pass_over(&self) {
        self.page.end();
    }

    /// Sends a task's result. `result` begins with [`RESULT_HEAD_BYTES`] bytes of any content, which
    /// are filled in here, and comes back empty, for the next one.
    pub fn finish(&self, task: &Task, began_ns: u64, outcome: Outcome, result: &mut Vec<u8>) -> Finished {
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
        self.took_ns.store(duration_ns, Ordering::Relaxed);
        if outbox::is_long(result) {
            // With others before it, it might not fit a frame.
            self.shared.flush();
        }
        let sent = if self.careful {
            // Where it does not arrive, the page goes on to show who is to pay for that.
            if self.shared.deliver(task, result, now_ns) {
                self.page.end();
            }
            true
        } else {
            self.shared.put(task, result, now_ns, duration_ns)
        };
        result.clear();
        Finished { at_ns: now_ns, is_behind: sent && self.shared.connection.queued_bytes() > UNSENT_BYTES }
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
