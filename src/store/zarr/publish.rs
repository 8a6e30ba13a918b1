//! From what is staged to steps. Everything that readers will see is written into the staging directory first; then nothing is left
//! to do but to rename, in an order in which any reader of the format, with or without consolidated metadata, finds at every
//! instant each node as it was or as it will be:
//!
//! 1. Maps go from the groups around what is exchanged or moved: no map must describe chunks that are not these. Where things only
//!    come and go, they stay: what comes is hidden by the old ones, what goes by the new ones.
//! 2. Nodes are exchanged, moved, and come in.
//! 3. Attributes change: what `column-order` lists is there, before and after.
//! 4. Maps change or come back, those of inner groups first, that of the root last.
//! 5. What goes, goes.
//!
//! (In version 2 attributes of the root lie in a file beside the map, and change a moment before it.)
//!
//! The first step always changes a document of the root, so that readers of this crate notice (`watch`).

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

use serde_json::{Map, Value};

use super::consolidated::{self, is_inline};
use super::files;
use super::future::Future;
use super::intent::{Intent, Spot, Step};
use super::meta::{Document, Version, object};
use super::route::{Moves, Routes};
use super::run::Run;
use super::source::Source;
use super::stage::{Shelf, Stage, to_bytes};
use super::write::Writer;
use crate::error::{Error, Result};
use crate::path::ElemPath;
use crate::store::Attrs;

/// Makes it all visible, or nothing of it. If it fails and cannot be taken back either, what is there is unfinished, and whoever
/// opens the store next finishes it; the error says so.
pub(super) fn publish(mut stage: Stage, source: &Source, writer: &Writer) -> Result<()> {
    let mut shelf = std::mem::take(&mut stage.shelf);
    let steps = if stage.is_empty() { Ok(Vec::new()) } else { steps_of(&stage, source, &mut shelf) };
    carry_out(steps, shelf, source, writer)
}

/// Renews all consolidated metadata of the store, making those of the root if there are none.
pub(super) fn consolidate(version: Version, source: &Source, writer: &Writer) -> Result<()> {
    let mut shelf = Shelf::default();
    let steps = consolidation(version, source, &mut shelf);
    carry_out(steps, shelf, source, writer)
}

fn carry_out(steps: Result<Vec<Step>>, mut shelf: Shelf, source: &Source, writer: &Writer) -> Result<()> {
    let io = source.io(&ElemPath::root());
    let done = steps.and_then(|steps| {
        if steps.is_empty() {
            return Ok(());
        }
        let dir = shelf.dir(source).map_err(&io)?;
        files::sync_dir(&source.root).map_err(&io)?;
        let _closed = writer.gate.write();
        let mut run = Run::new(source, &dir, Intent { locked: writer.lock.is_some(), steps }, 0);
        let Err(failed) = run.commit().map_err(&io).and_then(|()| run.forward()) else { return Ok(()) };
        match run.back() {
            // Without a record, nothing is left to be carried out.
            Err(back) if files::exists(&run.record_path()) => {
                writer.unfinished.store(true, Relaxed);
                Err(unfinished(source, &failed, &back, &run.record_path()))
            }
            _ => Err(failed),
        }
    });
    if !writer.unfinished.load(Relaxed) {
        // Left-overs are invisible and swept later, and what is published stays published.
        let _ = shelf.clear();
    }
    done
}

/// A write failed, and taking it back failed too.
fn unfinished(source: &Source, failed: &Error, back: &Error, record: &Path) -> Error {
    let kind = if let Error::Io { source, .. } = failed { source.kind() } else { io::ErrorKind::Other };
    let what = format!(
        "the write stopped half-way ({failed}) and could not be taken back ({back}): its record stays at `{}`, and when the store is \
         opened next, the write will be carried out",
        record.display()
    );
    source.io(&ElemPath::root())(io::Error::new(kind, what))
}

/// A file with consolidated metadata.
struct MapFile {
    /// The group, where it lies now and where it will.
    now: ElemPath,
    then: ElemPath,
    name: &'static str,
    /// What it holds; `None` if that cannot be parsed.
    old: Option<Map<String, Value>>,
}

impl MapFile {
    /// Those of a group, if it stays.
    fn of_group(source: &Source, now: &ElemPath, then: Option<ElemPath>) -> Result<Vec<Self>> {
        let Some(then) = then else { return Ok(Vec::new()) };
        let map = |name| {
            let old = source.document(now, name)?.and_then(|bytes| object(&bytes).ok());
            Ok(Self { now: now.clone(), then: then.clone(), name, old })
        };
        consolidated::present(source, now)?.into_iter().map(map).collect()
    }

    /// Inner groups first, the root last.
    fn order(&self) -> (Reverse<usize>, ElemPath) {
        (Reverse(self.then.components().count()), self.then.clone())
    }
}

/// Steps on their way.
struct Plan<'a> {
    source: &'a Source,
    shelf: &'a mut Shelf,
    steps: Vec<Step>,
}

