//! Staging and publishing.
//!
//! New datasets are written at once, but no name leads to them; new groups and all attributes wait in memory until
//! publishing, when the groups are made, filled, and linked into the tree last. HDF5 frees what is closed without ever
//! having had a name, so that abandoning is forgetting. If something fails half-way, nothing of it is undone: the volume
//! forgets it all.

use std::collections::BTreeMap;

use super::ffi::{self, Failure, Id, Outcome};
use super::{attrs, tree};
use crate::path::ElemPath;
use crate::store::{Op, Planned};
use crate::value::Array;

/// An attribute larger than this does not fit the object headers that old groups have (64 KiB less what else a message
/// holds).
pub(super) const HEADER_BYTES: usize = 64_000;

/// Attributes in their stored form, in the order they were set.
#[derive(Debug, Default, Clone)]
pub(super) struct NewAttrs(Vec<(String, Array)>);

impl NewAttrs {
    pub(super) fn new(attrs: Vec<(String, Array)>) -> Self {
        Self(attrs)
    }

    /// Adds attributes, replacing those of the same name.
    pub(super) fn extend(&mut self, more: Self) {
        for (name, value) in more.0 {
            match self.0.iter_mut().find(|(n, _)| *n == name) {
                Some((_, old)) => *old = value,
                None => self.0.push((name, value)),
            }
        }
    }

    /// The first attribute that only newer object headers can hold.
    pub(super) fn outgrown(&self) -> Option<&str> {
        self.0.iter().find(|(_, value)| attrs::stored_bytes(value) > HEADER_BYTES).map(|(name, _)| &name[..])
    }

    fn create_all(&self, object: &Id) -> Outcome<()> {
        self.0.iter().try_for_each(|(name, value)| attrs::create(object, name, value))
    }

    /// Gives an object these attributes, in place of those that it has of the same names.
    fn change_all(&self, object: &Id) -> Outcome<()> {
        self.0.iter().try_for_each(|(name, value)| {
            if ffi::attr_exists(object, name)? {
                ffi::delete_attr(object, name)?;
            }
            attrs::create(object, name, value)
        })
    }
}

/// A new node.
#[derive(Debug)]
pub(super) struct Draft {
    /// The dataset, written but nameless; `None` for a group.
    pub dataset: Option<Id>,
    pub attrs: NewAttrs,
}

/// All changes since the last publishing.
#[derive(Debug, Default)]
pub(super) struct Staged {
    pub nodes: BTreeMap<ElemPath, Draft>,
    /// Published nodes that go, or get another place.
    pub planned: Planned,
    /// New attributes of nodes that are published already, by where these are by then.
    pub changes: BTreeMap<ElemPath, NewAttrs>,
}

impl Staged {
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.changes.is_empty() && self.planned.is_empty()
    }

    /// A published node goes; what was to come or to change below it does so no more.
    pub(super) fn remove(&mut self, at: &ElemPath) {
        self.changes.retain(|changed, _| !changed.starts_with(at));
        self.nodes.retain(|new, _| !new.starts_with(at));
        self.planned.remove(at);
    }

    /// A published node gets another place, and what was to change below it with it.
    pub(super) fn rename(&mut self, from: &ElemPath, to: &ElemPath) {
        let changes = std::mem::take(&mut self.changes).into_iter();
        let moved = |at: ElemPath| at.strip_prefix(from).map_or(at, |rest| to.append(&rest));
        self.changes = changes.map(|(at, attrs)| (moved(at), attrs)).collect();
        self.planned.rename(from, to);
    }

    /// Makes all changes in the open file. Gives the bytes that are left free where something was. If it fails, some changes
    /// are made, and the file must not be kept.
    pub(super) fn make(&self, file: &Id) -> Outcome<u64> {
        let groups = self.make_groups(file)?;
        let mut tops = Vec::new();
        // Parents sort before their children; whatever has a new parent is not in the visible tree yet.
        for (at, draft) in &self.nodes {
            let object = draft.dataset.as_ref().or_else(|| groups.get(at));
            let object = object.ok_or_else(|| Failure::new("a staged group is missing"))?;
            draft.attrs.create_all(object)?;
            match at.parent().and_then(|parent| groups.get(&parent)) {
                Some(parent) => ffi::link(object, parent, at.name())?,
                None => tops.push((at, object)),
            }
        }
        if !self.planned.is_empty() {
            // New items go to the end of the file before space in it becomes free: what is written there goes to the journal.
            ffi::flush(file)?;
        }
        let freed = self.planned.ops().iter().try_fold(0, |freed, op| carry_out(file, op).map(|more| freed + more))?;
        for (at, object) in tops {
            ffi::link(object, &parent(file, at)?, at.name())?;
        }
        self.changes.iter().try_for_each(|(at, changes)| changes.change_all(&found(file, at)?))?;
        ffi::flush(file)?;
        Ok(freed)
    }

    /// The new groups, empty and nameless.
    fn make_groups(&self, file: &Id) -> Outcome<BTreeMap<&ElemPath, Id>> {
        let groups = self.nodes.iter().filter(|(_, draft)| draft.dataset.is_none());
        groups.map(|(at, draft)| Ok((at, ffi::new_group(file, draft.attrs.outgrown().is_some())?))).collect()
    }
}

fn found(file: &Id, at: &ElemPath) -> Outcome<Id> {
    tree::find(file, at)?.ok_or_else(|| Failure::new(format!("`{at}` has disappeared")))
}

fn parent(file: &Id, at: &ElemPath) -> Outcome<Id> {
    found(file, &at.parent().unwrap_or_default())
}

/// Gives the bytes that are free afterwards and were not before.
fn carry_out(file: &Id, op: &Op) -> Outcome<u64> {
    match op {
        Op::Remove(at) => {
            let before = ffi::free_space(file)?;
            ffi::delete_link(&parent(file, at)?, at.name())?;
            Ok(ffi::free_space(file)?.saturating_sub(before).max(0).unsigned_abs())
        }
        Op::Rename(from, to) => {
            ffi::move_link((&parent(file, from)?, from.name()), (&parent(file, to)?, to.name())).map(|()| 0)
        }
    }
}
