//! A job that goes on.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use nws_work::spread::framing::Framing;
use nws_work::spread::{Answer, Arrival, Over, SUBMIT_FOR, Spread};

use super::error::{Ended, Reason};
use super::job::{Event, Outcome, Reply};

/// How long a wait goes on when nothing happens.
const TURN: Duration = Duration::from_secs(1);

/// A job that goes on. Dropping it ends its commands.
pub(super) struct Run<'a, R> {
    spread: Spread,
    on_event: Box<dyn FnMut(Event) + 'a>,
    pub(super) results: Vec<Option<R>>,
    pub(super) tails: Vec<Vec<u8>>,
    /// How each command ended last.
    ends: Vec<Option<String>>,
    not_started: usize,
}

impl<'a, R> Run<'a, R> {
    pub(super) fn new(spread: Spread, commands: usize, on_event: Box<dyn FnMut(Event) + 'a>) -> Self {
        let (tails, ends) = (vec![Vec::new(); commands], vec![None; commands]);
        Self { spread, on_event, results: Vec::new(), tails, ends, not_started: 0 }
    }

    pub(super) fn until_over(
        &mut self,
        framing: Framing,
        tasks: &mut impl Iterator<Item = Result<Vec<u8>, String>>,
        read: &mut impl FnMut(&[u8]) -> Result<Reply<R>, String>,
    ) -> Result<(), Reason> {
        let mut more = true;
        loop {
            more = more && self.submit(tasks)?;
            for arrival in self.spread.take(Instant::now() + TURN) {
                match arrival {
                    Arrival::Answer(answer) => self.answered(&answer, read)?,
                    Arrival::Over(Over::Done) if self.not_started < self.tails.len() => return Ok(()),
                    Arrival::Over(over) => return Err(self.reason(over)),
                    other => self.happened(other, framing, read)?,
                }
            }
        }
    }

    /// Submits tasks while there is room and nothing urgent has come; whether there may be more. An
    /// iterator may be slow, and what comes meanwhile must not wait until all room is filled.
    fn submit(&mut self, tasks: &mut impl Iterator<Item = Result<Vec<u8>, String>>) -> Result<bool, Reason> {
        let until = Instant::now() + SUBMIT_FOR;
        for _ in 0..self.spread.room() {
            if Instant::now() >= until || self.spread.is_urgent() {
                break;
            }
            let Some(task) = tasks.next() else {
                self.spread.close();
                return Ok(false);
            };
            let number = self.results.len() as u64;
            self.spread.submit(task.map_err(|message| Reason::Task { task: number, message })?);
            self.results.push(None);
        }
        Ok(true)
    }

    fn answered(
        &mut self,
        answer: &Answer,
        read: &mut impl FnMut(&[u8]) -> Result<Reply<R>, String>,
    ) -> Result<(), Reason> {
        let reply = match read(&answer.bytes) {
            Ok(reply) => reply,
            Err(why) => {
                self.spread.reject(answer, &why);
                return Ok(());
            }
        };
        // Who has closed a stream does not want to read these lines.
        let (mut stdout, mut stderr) = (io::stdout(), io::stderr());
        reply.stdout.iter().for_each(|line| drop(writeln!(stdout, "{}", line.trim_end_matches('\n'))));
        reply.stderr.iter().for_each(|line| drop(writeln!(stderr, "{}", line.trim_end_matches('\n'))));
        let (task, worker) = (answer.task, answer.worker);
        match reply.outcome {
            Outcome::Result(result) => {
                if let Some(place) = usize::try_from(task).ok().and_then(|task| self.results.get_mut(task)) {
                    *place = Some(result);
                }
                let took = answer.came.duration_since(answer.sent).unwrap_or_default();
                (self.on_event)(Event::Answered { task, worker, took });
            }
            Outcome::TooBusy { delay_s } => {
                self.spread.refuse(answer, delay_s);
                (self.on_event)(Event::TooBusy { worker, task });
            }
            Outcome::Error(message) => return Err(Reason::Remote { task, worker, message }),
        }
        Ok(())
    }

    fn happened(
        &mut self,
        arrival: Arrival,
        framing: Framing,
        read: &mut impl FnMut(&[u8]) -> Result<Reply<R>, String>,
    ) -> Result<(), Reason> {
        match arrival {
            Arrival::NotStarted { worker, message } => {
                self.not_started += 1;
                self.end(worker, message.clone());
                (self.on_event)(Event::NotStarted { worker, message });
            }
            Arrival::Ended { worker, cause, task, given_up } => {
                self.end(worker, cause.text.clone());
                (self.on_event)(Event::Ended { worker, cause, task, given_up });
            }
            Arrival::Misbehaved { worker, message } => (self.on_event)(Event::Misbehaved { worker, message }),
            Arrival::Output { worker, bytes, answers } => {
                let first = framing.first(&bytes).filter(|_| answers > 0 && framing != Framing::Lines);
                if first.is_some_and(|first| read(first).is_ok()) {
                    if answers > 1 {
                        return Err(Reason::OneTooMany { worker });
                    }
                    // Nothing came before that could have been taken for its answer.
                    let message = "it has answered once more than it was asked".to_owned();
                    (self.on_event)(Event::Misbehaved { worker, message });
                }
                if let Some(tail) = self.tails.get_mut(worker) {
                    *tail = bytes;
                }
            }
            Arrival::Answer(_) | Arrival::Over(_) => {}
        }
        Ok(())
    }

    fn end(&mut self, worker: usize, how: String) {
        if let Some(end) = self.ends.get_mut(worker) {
            *end = Some(how);
        }
    }

    fn reason(&self, over: Over) -> Reason {
        let ends = self.ends.iter().enumerate();
        let ends = ends.filter_map(|(worker, how)| how.clone().map(|how| Ended { worker, how })).collect();
        match over {
            Over::Done | Over::NoWorkers if self.not_started >= self.tails.len() => Reason::NoneStarted(ends),
            Over::Done | Over::NoWorkers => Reason::NoWorkers(ends),
            Over::TimedOut { task } => Reason::TimedOut { task },
            Over::TooMuchOutput { worker } => Reason::TooMuchOutput { worker },
            Over::HostDied { cause } => Reason::HostDied(cause),
        }
    }
}
