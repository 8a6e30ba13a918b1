//! The file formats that elements are saved to and taken from, chosen by suffix.

pub(crate) mod npy;
pub(crate) mod npz;
pub(crate) mod table;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anndata_shadow::{Array, Sparse};
use polars::prelude::DataFrame;
use tempfile::NamedTempFile;

use crate::failure::{Failure, Outcome};

/// A file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Npy,
    Npz,
    Csv,
    Parquet,
}

/// What a file holds.
pub(crate) enum Content {
    Array(Array),
    Sparse(Sparse),
    /// Columns; the format tells whether text may have been written from categories.
    Frame(DataFrame, Kind),
}

/// The format of `path`, by its suffix.
///
/// # Errors
/// An unknown suffix; the message lists those that are known.
pub(crate) fn kind(path: &Path) -> Outcome<Kind> {
    let suffix = path.extension().and_then(|s| s.to_str()).unwrap_or_default().to_lowercase();
    match suffix.as_str() {
        "npy" => Ok(Kind::Npy),
        "npz" => Ok(Kind::Npz),
        "csv" => Ok(Kind::Csv),
        "parquet" => Ok(Kind::Parquet),
        "" => Err(Failure::file(path, "the name has no suffix; known are .npy, .npz, .csv and .parquet")),
        other => Err(Failure::file(path, format!("unknown suffix .{other}; known are .npy, .npz, .csv and .parquet"))),
    }
}

/// Reads the file at `path`. `name` picks an array out of an .npz of several; `index_names` are those of columns that
/// hold row names, which are read as text.
///
/// # Errors
/// What is wrong with the file, naming it.
pub(crate) fn read(path: &Path, name: &str, index_names: &[String]) -> Outcome<Content> {
    let kind = kind(path)?;
    let file = File::open(path).map_err(|e| Failure::file(path, e))?;
    match kind {
        Kind::Npy => npy::read(std::io::BufReader::new(file)).map(Content::Array),
        Kind::Npz => npz::read(file, name),
        Kind::Csv => table::read_csv(path, index_names).map(|frame| Content::Frame(frame, kind)),
        Kind::Parquet => table::read_parquet(file).map(|frame| Content::Frame(frame, kind)),
    }
    .map_err(|why| Failure::file(path, why))
}

/// Writes a file so that it is there whole or not at all: beside its place first, then renamed.
///
/// # Errors
/// What went wrong, naming the file.
pub(crate) fn write(
    path: &Path,
    put: impl FnOnce(&mut BufWriter<&mut NamedTempFile>) -> Result<(), String>,
) -> Outcome<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |why: String| Failure::file(path, why);
    let mut builder = tempfile::Builder::new();
    builder.prefix(".adshadow-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // As any new file, minus the umask; a temporary file would be the user's alone.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder).map_err(|e| failed(e.to_string()))?;
    let mut writer = BufWriter::new(&mut file);
    put(&mut writer).map_err(failed)?;
    writer.flush().map_err(|e| failed(e.to_string()))?;
    drop(writer);
    file.persist(path).map_err(|e| failed(e.error.to_string()))?;
    Ok(())
}
