//! The servers of this user that run on this machine.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use nws_client::{ConnectOptions, DEFAULT_PORT, Endpoint};
use nws_runtime::{Found, RuntimeDir};

use crate::exit::{Exit, Failure};

/// All of them, the oldest first.
pub(crate) fn servers() -> Result<Vec<Found>, Failure> {
    let failed = |error: std::io::Error| Failure::new(Exit::Failed, error.to_string());
    RuntimeDir::open().map_err(failed)?.servers().map_err(failed)
}

/// The port that a command means where it says nothing: the one that a server would take.
pub(crate) fn usual_port() -> Result<u16, Failure> {
    match std::env::var("NWS_SERVER_PORT") {
        Ok(text) if !text.is_empty() => text.parse().ok().filter(|port| *port != 0).ok_or_else(|| {
            let message = format!(
                "the environment variable NWS_SERVER_PORT: expected the port of a server, got {text:?}; `nws ls` shows \
                 those that run"
            );
            Failure::new(Exit::Usage, message)
        }),
        _ => Ok(DEFAULT_PORT),
    }
}

/// How to reach a server that was found: by its Unix socket, with its own token.
pub(crate) fn route(found: &Found) -> (Endpoint, ConnectOptions) {
    let options = ConnectOptions { token: Some(found.token.clone()), ..ConnectOptions::default() };
    (Endpoint::Unix(found.info.unix.clone()), options)
}

/// What people call it.
pub(crate) fn name(found: &Found) -> String {
    found.info.tcp.map_or_else(|| found.info.unix.display().to_string(), |address| address.to_string())
}

pub(crate) fn web_page(address: SocketAddr) -> String {
    format!("http://{address}/")
}

/// How long it has run, for people.
pub(crate) fn age(found: &Found) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs());
    match now.saturating_sub(found.info.started_unix_s) {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}
