//! `adshadow compact`: an HDF5 file without the holes that replaced and removed elements have left.

use std::io::{self, IsTerminal, Write};

use anndata_shadow::Format;
use anndata_shadow::store::{compact, open_read_with};

use crate::args::CompactArgs;
use crate::failure::{Failure, Outcome};
use crate::open::refuse_unfinished;
use crate::progress::Bar;

pub(crate) fn run(args: &CompactArgs) -> Outcome<()> {
    let locking = args.lock.locking();
    if args.dry_run {
        refuse_unfinished(&args.path)?;
        let opened = open_read_with(&args.path, locking)?;
        if opened.format != Format::Hdf5 {
            return Err(Failure::file(&args.path, "a Zarr store has no holes: nothing to compact"));
        }
        let bytes = std::fs::metadata(&opened.root).map_err(|e| Failure::file(&opened.root, e))?.len();
        writeln!(io::stdout().lock(), "dry run: {bytes} bytes would be rewritten; nothing changed")?;
        return Ok(());
    }
    let (before, after) = if io::stderr().is_terminal() {
        let bar = Bar::bytes();
        compact(&args.path, locking, &|done, total| bar.tell(done, total))?
    } else {
        compact(&args.path, locking, &|_, _| {})?
    };
    let freed = before.saturating_sub(after);
    writeln!(io::stdout().lock(), "{before} bytes before, {after} after: {freed} given back")?;
    Ok(())
}
