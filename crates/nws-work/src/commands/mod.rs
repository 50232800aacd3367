//! Starts programs that do not outlive their master, whatever dies.
//!
//! The master does not start them itself: a [`CommandHost`] is a warden and a host proper, as for a
//! sleigh, and the host starts commands on request, watches them, and tells how each ended. A master, a
//! host or a warden that is killed, stopped or hangs leaves no process, nor does any command leave what
//! it started. Ctrl-C reaches the master only.
//!
//! No byte of a command's data passes through the host. The master makes pipes and hands the command's
//! ends over with the request, so it may write into them at once.
//!
//! - [`CommandHost`]: the master's side; the other is `host/commands.rs`.
//! - `messages`: what the two tell each other.
//!
//! # Example
//! ```no_run
//! use std::io::Read;
//! use nws_work::commands::{Command, CommandEvent, CommandHost, Streams};
//!
//! let (tell, events) = std::sync::mpsc::channel();
//! let host = CommandHost::start("/usr/local/bin/nws".as_ref(), move |event| drop(tell.send(event)))?;
//! let (mut read, write) = std::io::pipe()?;
//! host.launch(Command::new("echo").arg("hello"), Streams::to(write))?;
//! let mut said = String::new();
//! read.read_to_string(&mut said)?;
//! assert_eq!(said, "hello\n");
//! assert!(matches!(events.recv()?, CommandEvent::Started { .. }));
//! let CommandEvent::Ended { cause, .. } = events.recv()? else { panic!("expected its end") };
//! assert_eq!(cause.exit_code, Some(0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub(crate) mod messages;

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

pub use nws_supervise::Output;
use serde::{Deserialize, Serialize};

use crate::control::{Cause, MOST_DESCRIPTORS};
use crate::error::WorkError;
use crate::launch::Host;
use crate::roles::Serves;
use messages::{FromCommandHost, Goes, ToCommandHost, Written};

/// A program to be started, with the environment of the master when its host was started but for the
/// changes said here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Command {
    /// A path, or a name to be found in `PATH`.
    pub program: OsString,
    /// Its arguments, without the program's name.
    pub args: Vec<OsString>,
    /// Changes of the environment: a value to set, or `None` to remove the name.
    pub env: Vec<(OsString, Option<OsString>)>,
    /// The folder to start in; `None`: the master's own at the time of the launch.
    pub cwd: Option<PathBuf>,
}

impl Command {
    /// A command without arguments.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self { program: program.into(), ..Self::default() }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a name in the environment.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), Some(value.into())));
        self
    }

    /// Removes a name from the environment.
    pub fn without_env(mut self, name: impl Into<OsString>) -> Self {
        self.env.push((name.into(), None));
        self
    }

    /// Sets the folder to start in.
    pub fn cwd(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cwd = Some(folder.into());
        self
    }
}

/// What a command reads and writes. Descriptors are handed over: the master's copies are closed.
#[derive(Debug, Default)]
pub struct Streams {
    /// Standard input; `None`: it is empty.
    pub stdin: Option<OwnedFd>,
    /// Standard output; as lines or inherited, it is the host's, which has the master's.
    pub stdout: Output,
    /// Standard error; of [`Output::Lines`] the last ones are kept for the [`Cause`].
    pub stderr: Output,
    /// Further descriptors, each with the number, 3 to 63, that the command finds it under.
    pub others: Vec<(OwnedFd, RawFd)>,
}

impl Streams {
    /// Empty standard input, this standard output, and lines of standard error.
    pub fn to(stdout: impl Into<OwnedFd>) -> Self {
        Self { stdout: Output::To(stdout.into()), ..Self::default() }
    }

    /// Sets standard input.
    pub fn stdin(mut self, stdin: impl Into<OwnedFd>) -> Self {
        self.stdin = Some(stdin.into());
        self
    }

    /// Sets where standard error goes.
    pub fn stderr(mut self, stderr: Output) -> Self {
        self.stderr = stderr;
        self
    }

    /// Hands over a descriptor under this number.
    pub fn descriptor(mut self, descriptor: impl Into<OwnedFd>, number: RawFd) -> Self {
        self.others.push((descriptor.into(), number));
        self
    }
}

/// A command of one [`CommandHost`]; never given twice by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CommandId(pub u64);

/// What became of a command. Each has one `NotStarted`, or one `Started` and then one `Ended`, unless
/// the host dies before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandEvent {
    /// It runs.
    Started {
        /// Which.
        id: CommandId,
        /// Its process.
        pid: u32,
    },
    /// It could not be started.
    NotStarted {
        /// Which.
        id: CommandId,
        /// The program and the reason.
        message: String,
        /// It lacked descriptors, processes or memory: it may be started when others have ended. A host
        /// whose other commands run waits for that by itself, unless it could not even take the request.
        shortage: bool,
    },
    /// It has ended, and all that it started with it.
    Ended {
        /// Which.
        id: CommandId,
        /// How.
        cause: Cause,
    },
    /// The host has ended, and every command with it. The last event, also after
    /// [`CommandHost::stop`].
    HostDied {
        /// How.
        cause: Cause,
    },
}

/// Starts commands, and ends them all when it is dropped.
#[derive(Debug)]
pub struct CommandHost {
    host: Host,
    next_id: AtomicU64,
}

impl CommandHost {
    /// Starts the host: with the program `nws`, or as this program itself for
    /// [`OWN_PROGRAM`](crate::roles::OWN_PROGRAM). `on_event` is called on a thread of its own.
    ///
    /// # Errors
    /// [`WorkError::Start`] where the program cannot be run.
    pub fn start(binary: &Path, on_event: impl FnMut(CommandEvent) + Send + 'static) -> Result<Self, WorkError> {
        let own_args: Vec<OsString> = std::env::args_os().skip(1).collect();
        Self::start_with(binary, &own_args, on_event)
    }

