//! Real processes: how they end, what is told of it, and that nothing is left of them.
#![allow(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

mod alone;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use alone::{Alone, LIMIT};
use nws_supervise::{End, Happening, OutOfMemory, Output, ProcessId, Spawn, Status, Supervisor};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, pidfd_open, set_child_subreaper};

fn shell(script: &str) -> Spawn {
    Spawn::new("/bin/sh").arg("-c").arg(script)
}

fn pipe() -> (File, OwnedFd) {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    (read.into(), write)
}

fn dev_null() -> OwnedFd {
    File::create("/dev/null").unwrap().into()
}

fn quiet() -> Supervisor {
    Supervisor::with_output(dev_null(), dev_null()).unwrap()
}

fn end_of(supervisor: &mut Supervisor, id: ProcessId) -> End {
    match supervisor.next_event(Some(LIMIT)).unwrap() {
        Some(Happening::Ended(ended, end)) if ended == id => end,
        other => panic!("expected the end of {id:?}, got {other:?}"),
    }
}

fn run(script: &str) -> End {
    let mut supervisor = quiet();
    let id = supervisor.spawn(shell(script)).unwrap();
    end_of(&mut supervisor, id)
}

/// A line of a pipe, waited for.
fn line(pipe: &mut impl BufRead) -> String {
    let mut line = String::new();
    pipe.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

fn is_gone(pid: i32) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'),
        Err(_) => true,
    }
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn zombies() -> Vec<String> {
    let us = format!(" {} ", std::process::id());
    let stats = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    stats.filter(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(&format!(" Z{us}")))).collect()
}

#[test]
fn an_exit_code_and_a_signal_are_told_apart() {
    let _alone = Alone::new();
    assert_eq!(run("exit 0").status, Status::Exited(0));
    assert_eq!(run("exit 137").status, Status::Exited(137));
    for signal in [1, 2, 9, 13, 15] {
        let end = run(&format!("kill -{signal} $$"));
        assert_eq!(end.status, Status::Signaled { signal, core_dumped: false });
        assert_ne!(end.out_of_memory, OutOfMemory::Yes);
        assert!(end.to_string().contains(&format!("killed by signal {signal} (SIG")), "{end}");
    }
}

#[test]
fn an_end_tells_memory_and_time() {
    let _alone = Alone::new();
    let end = run("x=$(head -c 30000000 /dev/zero | tr '\\0' x); i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done");
    assert!(end.peak_memory_bytes > 30 << 20, "{end:?}");
    assert!(end.cpu > Duration::ZERO && end.ran > Duration::ZERO, "{end:?}");
}

#[test]
fn the_last_lines_of_stderr_are_kept_and_passed_on() {
    let _alone = Alone::new();
    let (mut passed_on, stderr) = pipe();
    let mut supervisor = Supervisor::with_output(dev_null(), stderr).unwrap();
    let id = supervisor
        .spawn(shell("i=0; while [ $i -lt 30 ]; do echo line $i >&2; i=$((i+1)); done; printf end >&2; kill -9 $$"))
        .unwrap();
    let end = end_of(&mut supervisor, id);
    assert_eq!(end.stderr_tail.len(), 20);
    assert_eq!(end.stderr_tail[0], "line 11");
    assert_eq!(end.stderr_tail[19], "end");
    drop(supervisor);
    let mut all = String::new();
    passed_on.read_to_string(&mut all).unwrap();
    assert!(all.starts_with("line 0\nline 1\n") && all.ends_with("line 29\nend\n"), "{all}");
}

#[test]
fn lines_of_many_children_come_out_whole() {
    let _alone = Alone::new();
    let (read, write) = pipe();
    // The same pipe for both: lines must not mix there either.
    let mut supervisor = Supervisor::with_output(write.try_clone().unwrap(), write).unwrap();
    let reader = std::thread::spawn(move || BufReader::new(read).lines().map(Result::unwrap).collect::<Vec<_>>());
    let script = "i=0; while [ $i -lt 200 ]; do printf '%s' $1$1; printf '%s\\n' $1$1; printf '%s\\n' $1$1$1$1 >&2; i=$((i+1)); done";
    for letter in ["a", "b", "c", "d"] {
        supervisor.spawn(shell(script).args(["sh".to_owned(), letter.repeat(40)])).unwrap();
    }
    for _ in 0..4 {
        assert!(matches!(supervisor.next_event(Some(LIMIT)).unwrap(), Some(Happening::Ended(..))));
    }
    drop(supervisor);
    let lines = reader.join().unwrap();
    assert_eq!(lines.len(), 4 * 400);
    for line in &lines {
        assert_eq!(line.len(), 160);
        assert!(line.bytes().all(|byte| byte == line.as_bytes()[0]), "{line}");
    }
}

