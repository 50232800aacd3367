//! A bar that shows how far a call is.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How long a call goes on before it has a bar.
const DELAY: Duration = Duration::from_secs(1);

/// A bar on standard error, after the first second, where that is a terminal.
#[derive(Debug)]
pub(super) struct Bar {
    wanted: bool,
    total: Option<u64>,
    began: Instant,
    shown: Option<ProgressBar>,
}

impl Bar {
    /// Towards so many tasks, or towards no known number.
    pub(super) fn new(wanted: bool, total: Option<u64>) -> Self {
        Self { wanted, total, began: Instant::now(), shown: None }
    }

    /// So many tasks are done.
    pub(super) fn move_to(&mut self, done: u64) {
        if !self.wanted {
            return;
        }
        let elapsed = self.began.elapsed();
        if self.shown.is_none() && elapsed < DELAY {
            return;
        }
        let total = self.total;
        let bar = self.shown.get_or_insert_with(|| made(total).with_elapsed(elapsed));
        bar.set_position(done);
        bar.tick();
    }

    /// Does something during which the bar is not shown.
    pub(super) fn aside(&self, act: impl FnOnce()) {
        match &self.shown {
            Some(bar) => bar.suspend(act),
            None => act(),
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

fn made(total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (ProgressBar::new(total), "{percent:>3}% {wide_bar} {pos}/{len} tasks, {per_sec}, {eta} left"),
        None => (ProgressBar::no_length(), "{spinner} {pos} tasks, {per_sec}, {elapsed}"),
    };
    bar.set_draw_target(ProgressDrawTarget::stderr());
    // A template of names that there are is one.
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}
