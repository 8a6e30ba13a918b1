//! Opening a store, alone or in company, and ending what others left unfinished.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use super::consolidated::ConsolidatedMap;
use super::files;
use super::meta::{Document, Version};
use super::recover::{is_pending, list, settle};
use super::source::Source;
use super::watch::{Watch, changed};
use super::write::Writer;
use super::{Access, Flavour, Reader, ZarrStore};
use crate::error::{Error, Result};
use crate::path::ElemPath;
use crate::store::{LeftOver, Locking, holder};

/// How long a reader waits for a writer that is just publishing.
const PATIENCE: Duration = Duration::from_secs(1);

/// A process that another thread is just starting holds every lock of this one for a moment.
const FORKING: Duration = Duration::from_millis(200);

impl ZarrStore {
    /// Opens the Zarr group in the directory `path` for reading: of a store with consolidated metadata, one document is
    /// read.
    ///
    /// # Errors
    /// As [`open_read_with`](Self::open_read_with).
    pub fn open_read(path: &Path) -> Result<Self> {
        Self::open_read_with(path, Locking::On)
    }

    /// As [`open_read`](Self::open_read). A write that was complete and then interrupted is carried out first.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the document cannot be parsed, or a record of an interrupted write does not fit;
    /// [`Error::Busy`] if somebody is just publishing; [`Error::Unsupported`] if a write was interrupted and the store may not be
    /// written; [`Error::Io`].
    pub fn open_read_with(path: &Path, locking: Locking) -> Result<Self> {
        let started = Instant::now();
        loop {
            match Self::try_read(path, locking) {
                Err(Error::Busy { .. } | Error::StoreChanged { .. }) if started.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                done => return done,
            }
        }
    }

    fn try_read(path: &Path, locking: Locking) -> Result<Self> {
        let source = Source::reading(path);
        check_dir(&source)?;
        // In this order: whatever is published from here on changes what is watched.
        let watch = Watch::new(&source);
        if is_pending(&source)? {
            finish(&source, locking)?;
            return Err(changed(&source));
        }
        Self::read(source, watch)
    }

    /// Opens the Zarr group in the zip archive `path` for reading: at its top, or in the one directory there that is a group.
    ///
    /// # Errors
    /// [`Error::NotAnnData`] if there is no such group, [`Error::Malformed`] if the archive is damaged or has names that lead
    /// out of it, [`Error::Io`].
    pub fn open_zip(path: &Path) -> Result<Self> {
        let source = Source::zip(path)?;
        let watch = Watch::new(&source);
        Self::read(source, watch)
    }

    fn read(source: Source, watch: Watch) -> Result<Self> {
        let map = ConsolidatedMap::read(&source);
        watch.check(&source)?;
        let reader = Reader::new(map?, watch);
        Ok(Self { source, access: Access::Read(Box::new(reader)), shard: false })
    }

    /// Opens the Zarr group in the directory `path`, the topmost one that encloses what is to be changed, for reading and
    /// writing.
    ///
    /// # Errors
    /// As [`open_write_with`](Self::open_write_with).
    pub fn open_write(path: &Path) -> Result<Self> {
        Self::open_write_with(path, Locking::On)
    }

    /// As [`open_write`](Self::open_write). What interrupted writes have left is carried out or removed first.
    ///
    /// # Errors
    /// [`Error::NotAnnData`] if it is no group, [`Error::Busy`] if it is open for writing already, [`Error::Unsupported`] if the
    /// file system has no locks and they are asked for, [`Error::Malformed`], [`Error::Io`].
    pub fn open_write_with(path: &Path, locking: Locking) -> Result<Self> {
        let source = Source::new(path);
        let root = ElemPath::root();
        check_dir(&source)?;
        let lock = lock(&source, locking)?;
        files::check_writable(path).map_err(source.io(&root))?;
        if Document::read(&source, &root)?.is_none_or(|doc| doc.is_array) {
            let why = "the directory is not a Zarr group (no `zarr.json` or `.zgroup`)".into();
            return Err(Error::NotAnnData { at: source.place(&root), why });
        }
        settle(&source, lock.is_some())?;
        let writer = Writer::new(&source, lock);
        Ok(Self { source, access: Access::Write(Box::new(writer)), shard: false })
    }