#[test]
fn a_line_without_end_is_cut_into_pieces() {
    let _alone = Alone::new();
    let (read, write) = pipe();
    let mut supervisor = Supervisor::with_output(write, dev_null()).unwrap();
    let reader = std::thread::spawn(move || BufReader::new(read).lines().map(Result::unwrap).collect::<Vec<_>>());
    let id = supervisor.spawn(shell("head -c 1000000 /dev/zero | tr '\\0' x")).unwrap();
    assert!(end_of(&mut supervisor, id).status.is_success());
    drop(supervisor);
    let lines = reader.join().unwrap();
    assert_eq!(lines.iter().map(String::len).sum::<usize>(), 1_000_000);
    assert!(lines.len() >= 8 && lines.iter().all(|line| line.len() < 2 * (64 << 10)), "{}", lines.len());
}

#[test]
fn a_reader_who_has_gone_away_breaks_nothing() {
    let _alone = Alone::new();
    let (read, write) = pipe();
    drop(read);
    let mut supervisor = Supervisor::with_output(write, dev_null()).unwrap();
    let id = supervisor
        .spawn(shell(
            "i=0; while [ $i -lt 5000 ]; do echo $i 0123456789012345678901234567890123456789; i=$((i+1)); done",
        ))
        .unwrap();
    assert!(end_of(&mut supervisor, id).status.is_success());
}

#[test]
fn a_reader_who_does_not_read_holds_up_neither_the_end_nor_stderr() {
    let _alone = Alone::new();
    let (_never_read, write) = pipe();
    let mut supervisor = Supervisor::with_output(write, dev_null()).unwrap();
    let flood = supervisor.spawn(shell("head -c 10000000 /dev/zero | tr '\\0' '\\n'")).unwrap();
    let other = supervisor.spawn(shell("echo said >&2; exit 3")).unwrap();
    let end = end_of(&mut supervisor, other);
    assert_eq!((end.status, end.stderr_tail), (Status::Exited(3), vec!["said".to_owned()]));
    supervisor.kill_tree(flood);
    assert_eq!(end_of(&mut supervisor, flood).status, Status::Signaled { signal: 9, core_dumped: false });
}

#[test]
fn a_child_that_closes_its_pipes_is_watched_on() {
    let _alone = Alone::new();
    let mut supervisor = quiet();
    let (_hold, gate) = pipe_with(PipeFlags::CLOEXEC).map(|(read, write)| (write, read)).unwrap();
    let id = supervisor.spawn(shell("exec >&- 2>&-; read line; exit 4").descriptor(gate, 0)).unwrap();
    assert!(supervisor.next_event(Some(Duration::from_millis(100))).unwrap().is_none());
    drop(_hold);
    assert_eq!(end_of(&mut supervisor, id).status, Status::Exited(4));
}

/// A child that starts one grandchild in its session, one in another, and one that is no
/// descendant any more by parentage, tells their pids, and then does as `last` says.
fn family(last: &str) -> String {
    format!(
        "sleep 1000 & echo $!
         setsid sh -c 'echo $$; exec sleep 1000' &
         (setsid sh -c 'echo $$; exec sleep 1000' &)
         read line <&3; {last}"
    )
}

fn start_family(supervisor: &mut Supervisor, last: &str) -> (ProcessId, Vec<i32>, OwnedFd) {
    let (told, tell) = pipe();
    let (gate, go) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let id = supervisor.spawn(shell(&family(last)).stdout(Output::To(tell)).descriptor(gate, 3)).unwrap();
    let mut told = BufReader::new(told);
    let pids: Vec<i32> = (0..3).map(|_| line(&mut told).parse().unwrap()).collect();
    assert!(pids.iter().all(|pid| !is_gone(*pid)), "{pids:?}");
    (id, pids, go)
}

#[test]
fn a_tree_ends_with_its_root_wherever_its_members_fled() {
    let _alone = Alone::new();
    for last in ["exit 5", "kill -9 $$"] {
        let mut supervisor = quiet();
        let (id, pids, go) = start_family(&mut supervisor, last);
        drop(go);
        end_of(&mut supervisor, id);
        assert!(pids.iter().all(|pid| is_gone(*pid)), "{pids:?}");
        assert_eq!(zombies(), [""; 0]);
    }
}

