//! What commands write: answers, and what is none.

use std::time::{Instant, SystemTime};

use super::super::life::Came;
use super::super::{Answer, Arrival, Over};
use super::{Engine, LINGER, READ_BYTES};

/// How many of a life's last results could be made again, and how many bytes their tasks may have.
const KEPT_TASKS: usize = 32;
const KEPT_BYTES: usize = 1 << 20;
/// Most classes that are known to be those of results.
const MOST_PLAIN: usize = 1024;

impl Engine {
    /// Reads once, and takes in the end of what a life writes.
    pub(super) fn take_in(&mut self, worker: usize) -> Came {
        let Some(life) = &mut self.workers[worker].life else { return Came::End };
        let was_open = life.stdout.is_some();
        let came = life.read(&mut self.buffer);
        if life.broken.is_some() {
            life.incoming.clear();
            return came;
        }
        if came == Came::End && was_open && life.cause.is_none() && self.closing.is_none() {
            // It answers no more, so it has nothing to read either.
            life.close();
            self.lingering.push_back((Instant::now() + LINGER, worker, life.number));
        }
        came
    }

    /// Reads once, and takes the answers that are there.
    pub(super) fn read(&mut self, worker: usize) -> Came {
        let came = self.take_in(worker);
        if came != Came::Some {
            return came;
        }
        loop {
            let Some(life) = &mut self.workers[worker].life else { return came };
            if life.broken.is_some() {
                return came;
            }
            match life.answer(self.options.limit_bytes) {
                Ok(Some(bytes)) if life.has_unread() => {
                    life.incoming = bytes;
                    let why = format!("it wrote an answer before it had read the task: {}", life.excerpt());
                    self.doubt(worker, why);
                }
                Ok(Some(bytes)) => self.answered(worker, bytes),
                Ok(None) => break,
                Err(why) => {
                    self.break_off(worker, why);
                    return came;
                }
            }
        }
        self.look_at_output(worker);
        came
    }

    fn answered(&mut self, worker: usize, bytes: Vec<u8>) {
        let Some(life) = &mut self.workers[worker].life else { return };
        let Some((task, sent)) = life.task.take() else { return };
        if let Some(deadline) = life.deadline.take() {
            self.deadlines.remove(&(deadline, worker));
        }
        life.unsettled += 1;
        life.first = life.first.or_else(|| (life.answers == 0).then_some(task));
        life.answers = life.answers.saturating_add(1);
        let suspect = self.options.framing.suspect(&bytes).filter(|class| !self.plain.contains(class));
        let urgent = suspect.is_some();
        life.held = suspect.map(|class| (task, class));
        let answer = Answer { task, worker, life: life.number, bytes, sent, came: SystemTime::now() };
        self.dispatch.answered(worker);
        self.shared.answered(answer, urgent);
        self.hand(worker, Instant::now());
    }

    /// An answer is a result, which may come to be in doubt.
    pub(super) fn accepted(&mut self, worker: usize, number: u64, task: u64) {
        let life = self.workers[worker].life.as_mut().filter(|life| life.number == number);
        let Some(life) = life else {
            self.tasks.remove(&task);
            return;
        };
        if let Some((_, class)) = life.held.take_if(|(held, _)| *held == task)
            && self.plain.len() < MOST_PLAIN
        {
            self.plain.insert(class);
        }
        if life.first == Some(task) {
            self.tasks.remove(&task);
        } else if life.in_doubt {
            self.again(task);
        } else {
            life.results.push_back(task);
            life.result_bytes += self.tasks.get(&task).map_or(0, |bytes| bytes.len());
            while life.results.len() > KEPT_TASKS || life.result_bytes > KEPT_BYTES {
                let Some(task) = life.results.pop_front() else { break };
                life.has_forgotten = true;
                life.result_bytes -= self.tasks.remove(&task).map_or(0, |bytes| bytes.len());
            }
        }
    }

    /// A life has written more than was asked for, so what it had answered before may be the answers of
    /// other tasks: answers have no numbers. It is ended, and what it did last is done again.
    pub(super) fn doubt(&mut self, worker: usize, why: String) {
        let Some(life) = self.workers[worker].life.as_mut().filter(|life| life.broken.is_none()) else { return };
        if life.answers > 0 {
            life.in_doubt = true;
            let results = std::mem::take(&mut life.results);
            let follows = match life.answers {
                1 => "",
                _ if life.has_forgotten => {
                    "; its last results are made again, and those before may be of other tasks if it did so before"
                }
                _ => "; its results are made again",
            };
            results.into_iter().for_each(|task| self.again(task));
            self.shared.tell(Arrival::Misbehaved { worker, message: format!("{why}{follows}") });
        }
        self.break_off(worker, why);
    }

    fn again(&mut self, task: u64) {
        self.dispatch.again(task);
        self.put_back(task);
    }

    /// An answer of a worker is settled.
    pub(super) fn settled(&mut self, worker: usize, number: u64, task: u64) {
        let Some(life) = self.workers[worker].life.as_mut().filter(|life| life.number == number) else { return };
        life.unsettled = life.unsettled.saturating_sub(1);
        life.held.take_if(|(held, _)| *held == task);
        life.first.take_if(|first| *first == task);
        self.hand(worker, Instant::now());
        self.bury(worker);
    }

    /// What was written without having been asked for is kept, but not without end.
    pub(super) fn look_at_output(&mut self, worker: usize) {
        let Some(life) = self.workers[worker].life.as_ref() else { return };
        // Of a command that has answered, or of one in a job without tasks, it is what it was started for.
        let is_wanted = life.answers > 0 || self.next_task == 0;
        let limit = self.options.limit_bytes;
        let limit = if is_wanted || self.closing.is_some() { limit } else { limit.min(READ_BYTES) };
        if life.task.is_some() || life.incoming.len() <= limit {
            return;
        }
        if self.closing.is_none() {
            let message = format!("it wrote more than {limit} bytes that nobody had asked for");
            self.shared.tell(Arrival::Misbehaved { worker, message: message.clone() });
            self.break_off(worker, message);
        } else if is_wanted {
            self.end(Over::TooMuchOutput { worker });
        } else {
            let message = format!(
                "it has answered nothing, and wrote more than {limit} bytes when its standard input had ended: it is \
                 ended, and they are left out"
            );
            self.shared.tell(Arrival::Misbehaved { worker, message: message.clone() });
            self.break_off(worker, message);
        }
    }

    /// Ends a life that is of no use any more; what follows from its end comes with that.
    pub(super) fn break_off(&mut self, worker: usize, why: String) {
        let Some(life) = &mut self.workers[worker].life else { return };
        if life.broken.is_none() {
            life.broken = Some(why);
            life.incoming = Vec::new();
            self.host.end(life.id);
        }
    }
}
