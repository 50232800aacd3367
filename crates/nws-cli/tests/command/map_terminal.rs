//! `nws map` on a terminal: progress, Ctrl-C, and a terminal that goes away.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};

use crate::home::{Home, output};
use crate::processes::{assert_gone, limit, tree};

/// Both ends of a new terminal: the user's, and the program's.
fn terminal() -> (File, OwnedFd) {
    let (mut user, mut program) = (-1, -1);
    let nothing = std::ptr::null_mut();
    // SAFETY: both numbers are written before they are used, and belong to nobody else.
    unsafe {
        assert_eq!(libc::openpty(&mut user, &mut program, nothing, std::ptr::null(), std::ptr::null()), 0);
        for descriptor in [user, program] {
            assert!(libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) >= 0);
        }
        (File::from_raw_fd(user), OwnedFd::from_raw_fd(program))
    }
}

/// Starts it with a terminal of its own for standard input and error.
fn start_on(mut command: Command, program: OwnedFd) -> Child {
    command.stdin(Stdio::from(program.try_clone().unwrap())).stdout(Stdio::piped()).stderr(Stdio::from(program));
    // SAFETY: both are system calls.
    unsafe {
        command.pre_exec(|| {
            libc::setsid();
            if libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
        });
    }
    command.spawn().unwrap()
}

/// Reads what the terminal shows until this is among it.
fn shows(user: &mut File, expected: &str) -> String {
    let mut shown = String::new();
    let mut byte = [0];
    while !shown.contains(expected) {
        assert_eq!(user.read(&mut byte).unwrap(), 1, "{shown:?}");
        shown.push(char::from(byte[0]));
    }
    shown
}

#[test]
fn progress_is_shown_on_a_terminal_and_taken_away_at_the_end() {
    let _limit = limit();
    let home = Home::new();
    let (mut user, program) = terminal();
    let script = "until test -e go; do :; done; echo $1";
    let mut command = home.command(["map", "-j1", "--", "sh", "-c", script, "sh", "{}", ":::", "1", "2"]);
    command.current_dir(home.path());
    let child = start_on(command, program);
    shows(&mut user, "0/2 jobs, 1 running");
    fs::write(home.path().join("go"), "").unwrap();
    // What the line was is overwritten with nothing before anything else is there.
    shows(&mut user, "\r\u{1b}[K");
    let ended = output(child);
    assert_eq!((ended.status.code(), ended.stdout.as_slice()), (Some(0), &b"1\n2\n"[..]));
}

#[test]
fn ctrl_c_and_a_terminal_that_goes_away_end_all_jobs() {
    let _limit = limit();
    for (closes, signal) in [(false, 2), (true, 1)] {
        let home = Home::new();
        let (user, program) = terminal();
        let script = "(setsid sleep 1000 &) ; sleep 1000 & touch begun; wait";
        let mut command = home.command(["map", "--", "sh", "-c", script, "sh", "{}", ":::", "1"]);
        command.current_dir(home.path());
        let child = start_on(command, program);
        while !home.path().join("begun").exists() {
            std::thread::yield_now();
        }
        let everything = tree(child.id());
        if closes {
            drop(user);
        } else {
            rustix::io::write(&user, b"\x03").unwrap();
        }
        assert_eq!(output(child).status.signal(), Some(signal));
        assert_gone(&everything);
    }
}