fn steps_of(stage: &Stage, source: &Source, shelf: &mut Shelf) -> Result<Vec<Step>> {
    let listed = |at: &ElemPath| is_listed(source, at);
    let moves = Moves { planned: &stage.planned, new: &stage.tops(), listed: &listed };
    let root = ElemPath::root();
    let unsupported = |what| Error::Unsupported { at: source.place(&root), what };
    let routes = moves.routes(&mut || shelf.next()).map_err(unsupported)?;
    let future = Future::new(source, stage, &routes.moved);

    let mut around: BTreeSet<ElemPath> = routes.places.iter().flat_map(ElemPath::ancestors).collect();
    for now in stage.attrs.keys().filter_map(|at| future.origin(at)) {
        around.extend(now.ancestors());
        around.insert(now);
    }
    // Before anything changes: may it all be changed?
    for group in &around {
        files::check_writable(&source.dir(group)).map_err(source.io(group))?;
    }
    let mut maps = Vec::new();
    for group in &around {
        maps.extend(MapFile::of_group(source, group, stage.planned.place(group))?);
    }
    maps.sort_by_key(MapFile::order);

    let mut plan = Plan { source, shelf, steps: Vec::new() };
    if !maps.iter().any(|map| map.now.is_root() && map.name != "zmetadata") {
        plan.touch_root()?;
    }
    let disturbed = routes.disturb();
    if disturbed {
        maps.iter().rev().try_for_each(|map| plan.take_map(map))?;
    }
    plan.move_nodes(stage, routes.steps.clone(), &routes)?;
    // Inner ones first: a list names what is ready.
    for (at, attrs) in stage.attrs.iter().rev() {
        let Some(now) = future.origin(at) else { continue };
        // Where the document holds a map, both change at once.
        if !maps.iter().any(|map| map.now == now && is_inline(map.name)) {
            plan.set_attrs(&now, at, attrs)?;
        }
    }
    for map in &maps {
        if is_inline(map.name) || map.old.is_some() {
            plan.renew_map(&future, map, stage.attrs.get(&map.then), !disturbed)?;
        } else if !disturbed {
            // What it lists, and other tools may be able to read, could be lost in a new one. No map at all is always right.
            plan.take_out(map.then.child(map.name));
        }
    }
    routes.outs.into_iter().for_each(|at| plan.take_out(at));
    Ok(plan.steps)
}

fn consolidation(version: Version, source: &Source, shelf: &mut Shelf) -> Result<Vec<Step>> {
    let (mut maps, mut open) = (Vec::new(), vec![ElemPath::root()]);
    while let Some(at) = open.pop() {
        // A broken node cannot hold a map that anybody reads.
        if matches!(Document::read(source, &at), Ok(Some(doc)) if !doc.is_array) {
            open.extend(source.children(&at)?.iter().map(|name| at.child(name)));
            maps.extend(MapFile::of_group(source, &at, Some(at.clone()))?);
        }
    }
    let (root, name) = (ElemPath::root(), consolidated::file_name(version));
    let is_new = !maps.iter().any(|map| map.now.is_root() && map.name == name);
    if is_new {
        let old = source.document(&root, name)?.and_then(|bytes| object(&bytes).ok());
        maps.push(MapFile { now: root.clone(), then: root, name, old });
    }
    maps.sort_by_key(MapFile::order);
    let stage = Stage::default();
    let future = Future::new(source, &stage, &BTreeSet::new());
    let mut plan = Plan { source, shelf, steps: Vec::new() };
    for map in &maps {
        let is_there = files::exists(&source.dir(&map.now).join(map.name));
        plan.renew_map(&future, map, None, is_there)?;
    }
    Ok(plan.steps)
}

/// Whether the frame that a node lies in lists it.
fn is_listed(source: &Source, at: &ElemPath) -> bool {
    let Some(Ok(Some(frame))) = at.parent().map(|above| Document::read(source, &above)) else { return false };
    let columns = frame.attrs.get("column-order").and_then(Value::as_array);
    let index = frame.attrs.get("_index");
    columns.into_iter().flatten().chain(index).any(|name| name.as_str() == Some(at.name()))
}

