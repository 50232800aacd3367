//! Which processes belong to a child, and how they are ended.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::child::reap_these;
use crate::spawn::PROCESS_MARKER;

/// Rounds of stopping in which new processes may appear before the killing begins regardless.
const ROUNDS: usize = 20;
/// How long it is looked again where there may have been something: most likely a process that was about
/// to become another program, and did not get a processor meanwhile.
const DOUBT: Duration = Duration::from_millis(500);
/// How long what is looked at again is left alone.
const BLINK: Duration = Duration::from_micros(200);
/// Where in `/proc/PID/stat`, counted after the name, the end of the program's code and the bounds of its
/// environment stand.
const CODE_END: usize = 24;
const ENVIRONMENT: usize = 47;

/// A child as the root of its tree. Its process id must not have been given back to the kernel
/// yet, as the session bears the same number.
pub(crate) struct Root {
    pub(crate) pid: i32,
    pub(crate) marker: String,
}

/// What belongs together.
pub(crate) struct Scope<'a> {
    /// This process.
    pub(crate) us: i32,
    /// Whose trees.
    pub(crate) roots: &'a [Root],
    /// Children of this process that are no orphans: they are roots of their own.
    pub(crate) known: &'a BTreeSet<i32>,
    /// Whether orphans of unknown origin belong, too.
    pub(crate) all_orphans: bool,
}

/// One line of the table of processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    pid: i32,
    parent: i32,
    session: i32,
    /// Whether all of its threads have ended. Where only the first has, it is a zombie by name, but the
    /// others are still the parents of its children.
    dead: bool,
    /// In clock ticks since the machine started: with the pid, it names one process for ever.
    started: u64,
}

/// Ends everything in the scope, whatever it does against it, and waits until it is gone, but no
/// longer than `patience`. Says whether all is gone.
pub(crate) fn end(scope: &Scope<'_>, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    // A process that forks faster than we look could keep ahead of the kills; a stopped one cannot.
    let mut stopped = BTreeMap::new();
    for round in 0..ROUNDS {
        let mut grown = false;
        let Scan { members, certain, dead } = Scan::of(scope);
        if round == 0 && certain && members.is_empty() {
            // As nearly always when a child has ended.
            return true;
        }
        reap_these(&dead);
        let parents: BTreeSet<i32> = members.iter().map(|process| process.parent).collect();
        for process in members {
            if let Entry::Vacant(entry) = stopped.entry((process.pid, process.started))
                && let Some(descriptor) = open(process)
            {
                // Who has no children has most likely none to protect: were we killed now, it would
                // stay stopped for ever.
                let alone = round == 0 && !parents.contains(&process.pid);
                let signal = if alone { Signal::KILL } else { Signal::STOP };
                grown |= pidfd_send_signal(&descriptor, signal).is_ok();
                entry.insert(descriptor);
            }
        }
        if !grown {
            break;
        }
    }
    let mut targets: Vec<OwnedFd> = stopped.into_values().collect();
    let doubtful = deadline.min(Instant::now() + DOUBT);
    loop {
        for descriptor in &targets {
            let _ = pidfd_send_signal(descriptor, Signal::KILL);
        }
        wait_for_all(&targets, deadline);
        let scan = Scan::of(scope);
        reap_these(&scan.dead);
        let gone = scan.members.is_empty() && (scan.certain || Instant::now() >= doubtful);
        if gone || Instant::now() >= deadline {
            return gone;
        }
        if scan.members.is_empty() {
            std::thread::sleep(BLINK);
        }
        targets = scan.members.into_iter().filter_map(open).collect();
    }
}

/// Whether the process is stopped by a signal; one that a debugger has stopped is not.
pub(crate) fn is_stopped(pid: i32) -> bool {
    let line = fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = line.iter().rposition(|byte| *byte == b')').and_then(|closing| line.get(closing + 2));
    state == Some(&b'T')
}

