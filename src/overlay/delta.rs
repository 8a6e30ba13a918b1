//! [`Delta`]: changes that are not on disk yet, by path: set, removed, renamed. A lookup is one short walk up the path; a
//! removal is a mark; a renamed element stays where it is in the file until it is written, and its new name leads there.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Mark, Was};
use crate::path::ElemPath;
use crate::value::Element;

/// A pending change.
#[derive(Debug, Clone)]
pub(crate) enum Edit {
    /// A value, in place of what the file has, if `replaces`.
    Set { value: Arc<Element>, replaces: bool },
    /// The file's element goes.
    Removed,
    /// The file's element at `from` comes here, in place of what the file has here if `replaces`.
    Moved { from: ElemPath, replaces: bool, what: Was },
}

/// A change and what it is made to.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) edit: Edit,
    /// What the file has at this path, as far as that was known.
    pub(crate) old: Option<Was>,
    /// Changes keep the order in which they were made.
    order: u64,
    /// Grows with every change of this entry.
    version: u64,
}

/// What is known of a path.
#[derive(Debug)]
pub(crate) enum Lookup {
    /// Held in memory.
    Value(Arc<Element>),
    /// There is nothing, whatever the file says.
    Gone,
    /// Whatever the file has, here.
    Stored(ElemPath),
}

/// Pending changes.
#[derive(Debug, Default, Clone)]
pub(crate) struct Delta {
    entries: BTreeMap<ElemPath, Entry>,
    /// Where in the file renamed elements are → what they are called now.
    moved: BTreeMap<ElemPath, ElemPath>,
    clock: u64,
}

impl Delta {
    /// The changes, in the order in which they were made.
    pub(crate) fn entries(&self) -> Vec<(&ElemPath, &Entry)> {
        let mut found: Vec<_> = self.entries.iter().collect();
        found.sort_by_key(|(_, e)| e.order);
        found
    }

    /// What is known of the element at `path`.
    pub(crate) fn lookup(&self, path: &ElemPath) -> Lookup {
        let Some((above, entry)) = self.nearest(path) else { return self.stored(path.clone(), None) };
        let rest = path.strip_prefix(above).unwrap_or_default();
        match &entry.edit {
            Edit::Set { value, .. } if rest.is_root() => Lookup::Value(value.clone()),
            Edit::Set { value, .. } => {
                value.below(rest.components()).map_or(Lookup::Gone, |e| Lookup::Value(Arc::new(e.clone())))
            }
            Edit::Removed => Lookup::Gone,
            Edit::Moved { from, .. } => self.stored(from.append(&rest), Some(from)),
        }
    }

    /// The entry at `path` or nearest above it.
    fn nearest(&self, path: &ElemPath) -> Option<(&ElemPath, &Entry)> {
        std::iter::once(path.clone()).chain(path.ancestors()).find_map(|p| self.entries.get_key_value(&p))
    }

    /// Where the file has what stands at `path` before what is pending at just this path; `None` if it has nothing there, or
    /// that is moved away.
    pub(crate) fn home(&self, path: &ElemPath) -> Option<ElemPath> {
        let found = match path.parent().as_ref().and_then(|above| self.nearest(above)) {
            None => self.stored(path.clone(), None),
            Some((above, Entry { edit: Edit::Moved { from, .. }, .. })) => {
                self.stored(from.append(&path.strip_prefix(above).unwrap_or_default()), Some(from))
            }
            Some(_) => Lookup::Gone,
        };
        if let Lookup::Stored(at) = found { Some(at) } else { None }
    }

    /// What the file has at `at`, unless that has moved away from below `top`.
    fn stored(&self, at: ElemPath, top: Option<&ElemPath>) -> Lookup {
        let is_inside = |p: &ElemPath| top.is_none_or(|top| p != top && p.starts_with(top));
        let away = |p: &ElemPath| self.moved.contains_key(p);
        if (is_inside(&at) && away(&at)) || at.ancestors().take_while(is_inside).any(|p| away(&p)) {
            Lookup::Gone
        } else {
            Lookup::Stored(at)
        }
    }

