//! Want of what the kernel gives to all: descriptors, processes, memory. Whoever ends gives theirs back, so
//! who waits for that may try again.

use std::fmt;
use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

/// Which limit was reached, and what to do.
#[derive(Debug)]
pub(crate) struct Shortage(String);

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Shortage {}

/// Whether something failed for want of descriptors, processes or memory, and may succeed when others have
/// ended.
///
/// ```
/// let error = std::io::Error::from_raw_os_error(24);
/// assert!(nws_supervise::is_shortage(&error));
/// assert!(!nws_supervise::is_shortage(&std::io::ErrorKind::NotFound.into()));
/// ```
pub fn is_shortage(error: &io::Error) -> bool {
    advice(error).is_some() || error.get_ref().is_some_and(|inner| inner.is::<Shortage>())
}

/// The same error with the limit that was reached and what to do, where it is a shortage.
///
/// ```
/// let told = nws_supervise::with_advice(std::io::Error::from_raw_os_error(24)).to_string();
/// assert!(told.contains("ulimit -n"), "{told}");
/// ```
pub fn with_advice(error: io::Error) -> io::Error {
    match advice(&error) {
        Some(advice) => shortage(&error, advice),
        None => error,
    }
}

pub(crate) fn shortage(error: &io::Error, message: String) -> io::Error {
    io::Error::new(error.kind(), Shortage(message))
}

/// What to do about a shortage.
pub(crate) fn advice(error: &io::Error) -> Option<String> {
    let limit = |resource| match getrlimit(resource).current {
        Some(limit) => format!("which is {limit} here"),
        None => "which is not set here".to_owned(),
    };
    Some(match Errno::from_raw_os_error(error.raw_os_error()?) {
        Errno::MFILE => format!(
            "too many files and pipes are open: run fewer at a time, or raise the limit of open files (ulimit -n), {}",
            limit(Resource::Nofile)
        ),
        Errno::NFILE => {
            "too many files are open on this machine: run fewer at a time, or raise its limit (fs.file-max)".into()
        }
        Errno::AGAIN => format!(
            "no more processes may be started: run fewer at a time, or raise the limit of processes (ulimit -u), {}, or \
             that of the control group (pids.max)",
            limit(Resource::Nproc)
        ),
        Errno::NOMEM => "no memory is left to start a process: run fewer at a time".into(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_says_which_limit_was_reached_and_what_to_do() {
        for (code, told) in [
            (libc::EMFILE, "ulimit -n"),
            (libc::ENFILE, "fs.file-max"),
            (libc::EAGAIN, "ulimit -u"),
            (libc::ENOMEM, "memory"),
        ] {
            let error = with_advice(io::Error::from_raw_os_error(code));
            assert!(is_shortage(&error), "{error}");
            assert!(error.to_string().contains(told) && error.to_string().contains("fewer at a time"), "{error}");
        }
        let other = with_advice(io::Error::from_raw_os_error(libc::ENOENT));
        assert!(!is_shortage(&other));
        assert_eq!(other.raw_os_error(), Some(libc::ENOENT));
    }
}
