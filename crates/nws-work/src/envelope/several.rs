//! Several results of one run as one value.

use super::{OUTCOME_AT, ResultHead};

/// In the place of the outcome: results follow.
const SEVERAL: u8 = 32;
/// Length of what precedes the first of several results, in bytes.
const SEVERAL_HEAD_BYTES: usize = OUTCOME_AT + 1;

/// Where the first of several results begins: one alone may be sent from there on, by itself.
pub const LONE_RESULT_AT: usize = SEVERAL_HEAD_BYTES + 4;

/// Begins a value of several results; [`add_result`] is to follow.
pub fn begin_results(buffer: &mut Vec<u8>) {
    buffer.extend_from_slice(&[0; OUTCOME_AT]);
    buffer.push(SEVERAL);
}

/// Adds a result to a value of several. It is shorter than 4 GiB.
pub fn add_result(buffer: &mut Vec<u8>, result: &[u8]) {
    buffer.extend_from_slice(&(result.len() as u32).to_le_bytes());
    buffer.extend_from_slice(result);
}

/// The results in a value: one, or several. Stops where the bytes are not those of a result.
pub fn results(value: &[u8]) -> Results<'_> {
    match value.get(OUTCOME_AT) {
        Some(&SEVERAL) => Results { rest: &value[SEVERAL_HEAD_BYTES..], several: true },
        _ => Results { rest: value, several: false },
    }
}

/// What [`results`] returns.
#[derive(Clone, Debug)]
pub struct Results<'a> {
    rest: &'a [u8],
    several: bool,
}

impl<'a> Iterator for Results<'a> {
    type Item = (ResultHead, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = std::mem::take(&mut self.rest);
        if !self.several {
            return ResultHead::decode(rest);
        }
        let (length, rest) = rest.split_first_chunk()?;
        let (result, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        self.rest = rest;
        ResultHead::decode(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{Outcome, Said, TaskHead};

    #[test]
    fn several_results_are_read_one_by_one_and_no_bytes_are_a_panic() {
        let head = |index| {
            let task = TaskHead { run: 4, index };
            ResultHead { task, rank: 2, outcome: Outcome::Done, began_ns: 1, duration_ns: 2 }
        };
        let one = [&head(0).to_bytes()[..], b"one"].concat();
        assert!(results(&one).eq([(head(0), &b"one"[..])]));
        let mut several = Vec::new();
        begin_results(&mut several);
        add_result(&mut several, &one);
        add_result(&mut several, &head(1).to_bytes());
        assert!(results(&several).eq([(head(0), &b"one"[..]), (head(1), &b""[..])]));
        assert_eq!((ResultHead::decode(&several), Said::decode(&several)), (None, None));
        for cut in 0..several.len() {
            assert!(results(&several[..cut]).count() < 2);
        }
        let mut lying = several.clone();
        lying[SEVERAL_HEAD_BYTES..SEVERAL_HEAD_BYTES + 4].fill(0xff);
        assert_eq!(results(&lying).count(), 0);
    }
}
