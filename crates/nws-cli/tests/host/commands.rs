//! Commands that a host starts for its master: what they get, and what is told of them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufReader, PipeReader, PipeWriter, Read, Write, pipe};
use std::os::unix::ffi::OsStringExt;
use std::sync::mpsc::{Receiver, channel};

use nws_work::WorkError;
use nws_work::commands::{Command, CommandEvent, CommandHost, CommandId, Output, Streams};
use nws_work::control::Cause;

use crate::processes::{LIMIT, Process, assert_gone, host_among, limit, tree};
use crate::roles::family;
use crate::sleighs::wait_for_file;

pub(crate) fn start() -> (CommandHost, Receiver<CommandEvent>) {
    let (tell, events) = channel();
    let host = CommandHost::start(env!("CARGO_BIN_EXE_nws").as_ref(), move |event| _ = tell.send(event)).unwrap();
    (host, events)
}

/// A shell script with its standard input and output.
pub(crate) fn shell(host: &CommandHost, script: &str) -> (PipeWriter, BufReader<PipeReader>) {
    let ((its_input, input), (output, its_output)) = (pipe().unwrap(), pipe().unwrap());
    host.launch(Command::new("/bin/sh").args(["-c", script]), Streams::to(its_output).stdin(its_input)).unwrap();
    (input, BufReader::new(output))
}

pub(crate) fn next(events: &Receiver<CommandEvent>) -> CommandEvent {
    events.recv_timeout(LIMIT).expect("an event")
}

/// Waits for the end of one command; the ends of others on the way are forgotten.
pub(crate) fn end_of(events: &Receiver<CommandEvent>, wanted: CommandId) -> Cause {
    loop {
        match next(events) {
            CommandEvent::Ended { id, cause } if id == wanted => return cause,
            CommandEvent::Started { .. } | CommandEvent::Ended { .. } => {}
            other => panic!("expected the end of {wanted:?}, got {other:?}"),
        }
    }
}

#[test]
fn a_command_reads_and_writes_and_its_end_is_told_with_its_last_words() {
    let _limit = limit();
    let (host, events) = start();
    let ((its_input, mut input), (mut output, its_output)) = (pipe().unwrap(), pipe().unwrap());
    let script = "cat /dev/stdin; echo first >&2; echo last >&2; exit 3";
    let streams = Streams::to(its_output).stdin(its_input);
    let id = host.launch(Command::new("sh").args(["-c", script]), streams).unwrap();
    // Before it can have been started: the pipe is there.
    input.write_all(b"a\0b").unwrap();
    drop(input);
    let mut said = Vec::new();
    output.read_to_end(&mut said).unwrap();
    assert_eq!(said, b"a\0b");
    let CommandEvent::Started { id: started, pid } = next(&events) else { panic!("it was not started") };
    assert_eq!(started, id);
    assert!(pid > 1);
    let cause = end_of(&events, id);
    assert_eq!((cause.exit_code, cause.signal), (Some(3), None));
    assert_eq!(cause.stderr_tail, ["first", "last"]);
    let id = host.launch(Command::new("sh").args(["-c", "kill -SEGV $$"]), Streams::default()).unwrap();
    assert_eq!(end_of(&events, id).signal, Some(11));
}

#[test]
fn what_cannot_be_started_is_told_with_its_reason_and_the_rest_goes_on() {
    let _limit = limit();
    let (host, events) = start();
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    File::create(&plain).unwrap();
    for (command, told) in [
        (Command::new("no-such-program-anywhere"), "no such program"),
        (Command::new(&plain), "permission denied"),
        (Command::new("true").cwd(folder.path().join("nowhere")), "in the folder"),
        (Command::new("true").arg("a\0b"), "cannot start true"),
    ] {
        let (mut output, its_output) = pipe().unwrap();
        let expected = host.launch(command, Streams::to(its_output)).unwrap();
        let CommandEvent::NotStarted { id, message, .. } = next(&events) else { panic!("expected {told}") };
        assert_eq!(id, expected);
        assert!(message.contains(told), "{message}");
        // Nobody holds its end.
        assert_eq!(output.read(&mut [0]).unwrap(), 0);
    }
    let id = host.launch(Command::new("true"), Streams::default()).unwrap();
    assert_eq!(end_of(&events, id).exit_code, Some(0));
}

#[test]
fn a_command_gets_its_environment_folder_arguments_and_descriptors_and_no_others() {
    let _limit = limit();
    let (host, events) = start();
    let folder = tempfile::tempdir().unwrap();
    let odd = OsString::from_vec(b"caf\xe9".to_vec());
    let ((mut output, its_output), (mut report, its_report)) = (pipe().unwrap(), pipe().unwrap());
    let script = "pwd; printf %s \"$1$ONE${HOME-none}\"; echo told >&7; echo /proc/self/fd/*";
    let command = Command::new("sh").args(["-c", script, "sh"]).arg(&odd).cwd(folder.path());
    let command = command.env("ONE", "1").without_env("HOME");
    let id = host.launch(command, Streams::to(its_output).descriptor(its_report, 7)).unwrap();
    let (mut said, mut reported) = (Vec::new(), String::new());
    output.read_to_end(&mut said).unwrap();
    report.read_to_string(&mut reported).unwrap();
    assert_eq!(end_of(&events, id).exit_code, Some(0));
    assert_eq!(reported, "told\n");
    let lines: Vec<&[u8]> = said.split(|byte| *byte == b'\n').collect();
    assert_eq!(lines[0], folder.path().canonicalize().unwrap().as_os_str().as_encoded_bytes());
    // The shell itself opens one to list them.
    let open = b"caf\xe91none/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /proc/self/fd/3 /proc/self/fd/7";
    assert_eq!(String::from_utf8_lossy(lines[1]), String::from_utf8_lossy(open));
}

