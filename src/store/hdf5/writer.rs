//! [`WriteStore`] for HDF5: what is staged, and the end that it comes to.

use std::fs;

use super::ffi::{self, Id, Items, Kind, Outcome, Space, Type, locked};
use super::held::Identity;
use super::opened::Opened;
use super::write::{Draft, NewAttrs, Staged};
use super::{Hdf5Store, attrs, error, layout, tree, types};
use crate::error::{Error, Result};
use crate::path::ElemPath;
use crate::store::parts::Coming;
use crate::store::{ArrayParts, Attrs, Safety, Style, WriteStore};
use crate::value::{Array, DType, Records};

impl Hdf5Store {
    fn check_writable(&self, what: &str) -> Result<()> {
        if self.is_writable() {
            return Ok(());
        }
        Err(Error::ReadOnly { at: self.place(&ElemPath::root()), what: what.to_owned() })
    }

    /// Runs calls that write, all under one lock.
    fn writing<T>(&self, at: &ElemPath, calls: impl FnOnce() -> Outcome<T>) -> Result<T> {
        locked(calls).map_err(|failure| match self.volume.lock().failure() {
            Some(source) => Error::Io { at: self.place(at), source },
            None => error::writing(self.place(at), &failure),
        })
    }

    /// Calls `change` with the open file.
    fn changing<T>(&self, what: &str, change: impl FnOnce(&Id, &mut Staged) -> Result<T>) -> Result<T> {
        self.check_writable(what)?;
        let mut staged = self.staged.lock();
        match &*self.file.read() {
            Some(file) => change(file, &mut staged),
            None => Err(self.unopened()),
        }
    }

    /// Whether there will be a published node at `at`, of whatever kind, or a link that leads nowhere.
    fn is_taken(&self, file: &Id, staged: &Staged, at: &ElemPath) -> Result<bool> {
        let origin = staged.planned.origin(at);
        origin.map_or(Ok(false), |origin| self.reading(at, || tree::is_taken(file, &origin)))
    }

    /// The published object that will be at `at`.
    fn published(&self, file: &Id, staged: &Staged, at: &ElemPath) -> Result<Option<Id>> {
        let origin = staged.planned.origin(at);
        Ok(origin.map(|origin| self.reading(at, || tree::find(file, &origin))).transpose()?.flatten())
    }

    /// Checks that `at` will be published, not staged, not the root, and no link, which stays as it is.
    fn check_published(&self, file: &Id, staged: &Staged, at: &ElemPath) -> Result<()> {
        let parent = match at.parent() {
            Some(parent) => self.published(file, staged, &parent)?.filter(|parent| parent.kind() == Kind::Group),
            None => None,
        };
        let (Some(parent), Some(origin)) = (parent, staged.planned.origin(at)) else { return Err(self.not_found(at)) };
        // Where it lies now, its name may be another, and its parent.
        let origin_parent = origin.parent().unwrap_or_default();
        let parent = self.reading(at, || tree::find(file, &origin_parent))?.unwrap_or(parent);
        match self.reading(at, || ffi::link_kind(&parent, origin.name()))? {
            Some(ffi::LinkKind::Hard) => Ok(()),
            Some(_) => Err(self.unsupported(at, "it is a link to another place, and stays as it is")),
            None => Err(self.not_found(at)),
        }
    }

    /// Checks that `at` is free and its parent a group, staged or published.
    fn check_new(&self, file: &Id, staged: &Staged, at: &ElemPath) -> Result<()> {
        if staged.nodes.contains_key(at) || self.is_taken(file, staged, at)? {
            return Err(Error::Exists { at: self.place(at) });
        }
        let parent = at.parent().unwrap_or_default();
        match staged.nodes.get(&parent) {
            Some(Draft { dataset: None, .. }) => Ok(()),
            Some(_) => Err(self.not_found(&parent)),
            None => self.check_group(file, staged, &parent),
        }
    }

    /// Checks that there will be a published group at `at`.
    fn check_group(&self, file: &Id, staged: &Staged, at: &ElemPath) -> Result<()> {
        let group = self.published(file, staged, at)?.filter(|object| object.kind() == Kind::Group);
        group.map(drop).ok_or_else(|| self.not_found(at))
    }

    /// Stages a node: a dataset made by `dataset`, or a group.
    fn stage(
        &self,
        at: &ElemPath,
        attrs: &Attrs,
        dataset: impl FnOnce(&Id, &Staged, &NewAttrs) -> Outcome<Option<Id>>,
    ) -> Result<()> {
        self.changing("adding an element", |file, staged| {
            let attrs = self.encode(at, attrs)?;
            self.check_new(file, staged, at)?;
            let dataset = self.writing(at, || dataset(file, staged, &attrs))?;
            staged.nodes.insert(at.clone(), Draft { dataset, attrs });
            Ok(())
        })
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
        self.stage(at, attrs, |file, staged, attrs| {
            let dtype = dtype()?;
            let dataset = self.new_dataset(file, staged, (shape, style), &dtype, attrs)?;
            write(Items::Whole(&dataset), &dtype)?;
            Ok(Some(dataset))
        })
    }

