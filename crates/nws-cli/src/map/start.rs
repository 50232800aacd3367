//! How jobs begin.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Instant, SystemTime};

use nws_supervise::{is_shortage, with_advice};
use nws_work::WorkError;
use nws_work::commands::{Command, CommandId, Output, Streams};
use rustix::event::epoll;
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::pipe::{PipeFlags, pipe_with};

use super::arguments::Order;
use super::inputs::Next;
use super::job::{Inflow, Job};
use super::quote;
use super::run::{Over, Run, STDIN, STEP};
use crate::exit::{Exit, Failure};

/// Most jobs that have ended and wait for an earlier one before they are printed. Beyond that nothing
/// is begun, so that inputs without end take bounded memory.
const HELD_BACK: usize = 1 << 15;

impl Run {
    /// Starts as many as may run.
    pub(super) fn start_jobs(&mut self) -> Result<(), Failure> {
        while self.running.len() < self.width && self.jobs.len() - self.running.len() <= HELD_BACK {
            let number = match self.again.pop_front() {
                Some(number) => number,
                None => match self.next_job()? {
                    Some(number) => number,
                    None => return Ok(()),
                },
            };
            self.start(number)?;
            if self.over.is_some() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The next job, where its inputs are there.
    fn next_job(&mut self) -> Result<Option<u64>, Failure> {
        loop {
            if self.inputs_over {
                return Ok(None);
            }
            let inputs = match self.feed.next() {
                Next::Ready(inputs) => inputs,
                Next::NotYet => return Ok(None),
                Next::Over => {
                    self.inputs_over = true;
                    return Ok(None);
                }
                Next::Failed(problem) => {
                    // What was begun is done; and then it is told.
                    self.inputs_over = true;
                    self.over = Some(Over::Failed(Failure::new(Exit::Failed, problem)));
                    self.drop_unstarted();
                    return Ok(None);
                }
            };
            let number = self.next_number;
            self.next_number += 1;
            let command = self.plan.template.fill(number, &inputs);
            if let Some(log) = &self.log
                && log.knows(number, &quote::command(&command))?
            {
                self.counts.left_out += 1;
                continue;
            }
            self.jobs.insert(number, Job::new(number, inputs, command));
            if self.plan.order == Order::Inputs {
                self.queue.push_back(number);
            }
            return Ok(Some(number));
        }
    }

    fn start(&mut self, number: u64) -> Result<(), Failure> {
        let slot = self.plan.template.has_slot().then(|| self.free_slot());
        let Some(job) = self.jobs.get_mut(&number) else { return Ok(()) };
        let pipes = (|| -> io::Result<_> {
            let stdin = if self.plan.as_stdin { Some(pipe(End::Write)?) } else { None };
            let outputs = if self.plan.ungrouped { None } else { Some((pipe(End::Read)?, pipe(End::Read)?)) };
            Ok((stdin, outputs))
        })();
        let (stdin, outputs) = match pipes {
            Ok(pipes) => pipes,
            Err(error) if is_shortage(&error) => {
                return self.postpone(number, format!("there is no pipe for it: {}", with_advice(error)));
            }
            Err(error) => return Err(error.into()),
        };
        job.tries += 1;
        job.started = None;
        job.slot = slot;
        let mut streams = Streams { stdout: Output::Inherit, stderr: Output::Inherit, ..Streams::default() };
        if let Some((stdout, stderr)) = outputs {
            streams = Streams::to(stdout.theirs).stderr(Output::To(stderr.theirs));
            job.outputs[0].pipe = Some(stdout.ours);
            job.outputs[1].pipe = Some(stderr.ours);
        }
        if let Some(stdin) = stdin {
            streams = streams.stdin(stdin.theirs);
            let bytes = joined(&job.inputs, self.plan.end);
            job.stdin = Some(Inflow { pipe: stdin.ours, bytes, written: 0 });
        }
        let command = match slot {
            Some(slot) => {
                let words = self.plan.template.fill_with(&slot.to_string(), number, &job.inputs);
                command(&words, &self.plan)
            }
            None => command(&job.command, &self.plan),
        };
        match self.host.launch(command, streams) {
            Ok(id) => {
                job.id = Some(id);
                self.running.insert(id, number);
                self.listen(number)
            }
            Err(WorkError::Argument(problem)) => self.not_started(number, problem),
            Err(error) => Err(Failure::new(Exit::Failed, error.to_string())),
        }
    }

    /// The lowest number that no job which runs has.
    fn free_slot(&self) -> usize {
        let running = self.running.values().filter_map(|number| self.jobs.get(number)?.slot);
        let taken: BTreeSet<usize> = running.collect();
        (1..).find(|slot| !taken.contains(slot)).unwrap_or(usize::MAX)
    }

    /// Lets a job wait until another has ended, as something was missing that this gives back.
    ///
    /// # Errors
    /// None runs that could give it back.
    pub(super) fn postpone(&mut self, number: u64, why: String) -> Result<(), Failure> {
        let Some(job) = self.jobs.get_mut(&number) else { return Ok(()) };
        if job.cut_short || self.over.is_some() {
            self.forget(number);
            return Ok(());
        }
        // This was no try of its own.
        let tries = if job.id.is_some() { job.tries.saturating_sub(1) } else { job.tries };
        job.begin_again(&mut self.spool);
        job.tries = tries;
        if self.running.is_empty() {
            self.forget(number);
            return Err(Failure::new(Exit::Failed, format!("job {number} cannot be started: {why}")));
        }
        self.width = self.running.len();
        self.again.push_front(number);
        Ok(())
    }

    fn listen(&mut self, number: u64) -> Result<(), Failure> {
        let Some(job) = self.jobs.get_mut(&number) else { return Ok(()) };
        for (which, output) in job.outputs.iter().enumerate() {
            if let Some(pipe) = &output.pipe {
                watch(&self.poll, pipe, number, which as u64, epoll::EventFlags::IN)?;
            }
        }
        // Nearly always a pipe takes all of it at once.
        if job.stdin.as_mut().is_some_and(|stdin| !stdin.write()) {
            job.stdin = None;
        }
        if let Some(stdin) = &job.stdin {
            watch(&self.poll, &stdin.pipe, number, STDIN, epoll::EventFlags::OUT)?;
        }
        Ok(())
    }

    pub(super) fn started(&mut self, id: CommandId) {
        self.counts.has_started = true;
        let Some(job) = self.running.get(&id).and_then(|number| self.jobs.get_mut(number)) else { return };
        let now = Instant::now();
        job.started = Some((SystemTime::now(), now));
        job.due = self.plan.timeout.map(|timeout| now + timeout);
    }
}

pub(super) fn watch(
    poll: &OwnedFd,
    pipe: impl AsFd,
    number: u64,
    which: u64,
    flags: epoll::EventFlags,
) -> Result<(), Failure> {
    let token = epoll::EventData::new_u64(number * STEP + which);
    epoll::add(poll, pipe, token, flags).map_err(|error| io::Error::from(error).into())
}

/// What of a pipe is ours.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Read,
    Write,
}

struct Pipe {
    ours: OwnedFd,
    theirs: OwnedFd,
}

/// A pipe whose one end is never waited for, and the other is as any program expects it.
fn pipe(end: End) -> io::Result<Pipe> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    let (ours, theirs) = if end == End::Read { (read, write) } else { (write, read) };
    fcntl_setfl(&ours, OFlags::NONBLOCK)?;
    Ok(Pipe { ours, theirs })
}

fn joined(inputs: &[Vec<u8>], end: u8) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(inputs.iter().map(|input| input.len() + 1).sum());
    for input in inputs {
        bytes.extend_from_slice(input);
        bytes.push(end);
    }
    bytes
}

fn command(words: &[OsString], plan: &super::Plan) -> Command {
    let (program, args) =
        words.split_first().map_or((OsString::new(), &[][..]), |(program, args)| (program.clone(), args));
    let mut command = Command::new(program).args(args);
    command.cwd.clone_from(&plan.workdir);
    command.env.extend(plan.env.iter().map(|(name, value)| (name.clone(), Some(value.clone()))));
    command
}
