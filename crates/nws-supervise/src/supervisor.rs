//! The event loop: what becomes of the children.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, getpid, pidfd_send_signal};

use crate::child::{Child, Leaving, children, reap_orphans};
use crate::memory::KillCounter;
use crate::numbers::Numbers;
use crate::output::{Destination, Pump, Stream};
use crate::tree::{self, Root, Scope};
use crate::waker::Waker;
use crate::{End, Output, Spawn, Status, platform};

/// How long an end waits for its last lines to be passed on. They are read by then in any case;
/// only whoever reads ours may be slow.
const LAST_LINES: Duration = Duration::from_millis(50);
/// How long the killing of a tree may hold up the event loop.
const KILL_PATIENCE: Duration = Duration::from_millis(200);
/// How long the rest of a tree may take to go after its root, and everything in `end_all`.
const END_PATIENCE: Duration = Duration::from_secs(2);
/// How often dead orphans are looked for while nothing happens.
const SWEEP: Duration = Duration::from_secs(1);

const KIND_SHIFT: u32 = 62;
const WAKE: u64 = 0;
const PROCESS: u64 = 1 << KIND_SHIFT;
const WATCH: u64 = 2 << KIND_SHIFT;
const NUMBER: u64 = (1 << KIND_SHIFT) - 1;

/// A child of one supervisor; never given twice by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId(u64);

/// What happened.
#[derive(Debug)]
pub enum Happening {
    /// A child has ended, and all its descendants with it.
    Ended(ProcessId, End),
    /// Something, or the end, has come to the watched descriptor with this token.
    Readable(u64),
    /// Somebody used a [`Waker`].
    Woken,
}

/// Starts processes and watches over them and their descendants.
///
/// It lives on one thread, which must live as long as the children shall: the kernel ends them
/// when the thread that started them ends. It reaps every dead child of this process, so nothing
/// else may start any. Dropping it ends all.
pub struct Supervisor {
    events: OwnedFd,
    wakeup: Waker,
    next_id: u64,
    running: BTreeMap<ProcessId, Child>,
    leaving: Vec<Leaving>,
    ready: VecDeque<Happening>,
    kills: KillCounter,
    /// `None`: the kernel does not tell of them here.
    numbers: Option<Numbers>,
    /// The standard input of a child that is given none.
    nothing: OwnedFd,
    destinations: Option<(Destination, Destination)>,
    pumps: Option<(Pump, Pump)>,
}

impl Supervisor {
    /// Makes this process the parent of its descendants' orphans. Lines of children go to our own
    /// standard output and error.
    ///
    /// # Errors
    /// Where the process has no descriptors left.
    pub fn new() -> io::Result<Self> {
        let own = |stream: std::os::fd::BorrowedFd<'_>| stream.try_clone_to_owned();
        Self::with_output(own(io::stdout().as_fd())?, own(io::stderr().as_fd())?)
    }

    /// The same, with other places for the children's lines.
    ///
    /// # Errors
    /// Where the process has no descriptors left.
    pub fn with_output(stdout: OwnedFd, stderr: OwnedFd) -> io::Result<Self> {
        platform::become_subreaper()?;
        let events = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wakeup = Waker::new()?;
        epoll::add(&events, wakeup.descriptor(), epoll::EventData::new_u64(WAKE), epoll::EventFlags::IN)?;
        Ok(Self {
            events,
            wakeup,
            next_id: 1,
            running: BTreeMap::new(),
            leaving: Vec::new(),
            ready: VecDeque::new(),
            kills: KillCounter::open(),
            numbers: Numbers::open().ok(),
            nothing: File::open("/dev/null")?.into(),
            destinations: Some(Destination::pair(stdout, stderr)),
            pumps: None,
        })
    }

    /// Wakes [`Supervisor::next_event`] from any thread.
    pub fn waker(&self) -> Waker {
        self.wakeup.clone()
    }

