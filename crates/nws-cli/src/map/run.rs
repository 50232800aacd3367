//! The loop: starts jobs, hears of them, ends them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use nws_supervise::{end_by_signal, taken_signal};
use nws_work::commands::{CommandEvent, CommandHost, CommandId};
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use super::arguments::{Order, Plan};
use super::bar::Bar;
use super::halt::Halt;
use super::inputs::Feed;
use super::job::Job;
use super::joblog::{Entry, Log};
use super::printer::Printer;
use super::spool::Spool;
use super::wake::Waker;
use crate::exit::{Exit, Failure};

/// Most jobs that wait at the host for others to end.
const MOST_AHEAD: usize = 16;
/// Pieces of an output that are taken before anything else is looked at.
const PIECES: usize = 4;
/// Tokens of what the loop waits for; a job's are its number in these steps, and what of it.
const WAKER: u64 = 0;
const SIGNALS: u64 = 1;
pub(super) const STEP: u64 = 4;
/// After the outputs, 0 and 1.
pub(super) const STDIN: u64 = 2;

/// Why no more jobs are started though there are inputs.
#[derive(Debug)]
pub(super) enum Over {
    /// So many have failed, or ended, that the rest is not begun.
    Halted,
    /// So many have succeeded as were wanted, whatever became of the others.
    Satisfied,
    /// A signal came.
    Interrupted(i32),
    /// Nobody reads the outputs.
    Unread,
    Failed(Failure),
}

/// A run, as it goes.
pub(super) struct Run {
    pub(super) plan: Plan,
    pub(super) host: CommandHost,
    pub(super) feed: Feed,
    pub(super) poll: OwnedFd,
    waker: Waker,
    requests: OwnedFd,
    events: Receiver<CommandEvent>,
    pub(super) printer: Printer,
    pub(super) spool: Spool,
    pub(super) log: Option<Log>,
    /// What is to be logged once everything up to a mark is written.
    pub(super) unlogged: VecDeque<(u64, Entry)>,
    /// All that were given to the host or are to be given anew, and are not printed.
    pub(super) jobs: BTreeMap<u64, Job>,
    pub(super) running: HashMap<CommandId, u64>,
    /// Whose turn it is to be printed.
    pub(super) queue: VecDeque<u64>,
    /// Which have failed and are to be run again.
    pub(super) again: VecDeque<u64>,
    pub(super) next_number: u64,
    pub(super) inputs_over: bool,
    /// Most jobs that are with the host, those that wait there for others to end among them: fewer than
    /// planned where descriptors run out.
    pub(super) width: usize,
    /// What was planned.
    most: usize,
    pub(super) counts: Counts,
    pub(super) over: Option<Over>,
    /// When it is over although something is unprinted.
    pub(super) last_words: Option<Instant>,
    /// Nothing more can be printed.
    pub(super) is_mute: bool,
    bar: Bar,
    buffer: Vec<u8>,
}

/// How many jobs.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) ended: u64,
    pub(super) failed: u64,
    pub(super) left_out: u64,
    /// Whether one ever ran.
    pub(super) has_started: bool,
    /// The first of them in the order of the inputs, and how it failed.
    pub(super) first_failure: Option<(u64, String)>,
}

impl Run {
    pub(super) fn new(mut plan: Plan, log: Option<Log>, requests: OwnedFd) -> Result<Self, Failure> {
        let waker = Waker::new()?;
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(io::Error::from)?;
        for (descriptor, token) in [(waker.descriptor(), WAKER), (requests.as_fd(), SIGNALS)] {
            epoll::add(&poll, descriptor, epoll::EventData::new_u64(token), epoll::EventFlags::IN)
                .map_err(io::Error::from)?;
        }
        let feed = super::feed(&mut plan, &waker)?;
        let (tell, events) = std::sync::mpsc::channel();
        let wakes = waker.clone();
        let on_event = move |event| {
            let _ = tell.send(event);
            wakes.wake();
        };
        let host = CommandHost::start(&std::env::current_exe()?, on_event)
            .map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        host.limit(plan.jobs);
        // The next job begins when one ends, rather than when this process has heard of it. Where a
        // failure is to keep the next from beginning, that has to be heard of first.
        // Where a job is told its place, no other may have it.
        let is_ahead = plan.halt == Halt::Never && !plan.template.has_slot();
        let ahead = if is_ahead { plan.jobs.min(MOST_AHEAD) } else { 0 };
        let printer = Printer::start(waker.clone())?;
        Ok(Self {
            width: plan.jobs + ahead,
            most: plan.jobs + ahead,
            bar: Bar::new(plan.progress, Instant::now()),
            plan,
            host,
            feed,
            poll,
            waker,
            requests,
            events,
            printer,
            spool: Spool::new()?,
            log,
            unlogged: VecDeque::new(),
            jobs: BTreeMap::new(),
            running: HashMap::new(),
            queue: VecDeque::new(),
            again: VecDeque::new(),
            next_number: 1,
            inputs_over: false,
            counts: Counts::default(),
            over: None,
            last_words: None,
            is_mute: false,
            buffer: vec![0; 64 << 10],
        })
    }

