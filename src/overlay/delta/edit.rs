//! Changing what is pending.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Delta, Edit, Entry, Lookup};
use crate::overlay::Was;
use crate::path::ElemPath;
use crate::value::Element;

impl Delta {
    /// Sets an element; `old` is what the file has there, if that is known (`None`: not), unless something pending is there
    /// already. What is pending below it gives way; below something that is pending as a whole it becomes a part of that.
    pub(crate) fn set(&mut self, path: &ElemPath, value: Arc<Element>, old: Option<Option<Was>>) {
        if let Some((entry, rest)) = self.whole_above(path) {
            entry.change(|whole| whole.put_below(&names(&rest), Arc::unwrap_or_clone(value)));
            return;
        }
        // Below something that goes: a new mapping in its place.
        if let Some(gone) = path.ancestors().filter(|p| matches!(self.lookup(p), Lookup::Gone)).last() {
            let mut whole = Element::Mapping(BTreeMap::new());
            let rest = path.strip_prefix(&gone).unwrap_or_default();
            whole.put_below(&names(&rest), Arc::unwrap_or_clone(value));
            return self.set(&gone, Arc::new(whole), Some(None));
        }
        let here = self.entries.get(path).map(|e| (e.old.clone(), e.sure));
        self.swallow(path);
        let is_away = self.file_path(path).is_some_and(|file| self.moved.contains_key(&file));
        let (old, sure) = match here {
            Some(known) => known,
            None if is_away => (None, true),
            None => (old.clone().flatten(), old.is_some()),
        };
        self.insert(path, Edit::Set(value), old);
        if let Some(entry) = self.entries.get_mut(path) {
            entry.sure = sure;
        }
    }

    /// Removes what is at `path`: takes back what is new, and marks what the file has (`stored`). Whether there was anything.
    pub(crate) fn remove(&mut self, path: &ElemPath, stored: Option<Was>) -> bool {
        if let Some((entry, rest)) = self.whole_above(path) {
            return entry.change(|whole| whole.remove_below(&names(&rest)));
        }
        let old = match self.entries.get(path) {
            Some(Entry { edit: Edit::Removed, .. }) => return false,
            Some(entry) => entry.old.clone(),
            None if stored.is_none() && !self.entries.keys().any(|p| p.starts_with(path)) => return false,
            None => stored,
        };
        self.swallow(path);
        if old.is_some() {
            self.insert(path, Edit::Removed, old);
        }
        true
    }

    /// Gives what is at `from` the name `to`, where nothing is. If it is not pending as a whole, `stored` is what the file has
    /// there, if anything. Neither lies inside something that is pending as a whole.
    pub(crate) fn rename(&mut self, from: &ElemPath, to: &ElemPath, stored: Option<Was>) {
        let below: Vec<ElemPath> = self.entries.keys().filter(|p| p.starts_with(from)).cloned().collect();
        let old = self.entries.remove(to).and_then(|e| e.old);
        let file = match (self.lookup(from), stored) {
            (Lookup::Stored(at), Some(what)) if !self.entries.contains_key(from) => Some((at, what)),
            _ => None,
        };
        for path in below {
            let Some(entry) = self.entries.remove(&path) else { continue };
            let now = path.strip_prefix(from).map(|rest| to.append(&rest)).unwrap_or_default();
            if path != *from {
                if let Edit::Moved { from, .. } = &entry.edit {
                    self.moved.insert(from.clone(), now.clone());
                }
                self.entries.insert(now, entry);
                continue;
            }
            match entry.edit {
                // Back where it was.
                Edit::Moved { from: home, .. } if self.file_path(to).as_ref() == Some(&home) => {
                    self.moved.remove(&home);
                }
                Edit::Moved { from: home, what } => {
                    self.moved.insert(home.clone(), to.clone());
                    self.insert(to, Edit::Moved { from: home, what }, old.clone());
                }
                Edit::Set(value) => self.insert(to, Edit::Set(value), old.clone()),
                Edit::Removed => {}
            }
            if entry.old.is_some() {
                self.insert(from, Edit::Removed, entry.old);
            }
        }
        if let Some((home, what)) = file {
            self.moved.insert(home.clone(), to.clone());
            self.insert(to, Edit::Moved { from: home, what }, old);
        }
    }

