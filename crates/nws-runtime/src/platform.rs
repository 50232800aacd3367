//! What is specific to Linux.

use std::fs::{DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::FlockOperation;

/// Longest path of a socket in bytes: the kernel's field less its closing 0.
pub(crate) const SOCKET_PATH_BYTES: usize = 107;

pub(crate) fn user_id() -> u32 {
    rustix::process::geteuid().as_raw()
}

pub(crate) fn is_our_folder(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == user_id())
}

/// Makes `path` and what is missing above it; a folder that is there must be ours and ours alone.
pub(crate) fn make_private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| {
        io::Error::new(error.kind(), format!("the runtime folder {} cannot be made: {error}", path.display()))
    })?;
    // A symbolic link would let somebody else decide where tokens go.
    let metadata = path.symlink_metadata()?;
    let refused = |problem: String| {
        let advice = "give NWS_RUNTIME_DIR a folder of yours with mode 0700, or remove this one";
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("the runtime folder {} {problem}; {advice}", path.display()),
        ))
    };
    if !metadata.is_dir() {
        return refused("is not a folder".to_owned());
    }
    if metadata.uid() != user_id() {
        return refused(format!("belongs to user {}, not to user {}", metadata.uid(), user_id()));
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return refused(format!("has mode {mode:04o}, and others than you can get at it"));
    }
    Ok(())
}

pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)?;
    // The umask may have taken the owner's own bits away.
    std::fs::set_permissions(path, Permissions::from_mode(0o700))
}

/// Locks a file that nobody else can know yet.
pub(crate) fn hold(file: &File) -> io::Result<()> {
    Ok(rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive)?)
}

/// Whether some process holds the lock. Several may ask at a time.
pub(crate) fn is_held(file: &File) -> io::Result<bool> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error.into()),
    }
}
