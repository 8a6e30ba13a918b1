//! From pending changes to steps: pure, but for looking at what the store has.

use crate::codec::{self, Dialect};
use crate::error::{Error, Place, Result};
use crate::overlay::{Delta, Edit, Lookup};
use crate::path::ElemPath;
use crate::store::{Op, Planned, ReadStore};
use crate::value::Element;

/// A step of a write.
#[derive(Debug)]
pub(super) enum Step<'a> {
    /// What is stored goes.
    Remove(ElemPath),
    /// What is stored gets another place.
    Rename(ElemPath, ElemPath),
    /// A group on the way to an element does not exist yet.
    Group(ElemPath),
    /// An element, and how it is to be stored.
    Element(ElemPath, &'a Element, Dialect),
    /// As `Element`, of the one group below an AnnData that is no dict.
    Raw(ElemPath, &'a Element, Dialect),
    /// As `Element`, of a modality: a whole AnnData.
    Object(ElemPath, &'a Element, Dialect),
    /// A frame's new `column-order`.
    Columns(ElemPath, Vec<String>),
    /// The new `mod-order` of the group `mod` of a MuData.
    Modalities(ElemPath, Vec<String>),
}

/// The steps, in an order in which each finds what it needs: what is stored goes or moves, then what is new comes, parents
/// first, then the lists of what is there.
pub(super) fn plan<'a>(store: &dyn ReadStore, objects: &[ElemPath], delta: &'a Delta) -> Result<Vec<Step<'a>>> {
    let mut steps: Vec<Step<'a>> = moves(store, delta)?
        .into_iter()
        .map(|op| match op {
            Op::Remove(at) => Step::Remove(at),
            Op::Rename(from, to) => Step::Rename(from, to),
        })
        .collect();
    let entries = delta.entries();
    let mut values: Vec<(&ElemPath, &'a Element)> = entries
        .iter()
        .filter_map(|(path, e)| if let Edit::Set(value) = &e.edit { Some((*path, &**value)) } else { None })
        .collect();
    // A parent sorts before what is below it; columns keep the order in which they were set.
    values.sort_by_key(|(path, _)| path.components().count());
    let mut made: Vec<ElemPath> = Vec::new();
    for (path, value) in values {
        let base = object_of(path, objects);
        let parent = path.parent().unwrap_or_default();
        for group in missing_groups(store, delta, &parent, &made)? {
            steps.push(Step::Group(group.clone()));
            made.push(group);
        }
        let is_object = parent == base.child("mod");
        // As anndata 0.13: what pandas holds is nullable, what numpy holds is not.
        let is_raw = *path == base.child("raw");
        let of_frame =
            is_frame(store, delta, &parent)?.is_some() || matches!(value, Element::Table(_)) || is_raw || is_object;
        let nullable_strings = of_frame && writes_nullable_strings(store, delta, &base)?;
        let dialect = Dialect { like: neighbour(store, delta, &base, &parent)?, nullable_strings };
        steps.push(match (is_raw, is_object) {
            (true, _) => Step::Raw(path.clone(), value, dialect),
            (_, true) => Step::Object(path.clone(), value, dialect),
            _ => Step::Element(path.clone(), value, dialect),
        });
    }
    let mut parents: Vec<ElemPath> = entries.iter().filter_map(|(path, _)| path.parent()).collect();
    parents.sort();
    parents.dedup();
    for at in parents {
        let Lookup::Stored(file) = delta.lookup(&at) else { continue };
        if let Some(file) = is_frame(store, delta, &at)? {
            let meta = codec::frame_meta(store, &file)?;
            let order = delta.order(&at, meta.columns.clone(), Some(&meta.index));
            if order != meta.columns {
                steps.push(Step::Columns(at, order));
            }
        } else if at == object_of(&at, objects).child("mod") {
            let stored = codec::mod_order(store, &file)?;
            let order = delta.order(&at, stored.clone(), None);
            if order != stored {
                steps.push(Step::Modalities(at, order));
            }
        }
    }
    Ok(steps)
}

/// Removals and renames of what is stored, in an order in which each finds its place free.
fn moves(store: &dyn ReadStore, delta: &Delta) -> Result<Vec<Op>> {
    let exists = |at: &ElemPath| store.node(at).map(|node| node.is_some());
    // By where the store has them now.
    let (mut going, mut moving) = (Vec::new(), Vec::new());
    for (path, entry) in delta.entries() {
        if let Edit::Moved { from, .. } = &entry.edit {
            moving.push((from.clone(), path.clone()));
        }
        let Some(home) = delta.home(path) else { continue };
        if !exists(&home)? {
            continue;
        }
        if entry.old.is_none() && entry.sure {
            return Err(Error::Exists { at: Place::new(store.location(), path) });
        }
        going.push(home);
    }
    let mut planned = Planned::default();
    while !going.is_empty() || !moving.is_empty() {
        let before = planned.ops().len();
        // What is moved out of a group that goes is moved first.
        going.retain(|home| {
            let waits = moving.iter().any(|(from, _)| from.starts_with(home));
            if let (false, Some(now)) = (waits, planned.place(home)) {
                planned.remove(&now);
            }
            waits
        });
        for (from, to) in std::mem::take(&mut moving) {
            let is_there = |at: &ElemPath| planned.origin(at).map_or(Ok(false), |at| exists(&at));
            let ready = !is_there(&to)? && is_there(&to.parent().unwrap_or_default())?;
            match planned.place(&from) {
                Some(now) if ready => planned.rename(&now, &to),
                _ => moving.push((from, to)),
            }
        }
        if planned.ops().len() == before {
            let stuck = moving.first().map(|(from, _)| from).or(going.first()).cloned().unwrap_or_default();
            return Err(Error::Unsupported {
                at: Place::new(store.location(), &stuck),
                what: "names are exchanged among each other, or an element goes into a group that is new itself: do it in \
                       two steps with a write() in between"
                    .to_owned(),
            });
        }
    }
    Ok(planned.ops().to_vec())
}

/// Groups from `parent` upwards that exist neither in the file nor in what this write makes, topmost first.
fn missing_groups(store: &dyn ReadStore, delta: &Delta, parent: &ElemPath, made: &[ElemPath]) -> Result<Vec<ElemPath>> {
    let mut missing = Vec::new();
    for at in std::iter::once(parent.clone()).chain(parent.ancestors()) {
        // What this write makes is a group already; so is all above it.
        let Lookup::Stored(file) = delta.lookup(&at) else { break };
        match store.node(&file)? {
            _ if made.contains(&at) => break,
            Some(node) if node.is_group() => break,
            Some(_) => return Err(Error::Exists { at: Place::new(store.location(), &at) }),
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

/// Where the file has the frame `at`, if it is one.
fn is_frame(store: &dyn ReadStore, delta: &Delta, at: &ElemPath) -> Result<Option<ElemPath>> {
    let Lookup::Stored(file) = delta.lookup(at) else { return Ok(None) };
    let is_frame = store.node(&file)?.is_some_and(|n| n.text("encoding-type") == Some("dataframe"));
    Ok(is_frame.then_some(file))
}

/// Whether the file keeps its row names as `nullable-string-array` (anndata 0.13 with pandas 3): then new columns do, too.
fn writes_nullable_strings(store: &dyn ReadStore, delta: &Delta, base: &ElemPath) -> Result<bool> {
    let Some(obs) = stored(delta, &base.child("obs")) else { return Ok(false) };
    let Some(node) = store.node(&obs)? else { return Ok(false) };
    let Some(index) = node.text("_index") else { return Ok(false) };
    Ok(store.node(&obs.join(index)?)?.is_some_and(|n| n.text("encoding-type") == Some("nullable-string-array")))
}

/// An array whose compressor, filters and sharding a new element below `parent` takes over: a sibling, else X, else the
/// row names.
fn neighbour(store: &dyn ReadStore, delta: &Delta, base: &ElemPath, parent: &ElemPath) -> Result<Option<ElemPath>> {
    for at in [parent, &base.child("X"), &base.child("obs")] {
        let Some(file) = stored(delta, at) else { continue };
        if let Some(found) = first_array(store, &file, 2)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Where the file has what stands at `at` or, where that is new, what it replaces: its style is as good.
fn stored(delta: &Delta, at: &ElemPath) -> Option<ElemPath> {
    match delta.lookup(at) {
        Lookup::Stored(file) => Some(file),
        _ => delta.home(at),
    }
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
