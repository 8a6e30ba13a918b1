//! What a forked process has of a file that was open for writing. One test: `fork::done(true)` tells the library of the whole process
//! that it is a child.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stores;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anndata_shadow::ndarray::Array1;
use anndata_shadow::store::{Attrs, Hdf5Store, Style, WriteStore, ZarrStore};
use anndata_shadow::{AnnDataShadow, Array, ElemPath, Error, Mode, OpenOptions, WriteOptions, fork};
use stores::{CELLS, Copy};

fn is_refused<T>(done: Result<T, Error>, what: &str) {
    match done {
        Err(Error::Busy { why, .. }) => assert!(why.contains("before this process was forked"), "{what}: {why}"),
        Err(other) => panic!("{what}: {other}"),
        Ok(_) => panic!("{what}: is done"),
    }
}

/// A store with an array that is staged.
fn stage(name: &str) -> (Box<dyn WriteStore>, Copy) {
    let copy = Copy::of(name);
    let store: Box<dyn WriteStore> = match copy.path.is_dir() {
        true => Box::new(ZarrStore::open_write(&copy.path).unwrap()),
        false => Box::new(Hdf5Store::open_write(&copy.path).unwrap()),
    };
    let array = Array::from(Array1::from_vec((0..100_000_i64).collect()));
    let style = Style { like: None, resizable: false };
    store.create_array(&ElemPath::parse("uns/staged").unwrap(), &array, style, &Attrs::new()).unwrap();
    (store, copy)
}

/// All files beside and below, with their lengths.
fn files(path: &Path) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![path.parent().unwrap().to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
            if entry.path().is_dir() {
                dirs.push(entry.path());
            } else {
                found.insert(entry.path(), entry.metadata().unwrap().len());
            }
        }
    }
    found
}

#[test]
fn what_was_open_for_writing_at_a_fork_is_the_parents() {
    let copies: Vec<Copy> = CELLS.iter().map(|name| Copy::of(name)).collect();
    let open = |copy: &Copy, mode| AnnDataShadow::open_with(&copy.path, &OpenOptions::default().mode(mode)).unwrap();
    for name in CELLS {
        let (store, copy) = stage(name);
        let before = files(&copy.path);
        drop(store);
        assert_ne!(files(&copy.path), before, "{name}: who has staged it takes it back");
    }
    // In the middle of a write, too, as where its progress forks.
    let (staged, kept): (Vec<Box<dyn WriteStore>>, Vec<Copy>) = CELLS.iter().map(|name| stage(name)).unzip();
    let before: Vec<_> = kept.iter().map(|copy| files(&copy.path)).collect();
    let shadows: Vec<AnnDataShadow> = copies.iter().map(|copy| open(copy, Mode::ReadWrite)).collect();
    let ones = || Array1::from_vec(vec![1_i64; 700]);
    for shadow in &shadows {
        shadow.member("obs/before").unwrap().set(ones()).unwrap();
    }
    fork::done(true);
    drop(staged);
    for (copy, before) in kept.iter().zip(before) {
        assert_eq!(files(&copy.path), before, "{}", copy.path.display());
    }
    for (shadow, copy) in shadows.iter().zip(&copies) {
        let name = copy.path.display().to_string();
        assert_eq!(shadow.mode(), Some(Mode::ReadWrite));
        is_refused(shadow.x().element(), &name);
        is_refused(shadow.elements(), &name);
        is_refused(shadow.uns().keys(), &name);
        is_refused(shadow.write(WriteOptions::default()), &name);
        is_refused(shadow.add_gene_index(&Default::default()), &name);
        // What is pending is its own.
        assert_eq!(shadow.changes().len(), 1);
        // And so is what it opens, once the parent's handle is gone, which took nothing of the file with it.
        shadow.reopen(Mode::ReadWrite).unwrap();
        shadow.write(WriteOptions::default()).unwrap();
        shadow.close().unwrap();
        assert_eq!(open(copy, Mode::Read).member("obs/before").unwrap().read::<Array1<i64>>().unwrap(), ones());
    }
}
