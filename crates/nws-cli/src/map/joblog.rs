//! The log of jobs, in the columns of GNU parallel: one line for each that has ended.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::arguments::{LogPlan, Resume};
use crate::exit::{Exit, Failure};

const HEAD: &str = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n";

/// What is told of a job.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) number: u64,
    /// In seconds since 1970.
    pub(super) start: f64,
    pub(super) seconds: f64,
    pub(super) exit_code: i32,
    pub(super) signal: i32,
    pub(super) command: String,
}

/// A log that is open.
#[derive(Debug)]
pub(super) struct Log {
    file: File,
    path: PathBuf,
    /// The jobs that are left out, each with what tells its command from others.
    known: HashMap<u64, u64>,
}

impl Log {
    /// Opens it, and reads what it says where jobs are to be left out.
    pub(super) fn open(plan: &LogPlan) -> Result<Self, Failure> {
        let path = &plan.path;
        let failed = |error: std::io::Error| Failure::new(Exit::Failed, format!("the log {}: {error}", path.display()));
        let opened = File::options().read(true).append(true).create(true).open(path);
        let file = opened.map_err(failed)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| {
            let message = match error {
                Errno::WOULDBLOCK => {
                    format!("the log {} is another run's, which goes on: name another file", path.display())
                }
                error => format!(
                    "the log {} cannot be locked against other runs: {error}; name a file on another file system",
                    path.display()
                ),
            };
            Failure::new(Exit::Usage, message)
        })?;
        let mut log = Self { file, path: path.clone(), known: HashMap::new() };
        let mut whole_bytes = 0;
        if plan.resume != Resume::No {
            (log.known, whole_bytes) = read(&log.file, path, plan.resume == Resume::Failed)?;
        }
        // A device has no length, and nothing to resume from.
        if log.file.metadata().map_err(failed)?.is_file() {
            log.file.set_len(whole_bytes).map_err(failed)?;
            log.file.seek(SeekFrom::End(0)).map_err(failed)?;
        }
        if whole_bytes == 0 {
            log.file.write_all(HEAD.as_bytes()).map_err(failed)?;
        }
        Ok(log)
    }

    /// Whether this job is to be left out.
    ///
    /// # Errors
    /// The log has a job of this number with another command: it is of other inputs.
    pub(super) fn knows(&self, number: u64, command: &str) -> Result<bool, Failure> {
        match self.known.get(&number) {
            None => Ok(false),
            Some(known) if *known == mark(command) => Ok(true),
            Some(_) => {
                let message = format!(
                    "expected the inputs that the log {} is of, got another command for job {number}: {command}; use \
                     another log, or give the same command and inputs",
                    self.path.display()
                );
                Err(Failure::new(Exit::Usage, message))
            }
        }
    }

    /// Adds a line.
    pub(super) fn write(&mut self, entry: &Entry) -> Result<(), Failure> {
        let Entry { number, start, seconds, exit_code, signal, command } = entry;
        let line = format!("{number}\t:\t{start:.3}\t{seconds:10.3}\t0\t0\t{exit_code}\t{signal}\t{command}\n");
        let written = self.file.write_all(line.as_bytes());
        written.map_err(|error| Failure::new(Exit::Failed, format!("the log {}: {error}", self.path.display())))
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // A child that is about to become another program may hold the file for a moment longer.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

fn mark(command: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    command.hash(&mut hasher);
    hasher.finish()
}

/// The jobs that the log has, or those of them that did not fail; and the bytes of its whole lines. The last
/// one may be cut off, where the run was killed or the disk was full: its job is none that the log has.
fn read(file: &File, path: &Path, without_failed: bool) -> Result<(HashMap<u64, u64>, u64), Failure> {
    let problem = |place: usize, problem: &str| {
        let message = format!("the log {}, line {place}: {problem}", path.display());
        Failure::new(Exit::Failed, message)
    };
    let mut known = HashMap::new();
    let mut whole_bytes = 0;
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    for place in 1.. {
        line.clear();
        reader.read_until(b'\n', &mut line).map_err(|error| problem(place, &error.to_string()))?;
        if line.last() != Some(&b'\n') {
            break;
        }
        whole_bytes += line.len() as u64;
        if place == 1 && line == HEAD.as_bytes() {
            continue;
        }
        let expected = "expected the columns of a log of jobs, got something else";
        let (number, failed, mark) = entry(&line).ok_or_else(|| problem(place, expected))?;
        // What was run again counts by its last line.
        if failed && without_failed {
            known.remove(&number);
        } else {
            known.insert(number, mark);
        }
    }
    Ok((known, whole_bytes))
}

/// Number, whether it failed, and the command's mark.
fn entry(line: &[u8]) -> Option<(u64, bool, u64)> {
    let line = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let columns: Vec<&str> = line.splitn(9, '\t').collect();
    let [number, _, _, _, _, _, exit_code, signal, command] = columns[..] else { return None };
    let (exit_code, signal): (i64, i64) = (exit_code.parse().ok()?, signal.parse().ok()?);
    Some((number.parse().ok()?, (exit_code, signal) != (0, 0), mark(command)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn line(number: u64, exit_code: i32, command: &str) -> Entry {
        let command = command.to_owned();
        Entry { number, start: 1.5, seconds: 0.25, exit_code, signal: 0, command }
    }

    fn open(path: &Path, resume: Resume) -> Result<Log, String> {
        Log::open(&LogPlan { path: path.to_owned(), resume }).map_err(|failure| failure.message)
    }

    #[test]
    fn a_line_that_is_cut_off_is_taken_away_and_its_job_is_not_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = open(&path, Resume::No).unwrap();
        log.write(&line(1, 0, "a")).unwrap();
        log.write(&line(2, 3, "b")).unwrap();
        drop(log);
        let whole = fs::read_to_string(&path).unwrap();
        assert_eq!(
            whole,
            format!("{HEAD}1\t:\t1.500\t     0.250\t0\t0\t0\t0\ta\n2\t:\t1.500\t     0.250\t0\t0\t3\t0\tb\n")
        );
        for cut in 0..=whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let mut log = open(&path, Resume::All).unwrap();
            let lines = whole[..cut].matches('\n').count();
            assert_eq!(log.knows(1, "a").unwrap(), lines >= 2, "{cut}");
            assert_eq!(log.knows(2, "b").unwrap(), lines >= 3, "{cut}");
            log.write(&line(3, 0, "c")).unwrap();
            let kept = if lines == 0 { HEAD.len() } else { whole[..cut].rfind('\n').unwrap() + 1 };
            let expected = format!("{}3\t:\t1.500\t     0.250\t0\t0\t0\t0\tc\n", &whole[..kept]);
            assert_eq!(fs::read_to_string(&path).unwrap(), expected, "{cut}");
        }
    }

    #[test]
    fn what_failed_is_known_or_run_again_and_counts_by_its_last_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = open(&path, Resume::No).unwrap();
        for entry in [line(1, 0, "a"), line(2, 3, "b"), line(3, 1, "c"), line(3, 0, "c"), line(1, 1, "a")] {
            log.write(&entry).unwrap();
        }
        drop(log);
        let known = |resume| {
            let log = open(&path, resume).unwrap();
            [(1, "a"), (2, "b"), (3, "c"), (4, "d")].map(|(number, command)| log.knows(number, command).unwrap())
        };
        assert_eq!(known(Resume::All), [true, true, true, false]);
        assert_eq!(known(Resume::Failed), [false, false, true, false]);
        let other = open(&path, Resume::All).unwrap().knows(1, "z").unwrap_err();
        assert!(other.message.contains("got another command for job 1: z"), "{}", other.message);
        assert_eq!(known(Resume::No), [false; 4], "it was begun anew");
    }

    #[test]
    fn what_is_no_log_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        for other in ["my thesis\n", "1\t:\t1\t1\t0\t0\tx\t0\ta\n"] {
            fs::write(&path, other).unwrap();
            assert!(open(&path, Resume::All).unwrap_err().contains("line 1: expected the columns"));
            assert_eq!(fs::read_to_string(&path).unwrap(), other);
        }
    }

    #[test]
    fn two_runs_do_not_share_a_log() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let first = open(&path, Resume::No).unwrap();
        assert!(open(&path, Resume::All).unwrap_err().contains("another run's"));
        drop(first);
        open(&path, Resume::All).unwrap();
    }
}