    /// The mark of the element at `path`; `None` if nothing pending concerns it.
    pub(crate) fn mark(&self, path: &ElemPath) -> Option<Mark> {
        let Some((above, entry)) = self.nearest(path) else {
            return matches!(self.lookup(path), Lookup::Gone).then_some(Mark::Removed);
        };
        match (&entry.edit, above == path) {
            (Edit::Set { replaces: true, .. }, true) => Some(Mark::Replaced),
            (Edit::Moved { .. }, true) => Some(if entry.old.is_some() { Mark::Replaced } else { Mark::New }),
            (Edit::Moved { .. }, false) => matches!(self.lookup(path), Lookup::Gone).then_some(Mark::Removed),
            (Edit::Set { value, replaces }, _) => {
                let rest = path.strip_prefix(above).unwrap_or_default();
                let mark = if *replaces { Mark::Replaced } else { Mark::New };
                value.below(rest.components()).map(|_| mark)
            }
            (Edit::Removed, _) => Some(Mark::Removed),
        }
    }

    /// Whether something at or below `path` is pending.
    pub(crate) fn touches(&self, path: &ElemPath) -> bool {
        self.entries.keys().any(|p| p.starts_with(path)) || self.moved.keys().any(|p| p.starts_with(path))
    }

    /// Names directly below `path` that changes bring or have brought there, in the order in which they were made.
    pub(crate) fn names(&self, path: &ElemPath) -> Vec<String> {
        let brings = |(_, e): &(&ElemPath, &Entry)| !matches!(e.edit, Edit::Removed);
        let name = |(p, _): (&ElemPath, &Entry)| Some(p.strip_prefix(path)?.components().next()?.to_owned());
        let mut names: Vec<String> = Vec::new();
        for name in self.entries().into_iter().filter(brings).filter_map(name) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Names directly below `path` of what the file has and loses, sorted.
    pub(crate) fn removed_names(&self, path: &ElemPath) -> Vec<String> {
        let removed = self.entries.iter().filter(|(_, e)| matches!(e.edit, Edit::Removed)).map(|(p, _)| p);
        let moved = self.moved.keys().filter(|p| matches!(self.lookup(p), Lookup::Gone));
        let mut names: Vec<String> =
            removed.chain(moved).filter(|p| p.parent().as_ref() == Some(path)).map(|p| p.name().to_owned()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// The list of what is in the group `at` (columns of a frame, modalities), which in the file has the order `stored`: what
    /// goes is left out, what is renamed keeps its place, and what is new comes last. `hidden` is in the group, but not listed.
    pub(crate) fn order(&self, at: &ElemPath, stored: Vec<String>, hidden: Option<&str>) -> Vec<String> {
        let Lookup::Stored(file) = self.lookup(at) else { return stored };
        let below = |group: &ElemPath, name: &str| group.join(name).unwrap_or_default();
        let mut order: Vec<String> = Vec::new();
        for name in stored {
            match self.moved.get(&below(&file, &name)) {
                Some(to) if to.parent().as_ref() == Some(at) => order.push(to.name().to_owned()),
                Some(_) => {}
                None if matches!(self.lookup(&below(at, &name)), Lookup::Gone) => {}
                None => order.push(name),
            }
        }
        for (path, entry) in self.entries() {
            let name = path.name();
            let is_here = path.parent().as_ref() == Some(at) && !matches!(entry.edit, Edit::Removed);
            if is_here && hidden != Some(name) && !order.iter().any(|known| known == name) {
                order.push(name.to_owned());
            }
        }
        order
    }

    /// The changes below `path`, by their paths from there, for who has read what the file has at `path`: a value to put
    /// there (of what is renamed to there, where in the file it is), or `None` for what goes.
    pub(crate) fn below(&self, path: &ElemPath) -> Vec<(ElemPath, Option<Source>)> {
        let mut found: Vec<(ElemPath, Option<Source>)> = Vec::new();
        if let Lookup::Stored(file) = self.lookup(path) {
            let away = self.moved.keys().filter_map(|p| p.strip_prefix(&file));
            found.extend(away.filter(|rest| !rest.is_root()).map(|rest| (rest, None)));
        }
        for (p, entry) in self.entries() {
            let Some(rest) = p.strip_prefix(path).filter(|rest| !rest.is_root()) else { continue };
            found.push((
                rest,
                match &entry.edit {
                    Edit::Set { value, .. } => Some(Source::Value(value.clone())),
                    Edit::Removed => None,
                    Edit::Moved { from, .. } => Some(Source::Stored(from.clone())),
                },
            ));
        }
        found
    }

    // ---- changes ----

    /// Sets an element; `old` is what the file has there, unless something pending is there already. What is pending below it
    /// gives way; below something that is pending as a whole it becomes a part of that.
    pub(crate) fn set(&mut self, path: &ElemPath, value: Arc<Element>, old: Option<Was>) {
        if let Some((entry, rest)) = self.whole_above(path) {
            entry.change(|whole| whole.put_below(&names(&rest), Arc::unwrap_or_clone(value)));
            self.touch(path);
            return;
        }
        // Below something that goes: a new mapping in its place.
        if let Some(gone) = path.ancestors().filter(|p| matches!(self.lookup(p), Lookup::Gone)).last() {
            let mut whole = Element::Mapping(BTreeMap::new());
            let rest = path.strip_prefix(&gone).unwrap_or_default();
            whole.put_below(&names(&rest), Arc::unwrap_or_clone(value));
            return self.set(&gone, Arc::new(whole), None);
        }
        let here = self.entries.get(path).map(|e| e.old.clone());
        self.swallow(path);
        let old = here.unwrap_or(old).filter(|_| !self.moved.contains_key(path));
        self.insert(path, Edit::Set { value, replaces: old.is_some() }, old);
    }

    /// Removes what is at `path`: takes back what is new, and marks what the file has (`stored`). Whether there was anything.
    pub(crate) fn remove(&mut self, path: &ElemPath, stored: Option<Was>) -> bool {
        if let Some((entry, rest)) = self.whole_above(path) {
            let done = entry.change(|whole| whole.remove_below(&names(&rest)));
            self.touch(path);
            return done;
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

    /// Gives what is at `from` (if it is not pending: what the file has there, `stored`) the name `to`, where nothing is.
    /// Neither lies inside something that is pending as a whole.
    pub(crate) fn rename(&mut self, from: &ElemPath, to: &ElemPath, stored: Was) {
        let below: Vec<ElemPath> = self.entries.keys().filter(|p| p.starts_with(from)).cloned().collect();
        let old = self.entries.remove(to).and_then(|e| e.old);
        let replaces = old.is_some();
        let file = match self.lookup(from) {
            Lookup::Stored(at) if !self.entries.contains_key(from) => Some(at),
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
            let edit = match entry.edit {
                // Back where it was.
                Edit::Moved { from: home, .. } if home == *to => {
                    self.moved.remove(&home);
                    None
                }
                Edit::Moved { from: home, what, .. } => {
                    self.moved.insert(home.clone(), to.clone());
                    Some(Edit::Moved { from: home, replaces, what })
                }
                Edit::Set { value, .. } => Some(Edit::Set { value, replaces }),
                Edit::Removed => None,
            };
            if let Some(edit) = edit {
                self.insert(to, edit, old.clone());
            }
            if entry.old.is_some() {
                self.insert(from, Edit::Removed, entry.old);
            }
        }
        if let Some(home) = file {
            self.moved.insert(home.clone(), to.clone());
            self.insert(to, Edit::Moved { from: home, replaces, what: stored }, old);
        }
    }

    /// Takes back what is pending at `path` and below it; of an element that was renamed, by its new name or its old one.
    /// Whether there was anything.
    pub(crate) fn discard(&mut self, path: &ElemPath) -> bool {
        if let Some((entry, rest)) = self.whole_above(path) {
            let done = entry.change(|whole| whole.remove_below(&names(&rest)));
            self.touch(path);
            return done;
        }
        let here: Vec<ElemPath> = self.entries.keys().filter(|p| p.starts_with(path)).cloned().collect();
        for p in &here {
            let Some(entry) = self.entries.remove(p) else { continue };
            if let Edit::Moved { from, what, .. } = entry.edit {
                self.back_in_place(&from, what);
            }
        }
        if !here.is_empty() {
            return true;
        }
        let away: Vec<(ElemPath, ElemPath)> =
            self.moved.iter().filter(|(p, _)| p.starts_with(path)).map(|(p, to)| (p.clone(), to.clone())).collect();
        for (home, to) in &away {
            if let Some(Entry { edit: Edit::Moved { what, .. }, .. }) = self.entries.get(to).cloned() {
                let old = self.entries.get(to).and_then(|e| e.old.clone());
                self.rename(to, home, what);
                if old.is_some() {
                    self.insert(to, Edit::Removed, old);
                }
            }
        }
        !away.is_empty()
    }

    /// After `written` was written: gives the values that are in the file now. What was changed since stays, as a change of
    /// what was written.
    pub(crate) fn settle(&mut self, written: &Self) -> Vec<(ElemPath, Arc<Element>)> {
        let mut clean = Vec::new();
        for (path, done) in &written.entries {
            let now = self.entries.get(path).map(|e| e.version);
            if let Edit::Moved { from, .. } = &done.edit {
                self.moved.remove(from);
            }
            match (&done.edit, now) {
                (_, Some(version)) if version == done.version => {
                    self.entries.remove(path);
                    if let Edit::Set { value, .. } = &done.edit {
                        clean.push((path.clone(), value.clone()));
                    }
                }
                (Edit::Removed, Some(_)) => self.renew(path, None),
                (Edit::Set { value, .. }, Some(_)) => self.renew(path, Some(Was::of(value))),
                (Edit::Moved { what, .. }, Some(_)) => self.renew(path, Some(what.clone())),
                // Taken back while it was written.
                (Edit::Set { value, .. }, None) => self.insert(path, Edit::Removed, Some(Was::of(value))),
                (_, None) => {}
            }
        }
        clean
    }

    /// What the file has at `path` is another thing now.
    fn renew(&mut self, path: &ElemPath, was: Option<Was>) {
        if let Some(entry) = self.entries.get_mut(path) {
            if let Edit::Set { replaces, .. } | Edit::Moved { replaces, .. } = &mut entry.edit {
                *replaces = was.is_some();
            }
            entry.old = was;
        }
    }

    /// Drops what is pending at and below `path`; what had come there from elsewhere in the file goes for good.
    fn swallow(&mut self, path: &ElemPath) {
        let gone: Vec<ElemPath> = self.entries.keys().filter(|p| p.starts_with(path)).cloned().collect();
        for p in gone {
            let Some(entry) = self.entries.remove(&p) else { continue };
            if let Edit::Moved { from, what, .. } = entry.edit {
                self.back_in_place(&from, what.clone());
                if !self.entries.contains_key(&from) && !from.starts_with(path) {
                    self.insert(&from, Edit::Removed, Some(what));
                }
            }
        }
    }

    /// What was to be moved away from `home` stays there, unless something else was set there: that replaces it.
    fn back_in_place(&mut self, home: &ElemPath, what: Was) {
        self.moved.remove(home);
        self.renew(home, Some(what));
    }

    fn insert(&mut self, path: &ElemPath, edit: Edit, old: Option<Was>) {
        self.clock += 1;
        // What is changed again keeps its place.
        let order = self.entries.get(path).map_or(self.clock, |e| e.order);
        self.entries.insert(path.clone(), Entry { edit, old, order, version: self.clock });
    }

    /// The whole that is pending above `path` and takes it in, and the rest of the path.
    fn whole_above(&mut self, path: &ElemPath) -> Option<(&mut Entry, ElemPath)> {
        let above = self.nearest(path).map(|(p, _)| p.clone()).filter(|p| p != path)?;
        let rest = path.strip_prefix(&above)?;
        let entry = self.entries.get_mut(&above)?;
        matches!(entry.edit, Edit::Set { .. }).then_some((entry, rest))
    }

    fn touch(&mut self, path: &ElemPath) {
        self.clock += 1;
        let now = self.clock;
        if let Some((entry, _)) = self.whole_above(path) {
            entry.version = now;
        }
    }
}

/// Where a pending element comes from.
#[derive(Debug)]
pub(crate) enum Source {
    Value(Arc<Element>),
    Stored(ElemPath),
}

impl Entry {
    /// Changes the value that is set. Who has it already keeps it as it was.
    fn change<T: Default>(&mut self, how: impl FnOnce(&mut Element) -> T) -> T {
        let Edit::Set { value, .. } = &mut self.edit else { return T::default() };
        let mut changed = (**value).clone();
        let result = how(&mut changed);
        *value = Arc::new(changed);
        result
    }
}

impl Was {
    /// Of an element in memory.
    pub(crate) fn of(element: &Element) -> Self {
        Self { what: element.describe(), shape: element.shape() }
    }
}

fn names(path: &ElemPath) -> Vec<&str> {
    path.components().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> ElemPath {
        ElemPath::parse(text).unwrap()
    }

    fn value(n: i64) -> Arc<Element> {
        Arc::new(Element::from(n))
    }

    fn was(what: &str) -> Was {
        Was { what: what.to_owned(), shape: Vec::new() }
    }

    /// What a lookup gives, as text: the value, `-`, or where the file has it.
    fn at(d: &Delta, text: &str) -> String {
        match d.lookup(&path(text)) {
            Lookup::Value(v) => v.describe(),
            Lookup::Gone => "-".to_owned(),
            Lookup::Stored(p) => format!("file:{p}"),
        }
    }

    #[test]
    fn removal_is_a_mark() {
        let mut d = Delta::default();
        assert!(d.remove(&path("obsm/a"), Some(was("a"))));
        assert!(!d.remove(&path("obsm/a"), Some(was("a"))), "it is gone already");
        assert!(!d.remove(&path("obsm/no"), None));
        assert_eq!((at(&d, "obsm/a").as_str(), d.mark(&path("obsm/a"))), ("-", Some(Mark::Removed)));
        d.set(&path("obsm/a"), value(1), None);
        assert_eq!(d.mark(&path("obsm/a")), Some(Mark::Replaced));
        assert!(d.remove(&path("obsm/a"), None));
        assert_eq!(d.mark(&path("obsm/a")), Some(Mark::Removed), "what the file has goes all the same");
        assert!(d.discard(&path("obsm/a")));
        assert_eq!(at(&d, "obsm/a"), "file:obsm/a");
        d.set(&path("obsm/new"), value(1), None);
        assert!(d.remove(&path("obsm/new"), None));
        assert!(d.entries().is_empty());
    }

    #[test]
    fn a_renamed_element_is_found_where_the_file_has_it() {
        let mut d = Delta::default();
        d.rename(&path("uns/a"), &path("uns/b"), was("a dict"));
        assert_eq!((at(&d, "uns/b/x").as_str(), at(&d, "uns/a/x").as_str()), ("file:uns/a/x", "-"));
        assert_eq!((d.mark(&path("uns/b")), d.mark(&path("uns/a"))), (Some(Mark::New), Some(Mark::Removed)));
        // Inside it; then it moves on with what has changed in it.
        d.set(&path("uns/b/new"), value(1), None);
        d.rename(&path("uns/b/x"), &path("uns/b/y"), was("x"));
        d.rename(&path("uns/b"), &path("uns/c"), was("never used"));
        assert_eq!((at(&d, "uns/c/y").as_str(), at(&d, "uns/c/x").as_str()), ("file:uns/a/x", "-"));
        assert_eq!((at(&d, "uns/c/z").as_str(), at(&d, "uns/b").as_str()), ("file:uns/a/z", "file:uns/b"));
        assert_eq!(at(&d, "uns/c/new"), Element::from(1_i64).describe());
        // Something else takes its old name, and is removed again.
        d.set(&path("uns/a"), value(2), None);
        assert_eq!(d.mark(&path("uns/a")), Some(Mark::New), "what was there is moved, not replaced");
        assert!(d.discard(&path("uns/a")));
        // Back home.
        d.rename(&path("uns/c"), &path("uns/a"), was("never used"));
        assert_eq!((at(&d, "uns/a/z").as_str(), at(&d, "uns/a/y").as_str()), ("file:uns/a/z", "file:uns/a/x"));
        assert!(d.discard(&path("uns/a")) && d.entries().is_empty());
    }

    #[test]
    fn what_a_renamed_element_makes_room_for_can_be_taken_back() {
        let mut d = Delta::default();
        d.remove(&path("obsm/b"), Some(was("b")));
        d.rename(&path("obsm/a"), &path("obsm/b"), was("a"));
        assert_eq!((at(&d, "obsm/b").as_str(), d.mark(&path("obsm/b"))), ("file:obsm/a", Some(Mark::Replaced)));
        d.set(&path("obsm/a"), value(1), None);
        assert!(d.discard(&path("obsm/b")));
        assert_eq!((at(&d, "obsm/b").as_str(), d.mark(&path("obsm/a"))), ("file:obsm/b", Some(Mark::Replaced)));
        // Removing what was renamed removes it from where the file has it.
        let mut d = Delta::default();
        d.rename(&path("obsm/a"), &path("obsm/b"), was("a"));
        assert!(d.remove(&path("obsm/b"), None));
        assert_eq!((at(&d, "obsm/a").as_str(), at(&d, "obsm/b").as_str()), ("-", "file:obsm/b"));
        assert!(d.discard(&path("obsm/a")) && d.entries().is_empty());
        // By its old name, too.
        d.rename(&path("obsm/a"), &path("obsm/b"), was("a"));
        assert!(d.discard(&path("obsm/a")) && d.entries().is_empty());
    }

    #[test]
    fn setting_below_what_goes_makes_a_new_mapping() {
        let mut d = Delta::default();
        d.remove(&path("uns/a"), Some(was("a dict")));
        d.set(&path("uns/a/b/c"), value(1), None);
        assert_eq!((at(&d, "uns/a/old").as_str(), d.mark(&path("uns/a"))), ("-", Some(Mark::Replaced)));
        assert_eq!(at(&d, "uns/a/b/c"), Element::from(1_i64).describe());
        assert!(d.discard(&path("uns/a/b")));
        assert_eq!(at(&d, "uns/a/b"), "-");
    }

    #[test]
    fn lists_keep_their_order() {
        let mut d = Delta::default();
        let names = |list: &[&str]| list.iter().map(|&n| n.to_owned()).collect::<Vec<_>>();
        d.set(&path("obs/new"), value(1), None);
        d.set(&path("obs/b"), value(1), Some(was("b")));
        d.set(&path("obs/_index"), value(1), Some(was("names")));
        d.remove(&path("obs/c"), Some(was("c")));
        d.rename(&path("obs/a"), &path("obs/z"), was("a"));
        assert_eq!(d.order(&path("obs"), names(&["a", "b", "c", "d"]), Some("_index")), ["z", "b", "d", "new"]);
        assert_eq!(d.names(&path("obs")), ["new", "b", "_index", "z"]);
        assert_eq!(d.removed_names(&path("obs")), ["a", "c"]);
    }

    #[test]
    fn only_what_was_written_settles() {
        let mut d = Delta::default();
        d.set(&path("a"), value(1), None);
        d.set(&path("b"), value(2), None);
        d.set(&path("m"), Arc::new(Element::from([("x", 1_i64)])), None);
        d.set(&path("back"), value(4), None);
        d.rename(&path("c"), &path("d"), was("c"));
        let written = d.clone();
        d.set(&path("b"), value(3), None);
        d.set(&path("m/y"), value(5), None);
        d.remove(&path("back"), None);
        let clean: Vec<_> = d.settle(&written).into_iter().map(|(p, _)| p).collect();
        assert_eq!(clean, [path("a")]);
        let marks = ["a", "b", "m", "back", "c", "d"].map(|p| d.mark(&path(p)));
        assert_eq!(marks, [None, Some(Mark::Replaced), Some(Mark::Replaced), Some(Mark::Removed), None, None]);
        assert_eq!(at(&d, "d"), "file:d");
    }
}
