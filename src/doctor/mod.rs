//! The doctor: [`verify`] looks for what is wrong with a file and changes nothing; [`Report::repair`] mends what has one
//! right answer.
//!
//! `object` goes through an AnnData or a MuData from slot to slot and `element` through one element, both by metadata alone;
//! what needs data becomes a task of `look`, which reads in blocks of bounded size. `store` tells what the store itself says:
//! Zarr's consolidated metadata and chunk files.

mod blocks;
mod element;
mod look;
mod mudata;
mod object;
mod repair;
mod sparse;
mod store;
mod twin;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Place, Result};
use crate::legacy;
use crate::path::ElemPath;
use crate::progress::Progress;
use crate::store::{Chunks, Found, ReadStore, find};
use look::Task;

/// How serious a [`Finding`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something is lost, contradicts the format, or keeps readers from the file.
    Damage,
    /// Nothing is lost, but readers may be told what is not so any more: consolidated metadata that are behind, a write that
    /// was interrupted.
    Stale,
    /// Worth knowing; readers are not misled.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Damage => "damage",
            Self::Stale => "stale",
            Self::Note => "note",
        })
    }
}

/// Something that [`verify`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// How serious it is.
    pub severity: Severity,
    /// Path inside the store; empty for the store itself.
    pub path: String,
    /// What was found.
    pub what: String,
    /// What [`Report::repair`] does about it; `None` where there is no one right answer.
    pub repair: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "/" } else { &self.path };
        write!(f, "{}: `{path}`: {}", self.severity, self.what)
    }
}

/// What [`verify`] found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Report {
    /// What is wrong, in the order in which it was found.
    pub findings: Vec<Finding>,
    /// Whether everything was looked at that was asked for, and nothing was interrupted.
    pub complete: bool,
    /// The file or directory.
    file: PathBuf,
}

impl Report {
    /// Whether nothing was found but notes.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity == Severity::Note)
    }
}

/// What [`verify`] looks at.
#[derive(Clone, Copy, Default)]
pub struct VerifyOptions<'a> {
    deep: bool,
    progress: Option<Progress<'a>>,
}

impl fmt::Debug for VerifyOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyOptions").field("deep", &self.deep).finish_non_exhaustive()
    }
}

impl<'a> VerifyOptions<'a> {
    /// Whether to read all data, in blocks, and not only metadata and what is small.
    #[must_use]
    pub const fn deep(mut self, yes: bool) -> Self {
        self.deep = yes;
        self
    }

    /// Whom to tell how far the reading is, in bytes. On a break it ends, and the report is not complete.
    #[must_use]
    pub const fn progress(mut self, progress: Progress<'a>) -> Self {
        self.progress = Some(progress);
        self
    }
}

/// How often a store is looked at whose writers leave no time for a look.
const LOOKS: usize = 10;

/// Looks for what is wrong with the AnnData or MuData at `path`, or with all tables of a SpatialData store there: shapes against
/// their axes, the parts of elements against one another, encodings, consolidated metadata against what is there, files that
/// belong to nothing, what an interrupted write has left. Without [`deep`](VerifyOptions::deep), of data only small arrays and
/// the ends of others are read; with it, everything is, in blocks.
///
/// Not a byte is changed, not even what an interrupted write has left, and nothing is taken for granted: damage is a [`Finding`], after which the looking goes on.
///
/// An absent chunk of a Zarr array is no damage in itself: it stands for fill values, and zeros are written so. It is damage
/// where fill values contradict what else is known: an index or categories of nothing but empty names, indices of a sparse
/// matrix that say column 0 more often than there are rows, an indptr that does not ascend. Where it may be either, a deep look
/// notes how many of the chunks there are.
///
/// # Errors
/// [`Error::Io`] if there is nothing to look at, [`Error::NotAnnData`] if it holds no such thing at all, [`Error::Busy`] if
/// somebody else is writing to it, [`Error::StoreChanged`] if somebody has changed it during each of several looks.
pub fn verify(path: impl AsRef<Path>, options: &VerifyOptions<'_>) -> Result<Report> {
    let path = path.as_ref();
    for _ in 1..LOOKS {
        match verify_once(path, options) {
            Err(Error::StoreChanged { .. }) => {}
            looked => return looked,
        }
    }
    verify_once(path, options)
}

