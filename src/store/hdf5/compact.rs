//! Compaction: all objects of a file written anew, without the holes between them, and put in its place.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use super::bytes::{read_at, write_at};
use super::claim::Claim;
use super::ffi::{self, Class, Failure, Id, Items, Kind, LinkKind, Outcome, Type, locked};
use super::volume::{Shared, Volume};
use super::{copy, error, recover, root_of, tree};
use crate::error::{Error, Place, Result};
use crate::path::ElemPath;
use crate::progress::Progress;
use crate::store::{Locking, Safety};

/// Where the old root is put at first: HDF5 copies objects into groups, and a root is in none.
const OLD_ROOT: &str = ".adshadow-root";

/// No file of the field comes near this.
const DEEPEST: usize = 256;

/// [`Hdf5Store::compact`](super::Hdf5Store::compact).
pub(super) fn compact(path: &Path, locking: Locking, progress: Progress<'_>) -> Result<(u64, u64)> {
    let _claim = Claim::new(path, true).ok_or_else(|| error::claimed(path, true))?;
    let mut old = recover::open_write(path, locking, &mut Vec::new())?;
    old.freeze();
    let before = old.end();
    let old = old.shared();
    let (real, file) = {
        let old = old.lock();
        (old.path().to_owned(), old.file().try_clone().map_err(error::system(path))?)
    };
    let source = ffi::open_volume(path, &old).map_err(|f| error::reading(root_of(path), &f))?;
    refuse(path, locked(|| first_obstacle(&source)).map_err(|f| error::reading(root_of(path), &f))?)?;
    // Only the system's errors pass through; others are told as they are.
    let mut failed = None;
    let placed = copy::place(&real, &file, |new| {
        let written = write_anew(&source, &file, path, new, &|done| progress(done.min(before), before));
        written.map_err(|error| match error {
            Error::Io { source, .. } => source,
            other => {
                failed = Some(other);
                io::ErrorKind::Other.into()
            }
        })
    });
    match (placed, failed) {
        (Ok(copy), _) => copy.durable.map(|()| (before, copy.made)).map_err(error::system(path)),
        (Err(_), Some(error)) => Err(error),
        (Err(source), None) => Err(error::system(path)(source)),
    }
}

/// Told how many bytes are written.
type Tell<'a> = &'a dyn Fn(u64) -> ControlFlow<()>;

/// Writes the objects of `source`, which lies in the file `old`, to the empty file `new`. Gives its length.
fn write_anew(source: &Id, old: &File, path: &Path, new: &File, progress: Tell<'_>) -> Result<u64> {
    let io_error = error::system(path);
    let cancelled = Cell::new(false);
    let tell = |done: u64| {
        let answer = progress(done);
        cancelled.set(cancelled.get() || answer.is_break());
        answer
    };
    let stopped = || Error::Cancelled { at: root_of(path), what: "compacting".to_owned() };
    let failed = |volume: &Shared, failure: &Failure| match volume.lock().failure() {
        _ if cancelled.get() => stopped(),
        Some(source) => Error::Io { at: root_of(path), source },
        None => error::reading(root_of(path), failure),
    };
    let volume = Volume::fresh(path.to_owned(), new.try_clone().map_err(&io_error)?).shared();
    let target = copy_watched(source, path, &volume, &tell).map_err(|failure| failed(&volume, &failure))?;
    if cancelled.get() {
        // It was done before it could fail.
        volume.lock().dropping();
        return Err(stopped());
    }
    refuse(path, locked(|| first_difference(source, &target)).map_err(|failure| failed(&volume, &failure))?)?;
    let user_block = ffi::user_block(source).map_err(|failure| failed(&volume, &failure))?;
    volume.lock().closing();
    drop(target);
    let mut volume = volume.lock();
    volume.publish(Safety::default()).map_err(&io_error)?;
    copy_start(old, new, user_block).map_err(&io_error)?;
    if tell(volume.end()).is_break() { Err(stopped()) } else { Ok(volume.end()) }
}

/// As [`copy_objects`], while `progress` is told how far it is: HDF5 itself does not tell. On a break, what HDF5 writes next fails.
fn copy_watched(source: &Id, path: &Path, volume: &Shared, progress: Tell<'_>) -> Outcome<Id> {
    std::thread::scope(|scope| {
        // HDF5 goes down the tree by calling itself.
        let roomy = std::thread::Builder::new().stack_size(32 << 20);
        let copying = roomy.spawn_scoped(scope, || locked(|| copy_objects(source, path, volume)));
        let copying = copying.map_err(|e| Failure::new(format!("no thread for copying: {e}")))?;
        while !copying.is_finished() {
            std::thread::sleep(Duration::from_millis(20));
            let done = volume.lock().end();
            if progress(done).is_break() {
                volume.lock().stop();
            }
        }
        copying.join().unwrap_or_else(|_| Err(Failure::new("copying the objects has failed")))
    })
}

/// Makes a file like that of `source` in an empty volume, with all its objects.
fn copy_objects(source: &Id, path: &Path, volume: &Shared) -> Outcome<Id> {
    let target = ffi::create_as(source, path, volume)?;
    ffi::copy_root(source, &target, OLD_ROOT)?;
    let (root, copied) = (ffi::open_object(&target, "/")?, ffi::open_object(&target, OLD_ROOT)?);
    // What a reference leads to, HDF5 gives a name of its own as well.
    for (name, _) in ffi::links(&root)?.into_iter().filter(|(name, _)| name != OLD_ROOT) {
        ffi::delete_link(&root, &name)?;
    }
    for (name, _) in ffi::links(&copied)? {
        ffi::move_link((&copied, &name), (&root, &name))?;
    }
    if ffi::link_count(&copied)? > 0 {
        return Err(Failure::new("there are names in it that are not UTF-8"));
    }
    ffi::copy_attrs(&copied, &root)?;
    drop(copied);
    ffi::delete_link(&root, OLD_ROOT)?;
    ffi::flush(&target)?;
    Ok(target)
}

