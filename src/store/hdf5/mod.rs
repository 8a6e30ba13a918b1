//! [`Hdf5Store`]: the store contract on HDF5 files, laid out as h5py and anndata do.
//!
//! A file open for writing is under a [`volume`], which lets nothing of it change before it is published.

mod attrs;
mod beside;
mod bytes;
mod chunk_tree;
mod claim;
mod compact;
mod copy;
mod decode;
mod direct;
mod error;
mod faults;
mod ffi;
mod held;
mod image;
mod journal;
mod layout;
mod opened;
mod pages;
mod pipeline;
mod places;
mod read;
mod recover;
mod stretch;
#[cfg(test)]
mod tests;
mod tree;
mod types;
mod unshuffle;
mod volume;
mod write;
mod writer;

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use self::claim::Claim;
use self::ffi::{Id, Kind, Outcome, Type, locked};
pub(super) use self::ffi::{blosc_size, unblosc};
use self::held::Identity;
use self::opened::Opened;
use self::read::{Refusal, Source};
use self::volume::{Shared, Volume};
use self::write::Staged;
use super::{IoStats, Locking, Meter, Node, ReadStore, Safety, check_rows};
use crate::error::{Error, Place, Result};
use crate::index::Rows;
use crate::path::ElemPath;
use crate::progress::Progress;
use crate::value::Array;

pub(super) use self::beside::check_writable;
pub(super) use self::recover::{left_over, recover};

/// A store in an HDF5 file. Dropping it closes the file; what is staged is forgotten.
#[derive(Debug)]
pub struct Hdf5Store {
    path: PathBuf,
    name: String,
    /// The file as it was when it was opened for reading; `None` for a writer.
    seen: Option<Identity>,
    meter: Meter,
    // Dropped in this order: nothing of a file outlives it, and the file is closed before others may claim it.
    staged: Mutex<Staged>,
    /// Closed and opened again when something is published: then all who read are waited for. `None` if that failed.
    file: RwLock<Option<Opened>>,
    volume: Shared,
    _claim: Claim,
}

impl Hdf5Store {
    /// Opens a file for reading.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses, [`Error::Busy`] if someone has it open for writing, [`Error::Malformed`] if it
    /// is truncated or not HDF5, or if there is a journal of an interrupted write that does not fit it.
    pub fn open_read(path: &Path) -> Result<Self> {
        Self::open_read_with(path, Locking::On)
    }

    /// As [`open_read`](Self::open_read), with or without a lock.
    ///
    /// # Errors
    /// As [`open_read`](Self::open_read).
    pub fn open_read_with(path: &Path, locking: Locking) -> Result<Self> {
        Self::open(path, false, || recover::open_read(path, locking))
    }

    /// Opens a file for reading and writing. What an interrupted write has left is put in order first.
    ///
    /// # Errors
    /// As [`open_read`](Self::open_read); [`Error::Busy`] also if someone has it open for reading; [`Error::Unsupported`] where
    /// the file system has no locks.
    pub fn open_write(path: &Path) -> Result<Self> {
        Self::open_write_with(path, Locking::On)
    }

    /// As [`open_write`](Self::open_write), with or without a lock.
    ///
    /// # Errors
    /// As [`open_write`](Self::open_write).
    pub fn open_write_with(path: &Path, locking: Locking) -> Result<Self> {
        Self::open(path, true, || recover::open_write(path, locking, &mut Vec::new()))
    }

