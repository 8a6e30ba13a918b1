//! [`Hdf5Store`]: the store contract on HDF5 files, laid out as h5py and anndata do.

mod attrs;
mod claim;
mod decode;
mod error;
mod ffi;
mod layout;
mod read;
#[cfg(test)]
mod tests;
mod tree;
mod types;
mod undo;
mod write;

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use self::claim::Claim;
use self::ffi::{Id, Items, Kind, Outcome, Space, Type, locked};
use self::read::{Refusal, Source};
use self::undo::Undo;
use self::write::{Draft, NewAttrs, Staged};
use super::{Attrs, IoStats, Meter, Node, ReadStore, Safety, Style, WriteStore, check_rows};
use crate::error::{Error, Place, Result};
use crate::index::Rows;
use crate::path::ElemPath;
use crate::value::{Array, Records};

/// A store in an HDF5 file. Dropping it closes the file.
#[derive(Debug)]
pub struct Hdf5Store {
    path: PathBuf,
    name: String,
    writable: bool,
    meter: Meter,
    // Dropped in this order: nothing of a file outlives it, and the file is closed before others may claim it.
    staged: Mutex<Staged>,
    file: Id,
    undo: Mutex<Option<Undo>>,
    _claim: Claim,
}

impl Hdf5Store {
    /// Opens a file for reading.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses, [`Error::Busy`] if someone has it open for writing, [`Error::Malformed`] if it
    /// is truncated or not HDF5.
    pub fn open_read(path: &Path) -> Result<Self> {
        Self::open(path, false)
    }

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// As [`open_read`](Self::open_read); [`Error::Busy`] also if someone has it open for reading.
    pub fn open_write(path: &Path) -> Result<Self> {
        Self::open(path, true)
    }

    /// Makes a new, empty file, open for reading and writing.
    ///
    /// # Errors
    /// [`Error::Io`] if there is a file already, or the system refuses.
    pub fn create(path: &Path) -> Result<Self> {
        let at = root_of(path);
        let io_error = |source| Error::Io { at: at.clone(), source };
        // The system's own word on whether that may be done; HDF5 then wants the name free again.
        OpenOptions::new().write(true).create_new(true).open(path).map_err(io_error)?;
        fs::remove_file(path).map_err(io_error)?;
        let file = ffi::create_file(path).map_err(|f| error::writing(at.clone(), &f))?;
        let claim = Claim::new(path, true).ok_or_else(|| error::busy(at, true))?;
        Ok(Self::new(path, file, claim, true))
    }

    fn open(path: &Path, write: bool) -> Result<Self> {
        let at = root_of(path);
        probe(path, write).map_err(|source| Error::Io { at: at.clone(), source })?;
        let claim = Claim::new(path, write).ok_or_else(|| error::busy(at.clone(), write))?;
        let io_error = |source| Error::Io { at: at.clone(), source };
        let undo = write.then(|| Undo::remember(path)).transpose().map_err(io_error)?;
        locked(|| {
            let file = ffi::open_file(path, write).map_err(|f| error::opening(at.clone(), &f, write))?;
            // HDF5 lets readers in on a file that other code of this process has open for writing.
            if ffi::is_writable(&file).map_err(|f| error::reading(at.clone(), &f))? != write {
                return Err(error::busy(at.clone(), write));
            }
            Ok(Self { undo: Mutex::new(undo), ..Self::new(path, file, claim, write) })
        })
    }

    fn new(path: &Path, file: Id, claim: Claim, writable: bool) -> Self {
        let (name, meter) = (path.display().to_string(), Meter::default());
        Self {
            path: path.to_owned(),
            name,
            writable,
            meter,
            staged: Mutex::default(),
            file,
            undo: Mutex::default(),
            _claim: claim,
        }
    }

    fn place(&self, at: &ElemPath) -> Place {
        Place::new(&self.name, at)
    }

