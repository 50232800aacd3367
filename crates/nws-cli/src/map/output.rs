//! Who prints when.

use std::io;

use rustix::event::epoll;

use super::arguments::Order;
use super::job::Job;
use super::printer::Target;
use super::record::{Field, head};
use super::run::{Over, Run};
use super::spool::Spool;
use super::start::watch;
use crate::exit::{Exit, Failure};

/// An output that is printed as it comes is not listened to while this much of it waits.
const AHEAD_BYTES: u64 = 1 << 20;
const TARGETS: [Target; 2] = [Target::Stdout, Target::Stderr];
const NAMES: [&str; 2] = ["stdout", "stderr"];

impl Run {
    /// Prints what may be printed, as far as it is taken.
    pub(super) fn print(&mut self) -> Result<(), Failure> {
        if let Some(error) = self.printer.problem() {
            self.is_mute = true;
            match error.kind() {
                io::ErrorKind::BrokenPipe => self.stop(Over::Unread),
                _ => {
                    let problem = format!("cannot write to standard output: {error}");
                    self.stop(Over::Failed(Failure::new(Exit::Failed, problem)));
                }
            }
        }
        if self.is_mute {
            self.drop_output();
            return Ok(());
        }
        while self.printer.has_room() {
            let printed = if self.plan.order == Order::Lines { self.print_lines()? } else { self.print_next()? };
            if !printed {
                break;
            }
        }
        self.write_log()
    }

    /// Nobody will read it.
    fn drop_output(&mut self) {
        self.unlogged.clear();
        let ended: Vec<u64> = self.jobs.values().filter(|job| job.id.is_none()).map(|job| job.number).collect();
        for number in ended {
            if let Some(mut job) = self.jobs.remove(&number) {
                job.begin_again(&mut self.spool);
            }
        }
        self.queue.clear();
        // What was handed over stays unwritten.
        self.printer.give_up();
    }

    /// Prints a piece of the job whose turn it is. In the order of the inputs that one is printed while
    /// it goes on, unless its output may yet be that of a try that failed.
    fn print_next(&mut self) -> Result<bool, Failure> {
        let Some(number) = self.queue.front().copied() else { return Ok(false) };
        let Some(job) = self.jobs.get_mut(&number) else {
            self.queue.pop_front();
            return Ok(true);
        };
        if job.ending.is_none() {
            let is_last_try = job.tries > self.plan.retries;
            if self.plan.json || !is_last_try || job.id.is_none() {
                return Ok(false);
            }
            let printed = print_piece(job, &mut self.spool, &mut self.printer, self.plan.tag)?;
            self.resume(number)?;
            return Ok(printed);
        }
        let printed = if self.plan.json {
            self.print_record(number)?
        } else {
            print_piece(job, &mut self.spool, &mut self.printer, self.plan.tag)?
        };
        if printed {
            return Ok(true);
        }
        self.queue.pop_front();
        self.leave(number)?;
        Ok(true)
    }

    /// Prints whole lines of every job.
    fn print_lines(&mut self) -> Result<bool, Failure> {
        let with_lines = |job: &&mut Job| !job.is_printed() || job.ending.is_some();
        let tag = self.plan.tag;
        let ready: Vec<u64> = self.jobs.values_mut().filter(with_lines).map(|job| job.number).collect();
        for number in &ready {
            let Some(job) = self.jobs.get_mut(number) else { continue };
            while print_piece(job, &mut self.spool, &mut self.printer, tag)? {}
            if job.ending.is_some() {
                self.leave(*number)?;
            } else {
                self.resume(*number)?;
            }
        }
        Ok(!ready.is_empty())
    }

    /// Prints a piece of the object that tells all that is known of a job; `false`: it is whole.
    fn print_record(&mut self, number: u64) -> Result<bool, Failure> {
        let Some(job) = self.jobs.get_mut(&number) else { return Ok(false) };
        let Some(ending) = &job.ending else { return Ok(false) };
        let Some((which, field)) = &mut job.field else {
            self.printer.print(Target::Stdout, head(job, ending));
            job.field = Some((0, None));
            return Ok(true);
        };
        let Some((output, name)) = job.outputs.get_mut(*which).zip(NAMES.get(*which)) else {
            self.printer.print(Target::Stdout, b"}\n".to_vec());
            return Ok(false);
        };
        let Some(begun) = field else {
            let (begun, bytes) = Field::begin(name, output.text.is_text());
            *field = Some(begun);
            self.printer.print(Target::Stdout, bytes);
            return Ok(true);
        };
        match output.kept.take(&mut self.spool)? {
            Some(piece) => self.printer.print(Target::Stdout, begun.piece(&piece)),
            None => {
                self.printer.print(Target::Stdout, begun.end());
                job.field = Some((*which + 1, None));
            }
        }
        Ok(true)
    }

