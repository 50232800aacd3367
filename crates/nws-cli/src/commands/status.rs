//! `nws status`: whether a server runs and answers.

use std::io::{self, Write};

use nws_client::blocking::Server;
use nws_runtime::Found;
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::registry;
use crate::remote::port;

/// Tell whether a server of this user runs, and where.
///
/// Exits with code 0 where it answers, 3 where there is none, 6 where it does not answer.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The server with this port [default: 8765 or $NWS_SERVER_PORT].
    #[arg(long, value_name = "PORT", value_parser = port)]
    port: Option<u16>,
    /// Print one object of JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let port = arguments.port.map_or_else(registry::usual_port, Ok)?;
    let Some(found) = by_port(port)? else {
        if arguments.json {
            writeln!(io::stdout().lock(), "{}", json!({"port": port, "running": false}))?;
            return Err(Failure::quiet(Exit::NoServer));
        }
        let message = format!("no server of yours with port {port} runs; start one with `nws start --port {port}`");
        return Err(Failure::new(Exit::NoServer, message));
    };
    let (endpoint, options) = registry::route(&found);
    let answer = Server::connect(&endpoint, options).and_then(|server| server.ping());
    let text = if arguments.json { told(&found, port, answer.is_ok()) } else { describe(&found) };
    io::stdout().lock().write_all(text.as_bytes())?;
    answer.map_err(|error| Failure::new(Exit::Failed, format!("it runs and does not answer: {error}")))
}

pub(crate) fn by_port(port: u16) -> Result<Option<Found>, Failure> {
    let has = |found: &Found| found.info.tcp.is_some_and(|address| address.port() == port);
    Ok(registry::servers()?.into_iter().find(has))
}

/// What people want to know of a server that runs.
pub(crate) fn describe(found: &Found) -> String {
    let info = &found.info;
    let mut rows = vec![vec!["process".to_owned(), format!("{}, up {}", info.pid, registry::age(found))]];
    let mut row = |name: &str, text: String| rows.push(vec![name.to_owned(), text]);
    if let Some(address) = info.tcp {
        row("clients", address.to_string());
    }
    row("socket", info.unix.display().to_string());
    if let Some(web) = info.web {
        row("web", registry::web_page(web));
    }
    crate::table::aligned(&rows)
}

fn told(found: &Found, port: u16, answers: bool) -> String {
    let info = &found.info;
    let told = json!({
        "port": port,
        "running": true,
        "answers": answers,
        "pid": info.pid,
        "clients": info.tcp,
        "socket": info.unix,
        "web": info.web.map(registry::web_page),
        "embedded": info.embedded,
        "started_unix_s": info.started_unix_s,
    });
    format!("{told}\n")
}
