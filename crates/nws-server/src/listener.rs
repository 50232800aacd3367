//! A listening socket of either kind.

use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use mio::event::Source;
use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};

use crate::platform;
use crate::stream::Stream;

/// Where connections come from.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, #[allow(dead_code, reason = "held for its drop")] SocketFile),
}

/// A socket's name in the file system, which goes with it.
#[derive(Debug)]
pub(crate) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Its folder may have been removed before it.
        let _ = fs::remove_file(&self.0);
    }
}

/// What became of one attempt to accept.
pub(crate) enum Accepted {
    /// A connection, and its address for listings.
    Connection(Stream, Vec<u8>),
    /// That one was gone again.
    TryAgain,
    /// There is none.
    None,
    /// The process or the system has no descriptor left.
    Exhausted,
}

impl Listener {
    pub(crate) fn tcp(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        platform::lengthen_queue(listener.as_fd())?;
        Ok(Self::Tcp(listener))
    }

    pub(crate) fn unix(path: &Path) -> io::Result<Self> {
        let listener = UnixListener::bind(path)?;
        let file = SocketFile(path.to_owned());
        platform::lengthen_queue(listener.as_fd())?;
        // The folder keeps others out until this is done.
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        Ok(Self::Unix(listener, file))
    }

    pub(crate) fn tcp_addr(&self) -> Option<SocketAddr> {
        match self {
            Listener::Tcp(listener) => listener.local_addr().ok(),
            Listener::Unix(..) => None,
        }
    }

    pub(crate) fn accept(&self) -> Accepted {
        let accepted = match self {
            Listener::Tcp(listener) => listener.accept().map(|(stream, address)| {
                platform::tune_tcp(stream.as_fd());
                if address.ip().to_canonical().is_loopback() {
                    platform::tune_loopback(stream.as_fd());
                }
                (Stream::Tcp(stream), address.to_string())
            }),
            Listener::Unix(listener, _) => listener.accept().map(|(stream, _)| {
                platform::tune_unix(stream.as_fd());
                (Stream::Unix(stream), "local".to_owned())
            }),
        };
        match accepted {
            Ok((stream, address)) => Accepted::Connection(stream, address.into_bytes()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Accepted::None,
            Err(error) if platform::is_exhaustion(&error) => Accepted::Exhausted,
            // Linux reports errors of the new connection here.
            Err(_) => Accepted::TryAgain,
        }
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Listener::Tcp(listener) => listener,
            Listener::Unix(listener, _) => listener,
        }
    }
}

impl Source for Listener {
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

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;

    #[test]
    fn hundreds_who_come_at_once_wait_in_the_queue() {
        let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.tcp_addr().unwrap();
        let longest: usize = fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap().trim().parse().unwrap();
        // Whom the queue has no room for is sent away, and tries again a second later.
        let patience = Duration::from_millis(900);
        let waiting: Vec<_> =
            (0..longest.min(600)).map(|_| TcpStream::connect_timeout(&address, patience).unwrap()).collect();
        assert!(!waiting.is_empty());
    }
}