    /// Makes a new, empty file, open for reading and writing.
    ///
    /// # Errors
    /// [`Error::Io`] if there is a file already, or the system refuses.
    pub fn create(path: &Path) -> Result<Self> {
        let io_error = error::system(path);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path).map_err(&io_error)?;
        let make = || {
            held::lock(&file, path, true, Locking::On)?;
            let claim = Claim::new(path, true).ok_or_else(|| error::claimed(path, true))?;
            let real = path.canonicalize().map_err(&io_error)?;
            // One that a file of this name has left which is gone.
            let journal = beside::journal_of(&real);
            beside::remove(&journal).map_err(error::system(&journal))?;
            let volume = Volume::fresh(real, file).shared();
            let file = ffi::create_in(path, &volume, None).map_err(|f| error::writing(root_of(path), &f))?;
            volume.lock().closing();
            drop(file);
            volume.lock().publish(Safety::default()).map_err(&io_error)?;
            Self::new(path, volume, claim)
        };
        let made = make();
        if made.is_err() {
            // Half a file is none, and was none before.
            let _ = beside::remove(path);
        }
        made
    }

    /// Writes all objects of a file anew, without the holes that removed and replaced ones have left, and puts the new file in
    /// the place of the old one in one step; whatever happens on the way, there is the one or the other. `progress` is told now
    /// and then how many bytes of how many there are at most. Gives the length before and after.
    ///
    /// # Errors
    /// As [`open_write`](Self::open_write); [`Error::Unsupported`] if there is something in the file that HDF5 does not copy
    /// faithfully; [`Error::Io`] if there is no room for a second file; [`Error::Cancelled`]. Then the file is what it was.
    pub fn compact(path: &Path, locking: Locking, progress: Progress<'_>) -> Result<(u64, u64)> {
        compact::compact(path, locking, progress)
    }

    fn open(path: &Path, write: bool, volume: impl FnOnce() -> Result<Volume>) -> Result<Self> {
        probe(path, write).map_err(error::system(path))?;
        let claim = Claim::new(path, write).ok_or_else(|| error::claimed(path, write))?;
        Self::new(path, volume()?.shared(), claim)
    }

    fn new(path: &Path, volume: Shared, claim: Claim) -> Result<Self> {
        let io_error = error::system(path);
        let seen = {
            let volume = volume.lock();
            (!volume.is_writable()).then(|| volume.identity()).transpose().map_err(&io_error)?
        };
        let file = ffi::open_volume(path, &volume).map_err(|f| error::reading(root_of(path), &f))?;
        Ok(Self {
            path: std::path::absolute(path).map_err(io_error)?,
            name: path.display().to_string(),
            seen,
            meter: Meter::default(),
            staged: Mutex::default(),
            file: RwLock::new(Some(Opened::new(file))),
            volume,
            _claim: claim,
        })
    }

    fn place(&self, at: &ElemPath) -> Place {
        Place::new(&self.name, at)
    }

    fn not_found(&self, at: &ElemPath) -> Error {
        Error::NotFound { at: self.place(at), nearest: Vec::new() }
    }

    fn unsupported(&self, at: &ElemPath, what: impl Into<String>) -> Error {
        Error::Unsupported { at: self.place(at), what: what.into() }
    }

    /// Runs calls that read, all under one lock.
    fn reading<T>(&self, at: &ElemPath, calls: impl FnOnce() -> Outcome<T>) -> Result<T> {
        locked(calls).map_err(|failure| error::reading(self.place(at), &failure))
    }

    fn refused(&self, at: &ElemPath, refusal: Refusal) -> Error {
        match refusal {
            Refusal::Unsupported(what) => self.unsupported(at, what),
            Refusal::Failed(failure) => error::reading(self.place(at), &failure),
        }
    }

    fn read_from(&self, source: &Source, at: &ElemPath, rows: &[Rows]) -> Result<Vec<Array>> {
        let cut = check_rows(self, at, source.shape(), rows)?;
        // No lock around the whole: other threads get their turn between two chunks.
        source.read(rows, &cut, &self.meter).map_err(|failure| error::reading(self.place(at), &failure))
    }

    /// The published object at `at`, if it is of this kind.
    fn find(&self, file: &Id, at: &ElemPath, kind: Kind) -> Result<Id> {
        let found = self.reading(at, || tree::find(file, at))?;
        found.filter(|object| object.kind() == kind).ok_or_else(|| self.not_found(at))
    }

    /// The dataset at `at`, for reading all of its items.
    fn source(&self, file: &Opened, at: &ElemPath) -> Result<Arc<Source>> {
        if let Some(known) = file.source(at) {
            return Ok(known);
        }
        let dataset = self.find(file, at, Kind::Dataset)?;
        let source = Source::new(dataset, at, file.chunks()).map_err(|refusal| self.refused(at, refusal))?;
        let source = Arc::new(source);
        file.keep(at, &source);
        Ok(source)
    }

    /// Calls `read` with the open file, which stays as it is meanwhile.
    fn with_file<T>(&self, read: impl FnOnce(&Opened) -> Result<T>) -> Result<T> {
        self.check_unchanged()?;
        // Recursive: a thread that waits for chunks decoded by others may do another reading of this file meanwhile, and is not
        // to wait for a writer that waits for it.
        let result = match &*self.file.read_recursive() {
            Some(file) => read(file),
            None => Err(self.unopened()),
        };
        // Whatever was read may be of two states, or the error be due to that.
        self.check_unchanged()?;
        result
    }

    /// A file open for reading is what it was when it was opened.
    fn check_unchanged(&self) -> Result<()> {
        let Some(seen) = &self.seen else { return Ok(()) };
        match fs::metadata(&self.path) {
            Ok(meta) if Identity::of(&meta) == *seen => Ok(()),
            _ => Err(Error::StoreChanged { at: self.place(&ElemPath::root()) }),
        }
    }

    fn is_writable(&self) -> bool {
        self.seen.is_none()
    }

    fn unopened(&self) -> Error {
        let what = "the file could not be opened again after it was written; close it and open it once more".to_owned();
        Error::Backend { at: self.place(&ElemPath::root()), what }
    }
}