/// A handle to this very process, not to one that was given its number since.
fn open(process: Process) -> Option<OwnedFd> {
    let descriptor = pidfd_open(Pid::from_raw(process.pid)?, PidfdFlags::empty()).ok()?;
    let still = read_process(process.pid)?;
    (still.started == process.started && !still.dead).then_some(descriptor)
}

fn wait_for_all(descriptors: &[OwnedFd], deadline: Instant) {
    for descriptor in descriptors {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs().try_into().unwrap_or(1), tv_nsec: left.subsec_nanos().into() };
        let _ = poll(&mut [PollFd::from_borrowed_fd(descriptor.as_fd(), PollFlags::IN)], Some(&left));
    }
}

/// What one look at the table of processes showed.
struct Scan {
    /// Who belongs to the scope and lives.
    members: Vec<Process>,
    /// Whether nothing can have been missed.
    certain: bool,
    /// Orphans of ours that have ended.
    dead: Vec<i32>,
}

impl Scan {
    fn of(scope: &Scope<'_>) -> Self {
        let mut table = table();
        look_again(&mut table, read_process);
        Self::of_table(scope, &table)
    }

    fn of_table(scope: &Scope<'_>, table: &[Process]) -> Self {
        let is_orphan = |process: &Process| process.parent == scope.us && !scope.known.contains(&process.pid);
        let dead = table.iter().filter(|process| process.dead && is_orphan(process)).map(|process| process.pid);
        let dead: Vec<i32> = dead.collect();
        // The kernel lists all at once, and each is read later: what one of these started in between, before
        // it ended, is in no list. Once they are reaped, another look does not see them.
        let mut certain = dead.is_empty();
        let mut belongs = |process: &Process| {
            if scope.roots.iter().any(|root| process.pid == root.pid || process.session == root.pid) {
                return true;
            }
            if process.dead || !is_orphan(process) {
                return false;
            }
            if scope.all_orphans {
                return true;
            }
            let marked = has_marker(process.pid, scope.roots);
            // It has gone since the table was read, and its children, now ours, still stand in the
            // table as its own; or it is about to become another program.
            certain &= marked.is_some();
            marked.unwrap_or(false)
        };
        let mut members: BTreeSet<i32> = table.iter().filter(|process| belongs(process)).map(|p| p.pid).collect();
        loop {
            let before = members.len();
            for process in table {
                if members.contains(&process.parent) {
                    members.insert(process.pid);
                }
            }
            if members.len() == before {
                break;
            }
        }
        let members = table.iter().filter(|process| !process.dead && members.contains(&process.pid)).copied().collect();
        Self { members, certain, dead }
    }
}

/// Whether a process was started with the marker of one of these roots, its own or an ancestor's;
/// `None` where that cannot be read now.
fn has_marker(pid: i32, roots: &[Root]) -> Option<bool> {
    let folder = format!("/proc/{pid}");
    is_marked(Path::new(&folder), roots).or_else(|| {
        // A first thread that has ended has no memory to read any more, but the others have.
        let threads = fs::read_dir(format!("{folder}/task")).ok()?;
        threads.flatten().find_map(|thread| is_marked(&thread.path(), roots))
    })
}

