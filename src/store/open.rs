//! Opening a path: which container it is, by content, and where the path inside it begins.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::hdf5::{self, Hdf5Store};
use super::zarr::{self, ZarrStore};
use super::{LeftOver, Locking, ReadStore, WriteStore};
use crate::error::{Error, Place, Result};
use crate::path::ElemPath;
use crate::progress::Progress;

/// How long opening waits for others to be done.
const PATIENCE: Duration = Duration::from_secs(1);

/// The container formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// HDF5 (`.h5ad`, `.h5mu`).
    Hdf5,
    /// A Zarr directory, version 2 or 3.
    Zarr,
    /// A zip archive of a Zarr directory (`.zarr.zip`), for reading.
    ZarrZip,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hdf5 => "HDF5",
            Self::Zarr => "Zarr",
            Self::ZarrZip => "zipped Zarr",
        })
    }
}

/// An opened store and the path inside it that was asked for.
#[derive(Debug, Clone)]
pub struct Opened<S> {
    /// The store, rooted at the file or at the topmost Zarr group that encloses the path.
    pub store: S,
    /// That file or directory.
    pub root: PathBuf,
    /// The rest of the path below that root.
    pub inner: ElemPath,
    /// The container.
    pub format: Format,
}

/// Where a path leads.
pub(crate) struct Found {
    /// The container.
    pub(crate) format: Format,
    /// The file or directory that it is.
    pub(crate) root: PathBuf,
    /// The rest of the path below that root.
    pub(crate) inner: ElemPath,
}

/// Opens `path` for reading; it may end inside the store (`x.h5mu/mod/rna`, `s.zarr/tables/table`).
///
/// # Errors
/// [`Error::Io`] if nothing is there, [`Error::NotAnnData`] if it is neither HDF5 nor Zarr, [`Error::Busy`] if it is locked.
pub fn open_read(path: &Path) -> Result<Opened<Arc<dyn ReadStore>>> {
    open_read_with(path, Locking::On)
}

/// As [`open_read`], with or without locks.
///
/// # Errors
/// As [`open_read`].
pub fn open_read_with(path: &Path, locking: Locking) -> Result<Opened<Arc<dyn ReadStore>>> {
    let Found { format, root, inner } = find(path)?;
    let store: Arc<dyn ReadStore> = match format {
        Format::Hdf5 => Arc::new(patiently(|| Hdf5Store::open_read_with(&root, locking))?),
        Format::Zarr => Arc::new(patiently(|| ZarrStore::open_read_with(&root, locking))?),
        Format::ZarrZip => Arc::new(ZarrStore::open_zip(&root)?),
    };
    Ok(Opened { store, root, inner, format })
}

/// Opens `path` for reading and writing, as [`open_read`].
///
/// # Errors
/// As [`open_read`]; [`Error::Io`] if the file may not be written; [`Error::Unsupported`] for a zip archive.
pub fn open_write(path: &Path) -> Result<Opened<Arc<dyn WriteStore>>> {
    open_write_with(path, Locking::On)
}

/// As [`open_write`], with or without locks.
///
/// # Errors
/// As [`open_write`]; [`Error::Unsupported`] if locks are wanted where the file system has none.
pub fn open_write_with(path: &Path, locking: Locking) -> Result<Opened<Arc<dyn WriteStore>>> {
    let Found { format, root, inner } = find(path)?;
    let store: Arc<dyn WriteStore> = match format {
        Format::Hdf5 => Arc::new(patiently(|| Hdf5Store::open_write_with(&root, locking))?),
        Format::Zarr => Arc::new(patiently(|| ZarrStore::open_write_with(&root, locking))?),
        Format::ZarrZip => return Err(only_read(&root)),
    };
    Ok(Opened { store, root, inner, format })
}

fn only_read(zip: &Path) -> Error {
    Error::Unsupported {
        at: Place::new(zip.display(), ""),
        what: "a zip archive is only read; unpack it and open the Zarr directory inside to write".into(),
    }
}

/// Refuses what writing to the store that holds `path` would be refused for by the system, as far as it tells beforehand.
/// Opens nothing for reading, takes no lock and changes nothing.
///
/// # Errors
/// [`Error::Io`] if the file or directory may not be written, or nothing may be put beside the file, where the journal of a
/// write stands; [`Error::Unsupported`] for a zip archive; [`Error::NotAnnData`] if it is neither HDF5 nor Zarr.
pub fn check_writable(path: &Path) -> Result<()> {
    let Found { format, root, .. } = find(path)?;
    let allowed = match format {
        Format::Hdf5 => hdf5::check_writable(&root),
        Format::Zarr => zarr::check_writable(&root),
        Format::ZarrZip => return Err(only_read(&root)),
    };
    allowed.map_err(|source| Error::Io { at: Place::new(root.display(), ""), source })
}

/// What interrupted writes have left at the store that holds `path`. Changes nothing.
///
/// # Errors
/// As [`open_read`]; [`Error::Malformed`] for left-overs that cannot be understood.
pub fn left_over(path: &Path) -> Result<Vec<LeftOver>> {
    let Found { format, root, .. } = find(path)?;
    match format {
        Format::Hdf5 => hdf5::left_over(&root),
        Format::Zarr => zarr::left_over(&root),
        Format::ZarrZip => Ok(Vec::new()),
    }
}

