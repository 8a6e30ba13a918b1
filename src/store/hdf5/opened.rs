//! [`Opened`]: a file that the library has open, and what of it has been looked at and read.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use parking_lot::Mutex;

use super::ffi::Id;
use super::places::MAX_PLACES;
use super::read::Source;
use crate::error::Result;
use crate::path::ElemPath;
use crate::store::{ChunkCache, Node};

/// Most datasets that are kept open; the library takes some 64 kB for each that has chunks.
const MAX_SOURCES: usize = 64;

/// Most nodes that are known. Opening a store and looking at one thing in it asks for the same few again and again, and each
/// time the library would parse all their attributes.
const MAX_NODES: usize = 256;

/// An open file. What it keeps of what is in it holds as long as it is open, for nothing published changes meanwhile.
#[derive(Debug)]
pub(super) struct Opened {
    // Dropped first: nothing of a file outlives it.
    sources: Mutex<Sources>,
    nodes: Mutex<BTreeMap<ElemPath, Option<Node>>>,
    chunks: Arc<ChunkCache>,
    file: Id,
}

#[derive(Debug, Default)]
struct Sources {
    by_path: BTreeMap<ElemPath, Arc<Source>>,
    /// Places in memory, of all of them.
    places: usize,
}

impl Opened {
    pub(super) fn new(file: Id) -> Self {
        Self { sources: Mutex::default(), nodes: Mutex::default(), chunks: Arc::default(), file }
    }

    /// The dataset at a path, if it is kept.
    pub(super) fn source(&self, at: &ElemPath) -> Option<Arc<Source>> {
        self.sources.lock().by_path.get(at).cloned()
    }

    /// Keeps a dataset that is read without the library. One that is read through it would keep the library's cache of its
    /// chunks in memory.
    pub(super) fn keep(&self, at: &ElemPath, source: &Arc<Source>) {
        let Some(places) = source.places() else { return };
        let mut sources = self.sources.lock();
        if sources.by_path.len() >= MAX_SOURCES || sources.places + places > MAX_PLACES {
            *sources = Sources::default();
        }
        if sources.by_path.insert(at.clone(), Arc::clone(source)).is_none() {
            sources.places += places;
        }
    }

    /// Chunks of its datasets that were wanted in part.
    pub(super) fn chunks(&self) -> &Arc<ChunkCache> {
        &self.chunks
    }

    /// What is at a path, found by `look` unless it is known.
    pub(super) fn node(&self, at: &ElemPath, look: impl FnOnce() -> Result<Option<Node>>) -> Result<Option<Node>> {
        if let Some(known) = self.nodes.lock().get(at) {
            return Ok(known.clone());
        }
        let node = look()?;
        let mut nodes = self.nodes.lock();
        if nodes.len() >= MAX_NODES {
            nodes.clear();
        }
        nodes.insert(at.clone(), node.clone());
        Ok(node)
    }

    /// Forgets all nodes and closes all datasets: the file is about to change.
    pub(super) fn let_go(&self) {
        self.nodes.lock().clear();
        *self.sources.lock() = Sources::default();
    }
}

impl Deref for Opened {
    type Target = Id;

    fn deref(&self) -> &Id {
        &self.file
    }
}
