//! A server to test against.

use std::env;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use nws_client::{Call, ConnectOptions, Connection, Endpoint, Error, Pending, Server, Silence, Value, Workspace};
use nws_proto::{ErrorCode, Reply, Token, VariableInfo};
use nws_server::{Config, Handle};

/// Longer than anything takes that does not hang.
pub const LONG: Duration = Duration::from_secs(60);

/// Ends the tests where one hangs; each by itself is bounded by its peer, but not by a defect that
/// keeps an answer from who waits for it.
pub fn watchdog() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        thread::spawn(|| {
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(300) {
                thread::park_timeout(Duration::from_secs(300));
            }
            eprintln!("these tests have run for 5 minutes: one of them hangs");
            std::process::abort();
        });
    });
}

/// How a test reaches the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    Tcp,
    Unix,
}

/// Names a server that runs already and is to be tested, as [`Endpoint`] reads it. Everything in it is
/// deleted before each test.
const URL: &str = "NWS_CONFORMANCE_URL";
/// Names the file with its token, where that is not found beside it.
const TOKEN_FILE: &str = "NWS_TOKEN_FILE";

/// A server for one test.
pub struct Site {
    pub carrier: Carrier,
    pub tcp: Endpoint,
    pub unix: Endpoint,
    token: Option<Token>,
    backend: Backend,
}

enum Backend {
    /// It runs in this process, and ends with this.
    Ours { handle: Handle, ended: Mutex<Receiver<()>>, _folder: tempfile::TempDir },
    /// It runs already; the tests have it one after the other.
    Theirs { _turn: MutexGuard<'static, ()> },
}

impl Site {
    pub fn start(carrier: Carrier) -> Self {
        watchdog();
        match env::var(URL) {
            Ok(url) => Self::connect_to(carrier, url.parse().unwrap()),
            Err(_) => Self::start_own(carrier),
        }
    }

    fn connect_to(carrier: Carrier, endpoint: Endpoint) -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        // A test that failed is no reason not to run the next.
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let token = env::var_os(TOKEN_FILE).map(|path| {
            Token::from_hex(&std::fs::read_to_string(path).unwrap()).expect("a token in the file that is named")
        });
        let backend = Backend::Theirs { _turn: turn };
        let site = Self { carrier, tcp: endpoint.clone(), unix: endpoint, token, backend };
        let server = site.server();
        for workspace in soon(server.list_workspaces()).unwrap() {
            // Its owner may end at the same time, and `__default` stays.
            let _ = soon(server.delete_workspace(workspace.name));
        }
        let default = soon(server.use_workspace("__default")).unwrap();
        for variable in soon(default.list_variables()).unwrap() {
            soon(default.delete_variable(variable.name)).unwrap();
        }
        server.connection().close();
        site
    }

    fn start_own(carrier: Carrier) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path: PathBuf = folder.path().join("nws.sock");
        let token = Token([9; 32]);
        let mut config = Config::new(token.clone());
        config.tcp = Some((Ipv4Addr::LOCALHOST, 0).into());
        config.unix = Some(path.clone());
        let server = nws_server::Server::bind(config).unwrap();
        let tcp = Endpoint::Tcp("127.0.0.1".into(), server.tcp_addr().unwrap().port());
        let (handle, (sender, ended)) = (server.handle(), channel());
        thread::spawn(move || {
            server.run().unwrap();
            let _ = sender.send(());
        });
        let backend = Backend::Ours { handle, ended: Mutex::new(ended), _folder: folder };
        Self { carrier, tcp, unix: Endpoint::Unix(path), token: Some(token), backend }
    }

    /// Whether tests may do to it what they do not do to a server of others.
    pub fn is_ours(&self) -> bool {
        matches!(self.backend, Backend::Ours { .. })
    }

    pub fn endpoint(&self) -> &Endpoint {
        match self.carrier {
            Carrier::Tcp => &self.tcp,
            Carrier::Unix => &self.unix,
        }
    }

    pub fn options(&self) -> ConnectOptions {
        ConnectOptions { token: self.token.clone(), prefer_unix: false, timeout: LONG, ..Default::default() }
    }

    pub fn connect(&self) -> Connection {
        self.connect_with(self.options())
    }

    pub fn connect_with(&self, options: ConnectOptions) -> Connection {
        Connection::connect(self.endpoint(), options).unwrap()
    }

    /// Whose session ends only with its connection, as far as the carrier allows it.
    pub fn connect_for_good(&self) -> Connection {
        self.connect_with(ConnectOptions { silence: Silence::Never, ..self.options() })
    }

    pub fn server(&self) -> Server {
        self.connect().into()
    }

    /// A connection of its own that uses this workspace.
    pub fn workspace(&self, name: &str) -> Workspace {
        soon(self.server().use_workspace(name)).unwrap()
    }

    /// Where it is ours.
    pub fn shut_down(&self) {
        if let Backend::Ours { handle, .. } = &self.backend {
            handle.shutdown();
        }
    }

    pub fn wait_for_end(&self) {
        if let Backend::Ours { ended, .. } = &self.backend {
            ended.lock().unwrap().recv_timeout(LONG).expect("the server ends when it is told to");
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// The result of an operation; one that hangs fails the test.
pub fn soon<T>(mut call: Call<T>) -> Result<T, Error> {
    call.wait_timeout(LONG).expect("the operation ends")
}

/// The same for a request.
pub fn reply(mut pending: Pending) -> Result<Reply<Bytes>, Error> {
    pending.wait_timeout(LONG).expect("the request is answered")
}

/// The error code with which an operation fails.
pub fn code<T: std::fmt::Debug>(call: Call<T>) -> ErrorCode {
    soon(call).unwrap_err().code().expect("a fault")
}

pub fn number(value: &Value) -> i64 {
    value.as_i64().expect("an integer")
}

pub fn numbers(values: &[Value]) -> Vec<i64> {
    values.iter().map(number).collect()
}

/// What the server says of a variable.
pub fn info(workspace: &Workspace, variable: &str) -> VariableInfo {
    let variables = soon(workspace.list_variables()).unwrap();
    variables.into_iter().find(|info| info.name == variable.as_bytes()).expect("the variable is listed")
}

/// Asks the server until it says what is expected; for what another connection does, whose requests
/// and ours have no order.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < LONG, "never: {what}");
    }
}

/// Makes of each function a test over TCP and one over a Unix socket.
macro_rules! over_both {
    ($($(#[$attribute:meta])* fn $name:ident($site:ident: &Site) $body:block)*) => {
        $(
            mod $name {
                #[allow(unused_imports)]
                use super::*;
                fn check($site: &Site) $body
                #[test]
                $(#[$attribute])*
                fn over_tcp() { check(&Site::start($crate::site::Carrier::Tcp)); }
                #[test]
                $(#[$attribute])*
                fn over_unix() { check(&Site::start($crate::site::Carrier::Unix)); }
            }
        )*
    };
}
pub(crate) use over_both;
