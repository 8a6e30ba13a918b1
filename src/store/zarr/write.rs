//! Writing: new nodes are encoded and staged, everything else is remembered, until it is published.

use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use rayon::prelude::*;

use super::codec::Encoder;
use super::dialect::{Stored, Wanted};
use super::files;
use super::meta::{Document, Keys, Layout, Version};
use super::parts::InParts;
use super::publish;
use super::shard::unravel;
use super::source::{Fault, OURS, Source};
use super::stage::Stage;
use super::watch::{FileId, changed};
use super::{Access, ZarrStore};
use crate::error::{Error, Result};
use crate::fork;
use crate::index::{AxisPlan, Rows, Run};
use crate::path::ElemPath;
use crate::store::{ArrayParts, Attrs, Safety, Style, WriteStore};
use crate::value::{Array, DType, Records, Scatter};

/// What a store open for writing holds.
#[derive(Debug)]
pub(super) struct Writer {
    stage: Mutex<Stage>,
    /// Held shared while something is read, and alone while it is published.
    pub(super) gate: RwLock<()>,
    /// The lock; dropping it unlocks.
    pub(super) lock: Option<File>,
    /// The directory that was opened.
    root: Option<FileId>,
    /// A write failed and could not be taken back: what is on disk now is of two states, until the store is opened again.
    pub(super) unfinished: AtomicBool,
    /// In which process, counted by forks, it was opened.
    process: u32,
}

impl Writer {
    pub(super) fn new(source: &Source, lock: Option<File>) -> Self {
        // What a link leads to.
        let root = fs::metadata(&source.root).ok().map(|found| FileId::of(&found));
        Self {
            stage: Mutex::default(),
            gate: RwLock::new(()),
            lock,
            root,
            unfinished: AtomicBool::new(false),
            process: fork::forks(),
        }
    }

    /// Lets something be read. (Also while a publishing waits: who reads already may ask for more.)
    pub(super) fn enter(&self, source: &Source) -> Result<RwLockReadGuard<'_, ()>> {
        let open = self.gate.read_recursive();
        if self.unfinished.load(Relaxed) { Err(changed(source)) } else { Ok(open) }
    }

    /// Whether the directory is still the one that was opened.
    fn check(&self, source: &Source) -> Result<()> {
        let now = fs::metadata(&source.root).ok().map(|found| FileId::of(&found));
        let same = self.root.zip(now).is_some_and(|(then, now)| then.is_same(&now));
        if same && !self.unfinished.load(Relaxed) { Ok(()) } else { Err(changed(source)) }
    }
}

impl ZarrStore {
    fn writer(&self) -> Result<&Writer> {
        match &self.access {
            Access::Write(writer) => Ok(writer),
            Access::Read(_) => {
                Err(Error::ReadOnly { at: self.source.place(&ElemPath::root()), what: "writing".into() })
            }
        }
    }

    pub(super) fn stage(&self) -> Result<&Mutex<Stage>> {
        Ok(&self.writer()?.stage)
    }

    /// The published node that will stand at `at`, as it is now.
    fn published(&self, stage: &Stage, at: &ElemPath) -> Result<Option<Document>> {
        stage.planned.origin(at).map_or(Ok(None), |now| Document::read(&self.source, &now))
    }

    /// Whether there will be something at `at`, staged or published.
    fn is_taken(&self, stage: &Stage, at: &ElemPath) -> bool {
        let there = |now: ElemPath| files::exists(&self.source.dir(&now));
        stage.nodes.contains_key(at) || stage.planned.origin(at).is_some_and(there)
    }

    /// Checks that `at` may name a node and is free.
    fn check_free(&self, stage: &Stage, at: &ElemPath) -> Result<()> {
        let name = at.name();
        let reserved = ["zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata"];
        if reserved.contains(&name) || name.starts_with(OURS) {
            return Err(Error::BadName { name: name.into(), why: "Zarr stores keep their metadata under it".into() });
        }
        if self.is_taken(stage, at) { Err(Error::Exists { at: self.source.place(at) }) } else { Ok(()) }
    }

    /// Checks that `at` is free and has a group to lie in, staged or published; gives that group's version.
    pub(super) fn check_new(&self, stage: &Stage, at: &ElemPath) -> Result<Version> {
        self.check_free(stage, at)?;
        let above = at.parent().unwrap_or_default();
        let parent = match stage.nodes.get(&above) {
            Some(doc) => Some(doc.clone()),
            None => self.published(stage, &above)?,
        };
        parent.filter(|doc| !doc.is_array).map(|doc| doc.version).ok_or_else(|| self.source.not_found(&above))
    }

    /// The neighbour's document, staged or published.
    pub(super) fn neighbour(&self, stage: &Stage, like: Option<&ElemPath>) -> Result<Option<Document>> {
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
        let wanted = Wanted { version, like: like.as_ref(), shard: self.shard, stored, shape, most_rows: usize::MAX };
        let (plan, doc) = self.planned(at, &wanted, attrs)?;
        let dir = stage.fresh_dir(&self.source, at).map_err(self.source.io(at))?;
        self.write_chunks(&dir, &plan, 0, shape, fields).map_err(|f| f.at(self.source.place(at)))?;
        stage.put(&self.source, at, doc)
    }

    /// How a new array is written, and its document.
    pub(super) fn planned(&self, at: &ElemPath, wanted: &Wanted<'_>, attrs: &Attrs) -> Result<(WritePlan, Document)> {
        let document = |json| Document { version: wanted.version, is_array: true, json, attrs: attrs.clone() };
        let mut doc = document(wanted.document());
        let plan = WritePlan::new(&doc).or_else(|_| {
            // The neighbour's codecs can be read but not written.
            doc = document(wanted.default_document());
            WritePlan::new(&doc)
        });
        Ok((plan.map_err(|f| f.at(self.source.place(at)))?, doc))
    }

