//! A new file in the place of an old one, in one step, for those who want no instant at which a reader that knows nothing of
//! journals meets a half-changed file.

use std::fs::{self, File};
use std::io::{self, Seek};
use std::path::Path;

use super::beside;
use super::journal::Changes;

/// Copies the file, changes the copy, and puts it in the file's place. Gives the copy, locked, and the bytes written.
///
/// # Errors
/// The system's; then the file is what it was.
pub(super) fn replace(path: &Path, file: &File, changes: &Changes) -> io::Result<(File, u64)> {
    let written = changes.length.max(changes.base);
    place(path, file, |copy| {
        clone(file, copy)?;
        copy.set_len(written)?;
        changes.apply(copy).map(|changed| changed + written)
    })
}

/// Puts a file that `fill` makes in the place of another, whose owner and permissions it takes. Gives the new file, locked,
/// and what `fill` gave.
///
/// # Errors
/// The system's, or those of `fill`; then the old file is where it was.
pub(super) fn place<T>(path: &Path, old: &File, fill: impl FnOnce(&File) -> io::Result<T>) -> io::Result<(File, T)> {
    let temp = beside::copy_of(path);
    let model = old.metadata()?;
    let file = beside::create_like(&temp, &model)?;
    let make = || {
        // Locked before anybody can meet it; nobody else knows of it.
        let _ = file.try_lock();
        let made = fill(&file)?;
        file.set_permissions(model.permissions())?;
        file.sync_all()?;
        fs::rename(&temp, path)?;
        Ok(made)
    };
    match make() {
        Ok(made) => {
            // The name leads to the new file: were this to fail, it would still be whole.
            let _ = beside::sync_dir(path);
            Ok((file, made))
        }
        Err(error) => {
            let _ = beside::remove(&temp);
            Err(error)
        }
    }
}

/// Copies all bytes, sharing the blocks where the file system can.
fn clone(from: &File, to: &File) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if rustix::fs::ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    let (mut from, mut to) = (from, to);
    from.rewind()?;
    io::copy(&mut from, &mut to).map(drop)
}