fn is_marked(folder: &Path, roots: &[Root]) -> Option<bool> {
    let environment = match fs::read(folder.join("environ")) {
        Ok(environment) => environment,
        // Another user's, as that of a program that runs as its owner: nobody can tell.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Some(false),
        Err(_) => return None,
    };
    let is_marked = environment.split(|byte| *byte == 0).any(|entry| {
        let value = entry.strip_prefix(PROCESS_MARKER.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
        value.is_some_and(|value| roots.iter().any(|root| root.marker.as_bytes() == value))
    });
    // What ends, or becomes another program, while it is read has no more to read at once.
    (is_marked || environment_bytes(folder) == Some(environment.len() as u64)).then_some(is_marked)
}

/// How long the environment is; `None` where there is none now.
fn environment_bytes(folder: &Path) -> Option<u64> {
    let line = fs::read(folder.join("stat")).ok()?;
    let closing = line.iter().rposition(|byte| *byte == b')')?;
    let fields = std::str::from_utf8(line.get(closing + 1..)?).ok()?;
    let mut fields = fields.split_ascii_whitespace().map(|field| field.parse().unwrap_or(0_u64));
    // It is set last of all when a program begins, and read before the bounds.
    fields.nth(CODE_END).filter(|end| *end != 0)?;
    let start = fields.nth(ENVIRONMENT - CODE_END - 1)?;
    fields.next()?.checked_sub(start)
}

/// Reads those again whose parent in the table is none that lives: it has ended since, and they are
/// another's now. Without that, nothing would connect them with who they descend from.
fn look_again(table: &mut Vec<Process>, read: impl Fn(i32) -> Option<Process>) {
    for _ in 0..ROUNDS {
        let alive: BTreeSet<i32> = table.iter().filter(|process| !process.dead).map(|process| process.pid).collect();
        let before = table.clone();
        // Nobody in this namespace is the parent of what has the parent 0.
        let settled = |process: &Process| process.dead || process.parent == 0 || alive.contains(&process.parent);
        table.retain_mut(|process| {
            if !settled(process) {
                let Some(now) = read(process.pid) else { return false };
                *process = now;
            }
            true
        });
        if *table == before {
            return;
        }
    }
}

fn table() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| read_process(entry.file_name().to_str()?.parse().ok()?)).collect()
}

/// Each end of a child reads the whole table, so this makes no system call that it need not make.
fn read_process(pid: i32) -> Option<Process> {
    let file = rustix::fs::open(format!("/proc/{pid}/stat"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    // More than the fields that are looked at take; what follows them may be cut off.
    let mut line = [0; 1024];
    let count = rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut line)).ok()?;
    parse(line.get(..count)?)
}