    pub(super) fn run(mut self) -> Result<(), Failure> {
        while !self.is_done() {
            if let Err(failure) = self.turn() {
                self.stop(Over::Failed(failure));
            }
        }
        self.bar.clear(&self.printer);
        self.host.stop();
        match self.over {
            Some(Over::Interrupted(signal)) => end_by_signal(signal),
            Some(Over::Failed(failure)) => Err(failure),
            Some(Over::Unread) => Err(Failure::quiet(Exit::Done)),
            Some(Over::Satisfied) => Ok(()),
            Some(Over::Halted) | None => match self.counts.summary() {
                Some(summary) => Err(Failure::new(Exit::Nothing, summary)),
                None => Ok(()),
            },
        }
    }

    fn is_done(&self) -> bool {
        if self.last_words.is_some_and(|moment| Instant::now() >= moment) {
            return true;
        }
        let nothing_runs =
            self.running.is_empty() && (self.over.is_some() || (self.inputs_over && self.again.is_empty()));
        let is_printed = self.jobs.is_empty() && self.unlogged.is_empty();
        nothing_runs && is_printed && self.printer.written() == self.printer.given()
    }

    fn turn(&mut self) -> Result<(), Failure> {
        self.hear_of_jobs()?;
        self.look_at_time();
        if self.over.is_none() {
            self.start_jobs()?;
        }
        self.print()?;
        if self.bar.is_due() {
            let (running, total) = self.progress();
            self.bar.show(&self.printer, &self.counts, running, total);
        }
        if self.is_done() { Ok(()) } else { self.wait() }
    }

    /// How many run, and how many there are in all where that is known.
    fn progress(&self) -> (usize, Option<u64>) {
        let known = if self.inputs_over { Some(self.next_number - 1) } else { self.feed.total() };
        let began =
            self.running.values().filter_map(|number| self.jobs.get(number)).filter(|job| job.started.is_some());
        (began.count(), known.map(|total| total.saturating_sub(self.counts.left_out)))
    }

    fn wait(&mut self) -> Result<(), Failure> {
        let timeout = self.patience().map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        let mut space = [const { std::mem::MaybeUninit::uninit() }; 64];
        let ready = match epoll::wait(&self.poll, &mut space[..], timeout.as_ref()) {
            Ok((ready, _)) => ready,
            Err(Errno::INTR) => return Ok(()),
            Err(error) => return Err(io::Error::from(error).into()),
        };
        let tokens: Vec<u64> = ready.iter().map(|event| event.data.u64()).collect();
        for token in tokens {
            match token {
                WAKER => self.waker.clear(),
                SIGNALS => self.hear_signals(),
                token => self.hear_pipe(token / STEP, token % STEP)?,
            }
        }
        Ok(())
    }

