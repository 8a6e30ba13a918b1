//! `adshadow consolidate`: renews the consolidated metadata of a Zarr store.

use std::io::{self, Write};

use anndata_shadow::Format;
use anndata_shadow::store::{open_read_with, open_write_with};

use crate::args::ConsolidateArgs;
use crate::failure::{Failure, Outcome};

pub(crate) fn run(args: &ConsolidateArgs) -> Outcome<()> {
    // Found out by reading: a file without such metadata need not be opened for writing to say so.
    if open_read_with(&args.path, args.lock.locking())?.format == Format::Hdf5 {
        return Err(Failure::file(&args.path, "HDF5 has no consolidated metadata; nothing to do"));
    }
    let opened = open_write_with(&args.path, args.lock.locking())?;
    opened.store.consolidate()?;
    writeln!(io::stdout().lock(), "consolidated the metadata of `{}`", opened.store.location())?;
    Ok(())
}