#[test]
fn a_command_starts_in_the_masters_folder() {
    let _limit = limit();
    let (host, _events) = start();
    let (_, mut output) = shell(&host, "pwd -P");
    let mut said = String::new();
    output.read_to_string(&mut said).unwrap();
    assert_eq!(said.trim_end(), std::env::current_dir().unwrap().canonicalize().unwrap().to_str().unwrap());
}

#[test]
fn standard_error_goes_where_it_shall() {
    let _limit = limit();
    let (host, events) = start();
    let ((mut output, its_output), (mut error, its_error)) = (pipe().unwrap(), pipe().unwrap());
    let streams = Streams::to(its_output).stderr(Output::To(its_error.into()));
    let id = host.launch(Command::new("sh").args(["-c", "echo out; echo err >&2"]), streams).unwrap();
    let (mut said, mut complained) = (String::new(), String::new());
    output.read_to_string(&mut said).unwrap();
    error.read_to_string(&mut complained).unwrap();
    assert_eq!((said.as_str(), complained.as_str()), ("out\n", "err\n"));
    assert!(end_of(&events, id).stderr_tail.is_empty());
}

#[test]
fn who_is_asked_ends_by_itself_and_who_is_ended_takes_its_whole_tree_along() {
    let _limit = limit();
    let (host, events) = start();
    let (mut output, its_output) = pipe().unwrap();
    let script = "trap 'echo asked; exit 7' TERM; echo ready; while :; do sleep 0.01; done";
    let id = host.launch(Command::new("sh").args(["-c", script]), Streams::to(its_output)).unwrap();
    output.read_exact(&mut [0; 6]).unwrap();
    host.ask_to_end(id);
    let cause = end_of(&events, id);
    assert_eq!(cause.exit_code, Some(7));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("family");
    let script = family(path.to_str().unwrap());
    let id = host.launch(Command::new("sh").args(["-c", &script]), Streams::default()).unwrap();
    wait_for_file(&path);
    let everything: Vec<Process> = tree(host.pid());
    // Warden, host, shell, and three children.
    assert!(everything.len() >= 6, "{}", everything.len());
    host.end(id);
    assert_eq!(end_of(&events, id).signal, Some(9));
    let left = tree(host.pid());
    assert_eq!(left.len(), 2, "{:?}", left.iter().map(|process| process.pid).collect::<Vec<_>>());
    // Of who has ended nobody is asked anything.
    host.end(id);
    host.ask_to_end(id);
    let id = host.launch(Command::new("true"), Streams::default()).unwrap();
    assert_eq!(end_of(&events, id).exit_code, Some(0));
}

#[test]
fn thousands_of_commands_one_after_the_other_leave_nothing_open() {
    let _limit = limit();
    let (host, events) = start();
    let descriptors = |pid: u32| std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let mut first = None;
    let proper = || tree(host.pid()).into_iter().nth(1).unwrap().pid;
    for round in 0..2000 {
        let (mut output, its_output) = pipe().unwrap();
        let id = host.launch(Command::new("/bin/true"), Streams::to(its_output)).unwrap();
        assert_eq!(end_of(&events, id).exit_code, Some(0));
        assert_eq!(output.read(&mut [0]).unwrap(), 0);
        if round == 20 {
            first = Some(descriptors(proper()));
        }
    }
    assert_eq!(Some(descriptors(proper())), first);
    // No dead child waits to be reaped either.
    assert_eq!(tree(host.pid()).len(), 2);
}