impl Drop for Hdf5Store {
    fn drop(&mut self) {
        // What HDF5 writes on closing is of no use to anybody.
        self.volume.lock().dropping();
    }
}

fn root_of(path: &Path) -> Place {
    Place::new(path.display(), "")
}

/// Lets the system say what HDF5 would not say as clearly: whether the file is there and may be opened like this.
fn probe(path: &Path, write: bool) -> io::Result<()> {
    let meta = fs::metadata(path)?;
    if meta.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !meta.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    OpenOptions::new().read(true).write(write).open(path).map(drop)
}

impl ReadStore for Hdf5Store {
    fn location(&self) -> &str {
        &self.name
    }

    fn node(&self, at: &ElemPath) -> Result<Option<Node>> {
        self.with_file(|file| {
            file.node(at, || self.reading(at, || tree::find(file, at)?.as_ref().map(tree::node).transpose()))
        })
    }

    fn children(&self, at: &ElemPath) -> Result<Vec<String>> {
        self.with_file(|file| {
            let group = self.find(file, at, Kind::Group)?;
            self.reading(at, || tree::children(&group))
        })
    }

    fn read(&self, at: &ElemPath, rows: &[Rows]) -> Result<Array> {
        self.with_file(|file| {
            let source = self.source(file, at)?;
            let mut results = self.read_from(&source, at, rows)?;
            results.pop().ok_or_else(|| self.unsupported(at, "it has no items of one kind"))
        })
    }

    fn read_fields(&self, at: &ElemPath, fields: &[&str], rows: &[Rows]) -> Result<Vec<Array>> {
        self.with_file(|file| {
            let dataset = self.find(file, at, Kind::Dataset)?;
            let names = self.reading(at, || Ok(types::stored_fields(&Type::of_dataset(&dataset)?)))?;
            let number = |wanted: &&str| names.iter().position(|field| field.name == **wanted);
            let numbers = fields.iter().map(number).collect::<Option<Vec<_>>>().ok_or_else(|| self.not_found(at))?;
            // HDF5 reads a field once, however often it is asked for.
            let unique: Vec<u32> = numbers.iter().collect::<BTreeSet<_>>().into_iter().map(|&n| n as u32).collect();
            let source = Source::of_fields(dataset, &unique).map_err(|refusal| self.refused(at, refusal))?;
            let results = self.read_from(&source, at, rows)?;
            let place = |n: &usize| unique.partition_point(|&u| (u as usize) < *n);
            Ok(numbers.iter().map(|n| results[place(n)].clone()).collect())
        })
    }

    fn fingerprint(&self, at: &ElemPath) -> Result<Option<u32>> {
        self.with_file(|file| {
            let source = self.source(file, at)?;
            source.fingerprint(&self.meter).map_err(|failure| error::reading(self.place(at), &failure))
        })
    }

    fn stats(&self) -> IoStats {
        self.meter.stats()
    }
}
