//! The store contract on files, and what only HDF5 can get wrong.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use super::*;
use crate::testing::{Fresh, store_contract};

#[test]
fn keeps_the_store_contract() {
    store_contract(&|| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.h5ad");
        let store = Arc::new(Hdf5Store::create(&path).unwrap());
        let reopen = Box::new(move || Arc::new(Hdf5Store::open_read(&path).unwrap()) as Arc<dyn ReadStore>);
        Fresh { store, reopen, keep: Box::new(dir) }
    });
}
