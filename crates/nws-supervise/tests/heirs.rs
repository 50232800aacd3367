//! What children leave behind that end as soon as they have left it: nothing of it lives on.
#![allow(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

mod alone;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};

use alone::{Alone, LIMIT};
use nws_supervise::{Happening, Output, Spawn, Supervisor};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};

/// Which part a process of this program has in a test.
const ROLE: &str = "NWS_TEST_ROLE";
/// How often each way is tried: where the processes stand when the first has ended is chance.
const TRIES: usize = 10;

fn supervisor() -> Supervisor {
    let nowhere = || fs::File::create("/dev/null").unwrap().into();
    Supervisor::with_output(nowhere(), nowhere()).unwrap()
}

/// This program in another part.
fn in_role(name: &str) -> Spawn {
    Spawn::new(std::env::current_exe().unwrap()).args(["--exact", "role", "--nocapture"]).env(ROLE, name)
}

fn shell(script: &str) -> Spawn {
    Spawn::new("/bin/sh").arg("-c").arg(script)
}

/// Whether all that held the other end of this pipe have ended or closed it.
fn is_over(pipe: &OwnedFd) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut looked = [PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::empty())];
    poll(&mut looked, Some(&now)).unwrap() == 1 && looked[0].revents().contains(PollFlags::HUP)
}

/// Starts a child whose heirs all hold a pipe, waits for its end, and says whether they have gone with it.
fn leaves_nothing(supervisor: &mut Supervisor, spawn: Spawn) -> bool {
    let (held, hold) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let nowhere = fs::File::create("/dev/null").unwrap();
    let spawn = spawn.stdout(Output::To(hold)).stderr(Output::To(nowhere.into()));
    let id = supervisor.spawn(spawn).unwrap();
    loop {
        match supervisor.next_event(Some(LIMIT)).unwrap() {
            Some(Happening::Ended(ended, _)) if ended == id => return is_over(&held),
            Some(_) => {}
            None => panic!("the child does not end"),
        }
    }
}

const WAYS: [&str; 8] = [
    "true",
    "sleep 1000 & ",
    "sleep 1000 & sleep 1000 & sleep 1000 &",
    "setsid sleep 1000 &",
    "(setsid sleep 1000 &)",
    "(sleep 1000 & exec true) & exec true",
    "(setsid sh -c 'setsid sleep 1000 & setsid sleep 1000 &' &) ; kill -9 $$",
    "sh -c '(trap \"\" TERM HUP; sleep 1000; true) &' ; exec sh -c true",
];

#[test]
fn a_child_that_ends_at_once_leaves_nothing_however_it_was_left() {
    let _alone = Alone::new();
    let mut supervisor = supervisor();
    for way in WAYS {
        for _ in 0..TRIES {
            assert!(leaves_nothing(&mut supervisor, shell(way)), "{way}");
        }
    }
}

#[test]
fn a_process_that_its_maker_gave_to_its_own_parent_goes_with_its_maker() {
    let _alone = Alone::new();
    let mut supervisor = supervisor();
    for _ in 0..TRIES {
        assert!(leaves_nothing(&mut supervisor, in_role("maker of a sibling")));
    }
}

#[test]
fn children_that_end_at_the_same_time_are_not_taken_for_heirs_nor_heirs_for_them() {
    let _alone = Alone::new();
    let mut supervisor = supervisor();
    for _ in 0..TRIES {
        let (held, hold) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        for way in WAYS {
            let hold = Output::To(hold.try_clone().unwrap());
            supervisor.spawn(shell(way).stdout(hold)).unwrap();
        }
        drop(hold);
        for _ in WAYS {
            assert!(matches!(supervisor.next_event(Some(LIMIT)).unwrap(), Some(Happening::Ended(..))));
        }
        assert!(is_over(&held));
    }
}

/// Not a test: what others run as another process.
#[test]
fn role() {
    match std::env::var(ROLE).as_deref() {
        Ok("maker of a sibling") => make_sibling(),
        Ok("first of a namespace") => live_in_namespace(),
        _ => {}
    }
}

/// Leaves a process that is no child of this one, but a child of this one's parent.
fn make_sibling() {
    let (told, tell) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    // SAFETY: the new process makes system calls only, and never returns.
    unsafe {
        let flags = libc::CLONE_PARENT | libc::SIGCHLD;
        if libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) == 0 {
            libc::setsid();
            libc::close(std::os::fd::AsRawFd::as_raw_fd(&tell));
            libc::pause();
            libc::_exit(0);
        }
    }
    drop(tell);
    // It is there: it has closed its copy.
    rustix::io::read(&told, &mut [0; 1]).unwrap();
    std::process::exit(0);
}

/// The numbers of processes begin anew in the midst of this, in a namespace where nobody else takes any.
#[test]
fn nothing_is_left_where_the_numbers_begin_anew() {
    let _alone = Alone::new();
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "role", "--nocapture"])
        .env(ROLE, "first of a namespace")
        .stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        eprintln!("left out: there is no program unshare");
        return;
    };
    let told: Vec<String> = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok).collect();
    let status = child.wait().unwrap();
    if told.iter().any(|line| line == "the numbers began anew") {
        assert!(status.success(), "{told:?}");
    } else {
        // As in many containers.
        assert!(told.iter().all(|line| !line.contains("panicked")), "{told:?}");
        eprintln!("left out: this user may make no namespaces: {told:?}");
    }
}

fn live_in_namespace() {
    let set = |name: &str, value: &str| fs::write(format!("/proc/sys/kernel/{name}"), value);
    // Kernels before 6.14 have one bound for all, which is not to be touched.
    let bound: i32 = fs::read_to_string("/proc/sys/kernel/pid_max").unwrap().trim().parse().unwrap();
    if std::process::id() > 10 || set("ns_last_pid", &format!("{}", bound - 40)).is_err() {
        std::process::exit(1);
    }
    let mut supervisor = supervisor();
    let mut highest = 0;
    loop {
        for way in WAYS {
            let (held, hold) = pipe_with(PipeFlags::CLOEXEC).unwrap();
            let id = supervisor.spawn(shell(way).stdout(Output::To(hold))).unwrap();
            let number = supervisor.pid(id).unwrap();
            assert!(matches!(supervisor.next_event(Some(LIMIT)).unwrap(), Some(Happening::Ended(..))));
            assert!(is_over(&held), "{way}");
            if number < highest {
                eprintln!("the numbers began anew");
                return;
            }
            highest = number;
        }
    }
}