#[test]
fn killing_a_tree_and_ending_all_leave_nothing() {
    let _alone = Alone::new();
    let mut supervisor = quiet();
    let (id, mut pids, _go) = start_family(&mut supervisor, "exit");
    pids.push(supervisor.pid(id).unwrap().try_into().unwrap());
    supervisor.kill_tree(id);
    assert_eq!(end_of(&mut supervisor, id).status, Status::Signaled { signal: 9, core_dumped: false });
    assert!(pids.iter().all(|pid| is_gone(*pid)), "{pids:?}");

    let (id, pids, _go) = start_family(&mut supervisor, "exit");
    let ends = supervisor.end_all(Duration::ZERO);
    assert_eq!(ends.iter().map(|(ended, _)| *ended).collect::<Vec<_>>(), [id]);
    assert!(pids.iter().all(|pid| is_gone(*pid)), "{pids:?}");
    assert_eq!(zombies(), [""; 0]);
}

/// A program whose first thread ends once another has started a child in a session of its own.
fn without_first_thread() -> String {
    let exit = libc::SYS_exit;
    format!(
        "import ctypes, os, subprocess, threading
def second():
    child = subprocess.Popen(['sleep', '1000'], start_new_session=True, stdout=subprocess.DEVNULL)
    first = f'/proc/self/task/{{os.getpid()}}/stat'
    while open(first).read().rpartition(')')[2].split()[0] != 'Z':
        pass
    os.write(1, b'%d\\n%d\\n' % (os.getpid(), child.pid))
    os.close(1)
    ctypes.CDLL(None).pause()
threading.Thread(target=second).start()
ctypes.CDLL(None).syscall({exit}, 0)"
    )
}

#[test]
fn an_orphan_whose_first_thread_has_ended_goes_with_its_children() {
    let _alone = Alone::new();
    // It is known as the tree's by its environment, then only as an orphan.
    for keeping in ["", "env -u NWS_PROCESS"] {
        let mut supervisor = quiet();
        let (told, tell) = pipe();
        let script = format!("(exec setsid {keeping} python3 -c \"$1\" &) ; read line <&3");
        let (gate, go) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let root = shell(&script).args(["sh".to_owned(), without_first_thread()]);
        let id = supervisor.spawn(root.stdout(Output::To(tell)).descriptor(gate, 3)).unwrap();
        let mut told = BufReader::new(told);
        let pids: Vec<i32> = (0..2).map(|_| line(&mut told).parse().unwrap()).collect();
        drop(go);
        end_of(&mut supervisor, id);
        supervisor.end_all(Duration::ZERO);
        assert!(pids.iter().all(|pid| is_gone(*pid)), "{keeping}: {pids:?}");
    }
}

#[test]
fn a_tree_that_forks_all_the_time_ends() {
    let _alone = Alone::new();
    let mut supervisor = quiet();
    let (told, tell) = pipe();
    // Each generation starts the next in a session of its own and goes: only the marker tells.
    let script = "echo $$ $NWS_PROCESS >&3; exec 3>&-; f() { setsid sh -c \"$1\" sh \"$1\" & }; f \"$1\"; sleep 0.005";
    let id = supervisor
        .spawn(shell(script).args(["sh", "setsid sh -c \"$1\" sh \"$1\" & sleep 0.005"]).descriptor(tell, 3))
        .unwrap();
    let marker = line(&mut BufReader::new(told)).split_once(' ').unwrap().1.to_owned();
    assert!(end_of(&mut supervisor, id).status.is_success());
    let entry = format!("NWS_PROCESS={marker}");
    let left = std::fs::read_dir("/proc").unwrap().flatten().filter(|process| {
        let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|found| found == entry.as_bytes())
    });
    assert_eq!(left.count(), 0);
}

#[test]
fn a_child_asked_to_end_may_do_so_in_its_grace() {
    let _alone = Alone::new();
    let mut supervisor = quiet();
    let (told, tell) = pipe();
    let id = supervisor
        .spawn(shell("trap 'exit 6' TERM; echo; while :; do sleep 0.01; done").stdout(Output::To(tell)))
        .unwrap();
    line(&mut BufReader::new(told));
    supervisor.ask_to_end(id);
    let ends = supervisor.end_all(LIMIT);
    assert_eq!(ends.iter().map(|(ended, end)| (*ended, end.status)).collect::<Vec<_>>(), [(id, Status::Exited(6))]);
}

