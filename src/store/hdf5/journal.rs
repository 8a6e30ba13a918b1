//! The journal beside an HDF5 file that is written. Before the first byte is appended it says where the file ended, so that
//! whoever comes after a writer that died can cut off what that one appended. When all is appended, it takes the changed
//! pages, which from then on are to be written into the file, by the writer or by whoever comes after it.
//!
//! All numbers are little-endian. First 64 bytes: `ADSHJRNL`, version (4), length of the file's head that is checked (4), length
//! of the file (8), place of its head (8), CRC-32C of its head (4), zeros, CRC-32C of the 60 bytes before (4). Then, in one
//! piece: length of this piece (8), the file's new length (8), number of runs (8); for each run its place (8), its length (8),
//! the old bytes, the new bytes; CRC-32C of the journal up to here (4).

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::beside;
use super::bytes::{read_at, write_at};
use super::faults::{self, Step};
use super::pages::Run;

const MAGIC: [u8; 8] = *b"ADSHJRNL";
const VERSION: u32 = 1;
/// Bytes of the first part.
const FIRST: usize = 64;
/// What a superblock begins with. It lies at the start of the file, or behind a user block whose length is 512 bytes or a
/// power of two times as much.
const SIGNATURE: [u8; 8] = *b"\x89HDF\r\n\x1a\n";
/// No superblock is longer (without the driver information that nobody writes).
const HEAD: u64 = 96;

/// The journal of a file that is being written.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    first: [u8; FIRST],
}

impl Journal {
    /// Begins the journal of a file, of which all below `base` stays as it is until [`commit`](Self::commit).
    pub(super) fn begin(path: PathBuf, file: &File, base: u64) -> io::Result<Self> {
        let (at, crc) = head(file, base)?;
        let mut first = [0; FIRST];
        let fields = [
            &MAGIC[..],
            &VERSION.to_le_bytes(),
            &(HEAD as u32).to_le_bytes(),
            &base.to_le_bytes(),
            &at.to_le_bytes(),
            &crc.to_le_bytes(),
        ]
        .concat();
        first[..fields.len()].copy_from_slice(&fields);
        let crc = crc32c::crc32c(&first[..FIRST - 4]);
        first[FIRST - 4..].copy_from_slice(&crc.to_le_bytes());
        let named = |e: io::Error| io::Error::new(e.kind(), format!("the journal `{}`: {e}", path.display()));
        let mut journal = beside::create_like(&path, &file.metadata()?).map_err(named)?;
        let written =
            journal.write_all(&first).and_then(|()| journal.sync_all()).and_then(|()| beside::sync_dir(&path));
        if let Err(error) = written {
            // Nothing has been appended yet: without it, nothing is missing.
            let _ = beside::remove(&path);
            return Err(named(error));
        }
        Ok(Self { path, file: journal, first })
    }

    /// Adds the changes: once this has returned, they are to be made. Gives the bytes written.
    pub(super) fn commit(&mut self, length: u64, runs: &[Run]) -> io::Result<u64> {
        let mut piece = [0, length, runs.len() as u64].map(u64::to_le_bytes).concat();
        for run in runs {
            piece.extend_from_slice(&run.at.to_le_bytes());
            piece.extend_from_slice(&(run.new.len() as u64).to_le_bytes());
            piece.extend_from_slice(&run.old);
            piece.extend_from_slice(&run.new);
        }
        let total = piece.len() as u64 + 4;
        piece[..8].copy_from_slice(&total.to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&self.first), &piece);
        piece.extend_from_slice(&crc.to_le_bytes());
        write_at(&self.file, FIRST as u64, &piece)?;
        self.file.sync_all()?;
        Ok(total)
    }

    /// Takes back the changes that were added, if any were.
    pub(super) fn uncommit(&self) -> io::Result<()> {
        faults::pass(Step::Uncommit)?;
        self.file.set_len(FIRST as u64)?;
        self.file.sync_all()
    }

    /// Ends it: the file is what it is.
    pub(super) fn remove(&self) -> io::Result<()> {
        beside::remove(&self.path)?;
        beside::sync_dir(&self.path)
    }
}

/// What a writer that died has left to be done.
#[derive(Debug)]
pub(super) enum Left {
    /// The journal has no meaning: it had not been begun, or the file was written by another program since. It may go.
    Nothing,
    /// All from here on was appended and never published.
    Tail(u64),
    /// Changes that are published, of which some may have been made.
    Changes(Changes),
    /// The journal does not fit the file, for this reason.
    Misfit(String),
}

/// Changes of a file that are to be made as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Changes {
    /// Length of the file before.
    pub base: u64,
    /// Length of the file after.
    pub length: u64,
    pub runs: Vec<Run>,
}

impl Changes {
    /// Makes them in a file that has been made long enough. Gives the bytes written.
    pub(super) fn apply(&self, file: &File) -> io::Result<u64> {
        for run in &self.runs {
            faults::pass(Step::Make)?;
            write_at(file, run.at, &run.new)?;
        }
        file.sync_all()?;
        if self.length < self.base {
            // What is left behind the end harms nobody; HDF5 knows where its file ends.
            let _ = file.set_len(self.length).and_then(|()| file.sync_all());
        }
        Ok(self.runs.iter().map(|run| run.new.len() as u64).sum())
    }

