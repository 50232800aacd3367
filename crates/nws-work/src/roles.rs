//! The processes of a sleigh that are the master's own program, started again.
//!
//! The host and the server of a Python master are the program `nws`, told by its arguments what to
//! be. A Rust program is all of them itself: each process of its sleigh is the same program with the
//! same arguments, and [`assigned`] says which part it has.
//!
//! The part is in the environment, which every process that is started by one of these inherits. So
//! it names the descriptor that goes with it, by inode, and is void for who does not hold that.

use std::ffi::{CStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nws_server::program::ServeOptions;
use nws_server::settings;
use nws_supervise::Spawn;

use crate::control::WORKER_LINK_FD;

/// The environment variable that says which part a process has.
pub const ROLE_VARIABLE: &str = "NWS_ROLE";
/// The program that runs here, also where its file has been replaced meanwhile.
pub const OWN_PROGRAM: &str = "/proc/self/exe";

/// The part of a process in a sleigh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// What the master starts: see [`crate::host::warden`].
    Warden(Serves),
    /// The host proper, with its warden's process id: see [`crate::host::serve`] and
    /// [`crate::host::serve_commands`].
    Host(i32, Serves),
    /// The embedded server.
    Server,
    /// A worker of a sleigh.
    Worker,
    /// A worker of a [Boss](crate::boss).
    Hired,
}

/// What a host does for its master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serves {
    /// It holds the workers of a sleigh.
    Sleigh,
    /// It starts the [commands](crate::commands) that it is told to.
    Commands,
}

impl Serves {
    fn name(self) -> &'static str {
        match self {
            Serves::Sleigh => "sleigh",
            Serves::Commands => "commands",
        }
    }

    fn of(name: &str) -> Option<Self> {
        [Serves::Sleigh, Serves::Commands].into_iter().find(|serves| serves.name() == name)
    }

    /// What the program `nws host` is told beside its part.
    pub(crate) fn arguments(self) -> &'static [&'static str] {
        match self {
            Serves::Sleigh => &[],
            Serves::Commands => &["--commands"],
        }
    }
}

/// Whether this process got its part from the environment, so that others shall, too.
static ENTERED: AtomicBool = AtomicBool::new(false);

/// The part that this process was started for, if any.
pub fn assigned() -> Option<Role> {
    let told = std::env::var(ROLE_VARIABLE).ok()?;
    let (role, inode) = read(&told)?;
    // SAFETY: it is only asked what the descriptor is, and a closed one gives an error.
    let descriptor = unsafe { BorrowedFd::borrow_raw(role.descriptor()) };
    (inode_of(descriptor).ok()? == inode).then_some(role)
}

/// From here on this process starts its program again for other parts, told by the environment.
pub fn enter() {
    ENTERED.store(true, Ordering::Relaxed);
}

/// Does what a part other than a worker's has to do, until it is over.
///
/// # Errors
/// Those of the part; for [`Role::Worker`] and [`Role::Hired`], which are a matter of the language, always.
pub fn play(role: Role) -> io::Result<()> {
    enter();
    match role {
        Role::Warden(serves) => named(c"nws-warden", || crate::host::warden(serves)),
        Role::Host(warden_pid, Serves::Sleigh) => named(c"nws-host", || crate::host::serve(warden_pid)),
        Role::Host(warden_pid, Serves::Commands) => named(c"nws-host", || crate::host::serve_commands(warden_pid)),
        Role::Server => named(c"nws-serve", || {
            // The program may have printed the beginning of a line before it became a server.
            println!();
            nws_server::program::serve(embedded()?)
        }),
        Role::Worker | Role::Hired => Err(io::Error::other("a worker is no matter of the host's")),
    }
}

/// The name that tools show; without it all would be called `exe`.
fn named(name: &CStr, play: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    // A process whose name cannot be set is none the worse for it.
    let _ = rustix::thread::set_name(name);
    play()
}

/// It takes the settings of the program `nws serve`, from the environment and the usual file.
fn embedded() -> io::Result<ServeOptions> {
    settings::effective(&[], None).and_then(|effective| settings::embedded(&effective)).map_err(io::Error::other)
}

/// How the process for a part is started by one that has a part itself: `arguments` are what the
/// program `nws` is told by. `channel` becomes its standard input.
pub(crate) fn spawn(role: Role, arguments: &[&str], channel: impl AsFd) -> io::Result<Spawn> {
    if !ENTERED.load(Ordering::Relaxed) {
        return Ok(Spawn::new(std::env::current_exe()?).args(arguments));
    }
    let mut own = std::env::args_os();
    let name = own.next().unwrap_or_else(|| OWN_PROGRAM.into());
    let told = role.told(channel)?;
    Ok(Spawn::new(OWN_PROGRAM).arg0(name).args(own).env(ROLE_VARIABLE, told))
}

/// The name that this process was started by.
pub(crate) fn own_name() -> OsString {
    std::env::args_os().next().unwrap_or_else(|| OWN_PROGRAM.into())
}

impl Role {
    /// What the environment is to say for this part; `channel` is its descriptor.
    pub(crate) fn told(self, channel: impl AsFd) -> io::Result<String> {
        let inode = inode_of(channel)?;
        Ok(match self {
            Role::Warden(serves) => format!("warden:{inode}:{}", serves.name()),
            Role::Host(warden, serves) => format!("host:{inode}:{}:{warden}", serves.name()),
            Role::Server => format!("server:{inode}"),
            Role::Worker => format!("worker:{inode}"),
            Role::Hired => format!("hired:{inode}"),
        })
    }

    fn descriptor(self) -> i32 {
        if matches!(self, Role::Worker | Role::Hired) { WORKER_LINK_FD } else { 0 }
    }
}

fn read(told: &str) -> Option<(Role, u64)> {
    let mut parts = told.split(':');
    let (name, inode) = (parts.next()?, parts.next()?.parse().ok()?);
    let role = match name {
        "warden" => Role::Warden(Serves::of(parts.next()?)?),
        "host" => {
            let serves = Serves::of(parts.next()?)?;
            Role::Host(parts.next()?.parse().ok()?, serves)
        }
        "server" => Role::Server,
        "worker" => Role::Worker,
        "hired" => Role::Hired,
        _ => return None,
    };
    parts.next().is_none().then_some((role, inode))
}

fn inode_of(descriptor: impl AsFd) -> io::Result<u64> {
    Ok(rustix::fs::fstat(descriptor)?.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_read() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let inode = inode_of(&one).unwrap();
        let hosts = [Serves::Sleigh, Serves::Commands].map(|serves| [Role::Warden(serves), Role::Host(17, serves)]);
        for role in hosts.into_iter().flatten().chain([Role::Server, Role::Worker, Role::Hired]) {
            assert_eq!(read(&role.told(&one).unwrap()), Some((role, inode)));
        }
        for other in
            ["", "worker", "worker:", "worker:x", "worker:1:2", "host:1", "host:1:sleigh:x", "warden:1:x", "boss:1"]
        {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
