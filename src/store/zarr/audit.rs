//! [`audit`]: what is wrong with a Zarr store as a store, whatever its nodes hold. Consolidated metadata that do not say what
//! is there, documents that cannot be parsed, nodes that nobody comes to, files that belong to nothing, and which chunks
//! there are. Nothing is changed, no lock is taken, and no chunk is opened.

mod files;
mod maps;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::path::Path;

use self::files::{Files, entries, is_node, nodes_below, position};
use super::meta::{Document, Layout};
use super::shard::unravel;
use super::source::{OURS, Source};
use super::watch::Watch;
use super::{Access, Reader, ZarrStore};
use crate::error::{Error, Result};
use crate::path::ElemPath;

/// Something that is wrong.
#[derive(Debug, Clone)]
pub(crate) struct Flaw {
    /// The node.
    pub(crate) at: ElemPath,
    /// What kind of thing is wrong.
    pub(crate) kind: FlawKind,
    /// What is wrong, in words.
    pub(crate) what: String,
}

/// Kinds of what can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlawKind {
    /// Consolidated metadata say something else than the documents; renewing them mends it.
    StaleMap,
    /// Consolidated metadata with which zarr-python does not open the store; renewing them mends it.
    BrokenMap,
    /// A document that cannot be parsed.
    BrokenDocument,
    /// Nodes below a directory that is none, so that nobody comes to them.
    Unreachable,
    /// Files and directories that belong to nothing and harm nobody.
    Stray,
}

/// The chunk files of an array that has items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunks {
    /// How many there are.
    pub(crate) present: usize,
    /// How many there are when all are stored.
    pub(crate) whole: usize,
    /// Length of a chunk file's part along each axis (of shards: theirs).
    pub(crate) lengths: Vec<usize>,
    /// The first one that is not there, as a position in the grid.
    pub(crate) first_absent: Option<Vec<usize>>,
    /// Whether there are directories for chunks, all of them empty.
    pub(crate) emptied: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    /// What is wrong, in the order in which it was found.
    pub(crate) flaws: Vec<Flaw>,
    /// The chunk files of every array. (Not known of archives.)
    pub(crate) chunks: BTreeMap<ElemPath, Chunks>,
    /// The groups whose consolidated metadata want renewing.
    pub(crate) maps: BTreeSet<ElemPath>,
    /// Bytes of all chunk files, if these were asked for. (Not known of archives.)
    pub(crate) stored: u64,
    /// Whether they were.
    sizes: bool,
}

/// How many names a message lists.
const LISTED: usize = 5;
/// No honest store nests this deep.
const MAX_DEPTH: usize = 64;
/// Files of a node that are not chunks. (Old SpatialData wrote a map without the dot.)
const DOCUMENTS: [&str; 6] = ["zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata", "zmetadata"];

impl ZarrStore {
    /// Opens a store for reading as it lies there: its consolidated metadata are not believed, and what an interrupted write
    /// has left is not touched.
    pub(crate) fn open_as_it_lies(path: &Path, is_zip: bool) -> Result<Self> {
        let source = if is_zip { Source::zip(path)? } else { Source::reading(path) };
        let watch = Watch::new(&source);
        let reader = Reader::new(None, watch);
        Ok(Self { source, access: Access::Read(Box::new(reader)), shard: false })
    }

    /// Looks at every document, every directory and the name (if asked for, the size) of every chunk file.
    ///
    /// # Errors
    /// [`Error::Io`] if the store's own directory cannot be read; what cannot be read further down is a flaw.
    pub(crate) fn audit(&self, sizes: bool) -> Result<Audit> {
        let mut audit = Audit { sizes, ..Audit::default() };
        audit.node(&self.source, &ElemPath::root(), 0);
        Ok(audit)
    }
}

impl Audit {
    fn flaw(&mut self, at: &ElemPath, kind: FlawKind, what: impl Into<String>) {
        self.flaws.push(Flaw { at: at.clone(), kind, what: what.into() });
    }

    fn node(&mut self, source: &Source, at: &ElemPath, depth: usize) {
        let doc = match Document::read(source, at) {
            Ok(Some(doc)) => doc,
            Ok(None) => return,
            Err(error) => {
                self.flaw(at, FlawKind::BrokenDocument, words(error));
                // If it is a group, what lies below may be sound.
                return self.below(source, at, depth);
            }
        };
        if depth > MAX_DEPTH {
            return self.flaw(at, FlawKind::BrokenDocument, "groups nest too deep");
        }
        if doc.is_array {
            if !source.is_archive() {
                self.array(source, at, &doc);
            }
            return;
        }
        self.maps(source, at);
        self.below(source, at, depth);
        if !source.is_archive() {
            self.strangers(source, at);
        }
    }

