//! Staging and publishing.
//!
//! New datasets are written at once, but no name leads to them; new groups and all attributes wait in memory until
//! publishing, when the groups are made, filled, and linked into the tree last. HDF5 frees what is closed without ever
//! having had a name, so that abandoning is forgetting.

use std::collections::BTreeMap;

use super::ffi::{self, Failure, Id, Outcome, SavedAttr};
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

    fn bytes(&self) -> u64 {
        self.0.iter().map(|(name, value)| (name.len() + value.nbytes()) as u64).sum()
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
    /// Published nodes that go.
    pub planned: Planned,
    /// New attributes of nodes that are published already.
    pub changes: BTreeMap<ElemPath, NewAttrs>,
    /// Size of the file before the first change.
    pub size_before: Option<u64>,
    /// Bytes of the items written.
    pub data_bytes: u64,
}

impl Staged {
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.changes.is_empty() && self.planned.is_empty()
    }

    /// Hands the new datasets' items to the system, so that only metadata are left to write.
    pub(super) fn flush_items(&self) -> Outcome<()> {
        self.nodes.values().filter_map(|draft| draft.dataset.as_ref()).try_for_each(ffi::flush_dataset)
    }

    /// Bytes by which the file may grow while it is published, generously: new headers and links, larger tables of groups,
    /// attributes with their texts.
    pub(super) fn metadata_bytes(&self) -> u64 {
        let attrs = self.nodes.values().map(|draft| &draft.attrs).chain(self.changes.values());
        (1 << 20) + attrs.map(|attrs| 4096 + 4 * attrs.bytes()).sum::<u64>()
    }

    /// Makes all changes, or none. Gives the bytes written.
    pub(super) fn publish(self, file: &Id) -> Outcome<u64> {
        let mut done = Done::default();
        let result = self.make(file, &mut done).and_then(|()| ffi::flush(file));
        if let Err(failure) = result {
            done.undo();
            // Only to get the undoing to disk; the failure to report is the first.
            let _ = ffi::flush(file);
            return Err(failure);
        }
        // Closing what went frees its space, which is for the file to know, too.
        if !done.gone.is_empty() {
            done.gone.clear();
            ffi::flush(file)?;
        }
        // All is done: not knowing the size is no reason to fail.
        let grown = ffi::file_size(file).unwrap_or(0).saturating_sub(self.size_before.unwrap_or(u64::MAX));
        let changed: u64 = self.changes.values().map(NewAttrs::bytes).sum();
        // Space that was free inside the file is filled without growth.
        Ok(if grown == 0 { self.data_bytes } else { grown } + changed)
    }

    fn make(&self, file: &Id, done: &mut Done) -> Outcome<()> {
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
        for op in self.planned.ops() {
            let Op::Remove(at) = op else { continue };
            done.unlink(found(file, &at.parent().unwrap_or_default())?, at.name())?;
        }
        for (at, object) in tops {
            let parent = found(file, &at.parent().unwrap_or_default())?;
            ffi::link(object, &parent, at.name())?;
            done.links.push((parent, at.name().to_owned()));
        }
        self.changes.iter().try_for_each(|(at, changes)| done.change(found(file, at)?, changes))
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

/// What has been made visible so far, to be undone if the rest fails.
#[derive(Debug, Default)]
struct Done {
    /// What went: the object, and where it was. As long as it is open, HDF5 keeps it.
    gone: Vec<(Id, Id, String)>,
    links: Vec<(Id, String)>,
    attrs: Vec<(Id, Replaced)>,
}

/// Attributes replaced (with their old value) or added (without).
type Replaced = Vec<(String, Option<SavedAttr>)>;

impl Done {
    /// Takes the name of a node away; the node itself stays until this is dropped.
    fn unlink(&mut self, parent: Id, name: &str) -> Outcome<()> {
        let object = ffi::open_object(&parent, name)?;
        ffi::delete_link(&parent, name)?;
        self.gone.push((object, parent, name.to_owned()));
        Ok(())
    }

    fn change(&mut self, object: Id, changes: &NewAttrs) -> Outcome<()> {
        let mut replaced = Replaced::new();
        let result = changes.0.iter().try_for_each(|(name, value)| {
            let old = if ffi::attr_exists(&object, name)? {
                let old = SavedAttr::save(&ffi::open_attr(&object, name)?)?;
                ffi::delete_attr(&object, name)?;
                Some(old)
            } else {
                None
            };
            replaced.push((name.clone(), old));
            attrs::create(&object, name, value)
        });
        self.attrs.push((object, replaced));
        result
    }

    /// Best effort: what cannot be undone is passed over, so that the rest is.
    fn undo(&mut self) {
        for (object, replaced) in self.attrs.drain(..) {
            for (name, old) in replaced.into_iter().rev() {
                let _ = ffi::delete_attr(&object, &name);
                let _ = old.map(|old| old.restore(&object, &name));
            }
        }
        for (parent, name) in self.links.drain(..).rev() {
            let _ = ffi::delete_link(&parent, &name);
        }
        for (object, parent, name) in self.gone.drain(..).rev() {
            let _ = ffi::link(&object, &parent, &name);
        }
    }
}