/// Rolls interrupted writes forward or back and sweeps what they have left, as the next opening for writing does: a sentence
/// for each thing that was done.
///
/// # Errors
/// As [`open_write_with`]; [`Error::Malformed`] for left-overs that cannot be understood: nothing is changed then.
pub fn recover(path: &Path, locking: Locking) -> Result<Vec<String>> {
    let Found { format, root, .. } = find(path)?;
    match format {
        Format::Hdf5 => hdf5::recover(&root, locking),
        Format::Zarr => zarr::recover(&root, locking),
        Format::ZarrZip => Ok(Vec::new()),
    }
}

/// Rewrites the file that holds `path` without the holes that replaced and removed elements have left, and puts it in its place
/// in one step: at every instant there is the old file or the new one. `progress` is told what is done of how much, both in
/// bytes. Gives the length of the file before and after.
///
/// # Errors
/// As [`open_write_with`]; [`Error::Unsupported`] for Zarr, which has no holes; [`Error::Cancelled`]; after an error the file is
/// as it was.
pub fn compact(path: &Path, locking: Locking, progress: Progress<'_>) -> Result<(u64, u64)> {
    let Found { format, root, .. } = find(path)?;
    match format {
        Format::Hdf5 => Hdf5Store::compact(&root, locking, progress),
        Format::Zarr | Format::ZarrZip => Err(Error::Unsupported {
            at: Place::new(root.display(), ""),
            what: "a Zarr store has no holes: what is replaced or removed is gone from the disk".into(),
        }),
    }
}

/// Opens, trying again for a second while somebody else has the file: most are done by then, and a process that another
/// thread is just starting holds every lock of this one for a moment.
fn patiently<S>(open: impl Fn() -> Result<S>) -> Result<S> {
    let started = Instant::now();
    loop {
        match open() {
            Err(Error::Busy { .. }) if started.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(20)),
            other => return other,
        }
    }
}

/// Finds the store that holds `path`: the file on the way down, or the topmost Zarr group on the way up.
pub(crate) fn find(path: &Path) -> Result<Found> {
    let at = || Place::new(path.display(), "");
    let io = |source| Error::Io { at: at(), source };
    // The longest prefix that exists; the rest lies inside a file, or is missing from a Zarr store.
    let existing = path.ancestors().find(|p| p.exists() && !p.as_os_str().is_empty());
    // The system's own words for what is not there.
    let absent = || io(std::fs::metadata(path).err().unwrap_or_else(|| std::io::ErrorKind::NotFound.into()));
    let Some(existing) = existing else { return Err(absent()) };
    let rest = path.strip_prefix(existing).unwrap_or(Path::new(""));
    let inside = |p: &Path| {
        let text = p.to_str().ok_or_else(|| io(std::io::ErrorKind::InvalidInput.into()))?;
        ElemPath::parse(&text.replace(std::path::MAIN_SEPARATOR, "/"))
    };
    if existing.is_file() {
        return match sniff(existing).map_err(io)? {
            Content::Hdf5 => Ok(Found { format: Format::Hdf5, root: existing.to_owned(), inner: inside(rest)? }),
            Content::Zip => Ok(Found { format: Format::ZarrZip, root: existing.to_owned(), inner: inside(rest)? }),
            Content::Other => Err(Error::NotAnnData {
                at: at(),
                why: "the file is not HDF5 (no HDF5 signature; truncated at the start, or another format)".into(),
            }),
        };
    }
    // Up the real path: the store may enclose the working directory, or what a link leads to.
    let real = existing.canonicalize().map_err(io)?;
    let mut depth = None;
    for (up, dir) in real.ancestors().enumerate() {
        if is_zarr_group(dir) {
            depth = Some(up);
        } else if depth.is_some() {
            break;
        }
    }
    // The user's spelling of the root, where it leads there.
    let spelled = |up: usize| existing.ancestors().nth(up).filter(|p| !p.as_os_str().is_empty());
    let root = depth.and_then(|up| {
        let root = real.ancestors().nth(up)?;
        let same = spelled(up).filter(|p| p.canonicalize().is_ok_and(|c| c == root));
        Some((same.unwrap_or(root).to_owned(), real.strip_prefix(root).ok()?.join(rest)))
    });
    match root {
        Some((root, inner)) => Ok(Found { format: Format::Zarr, root, inner: inside(&inner)? }),
        None if !rest.as_os_str().is_empty() => Err(absent()),
        None if !existing.is_dir() => {
            Err(Error::NotAnnData { at: at(), why: "it is neither a file nor a directory".into() })
        }
        None => Err(Error::NotAnnData {
            at: at(),
            why: "the directory is not a Zarr group (no `zarr.json`, `.zgroup` or `.zmetadata`)".into(),
        }),
    }
}

fn is_zarr_group(dir: &Path) -> bool {
    ["zarr.json", ".zgroup", ".zmetadata"].iter().any(|name| dir.join(name).is_file())
}

enum Content {
    Hdf5,
    Zip,
    Other,
}

/// HDF5 puts its signature at 0 or, behind a user block, at 512, 1024, 2048, … (HDF5 file format, superblock).
fn sniff(path: &Path) -> std::io::Result<Content> {
    use std::io::{Seek, SeekFrom};
    const SIGNATURE: &[u8; 8] = b"\x89HDF\r\n\x1a\n";
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut offset = 0_u64;
    while offset + 8 <= size {
        let mut head = [0_u8; 8];
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(&mut head)?;
        if &head == SIGNATURE {
            return Ok(Content::Hdf5);
        }
        if offset == 0 && (head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06")) {
            return Ok(Content::Zip);
        }
        offset = if offset == 0 { 512 } else { offset * 2 };
    }
    Ok(Content::Other)
}
