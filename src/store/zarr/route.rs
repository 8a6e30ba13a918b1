//! [`Routes`]: how published and staged nodes get to their new places so that every place holds, at every instant, what it held
//! or what it will hold. Names only; nothing here touches a file.
//!
//! A place is named by the path it has in the store as it is now. What is in a place and goes makes room for something else, or for
//! nothing; following that from place to place gives chains. What goes through a chain is exchanged place by place.

use std::collections::{BTreeMap, BTreeSet};

use super::intent::{Spot, Step};
use crate::path::ElemPath;
use crate::store::{Op, Planned};

/// The ways of all nodes that move.
#[derive(Debug, Default)]
pub(super) struct Routes {
    /// In the order in which they are to be done. All places are named as they are before the first step.
    pub(super) steps: Vec<Step>,
    /// Nodes to be copied (by links) into the staging directory beforehand.
    pub(super) copies: Vec<(ElemPath, usize)>,
    /// Nodes that go when everything else is done; named as they are by then.
    pub(super) outs: Vec<ElemPath>,
    /// Places of which something changes.
    pub(super) places: BTreeSet<ElemPath>,
    /// Published nodes in new places: where they will be.
    pub(super) moved: BTreeSet<ElemPath>,
}

impl Routes {
    /// Whether what a place holds is exchanged for something else, or moves while others may look for it.
    pub(super) fn disturb(&self) -> bool {
        self.steps.iter().any(|step| match step {
            Step::Move { from, .. } => matches!(from, Spot::Stored(_)),
            Step::Swap { .. } | Step::Document { .. } | Step::Touch { .. } => true,
        })
    }
}

/// What decides the routes.
pub(super) struct Moves<'a> {
    pub(super) planned: &'a Planned,
    /// New nodes and the numbers that they have in the staging directory.
    pub(super) new: &'a BTreeMap<ElemPath, usize>,
    /// Whether the group that holds a published node lists it by name, as frames do: it must not vanish before the list changes.
    pub(super) listed: &'a dyn Fn(&ElemPath) -> bool,
}

impl Moves<'_> {
    /// The routes; `next` gives free numbers in the staging directory.
    ///
    /// # Errors
    /// A sentence if a group is to come to lie below what has lain in it.
    pub(super) fn routes(&self, next: &mut dyn FnMut() -> usize) -> Result<Routes, String> {
        let Graph { goes, comes, gone, moved } = self.graph();
        let mut routes = Routes { moved, ..Routes::default() };
        routes.places.extend(goes.keys().chain(comes.keys()).chain(&gone).cloned());
        let mut chains = Vec::new();
        let mut seen = BTreeSet::new();
        for (place, &number) in &comes {
            chains.push(Chain::new(Head::Staged(number), place, &goes, &mut seen));
        }
        let filled: BTreeSet<ElemPath> = goes.values().cloned().collect();
        for (from, to) in goes.iter().filter(|(from, _)| !filled.contains(*from) && !comes.contains_key(*from)) {
            seen.insert(from.clone());
            let touched_inside = routes.places.iter().any(|p| p != from && p.starts_with(from));
            let copied = (self.listed)(from) && !touched_inside;
            let head = if copied { Head::Copy(from.clone()) } else { Head::Node(from.clone()) };
            chains.push(Chain::new(head, to, &goes, &mut seen));
        }
        for place in goes.keys() {
            if seen.insert(place.clone()) {
                chains.push(Chain::new(Head::Round(place.clone()), &goes[place], &goes, &mut seen));
            }
        }
        let mut outs: Vec<ElemPath> =
            gone.iter().filter(|at| !comes.contains_key(at) && !filled.contains(at)).cloned().collect();
        for chain in in_order(&chains)? {
            if let Head::Copy(from) = &chain.head {
                outs.push(from.clone());
            }
            let is_taken = |place: &ElemPath| goes.contains_key(place) || gone.contains(place);
            chain.add_steps(is_taken, next, &mut routes);
        }
        // What lies in something that goes, goes with it.
        let later = |at: &ElemPath| Some(self.planned.place(&at.parent()?)?.child(at.name()));
        routes.outs = outs.iter().filter_map(later).collect();
        Ok(routes)
    }

    fn graph(&self) -> Graph {
        let mut graph = Graph::default();
        let place = |at: &ElemPath| Some(self.planned.origin(&at.parent()?)?.child(at.name()));
        let mut before = Planned::default();
        for op in self.planned.ops() {
            // Where it lies now, and whether it has a place at the end.
            let origin = match op {
                Op::Remove(from) | Op::Rename(from, _) => before.origin(from),
            };
            match op {
                Op::Remove(at) => before.remove(at),
                Op::Rename(from, to) => before.rename(from, to),
            }
            let Some(origin) = origin else { continue };
            match self.planned.place(&origin) {
                Some(to) => {
                    let Some(key) = place(&to).filter(|key| *key != origin) else { continue };
                    graph.moved.insert(to);
                    graph.goes.insert(origin, key);
                }
                None if origin.parent().is_some_and(|above| self.planned.place(&above).is_some()) => {
                    graph.gone.insert(origin);
                }
                None => {}
            }
        }
        graph.comes = self.new.iter().filter_map(|(at, &number)| Some((place(at)?, number))).collect();
        graph
    }
}