    /// Starts a process, in a session of its own. It dies with this thread.
    ///
    /// # Errors
    /// Names the program and the reason where it cannot be started.
    pub fn spawn(&mut self, spawn: Spawn) -> io::Result<ProcessId> {
        self.start(&spawn)
    }

    /// The same, and leaves what is to be started to the caller, who may try again: see [`crate::is_shortage`].
    ///
    /// # Errors
    /// As for [`Supervisor::spawn`].
    pub fn start(&mut self, spawn: &Spawn) -> io::Result<ProcessId> {
        let id = ProcessId(self.next_id);
        self.next_id += 1;
        let marker = format!("{}-{}", getpid().as_raw_nonzero(), id.0);
        let stdout = pipe_for(&spawn.stdout)?;
        let stderr = pipe_for(&spawn.stderr)?;
        let ((out_read, out_write), (err_read, err_write)) = (split(stdout), split(stderr));
        let mut known = children();
        let started = Instant::now();
        let (pid, descriptor) = spawn.start(&marker, &self.nothing, out_write, err_write)?;
        known.insert(pid.as_raw_nonzero().get());
        drop(known);
        let data = epoll::EventData::new_u64(PROCESS | id.0);
        let watched = epoll::add(&self.events, &descriptor, data, epoll::EventFlags::IN).map_err(io::Error::from);
        let (stdout, stderr) =
            match watched.and_then(|()| Ok((self.pump(id, out_read, false)?, self.pump(id, err_read, true)?))) {
                Ok(watched) => watched,
                Err(error) => {
                    self.abandon(pid, marker);
                    return Err(error);
                }
            };
        self.running.insert(id, Child { pid, descriptor, marker, started, stdout, stderr });
        Ok(id)
    }

    /// Has the lines of a pipe passed on.
    fn pump(&mut self, id: ProcessId, pipe: Option<OwnedFd>, is_stderr: bool) -> io::Result<Option<Arc<Stream>>> {
        let Some(pipe) = pipe else { return Ok(None) };
        if let Some((stdout, stderr)) = self.destinations.take() {
            let waker = self.wakeup.clone();
            self.pumps = Some((
                Pump::start("nws-stdout", stdout, false, waker.clone())?,
                Pump::start("nws-stderr", stderr, true, waker)?,
            ));
        }
        let Some((stdout, stderr)) = &self.pumps else {
            return Err(io::Error::other("the threads that pass output on could not be started"));
        };
        let stream = Arc::new(Stream::default());
        (if is_stderr { stderr } else { stdout }).read(id.0, pipe, stream.clone());
        Ok(Some(stream))
    }

    /// Ends a child that cannot be watched.
    fn abandon(&mut self, pid: Pid, marker: String) {
        let pid_number = pid.as_raw_nonzero().get();
        self.end_trees(&[Root { pid: pid_number, marker }], false, END_PATIENCE);
        let _ = platform::reap(pid);
        children().remove(&pid_number);
    }

    /// The process id that the kernel gave; `None` once the end is known.
    pub fn pid(&self, id: ProcessId) -> Option<u32> {
        self.running.get(&id).and_then(|child| u32::try_from(child.pid.as_raw_nonzero().get()).ok())
    }

    /// Whether a child is stopped now, as by SIGSTOP.
    pub fn is_stopped(&self, id: ProcessId) -> bool {
        self.running.get(&id).is_some_and(|child| tree::is_stopped(child.pid.as_raw_nonzero().get()))
    }

