//! Where an answer ends in the bytes that a command writes.
//!
//! Nothing is unpickled or parsed here: a [`Scanner`] only finds ends, and keeps its place while bytes
//! come.

mod pickle;

pub use pickle::PickleScanner;

/// How tasks and answers are told apart in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One pickle after the other, of any protocol.
    Pickle,
    /// One line after the other.
    Lines,
}

/// How much of the beginning of an answer is searched for what makes it special.
const HEAD_BYTES: usize = 512;

impl Framing {
    /// Whether an answer may be none of the plain kind, so that who reads it is to be asked before its
    /// worker gets another task.
    pub fn is_special(self, answer: &[u8]) -> bool {
        let head = answer.get(..HEAD_BYTES).unwrap_or(answer);
        let name: &[u8] = match self {
            Framing::Pickle => b"TooBusy",
            Framing::Lines => b"too_busy",
        };
        head.windows(name.len()).any(|window| window == name)
    }
}

/// Finds the end of the answer at the beginning of a buffer that grows.
#[derive(Debug)]
pub enum Scanner {
    /// For [`Framing::Pickle`].
    Pickle(PickleScanner),
    /// For [`Framing::Lines`]: how many bytes have no end of a line in them.
    Lines(usize),
}

impl Scanner {
    /// At the beginning of an answer.
    pub fn new(framing: Framing) -> Self {
        match framing {
            Framing::Pickle => Scanner::Pickle(PickleScanner::default()),
            Framing::Lines => Scanner::Lines(0),
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
            Scanner::Lines(seen) => {
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
            Scanner::Lines(seen) => *seen,
        }
    }
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
    fn what_may_be_a_refusal_is_seen_by_its_head() {
        assert!(Framing::Pickle.is_special(b"\x80\x02cnws.spread_jobs\nTooBusy\n"));
        assert!(Framing::Lines.is_special(b"{ \"too_busy\": 1}"));
        assert!(!Framing::Lines.is_special(b"{\"result\": \"TooBusy\"}"));
        assert!(!Framing::Lines.is_special(&[vec![b' '; 600], b"too_busy".to_vec()].concat()));
        assert!(!Framing::Lines.is_special(b""));
    }
}
