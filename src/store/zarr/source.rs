//! [`Source`]: the files of a Zarr directory or archive, by path and key, with everything read from them counted. Symbolic
//! links inside a store are not followed: they could lead out of it.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::archive::Archive;
use super::watch::FileId;
use crate::error::{Error, Place, Result};
use crate::path::ElemPath;
use crate::store::Meter;

/// Names that begin so belong to this crate: staging areas, never nodes.
pub(super) const OURS: &str = ".adshadow-";

/// What went wrong below the level that knows the path.
#[derive(Debug)]
pub(super) enum Fault {
    Malformed(String),
    Unsupported(String),
    NotAStore(String),
    Io(io::Error),
    /// Somebody else has changed the store since it was opened for reading.
    Changed,
}

impl Fault {
    pub(super) fn at(self, at: Place) -> Error {
        match self {
            Self::Malformed(what) => Error::Malformed { at, what },
            Self::Unsupported(what) => Error::Unsupported { at, what },
            Self::NotAStore(why) => Error::NotAnnData { at, why },
            Self::Io(source) => Error::Io { at, source },
            Self::Changed => Error::StoreChanged { at },
        }
    }
}

impl From<io::Error> for Fault {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

/// Where the bytes of a chunk are.
#[derive(Debug)]
pub(super) struct Spot {
    pub(super) key: String,
    /// Offset and length in the file; `None` for all of it.
    pub(super) range: Option<(u64, u64)>,
    /// The file, once it has been looked at: what is read later must be of the same. `None` in an archive, which is watched as a
    /// whole.
    pub(super) file: Option<FileId>,
}

impl Spot {
    /// A file that nobody has looked at.
    pub(super) fn new(key: String) -> Self {
        Self { key, range: None, file: None }
    }
}

/// The directory of a store, or the archive that holds one.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) location: String,
    pub(super) root: PathBuf,
    archive: Option<Archive>,
    /// When the store was opened for reading: chunks that are newer do not fit what has been read since. `None` for a writer.
    pub(super) since: Option<SystemTime>,
    pub(super) meter: Meter,
}

impl Source {
    pub(super) fn new(root: &Path) -> Self {
        let location = root.display().to_string();
        Self { location, root: root.to_owned(), archive: None, since: None, meter: Meter::default() }
    }

    /// As it is now, for reading.
    pub(super) fn reading(root: &Path) -> Self {
        // The clock of the file system may be ahead of ours. What was copied last (`cp -a`) is the root, whose time of modification
        // may be of long ago, and that of change is not.
        let there = fs::metadata(root).ok().and_then(|found| FileId::of(&found).latest());
        let now = SystemTime::now();
        Self { since: Some(there.map_or(now, |there| now.max(there))), ..Self::new(root) }
    }

    /// The store inside a zip archive.
    pub(super) fn zip(path: &Path) -> Result<Self> {
        let source = Self::new(path);
        let archive = Archive::open(path).map_err(|f| f.at(source.place(&ElemPath::root())))?;
        Ok(Self { archive: Some(archive), ..source })
    }

    /// Whether the files lie in an archive.
    pub(super) fn is_archive(&self) -> bool {
        self.archive.is_some()
    }

    pub(super) fn place(&self, at: &ElemPath) -> Place {
        Place::new(&self.location, at)
    }

    pub(super) fn not_found(&self, at: &ElemPath) -> Error {
        Error::NotFound { at: self.place(at), nearest: Vec::new() }
    }

    pub(super) fn malformed(&self, at: &ElemPath, what: impl Into<String>) -> Error {
        Error::Malformed { at: self.place(at), what: what.into() }
    }

    pub(super) fn io(&self, at: &ElemPath) -> impl Fn(io::Error) -> Error + use<> {
        let at = self.place(at);
        move |source| Error::Io { at: at.clone(), source }
    }

    /// Where the node `at` lies.
    pub(super) fn dir(&self, at: &ElemPath) -> PathBuf {
        at.components().fold(self.root.clone(), |dir, name| dir.join(name))
    }

    /// The directory of `at` if every step to it is a real directory: links could lead out of the store.
    pub(super) fn real_dir(&self, at: &ElemPath) -> Option<PathBuf> {
        let mut dir = self.root.clone();
        for name in at.components() {
            dir.push(name);
            if !fs::symlink_metadata(&dir).is_ok_and(|m| m.is_dir()) || name.starts_with(OURS) {
                return None;
            }
        }
        Some(dir)
    }

