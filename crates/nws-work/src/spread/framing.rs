//! Where an answer ends in the bytes that a command writes.
//!
//! Nothing is unpickled or parsed here: a [`Scanner`] only finds ends, and keeps its place while bytes
//! come. Only the beginning of an answer is looked at for who may have refused the task.

mod pickle;

pub use pickle::PickleScanner;
use pickle::first_class;

/// How tasks and answers are told apart in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One pickle after the other, of any protocol.
    Pickle,
    /// One object of JSON a line.
    Json,
    /// One line after the other, of whatever kind.
    Lines,
}

/// How much of the beginning of an answer in JSON is searched for a refusal.
const HEAD_BYTES: usize = 64 << 10;
/// How many blanks may come before the object of JSON.
const MOST_BLANKS: usize = 64;

impl Framing {
    /// What an answer may be other than a result: a refusal, so that who reads it is to be asked before
    /// its worker gets another task. For a pickle it is the class that its first item is of, as the pickle
    /// names it: nobody knows which of them are refusals before they were read.
    pub fn suspect(self, answer: &[u8]) -> Option<Vec<u8>> {
        match self {
            Framing::Pickle => first_class(answer),
            Framing::Json | Framing::Lines => {
                let head = answer.get(..HEAD_BYTES).unwrap_or(answer);
                let name = b"too_busy";
                head.windows(name.len()).any(|window| window == name).then(|| name.to_vec())
            }
        }
    }

    /// The whole answer that the bytes begin with, or what could be one.
    pub fn first(self, bytes: &[u8]) -> Option<&[u8]> {
        let end = Scanner::new(self).end(bytes).ok()??;
        bytes.get(..end)
    }

    /// How much of a task may be left in the pipe by who has read it: the end of a line, perhaps.
    pub(super) fn most_unread(self) -> u64 {
        match self {
            Framing::Pickle => 0,
            Framing::Json | Framing::Lines => 1,
        }
    }
}

/// Finds the end of the answer at the beginning of a buffer that grows.
#[derive(Debug)]
pub enum Scanner {
    /// For [`Framing::Pickle`].
    Pickle(PickleScanner),
    /// For lines: how many bytes have no end of a line in them.
    Lines {
        /// So many.
        seen: usize,
        /// Whether only objects of JSON are answers.
        json: bool,
    },
}

impl Scanner {
    /// At the beginning of an answer.
    pub fn new(framing: Framing) -> Self {
        match framing {
            Framing::Pickle => Scanner::Pickle(PickleScanner::default()),
            Framing::Json => Scanner::Lines { seen: 0, json: true },
            Framing::Lines => Scanner::Lines { seen: 0, json: false },
        }
    }

    /// The length of the answer that `bytes` begin with, `None` while its end has not come. `bytes` are
    /// those of the last call and perhaps more.
    ///
    /// # Errors
    /// Says why no answer can begin like this.
    pub fn end(&mut self, bytes: &[u8]) -> Result<Option<usize>, String> {
        match self {
            // Every protocol begins a tuple, or an object that is one, with one of these: so words that
            // somebody printed are known by their first letter, nearly always.
            Scanner::Pickle(_) if bytes.first().is_some_and(|first| !matches!(first, 0x80 | b'(' | b'c' | b'i')) => {
                Err("expected a pickled tuple".to_owned())
            }
            Scanner::Pickle(scanner) => scanner.end(bytes),
            // So that who writes without any end of a line is known at once.
            Scanner::Lines { json: true, .. } if !may_be_object(bytes) => {
                Err("expected a line of JSON, an object".to_owned())
            }
            Scanner::Lines { seen, .. } => {
                let fresh = bytes.get(*seen..).unwrap_or_default();
                let end = fresh.iter().position(|byte| *byte == b'\n').map(|at| *seen + at + 1);
                *seen = bytes.len();
                Ok(end)
            }
        }
    }

    /// How long the answer is at least, by the lengths that were found in it.
    pub fn least(&self) -> usize {
        match self {
            Scanner::Pickle(scanner) => scanner.least(),
            Scanner::Lines { seen, .. } => *seen,
        }
    }
}

fn may_be_object(bytes: &[u8]) -> bool {
    let head = bytes.get(..MOST_BLANKS).unwrap_or(bytes);
    head.iter().find(|byte| !byte.is_ascii_whitespace()).map_or(head.len() < MOST_BLANKS, |first| *first == b'{')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_at_its_end_however_it_comes() {
        let mut scanner = Scanner::new(Framing::Lines);
        assert_eq!(scanner.end(b"ab"), Ok(None));
        assert_eq!(scanner.end(b"abc"), Ok(None));
        assert_eq!(scanner.end(b"abc\nd\n"), Ok(Some(4)));
    }

    #[test]
    fn what_is_no_object_of_json_is_known_before_its_line_ends() {
        for (bytes, is_one) in
            [(&b"{"[..], true), (b" \t{", true), (b"", true), (b"  ", true), (b"y", false), (b"[1", false)]
        {
            assert_eq!(Scanner::new(Framing::Json).end(bytes).is_ok(), is_one, "{bytes:?}");
            assert_eq!(Scanner::new(Framing::Lines).end(bytes), Ok(None));
        }
        assert!(Scanner::new(Framing::Json).end(&[b' '; 64]).is_err());
    }

    #[test]
    fn what_may_be_a_refusal_is_seen_by_its_head() {
        let named = |bytes: &[u8]| Framing::Pickle.suspect(bytes);
        assert_eq!(
            named(b"\x80\x02cown.kinds\nLater\nq\x00K\x01\x85q\x01Rq\x02NN\x87."),
            Some(b"own.kinds Later".to_vec())
        );
        assert_eq!(named(b"\x80\x02K\x01NN\x87."), None);
        assert!(Framing::Json.suspect(b"{ \"too_busy\": 1}").is_some());
        assert!(Framing::Json.suspect(b"{\"result\": \"TooBusy\"}").is_none());
        assert!(Framing::Json.suspect(&[vec![b' '; 600], b"too_busy".to_vec()].concat()).is_some());
        assert!(Framing::Lines.suspect(b"").is_none());
    }
}
