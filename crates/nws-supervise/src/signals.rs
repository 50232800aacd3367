//! What a supervising program itself does about signals.

use std::io;
use std::os::fd::OwnedFd;

use crate::platform;

/// Ignores SIGINT, SIGQUIT and SIGHUP: a Ctrl-C is the user's word to the program that the
/// supervisor serves. Children of a [`crate::Supervisor`] start with the default again.
pub fn ignore_interrupts() {
    platform::ignore(&[libc::SIGINT, libc::SIGQUIT, libc::SIGHUP]);
}

/// Gives a descriptor that becomes readable when SIGTERM comes, which ends nothing any more. To be
/// called before the first thread is started.
///
/// # Errors
/// Where the process has no descriptors left.
pub fn termination_requests() -> io::Result<OwnedFd> {
    platform::signal_descriptor(&[libc::SIGTERM])
}

/// Leaves the terminal and the session of who started us. Does nothing where this process leads a
/// session already.
pub fn new_session() {
    // It fails only for who leads a process group already, and then signals of the terminal still
    // do not end it: see `ignore_interrupts`.
    let _ = rustix::process::setsid();
}