#[test]
fn the_environment_the_folder_and_the_descriptors_are_as_asked_for() {
    let _alone = Alone::new();
    let folder = tempfile::tempdir().unwrap();
    let (mut told, tell) = pipe();
    let (three, to_three) = pipe();
    let (four, to_four) = pipe();
    // A descriptor without CLOEXEC, which is nobody's business.
    let leaked = rustix::io::dup(File::open("/dev/null").unwrap()).unwrap();
    let mut spawn = shell("pwd; echo $A; echo ${HOME-none}; echo three >&3; echo four >&4; for f in /proc/self/fd/*; do echo ${f##*/}; done")
        .env("A", "b")
        .cwd(folder.path())
        .stdout(Output::To(tell))
        .descriptor(to_three, 3)
        .descriptor(to_four, 4);
    spawn.env.push(("HOME".into(), None));
    let mut supervisor = quiet();
    let id = supervisor.spawn(spawn).unwrap();
    assert!(end_of(&mut supervisor, id).status.is_success());
    drop(leaked);
    let mut text = String::new();
    told.read_to_string(&mut text).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(Path::new(lines[0]), folder.path().canonicalize().unwrap());
    assert_eq!(lines[1..3], ["b", "none"]);
    for (mut pipe, word) in [(three, "three\n"), (four, "four\n")] {
        let mut text = String::new();
        pipe.read_to_string(&mut text).unwrap();
        assert_eq!(text, word);
    }
    let descriptors: Vec<i32> = lines[3..].iter().map(|number| number.parse().unwrap()).collect();
    // The shell reads the folder with one of its own.
    assert!(descriptors.iter().all(|number| *number <= 5), "{descriptors:?}");
}

#[test]
fn a_child_starts_with_default_signals() {
    let _alone = Alone::new();
    nws_supervise::ignore_interrupts();
    let end = run("kill -INT $$; exit 0");
    assert_eq!(end.status, Status::Signaled { signal: 2, core_dumped: false });
}

#[test]
fn a_child_starts_with_no_signal_blocked() {
    let _alone = Alone::new();
    let _blocks_sigterm = nws_supervise::termination_requests().unwrap();
    let end = run("kill -TERM $$; exit 0");
    assert_eq!(end.status, Status::Signaled { signal: 15, core_dumped: false });
}

#[test]
fn the_end_of_a_child_is_known_also_where_who_started_us_wanted_to_know_of_none() {
    let _alone = Alone::new();
    // SAFETY: no handler is involved.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    assert_eq!(run("exit 3").status, Status::Exited(3));
}

