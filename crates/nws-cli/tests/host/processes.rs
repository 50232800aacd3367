//! Looking at processes from outside, and ending those of one test.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, Signal, getrlimit, pidfd_open, pidfd_send_signal, prlimit};

/// Longest that any wait of these tests takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(15);

/// Aborts the test program where one test takes too long.
pub(crate) struct Limit(#[allow(dead_code)] std::sync::mpsc::Sender<()>);

pub(crate) fn limit() -> Limit {
    let (over, watched) = std::sync::mpsc::channel();
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    std::thread::spawn(move || {
        if watched.recv_timeout(4 * LIMIT) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            eprintln!("{test} hangs");
            std::process::abort();
        }
    });
    Limit(over)
}

/// A process that may be ended and waited for, whatever becomes of its number.
pub(crate) struct Process {
    pub(crate) pid: u32,
    descriptor: OwnedFd,
}

impl Process {
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let number = Pid::from_raw(i32::try_from(pid).unwrap())?;
        let descriptor = pidfd_open(number, PidfdFlags::empty()).ok()?;
        Some(Self { pid, descriptor })
    }

    pub(crate) fn signal(&self, signal: Signal) {
        pidfd_send_signal(&self.descriptor, signal).unwrap();
    }

    fn ends_before(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs().try_into().unwrap(), tv_nsec: left.subsec_nanos().into() };
        poll(&mut [PollFd::from_borrowed_fd(self.descriptor.as_fd(), PollFlags::IN)], Some(&left)).unwrap() == 1
    }
}

/// The host proper among these processes.
pub(crate) fn host_among(processes: Vec<Process>) -> Process {
    let is_host = |process: &Process| {
        let words = std::fs::read(format!("/proc/{}/cmdline", process.pid)).unwrap_or_default();
        words.split(|byte| *byte == 0).any(|word| word == b"--warden")
    };
    processes.into_iter().find(is_host).unwrap()
}

impl Process {
    /// The limit that none of its descriptors has reached.
    pub(crate) fn most_descriptors(&self) -> u64 {
        let folder = std::fs::read_dir(format!("/proc/{}/fd", self.pid)).unwrap();
        let numbers = folder.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse::<u64>().unwrap());
        numbers.max().unwrap() + 1
    }

    /// Limits how many descriptors it may have from now on.
    pub(crate) fn allow_descriptors(&self, descriptors: u64) {
        let limits = Rlimit { current: Some(descriptors), maximum: getrlimit(Resource::Nofile).maximum };
        prlimit(Pid::from_raw(i32::try_from(self.pid).unwrap()), Resource::Nofile, limits).unwrap();
    }
}

/// The processes that descend from this one now, itself first.
pub(crate) fn tree(root: u32) -> Vec<Process> {
    let table: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            Some((pid, parent(pid)?))
        })
        .collect();
    let mut members = BTreeSet::from([root]);
    loop {
        let before = members.len();
        members.extend(
            table.iter().filter(|(_, parent)| members.contains(parent)).map(|(pid, _)| *pid).collect::<Vec<_>>(),
        );
        if members.len() == before {
            break;
        }
    }
    std::iter::once(root).chain(members.into_iter().filter(|pid| *pid != root)).filter_map(Process::of).collect()
}

/// The living processes that were started with this entry in their environment.
pub(crate) fn with_environment(entry: &str) -> Vec<Process> {
    let pids =
        std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let has_entry = |pid: &u32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|found| found == entry.as_bytes())
    };
    pids.filter(has_entry).filter_map(Process::of).collect()
}

fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// The arguments of a process, with spaces between.
pub(crate) fn command_line(pid: u32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

/// Waits until all of them have ended.
pub(crate) fn assert_gone(processes: &[Process]) {
    let deadline = Instant::now() + LIMIT;
    for process in processes {
        assert!(process.ends_before(deadline), "{} is left: {}", process.pid, command_line(process.pid));
    }
}
