//! A new file in the place of an old one, in one step, for those who want no instant at which a reader that knows nothing of
//! journals meets a half-changed file.

use std::fs::{self, File};
use std::io::{self, Seek};
use std::path::Path;

use super::beside;
use super::faults::{self, Step};
use super::journal::Changes;
use crate::store::names;

/// A new file that has taken the place of an old one.
pub(super) struct Placed<T> {
    /// Locked.
    pub file: File,
    /// What its making gave.
    pub made: T,
    /// An error if the new file may give way to the old one again when the power fails.
    pub durable: io::Result<()>,
}

/// Copies the file, changes the copy, and puts it in the file's place. Gives the bytes written.
///
/// # Errors
/// The system's; then the file is what it was.
pub(super) fn replace(path: &Path, file: &File, changes: &Changes) -> io::Result<Placed<u64>> {
    let written = changes.length.max(changes.base);
    place(path, file, |copy| {
        clone(file, copy)?;
        copy.set_len(written)?;
        changes.apply(copy).map(|changed| changed + written)
    })
}

/// Puts a file that `fill` makes in the place of another, whose owner and permissions it takes.
///
/// # Errors
/// The system's, or those of `fill`; then the old file is where it was.
pub(super) fn place<T>(path: &Path, old: &File, fill: impl FnOnce(&File) -> io::Result<T>) -> io::Result<Placed<T>> {
    let temp = beside::copy_of(path);
    let model = old.metadata()?;
    let file = beside::create_like(&temp, &model)?;
    let make = || {
        // Locked before anybody can meet it; nobody else knows of it.
        let _ = file.try_lock();
        let made = fill(&file)?;
        file.set_permissions(model.permissions())?;
        file.sync_all()?;
        Ok((made, put(&temp, path)?))
    };
    let done = make();
    // Whichever of the two has not the file's name.
    let _ = beside::remove(&temp);
    done.map(|(made, durable)| Placed { file, made, durable })
}

/// Puts the new file at `temp` in the place of the one at `path`, and makes that last. The old one is at `temp` until then,
/// and comes back if it cannot be made to last, where the file system exchanges names; where it cannot, the new one stays, and
/// the inner result is the error.
fn put(temp: &Path, path: &Path) -> io::Result<io::Result<()>> {
    let exchange = || if faults::pass(Step::Exchange).is_ok() { names::exchange(temp, path) } else { Ok(false) };
    let exchanged = exchange()?;
    if !exchanged {
        fs::rename(temp, path)?;
    }
    let Err(error) = faults::pass(Step::Name).and_then(|()| beside::sync_dir(path)) else { return Ok(Ok(())) };
    if exchanged && matches!(exchange(), Ok(true)) {
        return Err(error);
    }
    let what = format!(
        "the new file is in its place, but may not outlast a power failure, after which the old one could be there again: its \
         directory cannot be synced: {error}"
    );
    Ok(Err(io::Error::new(error.kind(), what)))
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