    /// Takes back what is pending at `path` and below it; elements that were renamed, by their new paths and by their old ones.
    /// Whether there was anything. It does not lie inside something that is pending as a whole.
    pub(crate) fn discard(&mut self, path: &ElemPath) -> bool {
        let here: Vec<ElemPath> = self.entries.keys().filter(|p| p.starts_with(path)).cloned().collect();
        for p in &here {
            let Some(entry) = self.entries.remove(p) else { continue };
            if let Edit::Moved { from, what } = entry.edit {
                self.back_in_place(&from, what);
            }
        }
        let is_here = |p: &ElemPath| self.place(p).starts_with(path);
        let away: Vec<(ElemPath, ElemPath)> =
            self.moved.iter().filter(|(p, _)| is_here(p)).map(|(p, to)| (self.place(p), to.clone())).collect();
        // What was renamed takes along what has changed in it since.
        away.iter().for_each(|(home, to)| self.rename(to, home, None));
        !here.is_empty() || !away.is_empty()
    }

    /// After `written` was written: gives the values that are in the file now. What was changed since stays, as a change of
    /// what was written.
    pub(crate) fn settle(&mut self, written: &Self) -> Vec<(ElemPath, Arc<Element>)> {
        let mut clean = Vec::new();
        for (path, done) in &written.entries {
            let now = self.entries.get(path).map(|e| e.version);
            let there = match &done.edit {
                Edit::Set(value) => Some(Was::of(value)),
                Edit::Removed => None,
                Edit::Moved { from, what } => {
                    self.moved.remove(from);
                    Some(what.clone())
                }
            };
            match (now, &done.edit) {
                (Some(version), _) if version == done.version => {
                    self.entries.remove(path);
                    if let Edit::Set(value) = &done.edit {
                        clean.push((path.clone(), value.clone()));
                    }
                }
                (Some(_), _) => self.renew(path, there),
                // Something set above it has taken its place: that is in place of a group now.
                (None, _) if self.is_part(path) => {
                    let above = self.above(path).map(|(p, _)| p.clone()).unwrap_or_default();
                    let group = Was { what: "a dict".to_owned(), shape: Vec::new() };
                    if there.is_some() && self.entries.get(&above).is_some_and(|e| e.old.is_none()) {
                        self.renew(&above, Some(group));
                    }
                }
                // Taken back while it was written.
                (None, Edit::Set(_)) => self.insert(path, Edit::Removed, there),
                (None, _) => {}
            }
        }
        clean
    }

    /// What the file has at `path` is another thing now.
    fn renew(&mut self, path: &ElemPath, was: Option<Was>) {
        if let Some(entry) = self.entries.get_mut(path) {
            (entry.old, entry.sure) = (was, true);
        }
    }

    /// Drops what is pending at and below `path`; what had come there from elsewhere in the file goes for good.
    fn swallow(&mut self, path: &ElemPath) {
        let gone: Vec<ElemPath> = self.entries.keys().filter(|p| p.starts_with(path)).cloned().collect();
        for p in gone {
            let Some(entry) = self.entries.remove(&p) else { continue };
            let Edit::Moved { from, what } = entry.edit else { continue };
            self.back_in_place(&from, what.clone());
            let home = self.place(&from);
            // Where something else stands in its place or above it, that decides.
            let decided = self.entries.contains_key(&home)
                || self.above(&home).is_some_and(|(_, e)| !matches!(e.edit, Edit::Moved { .. }));
            if !decided && !home.starts_with(path) {
                self.insert(&home, Edit::Removed, Some(what));
            }
        }
    }

    /// What was to be moved away from `home` in the file stays there, unless something else was set there: that replaces it.
    fn back_in_place(&mut self, home: &ElemPath, what: Was) {
        self.moved.remove(home);
        self.renew(&self.place(home), Some(what));
    }

    fn insert(&mut self, path: &ElemPath, edit: Edit, old: Option<Was>) {
        self.clock += 1;
        // What is changed again keeps its place.
        let order = self.entries.get(path).map_or(self.clock, |e| e.order);
        self.entries.insert(path.clone(), Entry { edit, old, sure: true, order, version: self.clock });
    }

    /// The whole that is pending above `path` and takes it in, as changed by now, and the rest of the path.
    fn whole_above(&mut self, path: &ElemPath) -> Option<(&mut Entry, ElemPath)> {
        if !self.is_part(path) {
            return None;
        }
        let above = self.above(path)?.0.clone();
        let rest = path.strip_prefix(&above)?;
        self.clock += 1;
        let now = self.clock;
        let entry = self.entries.get_mut(&above)?;
        entry.version = now;
        Some((entry, rest))
    }
}

impl Entry {
    /// Changes the value that is set. Who has it already keeps it as it was.
    fn change<T: Default>(&mut self, how: impl FnOnce(&mut Element) -> T) -> T {
        let Edit::Set(value) = &mut self.edit else { return T::default() };
        let mut changed = (**value).clone();
        let result = how(&mut changed);
        *value = Arc::new(changed);
        result
    }
}

fn names(path: &ElemPath) -> Vec<&str> {
    path.components().collect()
}
