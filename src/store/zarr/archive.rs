//! [`Archive`]: a Zarr directory inside a zip file, read where it lies. Entries are never unpacked to disk, and none yields
//! more than it says or than is asked for.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use zip::read::ZipFileEntry;
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::filter::drain;
use super::source::Fault;

/// The files of the store, by their path below its root.
#[derive(Debug)]
pub(super) struct Archive {
    zip: ZipArchive<Handle>,
    entries: BTreeMap<String, usize>,
    /// The last deflated entry of which a part was wanted: what lies deflated can only be read from its beginning.
    inflated: Mutex<Option<(usize, Inflated)>>,
}

/// A deflated entry, which the first who wants a part of it inflates. Others who want it wait for that, and nobody else does.
type Inflated = Arc<Mutex<Option<Arc<Vec<u8>>>>>;

/// What marks a directory as a Zarr group.
const GROUP: [&str; 3] = ["zarr.json", ".zgroup", ".zmetadata"];
/// A document is no larger.
const MAX_DOCUMENT: usize = 1 << 28;
/// Deflated entries up to this size are kept whole for the next part that is wanted.
const MAX_KEPT: usize = 1 << 28;
/// Deflate makes nothing more than this many times smaller.
const MAX_RATIO: u64 = 1100;

impl Archive {
    /// Opens the archive whose root, or one directory in it, is a Zarr group. An entry that is there twice counts as it was
    /// written last, which is how Python's writer replaces one.
    pub(super) fn open(path: &Path) -> Result<Self, Fault> {
        let zip = ZipArchive::new(Handle::new(File::open(path)?)).map_err(fault)?;
        let mut names = BTreeMap::new();
        for index in 0..zip.len() {
            let name = zip.by_index_data(index).and_then(|e| e.name().map(|n| n.into_owned())).map_err(fault)?;
            if !is_sound(&name) {
                return Err(Fault::Malformed(format!("the archive has an entry `{name}`, which is no path inside it")));
            }
            if !name.ends_with('/') {
                names.insert(name, index);
            }
        }
        let is_group = |dir: &str| GROUP.iter().any(|document| names.contains_key(&format!("{dir}{document}")));
        let root = if is_group("") {
            String::new()
        } else {
            let mut tops: Vec<String> =
                names.keys().filter_map(|n| Some(format!("{}/", n.split_once('/')?.0))).collect();
            tops.dedup();
            let groups: Vec<&String> = tops.iter().filter(|dir| is_group(dir)).collect();
            let [root] = groups[..] else {
                return Err(Fault::NotAStore(match (groups.len(), tops.is_empty()) {
                    (0, true) => "the archive is not a Zarr group (no `zarr.json`, `.zgroup` or `.zmetadata`)".into(),
                    (0, false) => {
                        format!("there is no Zarr group at the top of the archive nor in {}", tops.join(", "))
                    }
                    _ => format!(
                        "the archive holds several stores: {}",
                        groups.iter().map(|g| g.as_str()).collect::<Vec<_>>().join(", ")
                    ),
                }));
            };
            root.clone()
        };
        let entries = names.into_iter().filter_map(|(n, i)| Some((n.strip_prefix(&root)?.to_owned(), i))).collect();
        Ok(Self { zip, entries, inflated: Mutex::default() })
    }

    /// A document, whole; `None` if there is none.
    pub(super) fn document(&self, path: &str) -> Result<Option<Vec<u8>>, Fault> {
        let Some(&index) = self.entries.get(path) else { return Ok(None) };
        if self.zip.by_index_data(index).map_err(fault)?.is_symlink() {
            return Ok(None);
        }
        self.whole(index, MAX_DOCUMENT).map(Some)
    }

    /// The size of an entry, `None` if there is none.
    pub(super) fn size(&self, path: &str) -> Option<u64> {
        self.zip.by_index_data(*self.entries.get(path)?).ok().map(|e| e.size())
    }

    /// Whether an entry is there whose parts cannot be read alone.
    pub(super) fn is_packed(&self, path: &str) -> bool {
        let entry = self.entries.get(path).and_then(|&index| self.zip.by_index_data(index).ok());
        entry.is_some_and(|entry| !is_plain(&entry))
    }

    /// An entry of at most `limit` bytes, or `len` bytes of it from `start` on; `None` if there is none.
    pub(super) fn read(&self, path: &str, range: Option<(u64, u64)>, limit: usize) -> Result<Option<Vec<u8>>, Fault> {
        let Some(&index) = self.entries.get(path) else { return Ok(None) };
        let entry = self.zip.by_index_data(index).map_err(fault)?;
        if entry.is_symlink() {
            return Err(Fault::Unsupported(format!("`{path}` is a symbolic link, which is not followed")));
        }
        let Some((start, len)) = range else { return self.whole(index, limit).map(Some) };
        let size = entry.size();
        if start.checked_add(len).is_none_or(|end| end > size) {
            return Err(Fault::Malformed(format!("`{path}` has {size} bytes, {len} from {start} on are wanted")));
        }
        let len = usize::try_from(len).ok().filter(|&n| n <= limit);
        let len = len.ok_or_else(|| Fault::Malformed(format!("more of `{path}` is wanted than a chunk can have")))?;
        if is_plain(&entry) {
            let mut zip = self.zip.clone();
            let mut part = zip.by_index_seek(index).map_err(fault)?;
            part.seek(SeekFrom::Start(start)).map_err(broken)?;
            return exactly(part, len).map(Some);
        }
        if size > MAX_KEPT as u64 {
            let mut zip = self.zip.clone();
            let mut whole = zip.by_index(index).map_err(fault)?;
            io::copy(&mut (&mut whole).take(start), &mut io::sink()).map_err(broken)?;
            return exactly(whole, len).map(Some);
        }
        let whole = self.inflated(index)?;
        let start = start as usize;
        whole
            .get(start..start + len)
            .map(|part| Some(part.to_vec()))
            .ok_or_else(|| broken(io::ErrorKind::UnexpectedEof.into()))
    }

