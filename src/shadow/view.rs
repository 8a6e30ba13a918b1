//! [`View`]: one composed selection per axis. A view of a view is one selection, never a chain.

use std::sync::Arc;

use parking_lot::Mutex;

use super::slots::Axis;
use crate::index::Rows;
use crate::overlay::Cache;
use crate::path::ElemPath;
use crate::value::Element;

pub(crate) struct View {
    /// Positions along obs and var of the whole object.
    pub(crate) rows: [Rows; 2],
    cache: Mutex<Known>,
}

struct Known {
    elements: Cache,
    generation: u64,
}

impl View {
    pub(crate) fn new(rows: [Rows; 2], budget: usize, generation: u64) -> Self {
        Self { rows, cache: Mutex::new(Known { elements: Cache::new(budget), generation }) }
    }

    /// What the view takes of an axis; `None` for all of it.
    pub(crate) fn on(&self, axis: Axis) -> Option<&Rows> {
        match axis {
            Axis::Obs => Some(&self.rows[0]),
            Axis::Var => Some(&self.rows[1]),
            Axis::RawVar => None,
        }
        .filter(|rows| !matches!(rows, Rows::All(_)))
    }

    /// What this view has read before, if the file is still the same.
    pub(crate) fn cached(&self, at: &ElemPath, generation: u64) -> Option<Arc<Element>> {
        let cache = self.cache.lock();
        if cache.generation == generation { cache.elements.get(at) } else { None }
    }

    pub(crate) fn remember(&self, at: &ElemPath, element: &Arc<Element>, generation: u64) {
        let mut cache = self.cache.lock();
        if cache.generation != generation {
            cache.elements.clear();
            cache.generation = generation;
        }
        cache.elements.remember(at, element.clone());
    }

    pub(crate) fn clear_cache(&self) {
        self.cache.lock().elements.clear();
    }
}
