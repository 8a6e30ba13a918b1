//! Opening a file by its name and holding it: one writer or many readers, by the same locks that HDF5 takes.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::time::SystemTime;

use super::{error, root_of};
use crate::error::{Error, Result};
use crate::store::Locking;

/// What tells one state of a file from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    /// Device and number, where there are such.
    place: Option<(u64, u64)>,
    length: u64,
    changed: Option<SystemTime>,
}

impl Identity {
    pub(super) fn of(meta: &Metadata) -> Self {
        #[cfg(unix)]
        let place = {
            use std::os::unix::fs::MetadataExt;
            Some((meta.dev(), meta.ino()))
        };
        #[cfg(not(unix))]
        let place = None;
        Self { place, length: meta.len(), changed: meta.modified().ok() }
    }

    /// Whether it is the same file, in whatever state.
    pub(super) fn same_file(&self, other: &Self) -> bool {
        self.place == other.place
    }
}

/// Opens a file and locks it.
///
/// # Errors
/// [`Error::Io`], [`Error::Busy`]; [`Error::Unsupported`] for writing where there are no locks.
pub(super) fn open(path: &Path, write: bool, locking: Locking) -> Result<File> {
    let io_error = |source| Error::Io { at: root_of(path), source };
    // Between opening and locking, the file may be replaced by a newer one: then its name leads elsewhere.
    for _ in 0..100 {
        let file = OpenOptions::new().read(true).write(write).open(path).map_err(io_error)?;
        lock(&file, path, write, locking)?;
        let (held, named) = (file.metadata().map_err(io_error)?, fs::metadata(path).map_err(io_error)?);
        if Identity::of(&held).same_file(&Identity::of(&named)) {
            return Ok(file);
        }
    }
    Err(error::busy(path, write))
}

/// Locks a file: against all for writing, against writers for reading.
pub(super) fn lock(file: &File, path: &Path, write: bool, locking: Locking) -> Result<()> {
    if locking == Locking::Off {
        return Ok(());
    }
    match if write { file.try_lock() } else { file.try_lock_shared() } {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(error::busy(path, write)),
        Err(TryLockError::Error(source)) if !is_missing(&source) => Err(Error::Io { at: root_of(path), source }),
        Err(TryLockError::Error(_)) if !write => Ok(()),
        Err(TryLockError::Error(source)) => Err(Error::Unsupported {
            at: root_of(path),
            what: format!(
                "its file system has no locks ({source}), so that another program could write it at the same time; if you \
                 see to it that none does, open it with `Locking::Off`, or write a copy on another disk"
            ),
        }),
    }
}

/// Whether the file system has no locks.
fn is_missing(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        let none = [Errno::NOLCK, Errno::NOSYS, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::INVAL];
        none.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
    }
    #[cfg(not(unix))]
    {
        error.kind() == io::ErrorKind::Unsupported
    }
}