/// Copies what precedes the HDF5 data.
fn copy_start(from: &File, to: &File, mut length: u64) -> io::Result<()> {
    let mut at = 0;
    while length > 0 {
        let mut bytes = vec![0; length.min(1 << 20) as usize];
        read_at(from, at, &mut bytes)?;
        write_at(to, at, &bytes)?;
        (at, length) = (at + bytes.len() as u64, length - bytes.len() as u64);
    }
    Ok(())
}

/// A place in the file, and what is wrong there.
type Finding = Option<(ElemPath, &'static str)>;

fn refuse(path: &Path, finding: Finding) -> Result<()> {
    let Some((at, why)) = finding else { return Ok(()) };
    let what = format!("the file cannot be compacted: {why}; it is left as it is");
    Err(Error::Unsupported { at: Place::new(path.display(), at), what })
}

/// The first object that HDF5 would not copy faithfully.
fn first_obstacle(file: &Id) -> Outcome<Finding> {
    let mut met = BTreeSet::new();
    let mut open = vec![(ffi::open_object(file, "/")?, ElemPath::root())];
    let root = ffi::identity(file)?.0;
    while let Some((object, at)) = open.pop() {
        let token = ffi::identity(&object)?.0;
        if token == root && !at.is_root() {
            return Ok(Some((at, "the whole file has a second name here")));
        }
        if !met.insert(token) {
            continue;
        }
        if at.components().count() > DEEPEST {
            return Ok(Some((at, "groups lie too deep in each other")));
        }
        let attrs = ffi::attr_names(&object)?.into_iter().map(|name| Type::of_attr(&ffi::open_attr(&object, &name)?));
        let items = (object.kind() == Kind::Dataset).then(|| Type::of_dataset(&object));
        for dtype in attrs.chain(items) {
            let dtype = dtype?;
            let odd = dtype.class() == Class::Reference && !dtype.is_object_reference();
            if odd || ffi::holds_references(&dtype)? {
                return Ok(Some((at, "it holds references of a kind that would lead nowhere")));
            }
        }
        for name in hard_links(&object)? {
            open.push((ffi::open_object(&object, &name)?, at.child(&name)));
        }
    }
    Ok(None)
}

/// The first object whose copy is not what it should be.
fn first_difference(old: &Id, new: &Id) -> Outcome<Finding> {
    // Objects that have been met, and their copies: what has two names has two names again.
    let mut met = BTreeMap::new();
    let mut open = vec![(ffi::open_object(old, "/")?, ffi::open_object(new, "/")?, ElemPath::root())];
    while let Some((old, new, at)) = open.pop() {
        let ((token, attrs), (new_token, new_attrs)) = (ffi::identity(&old)?, ffi::identity(&new)?);
        if let Some(known) = met.insert(token, new_token) {
            if known != new_token {
                return Ok(Some((at, "its copy is not the one that has its other name")));
            }
            continue;
        }
        let same = attrs == new_attrs && tree::node(&old)? == tree::node(&new)? && are_alike(&old, &new)?;
        if !same {
            return Ok(Some((at, "its copy is not the same")));
        }
        for name in hard_links(&old)? {
            open.push((ffi::open_object(&old, &name)?, ffi::open_object(&new, &name)?, at.child(&name)));
        }
    }
    Ok(None)
}

/// Whether two groups have the same members, two datasets the same size and references to the same places.
fn are_alike(old: &Id, new: &Id) -> Outcome<bool> {
    Ok(match old.kind() {
        Kind::Group => ffi::link_count(old)? == ffi::link_count(new)? && sorted_links(old)? == sorted_links(new)?,
        // Texts lie elsewhere, and the places of these are stored instead.
        Kind::Dataset => match Type::of_dataset(old)?.class() {
            Class::Integer | Class::Float | Class::Enum => ffi::storage_bytes(old)? == ffi::storage_bytes(new)?,
            Class::Reference => destinations(old)? == destinations(new)?,
            _ => true,
        },
        Kind::Other => true,
    })
}

/// Where the object references of a dataset lead.
fn destinations(dataset: &Id) -> Outcome<Vec<Option<String>>> {
    let bytes = ffi::read_fixed(Items::Whole(dataset), &Type::of_dataset(dataset)?)?;
    let references = bytes.chunks_exact(8).map(|bytes| bytes.try_into().unwrap_or_default());
    Ok(references.map(|reference| ffi::reference_path(dataset, reference)).collect())
}

fn hard_links(object: &Id) -> Outcome<Vec<String>> {
    if object.kind() != Kind::Group {
        return Ok(Vec::new());
    }
    let links = ffi::links(object)?.into_iter();
    Ok(links.filter(|(_, kind)| *kind == LinkKind::Hard).map(|(name, _)| name).collect())
}

fn sorted_links(group: &Id) -> Outcome<Vec<(String, LinkKind)>> {
    let mut links = ffi::links(group)?;
    links.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(links)
}
