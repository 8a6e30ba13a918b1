//! [`ZarrStore`]: Zarr directories of versions 2 and 3, and zip archives of them.
//!
//! Metadata are found and understood here (`source`, `archive`, `meta`, `dtype`, `fill`, `consolidated`), and chunks decoded (`array`,
//! `shard`, `codec`, `filter`, `item`); the Zarr library encodes them (`library`). New arrays take the dialect of their neighbours (`dialect`) and appear in one step
//! (`stage`).

mod archive;
mod array;
mod audit;
mod codec;
mod consolidated;
mod dialect;
mod dtype;
mod fill;
mod filter;
mod item;
mod library;
mod meta;
mod shard;
mod source;
mod stage;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rayon::prelude::*;

use super::{Attrs, IoStats, Node, ReadStore, Safety, Style, WriteStore, check_rows};
use crate::error::{Error, Place, Result, nearest};
use crate::index::{AxisPlan, Rows, Run};
use crate::path::ElemPath;
use crate::value::{Array, DType, Records, Scatter};
pub(crate) use audit::{Audit, Chunks, FlawKind};

use array::OpenArray;
use codec::Encoder;
use consolidated::ConsolidatedMap;
use dialect::{Stored, Wanted};
use meta::{Document, Layout, Version};
use shard::unravel;
use source::{Fault, OURS, Source};
use stage::Stage;

/// The dialects of new stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// Zarr version 2.
    V2,
    /// Zarr version 3.
    V3,
    /// Zarr version 3, arrays (but not scalars) in shards.
    V3Sharded,
}

/// A Zarr directory, or one inside a zip archive.
#[derive(Debug)]
pub struct ZarrStore {
    source: Source,
    access: Access,
    /// Whether new arrays without a neighbour are sharded.
    shard: bool,
}

#[derive(Debug)]
enum Access {
    /// Through the consolidated metadata or what has been read once: the store is taken not to change.
    Read { map: Option<ConsolidatedMap>, seen: Mutex<HashMap<ElemPath, Option<Document>>>, open: Mutex<Opened> },
    /// The truth on disk, every time; a stale map may hide what is there.
    Write(Mutex<Stage>, #[allow(dead_code, reason = "held, not used: dropping it unlocks")] Option<File>),
}

/// Arrays already opened, with the shard indexes they have read.
type Opened = HashMap<ElemPath, Arc<OpenArray>>;
const MAX_OPENED: usize = 64;

impl ZarrStore {
    /// Opens the Zarr group in the directory `path` for reading: of a store with consolidated metadata, one document is
    /// read.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the document cannot be parsed, [`Error::Io`].
    pub fn open_read(path: &Path) -> Result<Self> {
        let source = Source::new(path);
        check_dir(&source)?;
        Self::read(source)
    }

    /// Opens the Zarr group in the zip archive `path` for reading: at its top, or in the one directory there that is a group.
    ///
    /// # Errors
    /// [`Error::NotAnnData`] if there is no such group, [`Error::Malformed`] if the archive is damaged or has names that lead
    /// out of it, [`Error::Io`].
    pub fn open_zip(path: &Path) -> Result<Self> {
        Self::read(Source::zip(path)?)
    }

    fn read(source: Source) -> Result<Self> {
        let map = ConsolidatedMap::read(&source)?;
        let access = Access::Read { map, seen: Mutex::default(), open: Mutex::default() };
        Ok(Self { source, access, shard: false })
    }

