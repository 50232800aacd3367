//! What a server is told before it starts.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use nws_proto::{Token, limits};

use crate::log::Log;
use crate::network::Network;
use crate::platform;

/// Where a server listens, whom it lets in, and what it bears.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect by TCP; port 0 takes any free one.
    pub tcp: Option<SocketAddr>,
    /// Where HTTP is served; port 0 takes any free one.
    pub web: Option<SocketAddr>,
    /// Where clients connect by Unix socket. Its folder keeps others out: mode 0700.
    pub unix: Option<PathBuf>,
    /// What a client has to prove that it knows.
    pub token: Token,
    /// Whether other users of this machine are let in where nobody shows a token: at the web port, and by
    /// the classic protocol. Values can be pickles: who may store one for another user can run code as
    /// that user. Else only the user that runs the server comes in there.
    pub allow_users: bool,
    /// From which other machines clients of the classic protocol, which has no token, are let in. Whoever
    /// connects from one of these addresses is, of whatever user.
    pub classic_from: Vec<Network>,
    /// What the server bears.
    pub limits: Limits,
    /// Where values go that are too long for memory, in files without a name.
    pub tmp_dir: PathBuf,
    /// What it says on standard error, if anything.
    pub log: Option<Log>,
}

impl Config {
    /// A server that listens nowhere yet and lets in who knows `token`.
    pub fn new(token: Token) -> Self {
        Self {
            tcp: None,
            web: None,
            unix: None,
            token,
            allow_users: false,
            classic_from: Vec::new(),
            limits: Limits::default(),
            tmp_dir: default_tmp_dir(),
            log: None,
        }
    }
}

impl Default for Config {
    /// A server that listens nowhere yet, with a new random token.
    fn default() -> Self {
        #[allow(clippy::expect_used, reason = "the message is the invariant")]
        Self::new(random_token().expect("Linux has had random numbers since it booted"))
    }
}

/// Where a server keeps long values unless it is told otherwise: `$TMPDIR`, else `/var/tmp`, which
/// outlasts restarts of the machine and so is on disk.
pub fn default_tmp_dir() -> PathBuf {
    let named = std::env::var_os("TMPDIR").filter(|folder| !folder.is_empty());
    named.map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from)
}

/// Whether long values can be kept in this folder.
///
/// # Errors
/// Where no file can be made there; the message names the folder and the setting.
///
/// ```
/// assert!(nws_server::check_tmp_dir(&std::env::temp_dir()).is_ok());
/// let error = nws_server::check_tmp_dir("/no/such/folder".as_ref()).unwrap_err();
/// assert!(error.to_string().contains("/no/such/folder"));
/// ```
pub fn check_tmp_dir(folder: &Path) -> io::Result<()> {
    match platform::open_unnamed(folder) {
        Ok(_) => Ok(()),
        Err(error) => {
            let message = format!(
                "long values cannot be kept in {}: {error}; name a folder on a disk that may be written to (setting \
                 tmp-dir)",
                folder.display()
            );
            Err(io::Error::new(error.kind(), message))
        }
    }
}

/// A new token.
///
/// # Errors
/// Where the system has no random numbers.
pub fn random_token() -> io::Result<Token> {
    Ok(Token(random_bytes()?))
}

pub(crate) fn random_bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

/// Every limit of one server. What the protocol itself bounds is in [`nws_proto::limits`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most connections at a time.
    pub connections: usize,
    /// Longest payload of a frame, in bytes.
    pub frame_payload_bytes: u32,
    /// Most bytes of all values in memory and names together. The default is half of the machine's memory.
    pub values_bytes: u64,
    /// Most bytes of all values on disk together; `None`: nine tenths of what is free there when the
    /// server starts.
    pub values_disk_bytes: Option<u64>,
    /// A longer value goes to the disk, in bytes. A shorter one of more than 1 MiB goes there where
    /// memory has no room for it.
    pub spill_bytes: u64,
    /// Longest value, in bytes.
    pub value_bytes: u64,
    /// Longest name of a workspace or variable, in bytes; at most [`limits::NAME_BYTES`].
    pub name_bytes: u32,
    /// Most workspaces that one session may have open at a time.
    pub session_workspaces: u32,
    /// Most variables that one session may have bound at a time.
    pub session_variables: u32,
    /// Most requests that one session may have waiting at a time.
    pub session_waiting: u32,
    /// Most requests of all sessions that may wait at a time.
    pub waiting: u32,
    /// Most ended sessions that may wait for one guardian to adopt them.
    pub session_orphans: u32,
    /// Most values that one session may hold by lease at a time.
    pub session_leases: u32,
    /// Most values that one session may be sending in parts at a time.
    pub session_transfers: u32,
    /// Most values that one session may have open to be read in parts at a time.
    pub session_readings: u32,
    /// A connection with more bytes to be sent than this is not read from until half of them are gone.
    pub unsent_bytes: usize,
    /// How long a connection may take to prove the token, in milliseconds.
    pub handshake_ms: u32,
    /// After how much silence a session ends where the client asked for nothing else, in milliseconds.
    pub silence_ms: u32,
    /// How long to look for requests at most before sleeping until one comes, in microseconds; 0 sleeps
    /// at once. It is done only where it pays off and no other process wants the processor.
    pub spin_us: u32,
    /// How long a connection that was told goodbye may take to hear it, in milliseconds.
    pub goodbye_ms: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 12_000,
            frame_payload_bytes: limits::FRAME_PAYLOAD_BYTES,
            values_bytes: platform::half_of_memory(),
            values_disk_bytes: None,
            spill_bytes: 256 << 20,
            value_bytes: 1 << 40,
            name_bytes: limits::NAME_BYTES.into(),
            session_workspaces: limits::SESSION_WORKSPACES,
            session_variables: limits::SESSION_VARIABLES,
            session_waiting: limits::SESSION_WAITING,
            waiting: limits::WAITING,
            session_orphans: limits::SESSION_ORPHANS,
            session_leases: limits::SESSION_LEASES,
            session_transfers: limits::SESSION_TRANSFERS,
            session_readings: limits::SESSION_READINGS,
            unsent_bytes: 8 << 20,
            handshake_ms: 10_000,
            silence_ms: limits::SILENCE_DEFAULT_MS,
            spin_us: 50,
            goodbye_ms: 1000,
        }
    }
}
