//! What is specific to Linux: sockets that neither block nor raise a signal, whatever the process
//! around them has set.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::mm::Advice;
use rustix::net::{AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, SocketAddrUnix, SocketFlags, SocketType};

/// Asked for as the send buffer of a Unix socket; the kernel may give less.
const UNIX_SEND_BUFFER_BYTES: usize = 1 << 20;
/// Nothing gets lost on a loopback, so the simplest is the fastest.
const LOOPBACK_CONGESTION_CONTROL: &str = "reno";

/// Asks for huge pages where this memory, which was never written to, spans any. To be given its pages
/// one by one takes longer than to fill them.
pub(crate) fn prefer_huge_pages(memory: &mut [MaybeUninit<u8>]) {
    let page_bytes = rustix::param::page_size();
    let skipped = memory.as_ptr().addr().wrapping_neg() % page_bytes;
    let Some(whole) = memory.get_mut(skipped..) else { return };
    let length = whole.len() - whole.len() % page_bytes;
    // SAFETY: whole pages of memory that is ours alone; what they hold stays as it is. It fails where
    // the kernel has no huge pages.
    let _ = unsafe { rustix::mm::madvise(whole.as_mut_ptr().cast(), length, Advice::LinuxHugepage) };
}

/// A connected stream.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    pub(crate) fn connect_tcp(address: SocketAddr, timeout: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, timeout)?;
        // Frames are written whole: waiting for more would only delay them.
        stream.set_nodelay(true)?;
        if address.ip().is_loopback() {
            // What a host chooses for long ways paces large values on the shortest; some kernels lack it.
            let _ = rustix::net::sockopt::set_tcp_congestion(&stream, LOOPBACK_CONGESTION_CONTROL);
        }
        Ok(Socket::Tcp(stream))
    }

    pub(crate) fn connect_unix(path: &Path, timeout: Duration) -> io::Result<Self> {
        let address = SocketAddrUnix::new(path)?;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        let stream = UnixStream::from(socket);
        // Connecting waits where the server's backlog is full, for as long as sending may take.
        stream.set_write_timeout(Some(timeout))?;
        rustix::net::connect(&stream, &address)?;
        // A smaller buffer is slower, and nothing else.
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(&stream, UNIX_SEND_BUFFER_BYTES);
        Ok(Socket::Unix(stream))
    }

    /// Sends what the kernel takes now.
    pub(crate) fn send(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        loop {
            let sent = match parts {
                [part] => rustix::net::send(self, part, flags),
                parts => rustix::net::sendmsg(self, parts, &mut SendAncillaryBuffer::default(), flags),
            };
            match sent {
                Err(rustix::io::Errno::INTR) => {}
                sent => return Ok(sent?),
            }
        }
    }

    /// Appends what has arrived, at most as much as the buffer has room for. 0 is the end.
    pub(crate) fn receive(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        loop {
            match rustix::net::recv(self, rustix::buffer::spare_capacity(buffer), RecvFlags::DONTWAIT) {
                Err(rustix::io::Errno::INTR) => {}
                Ok((received, _)) => return Ok(received),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Fills the buffer, however long that takes, but no longer than `timeout`.
    pub(crate) fn receive_exact(&self, mut buffer: &mut [u8], timeout: Duration) -> io::Result<()> {
        let until = std::time::Instant::now() + timeout;
        while !buffer.is_empty() {
            let left = until.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.set_read_timeout(left)?;
            match rustix::net::recv(self, &mut *buffer, RecvFlags::empty()) {
                Err(rustix::io::Errno::INTR | rustix::io::Errno::WOULDBLOCK) => {}
                Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok((received, _)) => buffer = &mut buffer[received..],
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => stream.set_read_timeout(Some(timeout)),
            Socket::Unix(stream) => stream.set_read_timeout(Some(timeout)),
        }
    }

    /// Ends the connection in both directions, also for who is just reading.
    pub(crate) fn shut_down(&self) {
        // It fails only where the other end has ended the connection already.
        let _ = match self {
            Socket::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Socket::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Tcp(stream) => stream.as_fd(),
            Socket::Unix(stream) => stream.as_fd(),
        }
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
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
