//! Everything `unsafe` of this crate, and what only Linux has.

mod fork;

use std::io;
use std::time::Duration;

pub(crate) use fork::{SetUp, start};
use rustix::process::{Pid, getpid, set_child_subreaper};

/// Makes this process the parent of orphans among its descendants, and keeps dead children until they
/// are reaped.
pub(crate) fn become_subreaper() -> io::Result<()> {
    // SAFETY: `sigaction` is plain data, for which zeroes are a value; no handler is involved.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGCHLD, std::ptr::null(), &mut action);
        // Who started us may have left it so. Then the kernel would forget how a child ended.
        if action.sa_sigaction == libc::SIG_IGN {
            libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        }
    }
    Ok(set_child_subreaper(Some(getpid()))?)
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// What the kernel tells when it gives a dead child up.
pub(crate) struct Reaped {
    pub(crate) status: i32,
    pub(crate) peak_memory_bytes: u64,
    pub(crate) cpu: Duration,
}

/// Takes the status of one dead child; `None` while it lives.
pub(crate) fn reap(pid: Pid) -> io::Result<Option<Reaped>> {
    let mut status = 0;
    // SAFETY: `rusage` is plain numbers, for which zeroes are a value; both pointers are ours.
    let (result, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        let result = libc::wait4(pid.as_raw_nonzero().get(), &mut status, libc::WNOHANG, &mut usage);
        (result, usage)
    };
    check(result)?;
    if result == 0 {
        return Ok(None);
    }
    let peak_memory_bytes = u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024;
    Ok(Some(Reaped { status, peak_memory_bytes, cpu: duration(usage.ru_utime) + duration(usage.ru_stime) }))
}

fn duration(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let micros = u64::try_from(time.tv_usec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(micros)
}

/// A dead child of ours, whichever, that stays to be reaped.
pub(crate) fn any_dead_child() -> Option<Pid> {
    // SAFETY: `siginfo_t` is plain bytes, for which zeroes are a value; the pointer is ours, and
    // `si_pid` is what the kernel fills in for waitid.
    let (result, pid) = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let result = libc::waitid(libc::P_ALL, 0, &mut info, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT);
        (result, info.si_pid())
    };
    if result == 0 { Pid::from_raw(pid) } else { None }
}

/// Whether this process has a child of this number, dead ones that were not reaped among them.
pub(crate) fn is_child(pid: i32) -> bool {
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    // SAFETY: `siginfo_t` is plain bytes, for which zeroes are a value; the pointer is ours.
    let result = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        libc::waitid(libc::P_PID, pid.unsigned_abs(), &mut info, options)
    };
    // Whoever is not told to be none may be one.
    result == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::ECHILD)
}

/// Ignores these signals from now on.
pub(crate) fn ignore(signals: &[i32]) {
    for signal in signals {
        // SAFETY: no handler is involved.
        unsafe { libc::signal(*signal, libc::SIG_IGN) };
    }
}

/// Does the default about this signal, and lets it come to this thread.
pub(crate) fn restore(signal: i32) {
    // SAFETY: no handler is involved, and the set is initialised before it is used.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut());
    }
}

/// Blocks these signals in this thread and those it starts from now on, and gives a descriptor
/// that is readable when one of them came.
pub(crate) fn signal_descriptor(signals: &[i32]) -> io::Result<std::os::fd::OwnedFd> {
    use std::os::fd::FromRawFd;
    // SAFETY: the set is initialised before it is used, and a descriptor that the kernel just made
    // belongs to nobody else.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        check(libc::sigemptyset(&mut set))?;
        for signal in signals {
            check(libc::sigaddset(&mut set, *signal))?;
        }
        match libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) {
            0 => {}
            error => return Err(io::Error::from_raw_os_error(error)),
        }
        let descriptor = libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        check(descriptor)?;
        Ok(std::os::fd::OwnedFd::from_raw_fd(descriptor))
    }
}
