//! `adshadow compact`: an HDF5 file without the holes that replaced and removed elements have left.

use std::io::{self, Write};

use anndata_shadow::Format;
use anndata_shadow::store::{compact, open_read_with};

use crate::args::CompactArgs;
use crate::failure::{Failure, Outcome};
use crate::open::refuse_unfinished;
use crate::progress::{Bar, Watch};

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
    let watch = Watch::new(Bar::bytes());
    let (before, after) = compact(&args.path, locking, &|done, total| watch.tell(done, total))?;
    drop(watch);
    let freed = before.saturating_sub(after);
    writeln!(io::stdout().lock(), "{before} bytes before, {after} after: {freed} given back")?;
    Ok(())
}
