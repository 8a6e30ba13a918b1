//! [`Removed`]: published nodes that a store is to lose when it publishes.

use std::collections::BTreeSet;

use crate::path::ElemPath;

/// Nodes staged to be removed, each with all below it.
#[derive(Debug, Default, Clone)]
pub(crate) struct Removed(BTreeSet<ElemPath>);

impl Removed {
    /// Whether the published node at `at` is to go.
    pub(crate) fn covers(&self, at: &ElemPath) -> bool {
        self.0.contains(at) || at.ancestors().any(|above| self.0.contains(&above))
    }

    pub(crate) fn add(&mut self, at: &ElemPath) {
        self.0.retain(|known| !known.starts_with(at));
        self.0.insert(at.clone());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The nodes, none below another.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &ElemPath> {
        self.0.iter()
    }
}