#[test]
fn a_crowd_of_commands_at_once_all_run_and_all_ends_are_told_once() {
    let _limit = limit();
    let (host, events) = start();
    let mut outputs = BTreeMap::new();
    for number in 0..200 {
        let (output, its_output) = pipe().unwrap();
        let command = Command::new("/bin/echo").arg(number.to_string());
        outputs.insert(host.launch(command, Streams::to(its_output)).unwrap(), (number, output));
    }
    let (mut started, mut ended) = (0, 0);
    while ended < 200 {
        match next(&events) {
            CommandEvent::Started { .. } => started += 1,
            CommandEvent::Ended { id, cause } => {
                assert_eq!(cause.exit_code, Some(0));
                let (number, mut output) = outputs.remove(&id).unwrap();
                let mut said = String::new();
                output.read_to_string(&mut said).unwrap();
                assert_eq!(said, format!("{number}\n"));
                ended += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(started, 200);
}

#[test]
fn what_no_host_would_take_is_refused_and_the_host_goes_on() {
    let _limit = limit();
    let (host, events) = start();
    let argument = |result: Result<CommandId, WorkError>| match result {
        Err(WorkError::Argument(message)) => message,
        other => panic!("expected a refusal, got {other:?}"),
    };
    assert!(argument(host.launch(Command::new(""), Streams::default())).contains("name of a program"));
    let (_output, its_output) = pipe().unwrap();
    let streams = Streams::default().descriptor(its_output, 64);
    assert!(argument(host.launch(Command::new("true"), streams)).contains("3 to 63, got 64"));
    let long = Command::new("true").arg("x".repeat(17 << 20));
    assert!(argument(host.launch(long, Streams::default())).contains("16777216"));
    // Longer than the kernel takes, but not than the channel does.
    let id = host.launch(Command::new("true").arg("x".repeat(8 << 20)), Streams::default()).unwrap();
    let CommandEvent::NotStarted { id: refused, message, .. } = next(&events) else { panic!("it was started") };
    assert_eq!(refused, id);
    assert!(message.contains("too long"), "{message}");
    let id = host.launch(Command::new("true"), Streams::default()).unwrap();
    assert_eq!(end_of(&events, id).exit_code, Some(0));
}

#[test]
fn a_host_without_descriptors_starts_commands_as_others_end_and_says_so_where_none_runs() {
    let _limit = limit();
    let (host, events) = start();
    let first = host.launch(Command::new("true"), Streams::default()).unwrap();
    end_of(&events, first);
    let process = host_among(tree(host.pid()));
    let own = process.most_descriptors();
    let launch = |count: usize| {
        let (mut ended, mut postponed) = (0, 0);
        for _ in 0..count {
            host.launch(Command::new("true"), Streams::to(pipe().unwrap().1)).unwrap();
        }
        while ended + postponed < count {
            match next(&events) {
                CommandEvent::Started { .. } => {}
                CommandEvent::Ended { cause, .. } => {
                    assert_eq!(cause.exit_code, Some(0));
                    ended += 1;
                }
                CommandEvent::NotStarted { shortage, message, .. } => {
                    assert!(shortage && message.contains("ulimit -n"), "{message}");
                    postponed += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        (ended, postponed)
    };
    process.allow_descriptors(own + 8);
    let (ended, _) = launch(100);
    assert!(ended > 0);
    process.allow_descriptors(3);
    assert_eq!(launch(2), (0, 2));
    process.allow_descriptors(own + 500);
    assert_eq!(launch(100), (100, 0));
}

#[test]
fn a_host_that_is_stopped_by_its_master_leaves_nothing_and_says_so_last() {
    let _limit = limit();
    let (host, events) = start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("family");
    let (_input, _output) = shell(&host, &family(path.to_str().unwrap()));
    wait_for_file(&path);
    let everything = tree(host.pid());
    host.stop();
    assert_gone(&everything);
    assert!(matches!(next(&events), CommandEvent::Started { .. }));
    let CommandEvent::Ended { cause, .. } = next(&events) else { panic!("no end was told") };
    assert_eq!(cause.signal, Some(9));
    let CommandEvent::HostDied { cause } = next(&events) else { panic!("not the last was told") };
    assert_eq!(cause.text, "it was stopped");
    assert!(events.recv_timeout(LIMIT).is_err(), "something came after the last event");
    let Err(WorkError::Ended(_)) = host.launch(Command::new("true"), Streams::default()) else {
        panic!("a host that has ended took a command");
    };
}

#[test]
fn no_more_commands_run_at_a_time_than_may_and_who_waits_may_be_withdrawn() {
    let _limit = limit();
    let (host, events) = start();
    host.limit(1);
    let (first_input, _first_output) = shell(&host, "read line");
    let (second_input, _second_output) = shell(&host, "read line");
    let third = host.launch(Command::new("true"), Streams::default()).unwrap();
    assert!(matches!(next(&events), CommandEvent::Started { id: CommandId(1), .. }));
    host.ask_to_end(third);
    assert!(matches!(next(&events), CommandEvent::NotStarted { id, .. } if id == third));
    let fourth = host.launch(Command::new("no-such-program-anywhere"), Streams::default()).unwrap();
    let fifth = host.launch(Command::new("true"), Streams::default()).unwrap();
    drop(first_input);
    assert!(matches!(next(&events), CommandEvent::Ended { id: CommandId(1), .. }));
    assert!(matches!(next(&events), CommandEvent::Started { id: CommandId(2), .. }));
    drop(second_input);
    assert!(matches!(next(&events), CommandEvent::Ended { id: CommandId(2), .. }));
    assert!(matches!(next(&events), CommandEvent::NotStarted { id, .. } if id == fourth));
    assert!(matches!(next(&events), CommandEvent::Started { id, .. } if id == fifth));
    assert_eq!(end_of(&events, fifth).exit_code, Some(0));
    // A limit that is raised lets more begin.
    let (_input, _output) = shell(&host, "read line");
    let last = host.launch(Command::new("true"), Streams::default()).unwrap();
    host.limit(2);
    assert_eq!(end_of(&events, last).exit_code, Some(0));
}
