//! [`ZarrStore`]: Zarr directories of versions 2 and 3, and zip archives of them.
//!
//! Metadata are found and understood here (`source`, `archive`, `meta`, `dtype`, `fill`, `consolidated`), and chunks
//! decoded (`array`, `direct`, `cut`, `shard`, `codec`, `filter`, `exact`, `item`) or looked at as they are
//! (`fingerprint`); the Zarr library encodes them (`library`). New arrays take the dialect of their neighbours (`dialect`).
//!
//! Writes are transactions: what is new waits in a directory of its own (`write`, `parts`, `stage`); publishing (`publish`) finds out how every
//! node gets to its place (`route`) and what the maps will say (`future`), records the steps (`intent`) and carries them out (`run`).
//! Whoever opens a store later ends what was interrupted (`open`, `recover`); whoever reads notices that it changed (`watch`).
//! `audit` looks for what is wrong.

mod archive;
mod array;
mod audit;
mod codec;
mod consolidated;
mod cut;
mod dialect;
mod direct;
mod dtype;
mod exact;
mod files;
mod fill;
mod filter;
mod fingerprint;
mod future;
mod intent;
mod item;
mod library;
mod meta;
mod open;
mod parts;
mod publish;
mod recover;
mod route;
mod run;
mod shard;
mod source;
mod stage;
#[cfg(test)]
mod tests;
mod watch;
mod write;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use parking_lot::Mutex;

use super::{ChunkCache, IoStats, Node, ReadStore, check_rows};
use crate::error::{Error, Place, Result, nearest};
use crate::index::Rows;
use crate::path::ElemPath;
use crate::value::Array;
use array::{OpenArray, Reading};
use consolidated::ConsolidatedMap;
use direct::Decoded;
use meta::{Document, Layout};
use source::{Fault, Source};
use watch::{Watch, changed};
use write::Writer;

pub(crate) use audit::{Audit, Chunks, FlawKind};
pub(super) use files::check_writable;
pub(super) use open::{left_over, recover};

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
    Read(Box<Reader>),
    /// The truth on disk, every time; a stale map may hide what is there.
    Write(Box<Writer>),
}

/// The store as it was when it was opened: through the consolidated metadata or what has been read once.
#[derive(Debug)]
struct Reader {
    map: Option<ConsolidatedMap>,
    watch: Watch,
    seen: Mutex<HashMap<ElemPath, Option<Arc<Document>>>>,
    open: Mutex<HashMap<ElemPath, Arc<OpenArray>>>,
    decoded: ChunkCache<Decoded>,
    /// Whether a change was noticed: what was read before does not go with what is there now, be it asked for again or not.
    is_stale: AtomicBool,
}

/// Arrays that are kept open, with the shard indexes they have read.
const MAX_OPENED: usize = 64;

impl Reader {
    fn new(map: Option<ConsolidatedMap>, watch: Watch) -> Self {
        Self {
            map,
            watch,
            seen: Mutex::default(),
            open: Mutex::default(),
            decoded: ChunkCache::default(),
            is_stale: AtomicBool::default(),
        }
    }
}

impl ZarrStore {
    /// Reads something about the node `at`: if somebody changes the store meanwhile, or has changed it since it was opened, that
    /// is what is told. A writer's reads wait while it publishes.
    fn reading<T>(&self, at: &ElemPath, read: impl FnOnce() -> Result<T>) -> Result<T> {
        match &self.access {
            Access::Write(writer) => {
                let _open = writer.enter(&self.source)?;
                read()
            }
            Access::Read(reader) => {
                let listed = reader.map.as_ref().is_some_and(|map| map.lists(at));
                let checked = || match reader.is_stale.load(Relaxed) {
                    true => Err(changed(&self.source)),
                    false => reader.watch.check_node(&self.source, at, listed),
                };
                let done = checked().and_then(|()| {
                    let done = read();
                    checked().and(done)
                });
                done.map_err(|e| match e {
                    Error::StoreChanged { .. } => {
                        reader.is_stale.store(true, Relaxed);
                        changed(&self.source)
                    }
                    other => other,
                })
            }
        }
    }

