//! A server from the outside.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mio::{Poll, Waker};

use crate::admission::Rules;
use crate::config::{Config, check_tmp_dir};
use crate::event_loop::{EventLoop, SURPLUS_CONNECTIONS, WAKER};
use crate::gauges::Gauges;
use crate::http::{WEB_DESCRIPTORS, WebPages};
use crate::listener::Listener;
use crate::log::{Level, Log, Logger};
use crate::platform;

/// What other threads share with the event loop.
#[derive(Debug)]
pub(crate) struct Shared {
    stopped: AtomicBool,
    waker: Waker,
    pub(crate) gauges: Gauges,
    pub(crate) log: Logger,
    /// Whether other users of this machine may see the web pages.
    pub(crate) allow_users: bool,
}

impl Shared {
    pub(crate) fn new(waker: Waker, log: Option<Log>, allow_users: bool) -> Self {
        let gauges = Gauges::default();
        Self { stopped: AtomicBool::new(false), waker, gauges, log: Logger::new(log), allow_users }
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.wake();
    }

    /// Has the loop run a turn.
    pub(crate) fn wake(&self) {
        // It fails only where the poll is gone, and with it the server.
        let _ = self.waker.wake();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }
}

/// A server that listens, and serves as soon as it runs.
pub struct Server {
    event_loop: EventLoop,
    /// How long the head of a request at the web port may take.
    head_patience: Duration,
    web: Option<(TcpListener, SocketAddr)>,
    tcp: Option<SocketAddr>,
    unix: Option<PathBuf>,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let web = self.web_addr();
        f.debug_struct("Server").field("tcp", &self.tcp).field("web", &web).field("unix", &self.unix).finish()
    }
}

impl Server {
    /// Listens where `config` says. From now on clients can connect; they are served when the server
    /// runs.
    ///
    /// # Errors
    /// Where an address is taken or not ours; the message names it.
    pub fn bind(config: Config) -> io::Result<Self> {
        let (config, most_files, shortage) = fit_descriptors(config);
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let shared = Arc::new(Shared::new(waker, config.log, config.allow_users));
        let mut listeners = Vec::new();
        let mut tcp = None;
        if let Some(address) = config.tcp {
            let listener = Listener::tcp(address).map_err(|error| BindError::wrap(address.to_string(), error))?;
            tcp = listener.tcp_addr();
            listeners.push(listener);
        }
        if let Some(path) = &config.unix {
            let listener = Listener::unix(path).map_err(|error| BindError::wrap(path.display().to_string(), error))?;
            listeners.push(listener);
        }
        let web = match config.web {
            Some(address) => Some(bind_web(address).map_err(|error| BindError::wrap(address.to_string(), error))?),
            None => None,
        };
        if let Some(message) = shortage {
            shared.log.write(Level::Warn, &message, &[]);
        }
        if config.limits.values_disk_bytes != Some(0)
            && let Err(error) = check_tmp_dir(&config.tmp_dir)
        {
            shared.log.write(Level::Warn, &error.to_string(), &[]);
        }
        let head_patience = Duration::from_millis(config.limits.handshake_ms.into());
        let rules = Rules { token: config.token, allow_users: config.allow_users, classic_from: config.classic_from };
        let event_loop =
            EventLoop::new(poll, listeners, rules, config.limits, config.tmp_dir, most_files, Arc::clone(&shared))?;
        Ok(Self { event_loop, head_patience, web, tcp, unix: config.unix, shared })
    }

    /// Where it listens for clients by TCP.
    pub fn tcp_addr(&self) -> Option<SocketAddr> {
        self.tcp
    }

    /// Where its web pages are.
    pub fn web_addr(&self) -> Option<SocketAddr> {
        self.web.as_ref().map(|(_, address)| *address)
    }

    /// Its Unix socket.
    pub fn unix_path(&self) -> Option<&Path> {
        self.unix.as_deref()
    }