    /// Cuts what is left of the reserve off the end of the file.
    fn trim_reserve(&self) {
        let Ok(size) = self.reading(&ElemPath::root(), || ffi::file_size(&self.file)) else { return };
        let file = OpenOptions::new().write(true).open(&self.path);
        // A few zeros behind the end harm nobody; HDF5 knows where its file ends.
        let _ = file.and_then(|file| if file.metadata()?.len() > size { file.set_len(size) } else { Ok(()) });
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

    /// Runs calls that write, all under one lock.
    fn writing<T>(&self, at: &ElemPath, calls: impl FnOnce() -> Outcome<T>) -> Result<T> {
        locked(calls).map_err(|failure| error::writing(self.place(at), &failure))
    }

    /// The published object at `at`, if it is of this kind.
    fn find(&self, at: &ElemPath, kind: Kind) -> Result<Id> {
        let found = self.reading(at, || tree::find(&self.file, at))?;
        found.filter(|object| object.kind() == kind).ok_or_else(|| self.not_found(at))
    }

    fn check_writable(&self, what: &str) -> Result<()> {
        if self.writable {
            return Ok(());
        }
        Err(Error::ReadOnly { at: self.place(&ElemPath::root()), what: what.to_owned() })
    }

    /// Checks that `at` is free and its parent a group, staged or published.
    fn check_new(&self, staged: &Staged, at: &ElemPath) -> Result<()> {
        let is_taken = || self.reading(at, || tree::is_taken(&self.file, at));
        if staged.nodes.contains_key(at) || (staged.planned.origin(at).is_some() && is_taken()?) {
            return Err(Error::Exists { at: self.place(at) });
        }
        let parent = at.parent().unwrap_or_default();
        match staged.nodes.get(&parent) {
            Some(Draft { dataset: None, .. }) => Ok(()),
            Some(_) => Err(self.not_found(&parent)),
            None if staged.planned.origin(&parent).is_none() => Err(self.not_found(&parent)),
            None => self.find(&parent, Kind::Group).map(drop),
        }
    }

    /// Stages a node: a dataset made by `dataset`, or a group.
    fn stage(
        &self,
        at: &ElemPath,
        attrs: &Attrs,
        dataset: impl FnOnce(&Staged, &NewAttrs) -> Outcome<Option<Id>>,
    ) -> Result<()> {
        self.check_writable("adding an element")?;
        if let Some(undo) = &mut *self.undo.lock() {
            undo.staging();
        }
        let attrs = self.encode(at, attrs)?;
        let mut staged = self.staged.lock();
        self.check_new(&staged, at)?;
        self.note_size(&mut staged)?;
        let dataset = self.writing(at, || dataset(&staged, &attrs))?;
        staged.nodes.insert(at.clone(), Draft { dataset, attrs });
        Ok(())
    }

    /// Stages a dataset with all its items.
    fn stage_dataset(
        &self,
        at: &ElemPath,
        attrs: &Attrs,
        (shape, style): (&[usize], Style<'_>),
        dtype: impl FnOnce() -> Outcome<Type>,
        write: impl FnOnce(Items<'_>, &Type) -> Outcome<()>,
    ) -> Result<()> {
        let mut bytes = 0;
        self.stage(at, attrs, |staged, attrs| {
            let like = style.like.map(|like| self.neighbour(staged, like)).transpose()?.flatten();
            let dtype = dtype()?;
            // As h5py counts, a text of variable length has the bytes of its pointer.
            bytes = shape.iter().product::<usize>() * dtype.size();
            let layout = layout::choose(shape, dtype.size(), like, style.resizable);
            let space = Space::new(shape, style.resizable && layout.chunks.is_some())?;
            let dataset = ffi::new_dataset(&self.file, &dtype, &space, &layout, attrs.outgrown().is_some())?;
            write(Items::Whole(&dataset), &dtype)?;
            Ok(Some(dataset))
        })?;
        self.staged.lock().data_bytes += bytes as u64;
        Ok(())
    }

    fn note_size(&self, staged: &mut Staged) -> Result<()> {
        if staged.size_before.is_none() {
            staged.size_before = Some(self.writing(&ElemPath::root(), || ffi::file_size(&self.file))?);
        }
        Ok(())
    }

    fn encode(&self, at: &ElemPath, attrs: &Attrs) -> Result<NewAttrs> {
        let encoded = attrs.iter().map(|(name, value)| {
            let refuse = |why: String| self.unsupported(at, format!("attribute `{name}`: {why}"));
            if name.is_empty() || name.contains('\0') {
                return Err(refuse("not a name that HDF5 allows".to_owned()));
            }
            Ok((name.clone(), attrs::encode(value).map_err(refuse)?))
        });
        encoded.collect::<Result<Vec<_>>>().map(NewAttrs::new)
    }

    /// The layout of the neighbour whose dialect a new array takes.
    fn neighbour(&self, staged: &Staged, like: &ElemPath) -> Outcome<Option<ffi::Layout>> {
        let published = tree::find(&self.file, like)?.filter(|object| object.kind() == Kind::Dataset);
        let dataset = published.as_ref().or_else(|| staged.nodes.get(like).and_then(|d| d.dataset.as_ref()));
        dataset.map(ffi::layout).transpose()
    }

    /// Refuses attributes that an existing object cannot hold: old object headers end at 64 KiB.
    fn check_room(&self, at: &ElemPath, object: &Id, attrs: &NewAttrs) -> Result<()> {
        let Some(name) = attrs.outgrown() else { return Ok(()) };
        if self.reading(at, || ffi::header_version(object))? >= 2 {
            return Ok(());
        }
        let what = format!(
            "attribute `{name}` exceeds the 64 KiB that a stored group or dataset of the old kind has room for; only one \
             that is created with so many attribute items can hold them"
        );
        Err(self.unsupported(at, what))
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
        self.reading(at, || tree::find(&self.file, at)?.as_ref().map(tree::node).transpose())
    }

    fn children(&self, at: &ElemPath) -> Result<Vec<String>> {
        let group = self.find(at, Kind::Group)?;
        self.reading(at, || tree::children(&group))
    }

    fn read(&self, at: &ElemPath, rows: &[Rows]) -> Result<Array> {
        let source = Source::new(self.find(at, Kind::Dataset)?).map_err(|refusal| self.refused(at, refusal))?;
        let mut results = self.read_from(&source, at, rows)?;
        results.pop().ok_or_else(|| self.unsupported(at, "it has no items of one kind"))
    }

    fn read_fields(&self, at: &ElemPath, fields: &[&str], rows: &[Rows]) -> Result<Vec<Array>> {
        let dataset = self.find(at, Kind::Dataset)?;
        let names = self.reading(at, || Ok(types::stored_fields(&Type::of_dataset(&dataset)?)))?;
        let number = |wanted: &&str| names.iter().position(|field| field.name == **wanted);
        let numbers = fields.iter().map(number).collect::<Option<Vec<_>>>().ok_or_else(|| self.not_found(at))?;
        // HDF5 reads a field once, however often it is asked for.
        let unique: Vec<u32> = numbers.iter().collect::<BTreeSet<_>>().into_iter().map(|&n| n as u32).collect();
        let source = Source::of_fields(dataset, &unique).map_err(|refusal| self.refused(at, refusal))?;
        let results = self.read_from(&source, at, rows)?;
        let place = |n: &usize| unique.partition_point(|&u| (u as usize) < *n);
        Ok(numbers.iter().map(|n| results[place(n)].clone()).collect())
    }

    fn stats(&self) -> IoStats {
        self.meter.stats()
    }
}

impl WriteStore for Hdf5Store {
    fn create_group(&self, at: &ElemPath, attrs: &Attrs) -> Result<()> {
        self.stage(at, attrs, |_, _| Ok(None))
    }

    fn create_array(&self, at: &ElemPath, data: &Array, style: Style<'_>, attrs: &Attrs) -> Result<()> {
        if let Some(why) = types::refusal(data) {
            return Err(self.unsupported(at, why));
        }
        let write = |items: Items<'_>, dtype: &Type| types::write(items, dtype, data);
        self.stage_dataset(at, attrs, (data.shape(), style), || types::stored_type(data), write)
    }

    fn create_records(&self, at: &ElemPath, data: &Records, style: Style<'_>, attrs: &Attrs) -> Result<()> {
        let refusal = |(name, field): &(String, Array)| types::field_refusal(name, field, data.shape().len());
        if let Some(why) = data.fields().iter().find_map(refusal) {
            return Err(self.unsupported(at, why));
        }
        let write = |items: Items<'_>, dtype: &Type| types::write_records(items, dtype, data);
        self.stage_dataset(at, attrs, (data.shape(), style), || types::stored_records(data), write)
    }

    fn create_null(&self, at: &ElemPath, attrs: &Attrs) -> Result<()> {
        self.stage(at, attrs, |_, attrs| {
            // As h5py's `Empty("f")`, which anndata writes.
            let (dtype, space, layout) = (Type::float(4)?, Space::null()?, ffi::Layout::default());
            ffi::new_dataset(&self.file, &dtype, &space, &layout, attrs.outgrown().is_some()).map(Some)
        })
    }

    fn set_attrs(&self, at: &ElemPath, attrs: &Attrs) -> Result<()> {
        self.check_writable("changing attributes")?;
        let attrs = self.encode(at, attrs)?;
        let mut staged = self.staged.lock();
        if let Some(draft) = staged.nodes.get_mut(at) {
            if let Some(dataset) = &draft.dataset {
                self.check_room(at, dataset, &attrs)?;
            }
            draft.attrs.extend(attrs);
            return Ok(());
        }
        let object = self.reading(at, || tree::find(&self.file, at))?.filter(|_| staged.planned.origin(at).is_some());
        self.check_room(at, &object.ok_or_else(|| self.not_found(at))?, &attrs)?;
        self.note_size(&mut staged)?;
        staged.changes.entry(at.clone()).or_default().extend(attrs);
        Ok(())
    }

    fn remove(&self, at: &ElemPath) -> Result<()> {
        self.check_writable("removing an element")?;
        let mut staged = self.staged.lock();
        let link = |parent: &Id| ffi::link_kind(parent, at.name());
        let parent = at.parent().map(|parent| self.find(&parent, Kind::Group)).transpose()?;
        let link = parent.map(|parent| self.reading(at, || link(&parent))).transpose()?.flatten();
        if link.is_some_and(|link| !matches!(link, ffi::LinkKind::Hard)) {
            return Err(self.unsupported(at, "it is a link to another place, and stays as it is"));
        }
        if link.is_none() || staged.planned.origin(at).is_none() {
            return Err(self.not_found(at));
        }
        self.note_size(&mut staged)?;
        // What was to change below it changes no more.
        staged.changes.retain(|changed, _| !changed.starts_with(at));
        staged.nodes.retain(|new, _| !new.starts_with(at));
        staged.planned.remove(at);
        Ok(())
    }

    fn rename(&self, from: &ElemPath, _to: &ElemPath) -> Result<()> {
        Err(self.unsupported(from, "renaming"))
    }

    fn publish_with(&self, _safety: Safety) -> Result<()> {
        let mut staged = self.staged.lock();
        // Taken first: nothing is staged afterwards, whatever comes of it.
        let changes = std::mem::take(&mut *staged);
        if changes.is_empty() {
            return Ok(());
        }
        let io_error = |source| Error::Io { at: self.place(&ElemPath::root()), source };
        self.writing(&ElemPath::root(), || changes.flush_items())?;
        // From here on, pages of the old file change. A disk that is full by then would leave some old and some new.
        let length = fs::metadata(&self.path).map_err(io_error)?.len();
        reserve(&self.path, length, changes.metadata_bytes()).map_err(io_error)?;
        if let Some(undo) = &mut *self.undo.lock() {
            undo.publishing();
        }
        let result = self.writing(&ElemPath::root(), || changes.publish(&self.file));
        self.trim_reserve();
        let written = result?;
        // HDF5 hands its pages to the system; from there to the disk is for us to see to.
        fs::File::open(&self.path).and_then(|file| file.sync_all()).map_err(io_error)?;
        self.meter.wrote(written);
        Ok(())
    }

    fn consolidate(&self) -> Result<()> {
        let what = "an HDF5 file has no consolidated metadata; nothing to do";
        Err(self.unsupported(&ElemPath::root(), what))
    }

    fn abandon(&self) -> Result<()> {
        *self.staged.lock() = Staged::default();
        Ok(())
    }
}

/// Makes sure that the file can grow from `length` by `room` bytes: writes that many zeros behind its end, and takes them
/// back if they do not fit.
fn reserve(path: &Path, length: u64, room: u64) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    let filled = file
        .seek(SeekFrom::Start(length))
        .and_then(|_| io::copy(&mut io::repeat(0).take(room), &mut file))
        .and_then(|_| file.sync_all());
    if filled.is_err() {
        // Only what was just added goes.
        file.set_len(length)?;
    }
    filled
}
