//! Frames in obsm have the names of their rows, whatever is taken back; slots are replaced as a whole.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stores;

use anndata_shadow::ndarray::Array2;
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
