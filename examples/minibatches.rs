//! Training on a file: the principal component of X by Oja's rule, from random batches. `cargo run --example minibatches`

use anndata_shadow::ndarray::{Array1, Array2};
use anndata_shadow::{AnnDataShadow, Shuffle};

fn main() -> anndata_shadow::Result<()> {
    let shadow = AnnDataShadow::open("data/pbmc68k_reduced.h5ad")?;
    let mut component = Array1::<f32>::from_elem(shadow.n_vars(), 1.0);
    for epoch in 0..5 {
        let mut cells = 0;
        // Every cell once an epoch, in another order each time; the same orders in every run. Of a file that is much larger than
        // memory, `Shuffle::Blocks(256)` reads less.
        for batch in shadow.x().minibatches(64, epoch, Shuffle::Rows)? {
            let x: Array2<f32> = batch?.read()?;
            let scores = x.dot(&component);
            component = component + x.t().dot(&scores) * (0.1 / x.nrows() as f32);
            component /= component.dot(&component).sqrt();
            cells += x.nrows();
        }
        println!("epoch {epoch}: {cells} cells");
    }

    // Against the component that the file holds.
    let pca: Array2<f32> = shadow.obsm().read("X_pca")?;
    let scores = shadow.x().read::<Array2<f32>>()?.dot(&component);
    let centred = |a: Array1<f32>| &a - a.mean().unwrap_or_default();
    let (ours, theirs) = (centred(scores), centred(pca.column(0).to_owned()));
    let agreement = ours.dot(&theirs).abs() / (ours.dot(&ours) * theirs.dot(&theirs)).sqrt();
    println!("correlation with the first of X_pca: {agreement:.2}");
    Ok(())
}
