//! [`ChunkCache`]: decoded chunks under a budget of bytes. Neighbouring rows, `indptr` and random batches come back to the same
//! chunks again and again, and decoding costs far more than copying.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::path::ElemPath;

/// Decoded chunks that one handle remembers, in bytes: `indptr` and the last few chunks of data and indices, which are 1 to 4 MB
/// each in most stores, and little beside what a read itself takes.
const BUDGET: usize = 32 << 20;

/// What an entry takes besides its bytes, roughly: without it, many tiny chunks would be free.
const OVERHEAD: usize = 256;

/// Which chunk: of the array at this path, at this position in its grid.
type Key = (ElemPath, Vec<usize>);

/// Decoded chunks of the arrays of one store, the least recently used of them forgotten first. A `V` is a chunk's bytes with
/// whatever the store must know to trust them later: this cache knows nothing of changes.
#[derive(Debug)]
pub(crate) struct ChunkCache<V = Vec<u8>> {
    budget: usize,
    kept: Mutex<Kept<V>>,
}

#[derive(Debug)]
struct Kept<V> {
    chunks: HashMap<Arc<Key>, Entry<V>>,
    /// The keys by when they were last used.
    by_use: BTreeMap<u64, Arc<Key>>,
    /// Uses so far.
    uses: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry<V> {
    chunk: Arc<V>,
    used: u64,
}

impl<V: AsRef<Vec<u8>>> Default for ChunkCache<V> {
    /// An empty cache with the usual budget, 32 MiB.
    fn default() -> Self {
        Self::with_budget(BUDGET)
    }
}

impl<V: AsRef<Vec<u8>>> ChunkCache<V> {
    fn with_budget(budget: usize) -> Self {
        let kept = Kept { chunks: HashMap::new(), by_use: BTreeMap::new(), uses: 0, bytes: 0 };
        Self { budget, kept: Mutex::new(kept) }
    }

    /// The decoded chunk at this position in the grid of the array `at`, if it is remembered.
    pub(crate) fn get(&self, at: &ElemPath, chunk: &[usize]) -> Option<Arc<V>> {
        let mut kept = self.kept.lock();
        let Kept { chunks, by_use, uses, .. } = &mut *kept;
        let entry = chunks.get_mut(&(at.clone(), chunk.to_vec()))?;
        *uses += 1;
        if let Some(key) = by_use.remove(&entry.used) {
            by_use.insert(*uses, key);
        }
        entry.used = *uses;
        Some(entry.chunk.clone())
    }

    /// Remembers a decoded chunk, in place of others where the budget asks for it. One larger than the budget is not kept.
    pub(crate) fn insert(&self, at: &ElemPath, chunk: &[usize], decoded: Arc<V>) {
        let cost = cost(&*decoded);
        if cost > self.budget {
            return;
        }
        let key = Arc::new((at.clone(), chunk.to_vec()));
        let mut kept = self.kept.lock();
        kept.forget(&key);
        while kept.bytes + cost > self.budget {
            let Some(oldest) = kept.by_use.first_key_value().map(|(_, key)| key.clone()) else { break };
            kept.forget(&oldest);
        }
        kept.uses += 1;
        kept.bytes += cost;
        let used = kept.uses;
        kept.by_use.insert(used, key.clone());
        kept.chunks.insert(key, Entry { chunk: decoded, used });
    }
}

impl<V: AsRef<Vec<u8>>> Kept<V> {
    fn forget(&mut self, key: &Key) {
        if let Some(entry) = self.chunks.remove(key) {
            self.by_use.remove(&entry.used);
            self.bytes -= cost(&*entry.chunk);
        }
    }
}

/// What keeping these bytes takes.
fn cost(chunk: &impl AsRef<Vec<u8>>) -> usize {
    chunk.as_ref().capacity().saturating_add(OVERHEAD)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_budget(budget: usize) -> ChunkCache {
        ChunkCache::with_budget(budget)
    }

    fn at(path: &str) -> ElemPath {
        ElemPath::parse(path).unwrap()
    }

    fn chunk(len: usize) -> Arc<Vec<u8>> {
        Arc::new(vec![7; len])
    }

    #[test]
    fn the_least_recently_used_go_first() {
        let cache = with_budget(3 * (100 + OVERHEAD));
        let x = at("X");
        (0..3).for_each(|i| cache.insert(&x, &[i], chunk(100)));
        // Used again, the first is not the oldest any more.
        assert!(cache.get(&x, &[0]).is_some());
        cache.insert(&x, &[3], chunk(100));
        let known: Vec<bool> = (0..4).map(|i| cache.get(&x, &[i]).is_some()).collect();
        assert_eq!(known, [true, false, true, true]);
        // A large one takes the place of several.
        cache.insert(&x, &[4], chunk(2 * (100 + OVERHEAD)));
        let known: Vec<bool> = (0..5).map(|i| cache.get(&x, &[i]).is_some()).collect();
        assert_eq!(known, [false, false, false, false, true]);
    }

    #[test]
    fn no_more_is_kept_than_the_budget() {
        let cache = with_budget(10_000);
        for i in 0..1000 {
            cache.insert(&at("X"), &[i % 13, i], chunk(i));
            let kept = cache.kept.lock();
            let real: usize = kept.chunks.values().map(|e| cost(&*e.chunk)).sum();
            assert!(kept.bytes == real && real <= 10_000 && kept.by_use.len() == kept.chunks.len());
        }
        cache.insert(&at("X"), &[0, 0], chunk(10_000));
        assert!(cache.get(&at("X"), &[0, 0]).is_none(), "larger than the budget");
        assert!(cache.get(&at("X"), &[11, 999]).is_some(), "and nothing went for it");
    }

    #[test]
    fn a_chunk_is_of_its_array_and_newer_ones_replace_it() {
        let cache = with_budget(10_000);
        cache.insert(&at("X/data"), &[1], chunk(1));
        assert!(cache.get(&at("X/indices"), &[1]).is_none() && cache.get(&at("X/data"), &[1, 0]).is_none());
        cache.insert(&at("X/data"), &[1], chunk(2));
        assert_eq!(cache.get(&at("X/data"), &[1]).unwrap().len(), 2);
        assert_eq!(cache.kept.lock().bytes, 2 + OVERHEAD);
    }
}
