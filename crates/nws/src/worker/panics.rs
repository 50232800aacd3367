//! Panics of tasks, which are failures like others.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};

/// What is known of a panic.
#[derive(Debug, Default)]
pub(crate) struct Panic {
    /// What was said.
    pub(crate) message: String,
    /// File, line and column, where they are known.
    pub(crate) location: String,
    /// The backtrace, where `RUST_BACKTRACE` asks for one.
    pub(crate) backtrace: String,
}

thread_local! {
    static IN_TASK: Cell<bool> = const { Cell::new(false) };
    static LAST: RefCell<Option<Panic>> = const { RefCell::new(None) };
}

/// Has panics of tasks kept for their failures; those of other threads are printed as ever.
pub(crate) fn keep() {
    let others = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        // Where a panic ends the process there is no failure to tell: standard error is the place.
        if cfg!(panic = "abort") || !IN_TASK.get() || !remember(info) {
            others(info);
        }
    }));
}

/// Keeps a panic for the failure of its task; false where there is one already: the second of two ends
/// the process.
fn remember(info: &PanicHookInfo<'_>) -> bool {
    let backtrace = Backtrace::capture();
    let captured = backtrace.status() == BacktraceStatus::Captured;
    let panic = Panic {
        message: text(info.payload()),
        location: info.location().map(ToString::to_string).unwrap_or_default(),
        backtrace: if captured { of_the_task(&backtrace.to_string()) } else { String::new() },
    };
    LAST.with_borrow_mut(|last| last.replace(panic).is_none())
}

/// A backtrace without what called the task, as far as symbols tell.
fn of_the_task(backtrace: &str) -> String {
    let own = |line: &&str| line.contains("nws::task::registry::") || line.contains("nws::worker::panics::catch");
    let lines: Vec<&str> = backtrace.lines().take_while(|line| !own(line)).collect();
    lines.join("\n")
}

/// Runs a task.
pub(crate) fn catch<T>(task: impl FnOnce() -> T) -> Result<T, Panic> {
    LAST.set(None);
    IN_TASK.set(true);
    // The task's own values are gone with it. What it shares with later ones is the program's, which
    // sees a poisoned lock where it uses locks.
    let outcome = panic::catch_unwind(AssertUnwindSafe(task));
    IN_TASK.set(false);
    outcome.map_err(|payload| {
        // A program that has set a hook of its own is told by that; the message is known all the same.
        let fallback = || Panic { message: text(&*payload), ..Panic::default() };
        LAST.take().unwrap_or_else(fallback)
    })
}

fn text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("(it panicked with a value that is no text)").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_tells_its_message_also_where_another_hook_took_it() {
        let panic = catch(|| panic!("seven of {}", 9)).unwrap_err();
        assert_eq!(panic.message, "seven of 9");
        assert_eq!(catch(|| panic::panic_any(3)).unwrap_err().message, "(it panicked with a value that is no text)");
        assert_eq!(catch(|| 3).unwrap(), 3);
    }
}