    /// Names of the directories directly below `dir` (empty, or ending in `/`) that hold one of these documents.
    pub(super) fn children(&self, dir: &str, documents: &[&str]) -> Vec<String> {
        let below = self.entries.range(dir.to_owned()..).map_while(|(path, _)| path.strip_prefix(dir));
        below
            .filter_map(|path| path.split_once('/').filter(|(_, rest)| documents.contains(rest)))
            .map(|(name, _)| name.to_owned())
            .collect::<std::collections::BTreeSet<String>>()
            .into_iter()
            .collect()
    }

    fn whole(&self, index: usize, limit: usize) -> Result<Vec<u8>, Fault> {
        let mut zip = self.zip.clone();
        let mut entry = zip.by_index(index).map_err(fault)?;
        let claims = entry.size();
        let possible = entry.compressed_size().saturating_mul(MAX_RATIO).saturating_add(1 << 10);
        if claims > possible || claims > limit as u64 {
            let name = entry.name().map_err(fault)?.into_owned();
            return Err(Fault::Malformed(format!("`{name}` claims to hold {claims} bytes, more than it can")));
        }
        let bytes = drain((&mut entry).take(claims), claims as usize)?;
        // At its end, and there only, the checksum is looked at.
        match entry.read(&mut [0]).map_err(broken)? {
            0 => Ok(bytes),
            _ => Err(Fault::Malformed("the zip archive: an entry is longer than it says".into())),
        }
    }

    fn inflated(&self, index: usize) -> Result<Arc<Vec<u8>>, Fault> {
        let entry = {
            let mut last = self.inflated.lock();
            let known = last.as_ref().filter(|(number, _)| *number == index);
            let entry = known.map_or_else(Inflated::default, |(_, entry)| entry.clone());
            *last = Some((index, entry.clone()));
            entry
        };
        let mut entry = entry.lock();
        if let Some(bytes) = &*entry {
            return Ok(bytes.clone());
        }
        let bytes = Arc::new(self.whole(index, MAX_KEPT)?);
        *entry = Some(bytes.clone());
        Ok(bytes)
    }
}

/// Whether the bytes of an entry lie in the archive as they are.
fn is_plain(entry: &ZipFileEntry<'_>) -> bool {
    entry.compression() == CompressionMethod::Stored && !entry.encrypted()
}

fn exactly(reader: impl Read, len: usize) -> Result<Vec<u8>, Fault> {
    let bytes = drain(reader.take(len as u64), len)?;
    if bytes.len() == len { Ok(bytes) } else { Err(broken(io::ErrorKind::UnexpectedEof.into())) }
}

/// Whether the name is a path that stays inside: no `..`, no root, no drive, no backslash.
fn is_sound(name: &str) -> bool {
    let name = name.strip_suffix('/').unwrap_or(name);
    let drive = name.as_bytes().get(1) == Some(&b':') && name.as_bytes()[0].is_ascii_alphabetic();
    !drive && !name.contains(['\\', '\0']) && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

fn fault(e: ZipError) -> Fault {
    match e {
        ZipError::Io(e) => broken(e),
        ZipError::UnsupportedArchive(what) => Fault::Unsupported(format!("the zip archive: {what}")),
        other => Fault::Malformed(format!("the zip archive: {other}")),
    }
}

/// What the system does not let through is no damage.
fn broken(e: io::Error) -> Fault {
    match e.kind() {
        io::ErrorKind::InvalidData
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::UnexpectedEof
        | io::ErrorKind::Other => Fault::Malformed(format!("the zip archive: {e}")),
        _ => Fault::Io(e),
    }
}

/// A place in a file that others read at the same time, with the bytes that come next.
#[derive(Debug)]
struct Handle {
    file: Arc<File>,
    pos: u64,
    ahead: Vec<u8>,
    ahead_from: u64,
}

impl Handle {
    fn new(file: File) -> Self {
        Self { file: Arc::new(file), pos: 0, ahead: Vec::new(), ahead_from: 0 }
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        Self { file: self.file.clone(), pos: 0, ahead: Vec::new(), ahead_from: 0 }
    }
}

#[cfg(unix)]
fn read_at(file: &File, out: &mut [u8], pos: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, out, pos)
}

#[cfg(windows)]
fn read_at(file: &File, out: &mut [u8], pos: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, out, pos)
}

impl Read for Handle {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        const AHEAD: usize = 4096;
        let held = |h: &Self| h.pos.checked_sub(h.ahead_from).filter(|&skip| skip < h.ahead.len() as u64);
        let read = if out.len() >= AHEAD && held(self).is_none() {
            read_at(&self.file, out, self.pos)?
        } else {
            if held(self).is_none() {
                let mut ahead = vec![0; AHEAD];
                let got = read_at(&self.file, &mut ahead, self.pos)?;
                ahead.truncate(got);
                (self.ahead, self.ahead_from) = (ahead, self.pos);
            }
            let skip = held(self).map_or(self.ahead.len(), |skip| skip as usize);
            (&self.ahead[skip..]).read(out)?
        };
        self.pos += read as u64;
        Ok(read)
    }
}

impl Seek for Handle {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let pos = match to {
            SeekFrom::Start(pos) => Some(pos),
            SeekFrom::Current(by) => self.pos.checked_add_signed(by),
            SeekFrom::End(by) => self.file.metadata()?.len().checked_add_signed(by),
        };
        self.pos = pos.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.pos)
    }
}
