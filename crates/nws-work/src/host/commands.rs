//! The host proper that starts commands for its master: see [`crate::commands`].

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nws_supervise::{End, Happening, Output, ProcessId, Spawn, is_shortage};
use rustix::io::Errno;

use super::channel::Received;
use super::inner::Over;
use super::seat::{self, CONTROL, Seat, TERMINATION, VIGIL, WARDEN};
use super::warden::finish_writing;
use crate::commands::messages::{FromCommandHost, Goes, ToCommandHost};
use crate::commands::{Command, CommandId};
use crate::control::Cause;
use crate::roles::{self, OWN_PROGRAM};

/// Most pieces of what the master says that are obeyed before anything else is looked at. Each holds
/// one launch at most, which takes about a millisecond.
const PIECES: usize = 32;

/// Runs the host proper of a master's commands until that master or its warden ends, or it is asked to
/// end. Its standard input is the control channel.
///
/// # Errors
/// Where the system refuses what every process may do.
pub fn serve_commands(warden_pid: i32) -> io::Result<()> {
    let seat = Seat::take(warden_pid)?;
    let over = seat.warden.is_none().then_some(Over::Broken);
    let mut host = CommandHost {
        seat,
        processes: BTreeMap::new(),
        ids: BTreeMap::new(),
        most: usize::MAX,
        waiting: VecDeque::new(),
        unheard: true,
        over,
    };
    host.run()?;
    host.close();
    Ok(())
}

struct CommandHost {
    seat: Seat,
    processes: BTreeMap<CommandId, ProcessId>,
    ids: BTreeMap<ProcessId, CommandId>,
    /// How many may run at a time, and who waits for that.
    most: usize,
    waiting: VecDeque<(CommandId, Spawn)>,
    /// The master may have said what was not read yet.
    unheard: bool,
    over: Option<Over>,
}

impl CommandHost {
    fn run(&mut self) -> io::Result<()> {
        while self.over.is_none() {
            let happening = self.seat.supervisor.next_event(Some(self.patience()))?;
            self.happened(happening);
            self.hear();
            if self.seat.pulse.keep(Instant::now()) {
                self.died("its warden process was silent (stopped, or hanging)", None);
                seat::kill(self.seat.warden.as_ref());
            }
            self.seat.control.flush();
        }
        Ok(())
    }

    /// How long nothing is to be done unless something happens.
    fn patience(&self) -> Duration {
        let left = self.seat.pulse.next().saturating_duration_since(Instant::now());
        match (self.unheard, self.seat.control.is_behind()) {
            (true, _) => Duration::ZERO,
            (false, true) => left.min(seat::UNREAD),
            (false, false) => left,
        }
    }

    fn happened(&mut self, happening: Option<Happening>) {
        match happening {
            None | Some(Happening::Woken) => {}
            Some(Happening::Ended(process, end)) => self.ended(process, &end),
            Some(Happening::Readable(CONTROL)) => self.unheard = true,
            Some(Happening::Readable(VIGIL)) => self.seat.pulse.listen(),
            Some(Happening::Readable(TERMINATION)) => self.died("it was asked to end by SIGTERM", Some(15)),
            Some(Happening::Readable(WARDEN)) => self.died("its warden process has ended", None),
            Some(Happening::Readable(_)) => {}
        }
    }

    fn died(&mut self, why: &str, signal: Option<i32>) {
        self.tell_and_end(&FromCommandHost::HostDied { cause: Cause { signal, ..Cause::in_words(why) } });
    }

    fn tell_and_end(&mut self, message: &FromCommandHost) {
        if self.over.is_none() {
            self.seat.control.send(message);
            self.over = Some(Over::Broken);
        }
    }

    /// Obeys some of what the master has said.
    fn hear(&mut self) {
        for _ in 0..PIECES {
            if !self.unheard || self.over.is_some() {
                return;
            }
            let mut received = Received { messages: Vec::new(), ended: false };
            match self.seat.control.receive_some(&mut received) {
                Ok(more) => self.unheard = more,
                Err(error) => {
                    let message = format!("the host process did not understand its master: {error}");
                    self.tell_and_end(&FromCommandHost::Failed { message });
                }
            }
            received.messages.into_iter().for_each(|message| self.obey(message));
            if received.ended {
                self.over.get_or_insert(Over::Broken);
            }
        }
    }

