//! Renaming in ways that the standard library lacks: two names exchanged in one step, and a move that replaces nothing.

use std::fs;
use std::io;
use std::path::Path;

/// Exchanges what is at two places; `false` where the system or the file system cannot.
pub(super) fn exchange(a: &Path, b: &Path) -> io::Result<bool> {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    if let Some(done) = supported(rename_with(a, b, rustix::fs::RenameFlags::EXCHANGE)) {
        return done.map(|()| true);
    }
    let _ = (a, b);
    Ok(false)
}

/// Moves to a place that must be free: what somebody else has put there meanwhile is not replaced.
pub(super) fn move_to_free(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    if let Some(done) = supported(rename_with(from, to, rustix::fs::RenameFlags::NOREPLACE)) {
        return done;
    }
    if fs::symlink_metadata(to).is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    fs::rename(from, to)
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
fn rename_with(from: &Path, to: &Path, how: rustix::fs::RenameFlags) -> rustix::io::Result<()> {
    rustix::fs::renameat_with(rustix::fs::CWD, from, rustix::fs::CWD, to, how)
}

/// `None` if the answer is that there is no such operation here.
#[cfg(any(target_os = "linux", target_os = "macos"))]
fn supported(done: rustix::io::Result<()>) -> Option<io::Result<()>> {
    use rustix::io::Errno;
    match done {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => None,
        done => Some(done.map_err(io::Error::from)),
    }
}
