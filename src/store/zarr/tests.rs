//! Tests of the Zarr store.

use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::testing::{Fresh, store_contract};

fn fresh(flavour: Flavour, consolidated: bool) -> Fresh {
    let keep = tempfile::tempdir().unwrap();
    let path = keep.path().join("s.zarr");
    let store = ZarrStore::create(&path, flavour).unwrap();
    if consolidated {
        store.consolidate().unwrap();
    }
    let reopen = Box::new(move || Arc::new(ZarrStore::open_read(&path).unwrap()) as Arc<dyn ReadStore>);
    Fresh { store: Arc::new(store), reopen, keep: Box::new(keep) }
}

#[test]
fn keeps_the_store_contract_in_version_2() {
    store_contract(&|| fresh(Flavour::V2, false));
}

#[test]
fn keeps_the_store_contract_in_version_3() {
    store_contract(&|| fresh(Flavour::V3, false));
}

#[test]
fn keeps_the_store_contract_sharded() {
    store_contract(&|| fresh(Flavour::V3Sharded, false));
}

#[test]
fn keeps_the_store_contract_consolidated() {
    store_contract(&|| fresh(Flavour::V2, true));
    store_contract(&|| fresh(Flavour::V3, true));
}
