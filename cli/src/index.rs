//! `adshadow index`: X once more by its columns, for reading genes.

use std::io::{self, Write};

use anndata_shadow::{AnnDataShadow, GeneIndexOptions, Mode, OpenOptions};

use crate::args::IndexArgs;
use crate::failure::Outcome;
use crate::progress::{Bar, Watch};

pub(crate) fn run(args: &IndexArgs) -> Outcome<()> {
    let open = OpenOptions::default().mode(Mode::ReadWrite).locking(args.lock.locking());
    let shadow = AnnDataShadow::open_with(&args.path, &open)?;
    let options = GeneIndexOptions::default().memory((args.memory as usize) << 20).safety(args.safety.into());
    let watch = Watch::new(Bar::rows());
    let receipt = shadow.add_gene_index(&options.progress(&|done, total| watch.tell(done, total)))?;
    drop(watch);
    writeln!(io::stdout().lock(), "{receipt}")?;
    Ok(())
}
