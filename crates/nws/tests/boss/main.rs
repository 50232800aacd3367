//! Bosses with real workers. Host and workers are this test program, started again for the one test
//! that calls `nws::init()` and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test an unwrap is an assertion")]

mod failures;
#[path = "../limited/mod.rs"]
mod limited;
mod signals;
mod work;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use limited::limited;
use nws::boss::{Boss, Builder};
use serde::{Deserialize, Serialize};

#[test]
fn the_processes_of_bosses_begin_here() {
    nws::init();
}

/// A Boss of this test program.
fn builder<I, R>() -> Builder<I, R>
where
    I: Clone + Send + 'static,
    R: Clone + Send + 'static,
{
    nws::init();
    Boss::builder().args(["the_processes_of_bosses_begin_here", "--exact", "--nocapture", "--test-threads=1"])
}

/// What workers of these tests are told to do, with notes of it in a folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Order {
    /// Notes that it began, and returns this.
    Return(u32),
    /// Returns this when the file is there.
    WaitFor(PathBuf, u32),
    /// Notes its process, and never ends, with children wherever they could flee to.
    Stay(PathBuf),
    Fail(String),
    Panic(String),
    /// By this signal.
    Kill(i32),
    Exit(i32),
    /// Aborts when it has left its report.
    AbortAtEnd,
}

unsafe extern "C" {
    /// Of the C library, which every program is linked to.
    fn atexit(function: extern "C" fn()) -> i32;
}

extern "C" fn abort() {
    std::process::abort();
}

#[nws::task]
fn obey(order: &Order) -> Result<u32, String> {
    match order {
        Order::Return(value) => Ok(*value),
        Order::WaitFor(file, value) => {
            until(|| file.exists());
            Ok(*value)
        }
        Order::Stay(note) => {
            let script = "(setsid sleep 1000 &); sleep 1000 & wait";
            let mut child = std::process::Command::new("sh").args(["-c", script]).spawn().unwrap();
            fs::write(note.with_extension("draft"), std::process::id().to_string()).unwrap();
            fs::rename(note.with_extension("draft"), note).unwrap();
            child.wait().unwrap();
            Ok(0)
        }
        Order::Fail(message) => Err(message.clone()),
        Order::Panic(message) => panic!("{message}"),
        Order::Kill(signal) => {
            let signal = rustix::process::Signal::from_named_raw(*signal).unwrap();
            rustix::process::kill_process(rustix::process::getpid(), signal).unwrap();
            // Another thread may be the one that it comes to.
            loop {
                thread::park();
            }
        }
        Order::Exit(code) => std::process::exit(*code),
        Order::AbortAtEnd => {
            // SAFETY: the function may be called at the end of a process.
            assert_eq!(unsafe { atexit(abort) }, 0);
            Ok(0)
        }
    }
}

/// Looks until it holds.
fn until(holds: impl Fn() -> bool) {
    while !holds() {
        thread::yield_now();
    }
}

/// The process that noted itself in this file.
fn noted(path: &Path) -> i32 {
    until(|| path.exists());
    fs::read_to_string(path).unwrap().parse().unwrap()
}

fn is_there(pid: i32) -> bool {
    rustix::process::test_kill_process(rustix::process::Pid::from_raw(pid).unwrap()).is_ok()
}