    /// A metadata document, whole; `None` if there is none.
    pub(super) fn document(&self, at: &ElemPath, name: &str) -> Result<Option<Vec<u8>>> {
        if let Some(archive) = &self.archive {
            let bytes = archive.document(&key_of(at, name)).map_err(|f| f.at(self.place(at)))?;
            bytes.iter().for_each(|b| self.meter.document(b.len() as u64));
            return Ok(bytes);
        }
        let Some(dir) = self.real_dir(at) else { return Ok(None) };
        let file = dir.join(name);
        if !fs::symlink_metadata(&file).is_ok_and(|m| m.is_file()) {
            return Ok(None);
        }
        let bytes = fs::read(file).map_err(self.io(at))?;
        self.meter.document(bytes.len() as u64);
        Ok(Some(bytes))
    }

    /// Names of the directories below `at` that hold a node's metadata, sorted.
    pub(super) fn children(&self, at: &ElemPath) -> Result<Vec<String>> {
        const NODE: [&str; 3] = ["zarr.json", ".zarray", ".zgroup"];
        if let Some(archive) = &self.archive {
            let mut names = archive.children(&key_of(at, ""), &NODE);
            names.retain(|name| !name.starts_with(OURS) && at.join(name).is_ok());
            return Ok(names);
        }
        let is_node = |entry: &fs::DirEntry, name: &str| {
            let holds = |key| fs::symlink_metadata(entry.path().join(key)).is_ok_and(|m| m.is_file());
            !name.starts_with(OURS) && entry.file_type().is_ok_and(|t| t.is_dir()) && NODE.into_iter().any(holds)
        };
        self.names(at, is_node)
    }

    /// Names of the symbolic links below `at`, sorted.
    pub(super) fn links(&self, at: &ElemPath) -> Result<Vec<String>> {
        if self.archive.is_some() {
            return Ok(Vec::new());
        }
        self.names(at, |entry, _| entry.file_type().is_ok_and(|t| t.is_symlink()))
    }

