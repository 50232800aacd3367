//! The end of everything: whoever ends, nothing is left, and who lives is told.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use nws_work::control::ServerAddress;
use rustix::process::Signal;

use crate::processes::{LIMIT, Process, assert_gone, command_line, limit, tree, with_environment};
use crate::roles::{NOTES, master_command, worker_command};
use crate::sleighs::{Everything, Outcomes, begin, error_of, run, start, start_at, start_with, until, wait_for_file};

/// A sleigh that is busy, with children of a worker wherever they could flee to.
fn busy(folder: &Path) -> (nws_work::sleigh::Sleigh, Everything) {
    let sleigh = start(2).unwrap();
    assert_eq!(run(&sleigh, 1, &["echo a"]).good(), ["a"]);
    let path = folder.join("family");
    begin(&sleigh, 1, &[&format!("family {}", path.display())]);
    wait_for_file(&path);
    let everything = Everything::of(sleigh.host_pid(), sleigh.server().unix.as_ref().unwrap());
    // Warden, host, server, two workers, a shell, and its three children.
    assert!(everything.processes.len() >= 9, "{}", everything.processes.len());
    (sleigh, everything)
}

#[test]
fn a_stopped_sleigh_leaves_nothing() {
    let _limit = limit();
    let folder = tempfile::tempdir().unwrap();
    let (sleigh, everything) = busy(folder.path());
    sleigh.stop();
    everything.assert_gone();
}

#[test]
fn idle_workers_end_by_themselves_when_the_sleigh_stops() {
    let _limit = limit();
    let notes = tempfile::tempdir().unwrap();
    let mut noting = worker_command();
    noting.env.push((NOTES.to_owned(), Some(notes.path().to_str().unwrap().to_owned())));
    let sleigh = start_with(2, noting).unwrap();
    let mut outcomes = Outcomes::default();
    until(&sleigh, &mut outcomes, |outcomes| outcomes.joined.len() == 2);
    let everything = Everything::of(sleigh.host_pid(), sleigh.server().unix.as_ref().unwrap());
    sleigh.stop();
    everything.assert_gone();
    assert_eq!(std::fs::read_dir(notes.path()).unwrap().count(), 2, "they were killed");
}

