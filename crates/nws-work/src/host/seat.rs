//! What every host proper has before it knows what it is for.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nws_supervise::Supervisor;
use rustix::process::{Pid, PidfdFlags, Signal, getppid, pidfd_open, pidfd_send_signal};

use super::channel::Channel;
use super::vigil::Pulse;

/// Tokens of what a [`Seat`] watches.
pub(super) const CONTROL: u64 = 0;
pub(super) const TERMINATION: u64 = 1;
pub(super) const WARDEN: u64 = 2;
pub(super) const VIGIL: u64 = 3;
/// The first token for others.
pub(super) const FREE: u64 = 4;
/// How often a channel whose other end does not read is tried again.
pub(super) const UNREAD: Duration = Duration::from_millis(20);

/// A supervisor that hears its master, its warden and who asks it to end.
pub(super) struct Seat {
    pub(super) supervisor: Supervisor,
    /// Its standard input.
    pub(super) control: Channel,
    pub(super) pulse: Pulse,
    /// `None`: it had ended before this process could look.
    pub(super) warden: Option<OwnedFd>,
    /// Watched for as long as it is kept.
    pub(super) termination: OwnedFd,
}

impl Seat {
    /// To be called first, with the process id of the warden that started this process.
    ///
    /// # Errors
    /// Where the system refuses what every process may do.
    pub(super) fn take(warden_pid: i32) -> io::Result<Self> {
        nws_supervise::ignore_interrupts();
        let termination = nws_supervise::termination_requests()?;
        let mut supervisor = Supervisor::new()?;
        let control = Channel::new(io::stdin().as_fd().try_clone_to_owned()?);
        supervisor.watch_fd(control.descriptor(), CONTROL)?;
        supervisor.watch_fd(&termination, TERMINATION)?;
        let warden = watch_warden(warden_pid, &mut supervisor)?;
        let pulse = Pulse::inherited(Instant::now())?;
        supervisor.watch_fd(pulse.descriptor(), VIGIL)?;
        Ok(Self { supervisor, control, pulse, warden, termination })
    }
}

/// Has the warden's end told; `None` where it has ended already.
fn watch_warden(pid: i32, supervisor: &mut Supervisor) -> io::Result<Option<OwnedFd>> {
    let Some(pid) = Pid::from_raw(pid) else { return Ok(None) };
    let Ok(warden) = pidfd_open(pid, PidfdFlags::empty()) else { return Ok(None) };
    // Were it gone, its number could be another's: but then it would not be our parent.
    if getppid() != Some(pid) {
        return Ok(None);
    }
    supervisor.watch_fd(&warden, WARDEN)?;
    Ok(Some(warden))
}

/// Ends a warden that is stopped, or hangs: it would not end anything when we die.
pub(super) fn kill(warden: Option<&OwnedFd>) {
    if let Some(warden) = warden {
        // It fails where it has ended.
        let _ = pidfd_send_signal(warden, Signal::KILL);
    }
}