    /// Opens the Zarr group in the directory `path`, the topmost one that encloses what is to be changed, for reading and
    /// writing.
    ///
    /// # Errors
    /// [`Error::NotAnnData`] if it is no group, [`Error::Busy`] if it is open for writing already, [`Error::Malformed`],
    /// [`Error::Io`].
    pub fn open_write(path: &Path) -> Result<Self> {
        let source = Source::new(path);
        check_dir(&source)?;
        let lock = lock(&source)?;
        let store = Self { source, access: Access::Write(Mutex::default(), lock), shard: false };
        let root = ElemPath::root();
        if store.document(&root)?.is_none_or(|doc| doc.is_array) {
            let why = "the directory is not a Zarr group (no `zarr.json` or `.zgroup`)".into();
            return Err(Error::NotAnnData { at: store.source.place(&root), why });
        }
        if fs::metadata(path).is_ok_and(|m| m.permissions().readonly()) {
            return Err(store.source.io(&root)(std::io::ErrorKind::PermissionDenied.into()));
        }
        stage::sweep(path);
        Ok(store)
    }

    /// Makes a new store, an empty root group, in the directory `path`, and opens it for writing.
    ///
    /// # Errors
    /// [`Error::Exists`] if there is something at `path`, [`Error::Io`].
    pub fn create(path: &Path, flavour: Flavour) -> Result<Self> {
        let source = Source::new(path);
        let root = ElemPath::root();
        if fs::symlink_metadata(path).is_ok() {
            return Err(Error::Exists { at: source.place(&root) });
        }
        fs::create_dir(path).map_err(source.io(&root))?;
        let version = if flavour == Flavour::V2 { Version::V2 } else { Version::V3 };
        for (name, value) in Document::group(version).files() {
            let bytes = value.to_string().into_bytes();
            stage::write_file(&source, &path.join(name), &bytes).map_err(source.io(&root))?;
        }
        let mut store = Self::open_write(path)?;
        store.shard = flavour == Flavour::V3Sharded;
        Ok(store)
    }

    fn document(&self, at: &ElemPath) -> Result<Option<Document>> {
        match &self.access {
            Access::Write(..) => Document::read(&self.source, at),
            Access::Read { map: Some(map), .. } => map.document(&self.source, at),
            Access::Read { seen, .. } => {
                if let Some(known) = seen.lock().get(at) {
                    return Ok(known.clone());
                }
                let doc = Document::read(&self.source, at)?;
                seen.lock().insert(at.clone(), doc.clone());
                Ok(doc)
            }
        }
    }

    fn array_document(&self, at: &ElemPath) -> Result<Document> {
        self.document(at)?.filter(|doc| doc.is_array).ok_or_else(|| self.source.not_found(at))
    }

    fn open_array(&self, at: &ElemPath) -> Result<Arc<OpenArray>> {
        if let Access::Read { open, .. } = &self.access
            && let Some(known) = open.lock().get(at)
        {
            return Ok(known.clone());
        }
        let doc = self.array_document(at)?;
        let layout = Layout::new(&doc).map_err(|f| f.at(self.source.place(at)))?;
        let array = Arc::new(OpenArray::new(&layout).map_err(|f| f.at(self.source.place(at)))?);
        if let Access::Read { open, .. } = &self.access {
            let mut open = open.lock();
            if open.len() >= MAX_OPENED {
                open.clear();
            }
            open.insert(at.clone(), array.clone());
        }
        Ok(array)
    }

    fn stage(&self) -> Result<&Mutex<Stage>> {
        match &self.access {
            Access::Write(stage, _) => Ok(stage),
            Access::Read { .. } => {
                Err(Error::ReadOnly { at: self.source.place(&ElemPath::root()), what: "writing".into() })
            }
        }
    }

    /// Checks that `at` is free and has a group to lie in, staged or published; gives that group's version.
    fn check_new(&self, stage: &Stage, at: &ElemPath) -> Result<Version> {
        let name = at.name();
        let reserved = ["zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata"];
        if reserved.contains(&name) || name.starts_with(OURS) {
            return Err(Error::BadName { name: name.into(), why: "Zarr stores keep their metadata under it".into() });
        }
        let is_taken = || fs::symlink_metadata(self.source.dir(at)).is_ok();
        if stage.nodes.contains_key(at) || (stage.planned.origin(at).is_some() && is_taken()) {
            return Err(Error::Exists { at: self.source.place(at) });
        }
        let above = at.parent().unwrap_or_default();
        let parent = match stage.nodes.get(&above) {
            Some(doc) => Some(doc.clone()),
            None if stage.planned.origin(&above).is_none() => None,
            None => Document::read(&self.source, &above)?,
        };
        parent.filter(|doc| !doc.is_array).map(|doc| doc.version).ok_or_else(|| self.source.not_found(&above))
    }

