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

/// Most datasets that are kept open, those used last; the library takes some 64 kB for each that has chunks.
pub(super) const MAX_SOURCES: usize = 64;

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
    by_path: BTreeMap<ElemPath, Kept>,
    /// Uses so far.
    uses: u64,
    /// Places in memory, of all of them.
    places: usize,
}

#[derive(Debug)]
struct Kept {
    source: Arc<Source>,
    places: usize,
    /// When it was last used.
    used: u64,
}

impl Sources {
    /// One more use.
    fn use_now(&mut self) -> u64 {
        self.uses += 1;
        self.uses
    }

    fn forget(&mut self, at: &ElemPath) -> Option<Kept> {
        let gone = self.by_path.remove(at)?;
        self.places -= gone.places;
        Some(gone)
    }

    /// Forgets those that were not used for the longest time, until there is room for one more with so many places.
    fn make_room(&mut self, places: usize) -> Vec<Kept> {
        let mut gone = Vec::new();
        while self.by_path.len() >= MAX_SOURCES || self.places + places > MAX_PLACES {
            let oldest = self.by_path.iter().min_by_key(|(_, kept)| kept.used).map(|(at, _)| at.clone());
            let Some(oldest) = oldest else { break };
            gone.extend(self.forget(&oldest));
        }
        gone
    }
}

impl Opened {
    pub(super) fn new(file: Id) -> Self {
        Self { sources: Mutex::default(), nodes: Mutex::default(), chunks: Arc::default(), file }
    }

    /// The dataset at a path, if it is kept.
    pub(super) fn source(&self, at: &ElemPath) -> Option<Arc<Source>> {
        let mut sources = self.sources.lock();
        let used = sources.use_now();
        let kept = sources.by_path.get_mut(at)?;
        kept.used = used;
        Some(Arc::clone(&kept.source))
    }

    /// Keeps a dataset that is read without the library. One that is read through it would keep the library's cache of its
    /// chunks in memory.
    pub(super) fn keep(&self, at: &ElemPath, source: &Arc<Source>) {
        let Some(places) = source.places() else { return };
        let mut sources = self.sources.lock();
        // Another thread may have been as fast.
        let same = sources.forget(at);
        let gone = sources.make_room(places);
        sources.places += places;
        let kept = Kept { source: Arc::clone(source), places, used: sources.use_now() };
        sources.by_path.insert(at.clone(), kept);
        // Closing them may have to wait for the library, for which nobody is to wait who only asks what is kept.
        drop(sources);
        drop((same, gone));
    }

    /// Chunks of its datasets that were wanted in part.
    pub(super) fn chunks(&self) -> &Arc<ChunkCache> {
        &self.chunks
    }

    /// What is at a path, found by `look`, which says if it is worth knowing, unless it is known.
    pub(super) fn node(
        &self,
        at: &ElemPath,
        look: impl FnOnce() -> Result<Option<(Node, bool)>>,
    ) -> Result<Option<Node>> {
        if let Some(known) = self.nodes.lock().get(at) {
            return Ok(known.clone());
        }
        let (node, worth) = look()?.map_or((None, true), |(node, worth)| (Some(node), worth));
        if worth {
            let mut nodes = self.nodes.lock();
            if nodes.len() >= MAX_NODES {
                nodes.clear();
            }
            nodes.insert(at.clone(), node.clone());
        }
        Ok(node)
    }

    /// Forgets all nodes and closes all datasets: the file is about to change.
    pub(super) fn let_go(&self) {
        self.nodes.lock().clear();
        let gone = std::mem::take(&mut *self.sources.lock());
        drop(gone);
    }
}

impl Deref for Opened {
    type Target = Id;

    fn deref(&self) -> &Id {
        &self.file
    }
}
