//! Frames in obsm have the names of their rows, whatever is taken back; slots are replaced as a whole.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stores;

use anndata_shadow::ndarray::Array2;
use anndata_shadow::polars::prelude::{NamedFrom, Series};
use anndata_shadow::{AnnDataShadow, Array, Element, Error, Table, WriteOptions};
use stores::{CELLS, Copy};

const N: usize = 700;

/// With a frame `obsm/df` in the file, and new names of the observations that are pending.
fn renamed(name: &str) -> (Copy, AnnDataShadow, [Vec<String>; 2]) {
    let copy = Copy::of(name);
    let shadow = copy.open_to_write();
    let old = shadow.obs_names().unwrap();
    let values = Element::from(Array::from_vec((0..N as i64).collect()));
    let table = Table::new(None, Array::from_vec(old.clone()).into(), vec![("x".to_owned(), values)]).unwrap();
    shadow.obsm().insert("df", table).unwrap();
    shadow.write(WriteOptions::default()).unwrap();
    let new: Vec<String> = (0..N).map(|i| format!("cell {i}")).collect();
    shadow.obs().set_names(new.clone()).unwrap();
    assert_eq!(index(&shadow), new);
    (copy, shadow, [old, new])
}

fn index(shadow: &AnnDataShadow) -> Vec<String> {
    let table: Table = shadow.obsm().read("df").unwrap();
    table.index().texts().unwrap().into_iter().flatten().collect()
}

#[test]
fn frames_get_their_old_names_with_their_axis() {
    for name in CELLS {
        let at = |shadow: &AnnDataShadow| format!("obs/{}", shadow.obs().index_name().unwrap());
        for path in [|_: &AnnDataShadow| "obs".to_owned(), at] {
            let (_copy, shadow, [old, _]) = renamed(name);
            shadow.discard_at(&path(&shadow)).unwrap();
            assert_eq!((shadow.obs_names().unwrap(), index(&shadow)), (old.clone(), old));
            assert!(shadow.changes().is_empty(), "{name}: {:?}", shadow.changes());
        }
    }
}

#[test]
fn what_else_is_pending_in_them_stays() {
    let (copy, shadow, [old, new]) = renamed(CELLS[0]);
    let values = Element::from(Array::from_vec(vec![7_i64; N]));
    let table = Table::new(None, Array::from_vec(new).into(), vec![("y".to_owned(), values)]).unwrap();
    shadow.obsm().insert("df", table.clone()).unwrap();
    shadow.obsm().insert("more", table).unwrap();
    shadow.discard_at("obs").unwrap();
    assert_eq!(index(&shadow), old);
    assert_eq!(shadow.changes().len(), 2, "{:?}", shadow.changes());
    shadow.write(WriteOptions::default()).unwrap();
    shadow.close().unwrap();
    let written = copy.open();
    assert_eq!((written.obs_names().unwrap(), index(&written)), (old.clone(), old));
    assert_eq!(written.obsm().read::<Table>("more").unwrap().columns()[0].0, "y");
}

#[test]
fn a_frame_that_is_taken_back_keeps_the_new_names() {
    for path in ["obsm/df", "obsm"] {
        let (copy, shadow, [_, new]) = renamed(CELLS[0]);
        let values = Element::from(Array::from_vec(vec![7_i64; N]));
        let table = Table::new(None, Array::from_vec(new.clone()).into(), vec![("x".to_owned(), values)]).unwrap();
        shadow.obsm().insert("df", table).unwrap();
        shadow.discard_at(path).unwrap();
        assert_eq!(index(&shadow), new);
        let now: Table = shadow.obsm().read("df").unwrap();
        assert_eq!(now.columns()[0].1, Array::from_vec((0..N as i64).collect()).into());
        shadow.write(WriteOptions::default()).unwrap();
        shadow.close().unwrap();
        assert_eq!(index(&copy.open()), new);
    }
}

/// What hides `obsm/df`.
type Step<'a> = &'a dyn Fn(&AnnDataShadow);

