//! Who dies, is stopped or is interrupted around commands: nothing is left, and who lives is told.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Child;
use std::sync::mpsc::Receiver;

use nws_work::WorkError;
use nws_work::commands::{Command, CommandEvent, CommandHost, Streams};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::commands::{next, shell, start};
use crate::processes::{Process, assert_gone, command_line, limit, tree};
use crate::roles::{commands_master_command, family};
use crate::sleighs::wait_for_file;

/// A host with a command that has children wherever they could flee to.
fn busy(folder: &Path) -> (CommandHost, Receiver<CommandEvent>, Vec<Process>) {
    let (host, events) = start();
    let path = folder.join("family");
    let streams = Streams::default();
    host.launch(Command::new("sh").args(["-c", &family(path.to_str().unwrap())]), streams).unwrap();
    wait_for_file(&path);
    let everything = tree(host.pid());
    assert!(everything.len() >= 6, "{}", everything.len());
    (host, events, everything)
}

fn named<'a>(everything: &'a [Process], words: &str) -> &'a Process {
    everything.iter().find(|process| command_line(process.pid).contains(words)).expect(words)
}

fn death(events: &Receiver<CommandEvent>) -> String {
    loop {
        if let CommandEvent::HostDied { cause } = next(events) {
            return cause.text;
        }
    }
}

#[test]
fn the_death_of_warden_or_host_ends_all_commands_and_is_told() {
    let _limit = limit();
    for (words, signal, told) in [
        ("host --warden", Signal::KILL, "killed by signal 9 (SIGKILL)"),
        ("host --warden", Signal::TERM, "it was asked to end by SIGTERM"),
        // The warden's arguments are the beginning of the host's; it comes first.
        ("nws host", Signal::KILL, "its warden process has ended"),
        ("nws host", Signal::TERM, "it was asked to end by SIGTERM"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (host, events, everything) = busy(folder.path());
        named(&everything, words).signal(signal);
        let text = death(&events);
        assert!(text.contains(told), "{words}, {signal:?}: {text}");
        assert_gone(&everything);
        // It is a plain error from now on, and the end is none that is waited for.
        let Err(WorkError::Ended(_)) = host.launch(Command::new("true"), Streams::default()) else {
            panic!("a host that has ended took a command");
        };
    }
}

#[test]
fn warden_and_host_killed_at_once_leave_no_command_that_they_started() {
    let _limit = limit();
    let (host, events) = start();
    let (_input, _output) = shell(&host, "exec sleep 1000");
    assert!(matches!(next(&events), CommandEvent::Started { .. }));
    let everything = tree(host.pid());
    named(&everything, "nws host").signal(Signal::STOP);
    named(&everything, "host --warden").signal(Signal::KILL);
    named(&everything, "nws host").signal(Signal::KILL);
    death(&events);
    assert_gone(&everything);
}

#[test]
fn a_host_or_warden_of_commands_that_is_stopped_is_noticed_and_ended() {
    let _limit = limit();
    for (words, told) in [
        ("host --warden", "it was silent (stopped, or hanging), so its warden ended it"),
        ("nws host", "its warden process was silent (stopped, or hanging)"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (_host, events, everything) = busy(folder.path());
        named(&everything, words).signal(Signal::STOP);
        let text = death(&events);
        assert!(text.contains(told), "{text}");
        assert_gone(&everything);
    }
}

/// A master in a process group of its own, everything that it started, and what it says.
fn busy_master(folder: &Path) -> (Child, Vec<Process>, impl Iterator<Item = String>) {
    let path = folder.join("family");
    let mut master = commands_master_command().env("NWS_HOST_TEST_PATH", &path).process_group(0).spawn().unwrap();
    let mut told = BufReader::new(master.stderr.take().unwrap()).lines().map(Result::unwrap);
    let ready = told.find_map(|line| line.strip_prefix("ready ").map(str::to_owned)).unwrap();
    (master, tree(ready.parse().unwrap()), told)
}

#[test]
fn a_master_of_commands_that_is_killed_takes_all_along() {
    let _limit = limit();
    for (stopped, signal) in [(false, Signal::KILL), (false, Signal::TERM), (true, Signal::KILL)] {
        let folder = tempfile::tempdir().unwrap();
        let (mut master, everything, _told) = busy_master(folder.path());
        if stopped {
            named(&everything, "host --warden").signal(Signal::STOP);
        }
        Process::of(master.id()).unwrap().signal(signal);
        master.wait().unwrap();
        assert_gone(&everything);
    }
}

#[test]
fn an_interrupt_of_the_terminal_reaches_no_command() {
    let _limit = limit();
    let folder = tempfile::tempdir().unwrap();
    let (mut master, everything, mut told) = busy_master(folder.path());
    kill_process_group(Pid::from_child(&master), Signal::INT).unwrap();
    // The signal is with everybody in the group by now; a command that it had ended could not answer.
    master.stdin.as_mut().unwrap().write_all(b"ask\n").unwrap();
    assert_eq!(told.find(|line| line.starts_with("answer")).as_deref(), Some("answer here"));
    drop(master.stdin.take());
    master.wait().unwrap();
    assert_gone(&everything);
}

#[test]
fn a_forks_copy_of_a_host_ends_nothing_and_is_told_that_it_has_none() {
    let _limit = limit();
    let (host, events) = start();
    let (mut input, mut output) = shell(&host, "cat");
    assert!(matches!(next(&events), CommandEvent::Started { .. }));
    // SAFETY: the child makes system calls and allocations of its own, and leaves by `_exit`.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork failed");
    if child == 0 {
        // SAFETY: as above; the alarm ends a child that hangs.
        unsafe { libc::alarm(30) };
        let refused = matches!(
            host.launch(Command::new("true"), Streams::default()),
            Err(WorkError::Ended(message)) if message.contains("forked")
        );
        host.stop();
        drop(host);
        // SAFETY: as above.
        unsafe { libc::_exit(if refused { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: `child` is ours, and was not waited for.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "status {status}");
    input.write_all(b"still here\n").unwrap();
    let mut answer = String::new();
    output.read_line(&mut answer).unwrap();
    assert_eq!(answer, "still here\n");
}
