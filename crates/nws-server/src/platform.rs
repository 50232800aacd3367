//! What is specific to Linux: sockets' options, receiving into memory that was never written, signals,
//! whose a connection is.

pub(crate) mod owner;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};
use rustix::mm::{Advice, madvise};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, listen, recv, send, sendmsg, sockopt};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Worth 2.5 times the speed for large values over a Unix socket.
const UNIX_SEND_BUFFER_BYTES: usize = 1 << 20;
/// Worth half as much again for large values on a host that has chosen `bbr`.
const LOOPBACK_CONGESTION_CONTROL: &str = "reno";
/// The kernel takes its own limit where that is lower.
const WAITING_CONNECTIONS: i32 = 4096;
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;

/// Replies are written whole, so waiting for more to send gains nothing; and a peer whose machine is
/// gone is noticed also by a session without a limit to its silence.
pub(crate) fn tune_tcp(socket: BorrowedFd<'_>) {
    // Each of these only makes things faster or surer: a kernel that refuses one does no harm.
    let _ = sockopt::set_tcp_nodelay(socket, true);
    let _ = sockopt::set_socket_keepalive(socket, true);
    let _ = sockopt::set_tcp_keepidle(socket, KEEPALIVE_IDLE);
    let _ = sockopt::set_tcp_keepintvl(socket, KEEPALIVE_INTERVAL);
    let _ = sockopt::set_tcp_keepcnt(socket, KEEPALIVE_PROBES);
}

/// What a host chooses for long ways paces large values on the shortest, where nothing gets lost.
pub(crate) fn tune_loopback(socket: BorrowedFd<'_>) {
    let _ = sockopt::set_tcp_congestion(socket, LOOPBACK_CONGESTION_CONTROL);
}

pub(crate) fn tune_unix(socket: BorrowedFd<'_>) {
    let _ = sockopt::set_socket_send_buffer_size(socket, UNIX_SEND_BUFFER_BYTES);
}

/// Lets more connections wait to be accepted than the 128 of the standard library: of a few hundred
/// clients that start together most would try in vain, and again only a second later.
pub(crate) fn lengthen_queue(listener: BorrowedFd<'_>) -> io::Result<()> {
    Ok(listen(listener, WAITING_CONNECTIONS)?)
}

/// Receives into memory that is initialised already. 0 is the end of the stream.
pub(crate) fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    retrying(|| recv(socket.as_fd(), &mut *buffer, RecvFlags::empty()).map(|(_, count)| count))
}

/// Receives up to `most_bytes` into what `buffer` has spare, without writing zeros there first.
pub(crate) fn receive_into_spare(socket: impl AsFd, buffer: &mut Vec<u8>, most_bytes: usize) -> io::Result<usize> {
    let count = retrying(|| {
        let spare = buffer.spare_capacity_mut();
        let wanted = spare.len().min(most_bytes);
        recv(socket.as_fd(), &mut spare[..wanted], RecvFlags::empty()).map(|((filled, _), _)| filled.len())
    })?;
    // SAFETY: `recv` has initialised `count` bytes at the start of the spare capacity.
    unsafe { buffer.set_len(buffer.len() + count) };
    Ok(count)
}

/// Asks for huge pages where this memory, which was never written to, spans any. To be given its pages
/// one by one takes longer than to fill them.
pub(crate) fn prefer_huge_pages(memory: &mut [MaybeUninit<u8>]) {
    let page_bytes = rustix::param::page_size();
    let skipped = memory.as_ptr().addr().wrapping_neg() % page_bytes;
    let Some(whole) = memory.get_mut(skipped..) else { return };
    let length = whole.len() - whole.len() % page_bytes;
    // SAFETY: whole pages of memory that is ours alone; what they hold stays as it is. It fails where
    // the kernel has no huge pages.
    let _ = unsafe { madvise(whole.as_mut_ptr().cast(), length, Advice::LinuxHugepage) };
}

/// Sends what the kernel takes of these pieces. A peer that is gone gives an error, never a signal.
pub(crate) fn send_pieces(socket: impl AsFd, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    retrying(|| match pieces {
        [only] => send(socket.as_fd(), only, SendFlags::NOSIGNAL),
        _ => sendmsg(socket.as_fd(), pieces, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL),
    })
}

fn retrying(mut call: impl FnMut() -> rustix::io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

/// Lets this process open as many descriptors as it may, and says how many these are.
pub(crate) fn raise_descriptor_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let most = getrlimit(Resource::Nofile).current;
    most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX)
}

