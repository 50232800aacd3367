//! The thread of a Boss: what it hears, and how it hires.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Instant;

use rustix::thread::sched_getaffinity;

use super::Trade;
use super::office::{Crew, Office, Signal};
use super::report::{Ended, Trouble, TroubleKind};
use super::scheduler::Scheduler;
use super::wire;
use crate::commands::{CommandEvent, CommandHost, CommandId, Streams};
use crate::control::Cause;
use crate::roles::{ROLE_VARIABLE, Role};

pub(super) enum Message<I, R> {
    Event(CommandEvent),
    Instruct(Vec<I>),
    Control(Signal),
    Report(Sender<Ended<I, R>>),
    /// Whether it would never end.
    IsStuck(Sender<bool>),
    /// The Boss is dropped: everything ends.
    Close,
}

pub(super) struct Desk<I, R> {
    office: Office<I, R>,
    staff: Staff<I, R>,
}

/// The workers as processes.
struct Staff<I, R> {
    host: CommandHost,
    trade: Trade<I, R>,
    numbers: HashMap<CommandId, u64>,
    hired: BTreeMap<u64, (CommandId, File)>,
}

impl<I: Clone, R: Clone> Desk<I, R> {
    pub(super) fn new(host: CommandHost, trade: Trade<I, R>, scheduler: Box<dyn Scheduler<I, R>>) -> Self {
        let staff = Staff { host, trade, numbers: HashMap::new(), hired: BTreeMap::new() };
        Self { office: Office::new(scheduler, own_cores()), staff }
    }

    /// Works until there is nothing more to do. The final report is told once it is there; workers
    /// that nobody listens to may go on then.
    pub(super) fn run(mut self, messages: &Receiver<Message<I, R>>, tell: &dyn Fn(Ended<I, R>)) {
        let mut is_told = false;
        loop {
            self.office.turn(&mut self.staff, Instant::now());
            if self.office.is_over() && !is_told {
                self.office.close();
                tell(self.office.report());
                is_told = true;
            }
            if is_told && self.office.is_deserted() {
                break;
            }
            let timeout = self.office.next().map(|next| next.saturating_duration_since(Instant::now()));
            let message = match timeout {
                Some(timeout) => messages.recv_timeout(timeout),
                None => messages.recv().map_err(RecvTimeoutError::from),
            };
            match message {
                Ok(Message::Close) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(message) => self.hear(message),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        self.staff.host.stop();
    }

    fn hear(&mut self, message: Message<I, R>) {
        let now = Instant::now();
        match message {
            Message::Event(CommandEvent::Started { .. }) | Message::Close => {}
            Message::Event(CommandEvent::NotStarted { id, message, .. }) => {
                self.ended(id, now, |_, _| Err(Trouble::not_started(message)));
            }
            Message::Event(CommandEvent::Ended { id, cause }) => {
                self.ended(id, now, |trade, file| trade.read(file, cause));
            }
            Message::Event(CommandEvent::HostDied { cause }) => {
                self.office.lost(format!("the process that holds the workers has ended: {}", cause.text));
            }
            Message::Instruct(instructions) => self.office.instruct(instructions),
            Message::Control(signal) => self.office.control(signal, &mut self.staff, now),
            Message::IsStuck(answer) => drop(answer.send(self.office.is_stuck())),
            Message::Report(answer) => drop(answer.send(self.office.report())),
        }
    }

    fn ended(
        &mut self,
        id: CommandId,
        now: Instant,
        read: impl FnOnce(&Trade<I, R>, &File) -> Result<R, Box<Trouble>>,
    ) {
        let Some(number) = self.staff.numbers.remove(&id) else { return };
        let Some((_, file)) = self.staff.hired.remove(&number) else { return };
        let result = read(&self.staff.trade, &file);
        self.office.ended(number, result, &mut self.staff, now);
    }
}

impl<I, R> Trade<I, R> {
    /// What a worker that has ended so has left.
    fn read(&self, file: &File, cause: Cause) -> Result<R, Box<Trouble>> {
        let unreadable = |problem: String| {
            let message = format!("the task was done, but its report cannot be read: {problem}");
            Box::new(Trouble::in_words(TroubleKind::Error, message))
        };
        match wire::report(file).map_err(|error| unreadable(error.to_string()))? {
            Some((false, bytes)) => Err(Box::new((self.decode_failure)(&bytes))),
            Some((true, bytes)) if cause.exit_code == Some(0) => (self.decode)(&bytes).map_err(unreadable),
            _ => {
                let words = Trouble::in_words(TroubleKind::Died, cause.text.clone());
                Err(Box::new(Trouble { cause: Some(cause), ..words }))
            }
        }
    }
}

impl<I, R> Crew<I> for Staff<I, R> {
    fn hire(&mut self, number: u64, instructions: &I, core: Option<u32>) -> Result<(), Box<Trouble>> {
        let bytes = (self.trade.encode)(instructions).map_err(|problem| {
            let message = format!("the instructions cannot be encoded: {problem}");
            Box::new(Trouble::in_words(TroubleKind::Error, message))
        })?;
        let no_memory = |error: std::io::Error| Trouble::not_started(error.to_string());
        let told = wire::instructions(core, &bytes).map_err(no_memory)?;
        let report = wire::memory().map_err(no_memory)?;
        let role = Role::Hired.told(&told).map_err(no_memory)?;
        let command = self.trade.command.clone().env(ROLE_VARIABLE, role);
        let theirs = report.try_clone().map_err(no_memory)?;
        let streams = Streams::default().descriptor(told, wire::INSTRUCTIONS_FD).descriptor(theirs, wire::REPORT_FD);
        let id = self.host.launch(command, streams).map_err(|error| Trouble::not_started(error.to_string()))?;
        self.numbers.insert(id, number);
        self.hired.insert(number, (id, report));
        Ok(())
    }

    fn name(&self, number: u64, instructions: &I) -> String {
        (self.trade.name)(number, instructions)
    }

    fn ask_to_end(&mut self, number: u64) {
        if let Some((id, _)) = self.hired.get(&number) {
            self.host.ask_to_end(*id);
        }
    }

    fn end(&mut self, number: u64) {
        if let Some((id, _)) = self.hired.get(&number) {
            self.host.end(*id);
        }
    }
}

/// The cores that this process may use.
fn own_cores() -> Vec<u32> {
    let Ok(allowed) = sched_getaffinity(None) else { return Vec::new() };
    (0..rustix::thread::CpuSet::MAX_CPU)
        .filter(|core| allowed.is_set(*core))
        .filter_map(|core| u32::try_from(core).ok())
        .collect()
}