    /// A nameless dataset without items.
    fn new_dataset(
        &self,
        file: &Id,
        staged: &Staged,
        (shape, style): (&[usize], Style<'_>),
        dtype: &Type,
        attrs: &NewAttrs,
    ) -> Outcome<Id> {
        let like = style.like.map(|like| neighbour(file, staged, like)).transpose()?.flatten();
        let layout = layout::choose(shape, dtype.size(), like, style.resizable);
        let space = Space::new(shape, style.resizable && layout.chunks.is_some())?;
        ffi::new_dataset(file, dtype, &space, &layout, attrs.outgrown().is_some())
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

    /// The file is still the one that its name leads to.
    fn check_place(&self) -> Result<()> {
        let at = self.place(&ElemPath::root());
        let held = self.volume.lock().identity().map_err(|source| Error::Io { at: at.clone(), source })?;
        match fs::metadata(&self.path) {
            Ok(named) if Identity::of(&named).same_file(&held) => Ok(()),
            _ => Err(Error::StoreChanged { at }),
        }
    }

    /// Makes all changes, and lets the volume publish them. If this fails, what HDF5 has written is still to be forgotten.
    fn make(&self, file: &mut Option<Opened>, changes: Staged, safety: Safety) -> Result<()> {
        self.check_place()?;
        let Some(open) = file else { return Err(self.unopened()) };
        open.let_go();
        let freed = self.writing(&ElemPath::root(), || changes.make(open))?;
        // All that is open in the file first: HDF5 writes the end of it when it closes it.
        drop(changes);
        self.volume.lock().closing();
        *file = None;
        let published = self.volume.lock().publish(safety);
        published.map_err(error::system(&self.path))?;
        self.meter.freed(freed);
        Ok(())
    }

    /// Drops what HDF5 has written and was not published, and leaves the file open as it was.
    fn forget(&self, file: &mut Option<Opened>) -> Result<()> {
        self.volume.lock().dropping();
        *file = None;
        let forgotten = self.volume.lock().forget();
        forgotten.map_err(error::system(&self.path))
    }

    /// After a failed write: forgets what it has done. Gives the error to report, which is the first one. Where forgetting
    /// fails, the journal stays: as long as only its beginning is there, the next opening does what is missing here; if the
    /// changes are in it, the next opening makes them, which must be said.
    fn undo(&self, file: &mut Option<Opened>, error: Error) -> Error {
        let Err(second) = self.forget(file) else { return error };
        match (error, second, self.volume.lock().committed_journal()) {
            (Error::Io { at, source }, Error::Io { source: second, .. }, Some(journal)) => {
                let what = format!(
                    "{source}; the changes are in the journal `{}` and could not be taken back yet ({second}). The next write \
                     and closing the file try that again; if they fail as well, or this process ends before, the next \
                     opening makes the changes",
                    journal.display()
                );
                Error::Io { at, source: std::io::Error::new(source.kind(), what) }
            }
            (error, ..) => error,
        }
    }

    fn open_again(&self, file: &mut Option<Opened>) {
        self.meter.wrote(self.volume.lock().take_written());
        if file.is_none() {
            *file = ffi::open_volume(&self.path, &self.volume).ok().map(Opened::new);
        }
    }
}

/// The layout of the neighbour whose dialect a new array takes.
fn neighbour(file: &Id, staged: &Staged, like: &ElemPath) -> Outcome<Option<ffi::Layout>> {
    // Also one that goes, to which this one may be the successor.
    let published = match staged.planned.origin(like) {
        Some(origin) => tree::find(file, &origin)?,
        None => tree::find(file, like)?,
    };
    let published = published.filter(|object| object.kind() == Kind::Dataset);
    let dataset = published.as_ref().or_else(|| staged.nodes.get(like).and_then(|draft| draft.dataset.as_ref()));
    dataset.map(ffi::layout).transpose()
}

/// A new dataset, as far as it has come: nameless until it is staged.
struct InParts<'s> {
    store: &'s Hdf5Store,
    at: ElemPath,
    attrs: NewAttrs,
    coming: Coming,
    stored: Type,
    dataset: Id,
}

impl ArrayParts for InParts<'_> {
    fn put(&mut self, part: &Array) -> Result<()> {
        let row = self.coming.rows;
        self.coming.take(part)?;
        let mut start = vec![0; part.ndim()];
        start[0] = row;
        let items = Items::Block { dataset: &self.dataset, start: &start, count: part.shape() };
        let written = self.store.writing(&self.at, || types::write(items, &self.stored, part));
        written.inspect_err(|_| self.coming.failed = true)
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.coming.end()?;
        let Self { store, at, attrs, dataset, .. } = *self;
        store.changing("adding an element", |file, staged| {
            store.check_new(file, staged, &at)?;
            staged.nodes.insert(at, Draft { dataset: Some(dataset), attrs });
            Ok(())
        })
    }
}

