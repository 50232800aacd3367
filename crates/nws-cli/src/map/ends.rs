//! How jobs and runs are ended before they end by themselves.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use nws_work::commands::CommandId;

use super::halt::Counted;
use super::run::{Over, Run};

/// How long a run that was interrupted waits for who reads its output.
const LAST_WORDS: Duration = Duration::from_secs(2);

impl Run {
    /// Begins nothing more, and ends what runs.
    pub(super) fn stop(&mut self, over: Over) {
        let at_once = matches!(over, Over::Unread | Over::Failed(_));
        if at_once || matches!(over, Over::Interrupted(_)) {
            self.last_words.get_or_insert_with(|| Instant::now() + self.plan.grace + LAST_WORDS);
        }
        // What came first is the reason, but for the user's word.
        if self.over.is_none() || matches!(over, Over::Interrupted(_)) {
            self.over = Some(over);
        }
        self.end_running(at_once);
        self.drop_unstarted();
    }

    fn end_running(&mut self, at_once: bool) {
        let mut running: Vec<(CommandId, u64)> = self.running.iter().map(|(id, number)| (*id, *number)).collect();
        // The last one first: they begin in their order, and who waits would begin when those before it end.
        running.sort_by_key(|(id, _)| Reverse(*id));
        for (id, number) in &running {
            let Some(job) = self.jobs.get_mut(number) else { continue };
            job.cut_short = true;
            if at_once {
                self.host.end(*id);
            } else if job.last_moment.is_none() {
                self.host.ask_to_end(*id);
                job.last_moment = Some(Instant::now() + self.plan.grace);
            }
        }
    }

    /// What was to be run again is not.
    pub(super) fn drop_unstarted(&mut self) {
        for number in std::mem::take(&mut self.again) {
            if let Some(mut job) = self.jobs.remove(&number) {
                job.begin_again(&mut self.spool);
            }
            self.queue.retain(|queued| *queued != number);
        }
    }

    /// Ends the run where enough jobs have ended as the user said.
    pub(super) fn halt(&mut self) {
        let Some((at_once, what)) = self.plan.halt.reached(self.counts.ended, self.counts.failed) else { return };
        let over = if what == Counted::Succeeded { Over::Satisfied } else { Over::Halted };
        if self.over.is_some() {
            return;
        }
        if at_once {
            self.stop(over);
        } else {
            self.over = Some(over);
            self.drop_unstarted();
        }
    }

    /// Ends jobs whose time is over.
    pub(super) fn look_at_time(&mut self) {
        let now = Instant::now();
        for (id, number) in &self.running {
            let Some(job) = self.jobs.get_mut(number) else { continue };
            if job.due.is_some_and(|due| now >= due) {
                job.due = None;
                if job.last_moment.is_none() {
                    job.timed_out = true;
                    job.last_moment = Some(now + self.plan.grace);
                    self.host.ask_to_end(*id);
                }
            }
            if job.last_moment.is_some_and(|moment| now >= moment) {
                job.last_moment = None;
                self.host.end(*id);
            }
        }
    }
}