impl Plan<'_> {
    /// Puts a document of the root that says the same in place of the one that is there.
    fn touch_root(&mut self) -> Result<()> {
        let root = ElemPath::root();
        for name in ["zarr.json", ".zgroup"] {
            if let Some(bytes) = self.source.document(&root, name)? {
                let staged = self.put(&root, name, &bytes)?;
                self.steps.push(Step::Touch { staged, at: root.child(name) });
                return Ok(());
            }
        }
        Err(self.source.not_found(&root))
    }

    /// Removes a map.
    fn take_map(&mut self, map: &MapFile) -> Result<()> {
        match &map.old {
            Some(json) if is_inline(map.name) => {
                let bytes = to_bytes(self.source, &map.now, &consolidated::without(json.clone()))?;
                self.replace(&map.now, &map.now, map.name, &bytes)
            }
            _ => {
                self.take_out(map.now.child(map.name));
                Ok(())
            }
        }
    }

    /// Copies what must be there twice for a while, and moves nodes.
    fn move_nodes(&mut self, stage: &Stage, steps: Vec<Step>, routes: &Routes) -> Result<()> {
        for step in &steps {
            // Somebody else may have written here since.
            if let Step::Move { to: Spot::Stored(at), .. } = step
                && files::exists(&self.source.dir(at))
            {
                return Err(Error::Exists { at: self.source.place(at) });
            }
        }
        for (from, number) in &routes.copies {
            let io = self.source.io(from);
            let to = self.shelf.path(self.source, *number).map_err(&io)?;
            files::link_below(self.source, &self.source.dir(from), &to).map_err(|f| f.at(self.source.place(from)))?;
        }
        let new = stage.tops().into_iter().chain(routes.copies.iter().cloned());
        for (at, number) in new {
            let io = self.source.io(&at);
            let dir = self.shelf.path(self.source, number).map_err(&io)?;
            files::sync_below(&dir).map_err(io)?;
        }
        self.steps.extend(steps);
        Ok(())
    }

    /// New attributes of a node that lies at `now` and will lie at `at`.
    fn set_attrs(&mut self, now: &ElemPath, at: &ElemPath, attrs: &Attrs) -> Result<()> {
        let source = self.source;
        let read = |name: &str| {
            let json = |bytes: Vec<u8>| object(&bytes).map_err(|e| source.malformed(now, format!("`{name}`: {e}")));
            source.document(now, name)?.map(json).transpose()
        };
        if let Some(json) = read("zarr.json")? {
            let bytes = to_bytes(source, at, &with_attrs(json, attrs).into())?;
            return self.replace(now, at, "zarr.json", &bytes);
        }
        let old = read(".zattrs")?;
        let is_there = old.is_some();
        let mut json = old.unwrap_or_default();
        json.extend(attrs.clone());
        let bytes = to_bytes(source, at, &json.into())?;
        if is_there { self.replace(now, at, ".zattrs", &bytes) } else { self.add(now, at, ".zattrs", &bytes) }
    }

    /// The new map of a group, with its new attributes where these lie in the same file; in place of a file that is there, or not.
    fn renew_map(&mut self, future: &Future<'_>, map: &MapFile, attrs: Option<&Attrs>, is_there: bool) -> Result<()> {
        let json = match (is_inline(map.name), &map.old) {
            (true, Some(json)) => with_attrs(json.clone(), attrs.unwrap_or(&Attrs::new())),
            (true, None) => return Err(self.source.malformed(&map.now, "`zarr.json` is not a JSON object")),
            (false, _) => Map::new(),
        };
        let value = consolidated::rebuild(future, &map.then, map.name, map.old.as_ref(), json)?;
        let bytes = to_bytes(self.source, &map.then, &value)?;
        if is_there || is_inline(map.name) {
            self.replace(&map.now, &map.then, map.name, &bytes)
        } else {
            self.add(&map.now, &map.then, map.name, &bytes)
        }
    }

    /// A new document for a node that lies at `now` and will lie at `at` by then.
    fn replace(&mut self, now: &ElemPath, at: &ElemPath, name: &str, bytes: &[u8]) -> Result<()> {
        let staged = self.put(now, name, bytes)?;
        let file = now.child(name);
        let changes = |step: &Step| matches!(step, Step::Document { at, .. } if *at == file);
        // One that an earlier step changes is another one by then.
        let is_same = !self.steps.iter().any(changes) && fs::read(self.source.dir(&file)).is_ok_and(|old| old == bytes);
        let at = at.child(name);
        self.steps.push(if is_same { Step::Touch { staged, at } } else { Step::document(staged, at, bytes) });
        Ok(())
    }

    fn add(&mut self, now: &ElemPath, at: &ElemPath, name: &str, bytes: &[u8]) -> Result<()> {
        let staged = self.put(now, name, bytes)?;
        self.steps.push(Step::Move { from: Spot::Staged(staged), to: Spot::Stored(at.child(name)) });
        Ok(())
    }

    /// Stages a document of a node that lies at `now`, for those who may read the one it replaces, or else the node.
    fn put(&mut self, now: &ElemPath, name: &str, bytes: &[u8]) -> Result<usize> {
        let dir = self.source.dir(now);
        let models = [name, ".zgroup", ".zarray"].map(|name| dir.join(name));
        let model = models.iter().find(|model| files::exists(model)).unwrap_or(&models[0]);
        self.shelf.put(self.source, bytes, model).map_err(self.source.io(now))
    }

    fn take_out(&mut self, at: ElemPath) {
        let to = Spot::Staged(self.shelf.next());
        self.steps.push(Step::Move { from: Spot::Stored(at), to });
    }
}

/// A document of version 3 with attributes changed.
fn with_attrs(mut json: Map<String, Value>, attrs: &Attrs) -> Map<String, Value> {
    if !attrs.is_empty() {
        match json.entry("attributes").or_insert_with(|| Attrs::new().into()) {
            Value::Object(map) => map.extend(attrs.clone()),
            other => *other = attrs.clone().into(),
        }
    }
    json
}
