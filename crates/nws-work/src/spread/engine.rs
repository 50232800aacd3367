//! One thread and one epoll for the pipes of all commands of a job.

mod answers;
mod ends;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use super::dispatch::{Dispatch, Next};
use super::inbox::{Order, Shared};
use super::life::{Came, Life, Pipes, Watched};
use super::{Arrival, Options, Over};
use crate::commands::{Command, CommandEvent, CommandHost, CommandId, Output, Streams};
use crate::control::Cause;
use crate::error::WorkError;
use crate::platform;

const WAKE: u64 = u64::MAX;
const READ_BYTES: usize = 64 << 10;
/// Most readings of what a command left in its pipe, which holds less than so many.
const LAST_READS: usize = 1024;
/// How long a command may live on that has closed its standard output before the last answer.
const LINGER: Duration = Duration::from_secs(1);

/// A place in the list of commands.
struct Worker {
    /// Its place in the order of starting.
    rank: usize,
    life: Option<Life>,
    lives: u64,
    /// What the last life wrote after its last answer, and how many there were.
    output: Option<(Vec<u8>, u32)>,
}

pub(super) struct Engine {
    options: Options,
    prelude: Arc<[u8]>,
    host: CommandHost,
    shared: Arc<Shared>,
    events: Arc<OwnedFd>,
    dispatch: Dispatch,
    tasks: HashMap<u64, Arc<[u8]>>,
    next_task: u64,
    workers: Vec<Worker>,
    ids: HashMap<CommandId, usize>,
    /// Classes whose objects were results.
    plain: HashSet<Vec<u8>>,
    /// Workers that could take a task, by rank.
    waiting: BTreeSet<(usize, usize)>,
    /// By when which workers are to answer their tasks.
    deadlines: BTreeSet<(Instant, usize)>,
    /// By when those are to end that have closed their standard output, in order.
    lingering: VecDeque<(Instant, usize, u64)>,
    /// All tasks have their results; by when the commands are to end.
    closing: Option<Option<Instant>>,
    over: Option<Option<Over>>,
    buffer: Vec<u8>,
}

