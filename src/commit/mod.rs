//! From pending changes to the file: a plan (pure, printable), its staging, and what was done.

use std::fmt;
use std::time::{Duration, Instant};

use crate::codec::{self, Dialect};
use crate::error::{Error, Place, Result};
use crate::overlay::Pending;
use crate::path::ElemPath;
use crate::store::{Attrs, ReadStore, WriteStore};
use crate::value::Element;

/// One element that a write adds, or puts in place of another.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Change {
    /// Path inside the AnnData.
    pub path: String,
    /// What it is: `a 2-d float32 array`, …
    pub what: String,
    /// Length along each axis; empty for scalars and mappings.
    pub shape: Vec<usize>,
    /// Bytes in memory, before compression.
    pub bytes: usize,
    /// Whether it takes the place of what is in the file.
    pub replaces: bool,
}

impl Change {
    /// The change that a pending element makes to the AnnData at `base`.
    pub(crate) fn of(pending: &Pending, base: &ElemPath) -> Self {
        Self {
            path: pending.path.strip_prefix(base).unwrap_or_default().to_string(),
            what: pending.value.describe(),
            shape: pending.value.shape(),
            bytes: pending.value.nbytes(),
            replaces: pending.replaces,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = self.shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" × ");
        write!(f, "{} {}: {}", if self.replaces { '~' } else { '+' }, self.path, self.what)?;
        if !shape.is_empty() {
            write!(f, " ({shape})")?;
        }
        write!(f, ", {} bytes", self.bytes)
    }
}

/// What a write has done.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Receipt {
    /// The elements added or replaced, in the order they were set.
    pub elements: Vec<Change>,
    /// Bytes written to disk, metadata included.
    pub bytes_written: u64,
    /// How long it took.
    pub duration: Duration,
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for element in &self.elements {
            writeln!(f, "{element}")?;
        }
        let n = self.elements.len();
        let plural = if n == 1 { "" } else { "s" };
        write!(
            f,
            "{n} element{plural} written, {} bytes on disk, {:.3} s",
            self.bytes_written,
            self.duration.as_secs_f64()
        )
    }
}

/// A step of a write.
#[derive(Debug)]
enum Step<'a> {
    /// What stands where another is to stand goes.
    Remove(ElemPath),
    /// A group on the way to an element does not exist yet.
    Group(ElemPath),
    /// An element, and an array whose style it takes.
    Element(&'a Pending, Dialect),
    /// As `Element`, of the one group below an AnnData that is no dict.
    Raw(&'a Pending, Dialect),
    /// As `Element`, of a modality: a whole AnnData.
    Object(&'a Pending, Dialect),
    /// A frame gains columns: its whole new `column-order`.
    Columns(ElemPath, Vec<String>),
    /// A MuData gains modalities: the whole new `mod-order` of its group `mod`.
    Modalities(ElemPath, Vec<String>),
}

/// Writes the pending changes of the object at `base`, all or none: after Err the store is as before. `objects` are the
/// AnnData that changes may belong to, and `base`.
///
/// # Errors
/// [`Error::Exists`] if an element is in the file already; those of the store.
pub(crate) fn write(
    store: &dyn WriteStore,
    base: &ElemPath,
    objects: &[ElemPath],
    pending: &[Pending],
) -> Result<Receipt> {
    let started = Instant::now();
    let before = store.stats().bytes_written;
    let steps = plan(store, objects, pending)?;
    let staged = steps.iter().try_for_each(|step| stage(store, step));
    if let Err(error) = staged {
        // What could not be swept is invisible; the first error is the one that matters.
        let _ = store.abandon();
        return Err(error);
    }
    if !steps.is_empty() {
        store.publish()?;
    }
    Ok(Receipt {
        elements: pending.iter().map(|p| Change::of(p, base)).collect(),
        bytes_written: store.stats().bytes_written - before,
        duration: started.elapsed(),
    })
}

/// The steps, in an order in which every parent comes before its children.
fn plan<'a>(store: &dyn ReadStore, objects: &[ElemPath], pending: &'a [Pending]) -> Result<Vec<Step<'a>>> {
    let mut steps = Vec::new();
    let mut made: Vec<ElemPath> = Vec::new();
    let mut frames: Vec<(ElemPath, Vec<String>)> = Vec::new();
    let mut new_objects: Vec<ElemPath> = Vec::new();
    // A parent sorts before what is below it; columns keep the order in which they were set.
    let mut sorted: Vec<&Pending> = pending.iter().collect();
    sorted.sort_by_key(|p| p.path.components().count());
    for change in sorted {
        let base = object_of(&change.path, objects);
        if store.node(&change.path)?.is_some() {
            if !change.replaces {
                return Err(Error::Exists { at: Place::new(store.location(), &change.path) });
            }
            steps.push(Step::Remove(change.path.clone()));
        }
        let parent = change.path.parent().unwrap_or_default();
        for group in missing_groups(store, &parent, |at| made.contains(at) || brought(pending, at))? {
            steps.push(Step::Group(group.clone()));
            made.push(group);
        }
        let columns = frame_columns(store, &parent)?;
        let is_object = parent == base.child("mod");
        if is_object {
            new_objects.push(change.path.clone());
        }
        // As anndata 0.13: what pandas holds is nullable, what numpy holds is not.
        let is_raw = change.path == base.child("raw");
        let of_frame = columns.is_some() || matches!(*change.value, Element::Table(_)) || is_raw || is_object;
        let nullable_strings = of_frame && writes_nullable_strings(store, &base)?;
        if let Some(columns) = columns {
            let place = frames.iter().position(|(f, _)| *f == parent).unwrap_or_else(|| {
                frames.push((parent.clone(), columns));
                frames.len() - 1
            });
            let name = change.path.name().to_owned();
            if !frames[place].1.contains(&name) {
                frames[place].1.push(name);
            }
        }
        let dialect = Dialect { like: neighbour(store, &base, &parent)?, nullable_strings };
        steps.push(match (is_raw, is_object) {
            (true, _) => Step::Raw(change, dialect),
            (_, true) => Step::Object(change, dialect),
            _ => Step::Element(change, dialect),
        });
    }
    steps.extend(frames.into_iter().map(|(frame, columns)| Step::Columns(frame, columns)));
    if let Some(at) = new_objects.first().and_then(ElemPath::parent) {
        let mut order = codec::mod_order(store, &at)?;
        for name in new_objects.iter().map(ElemPath::name) {
            if !order.iter().any(|known| known == name) {
                order.push(name.to_owned());
            }
        }
        steps.push(Step::Modalities(at, order));
    }
    Ok(steps)
}

