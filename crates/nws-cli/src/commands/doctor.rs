//! `nws doctor`: looks at what can be wrong on this machine.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use nws_client::blocking::Server;
use nws_client::{ConnectOptions, Endpoint};
use nws_runtime::{Found, RuntimeDir};
use nws_server::program::ServeOptions;
use nws_server::settings::{BadSettings, Origin, Settings, TABLE, effective, usual_path};
use rustix::process::{Resource, getrlimit};
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::registry;
use crate::remote::ServerChoice;

const PATIENCE: Duration = Duration::from_secs(2);
/// What the server needs beside its connections: sockets, polls, standard streams, files.
const OTHER_DESCRIPTORS: u64 = 64;

/// Look for what can be wrong: settings, the runtime folder, servers that do not answer.
///
/// Exits with code 1 where something is wrong, and says what to do.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Print an array of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerChoice,
}

/// What was looked at, and what came of it.
struct Finding {
    subject: String,
    /// What it is, or what is wrong with it.
    result: Result<String, String>,
}

fn finding(subject: impl Into<String>, result: Result<String, String>) -> Finding {
    Finding { subject: subject.into(), result }
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut findings =
        vec![finding("program", program()), finding("settings", settings()), finding("environment", Ok(variables()))];
    findings.push(finding("descriptors", descriptors()));
    findings.push(finding("folder for long values", tmp_dir()));
    match RuntimeDir::open() {
        Err(error) => findings.push(finding("runtime folder", Err(error.to_string()))),
        Ok(runtime) => {
            findings.push(finding("runtime folder", Ok(runtime.path().display().to_string())));
            match runtime.servers() {
                Err(error) => findings.push(finding("servers", Err(error.to_string()))),
                Ok(servers) => {
                    findings.push(finding("servers", Ok(servers.len().to_string())));
                    findings.extend(servers.iter().flat_map(examine));
                }
            }
        }
    }
    if arguments.server.is_named() {
        let subject = arguments.server.endpoint().map_or_else(|_| "--server".to_owned(), |at| at.to_string());
        let result = arguments.server.connect().and_then(|server| Ok(server.ping()?));
        findings.push(finding(subject, result.map(|()| "answers".to_owned()).map_err(|failure| failure.message)));
    }
    print(&findings, arguments.json)?;
    if findings.iter().all(|finding| finding.result.is_ok()) { Ok(()) } else { Err(Failure::quiet(Exit::Nothing)) }
}

fn program() -> Result<String, String> {
    let path = std::env::current_exe().map_err(|error| error.to_string())?;
    Ok(format!("{} {}", env!("CARGO_PKG_VERSION"), path.display()))
}

fn settings() -> Result<String, String> {
    let effective = effective(&[], None).map_err(|bad| bad.to_string())?;
    let path = usual_path().filter(|path| path.exists());
    let changed = effective.iter().filter(|one| one.origin != Origin::Default).count();
    Ok(path.map_or_else(
        || format!("{changed} of {} set, no file", effective.len()),
        |path| format!("{changed} of {} set, {}", effective.len(), path.display()),
    ))
}

/// The variables that have a say, without their values: these may be secrets of others.
fn variables() -> String {
    let ours = TABLE.iter().map(|setting| setting.variable);
    let others = ["NWS_URL", "NWS_TOKEN_FILE", "NWS_RUNTIME_DIR", "NWS_BINARY", "PythonSleighNwsHost"];
    let set: Vec<&str> = ours.chain(others).filter(|name| std::env::var_os(name).is_some()).collect();
    if set.is_empty() { "nothing is set".to_owned() } else { set.join(", ") }
}

/// What `nws serve` would be told here.
fn options() -> Result<ServeOptions, BadSettings> {
    Ok(Settings::of(&effective(&[], None)?)?.options())
}

fn descriptors() -> Result<String, String> {
    let limit = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let connections = options().map_or(0, |options| options.limits.connections as u64);
    if limit >= connections + OTHER_DESCRIPTORS {
        return Ok(if limit == u64::MAX { "no limit".to_owned() } else { format!("at most {limit}") });
    }
    Err(format!(
        "a process may open {limit}, and the setting connections allows {connections}: raise the hard limit \
         (ulimit -Hn), or lower the setting"
    ))
}

fn tmp_dir() -> Result<String, String> {
    let options = options().map_err(|bad| bad.to_string())?;
    if options.limits.values_disk_bytes == Some(0) {
        return Ok("not used".to_owned());
    }
    nws_server::check_tmp_dir(&options.tmp_dir).map_err(|error| error.to_string())?;
    Ok(options.tmp_dir.display().to_string())
}

fn examine(found: &Found) -> Vec<Finding> {
    let name = registry::name(found);
    let ping = |endpoint: Endpoint, prefer_unix| {
        let token = Some(found.token.clone());
        let options = ConnectOptions { token, timeout: PATIENCE, prefer_unix, ..ConnectOptions::default() };
        let answer = Server::connect(&endpoint, options).and_then(|server| server.ping());
        answer.map(|()| "answers".to_owned()).map_err(|error| error.to_string())
    };
    let mut findings =
        vec![finding(format!("{name} by its socket"), ping(Endpoint::Unix(found.info.unix.clone()), true))];
    if let Some(address) = found.info.tcp {
        // One that listens everywhere is asked here.
        let host = if address.ip().is_unspecified() { "127.0.0.1".to_owned() } else { address.ip().to_string() };
        findings.push(finding(format!("{name} by TCP"), ping(Endpoint::Tcp(host, address.port()), false)));
    }
    if let Some(address) = found.info.web {
        findings.push(finding(format!("{name} web pages"), healthy(address)));
    }
    findings
}

fn healthy(address: SocketAddr) -> Result<String, String> {
    let ask = || {
        let mut socket = TcpStream::connect_timeout(&address, PATIENCE)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        write!(socket, "GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        socket.take(64 << 10).read_to_string(&mut answer)?;
        io::Result::Ok(answer)
    };
    let answer = ask().map_err(|error| format!("{} does not answer: {error}", registry::web_page(address)))?;
    if answer.starts_with("HTTP/1.1 200") {
        return Ok(registry::web_page(address));
    }
    let first = answer.lines().next().unwrap_or_default();
    Err(format!("{} expected to be well, says {first:?}", registry::web_page(address)))
}

fn print(findings: &[Finding], as_json: bool) -> io::Result<()> {
    let mut output = io::stdout().lock();
    if as_json {
        let told: Vec<serde_json::Value> = findings
            .iter()
            .map(|finding| {
                let (Ok(text) | Err(text)) = &finding.result;
                json!({"subject": finding.subject, "ok": finding.result.is_ok(), "text": text})
            })
            .collect();
        return writeln!(output, "{}", serde_json::Value::from(told));
    }
    let mut rows = Vec::new();
    for Finding { subject, result } in findings {
        let (sign, Ok(text) | Err(text)) = (if result.is_ok() { "ok" } else { "WRONG" }, result);
        rows.push(vec![sign.to_owned(), subject.clone(), text.clone()]);
    }
    output.write_all(crate::table::aligned(&rows).as_bytes())
}
