//! A matrix of any size in little memory: block by block, and statistics of it. `cargo run --example streaming [PATH]`

use std::ops::ControlFlow;

use anndata_shadow::{AnnDataShadow, BlockSize, StatsOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "data/pbmc68k_reduced_v3.zarr".into());
    let shadow = AnnDataShadow::open(path)?;

    // The next block is read and decoded while this one is looked at.
    for block in shadow.x().row_blocks(BlockSize::Rows(250))? {
        let block = block?;
        println!("cells {:?}: {}, {} bytes", block.rows, block.element.describe(), block.element.nbytes());
    }

    // Per gene and per cell in one pass, and how far it is.
    let tell = |done, total| {
        println!("{done} of {total}");
        ControlFlow::Continue(())
    };
    let stats = shadow.x().stats(&StatsOptions::default().progress(&tell))?;
    let genes = stats.columns.to_frame("gene", shadow.var_names()?)?;
    println!("{}", genes.sort(["variance"], Default::default())?.tail(Some(3)));
    println!("the first cell has {} values that are not zero", stats.rows.nonzero[0]);

    // Of a view, and within groups of cells.
    let few = shadow.select(.., ["CST3", "LYZ", "NKG7"])?;
    let by = few.x().stats_by("louvain", &StatsOptions::default())?;
    for (group, genes) in by.groups.iter().zip(&by.stats).take(3) {
        println!("louvain {group}: {} cells, means {:.2?}", genes.count, genes.mean);
    }
    Ok(())
}
