//! The numbers of processes, by which a child that lived shortly is known to have left nothing.
//!
//! A child that is dead has no children any more: they are ours, as we are the subreaper, and stay so
//! until we reap them. So where none of our children is unknown to us, nothing of its tree lives. What
//! it started bears a number that was given after its own, and numbers are given in turn; so it is
//! enough to ask for those up to the last one given. Where a number could have been given twice
//! meanwhile, or too many were given, nothing is known, and the whole table has to be looked at.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use crate::platform;

/// Most numbers that are asked for: beyond that a look at the table is as cheap.
const MOST: usize = 1024;
/// The fastest that numbers are given on any machine, a whole turn of them included.
const FASTEST: Duration = Duration::from_micros(1);
/// Longer than the line of either file.
const LINE_BYTES: usize = 256;

/// Where the kernel tells of the numbers that it gives in our namespace.
#[derive(Debug)]
pub(crate) struct Numbers {
    /// Its last field is the last number that was given.
    load: File,
    /// Numbers are below this one.
    bound: File,
}

impl Numbers {
    /// # Errors
    /// There is no `/proc` here.
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self { load: File::open("/proc/loadavg")?, bound: File::open("/proc/sys/kernel/pid_max")? })
    }

    /// Whether a dead child, which was not reaped, has left no process. `known` are our children, of
    /// whom none may be started or reaped meanwhile; `launched`: before this one was. `false`: it may
    /// have left some.
    pub(crate) fn is_without_heirs(&self, root: i32, launched: Instant, known: &BTreeSet<i32>) -> bool {
        let (Some(last), Some(bound)) = (last_field(&self.load), last_field(&self.bound)) else { return false };
        given_since(root, last, bound, launched.elapsed())
            .is_some_and(|mut given| given.all(|number| known.contains(&number) || !platform::is_child(number)))
    }
}

fn last_field(file: &File) -> Option<i32> {
    let mut line = [0; LINE_BYTES];
    let count = file.read_at(&mut line, 0).ok()?;
    std::str::from_utf8(line.get(..count)?).ok()?.split_ascii_whitespace().next_back()?.parse().ok()
}

/// The numbers that can have been given since `root` was, which is `ran` ago; `None` where they may have
/// been given more than once, or are too many.
fn given_since(root: i32, last: i32, bound: i32, ran: Duration) -> Option<impl Iterator<Item = i32>> {
    let turn = FASTEST.checked_mul(u32::try_from(bound).ok()?)?;
    if ran >= turn || root < 1 || last < 1 {
        return None;
    }
    // Where the turn was over the numbers begin anew.
    let is_over = last < root;
    let to_end = root.saturating_add(1)..=if is_over { bound } else { last };
    let from_start = 1..=if is_over { last } else { 0 };
    let count = to_end.clone().count() + from_start.clone().count();
    (count <= MOST).then(|| to_end.chain(from_start))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(1);

    fn numbers(root: i32, last: i32, bound: i32, ran: Duration) -> Option<Vec<i32>> {
        given_since(root, last, bound, ran).map(Iterator::collect)
    }

    #[test]
    fn the_numbers_after_the_childs_own_are_asked_for() {
        assert_eq!(numbers(500, 500, 32768, SHORT), Some(vec![]));
        assert_eq!(numbers(500, 503, 32768, SHORT), Some(vec![501, 502, 503]));
        assert_eq!(numbers(500, 500 + 1024, 32768, SHORT).map(|all| all.len()), Some(1024));
        assert_eq!(numbers(500, 500 + 1025, 32768, SHORT), None);
    }

    #[test]
    fn a_turn_that_is_over_begins_anew() {
        let all = numbers(32766, 302, 32768, SHORT).unwrap();
        assert_eq!(all, [32767, 32768].into_iter().chain(1..=302).collect::<Vec<_>>());
        assert_eq!(numbers(500, 499, 32768, SHORT), None, "nearly all of a turn are too many");
        // One that had a number beyond a bound that was lowered meanwhile.
        assert_eq!(numbers(40000, 301, 32768, SHORT).unwrap().len(), 301);
    }

    #[test]
    fn where_a_number_may_have_been_given_twice_nothing_is_known() {
        assert_eq!(numbers(500, 503, 32768, Duration::from_micros(32768)), None);
        assert!(numbers(500, 503, 32768, Duration::from_micros(32767)).is_some());
        assert_eq!(numbers(350, 353, 400, SHORT), None, "a namespace of few numbers");
        assert!(numbers(500, 503, 4 << 20, Duration::from_secs(4)).is_some());
    }

    #[test]
    fn what_the_kernel_tells_can_be_read() {
        let numbers = Numbers::open().unwrap();
        assert!(last_field(&numbers.load).is_some_and(|last| last > 0));
        assert!(last_field(&numbers.bound).is_some_and(|bound| bound > 300));
    }
}
