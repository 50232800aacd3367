//! What the command `nws serve` does: register, announce, serve, end when it is asked to.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use nws_proto::Token;
use nws_runtime::{Reservation, RuntimeDir, ServerInfo};
use serde::Serialize;

use crate::log::{Level, Log, Logger};
use crate::platform::{self, EndSignals};
use crate::{Config, Handle, Limits, Network, Server, random_token};

/// What `nws serve` was told.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Where clients connect; 0 takes any free port.
    pub port: u16,
    /// Where HTTP is served, if at all; 0 takes any free port.
    pub web_port: Option<u16>,
    /// The address to listen on.
    pub interface: IpAddr,
    /// Serve only the program that holds the other end of our standard input, and end with it.
    pub embedded: bool,
    /// Whether other machines may be listened to, without encryption.
    pub insecure: bool,
    /// Whether other users of this machine are let in where nobody proves a token.
    pub allow_users: bool,
    /// From which other machines clients of the classic protocol are let in.
    pub classic_from: Vec<Network>,
    /// What the server bears.
    pub limits: Limits,
    /// Where values go that are too long for memory.
    pub tmp_dir: PathBuf,
    /// Where and how it says what happens.
    pub log: Log,
    /// How it says where it is.
    pub announcement: Announcement,
}

/// How a server says on standard output where it is, once it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announcement {
    /// A few lines for people.
    Text,
    /// One line of JSON for the program that started it, with the token and the folder.
    Json,
}

/// Serves until a signal or, embedded, the end of standard input. Leaves nothing behind.
///
/// # Errors
/// Where the addresses cannot be listened on, or there is no runtime folder.
pub fn serve(options: ServeOptions) -> io::Result<()> {
    let signals = EndSignals::block(options.embedded)?;
    if !options.interface.is_loopback() && !options.insecure {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "expected a loopback address such as 127.0.0.1 to listen on, got {}: without encryption other \
                 machines could read the values and the token's proof; reach this one through ssh, or say \
                 --insecure where you trust the network",
                options.interface
            ),
        ));
    }
    platform::ignore_file_size_signal();
    let runtime = RuntimeDir::open()?;
    let reservation = runtime.reserve()?;
    let token = random_token()?;
    let server = bind(&options, &reservation, &token).map_err(|error| explain(error, &runtime))?;
    let info = describe(&options, &server, &reservation);
    reservation.publish(&info, &token)?;
    let handle = server.handle();
    end_on_signal(signals, handle.clone())?;
    if options.embedded {
        end_with_standard_input(handle)?;
    }
    say_started(&options, &info);
    match options.announcement {
        Announcement::Json => announce_to_program(&info, &token, reservation.folder())?,
        Announcement::Text => announce_to_people(&info),
    }
    platform::tell_service_manager("READY=1");
    let result = server.run();
    Logger::new(Some(options.log)).write(Level::Info, "stopped", &[("process", &info.pid)]);
    result
}

fn say_started(options: &ServeOptions, info: &ServerInfo) {
    let logger = Logger::new(Some(options.log));
    let shown = |address: Option<SocketAddr>| address.map_or("off".to_owned(), |address| address.to_string());
    let (clients, web, socket) = (shown(info.tcp), shown(info.web), info.unix.display());
    let version = env!("CARGO_PKG_VERSION");
    logger.write(
        Level::Info,
        "started",
        &[("process", &info.pid), ("version", &version), ("clients", &clients), ("web", &web), ("socket", &socket)],
    );
    if !options.interface.is_loopback() {
        let message = "other machines may connect, and nothing is encrypted: who can read the network can read the \
                       values";
        logger.write(Level::Warn, message, &[("interface", &options.interface)]);
    } else if !options.classic_from.is_empty() {
        let message = "the setting classic-from is of no use: only this machine can connect (settings interface and \
                       insecure)";
        logger.write(Level::Warn, message, &[("interface", &options.interface)]);
    }
    let from: Vec<String> = options.classic_from.iter().map(Network::to_string).collect();
    if !options.interface.is_loopback() && !from.is_empty() {
        let message = "whoever connects from these addresses by the classic protocol can read and write all values, \
                       and needs no token (setting classic-from)";
        logger.write(Level::Warn, message, &[("networks", &from.join(","))]);
    }
}

