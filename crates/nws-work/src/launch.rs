//! Starts a host process and holds the master's end of the control channel.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::control::{FromHost, Start, ToHost, read_message, write_message, write_message_with};
use crate::error::WorkError;
use crate::roles::{self, OWN_PROGRAM, ROLE_VARIABLE, Role, Serves};

/// How long a host may take to end before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// A running host process.
#[derive(Debug)]
pub struct Host {
    control: Mutex<UnixStream>,
    process: Mutex<Child>,
    owner_pid: u32,
}

impl Host {
    /// Starts `nws host` with this binary, or this program itself for [`OWN_PROGRAM`], with the
    /// arguments that the workers get. What it and its workers print is appended to `outfile` where
    /// there is one, and else goes where this process's output goes. `on_message` gets everything it
    /// says, on a thread of its own, and `None` when it says no more.
    ///
    /// # Errors
    /// [`WorkError::Start`] where the binary cannot be run, or `outfile` not be opened.
    pub fn start(
        binary: &Path,
        start: Start,
        outfile: Option<&Path>,
        on_message: impl FnMut(Option<FromHost>) + Send + 'static,
    ) -> Result<Host, WorkError> {
        let host = Self::launch(binary, Serves::Sleigh, &start.worker.args, outfile, on_message)?;
        host.send(&ToHost::Start(Box::new(start)))?;
        Ok(host)
    }

    /// The same for a host that serves in any way: `own_args` are what this program is started with
    /// again where it is its own host.
    pub(crate) fn launch<M: DeserializeOwned>(
        binary: &Path,
        serves: Serves,
        own_args: &[impl AsRef<OsStr>],
        outfile: Option<&Path>,
        mut on_message: impl FnMut(Option<M>) + Send + 'static,
    ) -> Result<Host, WorkError> {
        let (ours, theirs) = UnixStream::pair()?;
        // As standard input the descriptor needs no work between fork and exec, so that also a
        // large master starts its host at once.
        let mut command = Command::new(binary);
        if binary == Path::new(OWN_PROGRAM) {
            let told = Role::Warden(serves).told(&theirs)?;
            command.arg0(roles::own_name()).args(own_args).env(ROLE_VARIABLE, told);
        } else {
            command.arg("host").args(serves.arguments());
        }
        command.stdin(Stdio::from(OwnedFd::from(theirs)));
        if let Some(path) = outfile {
            let file = open_output(path)?;
            command.stdout(file.try_clone()?).stderr(file);
        }
        let process =
            command.spawn().map_err(|error| WorkError::Start(format!("cannot start {}: {error}", binary.display())))?;
        let reader = ours.try_clone()?;
        let host = Host { control: Mutex::new(ours), process: Mutex::new(process), owner_pid: std::process::id() };
        std::thread::Builder::new().name("nws-control".into()).spawn(move || {
            let mut reader = BufReader::new(reader);
            loop {
                // A broken line is as good as an end: nothing after it can be trusted.
                let message = read_message(&mut reader).unwrap_or_default();
                let over = message.is_none();
                on_message(message);
                if over {
                    return;
                }
            }
        })?;
        Ok(host)
    }

    /// Says something to the host.
    ///
    /// # Errors
    /// Those of the channel: the host has ended.
    pub fn send(&self, message: &impl Serialize) -> io::Result<()> {
        write_message(&*self.control(), message)
    }

    /// The same, and hands over descriptors with it.
    pub(crate) fn send_with(&self, message: &impl Serialize, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        write_message_with(&*self.control(), message, descriptors)
    }

    fn control(&self) -> MutexGuard<'_, UnixStream> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this process is a fork's copy of the one that started the host.
    pub(crate) fn is_foreign(&self) -> bool {
        std::process::id() != self.owner_pid
    }

    /// Ends the host and all that it started, and waits for that.
    pub fn stop(&self) {
        self.stop_by(&ToHost::Stop);
    }

    /// The same, asked for by this message.
    pub(crate) fn stop_by(&self, message: &impl Serialize) {
        if self.is_foreign() {
            // A forked copy of the master: the host is not its own.
            return;
        }
        // Where the channel is broken the host is ending already.
        let _ = self.send(message);
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let deadline = Instant::now() + STOP_TIMEOUT;
        let mut pause = Duration::from_micros(200);
        // Another part of the program may have reaped our child: then there is nothing to wait for.
        while let Ok(None) = process.try_wait() {
            if Instant::now() >= deadline {
                let _ = process.kill();
                let _ = process.wait();
                return;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(10));
        }
    }

    /// The host's process id.
    pub fn pid(&self) -> u32 {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).id()
    }
}

fn open_output(path: &Path) -> Result<File, WorkError> {
    let opened = File::options().append(true).create(true).open(path);
    opened.map_err(|error| WorkError::Start(format!("outfile: cannot write to {}: {error}", path.display())))
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop();
    }
}
