//! How long instructions took in earlier runs, kept in a file.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

/// How much of what is new counts against what was known.
const WEIGHT: f64 = 0.5;

/// Seconds by a key that names instructions. The file is an object of JSON.
#[derive(Debug)]
pub(super) struct Durations {
    path: PathBuf,
    known: BTreeMap<String, f64>,
    learnt: BTreeMap<String, f64>,
}

impl Durations {
    /// Those of this file, none where it is not there.
    ///
    /// # Errors
    /// It cannot be read, or is another kind of file.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), known: read(path)?, learnt: BTreeMap::new() })
    }

    pub(super) fn of(&self, key: &str) -> Option<Duration> {
        Duration::try_from_secs_f64(*self.known.get(key)?).ok()
    }

    pub(super) fn note(&mut self, key: String, took: Duration) {
        let seconds = took.as_secs_f64();
        let mixed = self.known.get(&key).map_or(seconds, |known| known * (1.0 - WEIGHT) + seconds * WEIGHT);
        self.known.insert(key.clone(), mixed);
        self.learnt.insert(key, mixed);
    }

    /// Writes what was learnt, beside what others have written meanwhile. The file is whole at any time;
    /// who writes it holds a lock on another beside it, named `.lock`.
    ///
    /// # Errors
    /// Those of the file.
    pub(super) fn write(&mut self) -> io::Result<()> {
        if self.learnt.is_empty() {
            return Ok(());
        }
        let lock = OpenOptions::new().append(true).create(true).open(self.beside("lock"))?;
        flock(&lock, FlockOperation::LockExclusive)?;
        let mut all = read(&self.path)?;
        all.append(&mut self.learnt);
        let text = serde_json::to_vec(&all).map_err(io::Error::other)?;
        let draft = self.beside("draft");
        fs::write(&draft, text)?;
        fs::rename(&draft, &self.path)
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(format!(".{ending}"));
        path.into()
    }
}

fn read(path: &Path) -> io::Result<BTreeMap<String, f64>> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
            let problem =
                format!("expected remembered durations in {}: {error}; remove it to begin anew", path.display());
            io::Error::new(io::ErrorKind::InvalidData, problem)
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learnt_is_there_the_next_time_beside_what_others_learnt() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("durations");
        let mut first = Durations::open(&path).unwrap();
        let mut second = Durations::open(&path).unwrap();
        first.note("a".into(), Duration::from_secs(2));
        second.note("b".into(), Duration::from_secs(4));
        first.write().unwrap();
        second.write().unwrap();
        let mut third = Durations::open(&path).unwrap();
        assert_eq!(third.of("a"), Some(Duration::from_secs(2)));
        assert_eq!(third.of("b"), Some(Duration::from_secs(4)));
        assert_eq!(third.of("c"), None);
        third.note("a".into(), Duration::from_secs(4));
        assert_eq!(third.of("a"), Some(Duration::from_secs(3)));
        let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["durations", "durations.lock"], "no draft is left");
    }

    #[test]
    fn nothing_is_lost_where_many_write_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("durations");
        let write = |key: u32| {
            let mut one = Durations::open(&path).unwrap();
            one.note(key.to_string(), Duration::from_secs(1));
            one.write().unwrap();
        };
        std::thread::scope(|scope| {
            for writer in 0..4 {
                scope.spawn(move || (0..25).for_each(|number| write(100 * writer + number)));
            }
        });
        assert_eq!(Durations::open(&path).unwrap().known.len(), 100);
    }

    #[test]
    fn another_kind_of_file_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("thesis");
        fs::write(&path, "my thesis").unwrap();
        let error = Durations::open(&path).unwrap_err();
        assert!(error.to_string().contains("expected remembered durations"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "my thesis");
    }
}
