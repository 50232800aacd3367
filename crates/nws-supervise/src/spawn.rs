//! What to start.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::process::{Pid, getpid};

use crate::image::Image;
use crate::{platform, shortage};

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

    /// Starts it; its process id, and its descriptor. `stdout` and `stderr` are the ends of pipes for
    /// [`Output::Lines`], and its standard input is `nothing` where it has no other.
    pub(crate) fn start(
        &self,
        marker: &str,
        nothing: &OwnedFd,
        stdout: Option<OwnedFd>,
        stderr: Option<OwnedFd>,
    ) -> io::Result<(Pid, OwnedFd)> {
        self.become_child(marker, nothing, stdout.as_ref(), stderr.as_ref())
            .map_err(|error| explain(&error, &self.program, self.cwd.as_deref()))
    }

    fn become_child(
        &self,
        marker: &str,
        nothing: &OwnedFd,
        stdout: Option<&OwnedFd>,
        stderr: Option<&OwnedFd>,
    ) -> io::Result<(Pid, OwnedFd)> {
        let mut changes = self.env.clone();
        changes.push((PROCESS_MARKER.into(), Some(marker.into())));
        let image = Image::new(&self.program, self.arg0.as_deref(), &self.args, &changes, self.cwd.as_deref())?;
        let mut places = Places::default();
        places.stream(1, &self.stdout, stdout)?;
        places.stream(2, &self.stderr, stderr)?;
        for (descriptor, number) in &self.descriptors {
            places.hand_over(descriptor, *number)?;
        }
        if !self.descriptors.iter().any(|(_, number)| *number == 0) {
            places.moves.insert(0, (nothing.as_raw_fd(), 0));
        }
        let parent = (!self.outlives_supervisor).then(getpid);
        platform::start(&image, &platform::SetUp { parent, moves: &places.moves })
    }
}

/// Which descriptors a child gets, and under which numbers.
#[derive(Debug, Default)]
struct Places {
    /// From, to: the standard ones come first, so that they are out of the way of the others.
    moves: Vec<(RawFd, RawFd)>,
    kept: Vec<OwnedFd>,
}

impl Places {
    fn stream(&mut self, number: RawFd, output: &Output, pipe: Option<&OwnedFd>) -> io::Result<()> {
        match (output, pipe) {
            (Output::To(descriptor), _) | (Output::Lines, Some(descriptor)) => self.standard(descriptor, number),
            // It has ours.
            (Output::Inherit | Output::Lines, _) => Ok(()),
        }
    }

    fn standard(&mut self, descriptor: &OwnedFd, number: RawFd) -> io::Result<()> {
        let mut from = descriptor.as_raw_fd();
        // One with a standard number itself would be in the way of another, or stay closed on exec.
        if from < 3 {
            let copy = fcntl_dupfd_cloexec(descriptor, 3)?;
            from = copy.as_raw_fd();
            self.kept.push(copy);
        }
        self.moves.insert(0, (from, number));
        Ok(())
    }

    fn hand_over(&mut self, descriptor: &OwnedFd, number: RawFd) -> io::Result<()> {
        match number {
            0 => self.standard(descriptor, 0),
            3..=HIGHEST_NUMBER => {
                // It says so where the limit is below what is asked for.
                let high = fcntl_dupfd_cloexec(descriptor, HIGHEST_NUMBER + 1)
                    .map_err(|error| if error == Errno::INVAL { Errno::MFILE } else { error })?;
                self.moves.push((high.as_raw_fd(), number));
                self.kept.push(high);
                Ok(())
            }
            _ => {
                let problem =
                    format!("descriptor {number} cannot be handed over: expected 0, or 3 to {HIGHEST_NUMBER}");
                Err(io::Error::new(io::ErrorKind::InvalidInput, problem))
            }
        }
    }
}

fn explain(error: &io::Error, program: &OsStr, cwd: Option<&Path>) -> io::Error {
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
            _ => {
                if let Some(advice) = shortage::advice(error) {
                    return shortage::shortage(error, format!("cannot start {program}: {advice}"));
                }
                format!("cannot start {program}: {error}")
            }
        },
    };
    io::Error::new(error.kind(), message)
}