impl Engine {
    pub(super) fn start(options: Options, shared: Arc<Shared>) -> Result<Self, WorkError> {
        let told = Arc::clone(&shared);
        let on_event = move |event| told.order(Order::Event(event));
        let host = match &options.own_args {
            Some(own_args) => CommandHost::start_with(&options.binary, own_args, on_event)?,
            None => CommandHost::start(&options.binary, on_event)?,
        };
        let events = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC).map_err(io::Error::from)?);
        epoll::add(&events, shared.wakeup(), epoll::EventData::new_u64(WAKE), epoll::EventFlags::IN)
            .map_err(io::Error::from)?;
        let count = options.commands.len();
        let worker = |_| Worker { rank: count, life: None, lives: 0, output: None };
        let dispatch = Dispatch::new(kinds(&options.commands));
        Ok(Self {
            prelude: options.prelude.clone().into(),
            options,
            host,
            shared,
            events,
            dispatch,
            tasks: HashMap::new(),
            next_task: 0,
            workers: (0..count).map(worker).collect(),
            ids: HashMap::new(),
            plain: HashSet::new(),
            waiting: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            lingering: VecDeque::new(),
            closing: None,
            over: None,
            buffer: vec![0; READ_BYTES],
        })
    }

    /// Works until the job is over, and ends what is left of it.
    pub(super) fn run(mut self) {
        platform::block_broken_pipes();
        self.launch_all();
        while self.over.is_none() {
            let rest = self.hand_out();
            self.look_whether_over();
            if self.over.is_some() {
                break;
            }
            self.wait(rest);
            for order in self.shared.orders() {
                self.obey(order);
            }
            self.look_at_the_clock(Instant::now());
        }
        let Self { host, shared, over, .. } = self;
        drop(host);
        if let Some(Some(over)) = over {
            shared.tell(Arrival::Over(over));
        }
    }

    fn launch_all(&mut self) {
        let mut order: Vec<usize> = Vec::new();
        for worker in self.options.order.iter().copied().chain(0..self.workers.len()) {
            if worker < self.workers.len() && !order.contains(&worker) {
                order.push(worker);
            }
        }
        for (rank, worker) in order.into_iter().enumerate() {
            self.workers[worker].rank = rank;
            self.launch(worker);
        }
    }

    fn launch(&mut self, worker: usize) {
        if let Err(error) = self.try_launch(worker) {
            self.leave_out(worker, error.to_string());
        }
    }

    fn try_launch(&mut self, worker: usize) -> Result<(), WorkError> {
        let Pipes { stdin, stdout, its_stdin, its_stdout } = Pipes::new()?;
        let data = |is_stdin: u64| epoll::EventData::new_u64((worker as u64) << 1 | is_stdin);
        let stdin = Watched::new(stdin, &self.events, data(1), epoll::EventFlags::OUT | epoll::EventFlags::ET)?;
        let stdout = Watched::new(stdout, &self.events, data(0), epoll::EventFlags::IN)?;
        let streams = Streams::to(its_stdout).stdin(its_stdin).stderr(Output::Lines);
        let id = self.host.launch(self.options.commands[worker].clone(), streams)?;
        let place = &mut self.workers[worker];
        place.lives += 1;
        let life = place.life.insert(Life::new(place.lives, id, self.options.framing, stdin, stdout));
        life.say(Arc::clone(&self.prelude));
        if self.closing.is_some() {
            life.close();
        }
        self.ids.insert(id, worker);
        Ok(())
    }

    fn leave_out(&mut self, worker: usize, message: String) {
        self.workers[worker].life = None;
        self.dispatch.leave_out(worker);
        self.shared.tell(Arrival::NotStarted { worker, message });
    }

    fn wait(&mut self, rest: Option<Instant>) {
        let closing = self.closing.flatten();
        let deadline = self.deadlines.first().map(|(deadline, _)| *deadline);
        let lingering = self.lingering.front().map(|(deadline, ..)| *deadline);
        let until = [rest, closing, deadline, lingering].into_iter().flatten().min();
        let timeout = until.map(|until| {
            // Rounded up, as a wait that ends early would spin.
            let left = until.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            Timespec {
                tv_sec: left.as_secs().min(3600).try_into().unwrap_or(3600),
                tv_nsec: left.subsec_nanos().into(),
            }
        });
        let mut events = Vec::with_capacity(64);
        match epoll::wait(&self.events, rustix::buffer::spare_capacity(&mut events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            // A defect of this file: nothing could be waited for any more.
            Err(error) => self.end(Over::HostDied { cause: Cause::in_words(format!("epoll failed: {error}")) }),
        }
        for event in events {
            let data = event.data.u64();
            let Some(worker) = usize::try_from(data >> 1).ok().filter(|worker| *worker < self.workers.len()) else {
                continue;
            };
            if data & 1 == 0 {
                self.read(worker);
            } else if let Some(life) = &mut self.workers[worker].life {
                life.write();
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Task(bytes) => {
                self.tasks.insert(self.next_task, bytes.into());
                self.dispatch.push(self.next_task);
                self.next_task += 1;
            }
            Order::Close => self.dispatch.close(),
            Order::Accept(answers) => {
                for (task, worker, life) in answers {
                    self.dispatch.accepted(worker, task);
                    self.accepted(worker, life, task);
                    self.settled(worker, life, task);
                }
            }
            Order::Refuse { task, worker, life, delay_s } => {
                self.dispatch.refused(worker, task, delay_s, Instant::now());
                self.put_back(task);
                self.settled(worker, life, task);
            }
            Order::Reject { task, worker, life, why } => {
                self.dispatch.rejected(worker, task);
                self.put_back(task);
                if self.workers[worker].lives == life {
                    self.break_off(worker, format!("what it wrote is no answer: {why}"));
                }
                self.settled(worker, life, task);
            }
            Order::Event(event) => self.happened(event),
            Order::Stop => self.over = Some(None),
        }
    }

    fn put_back(&self, task: u64) {
        self.shared.put_back(self.tasks.get(&task).map_or(0, |bytes| bytes.len()));
    }

    fn happened(&mut self, event: CommandEvent) {
        match event {
            CommandEvent::Started { id, .. } => {
                let Some(worker) = self.ids.get(&id).copied() else { return };
                if let Some(life) = &mut self.workers[worker].life {
                    life.started = true;
                }
                self.dispatch.ready(worker);
                self.hand(worker, Instant::now());
            }
            CommandEvent::NotStarted { id, message, .. } => {
                let Some(worker) = self.ids.remove(&id) else { return };
                self.leave_out(worker, message);
            }
            CommandEvent::Ended { id, cause } => {
                let Some(worker) = self.ids.remove(&id) else { return };
                // All who could write have ended, but for one to whom somebody handed the pipe.
                for _ in 0..LAST_READS {
                    if self.read(worker) != Came::Some {
                        break;
                    }
                }
                if let Some(life) = &mut self.workers[worker].life {
                    life.cause = Some(cause);
                    // Whoever else holds the other end has nothing to do with us.
                    life.stdout = None;
                    life.stdin = None;
                }
                self.bury(worker);
            }
            CommandEvent::HostDied { cause } => self.end(Over::HostDied { cause }),
        }
    }

    /// Hands tasks to who waits for them. When a rest is over, where somebody rests.
    fn hand_out(&mut self) -> Option<Instant> {
        let now = Instant::now();
        while let Some(worker) = self.dispatch.wake() {
            self.launch(worker);
        }
        let mut soonest: Option<Instant> = None;
        if self.dispatch.queued() > 0 {
            for (_, worker) in std::mem::take(&mut self.waiting) {
                let rest = self.hand(worker, now);
                soonest = [soonest, rest].into_iter().flatten().min();
            }
        }
        soonest
    }

    /// Hands a task to this worker, if it can have one and there is one. Until when it rests.
    fn hand(&mut self, worker: usize, now: Instant) -> Option<Instant> {
        let place = &mut self.workers[worker];
        let life = place.life.as_mut().filter(|life| life.is_free())?;
        if self.shared.is_full() {
            self.waiting.insert((place.rank, worker));
            return None;
        }
        match self.dispatch.next(worker, now) {
            Next::Task(task) => {
                let bytes = self.tasks.get(&task).cloned().unwrap_or_default();
                self.shared.handed_out(bytes.len());
                life.task = Some((task, SystemTime::now()));
                // What it writes from here on may be the answer to this task, what it has written is none.
                let came = self.take_in(worker);
                let life = self.workers[worker].life.as_mut()?;
                if !life.incoming.is_empty() {
                    let why = format!("it wrote what nobody had asked for: {}", life.excerpt());
                    if life.has_answer() {
                        self.doubt(worker, why);
                    } else {
                        self.break_off(worker, why);
                    }
                    return None;
                }
                if came == Came::End {
                    return None;
                }
                if let Some(timeout) = self.options.timeout {
                    life.deadline = Some(now + timeout);
                    self.deadlines.insert((now + timeout, worker));
                }
                life.say(bytes);
                None
            }
            Next::Rest(until) => {
                self.waiting.insert((place.rank, worker));
                Some(until)
            }
            Next::Wait => {
                self.waiting.insert((place.rank, worker));
                None
            }
        }
    }

    fn end(&mut self, over: Over) {
        self.over.get_or_insert(Some(over));
    }
}

/// Numbers the commands, those that are equal alike.
fn kinds(commands: &[Command]) -> Vec<usize> {
    let mut first: HashMap<_, usize> = HashMap::new();
    let key = |command: &Command| (command.program.clone(), command.args.clone());
    commands.iter().enumerate().map(|(place, command)| *first.entry(key(command)).or_insert(place)).collect()
}
