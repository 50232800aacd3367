//! What is said to a server, in its own words.

use serde::Deserialize;

use crate::replies::Head;
use crate::socket::Socket;
use crate::{nws, resp};

/// Which words a server understands.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Dialect {
    /// Our own protocol.
    Nws {
        /// What is proven, in hexadecimal digits.
        token: String,
    },
    /// That of Redis.
    Resp,
}

impl Dialect {
    /// Makes the connection ready to store to and fetch from the queue `name`.
    pub(crate) fn prepare(&self, socket: &mut Socket, name: &str) {
        if let Dialect::Nws { token } = self {
            nws::prepare(socket, token, name);
        }
    }

    /// Adds a value to the queue. `id` is unique among the requests in flight.
    pub(crate) fn store(&self, id: u32, name: &str, value: &[u8]) -> Vec<u8> {
        match self {
            Dialect::Nws { .. } => nws::store(id, value),
            Dialect::Resp => resp::command(&[b"RPUSH", name.as_bytes(), value]),
        }
    }

    /// Takes a value that is there.
    pub(crate) fn fetch(&self, id: u32, name: &str) -> Vec<u8> {
        match self {
            Dialect::Nws { .. } => nws::fetch(id, nws_proto::Wait::No),
            Dialect::Resp => resp::command(&[b"LPOP", name.as_bytes()]),
        }
    }

    /// Takes a value, waiting for it without end.
    pub(crate) fn wait(&self, id: u32, name: &str) -> Vec<u8> {
        match self {
            Dialect::Nws { .. } => nws::fetch(id, nws_proto::Wait::Forever),
            Dialect::Resp => resp::command(&[b"BLPOP", name.as_bytes(), b"0"]),
        }
    }

    /// Does nothing.
    pub(crate) fn ping(&self, id: u32) -> Vec<u8> {
        match self {
            Dialect::Nws { .. } => nws::ping(id),
            Dialect::Resp => resp::command(&[b"PING"]),
        }
    }

    /// The head at the start of `bytes`, where it is there whole.
    pub(crate) fn head(&self, bytes: &[u8]) -> Option<Head> {
        match self {
            Dialect::Nws { .. } => nws::head(bytes),
            Dialect::Resp => resp::head(bytes),
        }
    }
}
