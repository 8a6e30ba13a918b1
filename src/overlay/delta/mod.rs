//! [`Delta`]: changes that are not on disk yet, by path: set, removed, renamed. A lookup is one short walk up the path; a
//! removal is a mark; a renamed element stays where it is in the file until it is written, and its new name leads there.
//!
//! Two kinds of paths meet here: where the file has something, and what it is called by now. `entries` go by the latter;
//! `moved` leads from the former to the latter ([`Delta::place`]), an entry that is moved back ([`Delta::file_path`]).

mod edit;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Mark, Was};
use crate::path::ElemPath;
use crate::value::Element;

/// A pending change.
#[derive(Debug, Clone)]
pub(crate) enum Edit {
    /// A value, in place of what the file has.
    Set(Arc<Element>),
    /// What the file has goes.
    Removed,
    /// What the file has at `from` comes here, in place of what it has here.
    Moved { from: ElemPath, what: Was },
}

/// A change and what it is made to.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) edit: Edit,
    /// What the file has at this path, as far as that was known.
    pub(crate) old: Option<Was>,
    /// Whether it was known: a closed file cannot be asked.
    pub(crate) sure: bool,
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

/// Where a pending element comes from.
#[derive(Debug)]
pub(crate) enum Source {
    Value(Arc<Element>),
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
            Edit::Set(value) if rest.is_root() => Lookup::Value(value.clone()),
            Edit::Set(value) => {
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

    /// The entry nearest above `path`.
    fn above(&self, path: &ElemPath) -> Option<(&ElemPath, &Entry)> {
        self.nearest(&path.parent()?)
    }

    /// Whether `path` lies inside something that is pending as a whole.
    pub(crate) fn is_part(&self, path: &ElemPath) -> bool {
        self.above(path).is_some_and(|(_, e)| matches!(e.edit, Edit::Set(_)))
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

    /// Where the file has what `path` would lead to without what is pending at just this path; `None` below what goes or is
    /// new.
    fn file_path(&self, path: &ElemPath) -> Option<ElemPath> {
        match self.above(path) {
            None => Some(path.clone()),
            Some((above, Entry { edit: Edit::Moved { from, .. }, .. })) => {
                Some(from.append(&path.strip_prefix(above).unwrap_or_default()))
            }
            Some(_) => None,
        }
    }

    /// Where what the file has at `file` stands by now, if it were not renamed itself.
    pub(crate) fn place(&self, file: &ElemPath) -> ElemPath {
        let moved = file.ancestors().find_map(|p| Some(self.moved.get(&p)?.append(&file.strip_prefix(&p)?)));
        moved.unwrap_or_else(|| file.clone())
    }

    /// Where the file has what stands at `path` before what is pending at just this path; `None` if it has nothing there, or
    /// that is moved away.
    pub(crate) fn home(&self, path: &ElemPath) -> Option<ElemPath> {
        let file = self.file_path(path)?;
        let top = match self.above(path) {
            Some((_, Entry { edit: Edit::Moved { from, .. }, .. })) => Some(from),
            _ => None,
        };
        if let Lookup::Stored(at) = self.stored(file, top) { Some(at) } else { None }
    }

    /// The mark of the element at `path`; `None` if nothing pending concerns it.
    pub(crate) fn mark(&self, path: &ElemPath) -> Option<Mark> {
        match self.nearest(path) {
            Some((_, Entry { edit: Edit::Removed, .. })) => Some(Mark::Removed),
            Some((above, entry)) if above == path || matches!(entry.edit, Edit::Set(_)) => {
                let mark = if entry.old.is_some() { Mark::Replaced } else { Mark::New };
                (!matches!(self.lookup(path), Lookup::Gone)).then_some(mark)
            }
            _ => matches!(self.lookup(path), Lookup::Gone).then_some(Mark::Removed),
        }
    }

    /// Whether something at or below `path` is pending.
    pub(crate) fn touches(&self, path: &ElemPath) -> bool {
        self.entries.keys().any(|p| p.starts_with(path)) || self.moved.keys().any(|p| self.place(p).starts_with(path))
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
        let removed = self.entries.iter().filter(|(_, e)| matches!(e.edit, Edit::Removed)).map(|(p, _)| p.clone());
        let moved = self.moved.keys().map(|p| self.place(p)).filter(|p| matches!(self.lookup(p), Lookup::Gone));
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

    /// The changes below `path`, by their paths from there, for who has read what the file has at `path`, parents first: a
    /// value to put there (of what is renamed to there, where in the file it is), or `None` for what goes.
    pub(crate) fn below(&self, path: &ElemPath) -> Vec<(ElemPath, Option<Source>)> {
        let mut found: Vec<(ElemPath, Option<Source>)> = Vec::new();
        let mut away = |from: &ElemPath, to: &ElemPath| {
            let gone = self.moved.keys().filter_map(|p| p.strip_prefix(from)).filter(|rest| !rest.is_root());
            found.extend(gone.map(|rest| (to.append(&rest), None)));
        };
        if let Lookup::Stored(file) = self.lookup(path) {
            away(&file, &ElemPath::root());
        }
        let inside = || {
            let rest = |p: &ElemPath| p.strip_prefix(path).filter(|rest| !rest.is_root());
            self.entries().into_iter().filter_map(move |(p, e)| Some((rest(p)?, e)))
        };
        for (rest, entry) in inside() {
            if let Edit::Moved { from, .. } = &entry.edit {
                away(from, &rest);
            }
        }
        found.extend(inside().map(|(rest, entry)| {
            let source = match &entry.edit {
                Edit::Set(value) => Some(Source::Value(value.clone())),
                Edit::Removed => None,
                Edit::Moved { from, .. } => Some(Source::Stored(from.clone())),
            };
            (rest, source)
        }));
        // What goes makes room for what comes.
        found.sort_by_key(|(rest, source)| (rest.components().count(), source.is_some()));
        found
    }
}

impl Was {
    /// Of an element in memory.
    pub(crate) fn of(element: &Element) -> Self {
        Self { what: element.describe(), shape: element.shape() }
    }
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
        d.set(&path("obsm/a"), value(1), Some(None));
        assert_eq!(d.mark(&path("obsm/a")), Some(Mark::Replaced));
        assert!(d.remove(&path("obsm/a"), None));
        assert_eq!(d.mark(&path("obsm/a")), Some(Mark::Removed), "what the file has goes all the same");
        assert!(d.discard(&path("obsm/a")));
        assert_eq!(at(&d, "obsm/a"), "file:obsm/a");
        d.set(&path("obsm/new"), value(1), Some(None));
        assert!(d.remove(&path("obsm/new"), None));
        assert!(d.entries().is_empty());
    }

    #[test]
    fn a_renamed_element_is_found_where_the_file_has_it() {
        let mut d = Delta::default();
        d.rename(&path("uns/a"), &path("uns/b"), Some(was("a dict")));
        assert_eq!((at(&d, "uns/b/x").as_str(), at(&d, "uns/a/x").as_str()), ("file:uns/a/x", "-"));
        assert_eq!((d.mark(&path("uns/b")), d.mark(&path("uns/a"))), (Some(Mark::New), Some(Mark::Removed)));
        // Inside it; then it moves on with what has changed in it.
        d.set(&path("uns/b/new"), value(1), Some(None));
        d.rename(&path("uns/b/x"), &path("uns/b/y"), Some(was("x")));
        d.rename(&path("uns/b"), &path("uns/c"), Some(was("never used")));
        assert_eq!((at(&d, "uns/c/y").as_str(), at(&d, "uns/c/x").as_str()), ("file:uns/a/x", "-"));
        assert_eq!((at(&d, "uns/c/z").as_str(), at(&d, "uns/b").as_str()), ("file:uns/a/z", "file:uns/b"));
        assert_eq!(at(&d, "uns/c/new"), Element::from(1_i64).describe());
        // Something else takes its old name, and is taken back.
        d.set(&path("uns/a"), value(2), Some(None));
        assert_eq!(d.mark(&path("uns/a")), Some(Mark::New), "what was there is moved, not replaced");
        assert!(d.remove(&path("uns/a"), None));
        // Back home.
        d.rename(&path("uns/c"), &path("uns/a"), Some(was("never used")));
        assert_eq!((at(&d, "uns/a/z").as_str(), at(&d, "uns/a/y").as_str()), ("file:uns/a/z", "file:uns/a/x"));
        assert!(d.discard(&path("uns/a")) && d.entries().is_empty());
    }

    #[test]
    fn what_a_renamed_element_makes_room_for_can_be_taken_back() {
        let mut d = Delta::default();
        d.remove(&path("obsm/b"), Some(was("b")));
        d.rename(&path("obsm/a"), &path("obsm/b"), Some(was("a")));
        assert_eq!((at(&d, "obsm/b").as_str(), d.mark(&path("obsm/b"))), ("file:obsm/a", Some(Mark::Replaced)));
        d.set(&path("obsm/a"), value(1), Some(None));
        assert!(d.discard(&path("obsm/b")));
        assert_eq!((at(&d, "obsm/b").as_str(), d.mark(&path("obsm/a"))), ("file:obsm/b", Some(Mark::Replaced)));
        // Removing what was renamed removes it from where the file has it.
        let mut d = Delta::default();
        d.rename(&path("obsm/a"), &path("obsm/b"), Some(was("a")));
        assert!(d.remove(&path("obsm/b"), None));
        assert_eq!((at(&d, "obsm/a").as_str(), at(&d, "obsm/b").as_str()), ("-", "file:obsm/b"));
        assert!(d.discard(&path("obsm/a")) && d.entries().is_empty());
        // By its old name, too.
        d.rename(&path("obsm/a"), &path("obsm/b"), Some(was("a")));
        assert!(d.discard(&path("obsm/a")) && d.entries().is_empty());
    }

    #[test]
    fn paths_in_the_file_and_names_by_now_are_kept_apart() {
        // What was renamed out of a group that was renamed itself goes from where it is called by now.
        let mut d = Delta::default();
        d.rename(&path("uns/a"), &path("uns/b"), Some(was("a")));
        d.rename(&path("uns/b/x"), &path("uns/y"), Some(was("x")));
        assert!(d.remove(&path("uns/y"), None));
        assert_eq!((at(&d, "uns/b/x").as_str(), at(&d, "uns/b/z").as_str()), ("-", "file:uns/a/z"));
        assert_eq!(d.removed_names(&path("uns/b")), ["x"]);
        // There and back inside of it is no change.
        let mut d = Delta::default();
        d.rename(&path("uns/a"), &path("uns/b"), Some(was("a")));
        d.rename(&path("uns/b/x"), &path("uns/b/y"), Some(was("x")));
        d.rename(&path("uns/b/y"), &path("uns/b/x"), Some(was("x")));
        assert_eq!((at(&d, "uns/b/x").as_str(), d.entries().len()), ("file:uns/a/x", 1));
        // Where something new stands in the place of the group, that decides.
        let mut d = Delta::default();
        d.rename(&path("uns/a/x"), &path("uns/y"), Some(was("x")));
        d.set(&path("uns/a"), Arc::new(Element::from([("x", 1_i64)])), Some(Some(was("a"))));
        assert!(d.remove(&path("uns/y"), None));
        assert_eq!(at(&d, "uns/a/x"), Element::from(1_i64).describe());
        // A group that only this delta has: nothing in the file moves.
        let mut d = Delta::default();
        d.set(&path("uns/new/x"), value(1), Some(None));
        d.rename(&path("uns/new"), &path("uns/newer"), None);
        assert_eq!((at(&d, "uns/newer/x"), d.entries().len()), (Element::from(1_i64).describe(), 1));
        // A discard takes back what came and what went, whatever else is pending.
        d.rename(&path("uns/a"), &path("obsm/a"), Some(was("a")));
        assert!(d.discard(&path("uns")) && d.entries().is_empty());
    }

    #[test]
    fn changes_below_a_path_come_parents_first() {
        let mut d = Delta::default();
        d.set(&path("p/a/new"), value(1), Some(None));
        d.rename(&path("p/a/x"), &path("q"), Some(was("x")));
        d.rename(&path("p/a"), &path("p/c"), Some(was("a")));
        let told: Vec<String> = d
            .below(&path("p"))
            .into_iter()
            .map(|(p, source)| match source {
                None => format!("-{p}"),
                Some(Source::Value(_)) => format!("+{p}"),
                Some(Source::Stored(from)) => format!("{p}={from}"),
            })
            .collect();
        assert_eq!(told, ["-a", "c=p/a", "-a/x", "-c/x", "+c/new"]);
    }

    #[test]
    fn setting_below_what_goes_makes_a_new_mapping() {
        let mut d = Delta::default();
        d.remove(&path("uns/a"), Some(was("a dict")));
        d.set(&path("uns/a/b/c"), value(1), Some(None));
        assert_eq!((at(&d, "uns/a/old").as_str(), d.mark(&path("uns/a"))), ("-", Some(Mark::Replaced)));
        assert_eq!(at(&d, "uns/a/b/c"), Element::from(1_i64).describe());
        assert!(d.is_part(&path("uns/a/b")) && d.remove(&path("uns/a/b"), None));
        assert_eq!(at(&d, "uns/a/b"), "-");
    }

    #[test]
    fn lists_keep_their_order() {
        let mut d = Delta::default();
        let names = |list: &[&str]| list.iter().map(|&n| n.to_owned()).collect::<Vec<_>>();
        d.set(&path("obs/new"), value(1), Some(None));
        d.set(&path("obs/b"), value(1), Some(Some(was("b"))));
        d.set(&path("obs/_index"), value(1), Some(Some(was("names"))));
        d.remove(&path("obs/c"), Some(was("c")));
        d.rename(&path("obs/a"), &path("obs/z"), Some(was("a")));
        assert_eq!(d.order(&path("obs"), names(&["a", "b", "c", "d"]), Some("_index")), ["z", "b", "d", "new"]);
        assert_eq!(d.names(&path("obs")), ["new", "b", "_index", "z"]);
        assert_eq!(d.removed_names(&path("obs")), ["a", "c"]);
    }

    #[test]
    fn only_what_was_written_settles() {
        let mut d = Delta::default();
        d.set(&path("a"), value(1), Some(None));
        d.set(&path("b"), value(2), Some(None));
        d.set(&path("m"), Arc::new(Element::from([("x", 1_i64)])), Some(None));
        d.set(&path("back"), value(4), Some(None));
        d.rename(&path("c"), &path("d"), Some(was("c")));
        let written = d.clone();
        d.set(&path("b"), value(3), Some(None));
        d.set(&path("m/y"), value(5), Some(None));
        d.remove(&path("back"), None);
        let clean: Vec<_> = d.settle(&written).into_iter().map(|(p, _)| p).collect();
        assert_eq!(clean, [path("a")]);
        let marks = ["a", "b", "m", "back", "c", "d"].map(|p| d.mark(&path(p)));
        assert_eq!(marks, [None, Some(Mark::Replaced), Some(Mark::Replaced), Some(Mark::Removed), None, None]);
        assert_eq!(at(&d, "d"), "file:d");
    }
}
