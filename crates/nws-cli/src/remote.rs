//! How a command finds its server.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use nws_client::blocking::{Server, Workspace};
use nws_client::{ConnectOptions, ConnectProblem, Endpoint, Error};
use nws_proto::{OpenMode, Token};

use crate::exit::{Exit, Failure};
use crate::{names, registry};
use nws_server::settings::read_time;

/// The server that is meant.
#[derive(Debug, clap::Args)]
pub(crate) struct ServerChoice {
    /// The server, as HOST:PORT, HOST, or the PATH of its Unix socket; nws:// may stand before it [default: this
    /// machine, port 8765 or $NWS_SERVER_PORT].
    #[arg(long, short, env = "NWS_URL", value_name = "SERVER", hide_env_values = true)]
    server: Option<String>,
    /// The file with the server's token; servers of this user on this machine need none.
    #[arg(long, env = "NWS_TOKEN_FILE", value_name = "FILE", hide_env_values = true)]
    token_file: Option<PathBuf>,
    /// How long connecting may take.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    connect_timeout: Duration,
}

/// The workspace that is meant, on its server.
#[derive(Debug, clap::Args)]
pub(crate) struct WorkspaceChoice {
    #[command(flatten)]
    pub(crate) server: ServerChoice,
    /// The workspace.
    #[arg(long, short, value_name = "NAME", default_value = "__default")]
    pub(crate) workspace: OsString,
}

/// How long a command waits for what it wants.
#[derive(Debug, clap::Args)]
pub(crate) struct Patience {
    /// Wait no longer than this, such as 500ms, 2.5s or 10min; a plain number counts seconds.
    #[arg(long, short, value_name = "TIME", value_parser = time)]
    pub(crate) timeout: Option<Duration>,
}

pub(crate) fn time(text: &str) -> Result<Duration, String> {
    read_time(text).map(Duration::from_millis).ok_or_else(|| "expected a time such as 500ms, 2.5s or 10min".to_owned())
}

/// The port of a server that runs; 0 is none.
pub(crate) fn port(text: &str) -> Result<u16, String> {
    let port = text.parse().ok().filter(|port| *port != 0);
    port.ok_or_else(|| "expected the port of a server, 1 to 65535; `nws ls` shows those that run".to_owned())
}

impl ServerChoice {
    /// Whether one was named.
    pub(crate) fn is_named(&self) -> bool {
        self.server.as_deref().is_some_and(|server| !server.is_empty())
    }

    pub(crate) fn endpoint(&self) -> Result<Endpoint, Failure> {
        match self.server.as_deref().filter(|server| !server.is_empty()) {
            Some(text) => Ok(text.parse()?),
            None => Ok(Endpoint::Tcp("localhost".to_owned(), registry::usual_port()?)),
        }
    }

    pub(crate) fn options(&self) -> Result<ConnectOptions, Failure> {
        let token = self.token_file.as_ref().filter(|path| !path.as_os_str().is_empty());
        let token = token.map(|path| {
            let text = fs::read_to_string(path)
                .map_err(|error| Failure::new(Exit::Failed, format!("the token in {}: {error}", path.display())))?;
            Token::from_hex(text.trim()).ok_or_else(|| {
                let message = format!("expected 64 hexadecimal digits in the token file {}", path.display());
                Failure::new(Exit::Usage, message)
            })
        });
        Ok(ConnectOptions { token: token.transpose()?, timeout: self.connect_timeout, ..ConnectOptions::default() })
    }

    pub(crate) fn connect(&self) -> Result<Server, Failure> {
        let endpoint = self.endpoint()?;
        Server::connect(&endpoint, self.options()?).map_err(|error| explain(error, &endpoint))
    }
}

impl WorkspaceChoice {
    pub(crate) fn name(&self) -> &[u8] {
        names::bytes(&self.workspace)
    }

    /// Uses the workspace; without `create` one that is not there is an error.
    pub(crate) fn enter(&self, create: bool) -> Result<(Server, Workspace), Failure> {
        let server = self.server.connect()?;
        let workspace = server.open_with(self.name(), OpenMode::Use, create)?;
        Ok((server, workspace))
    }
}

/// Says also what else there is, and tells a closed door from an empty house.
fn explain(error: Error, endpoint: &Endpoint) -> Failure {
    let nobody = matches!(&error, Error::Connect { problem: ConnectProblem::NobodyListens, .. });
    let mut failure = Failure::from(error);
    if let Endpoint::Unix(path) = endpoint
        && path.metadata().is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
    {
        failure.exit = Exit::Refused;
    }
    if nobody && let Ok(found) = registry::servers() {
        let running: Vec<String> = found
            .iter()
            .filter(|found| !found.info.embedded)
            .map(|found| format!("--server {}", registry::name(found)))
            .collect();
        if !running.is_empty() {
            failure.message.push_str(&format!(" (of yours: {})", running.join(", ")));
        }
    }
    failure
}
