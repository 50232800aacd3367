//! What carries a connection: a socket of either kind.

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsFd;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

use crate::admission::Origin;
use crate::platform::{self, owner};
#[cfg(feature = "simulation")]
use crate::simulation::Socket;

/// What bytes come from and go to.
pub(crate) trait Carrier {
    /// Receives into memory that is initialised already. 0 is the end of the stream.
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Receives up to `most_bytes` into what `buffer` has spare.
    fn receive_into_spare(&self, buffer: &mut Vec<u8>, most_bytes: usize) -> io::Result<usize>;

    /// Sends what is taken of these pieces. A peer that is gone gives an error, never a signal.
    fn send_pieces(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize>;
}

impl<T: AsFd> Carrier for T {
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        platform::receive(self, buffer)
    }

    fn receive_into_spare(&self, buffer: &mut Vec<u8>, most_bytes: usize) -> io::Result<usize> {
        platform::receive_into_spare(self, buffer, most_bytes)
    }

    fn send_pieces(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        platform::send_pieces(self, pieces)
    }
}

/// What carries a connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// No socket at all: a link of a simulation.
    #[cfg(feature = "simulation")]
    Memory(Socket),
}

impl Stream {
    pub(crate) fn is_unix(&self) -> bool {
        match self {
            Stream::Tcp(_) => false,
            Stream::Unix(_) => true,
            #[cfg(feature = "simulation")]
            Stream::Memory(socket) => socket.is_unix(),
        }
    }

    /// Tells the peer that nothing more will come; what it sends is still received.
    pub(crate) fn end_writing(&self) {
        // It fails where the peer has gone already.
        let _ = match self {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
            #[cfg(feature = "simulation")]
            Stream::Memory(socket) => socket.end_writing(),
        };
    }

    /// Where the peer is, and whose it is where that is on this machine.
    pub(crate) fn origin(&self) -> Origin {
        match self {
            Stream::Unix(stream) => user(owner::user_of_unix_peer(stream.as_fd())),
            #[cfg(feature = "simulation")]
            Stream::Memory(_) => Origin::User(owner::own_user()),
            Stream::Tcp(stream) => match stream.peer_addr() {
                Ok(peer) if !peer.ip().to_canonical().is_loopback() => Origin::Address(peer.ip().to_canonical()),
                peer => user(peer.and_then(|peer| user_of_tcp_peer(stream, peer))),
            },
        }
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Stream::Tcp(stream) => stream,
            Stream::Unix(stream) => stream,
            #[cfg(feature = "simulation")]
            Stream::Memory(socket) => socket,
        }
    }
}

fn user(told: io::Result<u32>) -> Origin {
    told.map_or_else(Origin::Unknown, Origin::User)
}

fn user_of_tcp_peer(stream: &TcpStream, peer: SocketAddr) -> io::Result<u32> {
    let user = owner::user_of_tcp_peer(peer, stream.local_addr()?)?;
    // A connection that was reset meanwhile has no peer. Without this the socket that was found could be
    // another one, which got the same port since.
    stream.peer_addr()?;
    Ok(user)
}

impl Carrier for Stream {
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.receive(buffer),
            Stream::Unix(stream) => stream.receive(buffer),
            #[cfg(feature = "simulation")]
            Stream::Memory(socket) => socket.receive(buffer),
        }
    }

    fn receive_into_spare(&self, buffer: &mut Vec<u8>, most_bytes: usize) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.receive_into_spare(buffer, most_bytes),
            Stream::Unix(stream) => stream.receive_into_spare(buffer, most_bytes),
            #[cfg(feature = "simulation")]
            Stream::Memory(socket) => socket.receive_into_spare(buffer, most_bytes),
        }
    }

    fn send_pieces(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.send_pieces(pieces),
            Stream::Unix(stream) => stream.send_pieces(pieces),
            #[cfg(feature = "simulation")]
            Stream::Memory(socket) => socket.send_pieces(pieces),
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
