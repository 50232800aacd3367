//! `nws ls`: the servers of this user, and their workspaces.

use std::io::{self, Write};
use std::time::Duration;

use nws_client::blocking::Server;
use nws_client::{ConnectOptions, Endpoint};
use nws_proto::WorkspaceInfo;
use nws_runtime::Found;
use serde_json::{Value, json};

use crate::exit::{Exit, Failure};
use crate::remote::ServerChoice;
use crate::{names, registry, table};

/// A server that hangs shall not hide the others for long.
const PATIENCE: Duration = Duration::from_secs(2);

/// List the servers of this user and their workspaces.
///
/// Embedded servers, which live only for the program that started them, are listed too. With --server
/// only that one.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Print an array of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerChoice,
}

/// What is known of one server.
struct Listed {
    found: Option<Found>,
    endpoint: Endpoint,
    /// The workspaces, or why there are none.
    workspaces: Result<Vec<WorkspaceInfo>, String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let listed = if arguments.server.is_named() {
        let endpoint = arguments.server.endpoint()?;
        let workspaces = arguments.server.connect()?.list_workspaces()?;
        vec![Listed { found: None, endpoint, workspaces: Ok(workspaces) }]
    } else {
        registry::servers()?.into_iter().map(ask).collect()
    };
    let mut output = io::stdout().lock();
    if arguments.json {
        let told: Vec<Value> = listed.iter().map(to_json).collect();
        writeln!(output, "{}", Value::from(told))?;
    } else if listed.is_empty() {
        return Err(Failure::new(Exit::NoServer, "no server of yours runs; start one with `nws start`"));
    } else {
        let texts: Vec<String> = listed.iter().map(to_text).collect();
        output.write_all(texts.join("\n").as_bytes())?;
    }
    if listed.is_empty() { Err(Failure::quiet(Exit::NoServer)) } else { Ok(()) }
}

fn ask(found: Found) -> Listed {
    let (endpoint, options) = registry::route(&found);
    let options = ConnectOptions { timeout: PATIENCE, ..options };
    let workspaces = Server::connect(&endpoint, options).and_then(|server| server.list_workspaces());
    Listed { found: Some(found), endpoint, workspaces: workspaces.map_err(|error| error.to_string()) }
}

fn to_text(listed: &Listed) -> String {
    let mut text = match &listed.found {
        Some(found) => {
            let kind = if found.info.embedded { "embedded, " } else { "" };
            let (pid, age) = (found.info.pid, registry::age(found));
            let web = found.info.web.map(|web| format!(", {}", registry::web_page(web))).unwrap_or_default();
            format!("{} ({kind}process {pid}, up {age}{web})\n", registry::name(found))
        }
        None => format!("{}\n", listed.endpoint),
    };
    match &listed.workspaces {
        Ok(workspaces) => {
            let rows: Vec<Vec<String>> = workspaces.iter().map(row).collect();
            table::aligned(&rows).lines().for_each(|line| text.push_str(&format!("  {line}\n")));
        }
        Err(error) => text.push_str(&format!("  does not answer: {error}\n")),
    }
    text
}

fn row(info: &WorkspaceInfo) -> Vec<String> {
    let count = match info.variables.len() {
        1 => "1 variable".to_owned(),
        count => format!("{count} variables"),
    };
    let owner = if info.owner.is_empty() { String::new() } else { format!("owned by {}", names::shown(&info.owner)) };
    let persistent = if info.persistent { "persistent" } else { "" };
    vec![names::shown(&info.name), count, owner, persistent.to_owned()]
}

fn to_json(listed: &Listed) -> Value {
    let workspaces = listed.workspaces.as_ref().ok().map(|workspaces| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let told = workspaces.iter().map(|info| {
            json!({
                "name": text(&info.name),
                "owner": text(&info.owner),
                "persistent": info.persistent,
                "variables": info.variables.iter().map(|name| text(name)).collect::<Vec<_>>(),
            })
        });
        told.collect::<Vec<_>>()
    });
    let info = listed.found.as_ref().map(|found| &found.info);
    json!({
        "server": listed.endpoint.to_string(),
        "pid": info.map(|info| info.pid),
        "clients": info.and_then(|info| info.tcp),
        "web": info.and_then(|info| info.web).map(registry::web_page),
        "embedded": info.map(|info| info.embedded),
        "started_unix_s": info.map(|info| info.started_unix_s),
        "workspaces": workspaces,
        "error": listed.workspaces.as_ref().err(),
    })
}