    /// Sorted names of what is wanted in the directory of `at`. A name that is no text, or no sound component, cannot be asked
    /// for.
    fn names(&self, at: &ElemPath, wanted: impl Fn(&fs::DirEntry, &str) -> bool) -> Result<Vec<String>> {
        let Some(dir) = self.real_dir(at) else { return Ok(Vec::new()) };
        let mut names = Vec::new();
        for entry in fs::read_dir(dir).map_err(self.io(at))? {
            let entry = entry.map_err(self.io(at))?;
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            if at.join(&name).is_ok() && wanted(&entry, &name) {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// A chunk of at most `limit` bytes; `None` if there is no such file.
    pub(super) fn chunk(&self, at: &ElemPath, spot: &mut Spot, limit: usize) -> Result<Option<Vec<u8>>, Fault> {
        let bytes = match &self.archive {
            Some(archive) => archive.read(&key_of(at, &spot.key), spot.range, limit)?,
            None => self.chunk_file(at, spot, limit)?,
        };
        bytes.iter().for_each(|b| self.meter.read(b.len() as u64));
        Ok(bytes)
    }

    fn chunk_file(&self, at: &ElemPath, spot: &mut Spot, limit: usize) -> Result<Option<Vec<u8>>, Fault> {
        let Some((path, found)) = self.file(at, spot)? else { return Ok(None) };
        let (key, (start, len)) = (&spot.key, spot.range.unwrap_or((0, found.len)));
        within(key, found.len, start, len)?;
        let len = usize::try_from(len).ok().filter(|&n| n <= limit && Vec::<u8>::new().try_reserve_exact(n).is_ok());
        let len = len.ok_or_else(|| Fault::Malformed(format!("more of `{key}` is wanted than a chunk can have")))?;
        let mut bytes = vec![0; len];
        self.read_parts(&path, &found, &mut [(start, &mut bytes)])?;
        Ok(Some(bytes))
    }

    /// Reads parts of a chunk, each from an offset on, into the places given. The chunk must have `size` bytes. False if there is
    /// no such file.
    pub(super) fn chunk_parts(
        &self,
        at: &ElemPath,
        spot: &mut Spot,
        size: u64,
        parts: &mut [(u64, &mut [u8])],
    ) -> Result<bool, Fault> {
        let file = match &self.archive {
            Some(archive) => archive.size(&key_of(at, &spot.key)).map(|len| (len, None)),
            None => self.file(at, spot)?.map(|(path, found)| (found.len, Some((path, found)))),
        };
        let Some((file_size, file)) = file else { return Ok(false) };
        let (key, (start, len)) = (&spot.key, spot.range.unwrap_or((0, file_size)));
        within(key, file_size, start, len)?;
        if len != size {
            return Err(Fault::Malformed(format!("a chunk in `{key}` has {len} bytes, its items {size}")));
        }
        for (offset, place) in parts.iter_mut() {
            within(key, len, *offset, place.len() as u64)?;
            *offset += start;
            self.meter.read(place.len() as u64);
        }
        if parts.is_empty() {
            return Ok(true);
        }
        match (&self.archive, file) {
            (_, Some((path, found))) => self.read_parts(&path, &found, parts)?,
            (Some(archive), None) => {
                for (offset, place) in parts {
                    let len = place.len();
                    // Read to its end, an entry is compared with its checksum.
                    let part = (len as u64 != file_size).then_some((*offset, len as u64));
                    let bytes = archive.read(&key_of(at, key), part, len)?;
                    place.copy_from_slice(&bytes.filter(|b| b.len() == len).ok_or(Fault::Changed)?);
                }
            }
            (None, None) => {}
        }
        Ok(true)
    }

    fn read_parts(&self, path: &Path, found: &FileId, parts: &mut [(u64, &mut [u8])]) -> Result<(), Fault> {
        let mut file = File::open(path)?;
        let mut read = || {
            parts.iter_mut().try_for_each(|(start, place)| {
                file.seek(SeekFrom::Start(*start))?;
                file.read_exact(place)
            })
        };
        let read = read();
        // Another file by now, or written to in between: what was read may be of both.
        if self.since.is_some() && FileId::of(&file.metadata()?) != *found {
            return Err(Fault::Changed);
        }
        Ok(read?)
    }

    /// Whether the file of a chunk is still what it was when something of it was read.
    ///
    /// # Errors
    /// [`Fault::Changed`].
    pub(super) fn check_chunk(&self, at: &ElemPath, spot: &mut Spot) -> Result<(), Fault> {
        let here = self.is_archive() || self.file(at, spot)?.is_some();
        if here { Ok(()) } else { Err(Fault::Changed) }
    }

    /// Whether a chunk is in an archive that has compressed it: a part of it costs as much as all before it.
    pub(super) fn is_packed(&self, at: &ElemPath, key: &str) -> bool {
        self.archive.as_ref().is_some_and(|archive| archive.is_packed(&key_of(at, key)))
    }

    /// Size of a chunk file; `None` if there is none.
    pub(super) fn chunk_size(&self, at: &ElemPath, spot: &mut Spot) -> Result<Option<u64>, Fault> {
        match &self.archive {
            Some(archive) => Ok(archive.size(&key_of(at, &spot.key))),
            None => Ok(self.file(at, spot)?.map(|(_, found)| found.len)),
        }
    }

    /// The file of a chunk; `None` if there is none. If it has been looked at before, it must be the same file with the same
    /// content: what the clocks say is not enough, for a file may come with a time from the past, or from a clock that is ahead.
    fn file(&self, at: &ElemPath, spot: &mut Spot) -> Result<Option<(PathBuf, FileId)>, Fault> {
        let found = self.chunk_path(at, &spot.key)?;
        let id = found.as_ref().map(|(_, id)| *id);
        if spot.file.is_some() && spot.file != id {
            return Err(Fault::Changed);
        }
        spot.file = id;
        Ok(found)
    }

    /// Where a chunk file is, and what the system says of it; `None` if there is none.
    fn chunk_path(&self, at: &ElemPath, key: &str) -> Result<Option<(PathBuf, FileId)>, Fault> {
        let mut path = self.root.clone();
        let depth = at.components().count();
        let mut steps = at.components().chain(key.split('/')).enumerate().peekable();
        while let Some((number, step)) = steps.next() {
            path.push(step);
            // Looked at before it is opened: opening a pipe would wait for ever.
            let found = match fs::symlink_metadata(&path) {
                Ok(found) => found,
                Err(e) if absent(&e) => return Ok(None),
                Err(e) => return Err(e.into()),
            };
            let id = FileId::of(&found);
            // In the array's own directories, too: a chunk that came or went is a change of these.
            if number + 1 >= depth && self.since.is_some_and(|since| id.is_newer_than(since)) {
                return Err(Fault::Changed);
            }
            if found.is_symlink() {
                return Err(Fault::Unsupported(format!(
                    "`{}` is a symbolic link, which is not followed",
                    path.display()
                )));
            }
            if steps.peek().is_none() {
                let file = found.is_file().then_some((path, id));
                return file.map(Some).ok_or_else(|| Fault::Malformed(format!("chunk `{key}` is not a file")));
            }
        }
        Ok(None)
    }
}

/// Whether a file of `size` bytes has `len` bytes from `start` on.
fn within(key: &str, size: u64, start: u64, len: u64) -> Result<(), Fault> {
    if start.checked_add(len).is_some_and(|end| end <= size) {
        return Ok(());
    }
    Err(Fault::Malformed(format!("`{key}` has {size} bytes, {len} from {start} on are wanted")))
}

/// The name of a file in an archive; of the directory `at`, with a slash behind it, if there is no `name`.
fn key_of(at: &ElemPath, name: &str) -> String {
    if at.is_root() { name.to_owned() } else { format!("{at}/{name}") }
}

fn absent(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
