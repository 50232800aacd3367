//! Starting a program. The child borrows our memory until it is that program, as copying it would cost
//! more than all else, and we are halted for as long.
//!
//! So the child makes plain system calls only: it allocates nothing, takes no lock and cannot panic.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use rustix::process::Pid;

use crate::image::Image;

/// The child's own until it has ended or is another program. It needs a few hundred bytes.
const STACK_BYTES: usize = 64 << 10;
/// What runs a script that does not say what does.
const SHELL: &CStr = c"/bin/sh";
/// The exit code of a child that has become nothing: nobody sees it but us.
const NOTHING: c_int = 127;

/// What becomes of a child before it is its program: a session of its own, death with `parent` where
/// one is named, default signals, no descriptors but `moves`.
#[derive(Debug)]
pub(crate) struct SetUp<'a> {
    /// Our process id.
    pub(crate) parent: Option<Pid>,
    /// From, to. One must not be moved to a number that a later one is moved from.
    pub(crate) moves: &'a [(RawFd, RawFd)],
}

/// What the child reads, and where it says what failed.
struct Order<'a> {
    parent: Option<c_int>,
    /// Those that are not at their default.
    signals: &'a [c_int],
    moves: &'a [(RawFd, RawFd)],
    folder: *const c_char,
    paths: &'a [CString],
    arguments: *const *const c_char,
    /// The shell, the place for a path, and the arguments without the name.
    script: &'a mut [*const c_char],
    environment: *const *const c_char,
    /// 0: nothing failed.
    error: c_int,
}

/// Starts a program.
///
/// # Errors
/// Why it cannot be started, as `fork` and `execvp` say it.
pub(crate) fn start(image: &Image, set_up: &SetUp<'_>) -> io::Result<(Pid, OwnedFd)> {
    let arguments = pointers(&[], &image.arguments);
    let environment = pointers(&[], &image.environment);
    let mut script = pointers(&[SHELL.as_ptr(), std::ptr::null()], image.arguments.get(1..).unwrap_or_default());
    let signals = changed_signals();
    let mut order = Order {
        parent: set_up.parent.map(|parent| parent.as_raw_nonzero().get()),
        signals: &signals,
        moves: set_up.moves,
        folder: image.folder.as_ref().map_or(std::ptr::null(), |folder| folder.as_ptr()),
        paths: &image.paths,
        arguments: arguments.as_ptr(),
        script: &mut script,
        environment: environment.as_ptr(),
        error: 0,
    };
    let (pid, descriptor) = fork(&mut order)?;
    if order.error == 0 {
        return Ok((pid, descriptor));
    }
    // It has ended, and nobody has heard of it.
    let _ = super::reap(pid);
    Err(io::Error::from_raw_os_error(order.error))
}

/// An array as C wants it.
fn pointers(first: &[*const c_char], texts: &[CString]) -> Vec<*const c_char> {
    let texts = texts.iter().map(|text| text.as_ptr());
    first.iter().copied().chain(texts).chain([std::ptr::null()]).collect()
}

fn fork(order: &mut Order<'_>) -> io::Result<(Pid, OwnedFd)> {
    // Of words of 16 bytes, as a stack is to be aligned.
    let mut stack = Vec::<u128>::with_capacity(STACK_BYTES / 16);
    let mut descriptor: c_int = -1;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    // SAFETY: the child runs `become_it` on a stack of its own, which grows down from the end of memory
    // that is ours, and reads `order`; both outlive it in our memory, as this thread is halted until it
    // has ended or executes. Signals stay blocked meanwhile, so that no handler of ours runs in it. A
    // descriptor that the kernel just made belongs to nobody else.
    unsafe {
        let top = stack.as_mut_ptr().add(stack.capacity());
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        let order: *mut Order<'_> = order;
        let pid = libc::clone(become_it, top.cast(), flags, order.cast(), &raw mut descriptor);
        let error = io::Error::last_os_error();
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
        let Some(pid) = (pid > 0).then(|| Pid::from_raw(pid)).flatten() else { return Err(error) };
        if descriptor < 0 {
            return Err(io::Error::other("expected Linux 5.3 or later: this one gives no descriptors of processes"));
        }
        Ok((pid, OwnedFd::from_raw_fd(descriptor)))
    }
}

extern "C" fn become_it(order: *mut c_void) -> c_int {
    // SAFETY: `fork` gives its own order, which nobody else looks at until this process has gone; and
    // these are plain system calls on what is in it.
    unsafe {
        let order = &mut *order.cast::<Order<'_>>();
        order.error = if set_up(order) { execute(order) } else { last_error() };
        libc::_exit(NOTHING)
    }
}

/// # Safety
/// Only for the child.
unsafe fn set_up(order: &Order<'_>) -> bool {
    // SAFETY: these are plain system calls on numbers of our own, and on a path that ends with a 0.
    unsafe {
        if libc::setsid() < 0 {
            return false;
        }
        if let Some(parent) = order.parent {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) < 0 {
                return false;
            }
            if libc::getppid() != parent {
                // The parent died before its death could be a signal to us.
                libc::_exit(NOTHING);
            }
        }
        for signal in order.signals {
            libc::signal(*signal, libc::SIG_DFL);
        }
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::pthread_sigmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
        // What a careless library opened without CLOEXEC is not the child's. Kernels before
        // 5.11 refuse; our own descriptors are closed by their own flag.
        libc::close_range(3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC as i32);
        order.moves.iter().all(|(from, to)| libc::dup2(*from, *to) >= 0)
            && (order.folder.is_null() || libc::chdir(order.folder) == 0)
    }
}

/// Tries one place after the other; the error that tells most.
///
/// # Safety
/// Only for the child.
unsafe fn execute(order: &mut Order<'_>) -> c_int {
    let mut told = libc::ENOENT;
    for path in order.paths {
        // SAFETY: all are arrays that end with a null, of texts that end with a 0.
        unsafe {
            libc::execve(path.as_ptr(), order.arguments, order.environment);
            let mut error = last_error();
            if error == libc::ENOEXEC
                && let Some(place) = order.script.get_mut(1)
            {
                *place = path.as_ptr();
                libc::execve(SHELL.as_ptr(), order.script.as_ptr(), order.environment);
                error = last_error();
            }
            match error {
                libc::ENOENT | libc::ENOTDIR | libc::ESTALE | libc::ENODEV | libc::ETIMEDOUT => {}
                // There may be one further on that may be executed.
                libc::EACCES => told = error,
                _ => return error,
            }
        }
    }
    told
}

fn last_error() -> c_int {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL)
}

/// The signals that this process ignores or handles.
fn changed_signals() -> Vec<c_int> {
    let is_changed = |signal: &c_int| {
        // SAFETY: `sigaction` is plain data, for which zeroes are a value, and only read here.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            libc::sigaction(*signal, std::ptr::null(), &mut action) == 0 && action.sa_sigaction != libc::SIG_DFL
        }
    };
    (1..=libc::SIGRTMAX()).filter(is_changed).collect()
}
