//! Where inputs come from: lists on the command line, or what is read.

use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread;

use super::wake::Waker;

/// Longest input that is read, in bytes.
const INPUT_BYTES: usize = 16 << 20;
/// Most jobs whose inputs are read before these jobs can begin.
const READ_AHEAD: usize = 64;

/// The inputs of one job.
pub(super) type Inputs = Vec<Vec<u8>>;

/// What there is for the next job.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Ready(Inputs),
    /// The waker tells when it may be there.
    NotYet,
    Over,
    /// It cannot be read; why.
    Failed(String),
}

/// All inputs, job by job.
#[derive(Debug)]
pub(super) enum Feed {
    Listed { combinations: Combinations, lines: usize },
    Read(Receiver<Result<Inputs, String>>),
}

impl Feed {
    /// Reads on a thread of its own, which is never waited for: a terminal or pipe may be silent for
    /// ever.
    pub(super) fn read(
        source: impl Read + Send + 'static,
        name: String,
        end: u8,
        lines: usize,
        waker: Waker,
    ) -> std::io::Result<Self> {
        let (give, receiver) = sync_channel(READ_AHEAD);
        thread::Builder::new().name("nws-inputs".into()).spawn(move || {
            let mut reader = Lines { source: BufReader::new(source), name, end, count: 0 };
            loop {
                let group = reader.group(lines);
                let (is_last, unread) = match &group {
                    Ok(inputs) => (inputs.len() < lines, inputs.is_empty()),
                    Err(_) => (true, false),
                };
                if !unread && give.send(group).is_err() {
                    return;
                }
                if is_last {
                    drop(give);
                    waker.wake();
                    return;
                }
                waker.wake();
            }
        })?;
        Ok(Self::Read(receiver))
    }

    pub(super) fn next(&mut self) -> Next {
        match self {
            Feed::Listed { combinations, lines } if *lines == 1 => combinations.next().map_or(Next::Over, Next::Ready),
            Feed::Listed { combinations, lines } => {
                let group: Inputs = combinations.by_ref().take(*lines).flatten().collect();
                if group.is_empty() { Next::Over } else { Next::Ready(group) }
            }
            Feed::Read(receiver) => match receiver.try_recv() {
                Ok(Ok(inputs)) => Next::Ready(inputs),
                Ok(Err(problem)) => Next::Failed(problem),
                Err(TryRecvError::Empty) => Next::NotYet,
                Err(TryRecvError::Disconnected) => Next::Over,
            },
        }
    }

    /// As [`Feed::next`], and waits for it.
    pub(super) fn wait(&mut self) -> Next {
        match self {
            Feed::Read(receiver) => match receiver.recv() {
                Ok(Ok(inputs)) => Next::Ready(inputs),
                Ok(Err(problem)) => Next::Failed(problem),
                Err(_) => Next::Over,
            },
            Feed::Listed { .. } => self.next(),
        }
    }

    /// How many jobs there are in all, where that is known.
    pub(super) fn total(&self) -> Option<u64> {
        match self {
            Feed::Listed { combinations, lines } => Some(combinations.total?.div_ceil(*lines as u64)),
            Feed::Read(_) => None,
        }
    }
}

struct Lines<R> {
    source: BufReader<R>,
    name: String,
    end: u8,
    count: u64,
}

impl<R: Read> Lines<R> {
    /// The inputs of one job: fewer than asked for at the end.
    fn group(&mut self, lines: usize) -> Result<Inputs, String> {
        let mut inputs = Vec::with_capacity(lines.min(64));
        while inputs.len() < lines {
            match self.next()? {
                Some(input) => inputs.push(input),
                None => break,
            }
        }
        Ok(inputs)
    }

    fn next(&mut self) -> Result<Option<Vec<u8>>, String> {
        let mut input = Vec::new();
        self.count += 1;
        let mut bounded = (&mut self.source).take(INPUT_BYTES as u64 + 1);
        let read = bounded.read_until(self.end, &mut input).map_err(|error| format!("{}: {error}", self.name))?;
        if input.last() == Some(&self.end) {
            input.pop();
        }
        if input.len() > INPUT_BYTES {
            let (name, count) = (&self.name, self.count);
            return Err(format!(
                "{name}: expected inputs of at most {INPUT_BYTES} bytes, got a longer one in place {count}: give jobs the \
                 names of files instead"
            ));
        }
        Ok((read > 0).then_some(input))
    }
}

/// One of each list, in all combinations; the last list turns fastest.
#[derive(Debug)]
pub(super) struct Combinations {
    lists: Vec<Vec<Vec<u8>>>,
    /// The next one, as a place in each list; `None`: there is none.
    places: Option<Vec<usize>>,
    /// How many there are; `None`: more than can be counted.
    total: Option<u64>,
}