    /// The neighbour's document, staged or published.
    fn neighbour(&self, stage: &Stage, like: Option<&ElemPath>) -> Result<Option<Document>> {
        let Some(at) = like else { return Ok(None) };
        match stage.nodes.get(at) {
            Some(doc) => Ok(Some(doc.clone())),
            None => Document::read(&self.source, at),
        }
    }

    /// Stages an array of this shape with these fields, like its neighbour as far as can be.
    fn create_node(
        &self,
        at: &ElemPath,
        stored: &Stored,
        shape: &[usize],
        fields: &[&Array],
        like: Option<&ElemPath>,
        attrs: &Attrs,
    ) -> Result<()> {
        let mut stage = self.stage()?.lock();
        let version = self.check_new(&stage, at)?;
        let like = self.neighbour(&stage, like)?;
        let wanted = Wanted { version, like: like.as_ref(), shard: self.shard, stored, shape };
        let document = |json| Document { version, is_array: true, json, attrs: attrs.clone() };
        let mut doc = document(wanted.document());
        let plan = WritePlan::new(&doc).or_else(|_| {
            // The neighbour's codecs can be read but not written.
            doc = document(wanted.default_document());
            WritePlan::new(&doc)
        });
        let place = || self.source.place(at);
        let plan = plan.map_err(|f| f.at(place()))?;
        let dir = stage.node_dir(&self.source, at).map_err(self.source.io(at))?;
        self.write_chunks(&dir, &plan, shape, fields).map_err(|f| f.at(place()))?;
        stage.put(&self.source, at, doc)
    }

