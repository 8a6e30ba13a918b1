//! [`Planned`]: published nodes that a store is to lose or to give another place when it publishes.

use crate::path::ElemPath;

/// One of these changes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Op {
    /// A node goes, with all below it.
    Remove(ElemPath),
    /// A node gets another place, with all below it.
    Rename(ElemPath, ElemPath),
}

/// Changes of published nodes in the order in which they were staged; each counts from where the ones before it have left
/// things, so that they can be carried out one after the other.
#[derive(Debug, Default, Clone)]
pub(crate) struct Planned(Vec<Op>);

impl Planned {
    /// Where the node lies now that will stand at `at`, if there is one: where nothing changes, `at` itself. `None` if what
    /// is there goes.
    pub(crate) fn origin(&self, at: &ElemPath) -> Option<ElemPath> {
        self.0.iter().rev().try_fold(at.clone(), |here, op| match op {
            Op::Remove(gone) => (!here.starts_with(gone)).then_some(here),
            Op::Rename(from, to) => match here.strip_prefix(to) {
                Some(rest) => Some(from.append(&rest)),
                None => (!here.starts_with(from)).then_some(here),
            },
        })
    }

    /// Where the node that now lies at `at` will stand; `None` if it goes.
    pub(crate) fn place(&self, at: &ElemPath) -> Option<ElemPath> {
        self.0.iter().try_fold(at.clone(), |here, op| match op {
            Op::Remove(gone) => (!here.starts_with(gone)).then_some(here),
            Op::Rename(from, to) => Some(here.strip_prefix(from).map_or(here, |rest| to.append(&rest))),
        })
    }

    pub(crate) fn remove(&mut self, at: &ElemPath) {
        self.0.push(Op::Remove(at.clone()));
    }

    pub(crate) fn rename(&mut self, from: &ElemPath, to: &ElemPath) {
        self.0.push(Op::Rename(from.clone(), to.clone()));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The changes, in their order.
    pub(crate) fn ops(&self) -> &[Op] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_where_what_comes_lies_now() {
        let path = |text: &str| ElemPath::parse(text).unwrap();
        let mut planned = Planned::default();
        planned.rename(&path("a"), &path("b"));
        planned.remove(&path("b/x"));
        planned.rename(&path("b/y"), &path("a"));
        planned.remove(&path("c"));
        let origin = |at: &str| planned.origin(&path(at)).map(|found| found.to_string());
        let of = |at: &str| Some(at.to_owned());
        assert_eq!(origin("b/z"), of("a/z"));
        assert_eq!(origin("a"), of("a/y"));
        assert_eq!(origin("a/deep"), of("a/y/deep"));
        assert_eq!(origin("d"), of("d"));
        let place = |at: &str| planned.place(&path(at)).map(|found| found.to_string());
        assert_eq!((place("a/z"), place("a/y"), place("d")), (of("b/z"), of("a"), of("d")));
        assert_eq!((place("a/x"), place("c/deep")), (None, None));
        assert_eq!((origin("b/x"), origin("b/y"), origin("c/x")), (None, None, None));
    }
}
