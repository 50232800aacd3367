//! What to start.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Pid, getpid};

use crate::platform;

/// The environment variable by which an orphan tells which child it descends from. Its value is
/// `PID-N`: the supervisor's process id, and the child's number.
pub const PROCESS_MARKER: &str = "NWS_PROCESS";

/// Where a child's standard output or error goes.
#[derive(Debug, Default)]
pub enum Output {
    /// To our own, line by line; the last lines of standard error are kept.
    #[default]
    Lines,
    /// To our own, as it is.
    Inherit,
    /// To this descriptor.
    To(OwnedFd),
}

/// A process to be started. Its standard input is empty unless `descriptors` has a number 0.
#[derive(Debug)]
pub struct Spawn {
    /// The program: a path, or a name to be found in `PATH`.
    pub program: OsString,
    /// Its arguments, without the program's name.
    pub args: Vec<OsString>,
    /// The name that it is told to have, where that is not `program`.
    pub arg0: Option<OsString>,
    /// Changes of the environment: a value to set, or `None` to remove the name.
    pub env: Vec<(OsString, Option<OsString>)>,
    /// The folder to start in; our own where there is none.
    pub cwd: Option<PathBuf>,
    /// Descriptors to hand over, and the numbers that the child shall find them under: 0, or 3 and
    /// up to 63. It gets no others but its standard ones.
    pub descriptors: Vec<(OwnedFd, RawFd)>,
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
    /// Whether it lives on when the supervisor's thread ends: it then sees that by other means.
    pub outlives_supervisor: bool,
}

const HIGHEST_NUMBER: RawFd = 63;

impl Spawn {
    /// A process that runs `program`.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            arg0: None,
            env: Vec::new(),
            cwd: None,
            descriptors: Vec::new(),
            stdout: Output::Lines,
            stderr: Output::Lines,
            outlives_supervisor: false,
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets the name that it is told to have.
    pub fn arg0(mut self, name: impl Into<OsString>) -> Self {
        self.arg0 = Some(name.into());
        self
    }

    /// Sets a name in the environment.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), Some(value.into())));
        self
    }

    /// Sets the folder to start in.
    pub fn cwd(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cwd = Some(folder.into());
        self
    }

    /// Hands over a descriptor under this number.
    pub fn descriptor(mut self, descriptor: OwnedFd, number: RawFd) -> Self {
        self.descriptors.push((descriptor, number));
        self
    }

    /// Sets where standard output goes.
    pub fn stdout(mut self, output: Output) -> Self {
        self.stdout = output;
        self
    }

    /// Sets where standard error goes.
    pub fn stderr(mut self, output: Output) -> Self {
        self.stderr = output;
        self
    }

    /// Lets it live on when the supervisor's thread ends without having ended it.
    pub fn outlive_supervisor(mut self) -> Self {
        self.outlives_supervisor = true;
        self
    }

    /// Starts it. `stdout` and `stderr` are the ends of pipes for [`Output::Lines`].
    pub(crate) fn start(self, marker: &str, stdout: Option<OwnedFd>, stderr: Option<OwnedFd>) -> io::Result<Pid> {
        let mut command = Command::new(&self.program);
        command.args(&self.args);
        if let Some(name) = &self.arg0 {
            command.arg0(name);
        }
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.env(PROCESS_MARKER, marker);
        if let Some(folder) = &self.cwd {
            command.current_dir(folder);
        }
        command.stdin(Stdio::null());
        command.stdout(stream(self.stdout, stdout));
        command.stderr(stream(self.stderr, stderr));
        let mut kept = Vec::new();
        let mut moves = Vec::new();
        for (descriptor, number) in self.descriptors {
            match number {
                0 => _ = command.stdin(Stdio::from(descriptor)),
                3..=HIGHEST_NUMBER => {
                    let high = fcntl_dupfd_cloexec(&descriptor, HIGHEST_NUMBER + 1)?;
                    moves.push((high.as_raw_fd(), number));
                    kept.push(high);
                }
                _ => {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidInput,
                        format!("descriptor {number} cannot be handed over: expected 0, or 3 to {HIGHEST_NUMBER}"),
                    ));
                }
            }
        }
        let highest = moves.iter().map(|(_, number)| *number).max().unwrap_or(0);
        let parent = (!self.outlives_supervisor).then(getpid);
        platform::prepare_child(&mut command, parent, moves);
        let occupied = occupy_up_to(highest)?;
        let child = command.spawn().map_err(|error| explain(&error, &self.program, self.cwd.as_ref()));
        drop((occupied, kept));
        let pid = child?.id();
        i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(|| io::Error::other("a child without a process id"))
    }
}

fn stream(output: Output, pipe: Option<OwnedFd>) -> Stdio {
    match (output, pipe) {
        (Output::To(descriptor), _) | (Output::Lines, Some(descriptor)) => Stdio::from(descriptor),
        (Output::Inherit | Output::Lines, _) => Stdio::inherit(),
    }
}

/// Occupies the free numbers up to `highest`: else the pipe by which the standard library learns of
/// a failed exec may get one of them, and be overwritten in the child.
fn occupy_up_to(highest: RawFd) -> io::Result<Vec<OwnedFd>> {
    let mut occupied = Vec::new();
    if highest == 0 {
        return Ok(occupied);
    }
    loop {
        let descriptor: OwnedFd = fs::File::open("/dev/null")?.into();
        let number = descriptor.as_raw_fd();
        occupied.push(descriptor);
        if number > highest {
            return Ok(occupied);
        }
    }
}

fn explain(error: &io::Error, program: &OsString, cwd: Option<&PathBuf>) -> io::Error {
    let program = program.to_string_lossy();
    let message = match cwd.map(|folder| (folder, fs::metadata(folder))) {
        Some((folder, Err(reason))) => format!("cannot start {program} in the folder {}: {reason}", folder.display()),
        Some((folder, Ok(found))) if !found.is_dir() => {
            format!("cannot start {program} in {}: it is no folder", folder.display())
        }
        _ => match error.kind() {
            io::ErrorKind::NotFound => {
                format!("cannot start {program}: no such program, or the interpreter that it names is missing")
            }
            io::ErrorKind::PermissionDenied => {
                format!("cannot start {program}: permission denied; is it an executable file?")
            }
            _ => format!("cannot start {program}: {error}"),
        },
    };
    io::Error::new(error.kind(), message)
}
