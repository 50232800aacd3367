//! Whether the kernel killed because memory ran out: the counter of our control group.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::{OutOfMemory, Status};

/// A kill counted longer ago than this explains no death seen now: it was a process that we do
/// not watch.
const FRESH: Duration = Duration::from_secs(2);

/// How often it is enough to look while nobody dies.
const TURN: Duration = Duration::from_millis(500);

/// Watches the counter of out-of-memory kills of the control group that this process is in.
pub(crate) struct KillCounter {
    file: Option<PathBuf>,
    counted: u64,
    /// Kills that no death is explained by yet, and when they were seen.
    unexplained: Vec<Instant>,
    looked: Option<Instant>,
}

impl KillCounter {
    pub(crate) fn open() -> Self {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let file = counter_files(&groups).into_iter().find(|file| read_counter(file).is_some());
        let counted = file.as_deref().and_then(read_counter).unwrap_or(0);
        Self { file, counted, unexplained: Vec::new(), looked: None }
    }

    /// Takes note of what was counted meanwhile, if the last look was not just now.
    pub(crate) fn look_at_times(&mut self, now: Instant) {
        if self.looked.is_none_or(|looked| now.duration_since(looked) >= TURN) {
            self.look(now);
        }
    }

    fn look(&mut self, now: Instant) {
        self.looked = Some(now);
        self.unexplained.retain(|seen| now.duration_since(*seen) < FRESH);
        if let Some(counted) = self.file.as_deref().and_then(read_counter) {
            // More than a handful at once are not told apart, nor need they be.
            for _ in self.counted..counted.min(self.counted.saturating_add(64)) {
                self.unexplained.push(now);
            }
            self.counted = counted;
        }
    }

    /// Whether this death, just seen, was one of the counted kills.
    pub(crate) fn explain(&mut self, status: Status, now: Instant) -> OutOfMemory {
        // Other ends have nothing to do with it, and a look costs as much as many of them.
        if !matches!(status, Status::Signaled { signal: libc::SIGKILL, .. }) {
            return OutOfMemory::No;
        }
        self.look(now);
        match self.unexplained.pop() {
            _ if self.file.is_none() => OutOfMemory::Unknown,
            Some(_) => OutOfMemory::Yes,
            None => OutOfMemory::No,
        }
    }
}

/// Where the counter may be, best first: control groups of the second kind, then of the first.
fn counter_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let path = path.trim_start_matches('/');
        // In a container the path may be that of the outside, while the mount shows the group itself.
        if controllers.is_empty() {
            for root in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
                files.push(Path::new(root).join(path).join("memory.events"));
                files.push(Path::new(root).join("memory.events"));
            }
        } else if controllers.split(',').any(|controller| controller == "memory") {
            let root = Path::new("/sys/fs/cgroup/memory");
            files.push(root.join(path).join("memory.oom_control"));
            files.push(root.join("memory.oom_control"));
        }
    }
    files
}

fn read_counter(file: &Path) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KILLED: Status = Status::Signaled { signal: libc::SIGKILL, core_dumped: false };

    fn counter(folder: &Path, count: u64) -> PathBuf {
        let file = folder.join("memory.events");
        fs::write(&file, format!("low 0\nhigh 0\nmax 3\noom 1\noom_kill {count}\noom_group_kill 0\n")).unwrap();
        file
    }

    #[test]
    fn a_counted_kill_explains_one_death_by_sigkill() {
        let folder = tempfile::tempdir().unwrap();
        let file = counter(folder.path(), 5);
        let mut kills = KillCounter { file: Some(file), counted: 5, unexplained: Vec::new(), looked: None };
        let now = Instant::now();
        assert_eq!(kills.explain(KILLED, now), OutOfMemory::No, "nothing was counted");
        counter(folder.path(), 6);
        assert_eq!(kills.explain(Status::Exited(1), now), OutOfMemory::No, "an exit is no kill");
        assert_eq!(kills.explain(KILLED, now), OutOfMemory::Yes);
        assert_eq!(kills.explain(KILLED, now), OutOfMemory::No, "one kill explains one death");
    }

    #[test]
    fn a_kill_of_long_ago_explains_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = counter(folder.path(), 1);
        let mut kills = KillCounter { file: Some(file), counted: 0, unexplained: Vec::new(), looked: None };
        let now = Instant::now();
        kills.look(now);
        assert_eq!(kills.explain(KILLED, now + FRESH), OutOfMemory::No);
    }

    #[test]
    fn without_a_counter_it_is_unknown() {
        let mut kills = KillCounter { file: None, counted: 0, unexplained: Vec::new(), looked: None };
        assert_eq!(kills.explain(KILLED, Instant::now()), OutOfMemory::Unknown);
        assert_eq!(kills.explain(Status::Exited(0), Instant::now()), OutOfMemory::No);
    }

    #[test]
    fn the_counter_is_looked_for_in_both_kinds_of_groups() {
        let both = counter_files("4:cpu,memory:/a/b\n0::/c\n");
        assert!(both.contains(&PathBuf::from("/sys/fs/cgroup/memory/a/b/memory.oom_control")));
        assert!(both.contains(&PathBuf::from("/sys/fs/cgroup/c/memory.events")));
    }
}