#[test]
fn a_frame_that_was_gone_comes_back_with_the_new_names() {
    let array = || Array2::<f32>::zeros((N, 1));
    let ways: [(Step<'_>, &str); 5] = [
        (&|s| s.obsm().remove("df").unwrap(), "obsm/df"),
        (&|s| s.obsm().insert("df", array()).unwrap(), "obsm/df"),
        (&|s| s.obsm().replace(Vec::new()).unwrap(), "obsm"),
        (&|s| s.obsm().rename("df", "other").unwrap(), "obsm"),
        (
            &|s| {
                let new = s.obs_names().unwrap();
                s.discard().unwrap();
                s.obsm().remove("df").unwrap();
                s.obs().set_names(new).unwrap();
            },
            "obsm/df",
        ),
    ];
    for name in CELLS {
        for (n, (hide, path)) in ways.iter().enumerate() {
            let (copy, shadow, [_, new]) = renamed(name);
            hide(&shadow);
            shadow.discard_at(path).unwrap();
            assert_eq!(index(&shadow), new, "{name}, way {n}");
            shadow.write(WriteOptions::default()).unwrap();
            shadow.close().unwrap();
            assert_eq!(index(&copy.open()), new, "{name}, way {n}");
        }
    }
}

#[test]
fn a_frame_that_was_gone_cannot_come_back_to_a_closed_shadow() {
    let (_copy, shadow, [_, new]) = renamed(CELLS[0]);
    shadow.obsm().remove("df").unwrap();
    shadow.obsm().insert("new", Array2::<f32>::zeros((N, 1))).unwrap();
    shadow.close().unwrap();
    assert!(matches!(shadow.discard_at("obsm/df"), Err(Error::Closed { .. })));
    shadow.discard_at("obsm/new").unwrap();
    shadow.reopen(anndata_shadow::Mode::Read).unwrap();
    shadow.discard_at("obsm/df").unwrap();
    assert_eq!(index(&shadow), new);
}

#[test]
fn taking_back_a_column_needs_no_file() {
    let (_copy, shadow, [_, new]) = renamed(CELLS[0]);
    let before = shadow.changes();
    shadow.obs().insert(Series::new("bad".into(), vec![1_i64; N])).unwrap();
    shadow.close().unwrap();
    shadow.discard_at("obs/bad").unwrap();
    assert_eq!(shadow.changes(), before);
    assert_eq!(index(&shadow), new);
}

#[test]
fn a_closed_shadow_says_what_it_cannot_know() {
    let (_copy, shadow, [_, new]) = renamed(CELLS[0]);
    shadow.close().unwrap();
    assert!(matches!(shadow.discard_at("obs"), Err(Error::Closed { .. })));
    shadow.reopen(anndata_shadow::Mode::Read).unwrap();
    assert_eq!(shadow.obs_names().unwrap(), new);
}

#[test]
fn a_slot_is_replaced_as_a_whole_or_not_at_all() {
    for name in CELLS {
        let copy = Copy::of(name);
        let shadow = copy.open();
        shadow.obsm().insert("pending", Array2::<f32>::zeros((N, 1))).unwrap();
        let before = (shadow.obsm().keys().unwrap(), shadow.changes());
        let good = || ("new".to_owned(), Array2::<f32>::zeros((N, 2)).into());
        for bad in [("bad".to_owned(), Array2::<f32>::zeros((3, 2)).into()), ("a/b".to_owned(), good().1)] {
            assert!(shadow.obsm().replace(vec![good(), bad]).is_err());
            assert_eq!((shadow.obsm().keys().unwrap(), shadow.changes()), before);
        }
        shadow.obsm().replace(vec![good(), ("X_pca".to_owned(), good().1)]).unwrap();
        assert_eq!(shadow.obsm().keys().unwrap(), ["X_pca", "new"]);
        shadow.obsm().replace(Vec::new()).unwrap();
        assert!(shadow.obsm().keys().unwrap().is_empty());
    }
}

#[test]
fn a_closed_shadow_replaces_nothing_of_a_slot_that_it_cannot_remove() {
    for name in CELLS {
        let copy = Copy::of(name);
        let shadow = copy.open();
        shadow.obsm().element("X_pca").unwrap();
        shadow.close().unwrap();
        let new = || vec![("z".to_owned(), Array2::<f32>::zeros((N, 1)).into())];
        assert!(matches!(shadow.obsm().replace(new()), Err(Error::Closed { .. })));
        assert!(shadow.changes().is_empty(), "{name}: {:?}", shadow.changes());
        assert_eq!(shadow.obsm().keys().unwrap(), ["X_pca"]);
    }
}
