//! When the ends of jobs end a run before its inputs do.

use std::str::FromStr;

/// Fewer jobs than these make no percentage.
const FEWEST: u64 = 3;

/// What to do about jobs that have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Halt {
    Never,
    /// Starts no more after so many; with `at_once` the others are ended as well.
    After {
        at_once: bool,
        what: Counted,
        limit: Limit,
    },
}

/// Which ends are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    Failed,
    Succeeded,
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    Jobs(u64),
    /// Of those that have ended.
    Percent(u64),
}

impl Halt {
    /// What is enough, where it is.
    pub(super) fn reached(self, ended: u64, failed: u64) -> Option<(bool, Counted)> {
        let Halt::After { at_once, what, limit } = self else { return None };
        let count = match what {
            Counted::Failed => failed,
            Counted::Succeeded => ended.saturating_sub(failed),
            Counted::Ended => ended,
        };
        let is_reached = match limit {
            Limit::Jobs(most) => count >= most,
            Limit::Percent(percent) => count >= FEWEST && count.saturating_mul(100) >= ended.saturating_mul(percent),
        };
        is_reached.then_some((at_once, what))
    }
}

impl FromStr for Halt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (when, after) = text.split_once(',').map_or((text, None), |(when, after)| (when, Some(after)));
        let at_once = match when {
            "never" if after.is_none() => return Ok(Halt::Never),
            "soon" => false,
            "now" => true,
            _ => return Err(wrong()),
        };
        let (what, limit) = after.map_or(Ok((Counted::Failed, Limit::Jobs(1))), condition)?;
        Ok(Halt::After { at_once, what, limit })
    }
}

fn condition(text: &str) -> Result<(Counted, Limit), String> {
    let (what, limit) = text.split_once('=').ok_or_else(wrong)?;
    let what = match what {
        "fail" => Counted::Failed,
        "success" => Counted::Succeeded,
        "done" => Counted::Ended,
        _ => return Err(wrong()),
    };
    let limit = match limit.strip_suffix('%') {
        Some(_) if what == Counted::Ended => None,
        Some(percent) => percent.parse().ok().filter(|percent| (1..=100).contains(percent)).map(Limit::Percent),
        None => limit.parse().ok().filter(|count| *count > 0).map(Limit::Jobs),
    };
    Ok((what, limit.ok_or_else(wrong)?))
}

fn wrong() -> String {
    "expected never, soon or now, and behind a comma fail=N, success=N, fail=N%, success=N% or done=N for other than \
     the first failure"
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halts_are_written_as_for_gnu_parallel() {
        let after = |at_once, what, limit| Ok(Halt::After { at_once, what, limit });
        for (text, halt) in [
            ("never", Ok(Halt::Never)),
            ("soon", after(false, Counted::Failed, Limit::Jobs(1))),
            ("now", after(true, Counted::Failed, Limit::Jobs(1))),
            ("now,fail=1", after(true, Counted::Failed, Limit::Jobs(1))),
            ("soon,fail=20", after(false, Counted::Failed, Limit::Jobs(20))),
            ("soon,fail=20%", after(false, Counted::Failed, Limit::Percent(20))),
            ("now,success=1", after(true, Counted::Succeeded, Limit::Jobs(1))),
            ("now,success=100%", after(true, Counted::Succeeded, Limit::Percent(100))),
            ("soon,done=7", after(false, Counted::Ended, Limit::Jobs(7))),
        ] {
            assert_eq!(text.parse(), halt, "{text}");
        }
        for wrong in [
            "",
            "later",
            "never,fail=1",
            "soon,",
            "soon,fail",
            "soon,fail=0",
            "soon,fail=x",
            "soon,fail=0%",
            "soon,fail=101%",
            "now,done=1%",
            "now,won=1",
            "now,fail=1,fail=2",
        ] {
            assert!(wrong.parse::<Halt>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_percentage_is_that_of_the_jobs_that_have_ended_once_there_are_three() {
        let reached = |text: &str, ended, failed| text.parse::<Halt>().unwrap().reached(ended, failed).is_some();
        assert!(!reached("soon,fail=50%", 2, 2));
        assert!(reached("soon,fail=50%", 3, 3));
        assert!(reached("soon,fail=50%", 6, 3));
        assert!(!reached("soon,fail=50%", 7, 3));
        assert!(reached("soon,success=50%", 7, 3));
        assert!(reached("now,success=2", 7, 5));
        assert!(!reached("now,success=3", 7, 5));
        assert!(reached("now,done=7", 7, 7));
        assert!(!reached("never", 7, 7));
    }
}
