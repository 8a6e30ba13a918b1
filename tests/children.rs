//! Programs that are started while an h5ad is open for writing do not keep it locked. Alone in its process: what other threads
//! start in the moment of opening may inherit the file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(unix)]

mod stores;

use anndata_shadow::{AnnDataShadow, Mode, OpenOptions};

#[test]
fn programs_that_are_started_do_not_hold_the_file() {
    let copy = stores::Copy::of("pbmc68k_reduced.h5ad");
    let options = OpenOptions::default().mode(Mode::ReadWrite);
    let shadow = AnnDataShadow::open_with(&copy.path, &options).unwrap();
    let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    drop(shadow);
    let again = AnnDataShadow::open_with(&copy.path, &options).map(drop);
    child.kill().unwrap();
    child.wait().unwrap();
    again.unwrap();
}
