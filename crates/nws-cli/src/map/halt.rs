//! When failures end a run before its inputs do.

use std::str::FromStr;

/// What to do about failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Halt {
    Never,
    /// Starts no more jobs after this many failures.
    Soon(u64),
    /// Ends the others as well.
    Now(u64),
}

impl FromStr for Halt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected never, soon or now, and fail=N behind a comma for more failures than one".to_owned();
        let (when, count) = match text.split_once(',') {
            None => (text, 1),
            Some((when, count)) => {
                let count = count.strip_prefix("fail=").and_then(|count| count.parse().ok());
                (when, count.filter(|count| *count > 0).ok_or_else(wrong)?)
            }
        };
        match when {
            "never" if !text.contains(',') => Ok(Halt::Never),
            "soon" => Ok(Halt::Soon(count)),
            "now" => Ok(Halt::Now(count)),
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halts_are_written_as_for_gnu_parallel() {
        for (text, halt) in [
            ("never", Halt::Never),
            ("soon", Halt::Soon(1)),
            ("now", Halt::Now(1)),
            ("now,fail=1", Halt::Now(1)),
            ("soon,fail=20", Halt::Soon(20)),
        ] {
            assert_eq!(text.parse(), Ok(halt));
        }
        for wrong in ["", "later", "never,fail=1", "soon,", "soon,fail=0", "soon,fail=x", "now,done=1"] {
            assert!(wrong.parse::<Halt>().is_err(), "{wrong}");
        }
    }
}
