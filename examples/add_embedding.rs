//! Add an embedding and a column to a file in place: `cargo run --example add_embedding [PATH]`
//!
//! Without a path it works on a copy of `data/pbmc68k_reduced.h5ad`.

use anndata_shadow::ndarray::{Array2, Axis};
use anndata_shadow::polars::prelude::{NamedFrom, Series};
use anndata_shadow::{AnnDataShadow, Mode, WriteOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scratch = tempfile::tempdir()?;
    let path = match std::env::args().nth(1) {
        Some(path) => path.into(),
        None => {
            let copy = scratch.path().join("cells.h5ad");
            std::fs::copy("data/pbmc68k_reduced.h5ad", &copy)?;
            copy
        }
    };
    let shadow = AnnDataShadow::open(path)?;

    // Whatever you compute; here the first two components, centred.
    let pca: Array2<f32> = shadow.obsm().read("X_pca")?;
    let two = pca.select(Axis(1), &[0, 1]);
    let centre = two.mean_axis(Axis(0)).ok_or("no cells")?;
    shadow.obsm().insert("X_two", &two - &centre)?;
    let distance: Vec<f32> =
        shadow.obsm().read::<Array2<f32>>("X_two")?.rows().into_iter().map(|r| r.dot(&r).sqrt()).collect();
    shadow.obs().insert(Series::new("distance".into(), distance))?;

    // Nothing is in the file yet.
    for change in shadow.changes() {
        println!("{change}");
    }
    let receipt = shadow.reopen(Mode::ReadWrite)?.write(WriteOptions::default().clear_cache(true))?;
    println!("{receipt}");
    shadow.reopen(Mode::Read)?;
    println!("{}\n{}", shadow.obsm(), shadow.obs());
    Ok(())
}