    fn obey(&mut self, message: ToCommandHost) {
        match message {
            ToCommandHost::Launch { id, command, stdin, stdout, stderr, numbers } => {
                let given = [stdin, stdout == Goes::Given, stderr == Goes::Given];
                let count = given.iter().filter(|given| **given).count() + numbers.len();
                let descriptors = if count == 0 { Some(Vec::new()) } else { self.seat.control.take_descriptors() };
                let Some(descriptors) = descriptors.filter(|descriptors| descriptors.len() == count) else {
                    let error = nws_supervise::with_advice(Errno::MFILE.into());
                    let message = format!("the process that starts commands cannot take the request: {error}");
                    self.not_started(id, message, true);
                    return;
                };
                let mut descriptors = descriptors.into_iter();
                let mut spawn = spawn(command);
                if stdin {
                    spawn.descriptors.extend(descriptors.next().map(|descriptor| (descriptor, 0)));
                }
                spawn.stdout = output(stdout, &mut descriptors);
                spawn.stderr = output(stderr, &mut descriptors);
                spawn.descriptors.extend(descriptors.zip(numbers));
                self.waiting.push_back((id, spawn));
                self.launch_waiting();
            }
            ToCommandHost::AtOnce { most } => {
                self.most = most;
                self.launch_waiting();
            }
            ToCommandHost::AskToEnd { id } => match self.processes.get(&id) {
                Some(process) => self.seat.supervisor.ask_to_end(*process),
                None => self.withdraw(id),
            },
            ToCommandHost::End { id } => match self.processes.get(&id) {
                Some(process) => self.seat.supervisor.kill_tree(*process),
                None => self.withdraw(id),
            },
            ToCommandHost::Stop => self.over = Some(Over::Stopped),
        }
    }

    /// Starts those that wait, as far as there is room for them.
    fn launch_waiting(&mut self) {
        while self.processes.len() < self.most
            && self.over.is_none()
            && let Some((id, spawn)) = self.waiting.pop_front()
        {
            match self.seat.supervisor.start(&spawn) {
                Ok(process) => self.started(id, process),
                Err(error) if is_shortage(&error) && !self.processes.is_empty() => {
                    // The end of any that runs gives back what is missing.
                    self.waiting.push_front((id, spawn));
                    return;
                }
                Err(error) => self.not_started(id, error.to_string(), is_shortage(&error)),
            }
        }
    }

    /// Forgets a command that waits, if it does.
    fn withdraw(&mut self, id: CommandId) {
        if let Some(place) = self.waiting.iter().position(|(waiting, _)| *waiting == id) {
            self.waiting.remove(place);
            self.not_started(id, "it was to end before it could begin".to_owned(), false);
        }
    }

    fn started(&mut self, id: CommandId, process: ProcessId) {
        self.processes.insert(id, process);
        self.ids.insert(process, id);
        let pid = self.seat.supervisor.pid(process).unwrap_or(0);
        self.seat.control.send(&FromCommandHost::Started { id, pid });
    }

    fn not_started(&mut self, id: CommandId, message: String, shortage: bool) {
        self.seat.control.send(&FromCommandHost::NotStarted { id, message, shortage });
    }

    fn ended(&mut self, process: ProcessId, end: &End) {
        let Some(id) = self.ids.remove(&process) else { return };
        self.processes.remove(&id);
        self.seat.control.send(&FromCommandHost::Ended { id, cause: Cause::from(end) });
        self.launch_waiting();
    }

    fn close(mut self) {
        self.waiting.clear();
        for (process, end) in self.seat.supervisor.end_all(Duration::ZERO) {
            self.ended(process, &end);
        }
        if self.over == Some(Over::Stopped) {
            self.seat.control.send(&FromCommandHost::Stopped);
        }
        finish_writing(&mut self.seat.control);
    }
}

fn spawn(command: Command) -> Spawn {
    let mut spawn = Spawn::new(command.program).args(command.args);
    if spawn.program == OWN_PROGRAM {
        // Lists of processes show it by the name that the user knows.
        spawn.arg0 = Some(roles::own_name());
    }
    spawn.env = command.env;
    spawn.cwd = command.cwd;
    spawn
}

fn output(goes: Goes, descriptors: &mut impl Iterator<Item = OwnedFd>) -> Output {
    match goes {
        Goes::Lines => Output::Lines,
        Goes::Inherit => Output::Inherit,
        Goes::Given => descriptors.next().map_or(Output::Inherit, Output::To),
    }
}
