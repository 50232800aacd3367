//! What a supervising program itself does about signals.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::process::{Signal, getpid, kill_process};

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

/// The same for all by which a user ends a program: SIGINT, SIGTERM and SIGHUP. [`taken_signal`] says
/// which one came.
///
/// # Errors
/// As for [`termination_requests`].
pub fn interruption_requests() -> io::Result<OwnedFd> {
    platform::signal_descriptor(&[libc::SIGINT, libc::SIGTERM, libc::SIGHUP])
}

/// Takes one signal that came, by its number; `None` where no more has come.
pub fn taken_signal(requests: impl AsFd) -> Option<i32> {
    // The kernel writes records of 128 bytes that begin with the signal's number.
    let mut record = [0; 128];
    let read = rustix::io::read(requests, &mut record).ok()?;
    let number = record.first_chunk().filter(|_| read == record.len())?;
    i32::try_from(u32::from_ne_bytes(*number)).ok()
}

/// Ends this process as this signal does where nothing is done about it, so that a shell sees what
/// ended it.
pub fn end_by_signal(signal: i32) -> ! {
    platform::restore(signal);
    if let Some(known) = Signal::from_named_raw(signal) {
        // It fails for no signal that can come.
        let _ = kill_process(getpid(), known);
    }
    // Where it ends nothing, as for process 1 of a container.
    std::process::exit(128 + signal)
}

/// Leaves the terminal and the session of who started us. Does nothing where this process leads a
/// session already.
pub fn new_session() {
    // It fails only for who leads a process group already, and then signals of the terminal still
    // do not end it: see `ignore_interrupts`.
    let _ = rustix::process::setsid();
}
