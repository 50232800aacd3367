//! A server's own folder, from the side of the server.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nws_proto::Token;

use crate::{DESCRIPTION, LOCK, SOCKET, ServerInfo, TOKEN, platform};

/// A server's folder. Dropping it removes the folder with all that is in it.
#[derive(Debug)]
pub struct Reservation {
    folder: PathBuf,
    /// The lock ends with this descriptor.
    _lock: File,
}

impl Reservation {
    /// Makes the folder under a hidden name and shows it when it is locked, so that nobody who looks
    /// for dead servers finds it unlocked.
    pub(crate) fn make(servers: &Path) -> io::Result<Self> {
        // Random, so that a process that got a dead one's id does not get its folder's name: who is
        // just removing that would remove the new one.
        let number = getrandom::u32().map_err(io::Error::other)?;
        let name = format!("{}-{number:08x}", std::process::id());
        let folder = servers.join(&name);
        let length = folder.join(SOCKET).as_os_str().as_bytes().len();
        if length > platform::SOCKET_PATH_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "a socket's path has at most {} bytes, and {}/{SOCKET} has {length}; name a shorter folder in \
                     NWS_RUNTIME_DIR",
                    platform::SOCKET_PATH_BYTES,
                    folder.display()
                ),
            ));
        }
        let hidden = servers.join(format!(".{name}"));
        platform::make_folder(&hidden)?;
        let locked = lock(&hidden).and_then(|lock| fs::rename(&hidden, &folder).map(|()| lock));
        match locked {
            Ok(lock) => Ok(Self { folder, _lock: lock }),
            Err(error) => {
                let _ = fs::remove_dir_all(&hidden);
                Err(error)
            }
        }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the server is to bind its Unix socket.
    pub fn socket_path(&self) -> PathBuf {
        self.folder.join(SOCKET)
    }

    /// Lets clients find the server: the token first, then, in one step, the description.
    ///
    /// # Errors
    /// Where the files cannot be written.
    pub fn publish(&self, info: &ServerInfo, token: &Token) -> io::Result<()> {
        self.write(TOKEN, format!("{}\n", token.to_hex()).as_bytes())?;
        self.write(DESCRIPTION, &serde_json::to_vec_pretty(info)?)
    }

    fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let unfinished = self.folder.join(format!("{name}.new"));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(content)?;
        fs::rename(unfinished, self.folder.join(name))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // The description goes first: nobody shall find a server that is half gone.
        let _ = fs::remove_file(self.folder.join(DESCRIPTION));
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn lock(folder: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(LOCK))?;
    platform::hold(&file)?;
    Ok(file)
}
