//! What the C library alone can tell.

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

unsafe extern "C" {
    /// Of the C library, which no crate declares.
    static stdout: *mut libc::FILE;
}

/// Passes on what C code has printed and its library has kept so far. Only of standard output, as
/// another stream may be locked by a thread that waits for something.
pub(crate) fn flush_c_stdout() {
    // SAFETY: the C library's own stream, which nobody may close for good.
    unsafe { libc::fflush(stdout) };
}

static GENERATION: AtomicU32 = AtomicU32::new(0);

extern "C" fn count_fork() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// How many forks lie between this process and the first one that asked: changes in a child, so
/// that a loop can tell for the price of a load whether it still is who it was.
pub fn fork_generation() -> u32 {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // SAFETY: the handler only touches an atomic, which is allowed in a forked child.
        // Without memory for the registration forks go unseen, and the child's requests are
        // refused by the client.
        unsafe { libc::pthread_atfork(None, None, Some(count_fork)) };
    });
    GENERATION.load(Ordering::Relaxed)
}

/// Ends this process at once, without what a program does at its end: for a child that a task forked
/// and let come back, in which everything open is its parent's.
pub fn leave_fork() -> ! {
    // SAFETY: the call has no preconditions.
    unsafe { libc::_exit(0) }
}

/// Keeps SIGPIPE from this thread: to write to nobody is an error for it, whatever the program wants.
pub(crate) fn block_broken_pipes() {
    // SAFETY: the set is initialised before it is used.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGPIPE);
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
    }
}
