//! Why a process ended, in data and in words.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// By itself, with this exit code.
    Exited(i32),
    /// By a signal.
    Signaled {
        /// Its number; [`signal_name`] has its name.
        signal: i32,
        /// Whether the kernel wrote a core file.
        core_dumped: bool,
    },
}

impl Status {
    pub(crate) fn from_wait(status: i32) -> Self {
        if libc::WIFSIGNALED(status) {
            Status::Signaled { signal: libc::WTERMSIG(status), core_dumped: libc::WCOREDUMP(status) }
        } else {
            Status::Exited(libc::WEXITSTATUS(status))
        }
    }

    /// Whether it ended by itself with exit code 0.
    pub fn is_success(self) -> bool {
        self == Status::Exited(0)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Status::Exited(code) => write!(f, "ended with exit code {code}"),
            Status::Signaled { signal, core_dumped } => {
                write!(f, "killed by signal {signal} ({})", signal_name(*signal))?;
                if *core_dumped { f.write_str(", core dumped") } else { Ok(()) }
            }
        }
    }
}

/// Whether the kernel ended a process because memory ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutOfMemory {
    /// The control group counted such a kill, and the process ended by SIGKILL.
    Yes,
    /// It counted none, or the process ended in another way.
    No,
    /// The process ended by SIGKILL and the control group's counter cannot be read.
    Unknown,
}

/// All that is known about the end of a process. `Display` says it in one or more lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Exit code or signal.
    pub status: Status,
    /// The most memory that it had resident at any time.
    pub peak_memory_bytes: u64,
    /// Processor time, its own and that of the children it waited for.
    pub cpu: Duration,
    /// Whether memory ran out.
    pub out_of_memory: OutOfMemory,
    /// The last lines that it wrote to its standard error, where that was read.
    pub stderr_tail: Vec<String>,
    /// From its start to its end.
    pub ran: Duration,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        if self.out_of_memory == OutOfMemory::Yes {
            f.write_str(", as memory ran out")?;
        }
        write!(f, "; peak memory {} MiB", self.peak_memory_bytes.div_ceil(1 << 20))?;
        if !self.stderr_tail.is_empty() {
            f.write_str("; last lines of stderr:")?;
            for line in &self.stderr_tail {
                write!(f, "\n  {line}")?;
            }
        }
        Ok(())
    }
}

/// The name of a signal, such as `SIGKILL`; `SIGRTMIN+3` and the like for real-time ones.
pub fn signal_name(signal: i32) -> String {
    const NAMES: [&str; 31] = [
        "SIGHUP",
        "SIGINT",
        "SIGQUIT",
        "SIGILL",
        "SIGTRAP",
        "SIGABRT",
        "SIGBUS",
        "SIGFPE",
        "SIGKILL",
        "SIGUSR1",
        "SIGSEGV",
        "SIGUSR2",
        "SIGPIPE",
        "SIGALRM",
        "SIGTERM",
        "SIGSTKFLT",
        "SIGCHLD",
        "SIGCONT",
        "SIGSTOP",
        "SIGTSTP",
        "SIGTTIN",
        "SIGTTOU",
        "SIGURG",
        "SIGXCPU",
        "SIGXFSZ",
        "SIGVTALRM",
        "SIGPROF",
        "SIGWINCH",
        "SIGIO",
        "SIGPWR",
        "SIGSYS",
    ];
    match usize::try_from(signal - 1).ok().and_then(|at| NAMES.get(at)) {
        Some(name) => (*name).to_owned(),
        None if signal >= libc::SIGRTMIN() && signal <= libc::SIGRTMAX() => {
            format!("SIGRTMIN+{}", signal - libc::SIGRTMIN())
        }
        None => "unknown signal".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_the_names_that_the_platform_gives_them() {
        for (number, name) in [
            (libc::SIGHUP, "SIGHUP"),
            (libc::SIGBUS, "SIGBUS"),
            (libc::SIGKILL, "SIGKILL"),
            (libc::SIGSEGV, "SIGSEGV"),
            (libc::SIGTERM, "SIGTERM"),
            (libc::SIGXCPU, "SIGXCPU"),
            (libc::SIGSYS, "SIGSYS"),
            (libc::SIGRTMIN() + 3, "SIGRTMIN+3"),
            (0, "unknown signal"),
        ] {
            assert_eq!(signal_name(number), name);
        }
    }

    #[test]
    fn an_end_says_signal_memory_and_last_lines() {
        let end = End {
            status: Status::Signaled { signal: 9, core_dumped: false },
            peak_memory_bytes: 31 << 20,
            cpu: Duration::ZERO,
            out_of_memory: OutOfMemory::Yes,
            stderr_tail: vec!["a".into(), "b".into()],
            ran: Duration::ZERO,
        };
        assert_eq!(
            end.to_string(),
            "killed by signal 9 (SIGKILL), as memory ran out; peak memory 31 MiB; last lines of stderr:\n  a\n  b"
        );
    }
}
