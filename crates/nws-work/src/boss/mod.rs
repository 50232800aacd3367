//! A Boss: hires a worker process for each set of instructions, as a scheduler allows, and collects
//! what they report.
//!
//! Each worker is a process of its own, started by a [command host](crate::commands), so that none
//! outlives the Boss, whatever dies. What instructions and reports are is the language's matter: a
//! [`Trade`] encodes the one and decodes the other.
//!
//! - [`Boss`]: the handle; its thread is `desk`. `office`: what it decides, without processes or clock.
//! - [`scheduler`]: what is handed out when. `durations`: what was learnt of earlier runs.
//! - [`wire`]: how instructions come to a worker, and its report back.

mod desk;
mod durations;
mod office;
mod report;
pub mod scheduler;
pub mod wire;

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::commands::{Command, CommandHost};
use crate::error::WorkError;
use crate::platform::fork_generation;
use desk::{Desk, Message};
pub use office::Signal;
pub use report::{Ended, Failure, Report, Status, Trouble, TroubleKind, WorkerReport};
use scheduler::Scheduler;

/// Makes the bytes of instructions.
pub type Encode<I> = Box<dyn Fn(&I) -> Result<Vec<u8>, String> + Send>;
/// Reads a report.
pub type Decode<R> = Box<dyn Fn(&[u8]) -> Result<R, String> + Send>;
/// Names the worker with this number.
pub type Name<I> = Box<dyn Fn(u64, &I) -> String + Send>;

/// What a Boss's instructions and reports are, and who its workers are.
pub struct Trade<I, R> {
    /// The bytes that a worker gets.
    pub encode: Encode<I>,
    /// What the bytes of its report mean.
    pub decode: Decode<R>,
    /// What the bytes of its failure mean.
    pub decode_failure: fn(&[u8]) -> Trouble,
    /// The name of the worker with this number, counted from 0.
    pub name: Name<I>,
    /// How a worker is started.
    pub command: Command,
    /// The program that is the host, as for [`CommandHost::start`], and where that is this program
    /// itself, its arguments.
    pub host: (PathBuf, Vec<OsString>),
}

/// A Boss, with its workers. They end with this, or with this process, however it ends; a fork's copy
/// may be dropped, and nothing else.
#[derive(Debug)]
pub struct Boss<I, R> {
    messages: Sender<Message<I, R>>,
    result: Arc<Outcome<I, R>>,
    desk: Option<JoinHandle<()>>,
    generation: u32,
}

/// How it ended: `None` as long as it goes on.
#[derive(Debug)]
struct Outcome<I, R> {
    ended: Mutex<Option<Ended<I, R>>>,
    news: Condvar,
}

impl<I: Clone + Send + 'static, R: Clone + Send + 'static> Boss<I, R> {
    /// Starts a Boss, which is halted until it gets [`Signal::Resume`].
    ///
    /// # Errors
    /// [`WorkError::Start`] where its host cannot be started.
    pub fn start(trade: Trade<I, R>, scheduler: Box<dyn Scheduler<I, R>>) -> Result<Self, WorkError> {
        let generation = fork_generation();
        let (messages, received): (Sender<Message<I, R>>, Receiver<_>) = channel();
        let tell = messages.clone();
        let (binary, own_args) = &trade.host;
        let host = CommandHost::start_with(binary, own_args, move |event| {
            // Where nobody listens the Boss is gone.
            let _ = tell.send(Message::Event(event));
        })?;
        let result = Arc::new(Outcome { ended: Mutex::new(None), news: Condvar::new() });
        let theirs = Arc::clone(&result);
        let desk = std::thread::Builder::new().name("nws-boss".into()).spawn(move || {
            let desk = Desk::new(host, trade, scheduler);
            let ran = catch_unwind(AssertUnwindSafe(|| desk.run(&received, &|ended| theirs.tell(ended))));
            if ran.is_err() {
                let problem = "a function that the Boss was given has panicked: see standard error";
                theirs.tell(Err(Failure::Lost(problem.to_owned())));
            }
        })?;
        Ok(Self { messages, result, desk: Some(desk), generation })
    }

    /// Adds instructions, behind those that are pending. A Boss that is to end takes none.
    pub fn set_instructions(&self, instructions: Vec<I>) {
        self.say(Message::Instruct(instructions));
    }

    /// Sends a control signal.
    pub fn control(&self, signal: Signal) {
        self.say(Message::Control(signal));
    }

    /// The report: the final one where it has ended, else that of what was done so far.
    ///
    /// # Errors
    /// What has ended it.
    pub fn report(&self) -> Ended<I, R> {
        let (ask, answer) = channel();
        self.say(Message::Report(ask));
        match answer.recv() {
            Ok(report) => report,
            Err(_) => self.wait(),
        }
    }

    /// Whether it is halted with instructions pending, so that it would never end.
    pub fn is_stuck(&self) -> bool {
        let (ask, answer) = channel();
        self.say(Message::IsStuck(ask));
        answer.recv().unwrap_or(false)
    }

    /// The final report, where there is one.
    ///
    /// # Errors
    /// What has ended it.
    pub fn final_report(&self) -> Option<Ended<I, R>> {
        self.result.lock().clone()
    }

    /// Waits for the final report.
    ///
    /// # Errors
    /// What has ended it.
    pub fn wait(&self) -> Ended<I, R> {
        let mut ended = self.result.lock();
        loop {
            if let Some(result) = &*ended {
                return result.clone();
            }
            ended = self.result.news.wait(ended).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn say(&self, message: Message<I, R>) {
        // Where it has ended there is nothing to be done about it.
        let _ = self.messages.send(message);
    }
}

impl<I, R> Drop for Boss<I, R> {
    fn drop(&mut self) {
        if fork_generation() != self.generation {
            // The thread and the processes are not ours.
            std::mem::forget(self.desk.take());
            return;
        }
        let _ = self.messages.send(Message::Close);
        if let Some(desk) = self.desk.take() {
            let _ = desk.join();
        }
    }
}

impl<I, R> Outcome<I, R> {
    fn lock(&self) -> MutexGuard<'_, Option<Ended<I, R>>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, ended: Ended<I, R>) {
        self.lock().get_or_insert(ended);
        self.news.notify_all();
    }
}
