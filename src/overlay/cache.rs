//! [`Cache`]: elements that were read, by path, under a byte budget.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::path::ElemPath;
use crate::value::Element;

#[derive(Debug)]
struct Entry {
    value: Arc<Element>,
    bytes: usize,
    /// When it was last looked at: the longest unused goes first.
    used: AtomicU64,
}

/// Clean elements; each may be dropped at any time.
#[derive(Debug)]
pub(crate) struct Cache {
    entries: BTreeMap<ElemPath, Entry>,
    bytes: usize,
    budget: usize,
    clock: AtomicU64,
}

impl Cache {
    /// An empty cache of at most `budget` bytes.
    pub(crate) fn new(budget: usize) -> Self {
        Self { entries: BTreeMap::new(), bytes: 0, budget, clock: AtomicU64::new(0) }
    }

    /// The element at `path`: held itself, or inside a held mapping or frame above it.
    pub(crate) fn get(&self, path: &ElemPath) -> Option<Arc<Element>> {
        if let Some(entry) = self.entries.get(path) {
            entry.used.store(self.tick(), Relaxed);
            return Some(entry.value.clone());
        }
        let above = path.ancestors().find(|a| self.entries.contains_key(a))?;
        let rest = path.strip_prefix(&above)?;
        let entry = self.entries.get(&above)?;
        entry.used.store(self.tick(), Relaxed);
        entry.value.below(rest.components()).cloned().map(Arc::new)
    }

    /// Keeps an element if it fits the budget at all, evicting others that were unused for longest.
    pub(crate) fn remember(&mut self, path: &ElemPath, value: Arc<Element>) {
        let bytes = value.nbytes();
        if bytes > self.budget || self.get(path).is_some() {
            return;
        }
        self.bytes += bytes;
        let entry = Entry { value, bytes, used: AtomicU64::new(self.tick()) };
        self.entries.insert(path.clone(), entry);
        self.evict();
    }

    /// Drops what is held at, above and below `path`.
    pub(crate) fn forget_around(&mut self, path: &ElemPath) {
        let stale: Vec<ElemPath> =
            self.entries.keys().filter(|p| p.starts_with(path) || path.starts_with(p)).cloned().collect();
        stale.iter().for_each(|p| self.drop_entry(p));
    }

    /// Paths held at or below `path`.
    pub(crate) fn below<'a>(&'a self, path: &'a ElemPath) -> impl Iterator<Item = &'a ElemPath> {
        self.entries.keys().filter(move |p| p.starts_with(path))
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }

    /// Changes the budget, in bytes.
    pub(crate) fn set_budget(&mut self, budget: usize) {
        self.budget = budget;
        self.evict();
    }

    /// The budget, in bytes.
    pub(crate) const fn budget(&self) -> usize {
        self.budget
    }

    /// Bytes held.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    fn drop_entry(&mut self, path: &ElemPath) {
        if let Some(Entry { bytes, .. }) = self.entries.remove(path) {
            self.bytes -= bytes;
        }
    }

    fn evict(&mut self) {
        if self.bytes <= self.budget {
            return;
        }
        let mut oldest: Vec<(u64, ElemPath)> =
            self.entries.iter().map(|(p, e)| (e.used.load(Relaxed), p.clone())).collect();
        oldest.sort();
        for (_, path) in oldest {
            if self.bytes <= self.budget {
                break;
            }
            self.drop_entry(&path);
        }
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Array;

    fn path(text: &str) -> ElemPath {
        ElemPath::parse(text).unwrap()
    }

    fn bytes(n: usize) -> Arc<Element> {
        Arc::new(Element::Array(Array::from_vec(vec![1_u8; n])))
    }

    #[test]
    fn keeps_to_its_budget() {
        let mut c = Cache::new(100);
        c.remember(&path("a"), bytes(60));
        c.remember(&path("b"), bytes(30));
        assert!(c.get(&path("a")).is_some());
        c.remember(&path("c"), bytes(30));
        assert!(c.get(&path("b")).is_none(), "unused for longest");
        assert!(c.get(&path("a")).is_some() && c.get(&path("c")).is_some());
        c.remember(&path("huge"), bytes(101));
        assert!(c.get(&path("huge")).is_none());
        c.set_budget(0);
        assert_eq!(c.bytes(), 0);
    }

    #[test]
    fn mappings_show_what_is_in_them() {
        let mut c = Cache::new(1000);
        c.remember(&path("uns/a"), Arc::new(Element::from([("b", Element::from([("c", 1_i64)]))])));
        assert_eq!(c.get(&path("uns/a/b/c")).as_deref(), Some(&Element::from(1_i64)));
        assert!(c.get(&path("uns/a/x")).is_none());
        c.forget_around(&path("uns/a/b"));
        assert!(c.get(&path("uns/a")).is_none());
    }
}
