//! [`Future`]: the nodes of a store as they will be when what is staged is published: what is on disk, in new places, with new
//! attributes, and the new nodes in between.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::meta::Document;
use super::source::Source;
use super::stage::Stage;
use crate::error::Result;
use crate::path::ElemPath;

pub(super) struct Future<'a> {
    pub(super) source: &'a Source,
    stage: &'a Stage,
    /// Names of what comes to a group, staged or from another place.
    coming: BTreeMap<ElemPath, BTreeSet<String>>,
}

impl<'a> Future<'a> {
    /// `moved` are the new places of published nodes.
    pub(super) fn new(source: &'a Source, stage: &'a Stage, moved: &BTreeSet<ElemPath>) -> Self {
        let mut coming: BTreeMap<ElemPath, BTreeSet<String>> = BTreeMap::new();
        for at in stage.nodes.keys().chain(moved) {
            coming.entry(at.parent().unwrap_or_default()).or_default().insert(at.name().to_owned());
        }
        Self { source, stage, coming }
    }

    /// Where the published node lies now that will be at `at`.
    pub(super) fn origin(&self, at: &ElemPath) -> Option<ElemPath> {
        self.stage.planned.origin(at).filter(|_| !self.stage.nodes.contains_key(at))
    }

    pub(super) fn document(&self, at: &ElemPath) -> Result<Option<Document>> {
        if let Some(new) = self.stage.nodes.get(at) {
            return Ok(Some(new.clone()));
        }
        let Some(origin) = self.origin(at) else { return Ok(None) };
        let mut doc = Document::read(self.source, &origin)?;
        if let (Some(doc), Some(attrs)) = (&mut doc, self.stage.attrs.get(at)) {
            doc.attrs.extend(attrs.clone());
        }
        Ok(doc)
    }

    /// Names of the nodes directly below `at`, sorted.
    pub(super) fn children(&self, at: &ElemPath) -> Result<BTreeSet<String>> {
        let mut names = self.coming.get(at).cloned().unwrap_or_default();
        if let Some(origin) = self.origin(at) {
            let stays = |name: &String| self.origin(&at.child(name)) == Some(origin.child(name));
            names.extend(self.source.children(&origin)?.into_iter().filter(stays));
        }
        Ok(names)
    }

    /// Whether something stays at `at` that is no node (any more).
    pub(super) fn is_left(&self, at: &ElemPath) -> bool {
        let Some(origin) = self.origin(at) else { return false };
        self.source
            .real_dir(&origin)
            .is_some_and(|dir| fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()))
    }

    /// Names of the symbolic links directly below `at`.
    pub(super) fn links(&self, at: &ElemPath) -> Result<Vec<String>> {
        self.origin(at).map_or(Ok(Vec::new()), |origin| self.source.links(&origin))
    }
}