    fn below(&mut self, source: &Source, at: &ElemPath, depth: usize) {
        match source.children(at) {
            Ok(names) => names.iter().for_each(|name| self.node(source, &at.child(name), depth + 1)),
            Err(error) => self.flaw(at, FlawKind::BrokenDocument, words(error)),
        }
    }

    /// Entries of a group's directory that are neither documents nor nodes.
    fn strangers(&mut self, source: &Source, at: &ElemPath) {
        let mut stray = Vec::new();
        for (name, kind) in entries(&source.dir(at)) {
            // Directories of ours in the root are told as what interrupted writes have left.
            let is_left = name.starts_with(OURS) && at.is_root() && kind.is_dir();
            if DOCUMENTS.contains(&name.as_str()) || is_left {
                continue;
            }
            let path = source.dir(at).join(&name);
            if kind.is_symlink() {
                self.flaw(at, FlawKind::Stray, format!("`{name}` is a symbolic link, which is not followed"));
            } else if !kind.is_dir() {
                stray.push(name);
            } else if !is_node(&path) {
                let nodes = nodes_below(&path, 0);
                let what = match nodes {
                    0 => {
                        "is a directory without metadata: left by a write or a copy that was interrupted, or not of Zarr"
                    }
                    _ => {
                        "is a directory without metadata, though there are nodes below it: readers do not come to them"
                    }
                };
                let kind = if nodes == 0 { FlawKind::Stray } else { FlawKind::Unreachable };
                self.flaw(at, kind, format!("`{name}` {what}"));
            }
        }
        self.stray(at, stray);
    }

    fn stray(&mut self, at: &ElemPath, names: Vec<String>) {
        if !names.is_empty() {
            let what = format!("{} that belong to nothing: {}", counted(names.len(), "file"), listed(&names));
            self.flaw(at, FlawKind::Stray, what);
        }
    }

    /// The names of an array's files, against the grid of its chunks.
    fn array(&mut self, source: &Source, at: &ElemPath, doc: &Document) {
        let layout = match Layout::new(doc) {
            Ok(layout) => layout,
            Err(fault) => return self.flaw(at, FlawKind::BrokenDocument, words(fault.at(source.place(at)))),
        };
        // What is not understood here is the reader's to tell.
        let (Ok(lengths), Ok(keys)) = (&layout.grid, &layout.keys) else { return };
        let counts: Vec<usize> = layout.shape.iter().zip(lengths).map(|(n, c)| n.div_ceil(*c)).collect();
        let mut files = Files::default();
        files.collect(&source.dir(at), "", layout.shape.len() + 2);
        let mut present: HashSet<Vec<usize>> = HashSet::new();
        let (mut outside, mut stray) = (Vec::new(), Vec::new());
        for name in files.names {
            if self.sizes {
                self.stored += fs::symlink_metadata(source.dir(at).join(&name)).map_or(0, |found| found.len());
            }
            let chunk = if lengths.is_empty() { Some(Vec::new()) } else { position(&name) };
            match chunk.filter(|chunk| chunk.len() == lengths.len() && keys.key(chunk) == name) {
                Some(chunk) if chunk.iter().zip(&counts).all(|(i, n)| i < n) => {
                    present.insert(chunk);
                }
                Some(_) => outside.push(name),
                None => stray.push(name),
            }
        }
        if !outside.is_empty() {
            let what = format!(
                "{} outside its shape {:?}: {}",
                counted(outside.len(), "chunk file"),
                layout.shape,
                listed(&outside)
            );
            self.flaw(at, FlawKind::Stray, what);
        }
        self.stray(at, stray);
        if !counts.contains(&0) {
            let whole = counts.iter().fold(1_usize, |n, &c| n.saturating_mul(c));
            let first_absent = (0..whole).map(|n| unravel(n, &counts)).find(|chunk| !present.contains(chunk));
            let emptied = present.is_empty() && files.empty_directories;
            let lengths = lengths.clone();
            let chunks = Chunks { present: present.len(), whole, lengths, first_absent, emptied };
            self.chunks.insert(at.clone(), chunks);
        }
    }
}

fn counted(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

fn listed(names: &[String]) -> String {
    let some = names.iter().take(LISTED).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > LISTED { format!("{some}, … ({} in all)", names.len()) } else { some }
}

/// What an error says besides where.
fn words(error: Error) -> String {
    match error {
        Error::Malformed { what, .. } | Error::Unsupported { what, .. } => what,
        Error::Io { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}
