//! A connection to either server.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use serde::Deserialize;

/// Where a server listens.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// A connection.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    pub(crate) fn connect(place: &Place) -> Self {
        match place {
            Place::Tcp(address) => {
                let stream = TcpStream::connect(address).unwrap();
                stream.set_nodelay(true).unwrap();
                Self::Tcp(stream)
            }
            Place::Unix(path) => Self::Unix(UnixStream::connect(path).unwrap()),
        }
    }

    pub(crate) fn do_not_block(&self) {
        match self {
            Socket::Tcp(stream) => stream.set_nonblocking(true),
            Socket::Unix(stream) => stream.set_nonblocking(true),
        }
        .unwrap();
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        match self {
            Socket::Tcp(stream) => stream.write_all(bytes),
            Socket::Unix(stream) => stream.write_all(bytes),
        }
        .unwrap();
    }

    pub(crate) fn receive_exactly(&mut self, bytes: &mut [u8]) {
        match self {
            Socket::Tcp(stream) => stream.read_exact(bytes),
            Socket::Unix(stream) => stream.read_exact(bytes),
        }
        .unwrap();
    }

    /// How many bytes the kernel took; 0 where it takes none now.
    pub(crate) fn send_some(&mut self, bytes: &[u8]) -> usize {
        now_or_none(send(self, bytes, SendFlags::NOSIGNAL))
    }

    /// How many bytes came; 0 where none are there now.
    pub(crate) fn receive_some(&mut self, bytes: &mut [u8]) -> usize {
        let received = recv(self, bytes, RecvFlags::empty()).map(|(_, count)| count);
        assert!(received != Ok(0), "the server ended the connection");
        now_or_none(received)
    }
}

fn now_or_none(count: rustix::io::Result<usize>) -> usize {
    match count {
        Err(Errno::WOULDBLOCK) => 0,
        count => count.unwrap(),
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