    /// Makes a new store, an empty root group, in the directory `path`, and opens it for writing.
    ///
    /// # Errors
    /// [`Error::Exists`] if there is something at `path`, [`Error::Io`].
    pub fn create(path: &Path, flavour: Flavour) -> Result<Self> {
        let source = Source::new(path);
        let root = ElemPath::root();
        if files::exists(path) {
            return Err(Error::Exists { at: source.place(&root) });
        }
        fs::create_dir(path).map_err(source.io(&root))?;
        let version = if flavour == Flavour::V2 { Version::V2 } else { Version::V3 };
        for (name, value) in Document::group(version).files() {
            let bytes = value.to_string().into_bytes();
            files::write_file(&source, &path.join(name), &bytes).map_err(source.io(&root))?;
        }
        let mut store = Self::open_write(path)?;
        store.shard = flavour == Flavour::V3Sharded;
        Ok(store)
    }
}

/// What interrupted writes have left in the store, without changing anything.
///
/// # Errors
/// [`Error::Io`].
pub(in crate::store) fn left_over(path: &Path) -> Result<Vec<LeftOver>> {
    // Not what a writer is at that has the lock.
    let locked = File::open(path).is_ok_and(|dir| matches!(dir.try_lock(), Err(TryLockError::WouldBlock)));
    list(&Source::new(path), locked)
}

/// Carries out the writes that were complete when they were interrupted, forgets the others, and removes what they have left. Gives
/// a sentence for each thing that was done.
///
/// # Errors
/// [`Error::Busy`] if a writer that is alive has the store, [`Error::Malformed`] if a record does not fit the store,
/// [`Error::Io`].
pub(in crate::store) fn recover(path: &Path, locking: Locking) -> Result<Vec<String>> {
    let source = Source::new(path);
    check_dir(&source)?;
    let lock = lock(&source, locking)?;
    settle(&source, lock.is_some())
}

/// Carries out, for a reader, the write that was interrupted.
fn finish(source: &Source, locking: Locking) -> Result<()> {
    let root = ElemPath::root();
    let lock = lock(source, locking)?;
    let settled =
        files::check_writable(&source.root).map_err(source.io(&root)).and_then(|()| settle(source, lock.is_some()));
    match settled {
        Err(Error::Io { source: why, .. })
            if matches!(why.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) =>
        {
            let what = format!(
                "a write was interrupted, and the store may not be changed from here ({why}): run `adshadow recover` where it may"
            );
            Err(Error::Unsupported { at: source.place(&root), what })
        }
        done => done.map(drop),
    }
}

/// Locks the directory against other writers of this kind, until the file is dropped; nothing is written for that. `None` if no
/// lock is wanted.
fn lock(source: &Source, locking: Locking) -> Result<Option<File>> {
    if locking == Locking::Off {
        return Ok(None);
    }
    let root = ElemPath::root();
    let unsupported = |why: std::io::Error| Error::Unsupported {
        at: source.place(&root),
        what: format!(
            "this system does not lock directories ({why}): where nobody else writes, open it with `Locking::Off`"
        ),
    };
    let dir = match File::open(&source.root) {
        Ok(dir) => dir,
        Err(e) if cfg!(unix) => return Err(source.io(&root)(e)),
        Err(e) => return Err(unsupported(e)),
    };
    let started = Instant::now();
    loop {
        match dir.try_lock() {
            Ok(()) => return Ok(Some(dir)),
            Err(TryLockError::WouldBlock) if started.elapsed() < FORKING => {
                std::thread::sleep(Duration::from_millis(5))
            }
            Err(TryLockError::WouldBlock) => break,
            Err(TryLockError::Error(e)) => return Err(unsupported(e)),
        }
    }
    let holders = holder::holders(&source.root).unwrap_or_else(|| "another process, or another shadow".into());
    let why = format!("{holders} has it open for writing; try again when it is done");
    Err(Error::Busy { at: source.place(&root), why })
}

fn check_dir(source: &Source) -> Result<()> {
    fs::read_dir(&source.root).map(drop).map_err(source.io(&ElemPath::root()))
}
