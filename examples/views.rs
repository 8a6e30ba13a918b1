//! Cut by labels, names and positions, and cut the cut: `cargo run --example views`

use anndata_shadow::ndarray::Array2;
use anndata_shadow::polars::prelude::ChunkCompareEq;
use anndata_shadow::{AnnDataShadow, IoStats};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let shadow = AnnDataShadow::open("data/pbmc68k_reduced.h5ad")?;
    let is_mono = shadow.obs().column("bulk_labels")?.equal("CD14+ Monocyte")?;
    let mono = shadow.select(is_mono, ["CST3", "LYZ", "S100A8"])?;
    println!("{mono}\n");

    // Positions count within the view; the file is asked for these cells only.
    let before = shadow.io_stats();
    let few = mono.select([3, 1, -1], ..)?;
    let x: Array2<f32> = few.x().read()?;
    let IoStats { chunks, bytes_read, .. } = shadow.io_stats() - before;
    println!("{:?} × {:?}\n{x}\n{chunks} chunks, {bytes_read} bytes", few.obs_names()?, few.var_names()?);

    // Everything is aligned: graphs on both axes, loadings on the variables, columns on the observations.
    let graph: anndata_shadow::Sparse = few.obsp().read("distances")?;
    let loadings: Array2<f64> = few.varm().read("PCs")?;
    println!("{:?} {:?} {}", graph.shape(), loadings.dim(), few.obs().column("louvain")?);
    Ok(())
}
