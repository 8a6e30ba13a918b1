//! Look into a file: what is there, one column, one embedding, a few rows. `cargo run --example first_minute [PATH]`
//!
//! Works on any AnnData with an `X_pca` and a `louvain` column; without a path, on the cells in `data/`.

use anndata_shadow::ndarray::Array2;
use anndata_shadow::{AnnDataShadow, Array, Element};

fn main() -> anndata_shadow::Result<()> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "data/pbmc68k_reduced_v3.zarr".into());
    let shadow = AnnDataShadow::open(path)?;
    println!("{shadow}\n");

    println!("{}", shadow.obs().column("louvain")?.head(Some(5)));

    let pca: Array2<f32> = shadow.obsm().read("X_pca")?;
    println!("X_pca is {:?}", pca.dim());

    // Not knowing the dtype, ask for what there is.
    let rows: Array = shadow.select(-3.., 0..4)?.x().read()?;
    println!("the last rows of X are {} {:?}: {:?}", rows.dtype(), rows.shape(), rows.to_f64());

    // What this crate does not read yet is listed all the same, and refused by name.
    for element in shadow.elements()?.iter().filter(|e| e.path.starts_with("uns/rank_genes_groups/")) {
        match shadow.member(&element.path)?.read::<Element>() {
            Ok(value) => println!("{}: {}", element.path, value.describe()),
            Err(error) => println!("{error}"),
        }
    }
    Ok(())
}
