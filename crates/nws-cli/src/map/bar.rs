//! How far it is, on a line of standard error.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use super::arguments::Progress;
use super::printer::Printer;
use super::run::Counts;

/// Nothing is shown of a run that is over sooner.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it changes: on a terminal, and where each is a line of its own.
const ON_TERMINAL: Duration = Duration::from_millis(200);
const AS_LINES: Duration = Duration::from_secs(1);
/// Letters of the bar itself.
const WIDTH: u64 = 20;

/// Shows progress from time to time, where it is to be shown.
#[derive(Debug)]
pub(super) struct Bar {
    began: Instant,
    next: Option<Instant>,
    every: Duration,
    is_shown: bool,
}

impl Bar {
    pub(super) fn new(progress: Progress, now: Instant) -> Self {
        let is_terminal = io::stderr().is_terminal();
        let shows = match progress {
            Progress::Auto => is_terminal,
            Progress::Always => true,
            Progress::Never => false,
        };
        let every = if is_terminal { ON_TERMINAL } else { AS_LINES };
        Self { began: now, next: shows.then_some(now + PATIENCE), every, is_shown: false }
    }

    /// When it is to be shown next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    pub(super) fn is_due(&self) -> bool {
        self.next.is_some_and(|next| Instant::now() >= next)
    }

    pub(super) fn show(&mut self, printer: &Printer, counts: &Counts, running: usize, total: Option<u64>) {
        let now = Instant::now();
        self.next = Some(now + self.every);
        self.is_shown = true;
        printer.bar(line(counts, running, total, now - self.began));
    }

    pub(super) fn clear(&self, printer: &Printer) {
        if self.is_shown {
            printer.bar(String::new());
        }
    }
}

fn line(counts: &Counts, running: usize, total: Option<u64>, elapsed: Duration) -> String {
    let ended = counts.ended;
    let mut line = match total {
        Some(total) => {
            let full = (WIDTH * ended).checked_div(total).unwrap_or(WIDTH).min(WIDTH);
            let bar: String = (0..WIDTH).map(|place| if place < full { '#' } else { '.' }).collect();
            format!("[{bar}] {ended}/{total} jobs")
        }
        None => format!("{ended} jobs"),
    };
    line.push_str(&format!(", {running} running"));
    if counts.failed > 0 {
        line.push_str(&format!(", {} failed", counts.failed));
    }
    line.push_str(&format!(", {}", clock(elapsed)));
    if let Some(left) = total.and_then(|total| left(elapsed, ended, total)) {
        line.push_str(&format!(", {} left", clock(left)));
    }
    line
}

/// How long the rest takes if it goes on as so far.
fn left(elapsed: Duration, ended: u64, total: u64) -> Option<Duration> {
    let rest = total.checked_sub(ended).filter(|_| ended > 0)?;
    Duration::try_from_secs_f64(elapsed.as_secs_f64() / ended as f64 * rest as f64).ok()
}

fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_what_is_known() {
        let seconds = Duration::from_secs;
        let counts = |ended, failed| Counts { ended, failed, ..Counts::default() };
        assert_eq!(line(&counts(0, 0), 2, None, seconds(61)), "0 jobs, 2 running, 1:01");
        let half = line(&counts(5, 1), 2, Some(10), seconds(3600));
        assert_eq!(half, "[##########..........] 5/10 jobs, 2 running, 1 failed, 1:00:00, 1:00:00 left");
        assert_eq!(line(&counts(0, 0), 0, Some(0), seconds(0)), "[####################] 0/0 jobs, 0 running, 0:00");
    }
}
