//! What a shadow holds in memory, by path: what was read (a cache with a byte budget) and what was set and is not yet on
//! disk. Memory only; knows no files.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::path::ElemPath;
use crate::value::Element;

/// Why an element is held in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mark {
    /// Read from the file; may be dropped at any time. Shown as `ᐁ`.
    Cached,
    /// Set, and not in the file yet. Shown as `▲`.
    New,
    /// Set in place of what is in the file. Shown as `▼`.
    Replaced,
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
        })
    }
}

#[derive(Debug)]
struct Entry {
    value: Arc<Element>,
    mark: Mark,
    bytes: usize,
    /// When it was set: pending changes keep their order.
    order: u64,
    /// When it was last looked at: the clean part is evicted from the longest unused.
    used: AtomicU64,
}

impl Entry {
    /// Changes the value. Who has it already keeps it as it was.
    fn change<T>(&mut self, how: impl FnOnce(&mut Element) -> T) -> T {
        let mut value = (*self.value).clone();
        let result = how(&mut value);
        self.bytes = value.nbytes();
        self.value = Arc::new(value);
        result
    }
}

fn names(path: &ElemPath) -> Vec<&str> {
    path.components().collect()
}

/// A pending change.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub(crate) path: ElemPath,
    pub(crate) value: Arc<Element>,
    /// Whether it takes the place of what is in the file.
    pub(crate) replaces: bool,
}

/// Path → element, with marks.
#[derive(Debug)]
pub(crate) struct Overlay {
    entries: BTreeMap<ElemPath, Entry>,
    clean_bytes: usize,
    budget: usize,
    clock: AtomicU64,
}

impl Overlay {
    /// An empty overlay that keeps at most `budget` bytes of clean elements.
    pub(crate) fn new(budget: usize) -> Self {
        Self { entries: BTreeMap::new(), clean_bytes: 0, budget, clock: AtomicU64::new(0) }
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

    /// The mark of the element at `path`, if it is held (itself or inside something held above it).
    pub(crate) fn mark(&self, path: &ElemPath) -> Option<Mark> {
        std::iter::once(path.clone()).chain(path.ancestors()).find_map(|p| {
            let entry = self.entries.get(&p)?;
            let rest = path.strip_prefix(&p)?;
            entry.value.below(rest.components()).map(|_| entry.mark)
        })
    }

    /// Keeps a clean element, evicting others that were unused for longest if the budget is exceeded. Never touches
    /// pending changes, and never keeps anything under or over one.
    pub(crate) fn remember(&mut self, path: &ElemPath, value: Arc<Element>) {
        let bytes = value.nbytes();
        if bytes > self.budget || self.mark(path).is_some() || self.pending_below(path).next().is_some() {
            return;
        }
        self.clean_bytes += bytes;
        let now = self.tick();
        let entry = Entry { value, mark: Mark::Cached, bytes, order: now, used: AtomicU64::new(now) };
        self.entries.insert(path.clone(), entry);
        self.evict();
    }

    /// As [`set`](Self::set); if `replaces`, in place of what is in the file.
    pub(crate) fn put(&mut self, path: &ElemPath, value: Arc<Element>, replaces: bool) {
        self.set(path, value);
        if let Some(entry) = self.entries.get_mut(path).filter(|_| replaces) {
            entry.mark = Mark::Replaced;
        }
    }

    /// Sets an element to be written. Held elements below it give way; below a pending mapping it becomes a part of that.
    pub(crate) fn set(&mut self, path: &ElemPath, value: Arc<Element>) {
        if let Some((whole, rest)) = self.pending_mapping_above(path) {
            whole.change(|mapping| mapping.put_below(&names(&rest), Arc::unwrap_or_clone(value)));
            return;
        }
        let below: Vec<ElemPath> = self.entries.keys().filter(|p| p.starts_with(path)).cloned().collect();
        for gone in &below {
            self.drop_entry(gone);
        }
        // A cached mapping above would hide the change.
        let above: Vec<ElemPath> =
            path.ancestors().filter(|a| self.entries.get(a).is_some_and(|e| e.mark == Mark::Cached)).collect();
        for stale in &above {
            self.drop_entry(stale);
        }
        let now = self.tick();
        let entry = Entry { bytes: value.nbytes(), value, mark: Mark::New, order: now, used: AtomicU64::new(now) };
        self.entries.insert(path.clone(), entry);
    }

    /// Takes back what was set at `path` and below it, or that part of a pending mapping. Whether there was anything.
    pub(crate) fn unset(&mut self, path: &ElemPath) -> bool {
        if let Some((whole, rest)) = self.pending_mapping_above(path) {
            return whole.change(|mapping| mapping.remove_below(&names(&rest)));
        }
        let set: Vec<ElemPath> = self.pending_below(path).cloned().collect();
        set.iter().for_each(|p| self.drop_entry(p));
        !set.is_empty()
    }

    /// The pending mapping that a path strictly below it leads into, and the rest of the path.
    fn pending_mapping_above(&mut self, path: &ElemPath) -> Option<(&mut Entry, ElemPath)> {
        let is_open = |e: &Entry| e.mark.is_pending() && matches!(*e.value, Element::Mapping(_));
        let above = path.ancestors().find(|a| self.entries.get(a).is_some_and(is_open))?;
        let rest = path.strip_prefix(&above)?;
        self.entries.get_mut(&above).map(|entry| (entry, rest))
    }

    /// The pending changes, in the order they were made.
    pub(crate) fn pending(&self) -> Vec<Pending> {
        let mut found: Vec<(&ElemPath, &Entry)> = self.entries.iter().filter(|(_, e)| e.mark.is_pending()).collect();
        found.sort_by_key(|(_, e)| e.order);
        found.into_iter().map(|(path, e)| pending_of(path, e)).collect()
    }

    /// Paths of pending changes at or below `path`.
    pub(crate) fn pending_below<'a>(&'a self, path: &'a ElemPath) -> impl Iterator<Item = &'a ElemPath> {
        self.entries.iter().filter(move |(p, e)| e.mark.is_pending() && p.starts_with(path)).map(|(p, _)| p)
    }

    /// Paths held at or below `path`, with their marks.
    pub(crate) fn held_below<'a>(&'a self, path: &'a ElemPath) -> impl Iterator<Item = (&'a ElemPath, Mark)> {
        self.entries.iter().filter(move |(p, _)| p.starts_with(path)).map(|(p, e)| (p, e.mark))
    }

