//! Servers, from the side of who looks for them.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nws_proto::Token;
use serde::{Deserialize, Serialize};

use crate::{DESCRIPTION, LOCK, TOKEN, platform};

/// After this long a folder that was never shown belongs to a server that died while it made it.
const MAKING: Duration = Duration::from_secs(60);

/// What a server says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerInfo {
    /// Its process.
    pub pid: u32,
    /// Where it listens for clients.
    pub tcp: Option<SocketAddr>,
    /// Where its web pages are.
    pub web: Option<SocketAddr>,
    /// Its Unix socket.
    pub unix: PathBuf,
    /// Whether it lives only for the program that started it.
    pub embedded: bool,
    /// When it started, in seconds since 1970.
    pub started_unix_s: u64,
}

/// A live server.
#[derive(Clone, Debug)]
pub struct Found {
    /// What it says about itself.
    pub info: ServerInfo,
    /// What proves that a client may use it.
    pub token: Token,
    /// Its folder.
    pub folder: PathBuf,
}

impl Found {
    pub(crate) fn read(folder: PathBuf) -> io::Result<Self> {
        let info = serde_json::from_slice(&fs::read(folder.join(DESCRIPTION))?)?;
        let token = read_token(&folder.join(TOKEN))?;
        Ok(Self { info, token, folder })
    }
}

/// The token of the server whose Unix socket is at `socket`: the file `token` beside it. `None` where
/// there is no such file.
///
/// # Errors
/// Where the file cannot be read or holds no token.
pub fn token_beside(socket: &Path) -> io::Result<Option<Token>> {
    match read_token(&socket.with_file_name(TOKEN)) {
        Ok(token) => Ok(Some(token)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_token(path: &Path) -> io::Result<Token> {
    Token::from_hex(&fs::read_to_string(path)?).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("expected 64 hexadecimal digits in {}", path.display()))
    })
}

/// The folders of servers that live; those of the dead are removed.
pub(crate) fn live_folders(servers: &Path) -> io::Result<Vec<PathBuf>> {
    let mut live = Vec::new();
    for entry in fs::read_dir(servers)? {
        let folder = entry?.path();
        let hidden = folder.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if hidden {
            if is_older_than(&folder, MAKING) {
                remove_if_unlocked(&folder);
            }
        } else if !remove_if_unlocked(&folder) {
            live.push(folder);
        }
    }
    Ok(live)
}

/// Removes what nobody holds the lock of; says whether it did. What cannot be read or removed is left
/// to who looks next: one bad folder must not hide the others.
fn remove_if_unlocked(folder: &Path) -> bool {
    let dead = match File::open(folder.join(LOCK)) {
        Ok(lock) => platform::is_held(&lock).is_ok_and(|held| !held),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    if dead {
        let _ = fs::remove_dir_all(folder);
    }
    dead
}

fn is_older_than(path: &Path, age: Duration) -> bool {
    let modified = path.symlink_metadata().and_then(|metadata| metadata.modified());
    modified.is_ok_and(|modified| SystemTime::now().duration_since(modified).is_ok_and(|passed| passed > age))
}
