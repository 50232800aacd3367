//! The process that outlives the host proper, to end what that leaves.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nws_runtime::RuntimeDir;
use nws_supervise::{End, Happening, Output, ProcessId, Supervisor};
use rustix::fs::{FileType, fstat};
use rustix::process::{PidfdFlags, getppid, pidfd_open};

use super::channel::Channel;
use super::vigil::{VIGIL_FD, Watch};
use crate::control::{Cause, FromHost};
use crate::roles::{self, Role, Serves};

/// How long the host proper may take to end everything before it is ended itself.
const ORDERLY_END: Duration = Duration::from_secs(3);
/// How long the master may take to read the last message.
const LAST_MESSAGE: Duration = Duration::from_secs(1);

const MASTER: u64 = 0;
const HANGUP: u64 = 1;
const TERMINATION: u64 = 2;
const VIGIL: u64 = 3;

/// Starts the host proper and waits for its end, then ends what is left of it. The standard input
/// of this process is the control channel.
///
/// # Errors
/// Where that is no socket, or the system refuses what every process may do, which the master is
/// told then, too.
pub fn warden(serves: Serves) -> io::Result<()> {
    nws_supervise::ignore_interrupts();
    if !FileType::from_raw_mode(fstat(io::stdin())?.st_mode).is_socket() {
        let message = "expected a socket to a master as standard input, got something else; sleighs start this by \
                       themselves";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let mut control = Channel::new(io::stdin().as_fd().try_clone_to_owned()?);
    let end = watch(&control, serves);
    if let Ok(folder) = RuntimeDir::open() {
        // To look for servers is to remove the folders of dead ones.
        let _ = folder.servers();
    }
    match &end {
        Ok((end, _)) if end.status.is_success() => return Ok(()),
        Ok((end, silent)) => control.send(&FromHost::HostDied { cause: explain(end, *silent) }),
        Err(error) => control.send(&FromHost::Failed { message: format!("the host process cannot run: {error}") }),
    }
    finish_writing(&mut control);
    end.map(|_| ())
}

fn explain(end: &End, silent: bool) -> Cause {
    let cause = Cause::from(end);
    if silent { cause.preceded_by("it was silent (stopped, or hanging), so its warden ended it") } else { cause }
}

/// How the host proper ended, and whether that was for its silence.
fn watch(control: &Channel, serves: Serves) -> io::Result<(End, bool)> {
    // The master's pid first: it may be gone at any moment, and its number another's.
    let master = getppid().and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    nws_supervise::new_session();
    let termination = nws_supervise::termination_requests()?;
    let mut supervisor = Supervisor::new()?;
    if let Some(master) = &master {
        supervisor.watch_fd(master, MASTER)?;
    }
    supervisor.watch_hangup(control.descriptor(), HANGUP)?;
    supervisor.watch_fd(&termination, TERMINATION)?;
    let pid = std::process::id().to_string();
    let role = Role::Host(std::process::id().cast_signed(), serves);
    let arguments = [&["host", "--warden", &pid], serves.arguments()].concat();
    let (mut vigil, its_vigil) = Watch::new(Instant::now())?;
    supervisor.watch_fd(vigil.descriptor(), VIGIL)?;
    let host = supervisor.spawn(
        roles::spawn(role, &arguments, control.descriptor())?
            .descriptor(control.descriptor().try_clone_to_owned()?, 0)
            .descriptor(its_vigil, VIGIL_FD)
            .stdout(Output::Inherit)
            .stderr(Output::Inherit)
            // It sees our end by itself, and then has more to do than to die.
            .outlive_supervisor(),
    )?;
    let ended = wait(&mut supervisor, host, &mut vigil)?;
    supervisor.end_all(Duration::ZERO);
    Ok(ended)
}

/// Waits for the end of the host proper, and sees to it once the master is gone, somebody asks, or the
/// host is silent.
fn wait(supervisor: &mut Supervisor, host: ProcessId, vigil: &mut Watch) -> io::Result<(End, bool)> {
    let mut deadline: Option<Instant> = None;
    let mut silent = false;
    loop {
        let due = [deadline, vigil.due()].into_iter().flatten().min();
        let left = due.map(|due| due.saturating_duration_since(Instant::now()));
        match supervisor.next_event(left)? {
            Some(Happening::Ended(_, end)) => return Ok((end, silent)),
            Some(Happening::Readable(VIGIL)) => {
                if !vigil.listen(Instant::now()) {
                    supervisor.unwatch(vigil.descriptor());
                }
            }
            Some(Happening::Readable(_)) => {
                supervisor.ask_to_end(host);
                deadline.get_or_insert_with(|| Instant::now() + ORDERLY_END);
            }
            Some(Happening::Woken) => {}
            None => {
                let now = Instant::now();
                silent |= vigil.is_silent(now);
                if silent || deadline.is_some_and(|deadline| deadline <= now) {
                    supervisor.kill_tree(host);
                    deadline = None;
                }
            }
        }
    }
}

/// Lets the master take what it was told, for a while.
pub(super) fn finish_writing(control: &mut Channel) {
    let deadline = Instant::now() + LAST_MESSAGE;
    control.flush();
    while control.is_behind() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
        control.flush();
    }
}