    /// After these changes were written: they become clean, or are dropped if `forget`. What was set since stays pending, in
    /// place of what is in the file by now.
    pub(crate) fn settle(&mut self, written: &[Pending], forget: bool) {
        for done in written {
            let Some(entry) = self.entries.get_mut(&done.path) else { continue };
            if !Arc::ptr_eq(&entry.value, &done.value) {
                entry.mark = Mark::Replaced;
            } else {
                self.drop_entry(&done.path);
                if !forget {
                    self.remember(&done.path, done.value.clone());
                }
            }
        }
    }

    /// Drops everything clean.
    pub(crate) fn clear_clean(&mut self) {
        self.entries.retain(|_, e| e.mark != Mark::Cached);
        self.clean_bytes = 0;
    }

    /// Changes the budget of the clean part, in bytes.
    pub(crate) fn set_budget(&mut self, budget: usize) {
        self.budget = budget;
        self.evict();
    }

    /// The budget of the clean part, in bytes.
    pub(crate) const fn budget(&self) -> usize {
        self.budget
    }

    /// Bytes held that may be dropped.
    pub(crate) fn clean_bytes(&self) -> usize {
        self.clean_bytes
    }

    fn drop_entry(&mut self, path: &ElemPath) {
        if let Some(Entry { mark: Mark::Cached, bytes, .. }) = self.entries.remove(path) {
            self.clean_bytes -= bytes;
        }
    }

    fn evict(&mut self) {
        if self.clean_bytes <= self.budget {
            return;
        }
        let clean = self.entries.iter().filter(|(_, e)| e.mark == Mark::Cached);
        let mut oldest: Vec<(u64, ElemPath)> = clean.map(|(p, e)| (e.used.load(Relaxed), p.clone())).collect();
        oldest.sort();
        for (_, path) in oldest {
            if self.clean_bytes <= self.budget {
                break;
            }
            self.drop_entry(&path);
        }
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Relaxed)
    }
}

fn pending_of(path: &ElemPath, entry: &Entry) -> Pending {
    Pending { path: path.clone(), value: entry.value.clone(), replaces: entry.mark == Mark::Replaced }
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
    fn the_clean_part_keeps_to_its_budget_and_pending_changes_stay() {
        let mut o = Overlay::new(100);
        o.set(&path("new"), bytes(1000));
        o.remember(&path("a"), bytes(60));
        o.remember(&path("b"), bytes(30));
        assert!(o.get(&path("a")).is_some());
        o.remember(&path("c"), bytes(30));
        assert!(o.get(&path("b")).is_none(), "unused for longest");
        assert_eq!((o.mark(&path("a")), o.mark(&path("c"))), (Some(Mark::Cached), Some(Mark::Cached)));
        o.remember(&path("huge"), bytes(101));
        assert_eq!(o.mark(&path("huge")), None);
        o.set_budget(0);
        assert_eq!(o.clean_bytes(), 0);
        assert_eq!(o.mark(&path("new")), Some(Mark::New));
        o.clear_clean();
        assert_eq!(o.pending().len(), 1);
    }

    #[test]
    fn mappings_show_what_is_in_them() {
        let mut o = Overlay::new(1000);
        o.set(&path("uns/a"), Arc::new(Element::from([("b", Element::from([("c", 1_i64)]))])));
        assert_eq!(o.get(&path("uns/a/b/c")).as_deref(), Some(&Element::from(1_i64)));
        assert_eq!(o.mark(&path("uns/a/b")), Some(Mark::New));
        assert_eq!(o.get(&path("uns/a/x")), None);
        o.set(&path("uns/a"), bytes(1));
        assert_eq!(o.get(&path("uns/a/b/c")), None);
        assert!(o.unset(&path("uns")));
        assert!(!o.unset(&path("uns")));
    }

    #[test]
    fn only_what_was_written_settles() {
        let mut o = Overlay::new(1000);
        o.set(&path("a"), bytes(1));
        o.set(&path("b"), bytes(2));
        let written = o.pending();
        o.set(&path("b"), bytes(3));
        o.settle(&written, false);
        assert_eq!((o.mark(&path("a")), o.mark(&path("b"))), (Some(Mark::Cached), Some(Mark::Replaced)));
        let order: Vec<_> = o.pending().into_iter().map(|p| p.path).collect();
        assert_eq!(order, [path("b")]);
    }
}