fn verify_once(path: &Path, options: &VerifyOptions<'_>) -> Result<Report> {
    let Found { format, root, inner } = find(path)?;
    let mut examiner = Examiner::new(options.deep);
    let _held = examiner.hold(format, &root)?;
    examiner.left_over(&root);
    let looked = examiner.open(format, &root).and_then(|store| match store {
        Some(store) => examiner.examine(store, &inner, options.progress),
        None => Ok(true),
    });
    if let Some(error) = examiner.given_up {
        return Err(error);
    }
    let complete = match looked {
        Ok(complete) => complete,
        // What was found already says more than what was not found because of it.
        Err(Error::NotAnnData { .. } | Error::NotFound { .. }) if !examiner.findings.is_empty() => true,
        Err(error) => return Err(error),
    };
    Ok(Report { findings: examiner.findings, complete, file: root })
}

/// Who looks.
struct Examiner {
    deep: bool,
    findings: Vec<Finding>,
    /// What is to be looked at in the data.
    tasks: Vec<Task>,
    /// The chunk files of Zarr arrays.
    chunks: BTreeMap<ElemPath, Chunks>,
    /// Whether the layout is one of old, shown in today's by a lens: then missing tags are as they should be.
    is_old: bool,
    /// How many nodes have been looked at.
    nodes: usize,
    /// Why looking on makes no sense.
    given_up: Option<Error>,
    /// Bytes of the store on the disk.
    stored: u64,
}

impl Examiner {
    fn new(deep: bool) -> Self {
        Self {
            deep,
            findings: Vec::new(),
            tasks: Vec::new(),
            chunks: Default::default(),
            is_old: false,
            nodes: 0,
            given_up: None,
            stored: 0,
        }
    }

    fn find(&mut self, severity: Severity, at: &ElemPath, what: impl Into<String>) {
        let finding = Finding { severity, path: at.to_string(), what: what.into(), repair: None };
        // Two ways may lead to one fault.
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    fn damage(&mut self, at: &ElemPath, what: impl Into<String>) {
        self.find(Severity::Damage, at, what);
    }

    fn note(&mut self, at: &ElemPath, what: impl Into<String>) {
        self.find(Severity::Note, at, what);
    }

    /// An error as a finding, at the place that it names; what is only not understood is no damage.
    fn error(&mut self, at: &ElemPath, error: Error) {
        // Parts of two states do not fit one another, which is no damage.
        if let Error::StoreChanged { .. } | Error::Busy { .. } = error {
            self.given_up = Some(error);
            return;
        }
        let place = |place: &Place| ElemPath::parse(&place.path).ok().filter(|p| !p.is_root());
        let (place, what, severity) = match &error {
            Error::Malformed { at, what } | Error::Backend { at, what } => (place(at), what.clone(), Severity::Damage),
            Error::Unsupported { at, what } => (place(at), what.clone(), Severity::Note),
            Error::NotFound { at, .. } => (place(at), "it is missing".to_owned(), Severity::Damage),
            Error::Io { at, source } => (place(at), format!("it cannot be read: {source}"), Severity::Damage),
            other => (None, other.to_string(), Severity::Damage),
        };
        self.find(severity, &place.unwrap_or_else(|| at.clone()), what);
    }

    /// Looks at what stands at `inner`; gives whether all of it was looked at.
    fn examine(&mut self, store: Arc<dyn ReadStore>, inner: &ElemPath, progress: Option<Progress<'_>>) -> Result<bool> {
        // A lens that cannot be made stands before something damaged, which is told on the way.
        let shown = legacy::read(store.clone(), inner).unwrap_or_else(|_| store.clone());
        self.is_old = !Arc::ptr_eq(&store, &shown);
        self.find_objects(&*shown, inner)?;
        let tasks = std::mem::take(&mut self.tasks);
        let total: u64 = tasks.iter().map(|task| task.weight).sum();
        let mut done = 0;
        for task in tasks {
            let mut tell = |bytes: u64| {
                done += bytes;
                progress.map_or(ControlFlow::Continue(()), |tell| tell(done.min(total), total))
            };
            if self.look(&*shown, &task, &mut tell).is_break() || self.given_up.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