#[derive(Default)]
struct Graph {
    /// Places whose node moves, and the places it moves to.
    goes: BTreeMap<ElemPath, ElemPath>,
    /// Places that something staged comes to.
    comes: BTreeMap<ElemPath, usize>,
    /// Places whose node goes for good.
    gone: BTreeSet<ElemPath>,
    moved: BTreeSet<ElemPath>,
}

enum Head {
    /// Something staged.
    Staged(usize),
    /// A published node whose place becomes free.
    Node(ElemPath),
    /// A copy of it; it goes later.
    Copy(ElemPath),
    /// A published node whose place is taken by the last one.
    Round(ElemPath),
}

/// What goes to the first place, from there to the second, and so on; out of the last one, if there was something, for good.
struct Chain {
    head: Head,
    places: Vec<ElemPath>,
}

impl Chain {
    fn new(head: Head, first: &ElemPath, goes: &BTreeMap<ElemPath, ElemPath>, seen: &mut BTreeSet<ElemPath>) -> Self {
        let mut places = vec![first.clone()];
        let mut here = first;
        while let Some(next) = goes.get(here) {
            if !seen.insert(here.clone()) {
                break;
            }
            places.push(next.clone());
            here = next;
        }
        Self { head, places }
    }
}

impl Chain {
    fn keys(&self) -> impl Iterator<Item = &ElemPath> {
        let first = match &self.head {
            Head::Node(at) | Head::Copy(at) => Some(at),
            Head::Staged(_) | Head::Round(_) => None,
        };
        first.into_iter().chain(&self.places)
    }

    fn add_steps(&self, is_taken: impl Fn(&ElemPath) -> bool, next: &mut dyn FnMut() -> usize, routes: &mut Routes) {
        let stored = |at: &ElemPath| Spot::Stored(at.clone());
        let Some((last, places)) = self.places.split_last() else { return };
        let hand = match &self.head {
            Head::Staged(number) => Spot::Staged(*number),
            Head::Copy(from) => {
                let number = next();
                routes.copies.push((from.clone(), number));
                Spot::Staged(number)
            }
            // Straight from one place to the other, where nothing is in between.
            Head::Node(from) if places.is_empty() && !is_taken(last) => stored(from),
            Head::Node(from) => {
                let hand = Spot::Staged(next());
                routes.steps.push(Step::Move { from: stored(from), to: hand.clone() });
                hand
            }
            Head::Round(place) => stored(place),
        };
        routes.steps.extend(places.iter().map(|at| Step::Swap { a: hand.clone(), b: stored(at) }));
        match self.head {
            Head::Round(_) => {}
            _ if is_taken(last) => routes.steps.push(Step::Swap { a: hand, b: stored(last) }),
            _ => routes.steps.push(Step::Move { from: hand, to: stored(last) }),
        }
    }
}

