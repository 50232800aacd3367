//! A socket of either kind.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

use crate::platform::owner;

/// What carries a connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    pub(crate) fn is_unix(&self) -> bool {
        matches!(self, Stream::Unix(_))
    }

    /// Whether the peer is on this machine.
    pub(crate) fn is_of_this_machine(&self) -> bool {
        match self {
            Stream::Unix(_) => true,
            Stream::Tcp(stream) => stream.peer_addr().is_ok_and(|peer| peer.ip().to_canonical().is_loopback()),
        }
    }

    /// Tells the peer that nothing more will come; what it sends is still received.
    pub(crate) fn end_writing(&self) {
        // It fails where the peer has gone already.
        let _ = match self {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }

    /// The user at the other end; `None` where that is on another machine.
    pub(crate) fn peer_user(&self) -> io::Result<Option<u32>> {
        match self {
            Stream::Unix(stream) => owner::user_of_unix_peer(stream.as_fd()).map(Some),
            Stream::Tcp(stream) => {
                let peer = stream.peer_addr()?;
                if !peer.ip().to_canonical().is_loopback() {
                    return Ok(None);
                }
                let user = owner::user_of_tcp_peer(peer, stream.local_addr()?)?;
                // A connection that was reset meanwhile has no peer. Without this the socket that was
                // found could be another one, which got the same port since.
                stream.peer_addr()?;
                Ok(Some(user))
            }
        }
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Stream::Tcp(stream) => stream,
            Stream::Unix(stream) => stream,
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
        }
    }
}

impl Source for Stream {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.source().register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.source().reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.source().deregister(registry)
    }
}