impl Combinations {
    pub(super) fn new(lists: Vec<Vec<Vec<u8>>>) -> Self {
        let total = lists.iter().try_fold(1_u64, |total, list| total.checked_mul(list.len() as u64));
        let places = (!lists.iter().any(Vec::is_empty)).then(|| vec![0; lists.len()]);
        Self { lists, places, total }
    }
}

impl Iterator for Combinations {
    type Item = Inputs;

    fn next(&mut self) -> Option<Inputs> {
        let places = self.places.as_mut()?;
        let inputs =
            self.lists.iter().zip(places.iter()).filter_map(|(list, place)| list.get(*place).cloned()).collect();
        let turned = self.lists.iter().zip(places.iter_mut()).rev().any(|(list, place)| {
            *place += 1;
            let within = *place < list.len();
            if !within {
                *place = 0;
            }
            within
        });
        if !turned {
            self.places = None;
        }
        Some(inputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(lists: &[&[&str]]) -> Combinations {
        Combinations::new(lists.iter().map(|list| list.iter().map(|word| word.as_bytes().to_vec()).collect()).collect())
    }

    fn text(inputs: &Inputs) -> String {
        inputs.iter().map(|input| String::from_utf8_lossy(input)).collect::<Vec<_>>().join(" ")
    }

    fn read(bytes: &'static [u8], end: u8, lines: usize) -> Vec<String> {
        let mut feed = Feed::read(bytes, "standard input".into(), end, lines, Waker::new().unwrap()).unwrap();
        let mut all = Vec::new();
        loop {
            match feed.wait() {
                Next::Ready(inputs) => all.push(text(&inputs)),
                Next::Over => return all,
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn several_lists_give_all_combinations() {
        let all = lists(&[&["a", "b"], &["1", "2", "3"]]);
        assert_eq!(all.total, Some(6));
        let all: Vec<String> = all.map(|inputs| text(&inputs)).collect();
        assert_eq!(all, ["a 1", "a 2", "a 3", "b 1", "b 2", "b 3"]);
        assert_eq!(lists(&[&["a"], &[]]).count(), 0);
    }

    #[test]
    fn a_list_is_grouped() {
        let mut feed = Feed::Listed { combinations: lists(&[&["a", "b", "c"]]), lines: 2 };
        assert_eq!(feed.total(), Some(2));
        assert_eq!(feed.next(), Next::Ready(vec![b"a".to_vec(), b"b".to_vec()]));
        assert_eq!(feed.next(), Next::Ready(vec![b"c".to_vec()]));
        assert_eq!(feed.next(), Next::Over);
    }

    #[test]
    fn lines_are_inputs_without_their_ends() {
        assert_eq!(read(b"a\n\nb c\r\nd", b'\n', 1), ["a", "", "b c\r", "d"]);
        assert_eq!(read(b"a\nb\0c\0", 0, 1), ["a\nb", "c"]);
        assert_eq!(read(b"", b'\n', 1), Vec::<String>::new());
        assert_eq!(read(b"1\n2\n3\n", b'\n', 2), ["1 2", "3"]);
        assert_eq!(read(b"1\n2\n", b'\n', 2), ["1 2"]);
    }

    #[test]
    fn an_input_without_end_is_refused_before_it_fills_memory() {
        let endless = std::io::repeat(b'x');
        let mut feed = Feed::read(endless, "standard input".into(), b'\n', 1, Waker::new().unwrap()).unwrap();
        let Next::Failed(problem) = feed.wait() else { panic!("it was taken") };
        assert!(problem.contains("in place 1"), "{problem}");
    }

    #[test]
    fn nothing_is_read_far_ahead_of_the_jobs() {
        let (source, mut theirs) = std::io::pipe().unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        thread::spawn(move || {
            use std::io::Write;
            // Far more than the pipe, the reader and the channel hold: it can end only as it is read.
            let line = [b'x'; 4095];
            for _ in 0..1000 {
                theirs.write_all(&line).unwrap();
                theirs.write_all(b"\n").unwrap();
            }
            tell.send(()).unwrap();
        });
        let mut feed = Feed::read(source, "a pipe".into(), b'\n', 1, Waker::new().unwrap()).unwrap();
        for _ in 0..800 {
            assert!(matches!(feed.wait(), Next::Ready(_)));
            assert!(told.try_recv().is_err(), "everything was read");
        }
        while matches!(feed.wait(), Next::Ready(_)) {}
        told.recv().unwrap();
    }
}