    /// Writes the chunks of an array of this shape, whose fields these are; or of a part of one, which begins at chunk number
    /// `first` of the first axis.
    pub(super) fn write_chunks(
        &self,
        dir: &Path,
        plan: &WritePlan,
        first: usize,
        shape: &[usize],
        fields: &[&Array],
    ) -> Result<(), Fault> {
        let Some(grid) = grid(shape, &plan.chunks) else { return Ok(()) };
        (0..grid.iter().product()).into_par_iter().try_for_each(|number: usize| {
            let cut = |field: &&Array| cut_chunk(field, shape, &plan.chunks, &unravel(number, &grid));
            let chunk = fields.iter().map(cut).collect::<Result<Vec<Array>, Fault>>()?;
            let Some(bytes) = plan.encoder.encode(&chunk)? else { return Ok(()) };
            let mut chunk = unravel(number, &grid);
            if let Some(row) = chunk.first_mut() {
                *row += first;
            }
            let path = dir.join(plan.keys.key(&chunk));
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            Ok(files::write_file(&self.source, &path, &bytes)?)
        })
    }
}

/// How a new array's chunks are written.
pub(super) struct WritePlan {
    pub(super) chunks: Vec<usize>,
    keys: Keys,
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

impl WriteStore for ZarrStore {
    fn create_group(&self, at: &ElemPath, attrs: &Attrs) -> Result<()> {
        let mut stage = self.stage()?.lock();
        let version = self.check_new(&stage, at)?;
        stage.put(&self.source, at, Document { attrs: attrs.clone(), ..Document::group(version) })
    }

    fn create_array(&self, at: &ElemPath, data: &Array, style: Style<'_>, attrs: &Attrs) -> Result<()> {
        self.create_node(at, &Stored::array(data), data.shape(), &[data], style.like, attrs)
    }

    fn create_array_in_parts<'s>(
        &'s self,
        at: &ElemPath,
        dtype: DType,
        shape: &[usize],
        style: Style<'_>,
        attrs: &Attrs,
    ) -> Result<Box<dyn ArrayParts + 's>> {
        Ok(Box::new(InParts::begin(self, at, dtype, shape, style, attrs)?))
    }

    fn create_records(&self, at: &ElemPath, data: &Records, style: Style<'_>, attrs: &Attrs) -> Result<()> {
        let fields: Vec<&Array> = data.fields().iter().map(|(_, field)| field).collect();
        self.create_node(at, &Stored::records(data), data.shape(), &fields, style.like, attrs)
    }

    fn create_null(&self, at: &ElemPath, attrs: &Attrs) -> Result<()> {
        let mut stage = self.stage()?.lock();
        let version = self.check_new(&stage, at)?;
        let (stored, most_rows) = (&Stored::plain(DType::Bool), usize::MAX);
        let wanted = Wanted { version, like: None, shard: false, stored, shape: &[], most_rows };
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
        if self.published(&stage, at)?.is_none() {
            return Err(self.source.not_found(at));
        }
        stage.set_attrs(at, attrs);
        Ok(())
    }

    fn remove(&self, at: &ElemPath) -> Result<()> {
        let mut stage = self.stage()?.lock();
        if at.is_root() || self.published(&stage, at)?.is_none() {
            return Err(self.source.not_found(at));
        }
        stage.remove(&self.source, at).map_err(self.source.io(at))
    }

    fn rename(&self, from: &ElemPath, to: &ElemPath) -> Result<()> {
        let mut stage = self.stage()?.lock();
        let node = self.published(&stage, from)?.filter(|_| !from.is_root());
        let node = node.ok_or_else(|| self.source.not_found(from))?;
        let above = to.parent().unwrap_or_default();
        let group = self.published(&stage, &above)?.filter(|doc| !doc.is_array);
        let group = group.ok_or_else(|| self.source.not_found(&above))?;
        self.check_free(&stage, to)?;
        let unsupported = |what: &str| Err(Error::Unsupported { at: self.source.place(from), what: what.to_owned() });
        if to.starts_with(from) {
            return unsupported("it cannot be moved into itself");
        }
        if stage.nodes.keys().any(|new| new.starts_with(from)) {
            return unsupported("something new is staged below it");
        }
        if node.version != group.version {
            return unsupported("it is of another version of Zarr than the group it is to be moved to");
        }
        stage.rename(from, to);
        Ok(())
    }

    fn publish_with(&self, _safety: Safety) -> Result<()> {
        let writer = self.writer()?;
        let mut stage = writer.stage.lock();
        let staged = std::mem::take(&mut *stage);
        if let Err(e) = writer.check(&self.source) {
            // Invisible, and swept later.
            let _ = staged.shelf.clear();
            return Err(e);
        }
        publish::publish(staged, &self.source, writer)
    }

    fn consolidate(&self) -> Result<()> {
        let writer = self.writer()?;
        let _stage = writer.stage.lock();
        writer.check(&self.source)?;
        let root = self.document(&ElemPath::root())?.ok_or_else(|| self.source.not_found(&ElemPath::root()))?;
        publish::consolidate(root.version, &self.source, writer)
    }

    fn abandon(&self) -> Result<()> {
        let staged = std::mem::take(&mut *self.stage()?.lock());
        staged.shelf.clear().map_err(self.source.io(&ElemPath::root()))
    }
}

impl Drop for ZarrStore {
    fn drop(&mut self) {
        // In a forked process, it is the other one's to do.
        if let Access::Write(writer) = &self.access
            && writer.process == fork::forks()
        {
            // Nobody is left to tell; left-overs are invisible and swept later.
            let _ = std::mem::take(&mut *writer.stage.lock()).shelf.clear();
        }
    }
}