    fn document(&self, at: &ElemPath) -> Result<Option<Arc<Document>>> {
        let read = || Ok(Document::read(&self.source, at)?.map(Arc::new));
        let Access::Read(reader) = &self.access else { return read() };
        if let Some(map) = &reader.map {
            return map.document(&self.source, at);
        }
        if let Some(known) = reader.seen.lock().get(at) {
            return Ok(known.clone());
        }
        let doc = read()?;
        reader.seen.lock().insert(at.clone(), doc.clone());
        Ok(doc)
    }

    fn array_document(&self, at: &ElemPath) -> Result<Arc<Document>> {
        self.document(at)?.filter(|doc| doc.is_array).ok_or_else(|| self.source.not_found(at))
    }

    fn open_array(&self, at: &ElemPath) -> Result<Arc<OpenArray>> {
        if let Access::Read(reader) = &self.access
            && let Some(known) = reader.open.lock().get(at)
        {
            return Ok(known.clone());
        }
        let doc = self.array_document(at)?;
        let layout = Layout::new(&doc).map_err(|f| f.at(self.source.place(at)))?;
        let array = Arc::new(OpenArray::new(&layout).map_err(|f| f.at(self.source.place(at)))?);
        if let Access::Read(reader) = &self.access {
            let mut open = reader.open.lock();
            if open.len() >= MAX_OPENED {
                open.clear();
            }
            open.insert(at.clone(), array.clone());
        }
        Ok(array)
    }
}

impl ReadStore for ZarrStore {
    fn location(&self) -> &str {
        &self.source.location
    }

    fn node(&self, at: &ElemPath) -> Result<Option<Node>> {
        self.reading(at, || {
            let doc = self.document(at)?;
            doc.map(|doc| doc.node().map_err(|f| f.at(self.source.place(at)))).transpose()
        })
    }

    fn children(&self, at: &ElemPath) -> Result<Vec<String>> {
        self.reading(at, || {
            if self.document(at)?.is_none_or(|doc| doc.is_array) {
                return Err(self.source.not_found(at));
            }
            match &self.access {
                Access::Read(reader) => match &reader.map {
                    Some(map) => Ok(map.children(at)),
                    None => self.source.children(at),
                },
                Access::Write(_) => self.source.children(at),
            }
        })
    }

    fn read(&self, at: &ElemPath, rows: &[Rows]) -> Result<Array> {
        self.reading(at, || self.read_array(at, rows))
    }

    fn read_fields(&self, at: &ElemPath, fields: &[&str], rows: &[Rows]) -> Result<Vec<Array>> {
        self.reading(at, || self.read_parts(at, fields, rows))
    }

    fn fingerprint(&self, at: &ElemPath) -> Result<Option<u32>> {
        self.reading(at, || {
            let array = self.open_array(at)?;
            array.fingerprint(self.from(at)).map_err(|fault| fault.at(self.source.place(at)))
        })
    }

    fn stats(&self) -> IoStats {
        self.source.meter.stats()
    }
}

impl ZarrStore {
    fn from<'a>(&'a self, at: &'a ElemPath) -> Reading<'a> {
        let cache = match &self.access {
            Access::Read(reader) => Some(&reader.decoded),
            Access::Write(_) => None,
        };
        Reading { source: &self.source, at, cache }
    }

    fn read_array(&self, at: &ElemPath, rows: &[Rows]) -> Result<Array> {
        let array = self.open_array(at)?;
        let shape = check_rows(self, at, &array.shape, rows)?;
        let place = || self.source.place(at);
        if array.items().structured {
            return Err(Fault::Unsupported("a structured array is read by its fields".into()).at(place()));
        }
        let read = array.read(self.from(at), &[0], rows, &shape).map_err(|f| f.at(place()))?;
        read.into_iter().next().ok_or_else(|| self.source.not_found(at))
    }

    fn read_parts(&self, at: &ElemPath, fields: &[&str], rows: &[Rows]) -> Result<Vec<Array>> {
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
        array.read(self.from(at), &parts, rows, &shape).map_err(|f| f.at(self.source.place(at)))
    }
}
