//! What a write does, in words: [`Change`] and [`Receipt`].

use std::fmt;
use std::time::Duration;

use crate::overlay::{Delta, Edit, Entry, Was};
use crate::path::ElemPath;

/// What a write does with an element.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It takes the place of what is in the file.
    Replaced,
    /// It goes.
    Removed,
    /// It gets another name; not a byte of it is read or written.
    Renamed {
        /// Its path so far.
        from: String,
    },
}

/// One change that a write makes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Change {
    /// Path inside the AnnData.
    pub path: String,
    /// What is done.
    pub kind: ChangeKind,
    /// What is there afterwards (of a removed element: what it was): `a 2-d float32 array`, …
    pub what: String,
    /// Length of that along each axis; empty for scalars and mappings.
    pub shape: Vec<usize>,
    /// Bytes in memory, before compression; 0 of what is removed or renamed.
    pub bytes: usize,
    /// What the file has at `path` before, if anything.
    pub old: Option<Was>,
}

impl Change {
    /// The change that a pending entry makes to the AnnData at `base`.
    pub(crate) fn of(delta: &Delta, path: &ElemPath, entry: &Entry, base: &ElemPath) -> Self {
        let relative = |at: &ElemPath| at.strip_prefix(base).unwrap_or_default().to_string();
        let was = |was: &Was| (was.what.clone(), was.shape.clone());
        let (kind, (what, shape), bytes) = match &entry.edit {
            Edit::Set(value) => {
                let kind = if entry.old.is_some() { ChangeKind::Replaced } else { ChangeKind::Added };
                (kind, (value.describe(), value.shape()), value.nbytes())
            }
            Edit::Removed => (ChangeKind::Removed, entry.old.as_ref().map(was).unwrap_or_default(), 0),
            Edit::Moved { from, what } => (ChangeKind::Renamed { from: relative(&delta.place(from)) }, was(what), 0),
        };
        Self { path: relative(path), kind, what, shape, bytes, old: entry.old.clone() }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ChangeKind::Added => write!(f, "+ {}: ", self.path)?,
            ChangeKind::Replaced => write!(f, "~ {}: ", self.path)?,
            ChangeKind::Removed => write!(f, "- {}: ", self.path)?,
            ChangeKind::Renamed { from } => write!(f, "> {} (was {from}): ", self.path)?,
        }
        described(f, &self.what, &self.shape)?;
        if matches!(self.kind, ChangeKind::Added | ChangeKind::Replaced) {
            write!(f, ", {} bytes", self.bytes)?;
        }
        match (&self.kind, &self.old) {
            (ChangeKind::Replaced | ChangeKind::Renamed { .. }, Some(old)) => {
                f.write_str(", in place of ")?;
                described(f, &old.what, &old.shape)
            }
            _ => Ok(()),
        }
    }
}

fn described(f: &mut fmt::Formatter<'_>, what: &str, shape: &[usize]) -> fmt::Result {
    f.write_str(what)?;
    if shape.is_empty() {
        return Ok(());
    }
    write!(f, " ({})", shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" × "))
}

/// What a write has done.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Receipt {
    /// The changes made, in the order in which they were asked for.
    pub elements: Vec<Change>,
    /// Bytes written to disk, metadata included.
    pub bytes_written: u64,
    /// Bytes that what was replaced or removed has left as holes in an HDF5 file, until it is compacted.
    pub bytes_freed: u64,
    /// How long it took.
    pub duration: Duration,
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for element in &self.elements {
            writeln!(f, "{element}")?;
        }
        let n = self.elements.len();
        let plural = if n == 1 { "" } else { "s" };
        let seconds = self.duration.as_secs_f64();
        write!(f, "{n} change{plural} written, {} bytes on disk, {seconds:.3} s", self.bytes_written)?;
        if self.bytes_freed > 0 {
            write!(f, "; {} bytes of the file are unused now: compact gives them back", self.bytes_freed)?;
        }
        Ok(())
    }
}