    /// How long nothing is to be done unless something happens.
    fn patience(&self) -> Option<Duration> {
        let running = self.running.values().filter_map(|number| self.jobs.get(number));
        let moments = running.flat_map(|job| [job.due, job.last_moment]).flatten();
        let next = moments.chain(self.last_words).chain(self.bar.next()).min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    fn hear_signals(&mut self) {
        while let Some(signal) = taken_signal(&self.requests) {
            if matches!(self.over, Some(Over::Interrupted(_))) {
                // Said twice: everything ends now, and what is unprinted stays so.
                self.host.stop();
                end_by_signal(signal);
            }
            self.stop(Over::Interrupted(signal));
        }
    }

    fn hear_of_jobs(&mut self) -> Result<(), Failure> {
        while let Ok(event) = self.events.try_recv() {
            match event {
                CommandEvent::Started { id, .. } => self.started(id),
                CommandEvent::NotStarted { id, message, shortage } => {
                    let Some(number) = self.running.remove(&id) else { continue };
                    if shortage { self.postpone(number, message)? } else { self.not_started(number, message)? }
                }
                CommandEvent::Ended { id, cause } => {
                    let Some(number) = self.running.remove(&id) else { continue };
                    let Some(job) = self.jobs.get_mut(&number) else { continue };
                    job.end(&cause);
                    self.ended(number)?;
                }
                CommandEvent::HostDied { cause } => {
                    // Every command has ended with it.
                    for (_, number) in std::mem::take(&mut self.running) {
                        self.forget(number);
                    }
                    let message = format!("the process that starts the commands has ended: {}", cause.text);
                    return Err(Failure::new(Exit::Failed, message));
                }
            }
        }
        Ok(())
    }

    pub(super) fn not_started(&mut self, number: u64, message: String) -> Result<(), Failure> {
        if self.jobs.get(&number).is_some_and(|job| job.cut_short) {
            self.forget(number);
            return Ok(());
        }
        // The others would fare no better.
        let is_hopeless = !self.counts.has_started && self.plan.template.has_fixed_program();
        if is_hopeless && !is_about_arguments(&message) {
            self.forget(number);
            return Err(Failure::new(Exit::Failed, format!("the command cannot be started: {message}")));
        }
        if let Some(job) = self.jobs.get_mut(&number) {
            job.end_unstarted(message);
        }
        self.ended(number)
    }

    pub(super) fn forget(&mut self, number: u64) {
        if let Some(mut job) = self.jobs.remove(&number) {
            job.begin_again(&mut self.spool);
        }
        self.queue.retain(|queued| *queued != number);
    }

    /// Takes the last of its outputs, and decides what becomes of it.
    fn ended(&mut self, number: u64) -> Result<(), Failure> {
        let lines = self.plan.order == Order::Lines;
        // Its descriptors are free again.
        self.width = (self.width + 1).min(self.most);
        let Some(job) = self.jobs.get_mut(&number) else { return Ok(()) };
        job.id = None;
        job.stdin = None;
        for output in &mut job.outputs {
            // All who wrote have ended, so what is not there now never comes.
            output.read(&mut self.spool, lines, &mut self.buffer, usize::MAX)?;
            output.close(&mut self.spool)?;
        }
        if job.cut_short {
            self.forget(number);
            return Ok(());
        }
        if job.has_failed() && job.tries <= self.plan.retries && self.over.is_none() {
            job.begin_again(&mut self.spool);
            self.again.push_back(number);
            return Ok(());
        }
        self.counts.ended += 1;
        if job.has_failed() {
            self.counts.failed += 1;
            if self.counts.first_failure.as_ref().is_none_or(|(first, _)| number < *first) {
                self.counts.first_failure = Some((number, job.story()));
            }
        }
        if self.plan.order == Order::Ends {
            self.queue.push_back(number);
        }
        self.log_unless_unprinted(number)?;
        self.halt();
        Ok(())
    }

    fn hear_pipe(&mut self, number: u64, which: u64) -> Result<(), Failure> {
        let lines = self.plan.order == Order::Lines;
        let Some(job) = self.jobs.get_mut(&number) else { return Ok(()) };
        if which == STDIN {
            if job.stdin.as_mut().is_some_and(|stdin| !stdin.write()) {
                job.stdin = None;
            }
            return Ok(());
        }
        let Some(output) = job.outputs.get_mut(which as usize) else { return Ok(()) };
        output.read(&mut self.spool, lines, &mut self.buffer, PIECES)?;
        self.pause_if_ahead(number, which as usize)
    }
}

/// Whether other arguments may fare better.
fn is_about_arguments(message: &str) -> bool {
    let too_long = format!("(os error {})", Errno::TOOBIG.raw_os_error());
    message.contains(&too_long) || message.contains("nul byte")
}

impl Counts {
    fn summary(&self) -> Option<String> {
        let (_, first) = self.first_failure.as_ref()?;
        let which = if self.failed == 1 { "" } else { "the first: " };
        let jobs = if self.ended == 1 { "job" } else { "jobs" };
        Some(format!("{} of {} {jobs} failed; {which}{first}", self.failed, self.ended))
    }
}
