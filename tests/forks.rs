//! What a forked process has of a file that was open for writing. One test: `fork::done(true)` tells the library of the whole process
//! that it is a child.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stores;

use anndata_shadow::ndarray::Array1;
use anndata_shadow::{AnnDataShadow, Error, Mode, OpenOptions, WriteOptions, fork};
use stores::{CELLS, Copy};

fn is_refused<T>(done: Result<T, Error>, what: &str) {
    match done {
        Err(Error::Busy { why, .. }) => assert!(why.contains("before this process was forked"), "{what}: {why}"),
        Err(other) => panic!("{what}: {other}"),
        Ok(_) => panic!("{what}: is done"),
    }
}

#[test]
fn what_was_open_for_writing_at_a_fork_is_the_parents() {
    let copies: Vec<Copy> = CELLS.iter().map(|name| Copy::of(name)).collect();
    let open = |copy: &Copy, mode| AnnDataShadow::open_with(&copy.path, &OpenOptions::default().mode(mode)).unwrap();
    let shadows: Vec<AnnDataShadow> = copies.iter().map(|copy| open(copy, Mode::ReadWrite)).collect();
    let ones = || Array1::from_vec(vec![1_i64; 700]);
    for shadow in &shadows {
        shadow.member("obs/before").unwrap().set(ones()).unwrap();
    }
    fork::done(true);
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
