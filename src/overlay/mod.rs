//! What a shadow holds in memory, by path: what was read ([`Cache`], clean, with a byte budget) and what was set, removed or
//! renamed and is not yet on disk ([`Delta`]). Memory only; knows no files.

mod cache;
mod delta;

use std::fmt;
use std::sync::Arc;

use crate::path::ElemPath;
use crate::value::Element;

pub(crate) use cache::Cache;
pub(crate) use delta::{Delta, Edit, Entry, Lookup, Source};

/// Why an element is held in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mark {
    /// Read from the file; may be dropped at any time. Shown as `ᐁ`.
    Cached,
    /// Set, or renamed to this, and not so in the file yet. Shown as `▲`.
    New,
    /// Set in place of what is in the file. Shown as `▼`.
    Replaced,
    /// In the file, to be removed from it or given another name. Shown as `×`.
    Removed,
}

impl Mark {
    /// Whether writing has something to do.
    #[must_use]
    pub const fn is_pending(self) -> bool {
        !matches!(self, Self::Cached)
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cached => "ᐁ",
            Self::New => "▲",
            Self::Replaced => "▼",
            Self::Removed => "×",
        })
    }
}

/// What is in the file where a pending change is to be made.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Was {
    /// What it is: `a 2-d float32 array`, …
    pub what: String,
    /// Length along each axis; empty for scalars and mappings.
    pub shape: Vec<usize>,
}

/// Pending changes over a cache.
#[derive(Debug)]
pub(crate) struct Overlay {
    pub(crate) delta: Delta,
    pub(crate) cache: Cache,
}

impl Overlay {
    /// An empty overlay that keeps at most `budget` bytes of clean elements.
    pub(crate) fn new(budget: usize) -> Self {
        Self { delta: Delta::default(), cache: Cache::new(budget) }
    }

    /// What is known of the element at `path`: a value, that there is none, or where the file has it.
    pub(crate) fn lookup(&self, path: &ElemPath) -> Lookup {
        match self.delta.lookup(path) {
            // What is pending below it would be missing from what was cached; nothing is cached over that.
            Lookup::Stored(at) => self.cache.get(path).map_or(Lookup::Stored(at), Lookup::Value),
            other => other,
        }
    }

    /// The mark of the element at `path`, if it is held (itself or inside something held above it).
    pub(crate) fn mark(&self, path: &ElemPath) -> Option<Mark> {
        self.delta.mark(path).or_else(|| self.cache.get(path).map(|_| Mark::Cached))
    }

    /// Keeps a clean element, but never anything under or over a pending change.
    pub(crate) fn remember(&mut self, path: &ElemPath, value: Arc<Element>) {
        if self.delta.mark(path).is_none() && !self.delta.touches(path) {
            self.cache.remember(path, value);
        }
    }

    /// Changes what is pending at `path`; what was cached around it would hide that.
    pub(crate) fn edit<T>(&mut self, path: &ElemPath, how: impl FnOnce(&mut Delta) -> T) -> T {
        self.cache.forget_around(path);
        how(&mut self.delta)
    }

    /// Takes back all that is pending.
    pub(crate) fn discard(&mut self) {
        for (path, _) in std::mem::take(&mut self.delta).entries() {
            self.cache.forget_around(path);
        }
    }

    /// After these changes were written: what was set becomes clean, or is dropped if `forget`. What was changed since stays
    /// pending.
    pub(crate) fn settle(&mut self, written: &Delta, forget: bool) {
        let values = self.delta.settle(written);
        for (path, value) in values {
            self.cache.forget_around(&path);
            if !forget {
                self.remember(&path, value);
            }
        }
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
    fn pending_changes_are_not_evicted_and_not_hidden() {
        let mut o = Overlay::new(100);
        o.remember(&path("uns/a"), bytes(10));
        o.edit(&path("uns/a/new"), |d| d.set(&path("uns/a/new"), bytes(1000), Some(None)));
        assert!(matches!(o.lookup(&path("uns/a")), Lookup::Stored(_)), "what was cached lacks what is new");
        o.remember(&path("uns/a"), bytes(10));
        assert!(matches!(o.lookup(&path("uns/a")), Lookup::Stored(_)));
        o.cache.clear();
        assert_eq!(o.mark(&path("uns/a/new")), Some(Mark::New));
        let written = o.delta.clone();
        o.settle(&written, false);
        assert_eq!(o.mark(&path("uns/a/new")), None, "more than the budget");
        assert!(o.delta.entries().is_empty());
    }
}
