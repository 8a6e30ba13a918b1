//! [`audit`]: what is wrong with a Zarr store as a store, whatever its nodes hold. Consolidated metadata that do not say what
//! is there, documents that cannot be parsed, nodes that nobody comes to, files that belong to nothing, and which chunks
//! there are. Nothing is changed, no lock is taken, and no chunk is opened.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::path::Path;

use parking_lot::Mutex;
use serde_json::{Map, Value};

use super::consolidated::{self, is_inline};
use super::future::Future;
use super::meta::{Document, Layout, object};
use super::shard::unravel;
use super::source::{OURS, Source};
use super::stage::Stage;
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
        let reader = Reader { map: None, watch, seen: Mutex::default(), open: Mutex::default() };
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

    /// The consolidated metadata that the group `at` has, against what they would be if they were renewed.
    fn maps(&mut self, source: &Source, at: &ElemPath) {
        let files = consolidated::present(source, at).unwrap_or_default();
        // Nobody reads the map without a dot.
        for name in files.into_iter().filter(|&name| name != "zmetadata") {
            let before = self.flaws.len();
            match (known(source, at, name), renewed(source, at, name)) {
                (Err(why), _) => self.flaw(at, FlawKind::BrokenMap, format!("consolidated metadata: {why}")),
                (Ok(old), Ok(new)) => self.compare(at, &old, &new),
                (Ok(_), Err(error)) => self.flaw(at, FlawKind::BrokenDocument, words(error)),
            }
            if self.flaws.len() > before {
                self.maps.insert(at.clone());
            }
        }
    }

    fn compare(&mut self, at: &ElemPath, old: &Map<String, Value>, new: &Map<String, Value>) {
        let stale = FlawKind::StaleMap;
        let is_extra = |key: &&String| !new.contains_key(*key) && !is_empty_attrs(key, old.get(*key));
        let is_missing = |key: &&String| !old.contains_key(*key) && !is_empty_attrs(key, new.get(*key));
        let is_other = |key: &&String| old.get(*key).zip(new.get(*key)).is_some_and(|(a, b)| !same(a, b));
        let cases = [
            (old.keys().filter(is_extra).collect(), "that are not there: readers see them, arrays as fill values only"),
            (new.keys().filter(is_missing).collect(), "missing from it, which readers do not see"),
            (old.keys().filter(is_other).collect(), "as they were before a later change"),
        ];
        for (keys, what) in cases {
            let nodes = nodes_of(keys);
            if !nodes.is_empty() {
                let count = counted(nodes.len(), "node");
                self.flaw(at, stale, format!("consolidated metadata: {count} {what}: {}", listed(&nodes)));
            }
        }
        for why in unreadable(old) {
            self.flaw(at, FlawKind::BrokenMap, format!("consolidated metadata: {why}"));
        }
        if are_siblings_apart(old) {
            let why = "siblings do not stand together, with which zarr-python 3.1 cannot open it";
            self.flaw(at, FlawKind::BrokenMap, format!("consolidated metadata: {why}"));
        }
    }
}

/// The entries of the map in the file `name`, or why zarr-python would not take it.
fn known(source: &Source, at: &ElemPath, name: &str) -> Result<Map<String, Value>, String> {
    let bytes = source.document(at, name).map_err(words)?.ok_or("its file has just gone")?;
    let json = object(&bytes)?;
    if is_inline(name) && json.get("consolidated_metadata").is_none_or(|map| map["kind"] != "inline") {
        return Err("it is not of the kind `inline`".into());
    }
    entries_of(json.into(), name).ok_or_else(|| "it has no object `metadata`".into())
}

/// What they would be if it were renewed now.
fn renewed(source: &Source, at: &ElemPath, name: &str) -> Result<Map<String, Value>> {
    let old = source.document(at, name)?.and_then(|bytes| object(&bytes).ok());
    let nothing = Stage::default();
    let now = Future::new(source, &nothing, &BTreeSet::new());
    let json = old.clone().filter(|_| is_inline(name)).unwrap_or_default();
    Ok(entries_of(consolidated::rebuild(&now, at, name, old.as_ref(), json)?, name).unwrap_or_default())
}

fn entries_of(map: Value, name: &str) -> Option<Map<String, Value>> {
    let map = if is_inline(name) { map.get("consolidated_metadata")?.clone() } else { map };
    map.get("metadata")?.as_object().cloned()
}

/// A version 2 node may have no file for its attributes, or one without any.
fn is_empty_attrs(key: &str, value: Option<&Value>) -> bool {
    key.rsplit('/').next() == Some(".zattrs") && value.and_then(Value::as_object).is_some_and(Map::is_empty)
}