    /// The same, where this program is its own host and is to be started with other arguments than it
    /// was itself: those of a test program name the test that calls `nws::init()`.
    ///
    /// # Errors
    /// As for [`CommandHost::start`].
    pub fn start_with(
        binary: &Path,
        own_args: &[OsString],
        mut on_event: impl FnMut(CommandEvent) + Send + 'static,
    ) -> Result<Self, WorkError> {
        let mut over = false;
        let host = Host::launch(binary, Serves::Commands, own_args, None, move |message| {
            if !over {
                let event = event(message);
                over = matches!(event, CommandEvent::HostDied { .. });
                on_event(event);
            }
        })?;
        Ok(Self { host, next_id: AtomicU64::new(1) })
    }

    /// Has a command started. What becomes of it is told by events.
    ///
    /// # Errors
    /// [`WorkError::Argument`] for an empty program, a descriptor's number that cannot be, more than 61
    /// of them, or arguments of more than 16 MiB; [`WorkError::Ended`] where the host has ended, or is
    /// that of the process that this one was forked from.
    pub fn launch(&self, mut command: Command, streams: Streams) -> Result<CommandId, WorkError> {
        if command.program.is_empty() {
            return Err(WorkError::Argument("expected the name of a program, got an empty one".into()));
        }
        if let Some((_, number)) = streams.others.iter().find(|(_, number)| !(3..64).contains(number)) {
            let problem = format!("expected numbers of descriptors from 3 to 63, got {number}");
            return Err(WorkError::Argument(problem));
        }
        if streams.others.len() + 3 > MOST_DESCRIPTORS {
            let problem =
                format!("expected at most 61 descriptors beside the standard ones, got {}", streams.others.len());
            return Err(WorkError::Argument(problem));
        }
        if command.cwd.is_none() {
            command.cwd = std::env::current_dir().ok();
        }
        let id = CommandId(self.next_id.fetch_add(1, Ordering::Relaxed));
        let numbers = streams.others.iter().map(|(_, number)| *number).collect();
        let (stdout, stderr) = (goes(&streams.stdout), goes(&streams.stderr));
        let message = ToCommandHost::Launch { id, command, stdin: streams.stdin.is_some(), stdout, stderr, numbers };
        let given = |output| if let Output::To(descriptor) = output { Some(descriptor) } else { None };
        let descriptors = [streams.stdin, given(streams.stdout), given(streams.stderr)].into_iter().flatten();
        let descriptors: Vec<OwnedFd> = descriptors.chain(streams.others.into_iter().map(|(other, _)| other)).collect();
        let descriptors: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
        self.say(&message, &descriptors)?;
        Ok(id)
    }

    /// Lets no more than `most` commands run at a time: others wait in the order of their launches, and each
    /// begins when one has ended, without a word of the master, who may launch ahead.
    pub fn limit(&self, most: usize) {
        // Where the host has ended, nothing is started any more.
        let _ = self.say(&ToCommandHost::AtOnce { most: most.max(1) }, &[]);
    }

    /// Asks a command to end, by SIGTERM. Nothing happens where it has ended; one that
    /// [waits](CommandHost::limit) is not started.
    pub fn ask_to_end(&self, id: CommandId) {
        // Where the host has ended, so have they.
        let _ = self.say(&ToCommandHost::AskToEnd { id }, &[]);
    }

    /// Ends a command and all that it started, now. Its [`CommandEvent::Ended`] follows, or
    /// [`CommandEvent::NotStarted`] where it [waited](CommandHost::limit).
    pub fn end(&self, id: CommandId) {
        // As above.
        let _ = self.say(&ToCommandHost::End { id }, &[]);
    }

    /// Ends everything, and waits for that. Dropping does the same; in a fork's copy neither does
    /// anything.
    pub fn stop(&self) {
        self.host.stop_by(&ToCommandHost::Stop);
    }

    /// The process id of the host's warden.
    pub fn pid(&self) -> u32 {
        self.host.pid()
    }

    fn say(&self, message: &ToCommandHost, descriptors: &[BorrowedFd<'_>]) -> Result<(), WorkError> {
        if self.host.is_foreign() {
            let problem = "this process was forked from the one that started its commands' host; start one here";
            return Err(WorkError::Ended(problem.into()));
        }
        self.host.send_with(message, descriptors).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput => WorkError::Argument(error.to_string()),
            _ => WorkError::Ended(format!("the process that starts commands has ended: {error}")),
        })
    }
}

impl Drop for CommandHost {
    fn drop(&mut self) {
        self.stop();
    }
}

fn goes(output: &Output) -> Goes {
    match output {
        Output::Lines => Goes::Lines,
        Output::Inherit => Goes::Inherit,
        Output::To(_) => Goes::Given,
    }
}

fn event(message: Option<FromCommandHost>) -> CommandEvent {
    match message {
        Some(FromCommandHost::Started { id, pid }) => CommandEvent::Started { id, pid },
        Some(FromCommandHost::NotStarted { id, message, shortage }) => {
            CommandEvent::NotStarted { id, message, shortage }
        }
        Some(FromCommandHost::Ended { id, cause }) => CommandEvent::Ended { id, cause },
        Some(FromCommandHost::HostDied { cause }) => CommandEvent::HostDied { cause },
        Some(FromCommandHost::Failed { message }) => CommandEvent::HostDied { cause: Cause::in_words(message) },
        Some(FromCommandHost::Stopped) => CommandEvent::HostDied { cause: Cause::in_words("it was stopped") },
        None => CommandEvent::HostDied { cause: Cause::in_words("it has ended and said no more") },
    }
}