    /// The children whose end is not known yet.
    pub fn running(&self) -> impl Iterator<Item = ProcessId> + '_ {
        self.running.keys().copied()
    }

    /// Asks a child to end, by SIGTERM.
    pub fn ask_to_end(&self, id: ProcessId) {
        if let Some(child) = self.running.get(&id) {
            let _ = pidfd_send_signal(&child.descriptor, Signal::TERM);
        }
    }

    /// Gives [`Happening::Readable`] with this token (below 2^62) each time that something to be
    /// read, or the end, has come to the descriptor. It is told once: read until nothing is left.
    /// It ends with [`Supervisor::unwatch`] or when the descriptor closes.
    ///
    /// # Errors
    /// Where the descriptor is of a kind that cannot be waited for, or watched already.
    pub fn watch_fd(&mut self, descriptor: impl AsFd, token: u64) -> io::Result<()> {
        self.watch(descriptor, token, epoll::EventFlags::IN)
    }

    /// The same for the other end of a socket going away, whatever is still to be read.
    ///
    /// # Errors
    /// As for [`Supervisor::watch_fd`].
    pub fn watch_hangup(&mut self, descriptor: impl AsFd, token: u64) -> io::Result<()> {
        self.watch(descriptor, token, epoll::EventFlags::RDHUP)
    }

    fn watch(&mut self, descriptor: impl AsFd, token: u64, events: epoll::EventFlags) -> io::Result<()> {
        if token > NUMBER {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("expected a token below 2^62, got {token}"),
            ));
        }
        Ok(epoll::add(
            &self.events,
            descriptor,
            epoll::EventData::new_u64(WATCH | token),
            events | epoll::EventFlags::ET,
        )?)
    }

    /// Watches a descriptor no longer.
    pub fn unwatch(&mut self, descriptor: impl AsFd) {
        // It fails where it is not watched, which is what is wanted.
        let _ = epoll::delete(&self.events, descriptor);
    }

    /// Waits for what happens next; `None` when `timeout` is over.
    ///
    /// # Errors
    /// None that is not a defect of this crate.
    pub fn next_event(&mut self, timeout: Option<Duration>) -> io::Result<Option<Happening>> {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        loop {
            let now = Instant::now();
            self.let_leave(now);
            if let Some(happening) = self.ready.pop_front() {
                return Ok(Some(happening));
            }
            if deadline.is_some_and(|deadline| now >= deadline) {
                return Ok(None);
            }
            self.wait(deadline, now)?;
        }
    }

    /// Waits once, no longer than until `deadline`, and takes in what came.
    fn wait(&mut self, deadline: Option<Instant>, now: Instant) -> io::Result<()> {
        let leaving = self.leaving.iter().map(|leaving| leaving.deadline).min();
        let sweep = (!self.running.is_empty()).then_some(now + SWEEP);
        let timeout = [deadline, leaving, sweep].into_iter().flatten().min().map(|until| {
            // Rounded up, as a wait that ends early would spin.
            let left = until.saturating_duration_since(now) + Duration::from_millis(1);
            Timespec {
                tv_sec: left.as_secs().min(3600).try_into().unwrap_or(3600),
                tv_nsec: left.subsec_nanos().into(),
            }
        });
        let mut events = Vec::with_capacity(64);
        match epoll::wait(&self.events, rustix::buffer::spare_capacity(&mut events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in events {
            let data = event.data.u64();
            match data & !NUMBER {
                PROCESS => self.ended(ProcessId(data & NUMBER))?,
                WATCH => self.ready.push_back(Happening::Readable(data & NUMBER)),
                _ => {
                    if self.wakeup.take() {
                        self.ready.push_back(Happening::Woken);
                    }
                }
            }
        }
        self.kills.look_at_times(Instant::now());
        reap_orphans();
        Ok(())
    }

    /// A child is dead: its tree goes, then its status is taken.
    fn ended(&mut self, id: ProcessId) -> io::Result<()> {
        let Some(child) = self.running.remove(&id) else { return Ok(()) };
        let pid = child.pid.as_raw_nonzero().get();
        // Before it is reaped: until then no other process or session can bear its number.
        if !self.is_without_heirs(&child) {
            self.end_trees(&[child.root()], false, END_PATIENCE);
        }
        let reaped = platform::reap(child.pid);
        children().remove(&pid);
        let Some(reaped) = reaped? else {
            return Err(io::Error::other("a child that the kernel called dead was alive"));
        };
        let now = Instant::now();
        let status = Status::from_wait(reaped.status);
        let end = End {
            status,
            peak_memory_bytes: reaped.peak_memory_bytes,
            cpu: reaped.cpu,
            out_of_memory: self.kills.explain(status, now),
            stderr_tail: Vec::new(),
            ran: now.duration_since(child.started),
        };
        if let Some((stdout, stderr)) = &self.pumps {
            stdout.finish(id.0);
            stderr.finish(id.0);
        }
        let deadline = now + LAST_LINES;
        self.leaving.push(Leaving { id, end, deadline, stdout: child.stdout, stderr: child.stderr });
        Ok(())
    }

    fn is_without_heirs(&self, child: &Child) -> bool {
        // While it is held nobody starts or reaps one.
        let known = children();
        let pid = child.pid.as_raw_nonzero().get();
        self.numbers.as_ref().is_some_and(|numbers| numbers.is_without_heirs(pid, child.started, &known))
    }

    /// Tells of the ended children whose lines have been passed on, or have had their time.
    fn let_leave(&mut self, now: Instant) {
        for mut leaving in self.leaving.extract_if(.., |leaving| leaving.is_due(now)) {
            leaving.end.stderr_tail = leaving.stderr.map_or_else(Vec::new, |stream| stream.tail());
            self.ready.push_back(Happening::Ended(leaving.id, leaving.end));
        }
    }

    /// Ends a child and its descendants now. Its [`Happening::Ended`] follows.
    pub fn kill_tree(&mut self, id: ProcessId) {
        if let Some(child) = self.running.get(&id) {
            let root = child.root();
            // What outlives the patience is dealt with when the end is seen.
            self.end_trees(&[root], false, KILL_PATIENCE);
            child.kill();
        }
    }

    /// Lets the children end by themselves for as long as `grace`, then ends them, their
    /// descendants and all orphans. Gives the ends that nobody was told of yet; what else happened
    /// in the meantime is forgotten.
    pub fn end_all(&mut self, grace: Duration) -> Vec<(ProcessId, End)> {
        let grace_over = Instant::now() + grace;
        self.wait_until(grace_over);
        let roots: Vec<Root> = self.running.values().map(Child::root).collect();
        self.end_trees(&roots, true, END_PATIENCE);
        self.running.values().for_each(Child::kill);
        self.wait_until(Instant::now() + END_PATIENCE);
        reap_orphans();
        let ends = self.ready.drain(..).filter_map(|happening| match happening {
            Happening::Ended(id, end) => Some((id, end)),
            Happening::Readable(_) | Happening::Woken => None,
        });
        ends.collect()
    }

    /// Takes in what happens until no child is left, but no longer than until `deadline`.
    fn wait_until(&mut self, deadline: Instant) {
        loop {
            let now = Instant::now();
            self.let_leave(now);
            self.ready.retain(|happening| matches!(happening, Happening::Ended(..)));
            if self.running.is_empty() && self.leaving.is_empty() || now >= deadline {
                return;
            }
            if self.wait(Some(deadline), now).is_err() {
                return;
            }
        }
    }

    fn end_trees(&self, roots: &[Root], all_orphans: bool, patience: Duration) {
        let known = children().clone();
        let us = getpid().as_raw_nonzero().get();
        tree::end(&Scope { us, roots, known: &known, all_orphans }, patience);
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.end_all(Duration::ZERO);
    }
}

fn pipe_for(output: &Output) -> io::Result<Option<(OwnedFd, OwnedFd)>> {
    match output {
        Output::Lines => Ok(Some(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)),
        Output::Inherit | Output::To(_) => Ok(None),
    }
}

fn split(pipe: Option<(OwnedFd, OwnedFd)>) -> (Option<OwnedFd>, Option<OwnedFd>) {
    pipe.map_or((None, None), |(read, write)| (Some(read), Some(write)))
}
