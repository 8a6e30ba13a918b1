//! `adshadow index`: X once more by its columns, for reading genes.

use std::io::{self, IsTerminal, Write};
use std::ops::ControlFlow;

use anndata_shadow::{AnnDataShadow, GeneIndexOptions, Mode, OpenOptions};

use crate::args::IndexArgs;
use crate::failure::Outcome;
use crate::progress::Bar;

pub(crate) fn run(args: &IndexArgs) -> Outcome<()> {
    let open = OpenOptions::default().mode(Mode::ReadWrite).locking(args.lock.locking());
    let shadow = AnnDataShadow::open_with(&args.path, &open)?;
    let options = GeneIndexOptions::default().memory((args.memory as usize) << 20).safety(args.safety.into());
    let receipt = if io::stderr().is_terminal() {
        let bar = Bar::rows();
        shadow.add_gene_index(&options.progress(&|done, total| {
            bar.tell(done, total);
            ControlFlow::Continue(())
        }))?
    } else {
        shadow.add_gene_index(&options)?
    };
    writeln!(io::stdout().lock(), "{receipt}")?;
    Ok(())
}
