//! What this program does when a test runs it as another process.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nws_work::control::{
    Bootstrap, FromWorker, WORKER_LINK_FD, WORKER_PAGE_FD, WorkerCommand, read_message, write_message,
};
use nws_work::envelope::{Outcome, RESULT_HEAD_BYTES};
use nws_work::page::Page;
use nws_work::worker::{Next, Worker};
use rustix::process::{Signal, getpid, kill_process};

const ROLE: &str = "NWS_HOST_TEST_ROLE";

/// Makes a worker end as soon as it has joined.
pub(crate) const LEAVES: &str = "NWS_HOST_TEST_LEAVES";
/// The folder where workers that have ended by themselves leave a file.
pub(crate) const NOTES: &str = "NWS_HOST_TEST_NOTES";

/// The path of a file: the worker that makes `PATH.held` first does not say that it has joined before there is one.
pub(crate) const HOLDS: &str = "NWS_HOST_TEST_HOLDS";

fn plays(role: &str) -> bool {
    std::env::var_os(ROLE).is_some_and(|played| played == role)
}

/// Arguments and environment that make this program play a role, which is a test's name.
fn role(name: &str) -> (Vec<String>, (String, Option<String>)) {
    let args = ["--exact", &format!("roles::{name}"), "--nocapture", "--quiet"].map(String::from).to_vec();
    (args, (ROLE.to_owned(), Some(name.to_owned())))
}

pub(crate) fn worker_command() -> WorkerCommand {
    let (args, env) = role("worker");
    WorkerCommand { program: std::env::current_exe().unwrap(), args, env: vec![env], ..WorkerCommand::default() }
}

pub(crate) fn master_command() -> Command {
    program("master")
}

/// A master of commands instead of a sleigh.
pub(crate) fn commands_master_command() -> Command {
    program("commands_master")
}

fn program(name: &str) -> Command {
    let (args, (name, value)) = role(name);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(args).env(name, value.unwrap()).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    // What a shell runs in the background ignores interrupts, and its children would do so too.
    // SAFETY: a plain system call, allowed between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGINT, libc::SIG_DFL);
            Ok(())
        });
    }
    command
}

/// Not a test: a worker whose tasks are the words of a payload.
#[test]
fn worker() {
    if !plays("worker") {
        return;
    }
    // SAFETY: the host hands these descriptors to each worker, and nothing here has taken them.
    let (link, page) = unsafe { (OwnedFd::from_raw_fd(WORKER_LINK_FD), OwnedFd::from_raw_fd(WORKER_PAGE_FD)) };
    let mut link = BufReader::new(UnixStream::from(link));
    let Some(bootstrap) = read_message::<Bootstrap>(&mut link).unwrap() else { return };
    // The sleigh may end at any moment.
    let Ok(worker) = Worker::join(&bootstrap, Page::map(&page).unwrap()) else { return };
    hold();
    let session = worker.connection().session().0;
    write_message(link.get_mut(), &FromWorker::Joined { session }).unwrap();
    if std::env::var_os(LEAVES).is_some() {
        std::process::exit(5);
    }
    let end = worker.ender();
    std::thread::spawn(move || {
        // The host says nothing more: the link's end is the word to go.
        let _ = link.read_to_end(&mut Vec::new());
        end("the sleigh was stopped");
    });
    let (mut next, mut result) = (None, Vec::new());
    loop {
        match worker.try_next(&mut next) {
            Next::Task => {}
            Next::Nothing => {
                worker.wait(Duration::from_secs(1));
                continue;
            }
            Next::Over(_) => {
                worker.leave();
                if let Some(folder) = std::env::var_os(NOTES) {
                    std::fs::write(Path::new(&folder).join(std::process::id().to_string()), "").unwrap();
                }
                return;
            }
        }
        let Some(task) = &mut next else { continue };
        let began_ns = worker.begin(task, None);
        result.resize(RESULT_HEAD_BYTES, 0);
        result.extend(perform(std::str::from_utf8(task.payload()).unwrap()).into_bytes());
        worker.finish(task, began_ns, Outcome::Done, &mut result);
    }
}

fn hold() {
    let Ok(path) = std::env::var(HOLDS) else { return };
    if OpenOptions::new().write(true).create_new(true).open(format!("{path}.held")).is_ok() {
        crate::sleighs::wait_for_file(Path::new(&path));
    }
}

fn perform(task: &str) -> String {
    match task.split(' ').collect::<Vec<_>>()[..] {
        ["echo", word] => word.to_owned(),
        ["exit", code] => {
            eprintln!("last words");
            std::process::exit(code.parse().unwrap())
        }
        ["kill"] => {
            eprintln!("last words");
            end_self(Signal::KILL)
        }
        ["kill-once", path] => match OpenOptions::new().write(true).create_new(true).open(path) {
            Ok(_) => end_self(Signal::KILL),
            Err(_) => "again".to_owned(),
        },
        ["stop-once", path] => match OpenOptions::new().write(true).create_new(true).open(path) {
            Ok(_) => end_self(Signal::STOP),
            Err(_) => "again".to_owned(),
        },
        ["family", path] => {
            Command::new("/bin/sh").args(["-c", &family(path)]).status().unwrap();
            String::new()
        }
        _ => panic!("unknown task: {task}"),
    }
}

/// A script of children in the same session, in another, and no descendant by parentage any more; it
/// makes a file when they are there, and works for ever.
pub(crate) fn family(path: &str) -> String {
    format!(
        "sleep 1000 & setsid sleep 1000 & (setsid sh -c 'echo >{path}.new; mv {path}.new {path}; exec sleep 1000' &); wait"
    )
}

/// The signal may take its effect on another thread first, so this one must not go on.
fn end_self(signal: Signal) -> ! {
    kill_process(getpid(), signal).unwrap();
    loop {
        std::thread::park();
    }
}

/// Not a test: a master that has started work which goes on for ever, and says so.
#[test]
fn master() {
    if !plays("master") {
        return;
    }
    let path = std::env::var("NWS_HOST_TEST_PATH").unwrap();
    match crate::sleighs::start(2) {
        Err(error) => eprintln!("error {error}"),
        Ok(sleigh) => {
            crate::sleighs::begin(&sleigh, 1, &[&format!("family {path}")]);
            crate::sleighs::wait_for_file(Path::new(&path));
            eprintln!("ready {} {}", sleigh.host_pid(), sleigh.server().unix.as_ref().unwrap().display());
            let _ = std::io::stdin().read_line(&mut String::new());
        }
    }
}

/// Not a test: a master of a command that goes on for ever, and of one that answers. It ignores
/// interrupts, asks the second when it is told to, and says what it answered.
#[test]
fn commands_master() {
    if !plays("commands_master") {
        return;
    }
    nws_supervise::ignore_interrupts();
    let path = std::env::var("NWS_HOST_TEST_PATH").unwrap();
    let (host, _events) = crate::commands::start();
    let (_family, _) = crate::commands::shell(&host, &family(&path));
    let (mut cat, mut answers) = crate::commands::shell(&host, "cat");
    crate::sleighs::wait_for_file(Path::new(&path));
    eprintln!("ready {}", host.pid());
    while std::io::stdin().read_line(&mut String::new()).unwrap() > 0 {
        cat.write_all(b"here\n").unwrap();
        let mut answer = String::new();
        answers.read_line(&mut answer).unwrap();
        eprintln!("answer {answer}");
    }
}