/// Has the kernel make room for so many descriptors now. It doubles its table when a number is beyond it,
/// and a process with several threads then stands still until all processors have taken notice: some 20 ms.
pub(crate) fn make_room_for_descriptors(count: usize) {
    // The room stays when the highest number is closed. Without it all works, with these pauses.
    let highest = i32::try_from(count).unwrap_or(i32::MAX).saturating_sub(1);
    let _ =
        eventfd(0, EventfdFlags::CLOEXEC).and_then(|descriptor| rustix::io::fcntl_dupfd_cloexec(&descriptor, highest));
}

/// How many descriptors this process may have open.
pub(crate) fn descriptor_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// What this process may still write to the file system of a folder, in bytes.
pub(crate) fn free_bytes(folder: &Path) -> io::Result<u64> {
    let system = rustix::fs::statvfs(folder)?;
    Ok(system.f_bavail.saturating_mul(system.f_frsize))
}

/// Opens a file of this folder that has no name, so that it goes with its last descriptor.
pub(crate) fn open_unnamed(folder: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).mode(0o600);
    match options.clone().custom_flags(libc::O_TMPFILE | libc::O_EXCL).open(folder) {
        // Some file systems have no such files; a kernel that does not know the flag tries to open the folder.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL)) => {}
        result => return result,
    }
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let path = folder.join(format!(".nws-value-{:016x}", u64::from_le_bytes(random)));
    let file = options.create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// A file that would grow beyond the limit of this process (ulimit -f) is an error to who writes it; else
/// the signal would end the process.
pub(crate) fn ignore_file_size_signal() {
    // SAFETY: the signal is ignored: no handler runs.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// How many processors run, whichever of them this process may use: a client may run on another.
pub(crate) fn processors() -> usize {
    // SAFETY: it asks for a number.
    let online = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
    usize::try_from(online).unwrap_or(1)
}

/// Half of the machine's memory, in bytes.
pub(crate) fn half_of_memory() -> u64 {
    machine_memory_bytes() / 2
}

/// The machine's memory, in bytes.
pub fn machine_memory_bytes() -> u64 {
    let info = rustix::system::sysinfo();
    #[allow(clippy::useless_conversion, reason = "the kernel's word is 32 bits wide on some machines")]
    let total = u64::from(info.totalram).saturating_mul(info.mem_unit.into());
    total
}

/// What of this process's memory is in the machine's, in bytes.
pub(crate) fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Whether accepting failed for want of descriptors or memory rather than because of the peer.
pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

/// The signals that ask a server to end, kept from their usual effect.
pub(crate) struct EndSignals(libc::sigset_t);

impl EndSignals {
    /// Blocks them for this thread and all that it starts from now on. Call it before any thread is
    /// started, or some other thread takes the signal and the process dies of it.
    ///
    /// An embedded server ends with the program that started it: what a terminal sends is meant for
    /// that one.
    pub(crate) fn block(embedded: bool) -> io::Result<Self> {
        let blocked = signal_set(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP]);
        // SAFETY: the set is initialised, and the old mask is not asked for.
        let failed = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &blocked, std::ptr::null_mut()) };
        if failed != 0 {
            return Err(io::Error::from_raw_os_error(failed));
        }
        Ok(Self(if embedded { signal_set(&[libc::SIGTERM]) } else { blocked }))
    }

    /// Waits for one of them.
    pub(crate) fn wait(&self) {
        let mut signal = 0;
        // SAFETY: both pointers are valid for the call. It fails only for a set that is no set.
        unsafe { libc::sigwait(&self.0, &mut signal) };
    }
}

/// Tells systemd, where it started this process and waits to be told.
pub(crate) fn tell_service_manager(state: &str) {
    if let Some(place) = std::env::var_os("NOTIFY_SOCKET") {
        // It fails where nobody listens, and then there is nobody to tell.
        let _ = notify(&place, state);
    }
}

fn notify(place: &OsStr, state: &str) -> io::Result<()> {
    let address = match place.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(place)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(drop)
}

fn signal_set(signals: &[libc::c_int]) -> libc::sigset_t {
    // SAFETY: a signal set is plain data, and `sigemptyset` initialises it before it is used.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for signal in signals {
            libc::sigaddset(&mut set, *signal);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asking_for_huge_pages_leaves_memory_as_it_was_wherever_it_begins_and_ends() {
        let length = 5 << 20;
        let mut memory: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        let expected = memory.clone();
        // SAFETY: bytes that are initialised are also bytes that may be.
        let bytes: &mut [MaybeUninit<u8>] =
            unsafe { std::slice::from_raw_parts_mut(memory.as_mut_ptr().cast(), memory.len()) };
        for (start, end) in [(0, length), (1, length - 1), (4097, 8191), (100, 100), (7, 8), (0, 0)] {
            prefer_huge_pages(&mut bytes[start..end]);
        }
        assert!(memory == expected);
    }
}