#[test]
fn a_named_server_outlives_the_sleigh_and_its_death_ends_the_sleigh() {
    let _limit = limit();
    let mut server = Command::new(env!("CARGO_BIN_EXE_nws"))
        .args(["serve", "--embedded"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let told: serde_json::Value = serde_json::from_str(&line).unwrap();
    let (host, port) = told["tcp"].as_str().unwrap().rsplit_once(':').unwrap();
    let tcp = Some((host.to_owned(), port.parse().unwrap()));
    let address = ServerAddress { unix: None, tcp, token: told["token"].as_str().map(str::to_owned) };

    let sleigh = start_at(Some(address.clone()), 2, worker_command()).unwrap();
    assert_eq!(run(&sleigh, 1, &["echo a", "echo b"]).good(), ["a", "b"]);
    let processes = tree(sleigh.host_pid());
    sleigh.stop();
    assert_gone(&processes);

    let sleigh = start_at(Some(address), 2, worker_command()).unwrap();
    assert_eq!(run(&sleigh, 1, &["echo c"]).good(), ["c"]);
    let processes = tree(sleigh.host_pid());
    server.kill().unwrap();
    server.wait().unwrap();
    let error = error_of(&sleigh);
    assert!(error.starts_with("the server of this sleigh has ended: the connection"), "{error}");
    assert_gone(&processes);
}

#[test]
fn the_death_of_any_part_ends_all_and_is_told() {
    let _limit = limit();
    for (words, signal, told) in [
        ("serve --embedded", Signal::KILL, "the server of this sleigh has ended: killed by signal 9 (SIGKILL)"),
        ("host --warden", Signal::KILL, "the host process (nws host) has ended: killed by signal 9 (SIGKILL)"),
        ("host --warden", Signal::TERM, "the host process (nws host) has ended: it was asked to end by SIGTERM"),
        // The warden's arguments are the beginning of the host's; it comes first.
        ("nws host", Signal::KILL, "the host process (nws host) has ended: its warden process has ended"),
        ("nws host", Signal::TERM, "the host process (nws host) has ended: it was asked to end by SIGTERM"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (sleigh, everything) = busy(folder.path());
        everything.named(words).signal(signal);
        let error = error_of(&sleigh);
        assert!(error.starts_with(told), "{words}, {signal:?}: {error}");
        everything.assert_gone();
    }
}

#[test]
fn warden_and_host_killed_at_once_leave_neither_workers_nor_server() {
    let _limit = limit();
    let sleigh = start(2).unwrap();
    assert_eq!(run(&sleigh, 1, &["echo a"]).good(), ["a"]);
    let everything = Everything::of(sleigh.host_pid(), sleigh.server().unix.as_ref().unwrap());
    everything.named("nws host").signal(Signal::STOP);
    everything.named("host --warden").signal(Signal::KILL);
    everything.named("nws host").signal(Signal::KILL);
    error_of(&sleigh);
    everything.assert_gone();
}

/// A master in a process of its own, and everything that it started.
fn busy_master(folder: &Path) -> (Child, Everything) {
    let path = folder.join("family");
    let mut master = master_command().env("NWS_HOST_TEST_PATH", &path).spawn().unwrap();
    let told = BufReader::new(master.stderr.take().unwrap());
    let ready = told.lines().map(Result::unwrap).find_map(|line| line.strip_prefix("ready ").map(str::to_owned));
    let ready = ready.unwrap();
    let (host_pid, socket) = ready.split_once(' ').unwrap();
    let everything = Everything::of(host_pid.parse().unwrap(), &PathBuf::from(socket));
    (master, everything)
}

#[test]
fn a_master_that_is_killed_takes_all_along() {
    let _limit = limit();
    for signal in [Signal::KILL, Signal::TERM, Signal::INT] {
        let folder = tempfile::tempdir().unwrap();
        let (mut master, everything) = busy_master(folder.path());
        Process::of(master.id()).unwrap().signal(signal);
        master.wait().unwrap();
        everything.assert_gone();
    }
}

#[test]
fn a_master_killed_while_its_host_is_stopped_takes_all_along() {
    let _limit = limit();
    let folder = tempfile::tempdir().unwrap();
    let (mut master, everything) = busy_master(folder.path());
    everything.named("host --warden").signal(Signal::STOP);
    master.kill().unwrap();
    master.wait().unwrap();
    everything.assert_gone();
}

/// The host's processes as they come up, and what is to be killed at some moment of that.
#[test]
fn whatever_is_killed_at_whatever_moment_nothing_is_left() {
    let _limit = limit();
    for moment in 0..30 {
        let folder = tempfile::tempdir().unwrap();
        let name = format!("NWS_HOST_TEST_MOMENT={}-{moment}", std::process::id());
        let (variable, value) = name.split_once('=').unwrap();
        let mut command = master_command();
        command.env(variable, value).env("NWS_RUNTIME_DIR", folder.path());
        let mut master = command.env("NWS_HOST_TEST_PATH", folder.path().join("family")).spawn().unwrap();
        let master_process = Process::of(master.id()).unwrap();
        // The moment itself is the point: each run looks around once more before the blow.
        let mut started = with_environment(&name);
        for _ in 0..moment / 3 {
            started = with_environment(&name);
        }
        let words = ["", "host --warden", "serve --embedded"][moment % 3];
        match started.iter().find(|process| command_line(process.pid).contains(words)) {
            Some(victim) if moment % 3 > 0 => victim.signal(Signal::KILL),
            _ => master_process.signal(Signal::KILL),
        }
        // A master that lives has been told, and waits for us.
        wait_until_left(&name, |line| line.contains("roles::master"));
        drop(master.stdin.take());
        master.wait().unwrap();
        // A copy of the master that had not become the host yet looked like it.
        wait_until_left(&name, |_| false);
        let servers = std::fs::read_dir(folder.path().join("servers")).map_or(0, Iterator::count);
        assert_eq!(servers, 0, "{words} killed at {moment}");
    }
}

/// Waits until only processes with such arguments are left of those with this environment.
fn wait_until_left(environment: &str, may_stay: impl Fn(&str) -> bool) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let left = with_environment(environment);
        let left: Vec<String> = left.iter().map(|process| command_line(process.pid)).collect();
        if left.iter().all(|line| may_stay(line)) {
            return;
        }
        assert!(Instant::now() < deadline, "{environment}: {left:?}");
        std::thread::yield_now();
    }
}

#[test]
fn a_server_that_cannot_start_is_told_with_its_reason() {
    let _limit = limit();
    let mut master = master_command();
    master.env("NWS_HOST_TEST_PATH", "/unused").env("NWS_RUNTIME_DIR", "/dev/null/nowhere");
    let output = master.spawn().unwrap().wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("error the embedded server could not be started: ended with exit code 6"), "{told}");
    assert!(told.contains("/dev/null/nowhere"), "{told}");
}