/// Reads a line of `/proc/PID/stat`. The name in parentheses may hold anything, parentheses too.
fn parse(line: &[u8]) -> Option<Process> {
    let opening = line.iter().position(|byte| *byte == b'(')?;
    let closing = line.iter().rposition(|byte| *byte == b')')?;
    let pid = std::str::from_utf8(&line[..opening]).ok()?.trim().parse().ok()?;
    let mut fields = std::str::from_utf8(line.get(closing + 1..)?).ok()?.split_ascii_whitespace();
    let ended = matches!(fields.next()?, "Z" | "X" | "x");
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    let threads: u32 = fields.nth(13)?.parse().ok()?;
    let started = fields.nth(1)?.parse().ok()?;
    let dead = ended && threads <= 1;
    Some(Process { pid, parent, session, dead, started })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32, session: i32) -> Process {
        Process { pid, parent, session, dead: false, started: 0 }
    }

    fn pids(scope: &Scope<'_>, table: &[Process]) -> Vec<i32> {
        Scan::of_table(scope, table).members.into_iter().map(|process| process.pid).collect()
    }

    #[test]
    fn a_line_with_parentheses_in_the_name_is_read() {
        let line = b"42 (a) b (c) S 7 42 40 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2";
        assert_eq!(parse(line), Some(Process { pid: 42, parent: 7, session: 40, dead: false, started: 987654 }));
        assert_eq!(parse(b"42 (a"), None);
        let dead = |threads: u32| {
            let line = format!("42 (a) Z 7 42 40 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 {threads} 0 987654 1 2");
            parse(line.as_bytes()).unwrap().dead
        };
        assert_eq!([0, 1, 2].map(dead), [true, true, false], "threads may outlive the first");
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn this_very_process_is_read_with_its_parent() {
        let us = read_process(std::process::id().try_into().unwrap()).unwrap();
        assert_eq!(us.parent, i32::try_from(std::os::unix::process::parent_id()).unwrap());
    }

    #[test]
    fn a_marker_is_found_and_an_empty_environment_has_none() {
        let roots = [Root { pid: 0, marker: "1-2".into() }];
        for (value, marked) in [(Some("1-2"), true), (Some("1-23"), false), (None, false)] {
            let mut command = std::process::Command::new("/bin/cat");
            command.env_clear().envs(value.map(|value| (PROCESS_MARKER, value)));
            let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
            // There may be nothing to read yet.
            let deadline = Instant::now() + Duration::from_secs(10);
            let found = loop {
                let found = has_marker(child.id().try_into().unwrap(), &roots);
                if found.is_some() || Instant::now() > deadline {
                    break found;
                }
            };
            child.kill().unwrap();
            child.wait().unwrap();
            assert_eq!(found, Some(marked), "{value:?}");
            assert_eq!(has_marker(child.id().try_into().unwrap(), &roots), None);
        }
    }

    #[test]
    fn session_and_descent_make_a_tree_and_other_children_are_left_alone() {
        let roots = [Root { pid: 10, marker: "m".into() }];
        let known = BTreeSet::from([10, 20]);
        let scope = Scope { us: 1, roots: &roots, known: &known, all_orphans: false };
        let table = [
            process(20, 1, 20),
            process(21, 20, 20),
            process(10, 1, 10),
            process(14, 13, 13),
            process(11, 10, 10),
            process(12, 99, 10),
            process(13, 11, 13),
        ];
        assert_eq!(pids(&scope, &table), [10, 14, 11, 12, 13]);
    }

    #[test]
    fn whose_parent_died_while_the_table_was_read_is_looked_at_again() {
        let dead = |pid, parent| Process { dead: true, ..process(pid, parent, pid) };
        let old = vec![process(1, 0, 1), process(8, 40, 8), process(9, 50, 9), process(11, 60, 11), dead(40, 1)];
        let mut table = old.clone();
        // 8 is ours since 40 died; 9 became the child of 8 when 50 died; 11 died itself.
        look_again(&mut table, |pid| match pid {
            8 => Some(process(8, 1, 8)),
            9 => Some(process(9, 8, 9)),
            _ => None,
        });
        assert_eq!(table, [process(1, 0, 1), process(8, 1, 8), process(9, 8, 9), dead(40, 1)]);
        // A parent that may not be seen is none that has ended.
        let mut table = old.clone();
        look_again(&mut table, |pid| old.iter().find(|process| process.pid == pid).copied());
        assert_eq!(table, old);
    }

    #[test]
    fn an_orphan_that_died_while_the_table_was_read_may_have_left_what_is_not_in_it() {
        let roots = [Root { pid: 10, marker: "m".into() }];
        let known = BTreeSet::from([10, 20]);
        let scope = Scope { us: 1, roots: &roots, known: &known, all_orphans: false };
        let dead = |pid, parent| Process { dead: true, ..process(pid, parent, pid) };
        let scan = Scan::of_table(&scope, &[dead(10, 1), dead(20, 1), dead(30, 20)]);
        assert!(scan.certain, "all but orphans of ours have somebody else who is asked");
        let scan = Scan::of_table(&scope, &[dead(10, 1), dead(11, 1)]);
        assert_eq!((scan.members, scan.certain, scan.dead), (vec![], false, vec![11]));
    }

    #[test]
    fn orphans_of_unknown_origin_belong_where_all_are_asked_for() {
        let known = BTreeSet::from([20]);
        let table = [process(20, 1, 20), process(30, 1, 30), process(31, 30, 31)];
        let mut scope = Scope { us: 1, roots: &[], known: &known, all_orphans: false };
        assert_eq!(pids(&scope, &table), [0; 0]);
        scope.all_orphans = true;
        assert_eq!(pids(&scope, &table), [30, 31]);
    }
}
