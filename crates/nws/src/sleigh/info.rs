//! What a worker is.

use serde::{Deserialize, Serialize};

/// A worker, as [`Sleigh::worker_info`](super::Sleigh::worker_info) tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WorkerInfo {
    /// Its rank, from 0.
    pub rank: u32,
    /// The name of its machine.
    pub host: String,
    /// Operating system and its release.
    pub os: String,
    /// Its process id.
    pub pid: u32,
    /// The version of this crate.
    pub nws: String,
}

#[crate::task]
pub(super) fn describe() -> WorkerInfo {
    let system = rustix::system::uname();
    WorkerInfo {
        rank: crate::worker::rank().unwrap_or_default(),
        host: system.nodename().to_string_lossy().into_owned(),
        os: format!("{} {}", system.sysname().to_string_lossy(), system.release().to_string_lossy()),
        pid: std::process::id(),
        nws: env!("CARGO_PKG_VERSION").to_owned(),
    }
}