/// Chains that have to do with places inside a node come before those that move the node, so that these are still found there.
fn in_order(chains: &[Chain]) -> Result<Vec<&Chain>, String> {
    let of_key: BTreeMap<&str, usize> =
        chains.iter().enumerate().flat_map(|(i, chain)| chain.keys().map(move |key| (key.as_str(), i))).collect();
    let inside = |chain: &Chain| -> Vec<usize> {
        let below = |key: &ElemPath| {
            let from = format!("{key}/");
            let found = of_key.range(&*from..).take_while(|(key, _)| key.starts_with(&from)).map(|(_, &i)| i);
            found.collect::<Vec<usize>>()
        };
        chain.keys().flat_map(below).collect()
    };
    let mut waits: Vec<BTreeSet<usize>> = chains.iter().map(|chain| inside(chain).into_iter().collect()).collect();
    let mut frees: Vec<Vec<usize>> = vec![Vec::new(); chains.len()];
    for (i, others) in waits.iter().enumerate() {
        others.iter().for_each(|&other| frees[other].push(i));
    }
    let mut ready: Vec<usize> = (0..chains.len()).rev().filter(|&i| waits[i].is_empty()).collect();
    let mut order = Vec::new();
    while let Some(i) = ready.pop() {
        order.push(&chains[i]);
        for &other in &frees[i] {
            waits[other].remove(&i);
            if waits[other].is_empty() {
                ready.push(other);
            }
        }
    }
    if order.len() < chains.len() {
        return Err("a group is to lie below what has lain in it: rename in two writes".into());
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> ElemPath {
        ElemPath::parse(text).unwrap()
    }

    fn spot(spot: &Spot) -> String {
        match spot {
            Spot::Staged(number) => format!("#{number}"),
            Spot::Stored(at) => at.to_string(),
        }
    }

    /// `-a` removes, `a>b` renames, `+a` adds; the steps as `a>b` and `a<>b`, and at the end what goes.
    fn routes(ops: &str, listed: &str) -> Result<String, String> {
        let (mut planned, mut new, mut count) = (Planned::default(), BTreeMap::new(), 0);
        let mut next = || {
            count += 1;
            count
        };
        for op in ops.split(' ') {
            match (op.strip_prefix('-'), op.strip_prefix('+'), op.split_once('>')) {
                (Some(gone), ..) => planned.remove(&at(gone)),
                (_, Some(added), _) => drop(new.insert(at(added), next())),
                (.., Some((from, to))) => planned.rename(&at(from), &at(to)),
                _ => unreachable!("{op}"),
            }
        }
        let listed = |at: &ElemPath| listed.split(' ').any(|l| l == at.as_str());
        let routes = Moves { planned: &planned, new: &new, listed: &listed }.routes(&mut next)?;
        let mut told: Vec<String> = routes.copies.iter().map(|(from, to)| format!("{from}=#{to}")).collect();
        told.extend(routes.steps.iter().map(|step| match step {
            Step::Move { from, to } => format!("{}>{}", spot(from), spot(to)),
            Step::Swap { a, b } => format!("{}<>{}", spot(a), spot(b)),
            Step::Document { .. } | Step::Touch { .. } => unreachable!("routes know no documents"),
        }));
        told.extend(routes.outs.iter().map(|out| format!("-{out}")));
        Ok(told.join(" "))
    }

    #[test]
    fn every_place_holds_old_or_new() {
        for (ops, listed, expected) in [
            ("+a", "", "#1>a"),
            ("-a", "", "-a"),
            ("-a +a", "", "#1<>a"),
            ("a>b", "", "a>b"),
            ("a>b b>c", "", "a>c"),
            ("a>b b>a -c", "", "-c"),
            ("-b a>b", "", "a>#1 #1<>b"),
            ("a>b +a", "", "#1<>a #1>b"),
            ("-c b>c a>b", "", "a>#1 #1<>b #1<>c"),
            ("a>t b>a t>b", "", "a<>b"),
            ("a>t b>a c>b t>c", "", "a<>c a<>b"),
            // Listed names stay until the list has changed.
            ("f/a>f/b", "f/a", "f/a=#1 #1>f/b -f/a"),
            ("-f/b f/a>f/b", "f/a f/b", "f/a=#1 #1<>f/b -f/a"),
            // What happens inside comes before what happens to the whole; what goes, in its new place, last.
            ("g>f -f/x +f/x +f/new", "", "#2>g/new #1<>g/x g>f"),
            ("g>f -f/x", "", "g>f -f/x"),
            ("k/x>x -k", "", "k/x>x -k"),
            ("x>k/x -k", "", "-k -x"),
            ("f/a>b -f", "f/a", "f/a=#1 #1>b -f"),
        ] {
            assert_eq!(routes(ops, listed).as_deref(), Ok(expected), "{ops}");
        }
        assert!(routes("a/b>t a>t/a t>a", "").is_err());
    }
}
