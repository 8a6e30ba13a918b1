//! [`Opened`]: a file that the library has open, and the datasets in it that have been read.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use parking_lot::Mutex;

use super::ffi::Id;
use super::places::MAX_PLACES;
use super::read::Source;
use crate::path::ElemPath;
use crate::store::ChunkCache;

/// Most datasets that are kept open; the library takes some 64 kB for each that has chunks.
const MAX_SOURCES: usize = 64;

/// An open file. What it keeps of its datasets holds as long as it is open, for nothing published changes meanwhile.
#[derive(Debug)]
pub(super) struct Opened {
    // Dropped first: nothing of a file outlives it.
    sources: Mutex<Sources>,
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
        Self { sources: Mutex::default(), chunks: Arc::default(), file }
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

    /// Closes all datasets: the file is about to change.
    pub(super) fn let_go(&self) {
        *self.sources.lock() = Sources::default();
    }
}

impl Deref for Opened {
    type Target = Id;

    fn deref(&self) -> &Id {
        &self.file
    }
}