#[test]
fn a_script_that_does_not_say_what_runs_it_is_run_by_a_shell_wherever_it_is_found() {
    let _alone = Alone::new();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    // One that may not be executed hides none behind it.
    for (folder, (mode, code)) in folders.iter().zip([(0o644, 1), (0o755, 2), (0o755, 3)]) {
        let script = folder.path().join("script-of-a-test");
        std::fs::write(&script, format!("test \"$0 $1 $2\" = '{} a b c' && exit {code}", script.display())).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let path = std::env::join_paths(folders.iter().map(|folder| folder.path())).unwrap();
    let mut supervisor = quiet();
    let id = supervisor.spawn(Spawn::new("script-of-a-test").args(["a", "b c"]).env("PATH", path)).unwrap();
    assert_eq!(end_of(&mut supervisor, id).status, Status::Exited(2));
    let spawn = Spawn::new("script-of-a-test").env("PATH", folders[0].path());
    let error = supervisor.spawn(spawn).unwrap_err().to_string();
    assert!(error.contains("permission denied"), "{error}");
}

#[test]
fn two_hundred_children_leave_neither_descriptors_nor_zombies() {
    let _alone = Alone::new();
    let mut supervisor = quiet();
    let first = supervisor.spawn(shell("exit")).unwrap();
    end_of(&mut supervisor, first);
    let before = open_descriptors();
    for _ in 0..4 {
        for _ in 0..50 {
            supervisor.spawn(shell("(exit 0 &) ; echo a; echo b >&2")).unwrap();
        }
        for _ in 0..50 {
            assert!(matches!(supervisor.next_event(Some(LIMIT)).unwrap(), Some(Happening::Ended(..))));
        }
    }
    assert_eq!(supervisor.running().count(), 0);
    // Threads of an earlier test may just be giving theirs back.
    assert!(open_descriptors() <= before);
    assert_eq!(zombies(), [""; 0]);
}

#[test]
fn an_orphan_that_dies_while_its_child_lives_is_reaped() {
    let _alone = Alone::new();
    let mut supervisor = quiet();
    let (told, tell) = pipe();
    let (gate, go) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let script = "(sh -c 'echo $$; read line <&3' &); read forever";
    let (forever, _hold) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    supervisor.spawn(shell(script).stdout(Output::To(tell)).descriptor(gate, 3).descriptor(forever, 0)).unwrap();
    let orphan: i32 = line(&mut BufReader::new(told)).parse().unwrap();
    drop(go);
    let deadline = Instant::now() + LIMIT;
    while Path::new(&format!("/proc/{orphan}")).exists() {
        assert!(Instant::now() < deadline, "the orphan is not reaped");
        assert!(supervisor.next_event(Some(Duration::from_millis(100))).unwrap().is_none());
    }
}

#[test]
fn what_cannot_be_started_is_named_with_the_reason() {
    let _alone = Alone::new();
    let mut supervisor = quiet();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let before = open_descriptors();
    let nowhere = folder.path().join("nowhere");
    for (spawn, words) in [
        (Spawn::new(&nowhere), ["nowhere", "no such program"]),
        (Spawn::new(&file), ["file", "permission denied"]),
        (shell("exit").cwd(&nowhere), ["/bin/sh", "nowhere: No such file"]),
        (shell("exit").cwd(&file), ["/bin/sh", "no folder"]),
        (shell("exit").descriptor(dev_null(), 1), ["descriptor 1", "expected 0, or 3"]),
    ] {
        let error = supervisor.spawn(spawn).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
    // The threads that pass output on have not been started yet.
    // Threads of an earlier test may just be giving theirs back.
    assert!(open_descriptors() <= before);
    assert!(supervisor.next_event(Some(Duration::ZERO)).unwrap().is_none());
}

#[test]
fn a_waker_and_a_descriptor_wake_the_loop() {
    let _alone = Alone::new();
    let mut supervisor = quiet();
    let waker = supervisor.waker();
    std::thread::spawn(move || waker.wake());
    assert!(matches!(supervisor.next_event(Some(LIMIT)).unwrap(), Some(Happening::Woken)));
    let (read, write) = pipe();
    supervisor.watch_fd(&read, 77).unwrap();
    assert!(supervisor.next_event(Some(Duration::ZERO)).unwrap().is_none());
    drop(write);
    assert!(matches!(supervisor.next_event(Some(LIMIT)).unwrap(), Some(Happening::Readable(77))));
    assert!(supervisor.next_event(Some(Duration::ZERO)).unwrap().is_none(), "it is told once");
    let (read, write) = pipe();
    supervisor.watch_fd(&read, 78).unwrap();
    supervisor.unwatch(&read);
    drop(write);
    assert!(supervisor.next_event(Some(Duration::ZERO)).unwrap().is_none());
}

#[test]
fn the_hangup_of_a_socket_is_seen_behind_what_is_still_to_be_read() {
    let _alone = Alone::new();
    let mut supervisor = quiet();
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    supervisor.watch_hangup(&ours, 5).unwrap();
    (&theirs).write_all(b"unread").unwrap();
    assert!(supervisor.next_event(Some(Duration::ZERO)).unwrap().is_none());
    drop(theirs);
    assert!(matches!(supervisor.next_event(Some(LIMIT)).unwrap(), Some(Happening::Readable(5))));
}

const ROLE: &str = "NWS_SUPERVISE_TEST_ROLE";

/// Not a test: what the next one runs as another process.
#[test]
fn role_of_a_parent() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    let mut supervisor = quiet();
    let id = supervisor.spawn(Spawn::new("sleep").arg("1000")).unwrap();
    let outliving = supervisor.spawn(Spawn::new("sleep").arg("1000").outlive_supervisor()).unwrap();
    eprintln!("children {} {}", supervisor.pid(id).unwrap(), supervisor.pid(outliving).unwrap());
    supervisor.next_event(None).unwrap();
}

#[test]
fn a_child_dies_with_its_supervisor_unless_it_may_outlive_it() {
    let _alone = Alone::new();
    // What it leaves shall not become ours.
    set_child_subreaper(None).unwrap();
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "role_of_a_parent", "--nocapture"])
        .env(ROLE, "parent")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(parent.stderr.take().unwrap());
    let pids: Vec<i32> = loop {
        if let Some(pids) = line(&mut told).strip_prefix("children ") {
            break pids.split(' ').map(|pid| pid.parse().unwrap()).collect();
        }
    };
    let [child, outliving] =
        [pids[0], pids[1]].map(|pid| pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap());
    parent.kill().unwrap();
    parent.wait().unwrap();
    assert!(ends_within(&child, LIMIT));
    assert!(!ends_within(&outliving, Duration::ZERO));
    rustix::process::pidfd_send_signal(&outliving, rustix::process::Signal::KILL).unwrap();
}

fn ends_within(process: &OwnedFd, limit: Duration) -> bool {
    let limit = Timespec { tv_sec: limit.as_secs().try_into().unwrap(), tv_nsec: 0 };
    poll(&mut [PollFd::from_borrowed_fd(process.as_fd(), PollFlags::IN)], Some(&limit)).unwrap() == 1
}
