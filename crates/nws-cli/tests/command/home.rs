//! A user's home with a server of its own, and commands that run there. Every wait has an end.

use std::ffi::OsStr;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nws_runtime::{Found, RuntimeDir};

/// Nothing that is right takes this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Home {
    folder: tempfile::TempDir,
}

/// How a command ended, and what it said: what differs from run to run has a name instead.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn is(&self, code: i32, stdout: &str, stderr: &str) {
        let expected = Ran { code: Some(code), stdout: stdout.to_owned(), stderr: stderr.to_owned() };
        assert_eq!(*self, expected);
    }
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// With a server on free ports.
    pub(crate) fn served() -> Self {
        Self::served_with(&[])
    }

    pub(crate) fn served_with(arguments: &[&str]) -> Self {
        let home = Self::new();
        let ran = home.run(["start", "--port", "0", "--web-port", "0"].iter().chain(arguments));
        assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
        home
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn runtime(&self) -> RuntimeDir {
        RuntimeDir::at(self.path().join("run")).unwrap()
    }

    pub(crate) fn servers(&self) -> Vec<Found> {
        self.runtime().servers().unwrap()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.servers()[0].info.tcp.unwrap()
    }

    pub(crate) fn web(&self) -> SocketAddr {
        self.servers()[0].info.web.unwrap()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.servers()[0].info.unix.clone()
    }

    /// The command, in an environment that holds nothing but this home and its server.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nws"));
        command.args(arguments).env_clear().env("HOME", self.path()).env("NWS_RUNTIME_DIR", self.path().join("run"));
        if let Some(address) = self.servers().first().and_then(|found| found.info.tcp) {
            command.env("NWS_SERVER_PORT", address.port().to_string());
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // What a shell runs in the background ignores interrupts, and its children would do so too.
        // SAFETY: a plain system call, allowed between fork and exec.
        unsafe {
            command.pre_exec(|| {
                libc::signal(libc::SIGINT, libc::SIG_DFL);
                Ok(())
            });
        }
        command
    }

    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ran {
        self.ran(&output(self.command(arguments).spawn().unwrap()))
    }

    /// A line as one would type it, its words parted by blanks.
    pub(crate) fn nws(&self, line: &str) -> Ran {
        self.run(line.split_whitespace())
    }

    /// With this on standard input.
    pub(crate) fn nws_with(&self, line: &str, input: &[u8]) -> Ran {
        let mut child = self.command(line.split_whitespace()).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        self.ran(&output(child))
    }

    pub(crate) fn ran(&self, output: &Output) -> Ran {
        let text = |bytes: &[u8]| self.normal(&String::from_utf8_lossy(bytes));
        Ran { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// With names for what differs from run to run.
    fn normal(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for found in self.servers() {
            text = text.replace(&found.info.unix.display().to_string(), "SOCKET");
            text = text.replace(&format!("process {}", found.info.pid), "process PID");
            text = text.replace(&format!("process  {}", found.info.pid), "process  PID");
            for (address, name) in [(found.info.tcp, "PORT"), (found.info.web, "WEB")] {
                let Some(port) = address.map(|address| address.port()) else { continue };
                for before in ["127.0.0.1:", "0.0.0.0:", "localhost:", "port "] {
                    text = text.replace(&format!("{before}{port}"), &format!("{before}{name}"));
                }
            }
        }
        text = text.replace(&self.path().display().to_string(), "HOME");
        without_numbers(&without_numbers(&text, "up ", "AGE"), "answers after ", "TIME")
    }

    /// Waits until what a command prints is as it should be.
    pub(crate) fn until(&self, line: &str, holds: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ran = self.nws(line);
            if holds(&ran.stdout) {
                return;
            }
            assert!(Instant::now() < deadline, "{line}: {ran:?}");
        }
    }
}

/// Servers do not outlive the test that started them.
impl Drop for Home {
    fn drop(&mut self) {
        let _ = self.nws("stop --all");
    }
}

/// A number behind these words, with its decimals and unit.
fn without_numbers(text: &str, before: &str, name: &str) -> String {
    let mut parts = text.split(before);
    let mut replaced = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        replaced.push_str(before);
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let rest = if rest.len() < part.len() {
            replaced.push_str(name);
            rest.strip_prefix(" s").unwrap_or(rest)
        } else {
            part
        };
        replaced.push_str(rest);
    }
    replaced
}

/// What the process said when it has ended, which is soon.
pub(crate) fn output(child: Child) -> Output {
    let pid = rustix::process::Pid::from_child(&child);
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(child.wait_with_output()));
    match told.recv_timeout(PATIENCE) {
        Ok(output) => output.unwrap(),
        Err(_) => {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            panic!("the command hangs: {:?}", told.recv_timeout(PATIENCE));
        }
    }
}