    /// Writes the chunks of an array of this shape, whose fields these are.
    fn write_chunks(&self, dir: &Path, plan: &WritePlan, shape: &[usize], fields: &[&Array]) -> Result<(), Fault> {
        let Some(grid) = grid(shape, &plan.chunks) else { return Ok(()) };
        (0..grid.iter().product()).into_par_iter().try_for_each(|number: usize| {
            let cut = |field: &&Array| cut_chunk(field, shape, &plan.chunks, &unravel(number, &grid));
            let chunk = fields.iter().map(cut).collect::<Result<Vec<Array>, Fault>>()?;
            let Some(bytes) = plan.encoder.encode(&chunk)? else { return Ok(()) };
            let path = dir.join(plan.keys.key(&unravel(number, &grid)));
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            Ok(stage::write_file(&self.source, &path, &bytes)?)
        })
    }
}

/// Locks the directory against other writers of this kind, until the file is dropped; nothing is written for that. `None` on
/// systems that do not lock directories, where writers have to keep out of each other's way by themselves.
fn lock(source: &Source) -> Result<Option<File>> {
    let Ok(dir) = File::open(&source.root) else { return Ok(None) };
    match dir.try_lock() {
        Ok(()) => Ok(Some(dir)),
        Err(TryLockError::WouldBlock) => Err(Error::Busy {
            at: source.place(&ElemPath::root()),
            why: "another process (or another shadow in this one) has it open for writing; try again when it is done"
                .into(),
        }),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

fn check_dir(source: &Source) -> Result<()> {
    fs::read_dir(&source.root).map(drop).map_err(source.io(&ElemPath::root()))
}

/// How a new array's chunks are written.
struct WritePlan {
    chunks: Vec<usize>,
    keys: meta::Keys,
    encoder: Encoder,
}

impl WritePlan {
    fn new(doc: &Document) -> Result<Self, Fault> {
        let layout = Layout::new(doc)?;
        let items = layout.items.ok_or(Fault::Unsupported(layout.stored))?;
        let chunks = layout.grid.map_err(Fault::Unsupported)?;
        let codecs = layout.codecs.map_err(Fault::Unsupported)?;
        let fill = items.fill(&layout.fill).map_err(Fault::Malformed)?;
        let encoder = Encoder::new(&codecs, &items, &fill, &chunks)?;
        Ok(Self { chunks, keys: layout.keys.map_err(Fault::Unsupported)?, encoder })
    }
}

/// Chunks along each axis; `None` if there are no items at all.
fn grid(shape: &[usize], chunks: &[usize]) -> Option<Vec<usize>> {
    let grid: Vec<usize> = shape.iter().zip(chunks).map(|(n, c)| n.div_ceil(*c)).collect();
    (!grid.contains(&0)).then_some(grid)
}

/// The items of one chunk of a field of an array of this shape, with zeros beyond the end of the array.
fn cut_chunk(field: &Array, shape: &[usize], chunks: &[usize], chunk: &[usize]) -> Result<Array, Fault> {
    let rows: Vec<Rows> =
        chunk.iter().zip(chunks).zip(shape).map(|((i, c), n)| Rows::span(i * c, ((i + 1) * c).min(*n))).collect();
    let part = field.take(&rows);
    let whole = [chunks, &field.shape()[shape.len()..]].concat();
    if part.shape() == whole {
        return Ok(part);
    }
    let runs: Vec<Vec<Run>> = part
        .shape()
        .iter()
        .map(|&n| AxisPlan::new(&Rows::All(n), n).parts.into_iter().flat_map(|p| p.runs).collect())
        .collect();
    let runs: Vec<&[Run]> = runs.iter().map(Vec::as_slice).collect();
    let mut out = Scatter::new(field.dtype(), &whole);
    if out.put(part, &vec![0; whole.len()], &runs) {
        Ok(out.finish())
    } else {
        Err(Fault::Malformed("a chunk does not fit its shape".into()))
    }
}

impl ReadStore for ZarrStore {
    fn location(&self) -> &str {
        &self.source.location
    }

    fn node(&self, at: &ElemPath) -> Result<Option<Node>> {
        let doc = self.document(at)?;
        doc.map(|doc| doc.node().map_err(|f| f.at(self.source.place(at)))).transpose()
    }

    fn children(&self, at: &ElemPath) -> Result<Vec<String>> {
        if self.document(at)?.is_none_or(|doc| doc.is_array) {
            return Err(self.source.not_found(at));
        }
        match &self.access {
            Access::Read { map: Some(map), .. } => Ok(map.children(at)),
            _ => self.source.children(at),
        }
    }

    fn read(&self, at: &ElemPath, rows: &[Rows]) -> Result<Array> {
        let array = self.open_array(at)?;
        let shape = check_rows(self, at, &array.shape, rows)?;
        let place = || self.source.place(at);
        if array.items().structured {
            return Err(Fault::Unsupported("a structured array is read by its fields".into()).at(place()));
        }
        let read = array.read(&self.source, at, &[0], rows, &shape).map_err(|f| f.at(place()))?;
        read.into_iter().next().ok_or_else(|| self.source.not_found(at))
    }

    fn read_fields(&self, at: &ElemPath, fields: &[&str], rows: &[Rows]) -> Result<Vec<Array>> {
        let array = self.open_array(at)?;
        let items = array.items();
        let find = |&name: &&str| {
            let found = items.parts.iter().position(|p| items.structured && p.name == name);
            let names = items.parts.iter().map(|p| p.name.as_str()).filter(|_| items.structured);
            found.ok_or_else(|| Error::NotFound {
                at: Place::new(&self.source.location, format_args!("{at}/{name}")),
                nearest: nearest(name, names),
            })
        };
        let parts = fields.iter().map(find).collect::<Result<Vec<usize>>>()?;
        let shape = check_rows(self, at, &array.shape, rows)?;
        array.read(&self.source, at, &parts, rows, &shape).map_err(|f| f.at(self.source.place(at)))
    }

    fn stats(&self) -> IoStats {
        self.source.meter.stats()
    }
}

impl WriteStore for ZarrStore {
    fn create_group(&self, at: &ElemPath, attrs: &Attrs) -> Result<()> {
        let mut stage = self.stage()?.lock();
        let version = self.check_new(&stage, at)?;
        stage.put(&self.source, at, Document { attrs: attrs.clone(), ..Document::group(version) })
    }

    fn create_array(&self, at: &ElemPath, data: &Array, style: Style<'_>, attrs: &Attrs) -> Result<()> {
        self.create_node(at, &Stored::array(data), data.shape(), &[data], style.like, attrs)
    }

    fn create_records(&self, at: &ElemPath, data: &Records, style: Style<'_>, attrs: &Attrs) -> Result<()> {
        let fields: Vec<&Array> = data.fields().iter().map(|(_, field)| field).collect();
        self.create_node(at, &Stored::records(data), data.shape(), &fields, style.like, attrs)
    }

    fn create_null(&self, at: &ElemPath, attrs: &Attrs) -> Result<()> {
        let mut stage = self.stage()?.lock();
        let version = self.check_new(&stage, at)?;
        let wanted = Wanted { version, like: None, shard: false, stored: &Stored::plain(DType::Bool), shape: &[] };
        let mut json = wanted.document();
        json.insert("fill_value".into(), false.into());
        stage.put(&self.source, at, Document { version, is_array: true, json, attrs: attrs.clone() })
    }

    fn set_attrs(&self, at: &ElemPath, attrs: &Attrs) -> Result<()> {
        let mut stage = self.stage()?.lock();
        if let Some(doc) = stage.nodes.get(at) {
            let mut doc = doc.clone();
            doc.attrs.extend(attrs.clone());
            return stage.put(&self.source, at, doc);
        }
        if stage.planned.origin(at).is_none() || Document::read(&self.source, at)?.is_none() {
            return Err(self.source.not_found(at));
        }
        stage.set_attrs(at, attrs);
        Ok(())
    }

    fn remove(&self, at: &ElemPath) -> Result<()> {
        let mut stage = self.stage()?.lock();
        let is_there = !at.is_root() && Document::read(&self.source, at)?.is_some();
        if !is_there || stage.planned.origin(at).is_none() {
            return Err(self.source.not_found(at));
        }
        stage.remove(at).map_err(self.source.io(at))
    }

    fn rename(&self, from: &ElemPath, _to: &ElemPath) -> Result<()> {
        Err(Error::Unsupported { at: self.source.place(from), what: "renaming".into() })
    }

    fn publish_with(&self, _safety: Safety) -> Result<()> {
        let mut stage = self.stage()?.lock();
        let staged = std::mem::take(&mut *stage);
        let done = staged.publish(&self.source);
        // Left-overs are invisible, and what is published stays published.
        let _ = staged.clear();
        done
    }

    fn consolidate(&self) -> Result<()> {
        let _stage = self.stage()?.lock();
        let root = self.document(&ElemPath::root())?.ok_or_else(|| self.source.not_found(&ElemPath::root()))?;
        stage::consolidate_all(&self.source, root.version)
    }

    fn abandon(&self) -> Result<()> {
        let staged = std::mem::take(&mut *self.stage()?.lock());
        staged.clear().map_err(self.source.io(&ElemPath::root()))
    }
}

impl Drop for ZarrStore {
    fn drop(&mut self) {
        if let Access::Write(stage, _) = &self.access {
            // Nobody is left to tell; left-overs are invisible and swept later.
            let _ = std::mem::take(&mut *stage.lock()).clear();
        }
    }
}