    /// What stops it from another thread.
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.shared))
    }

    /// Serves until [`Handle::shutdown`]. Then every client is told, and this returns.
    ///
    /// # Errors
    /// Where the system refuses what the server cannot do without: a thread, the poll.
    pub fn run(self) -> io::Result<()> {
        let pages = match self.web {
            Some((listener, _)) => Some(WebPages::start(listener, Arc::clone(&self.shared), self.head_patience)?),
            None => None,
        };
        let result = self.event_loop.run();
        drop(pages);
        result
    }
}

/// Descriptors that are not for clients within the limit: those of clients above it, listeners, the poll,
/// logs, standard streams, and some to spare.
const OTHER_DESCRIPTORS: usize = 2 * SURPLUS_CONNECTIONS + 64;

/// The part of the descriptors that is kept for long values where connections would take them all.
const LONG_VALUES_PART: usize = 4;

/// For how many long values at most there is room from the start: seldom are there as many as may be.
const ROOM_FOR_LONG_VALUES: usize = 4096;

/// How many descriptors are for what.
#[derive(Debug, PartialEq, Eq)]
struct Split {
    connections: usize,
    long_values: usize,
}

/// Lowers the limit on connections to what the limit on descriptors leaves, and says so: else who comes when
/// there are none left would wait without an answer. Says how many are left for long values.
fn fit_descriptors(mut config: Config) -> (Config, usize, Option<String>) {
    let most = platform::raise_descriptor_limit();
    let others = OTHER_DESCRIPTORS + if config.web.is_some() { WEB_DESCRIPTORS } else { 0 };
    let wanted = config.limits.connections;
    let Split { connections, long_values } = split(most, others, wanted, config.limits.values_disk_bytes != Some(0));
    platform::make_room_for_descriptors(most.min(connections + others + long_values.min(ROOM_FOR_LONG_VALUES)));
    if wanted <= connections {
        return (config, long_values, None);
    }
    config.limits.connections = connections;
    let message = format!(
        "expected room for {wanted} connections (setting connections), and the limit on descriptors, {most}, leaves \
         room for {connections}, which is the limit now, and for {long_values} long values; raise it (ulimit -Hn, or \
         LimitNOFILE of a systemd unit)"
    );
    (config, long_values, Some(message))
}

/// Three quarters at least are for connections and long values, however few there are.
fn split(descriptors: usize, others: usize, wanted: usize, disk: bool) -> Split {
    let free = descriptors.saturating_sub(others).max(descriptors / 4 * 3);
    let kept = if disk { free / LONG_VALUES_PART } else { 0 };
    let connections = wanted.min(free - kept).max(1);
    Split { connections, long_values: free.saturating_sub(connections) }
}

fn bind_web(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// An address that could not be listened on.
#[derive(Debug)]
struct BindError {
    address: String,
    source: io::Error,
}

impl BindError {
    fn wrap(address: String, source: io::Error) -> io::Error {
        io::Error::new(source.kind(), Self { address, source })
    }
}

impl std::fmt::Display for BindError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot listen on {}: {}", self.address, self.source)
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Stops a server.
#[derive(Clone, Debug)]
pub struct Handle(Arc<Shared>);

impl Handle {
    /// Makes [`Server::run`] say goodbye to all clients and return.
    pub fn shutdown(&self) {
        self.0.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::{Split, split};

    #[test]
    fn connections_and_long_values_share_the_descriptors_that_there_are() {
        let shares = |descriptors, wanted, disk| {
            let Split { connections, long_values } = split(descriptors, 400, wanted, disk);
            (connections, long_values)
        };
        assert_eq!(shares(20_400, 12_000, true), (12_000, 8000));
        assert_eq!(shares(8400, 12_000, true), (6000, 2000), "a quarter is kept");
        assert_eq!(shares(8400, 12_000, false), (8000, 0), "no value goes to disk");
        assert_eq!(shares(8400, 10, true), (10, 7990));
        assert_eq!(shares(400, 12_000, true), (225, 75), "and the web port has to see");
        assert_eq!(shares(0, 12_000, true), (1, 0));
        assert_eq!(shares(usize::MAX, 12_000, true), (12_000, usize::MAX - 12_400));
    }
}
