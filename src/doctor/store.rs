//! Opening a store as it lies there, and what it says itself, as findings: what interrupted writes have left, and of Zarr
//! consolidated metadata, documents, files that belong to nothing, chunks.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Examiner, Finding, Severity};
use crate::error::{Error, Place, Result};
use crate::path::ElemPath;
use crate::store::{self, Audit, Fate, FlawKind, Format, Hdf5Store, LeftOver, Locking, ReadStore, ZarrStore, holders};

/// What renewing does about consolidated metadata.
const RENEW: &str = "renew the consolidated metadata from what is there";

/// How long a writer is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

impl Examiner {
    /// Keeps writers away from an HDF5 file while it is looked at, until what is given is dropped, as all its readers do. Of a
    /// Zarr store it is noticed when somebody changes it.
    pub(super) fn hold(&self, format: Format, root: &Path) -> Result<Option<File>> {
        if format != Format::Hdf5 {
            return Ok(None);
        }
        let place = || Place::new(root.display(), "");
        let file = File::open(root).map_err(|source| Error::Io { at: place(), source })?;
        let started = Instant::now();
        loop {
            match file.try_lock_shared() {
                Ok(()) => return Ok(Some(file)),
                Err(TryLockError::WouldBlock) if started.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(TryLockError::WouldBlock) => {
                    let holders = holders(root).unwrap_or_else(|| "somebody".into());
                    let why = format!("{holders} has it open for writing; try again when it is done");
                    return Err(Error::Busy { at: place(), why });
                }
                // Where there are no locks, reading goes on without.
                Err(TryLockError::Error(_)) => return Ok(None),
            }
        }
    }

    /// The store as it lies there; `None` if it is too damaged to be opened, which is a finding then.
    pub(super) fn open(&mut self, format: Format, root: &Path) -> Result<Option<Arc<dyn ReadStore>>> {
        self.stored = std::fs::metadata(root).map_or(0, |found| found.len());
        let opened: Result<Arc<dyn ReadStore>> = match format {
            // Without a lock of its own nothing is recovered: what is to be rolled forward is read as if it were.
            Format::Hdf5 => Hdf5Store::open_read_with(root, Locking::Off).map(|store| Arc::new(store) as _),
            Format::Zarr | Format::ZarrZip => self.open_zarr(root, format == Format::ZarrZip),
        };
        match opened {
            Ok(store) => Ok(Some(store)),
            Err(error @ (Error::Malformed { .. } | Error::Backend { .. })) => {
                self.error(&ElemPath::root(), error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn open_zarr(&mut self, root: &Path, is_zip: bool) -> Result<Arc<dyn ReadStore>> {
        let store = ZarrStore::open_as_it_lies(root, is_zip)?;
        let audit = store.audit(self.deep)?;
        self.report(&audit, is_zip);
        self.stored += audit.stored;
        self.chunks = audit.chunks;
        Ok(Arc::new(store))
    }

    /// What interrupted writes have left at the store.
    pub(super) fn left_over(&mut self, root: &Path) {
        let left = match store::left_over(root) {
            Ok(left) => left,
            Err(error) => return self.error(&ElemPath::root(), error),
        };
        for LeftOver { path, what, fate } in left {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let repair = match fate {
                Fate::CarryOut => Some("carry the write out"),
                Fate::Forget => Some("remove it"),
                Fate::LeaveAlone => None,
            };
            let (path, what) = (String::new(), format!("`{name}`: {what}"));
            self.findings.push(Finding { severity: Severity::Stale, path, what, repair: repair.map(str::to_owned) });
        }
    }

    fn report(&mut self, audit: &Audit, is_zip: bool) {
        for flaw in &audit.flaws {
            let (severity, repair) = match flaw.kind {
                FlawKind::StaleMap => (Severity::Stale, Some(RENEW)),
                FlawKind::BrokenMap => (Severity::Damage, Some(RENEW)),
                FlawKind::BrokenDocument | FlawKind::Unreachable => (Severity::Damage, None),
                FlawKind::Stray => (Severity::Note, None),
            };
            // Archives are only read.
            let repair = repair.filter(|_| !is_zip).map(str::to_owned);
            let finding = Finding { severity, path: flaw.at.to_string(), what: flaw.what.clone(), repair };
            self.findings.push(finding);
        }
    }

    /// Absent chunks of an array where fill values cannot be what was written, and `why` they cannot.
    pub(super) fn absent(&mut self, at: &ElemPath, why: &str) {
        if let Some(chunks) = self.chunks.remove(at).filter(|chunks| chunks.present < chunks.whole) {
            let (absent, whole) = (chunks.whole - chunks.present, chunks.whole);
            self.damage(at, format!("{absent} of {whole} chunks missing, {why}"));
        }
    }

    /// Absent chunks of an array of which nothing else is known: they may be as they should be.
    pub(super) fn note_absent(&mut self, at: &ElemPath, is_often_empty: bool) {
        let Some(chunks) = self.chunks.remove(at).filter(|chunks| chunks.present < chunks.whole) else { return };
        let (absent, whole) = (chunks.whole - chunks.present, chunks.whole);
        if chunks.emptied {
            let what = "all its chunks are missing, and the directories that held them are still there: it reads as fill values";
            self.damage(at, what);
        } else if self.deep && !(is_often_empty && chunks.present == 0) {
            let what = format!("{absent} of {whole} chunks not stored: fill values there, or lost");
            self.note(at, what);
        }
    }
}
