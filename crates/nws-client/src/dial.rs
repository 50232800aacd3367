//! From an endpoint to a connected socket and the token that belongs to it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use nws_proto::Token;
use nws_runtime::{Found, RuntimeDir};

use crate::error::ConnectProblem;
use crate::handshake::Deadline;
use crate::platform::Socket;
use crate::{ConnectOptions, Endpoint};

/// A socket, and what is known of the token.
#[derive(Debug)]
pub(crate) struct Dialed {
    pub(crate) socket: Socket,
    /// The token, or where it was looked for.
    pub(crate) token: Result<Token, String>,
}

/// Connects to the endpoint. That a server runs there is found out before it matters whether there is
/// a token.
pub(crate) fn dial(
    endpoint: &Endpoint,
    options: &ConnectOptions,
    deadline: Deadline,
) -> Result<Dialed, ConnectProblem> {
    match endpoint {
        Endpoint::Unix(path) => {
            let socket = connect_unix(path, deadline)?;
            Ok(Dialed { socket, token: options.token.clone().map_or_else(|| beside(path), Ok) })
        }
        Endpoint::Tcp(host, port) => {
            let registered = registered(endpoint, options);
            if let Ok(found) = &registered
                && options.prefer_unix
                && let Ok(socket) = connect_unix(&found.info.unix, deadline)
            {
                return Ok(Dialed { socket, token: Ok(found.token.clone()) });
            }
            let socket = connect_tcp(host, *port, deadline)?;
            let token = options.token.clone().map_or_else(|| registered.map(|found| found.token), Ok);
            Ok(Dialed { socket, token })
        }
    }
}

fn beside(socket: &Path) -> Result<Token, String> {
    match nws_runtime::token_beside(socket) {
        Ok(Some(token)) => Ok(token),
        Ok(None) => Err(format!("there is no file `token` beside {}", socket.display())),
        Err(error) => Err(format!("the file `token` beside {} cannot be read: {error}", socket.display())),
    }
}

/// The server that this user has registered for a port of this machine; or where it was looked for.
fn registered(endpoint: &Endpoint, options: &ConnectOptions) -> Result<Found, String> {
    let Some(port) = endpoint.loopback_port() else {
        return Err("only servers on this machine are found by themselves".to_owned());
    };
    let folder = RuntimeDir::open().map_err(|error| error.to_string())?;
    let looked = || format!("no server of this user with port {port} is registered in {}", folder.path().display());
    let servers = folder.servers().map_err(|error| format!("{}: {error}", folder.path().display()))?;
    servers
        .into_iter()
        .find(|found| {
            // Who gives another token means another server, for example at the end of a tunnel.
            found.info.tcp.is_some_and(|address| serves(endpoint, address))
                && options.token.as_ref().is_none_or(|token| *token == found.token)
        })
        .ok_or_else(looked)
}

/// Whether a server that listens at `address` is what the endpoint of this machine names.
fn serves(endpoint: &Endpoint, address: SocketAddr) -> bool {
    let Endpoint::Tcp(host, port) = endpoint else { return false };
    let is_named = match host.parse::<IpAddr>() {
        Ok(named) => address.ip() == named || address.ip().is_unspecified(),
        Err(_) => address.ip().is_loopback() || address.ip().is_unspecified(),
    };
    address.port() == *port && is_named
}

fn connect_unix(path: &Path, deadline: Deadline) -> Result<Socket, ConnectProblem> {
    const STEP: &str = "a connection";
    Socket::connect_unix(path, deadline.left(STEP)?).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ConnectProblem::NobodyListens,
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => deadline.passed(STEP),
        io::ErrorKind::PermissionDenied => ConnectProblem::System {
            step: "opening its socket",
            message: format!("{error}; the server belongs to another user, or its folder was closed to you"),
        },
        _ => ConnectProblem::System { step: "opening its socket", message: error.to_string() },
    })
}

fn connect_tcp(host: &str, port: u16, deadline: Deadline) -> Result<Socket, ConnectProblem> {
    const STEP: &str = "a connection";
    let mut problem = ConnectProblem::UnknownHost { message: "the resolver gave none".to_owned() };
    for address in resolve(host, port, deadline)? {
        let refused = match Socket::connect_tcp(address, deadline.left(STEP)?) {
            Ok(socket) => return Ok(socket),
            Err(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused => ConnectProblem::NobodyListens,
                io::ErrorKind::TimedOut => deadline.passed(STEP),
                _ => ConnectProblem::System { step: "connecting", message: error.to_string() },
            },
        };
        // Of several addresses, one where nobody listens says least about what is wrong.
        if refused != ConnectProblem::NobodyListens || matches!(problem, ConnectProblem::UnknownHost { .. }) {
            problem = refused;
        }
    }
    Err(problem)
}

fn resolve(host: &str, port: u16, deadline: Deadline) -> Result<Vec<SocketAddr>, ConnectProblem> {
    const STEP: &str = "the address of its host";
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let unknown = |error: io::Error| ConnectProblem::UnknownHost { message: error.to_string() };
    if host == "localhost" {
        // Servers listen on IPv4 unless told otherwise; a machine without the name in its tables has
        // the address all the same.
        let mut addresses = vec![SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)];
        let others = (host, port).to_socket_addrs().into_iter().flatten();
        addresses.extend(others.filter(|address| address.is_ipv6() && address.ip().is_loopback()));
        return Ok(addresses);
    }
    // The resolver knows no deadline, so it has a thread of its own, which may outlive our patience.
    let (sender, receiver) = mpsc::channel();
    let name = host.to_owned();
    let resolving = move || {
        let addresses = (name.as_str(), port).to_socket_addrs().map(|addresses| addresses.collect::<Vec<_>>());
        // It fails where nobody waits any more.
        let _ = sender.send(addresses);
    };
    thread::Builder::new().name("nws-resolve".to_owned()).spawn(resolving).map_err(unknown)?;
    match receiver.recv_timeout(deadline.left(STEP)?) {
        Ok(addresses) => addresses.map_err(unknown),
        Err(_) => Err(deadline.passed(STEP)),
    }
}
