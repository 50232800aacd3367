//! The user's runtime folder: where servers register, and where clients of the same user find them
//! and their token.
//!
//! Every server has a folder of its own in `servers/`, with its socket, its token (0600), a
//! description of it, and a lock file that it holds as long as it lives. The lock is the kernel's
//! (`flock`), so a server that was killed has let go of it, and whoever looks next removes the
//! folder. No sockets are opened here.
//!
//! Start with [`RuntimeDir`].
mod found;
mod platform;
mod reservation;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

pub use found::{Found, ServerInfo, token_beside};
pub use reservation::Reservation;

/// The environment variable that names the runtime folder.
pub const RUNTIME_DIR_VARIABLE: &str = "NWS_RUNTIME_DIR";

const SERVERS: &str = "servers";
const LOCK: &str = "lock";
const SOCKET: &str = "nws.sock";
const TOKEN: &str = "token";
const DESCRIPTION: &str = "server.json";

/// The folder that belongs to this user alone.
#[derive(Clone, Debug)]
pub struct RuntimeDir {
    path: PathBuf,
}

impl RuntimeDir {
    /// This user's folder, made where there is none: `$NWS_RUNTIME_DIR`, else `nws` in
    /// `$XDG_RUNTIME_DIR` where that is a folder of ours, else `nws-UID` among the temporary files.
    ///
    /// # Errors
    /// As for [`RuntimeDir::at`].
    pub fn open() -> io::Result<Self> {
        Self::at(usual_path(std::env::var_os(RUNTIME_DIR_VARIABLE), std::env::var_os("XDG_RUNTIME_DIR")))
    }

    /// The folder at `path`, made where there is none.
    ///
    /// # Errors
    /// Where it cannot be made, is no folder, is another user's, or is open to others: tokens lie in
    /// it, and who reads a token can run code as this user.
    pub fn at(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        platform::make_private_folder(&path)?;
        platform::make_private_folder(&path.join(SERVERS))?;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A new folder for a server of this process. Folders of dead servers are removed on the way.
    ///
    /// # Errors
    /// Where the folder cannot be made, or its path is too long for a socket.
    pub fn reserve(&self) -> io::Result<Reservation> {
        found::live_folders(&self.servers_path())?;
        Reservation::make(&self.servers_path())
    }

    /// The servers that live and have been published. Folders of dead ones are removed on the way.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn servers(&self) -> io::Result<Vec<Found>> {
        let mut servers: Vec<Found> = found::live_folders(&self.servers_path())?
            .into_iter()
            .filter_map(|folder| Found::read(folder).ok())
            .collect();
        servers.sort_by_key(|server| (server.info.started_unix_s, server.info.pid));
        Ok(servers)
    }

    /// The live server whose TCP port is `port`.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn by_port(&self, port: u16) -> io::Result<Option<Found>> {
        Ok(self.servers()?.into_iter().find(|server| server.info.tcp.is_some_and(|address| address.port() == port)))
    }

    fn servers_path(&self) -> PathBuf {
        self.path.join(SERVERS)
    }
}

fn usual_path(named: Option<OsString>, xdg: Option<OsString>) -> PathBuf {
    if let Some(path) = named.filter(|path| !path.is_empty()) {
        return path.into();
    }
    // After `su` the variable may still name another user's folder.
    match xdg.map(PathBuf::from).filter(|path| path.is_absolute() && platform::is_our_folder(path)) {
        Some(xdg) => xdg.join("nws"),
        None => std::env::temp_dir().join(format!("nws-{}", platform::user_id())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_folder_goes_before_the_sessions_and_that_before_the_temporary_one() {
        let xdg = tempfile::tempdir().unwrap();
        let xdg_path = Some(xdg.path().as_os_str().to_owned());
        assert_eq!(usual_path(Some("/a/b".into()), xdg_path.clone()), Path::new("/a/b"));
        assert_eq!(usual_path(Some("".into()), xdg_path.clone()), xdg.path().join("nws"));
        let temporary = usual_path(None, None);
        assert!(temporary.to_string_lossy().ends_with(&format!("nws-{}", platform::user_id())), "{temporary:?}");
        assert_eq!(usual_path(None, Some("/no/such/folder".into())), temporary);
        assert_eq!(usual_path(None, Some("relative".into())), temporary);
    }
}