    /// A job that is printed leaves.
    fn leave(&mut self, number: u64) -> Result<(), Failure> {
        let Some(mut job) = self.jobs.remove(&number) else { return Ok(()) };
        for (output, target) in job.outputs.iter_mut().zip(TARGETS) {
            let end = output.tagger.end();
            if !end.is_empty() {
                self.printer.print(target, end);
            }
        }
        if !job.is_logged
            && self.log.is_some()
            && let Some(entry) = job.entry()
        {
            self.unlogged.push_back((self.printer.given(), entry));
        }
        self.write_log()
    }

    /// A job that has nothing to print is in the log as soon as it has ended: others may have to wait
    /// for an earlier one, and would be lost to a run that is resumed.
    pub(super) fn log_unless_unprinted(&mut self, number: u64) -> Result<(), Failure> {
        let Some(job) = self.jobs.get_mut(&number) else { return Ok(()) };
        if !self.plan.json
            && job.is_printed()
            && let (Some(log), Some(entry)) = (&mut self.log, job.entry())
        {
            job.is_logged = true;
            log.write(&entry)?;
        }
        Ok(())
    }

    /// Logs the jobs whose outputs are written: what a log has is not lost.
    fn write_log(&mut self) -> Result<(), Failure> {
        let written = self.printer.written();
        while self.unlogged.front().is_some_and(|(mark, _)| *mark <= written) {
            if let (Some((_, entry)), Some(log)) = (self.unlogged.pop_front(), &mut self.log) {
                log.write(&entry)?;
            }
        }
        Ok(())
    }

    /// Whether this job's output goes out as it comes.
    fn is_live(&self, job: &Job) -> bool {
        match self.plan.order {
            Order::Lines => true,
            Order::Ends => false,
            Order::Inputs => {
                let is_last_try = job.tries > self.plan.retries;
                !self.plan.json && is_last_try && self.queue.front() == Some(&job.number)
            }
        }
    }

    /// Lets a job wait whose output comes faster than it goes out.
    pub(super) fn pause_if_ahead(&mut self, number: u64, which: usize) -> Result<(), Failure> {
        let Some(job) = self.jobs.get(&number) else { return Ok(()) };
        let is_live = self.is_live(job);
        let Some(output) = self.jobs.get_mut(&number).and_then(|job| job.outputs.get_mut(which)) else {
            return Ok(());
        };
        if let Some(pipe) = &output.pipe
            && is_live
            && !output.is_paused
            && output.kept.bytes() > AHEAD_BYTES
        {
            epoll::delete(&self.poll, pipe).map_err(io::Error::from)?;
            output.is_paused = true;
        }
        Ok(())
    }

    fn resume(&mut self, number: u64) -> Result<(), Failure> {
        let Some(job) = self.jobs.get_mut(&number) else { return Ok(()) };
        for (which, output) in job.outputs.iter_mut().enumerate() {
            if output.is_paused && output.kept.bytes() <= AHEAD_BYTES / 2 {
                output.is_paused = false;
                if let Some(pipe) = &output.pipe {
                    watch(&self.poll, pipe, number, which as u64, epoll::EventFlags::IN)?;
                }
            }
        }
        Ok(())
    }
}

/// Prints the next piece of a job's outputs, up to an end of a line; whether there was one.
fn print_piece(
    job: &mut Job,
    spool: &mut Spool,
    printer: &mut super::printer::Printer,
    tag: bool,
) -> Result<bool, Failure> {
    let Job { inputs, outputs, .. } = job;
    for (output, target) in outputs.iter_mut().zip(TARGETS) {
        if let Some(piece) = output.kept.take(spool)? {
            let piece = if tag { output.tagger.piece(&inputs.join(&b' '), &piece) } else { piece };
            printer.print(target, piece);
            return Ok(true);
        }
    }
    Ok(false)
}