/// Whether two entries say the same: what is nested in groups, absent attributes and how numbers are spelled do not matter.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let matters = |key: &&String| !matches!(key.as_str(), "consolidated_metadata");
            let empty = Value::Object(Map::new());
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).filter(matters).collect();
            keys.into_iter().all(|key| {
                let of = |map: &Map<String, Value>| {
                    map.get(key).cloned().unwrap_or_else(|| match key.as_str() {
                        "attributes" => empty.clone(),
                        _ => Value::Null,
                    })
                };
                same(&of(a), &of(b))
            })
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

/// What keeps zarr-python from building a tree of these entries.
fn unreadable(entries: &Map<String, Value>) -> Vec<String> {
    let mut found = Vec::new();
    if entries.keys().any(|key| key.starts_with('/')) {
        found.push("its keys begin with a slash, with which zarr-python cannot open it".to_owned());
    }
    let nodes: BTreeSet<&str> = entries.keys().map(|key| node_of(key)).collect();
    let lacks =
        |node: &&&str| node.rsplit_once('/').is_some_and(|(above, _)| !above.is_empty() && !nodes.contains(above));
    let orphans: Vec<String> = nodes.iter().filter(lacks).map(|node| (*node).to_owned()).collect();
    if !orphans.is_empty() {
        found.push(format!(
            "the groups above {} are missing from it, so that zarr-python cannot open it",
            listed(&orphans)
        ));
    }
    found
}

/// Whether siblings do not follow one another, once the entries are ordered by depth: what zarr-python 3.1 asks for.
fn are_siblings_apart(entries: &Map<String, Value>) -> bool {
    let mut nodes: Vec<&str> = entries.keys().map(|key| node_of(key)).filter(|node| node.contains('/')).collect();
    nodes.sort_by_key(|node| node.matches('/').count());
    let (mut seen, mut last) = (HashSet::new(), None);
    nodes.into_iter().filter_map(|node| node.rsplit_once('/')).any(|(above, _)| {
        let begins = last != Some(above);
        last = Some(above);
        begins && !seen.insert(above)
    })
}

/// The node that an entry is of: in version 2, entries are files.
fn node_of(key: &str) -> &str {
    match key.rsplit_once('/') {
        Some((node, ".zattrs" | ".zgroup" | ".zarray")) => node,
        None if matches!(key, ".zattrs" | ".zgroup" | ".zarray") => "",
        _ => key,
    }
}

fn nodes_of(keys: Vec<&String>) -> Vec<String> {
    let nodes: BTreeSet<&str> = keys.into_iter().map(|key| node_of(key)).collect();
    nodes.into_iter().map(|node| if node.is_empty() { "/".to_owned() } else { node.to_owned() }).collect()
}

/// The position of a chunk that could have this key.
fn position(key: &str) -> Option<Vec<usize>> {
    let numbers = key.strip_prefix("c/").or_else(|| key.strip_prefix("c.")).unwrap_or(key);
    numbers.split(['/', '.']).map(|n| n.parse().ok()).collect()
}

/// The files of an array, by their path from it.
#[derive(Default)]
struct Files {
    names: Vec<String>,
    empty_directories: bool,
}

impl Files {
    fn collect(&mut self, dir: &Path, above: &str, depth: usize) {
        let found = entries(dir);
        self.empty_directories |= found.is_empty() && !above.is_empty();
        for (name, kind) in found {
            if above.is_empty() && DOCUMENTS.contains(&name.as_str()) {
                continue;
            }
            if kind.is_dir() && depth > 0 {
                self.collect(&dir.join(&name), &format!("{above}{name}/"), depth - 1);
            } else {
                self.names.push(format!("{above}{name}"));
            }
        }
    }
}

/// Names and kinds of what is in a directory, sorted; nothing if it cannot be read, which the reader is told.
fn entries(dir: &Path) -> Vec<(String, fs::FileType)> {
    let found = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut entries: Vec<(String, fs::FileType)> = found
        .filter_map(|entry| Some((entry.file_name().to_string_lossy().into_owned(), entry.file_type().ok()?)))
        .collect();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    entries
}

fn is_node(dir: &Path) -> bool {
    ["zarr.json", ".zarray", ".zgroup"].iter().any(|name| dir.join(name).is_file())
}

/// How many directories below are nodes.
fn nodes_below(dir: &Path, depth: usize) -> usize {
    if depth > MAX_DEPTH {
        return 0;
    }
    let below = entries(dir).into_iter().filter(|(_, kind)| kind.is_dir()).map(|(name, _)| dir.join(name));
    below.map(|dir| usize::from(is_node(&dir)) + nodes_below(&dir, depth + 1)).sum()
}

fn counted(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

fn listed(names: &[String]) -> String {
    let more = if names.len() > LISTED { ", …" } else { "" };
    names.iter().take(LISTED).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ") + more
}

/// What an error says besides where.
fn words(error: Error) -> String {
    match error {
        Error::Malformed { what, .. } | Error::Unsupported { what, .. } => what,
        Error::Io { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}