    /// Unmakes what [`apply`](Self::apply) has made when it fails.
    pub(super) fn take_back(&self, file: &File) -> io::Result<()> {
        for run in self.runs.iter().rev() {
            faults::pass(Step::TakeBack)?;
            write_at(file, run.at, &run.old)?;
        }
        file.sync_all()
    }

    /// Whether the file is one in which none, some or all of these changes have been made.
    fn fit(&self, file: &File) -> io::Result<bool> {
        let length = file.metadata()?.len();
        if length != self.length && length != self.length.max(self.base) {
            return Ok(false);
        }
        for run in &self.runs {
            let mut now = vec![0; run.new.len()];
            read_at(file, run.at, &mut now)?;
            if now.iter().zip(run.old.iter().zip(&run.new)).any(|(now, (old, new))| now != old && now != new) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What the journal at `path` says about the file; `None` if there is none.
pub(super) fn look(path: &Path, file: &File) -> io::Result<Option<Left>> {
    let journal = match File::open(path) {
        Ok(journal) => journal,
        // Beside a file with so long a name there can be none.
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidFilename) => return Ok(None),
        Err(e) => return Err(e),
    };
    let misfit = |why: &str| Ok(Some(Left::Misfit(why.to_owned())));
    if !journal.metadata()?.is_file() {
        return misfit("it is not a regular file");
    }
    // It holds every byte of the file twice at most; whatever it says itself, no more is read.
    let most = file.metadata()?.len().saturating_mul(3).saturating_add(4096);
    let mut bytes = Vec::new();
    journal.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return misfit("it is longer than a journal of this file can be");
    }
    let Some((first, rest)) = bytes.split_first_chunk::<FIRST>() else { return Ok(Some(Left::Nothing)) };
    let sound = crc32c::crc32c(&first[..FIRST - 4]).to_le_bytes() == first[FIRST - 4..] && first.starts_with(&MAGIC);
    if !sound {
        return if rest.is_empty() { Ok(Some(Left::Nothing)) } else { misfit("it is damaged") };
    }
    if first[8..12] != VERSION.to_le_bytes() {
        return misfit("it was written by a newer version");
    }
    let base = number(&first[16..]);
    if let Some(piece) = complete(first, rest) {
        let Some(changes) = parse(piece, base) else { return misfit("it is damaged") };
        if !changes.fit(file)? {
            return misfit("it does not belong to the file as it is now");
        }
        return Ok(Some(Left::Changes(changes)));
    }
    let untouched = file.metadata()?.len() >= base && (number(&first[24..]), crc(&first[32..])) == head(file, base)?;
    match (untouched, rest) {
        (true, _) => Ok(Some(Left::Tail(base))),
        (false, []) => Ok(Some(Left::Nothing)),
        (false, _) => misfit("it is damaged, or does not belong to the file as it is now"),
    }
}

/// The second part without its checksum, if it is complete.
fn complete<'a>(first: &[u8; FIRST], rest: &'a [u8]) -> Option<&'a [u8]> {
    let (piece, end) = rest.split_last_chunk::<4>()?;
    let crc = crc32c::crc32c_append(crc32c::crc32c(first), piece);
    (piece.len() >= 24 && number(piece) == rest.len() as u64 && crc.to_le_bytes() == *end).then_some(piece)
}

/// The changes in a complete second part; `None` if they leave the file or overlap.
fn parse(piece: &[u8], base: u64) -> Option<Changes> {
    let length = Some(number(&piece[8..])).filter(|&length| i64::try_from(length.max(base)).is_ok())?;
    let (count, mut rest, mut runs, mut last) = (number(&piece[16..]), &piece[24..], Vec::new(), 0);
    while !rest.is_empty() {
        let (place, bytes) = rest.split_at_checked(16)?;
        let (at, len) = (number(place), number(&place[8..]));
        let end = at.checked_add(len).filter(|&end| len > 0 && at >= last && end <= base.min(length))?;
        let len = usize::try_from(len).ok()?;
        let (old, bytes) = bytes.split_at_checked(len)?;
        let (new, bytes) = bytes.split_at_checked(len)?;
        runs.push(Run { at, old: old.to_vec(), new: new.to_vec() });
        (rest, last) = (bytes, end);
    }
    (runs.len() as u64 == count).then_some(Changes { base, length, runs })
}

/// Place and checksum of the head of an HDF5 file, which tells one state of it from another: it holds the file's length.
fn head(file: &File, base: u64) -> io::Result<(u64, u32)> {
    for at in std::iter::once(0).chain((9..63).map(|power| 1 << power)).take_while(|&at| at < base) {
        let mut bytes = vec![0; HEAD.min(base - at) as usize];
        read_at(file, at, &mut bytes)?;
        if bytes.starts_with(&SIGNATURE) {
            return Ok((at, crc32c::crc32c(&bytes)));
        }
    }
    Ok((0, 0))
}

/// The number in the first eight bytes, of which there are as many.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |n, &byte| n << 8 | u64::from(byte))
}

fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).rev().fold(0, |n, &byte| n << 8 | u32::from(byte))
}