fn bind(options: &ServeOptions, reservation: &Reservation, token: &Token) -> io::Result<Server> {
    Server::bind(Config {
        tcp: Some(SocketAddr::new(options.interface, options.port)),
        web: options.web_port.map(|port| SocketAddr::new(web_interface(options.interface), port)),
        unix: Some(reservation.socket_path()),
        token: token.clone(),
        allow_users: options.allow_users,
        classic_from: options.classic_from.clone(),
        limits: options.limits.clone(),
        tmp_dir: options.tmp_dir.clone(),
        log: Some(options.log),
    })
}

/// The web pages ask for no token, so they are for this machine alone.
fn web_interface(interface: IpAddr) -> IpAddr {
    if interface.is_loopback() { interface } else { Ipv4Addr::LOCALHOST.into() }
}

fn describe(options: &ServeOptions, server: &Server, reservation: &Reservation) -> ServerInfo {
    ServerInfo {
        pid: std::process::id(),
        tcp: server.tcp_addr(),
        web: server.web_addr(),
        unix: reservation.socket_path(),
        embedded: options.embedded,
        started_unix_s: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs()),
    }
}

/// Says by whom a port is taken, where that is one of ours, and what to do.
fn explain(error: io::Error, runtime: &RuntimeDir) -> io::Error {
    if error.kind() != io::ErrorKind::AddrInUse {
        return error;
    }
    let message = error.to_string();
    let ours = runtime.servers().unwrap_or_default().into_iter().map(|server| server.info);
    let holder = ours.into_iter().find(|info| {
        let taken = |address: Option<SocketAddr>| address.is_some_and(|address| message.contains(&address.to_string()));
        taken(info.tcp) || taken(info.web)
    });
    let explained = match holder {
        Some(info) => format!(
            "{message}; a NetWorkSpaces server of yours, process {}, has it: use that one, stop it, or choose other \
             ports with --port and --web-port (0 takes any free one)",
            info.pid
        ),
        None => format!("{message}; choose another with --port or --web-port (0 takes any free one)"),
    };
    io::Error::new(io::ErrorKind::AddrInUse, explained)
}

fn end_on_signal(signals: EndSignals, handle: Handle) -> io::Result<()> {
    thread::Builder::new().name("nws-signals".to_owned()).spawn(move || {
        signals.wait();
        handle.shutdown();
    })?;
    Ok(())
}

/// The other end is closed when the program that holds it ends, however it ends.
fn end_with_standard_input(handle: Handle) -> io::Result<()> {
    thread::Builder::new().name("nws-stdin".to_owned()).spawn(move || {
        let mut ignored = [0; 256];
        let mut input = io::stdin().lock();
        loop {
            match input.read(&mut ignored) {
                Ok(0) => break,
                Err(error) if error.kind() != io::ErrorKind::Interrupted => break,
                _ => {}
            }
        }
        handle.shutdown();
    })?;
    Ok(())
}

#[derive(Serialize)]
struct Whereabouts<'a> {
    unix: &'a Path,
    tcp: Option<SocketAddr>,
    web: Option<SocketAddr>,
    token: String,
    folder: &'a Path,
}

fn announce_to_program(info: &ServerInfo, token: &Token, folder: &Path) -> io::Result<()> {
    let announcement = Whereabouts { unix: &info.unix, tcp: info.tcp, web: info.web, token: token.to_hex(), folder };
    let mut line = serde_json::to_vec(&announcement)?;
    line.push(b'\n');
    let mut output = io::stdout().lock();
    output.write_all(&line)?;
    output.flush()
}

/// Nobody has to listen: a server whose output goes nowhere serves all the same.
fn announce_to_people(info: &ServerInfo) {
    let mut output = io::stdout().lock();
    let _ = writeln!(output, "NetWorkSpaces {} serves as process {}", env!("CARGO_PKG_VERSION"), info.pid);
    if let Some(address) = info.tcp {
        let _ = writeln!(output, "clients  {address}");
    }
    let _ = writeln!(output, "socket   {}", info.unix.display());
    if let Some(address) = info.web {
        let _ = writeln!(output, "web      http://{address}/");
    }
    let _ = output.flush();
}
