//! The law of views: whatever is selected, in however many steps, equals the same selection of the whole in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stores;

use std::sync::LazyLock;

use anndata_shadow::{AnnDataShadow, Element, Rows, Select};
use proptest::prelude::*;
use stores::{CELLS, data};

/// Elements with the axes (0 obs, 1 var) that they are aligned to.
const ALIGNED: [(&str, &[usize]); 9] = [
    ("X", &[0, 1]),
    ("obs/louvain", &[0]),
    ("obs/percent_mito", &[0]),
    ("var/highly_variable", &[1]),
    ("obsm/X_pca", &[0]),
    ("varm/PCs", &[1]),
    ("obsp/distances", &[0, 0]),
    ("obs/index", &[0]),
    ("uns/louvain_colors", &[]),
];

struct Whole {
    shadow: AnnDataShadow,
    elements: Vec<Element>,
    names: [Vec<String>; 2],
}

static WHOLE: LazyLock<Vec<Whole>> = LazyLock::new(|| {
    let load = |name: &&str| {
        // Read through one shadow, look at views of another: no cache in common.
        let read = AnnDataShadow::open(data(name)).unwrap();
        let elements = ALIGNED.iter().map(|(path, _)| read.member(path).unwrap().read().unwrap()).collect();
        let names = [read.obs_names().unwrap(), read.var_names().unwrap()];
        Whole { shadow: AnnDataShadow::open(data(name)).unwrap(), elements, names }
    };
    CELLS.iter().map(load).collect()
});

/// How a selection is written; made concrete for an axis of `len` with these names.
#[derive(Debug, Clone)]
enum Draw {
    All,
    Slice(Option<i64>, Option<i64>, i64),
    One(prop::sample::Index),
    List(Vec<(prop::sample::Index, bool)>),
    Mask(u64),
    Names(Vec<prop::sample::Index>),
}

fn draw() -> impl Strategy<Value = Draw> {
    let bound = prop::option::of(-900_i64..900);
    let step = prop_oneof![-7_i64..=-1, 1_i64..=7, Just(400), Just(-400)];
    prop_oneof![
        Just(Draw::All),
        (bound.clone(), bound, step).prop_map(|(a, b, s)| Draw::Slice(a, b, s)),
        any::<prop::sample::Index>().prop_map(Draw::One),
        prop::collection::vec(any::<(prop::sample::Index, bool)>(), 0..20).prop_map(Draw::List),
        any::<u64>().prop_map(Draw::Mask),
        prop::collection::vec(any::<prop::sample::Index>(), 0..6).prop_map(Draw::Names),
    ]
}

impl Draw {
    /// The selection, and the positions that it means, worked out without the library.
    fn on(&self, names: &[String]) -> (Select, Vec<usize>) {
        let len = names.len();
        let empty = len == 0;
        match self {
            Self::Slice(start, stop, step) => {
                (Select::Slice { start: *start, stop: *stop, step: *step }, python_slice(*start, *stop, *step, len))
            }
            Self::One(i) if !empty => (Select::One(i.index(len) as i64), vec![i.index(len)]),
            Self::List(list) if !empty => {
                let at: Vec<usize> = list.iter().map(|(i, _)| i.index(len)).collect();
                let written = at.iter().zip(list).map(|(&p, (_, back))| p as i64 - if *back { len as i64 } else { 0 });
                (Select::List(written.collect()), at.clone())
            }
            Self::Mask(seed) => {
                let mask: Vec<bool> = (0..len).map(|i| seed.rotate_left(i as u32 * 7) & 5 == 5).collect();
                let at = (0..len).filter(|&i| mask[i]).collect();
                (Select::Mask(mask), at)
            }
            Self::Names(picks) if !empty => {
                // A view with repeats has ambiguous names; those are for another test.
                let unique = |p: &usize| names.iter().filter(|n| **n == names[*p]).count() == 1;
                let at: Vec<usize> = picks.iter().map(|i| i.index(len)).filter(unique).collect();
                (Select::Names(at.iter().map(|&p| names[p].clone()).collect()), at)
            }
            _ => (Select::All, (0..len).collect()),
        }
    }
}

/// `range(len)[start:stop:step]`, one position at a time.
fn python_slice(start: Option<i64>, stop: Option<i64>, step: i64, len: usize) -> Vec<usize> {
    let n = len as i64;
    let fix = |b: i64| if b < 0 { b + n } else { b };
    let mut at = start.map_or(if step > 0 { 0 } else { n - 1 }, fix);
    at = if step > 0 { at.max(0) } else { at.min(n - 1) };
    let stop = stop.map_or(if step > 0 { n } else { -1 }, |b| fix(b).max(-1));
    let mut found = Vec::new();
    while (step > 0 && at < stop.min(n)) || (step < 0 && at > stop) {
        found.push(at as usize);
        at += step;
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn views_of_views_equal_cuts_of_the_whole(store in 0..CELLS.len(), steps in prop::collection::vec((draw(), draw()), 1..4)) {
        let whole = &WHOLE[store];
        let mut view = whole.shadow.clone();
        let mut names = whole.names.clone();
        let mut at: [Vec<usize>; 2] = [(0..700).collect(), (0..765).collect()];
        for (obs, var) in &steps {
            let (obs, obs_at) = obs.on(&names[0]);
            let (var, var_at) = var.on(&names[1]);
            view = view.select(obs, var).unwrap();
            for (axis, picked) in [obs_at, var_at].into_iter().enumerate() {
                names[axis] = picked.iter().map(|&p| names[axis][p].clone()).collect();
                at[axis] = picked.iter().map(|&p| at[axis][p]).collect();
            }
        }
        prop_assert_eq!(view.shape(), (at[0].len(), at[1].len()));
        prop_assert_eq!(view.obs_names().unwrap(), names[0].clone());
        prop_assert_eq!(view.var_names().unwrap(), names[1].clone());
        for ((path, axes), element) in ALIGNED.iter().zip(&whole.elements) {
            let rows: Vec<Rows> = axes.iter().map(|&a| Rows::picks(at[a].clone())).collect();
            let cut = if rows.is_empty() { element.clone() } else { element.take(&with_rest(element, rows)) };
            let got: Element = view.member(path).unwrap().read().unwrap();
            let same = got == cut || matches!((&got, &cut), (Element::Array(a), Element::Array(b)) if a.to_le_bytes() == b.to_le_bytes() && a.shape() == b.shape());
            prop_assert!(same, "{} {}: {:?} is not {:?}", CELLS[store], path, got, cut);
        }
    }
}

/// The selections for the aligned axes, and whole ones for the rest.
fn with_rest(element: &Element, mut rows: Vec<Rows>) -> Vec<Rows> {
    let shape = element.shape();
    rows.extend(shape.iter().skip(rows.len()).map(|&n| Rows::All(n)));
    rows
}