impl WriteStore for Hdf5Store {
    fn create_group(&self, at: &ElemPath, attrs: &Attrs) -> Result<()> {
        self.stage(at, attrs, |_, _, _| Ok(None))
    }

    fn create_array(&self, at: &ElemPath, data: &Array, style: Style<'_>, attrs: &Attrs) -> Result<()> {
        if let Some(why) = types::refusal(data) {
            return Err(self.unsupported(at, why));
        }
        let write = |items: Items<'_>, dtype: &Type| types::write(items, dtype, data);
        self.stage_dataset(at, attrs, (data.shape(), style), || types::stored_type(data), write)
    }

    fn create_array_in_parts<'s>(
        &'s self,
        at: &ElemPath,
        dtype: DType,
        shape: &[usize],
        style: Style<'_>,
        attrs: &Attrs,
    ) -> Result<Box<dyn ArrayParts + 's>> {
        let coming = Coming::new(self.place(at), dtype, shape)?;
        self.changing("adding an element", |file, staged| {
            let attrs = self.encode(at, attrs)?;
            self.check_new(file, staged, at)?;
            let (stored, dataset) = self.writing(at, || {
                let stored = types::stored_type(&Array::zeros(dtype, &[0]))?;
                let dataset = self.new_dataset(file, staged, (shape, style), &stored, &attrs)?;
                Ok((stored, dataset))
            })?;
            Ok(Box::new(InParts { store: self, at: at.clone(), attrs, coming, stored, dataset }) as Box<dyn ArrayParts>)
        })
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
        self.stage(at, attrs, |file, _, attrs| {
            // As h5py's `Empty("f")`, which anndata writes.
            let (dtype, space, layout) = (Type::float(4)?, Space::null()?, ffi::Layout::default());
            ffi::new_dataset(file, &dtype, &space, &layout, attrs.outgrown().is_some()).map(Some)
        })
    }

    fn set_attrs(&self, at: &ElemPath, attrs: &Attrs) -> Result<()> {
        self.changing("changing attributes", |file, staged| {
            let attrs = self.encode(at, attrs)?;
            if let Some(draft) = staged.nodes.get_mut(at) {
                if let Some(dataset) = &draft.dataset {
                    self.check_room(at, dataset, &attrs)?;
                }
                draft.attrs.extend(attrs);
                return Ok(());
            }
            let object = self.published(file, staged, at)?.ok_or_else(|| self.not_found(at))?;
            self.check_room(at, &object, &attrs)?;
            staged.changes.entry(at.clone()).or_default().extend(attrs);
            Ok(())
        })
    }

    fn remove(&self, at: &ElemPath) -> Result<()> {
        self.changing("removing an element", |file, staged| {
            self.check_published(file, staged, at)?;
            staged.remove(at);
            Ok(())
        })
    }

    fn rename(&self, from: &ElemPath, to: &ElemPath) -> Result<()> {
        self.changing("renaming an element", |file, staged| {
            self.check_published(file, staged, from)?;
            if to.starts_with(from) && to != from {
                return Err(self.unsupported(from, format!("it cannot be moved into itself, to `{to}`")));
            }
            if staged.nodes.keys().any(|new| new.starts_with(from)) {
                return Err(self.unsupported(from, "something new is staged below it; write that first"));
            }
            if staged.nodes.contains_key(to) || self.is_taken(file, staged, to)? {
                return Err(Error::Exists { at: self.place(to) });
            }
            self.check_group(file, staged, &to.parent().unwrap_or_default())?;
            staged.rename(from, to);
            Ok(())
        })
    }

    fn publish_with(&self, safety: Safety) -> Result<()> {
        let mut staged = self.staged.lock();
        // Taken first: nothing is staged afterwards, whatever comes of it.
        let changes = std::mem::take(&mut *staged);
        if changes.is_empty() {
            return Ok(());
        }
        let mut file = self.file.write();
        let made = self.make(&mut file, changes, safety);
        let made = made.map_err(|error| self.undo(&mut file, error));
        self.open_again(&mut file);
        made
    }

    fn consolidate(&self) -> Result<()> {
        let what = "an HDF5 file has no consolidated metadata; nothing to do";
        Err(self.unsupported(&ElemPath::root(), what))
    }

    fn abandon(&self) -> Result<()> {
        let mut staged = self.staged.lock();
        *staged = Staged::default();
        if !self.volume.lock().is_touched() {
            return Ok(());
        }
        let mut file = self.file.write();
        let forgotten = self.forget(&mut file);
        self.open_again(&mut file);
        forgotten
    }
}
