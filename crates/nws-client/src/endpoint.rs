//! Where a server is, and how to connect to it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use nws_proto::{SessionId, Token};

use crate::Error;

/// The port that servers listen on for clients where nothing else is said.
pub const DEFAULT_PORT: u16 = 8765;

/// Where a server is.
///
/// Its text is `HOST:PORT`, `HOST` (with [`DEFAULT_PORT`]), or `unix:PATH`, where an absolute path
/// needs no `unix:`. Before each may stand `nws://`, as in a URL. So it is for whatever names a server in
/// words: the environment variable `NWS_URL` ([`Endpoint::of_environment`]), the command `nws`, sleighs.
///
/// ```
/// use nws_client::Endpoint;
/// assert_eq!("node7:9000".parse(), Ok(Endpoint::Tcp("node7".into(), 9000)));
/// assert_eq!("nws://node7:9000".parse(), Ok(Endpoint::Tcp("node7".into(), 9000)));
/// assert_eq!("[::1]".parse(), Ok(Endpoint::Tcp("::1".into(), 8765)));
/// assert_eq!("/run/nws.sock".parse(), Ok(Endpoint::Unix("/run/nws.sock".into())));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// A host name or address, and a port.
    Tcp(String, u16),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl Default for Endpoint {
    /// `localhost:8765`.
    fn default() -> Self {
        Endpoint::Tcp("localhost".to_owned(), DEFAULT_PORT)
    }
}

impl Endpoint {
    /// The server that the environment variable `NWS_URL` names; none where it is empty or not set.
    ///
    /// # Errors
    /// [`BadArguments`](nws_proto::ErrorCode::BadArguments) where it names none.
    pub fn of_environment() -> Result<Option<Self>, Error> {
        match std::env::var_os("NWS_URL") {
            Some(url) if !url.is_empty() => {
                let url = url.to_string_lossy();
                url.parse().map(Some).map_err(|_| Error::misuse(format!("NWS_URL: {}", expected(&url))))
            }
            _ => Ok(None),
        }
    }

    /// The port, where this is one of this machine's own.
    pub(crate) fn loopback_port(&self) -> Option<u16> {
        match self {
            Endpoint::Tcp(host, port) => {
                let own = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
                own.then_some(*port)
            }
            Endpoint::Unix(_) => None,
        }
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Endpoint::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Endpoint::Tcp(host, port) => write!(f, "{host}:{port}"),
            Endpoint::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(whole: &str) -> Result<Self, Error> {
        // Whoever writes a URL may end it with a slash.
        let text = whole.strip_prefix("nws://").map_or(whole, |rest| rest.strip_suffix('/').unwrap_or(rest));
        let not_an_endpoint = || Error::misuse(expected(whole));
        if let Some(path) = text.strip_prefix("unix:").or_else(|| text.starts_with('/').then_some(text)) {
            return if path.is_empty() { Err(not_an_endpoint()) } else { Ok(Endpoint::Unix(path.into())) };
        }
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or_else(not_an_endpoint)?)),
            // An IPv6 address without brackets has no port.
            None if text.parse::<IpAddr>().is_ok() => (text, None),
            None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or_else(not_an_endpoint)?,
            None => DEFAULT_PORT,
        };
        let is_host = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c == '/');
        if is_host { Ok(Endpoint::Tcp(host.to_owned(), port)) } else { Err(not_an_endpoint()) }
    }
}

fn expected(got: &str) -> String {
    format!("expected a server as nws://HOST:PORT, HOST:PORT, HOST, unix:PATH or /PATH, got {got:?}")
}

/// After how much silence either end gives the other up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Silence {
    /// As the server has it, usually four seconds.
    #[default]
    Default,
    /// Never: only the end of the connection ends the session. Servers grant it over Unix sockets.
    Never,
    /// After this many milliseconds.
    Ms(u32),
}

impl Silence {
    pub(crate) fn to_wire(self) -> u32 {
        match self {
            Silence::Default => u32::MAX,
            Silence::Never => 0,
            Silence::Ms(ms) => ms.clamp(1, u32::MAX - 1),
        }
    }
}

/// How to connect. Name what you want and take the rest from the default, as there may be more
/// fields one day.
///
/// ```
/// use std::time::Duration;
///
/// use nws_client::ConnectOptions;
///
/// let options = ConnectOptions { timeout: Duration::from_secs(1), ..ConnectOptions::default() };
/// # assert!(options.prefer_unix);
/// ```
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// The server's token; `None`: looked up in the user's runtime folder.
    pub token: Option<Token>,
    /// After how much silence the session ends.
    pub silence: Silence,
    /// The session that gets this one's leases when it ends; 0: they return to their variables.
    pub guardian: SessionId,
    /// Shown beside the address in listings; at most 256 bytes. By default the process id.
    pub label: Vec<u8>,
    /// For all of connecting. By default ten seconds.
    pub timeout: Duration,
    /// Whether a server that listens on a port of this machine and is registered in the user's
    /// runtime folder is reached by its Unix socket, which is faster. By default it is.
    pub prefer_unix: bool,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            token: None,
            silence: Silence::Default,
            guardian: SessionId(0),
            label: std::process::id().to_string().into_bytes(),
            timeout: Duration::from_secs(10),
            prefer_unix: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_reads_what_it_writes() {
        for text in ["localhost:8765", "10.0.0.1:1", "[::1]:9", "node-7.example:65535", "/run/user/1/nws.sock"] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.to_string(), text);
        }
        assert_eq!("::1".parse(), Ok(Endpoint::Tcp("::1".into(), DEFAULT_PORT)));
        assert_eq!("node".parse(), Ok(Endpoint::Tcp("node".into(), DEFAULT_PORT)));
        assert_eq!("unix:x/y".parse(), Ok(Endpoint::Unix("x/y".into())));
    }

    #[test]
    fn an_endpoint_is_the_same_as_a_url() {
        for text in ["localhost:8765", "node", "[::1]:9", "10.0.0.1", "unix:x/y", "/run/nws.sock"] {
            let endpoint: Result<Endpoint, Error> = text.parse();
            assert!(endpoint.is_ok());
            assert_eq!(format!("nws://{text}").parse(), endpoint);
            assert_eq!(format!("nws://{text}/").parse(), endpoint);
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused_with_the_forms_that_are() {
        for text in [
            "",
            ":80",
            "a:",
            "a:x",
            "a:0",
            "a:70000",
            "[::1]x",
            "unix:",
            "a b:1",
            "http://a:1",
            "nws://",
            "nws:///",
            "nws://a:x",
        ] {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.contains("HOST:PORT"), "{text:?}: {error}");
        }
    }

    #[test]
    fn only_this_machines_ports_are_looked_up_by_port() {
        assert_eq!("localhost:7".parse::<Endpoint>().unwrap().loopback_port(), Some(7));
        assert_eq!("127.0.0.2:7".parse::<Endpoint>().unwrap().loopback_port(), Some(7));
        assert_eq!("[::1]:7".parse::<Endpoint>().unwrap().loopback_port(), Some(7));
        assert_eq!("10.0.0.1:7".parse::<Endpoint>().unwrap().loopback_port(), None);
        assert_eq!("/a".parse::<Endpoint>().unwrap().loopback_port(), None);
    }
}