fn stage(store: &dyn WriteStore, step: &Step<'_>) -> Result<()> {
    match step {
        Step::Group(at) => codec::encode_dict(store, at),
        Step::Raw(pending, dialect) => codec::encode_raw(store, &pending.path, &pending.value, dialect),
        Step::Remove(at) => store.remove(at),
        Step::Object(pending, dialect) => codec::encode_anndata(store, &pending.path, &pending.value, dialect),
        Step::Modalities(at, names) => store.set_attrs(at, &codec::mod_order_attr(names)),
        Step::Element(pending, dialect) => codec::encode(store, &pending.path, &pending.value, dialect),
        Step::Columns(frame, columns) => {
            let attrs: Attrs = codec::column_order_attr(columns);
            store.set_attrs(frame, &attrs)
        }
    }
}

/// Groups from `parent` upwards that exist neither on disk nor in what this write makes, topmost first.
fn missing_groups(store: &dyn ReadStore, parent: &ElemPath, made: impl Fn(&ElemPath) -> bool) -> Result<Vec<ElemPath>> {
    let mut missing = Vec::new();
    for at in std::iter::once(parent.clone()).chain(parent.ancestors()) {
        match store.node(&at)? {
            Some(node) if node.is_group() => break,
            Some(_) => return Err(Error::Exists { at: Place::new(store.location(), &at) }),
            // What an element of this write makes is a group already; so is all above it.
            None if made(&at) => break,
            None => missing.push(at),
        }
    }
    missing.reverse();
    Ok(missing)
}

/// The innermost of the objects that `at` lies in.
fn object_of(at: &ElemPath, objects: &[ElemPath]) -> ElemPath {
    objects
        .iter()
        .filter(|o| at != *o && at.starts_with(o))
        .max_by_key(|o| o.as_str().len())
        .cloned()
        .unwrap_or_default()
}

/// Whether a pending element is, or has inside it, something at `at`.
fn brought(pending: &[Pending], at: &ElemPath) -> bool {
    pending.iter().any(|p| at.strip_prefix(&p.path).is_some_and(|rest| p.value.below(rest.components()).is_some()))
}

/// The columns of the frame at `at`; `None` if it is not a frame on disk.
fn frame_columns(store: &dyn ReadStore, at: &ElemPath) -> Result<Option<Vec<String>>> {
    let is_frame = store.node(at)?.is_some_and(|n| n.text("encoding-type") == Some("dataframe"));
    if is_frame { codec::frame_meta(store, at).map(|m| Some(m.columns)) } else { Ok(None) }
}

/// Whether the file keeps its row names as `nullable-string-array` (anndata 0.13 with pandas 3): then new columns do, too.
fn writes_nullable_strings(store: &dyn ReadStore, base: &ElemPath) -> Result<bool> {
    let obs = base.child("obs");
    let Some(node) = store.node(&obs)? else { return Ok(false) };
    let Some(index) = node.text("_index") else { return Ok(false) };
    Ok(store.node(&obs.join(index)?)?.is_some_and(|n| n.text("encoding-type") == Some("nullable-string-array")))
}

/// An array whose compressor, filters and sharding a new element below `parent` takes over: a sibling, else X, else the
/// row names.
fn neighbour(store: &dyn ReadStore, base: &ElemPath, parent: &ElemPath) -> Result<Option<ElemPath>> {
    for at in [parent, &base.child("X"), &base.child("obs")] {
        if let Some(found) = first_array(store, at, 2)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The first array with axes and items at `at` or up to `depth` groups below it.
fn first_array(store: &dyn ReadStore, at: &ElemPath, depth: usize) -> Result<Option<ElemPath>> {
    let Some(node) = store.node(at)? else { return Ok(None) };
    if let Some(meta) = node.array() {
        let shows_style = meta.dtype.is_some() && !meta.shape.is_empty() && !meta.shape.contains(&0);
        return Ok(shows_style.then(|| at.clone()));
    }
    if depth > 0 {
        for name in store.children(at)? {
            if let Some(found) = first_array(store, &at.join(&name)?, depth - 1)? {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}
