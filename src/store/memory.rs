//! [`MemoryStore`]: the store contract at its plainest, for tests and for building elements without a file.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::parts::Coming;
use super::{
    ArrayMeta, ArrayParts, Attrs, Field, IoStats, Meter, Node, NodeKind, Planned, ReadStore, Safety, Style, WriteStore,
    check_rows,
};
use crate::error::{Error, Place, Result};
use crate::index::Rows;
use crate::path::ElemPath;
use crate::value::{Array, DType, Records, Scatter, check_memory};

#[derive(Debug, Clone)]
enum Content {
    Group,
    Array(Array),
    Records(Records),
    Null,
}

#[derive(Debug, Clone)]
struct Entry {
    content: Content,
    attrs: Attrs,
}

impl Entry {
    fn node(&self) -> Node {
        let meta = |dtype: DType, shape: &[usize], null| {
            NodeKind::Array(ArrayMeta {
                shape: shape.to_vec(),
                dtype: Some(dtype),
                stored: dtype.to_string(),
                fields: Vec::new(),
                chunks: None,
                null,
            })
        };
        let records = |records: &Records| {
            let own = |field: &Array| field.shape()[records.shape().len()..].to_vec();
            let field = |(name, data): &(String, Array)| Field {
                name: name.clone(),
                dtype: Some(data.dtype()),
                shape: own(data),
                stored: data.dtype().to_string(),
            };
            NodeKind::Array(ArrayMeta {
                shape: records.shape().to_vec(),
                dtype: None,
                stored: "structured".to_owned(),
                fields: records.fields().iter().map(field).collect(),
                chunks: None,
                null: false,
            })
        };
        let kind = match &self.content {
            Content::Group => NodeKind::Group,
            Content::Array(a) => meta(a.dtype(), a.shape(), false),
            Content::Records(r) => records(r),
            Content::Null => meta(DType::Bool, &[], true),
        };
        Node { kind, attrs: self.attrs.clone() }
    }
}

#[derive(Debug, Default)]
struct State {
    published: BTreeMap<ElemPath, Entry>,
    /// A full copy with the changes made since; `None` when nothing is staged.
    staged: Option<BTreeMap<ElemPath, Entry>>,
    planned: Planned,
}

/// A store in memory.
#[derive(Debug)]
pub struct MemoryStore {
    name: String,
    state: Mutex<State>,
    meter: Meter,
}

impl MemoryStore {
    /// An empty store (a root group) that calls itself `name` in messages.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        let root = Entry { content: Content::Group, attrs: Attrs::new() };
        let published = BTreeMap::from([(ElemPath::root(), root)]);
        Self {
            name: name.into(),
            state: Mutex::new(State { published, staged: None, planned: Planned::default() }),
            meter: Meter::default(),
        }
    }

    fn place(&self, at: &ElemPath) -> Place {
        Place::new(&self.name, at)
    }

    fn not_found(&self, at: &ElemPath) -> Error {
        Error::NotFound { at: self.place(at), nearest: Vec::new() }
    }

    fn add(&self, at: &ElemPath, content: Content, attrs: &Attrs) -> Result<()> {
        let mut state = self.state.lock();
        let nodes = state.draft();
        if nodes.contains_key(at) {
            return Err(Error::Exists { at: self.place(at) });
        }
        let parent = at.parent().unwrap_or_default();
        if !nodes.get(&parent).is_some_and(|e| matches!(e.content, Content::Group)) {
            return Err(self.not_found(&parent));
        }
        nodes.insert(at.clone(), Entry { content, attrs: attrs.clone() });
        Ok(())
    }
}

impl State {
    fn draft(&mut self) -> &mut BTreeMap<ElemPath, Entry> {
        let published = &self.published;
        self.staged.get_or_insert_with(|| published.clone())
    }

    /// Whether a published node will stand at `at`.
    fn is_published(&self, at: &ElemPath) -> bool {
        self.planned.origin(at).is_some_and(|origin| self.published.contains_key(&origin))
    }
}

impl ReadStore for MemoryStore {
    fn location(&self) -> &str {
        &self.name
    }

    fn node(&self, at: &ElemPath) -> Result<Option<Node>> {
        Ok(self.state.lock().published.get(at).map(Entry::node))
    }

    fn children(&self, at: &ElemPath) -> Result<Vec<String>> {
        let state = self.state.lock();
        match state.published.get(at) {
            Some(Entry { content: Content::Group, .. }) => Ok(state
                .published
                .keys()
                .filter(|p| p.parent().as_ref() == Some(at))
                .map(|p| p.name().to_owned())
                .collect()),
            _ => Err(self.not_found(at)),
        }
    }

    fn read(&self, at: &ElemPath, rows: &[Rows]) -> Result<Array> {
        let array = match self.state.lock().published.get(at) {
            Some(Entry { content: Content::Array(a), .. }) => a.clone(),
            _ => return Err(self.not_found(at)),
        };
        check_rows(self, at, array.shape(), rows)?;
        let cut = array.take(rows);
        if !cut.is_empty() {
            self.meter.chunk();
            self.meter.read(cut.nbytes() as u64);
        }
        Ok(cut)
    }

    fn read_fields(&self, at: &ElemPath, fields: &[&str], rows: &[Rows]) -> Result<Vec<Array>> {
        let records = match self.state.lock().published.get(at) {
            Some(Entry { content: Content::Records(r), .. }) => r.clone(),
            _ => return Err(self.not_found(at)),
        };
        check_rows(self, at, records.shape(), rows)?;
        let field = |name: &&str| records.field(name).map(|f| f.take(rows)).ok_or_else(|| self.not_found(at));
        fields.iter().map(field).collect()
    }

    fn fingerprint(&self, at: &ElemPath) -> Result<Option<u32>> {
        match self.state.lock().published.get(at) {
            Some(Entry { content: Content::Array(array), .. }) => Ok(Some(crc32c::crc32c(&array.to_le_bytes()))),
            Some(Entry { content: Content::Group, .. }) | None => Err(self.not_found(at)),
            Some(_) => Ok(None),
        }
    }

    fn stats(&self) -> IoStats {
        self.meter.stats()
    }
}

/// A new array, as far as it has come.
struct InParts<'s> {
    store: &'s MemoryStore,
    at: ElemPath,
    attrs: Attrs,
    coming: Coming,
    whole: Scatter,
}

impl ArrayParts for InParts<'_> {
    fn put(&mut self, part: &Array) -> Result<()> {
        let start = self.coming.rows;
        self.coming.take(part)?;
        self.whole.put_rows(part.clone(), start);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.coming.end()?;
        let style = Style { like: None, resizable: false };
        self.store.create_array(&self.at, &self.whole.finish(), style, &self.attrs)
    }
}

impl WriteStore for MemoryStore {
    fn create_group(&self, at: &ElemPath, attrs: &Attrs) -> Result<()> {
        self.add(at, Content::Group, attrs)
    }

    fn create_array(&self, at: &ElemPath, data: &Array, _style: Style<'_>, attrs: &Attrs) -> Result<()> {
        self.add(at, Content::Array(data.clone()), attrs)?;
        self.meter.wrote(data.nbytes() as u64);
        Ok(())
    }

    fn create_array_in_parts<'s>(
        &'s self,
        at: &ElemPath,
        dtype: DType,
        shape: &[usize],
        _style: Style<'_>,
        attrs: &Attrs,
    ) -> Result<Box<dyn ArrayParts + 's>> {
        let place = Place::new(&self.name, at);
        check_memory(dtype, shape).map_err(|what| Error::Unsupported { at: place.clone(), what })?;
        let coming = Coming::new(place, dtype, shape)?;
        let whole = Scatter::new(dtype, shape);
        Ok(Box::new(InParts { store: self, at: at.clone(), attrs: attrs.clone(), coming, whole }))
    }

    fn create_records(&self, at: &ElemPath, data: &Records, _style: Style<'_>, attrs: &Attrs) -> Result<()> {
        self.add(at, Content::Records(data.clone()), attrs)?;
        self.meter.wrote(data.nbytes() as u64);
        Ok(())
    }

    fn create_null(&self, at: &ElemPath, attrs: &Attrs) -> Result<()> {
        self.add(at, Content::Null, attrs)
    }

    fn set_attrs(&self, at: &ElemPath, attrs: &Attrs) -> Result<()> {
        let mut state = self.state.lock();
        let entry = state.draft().get_mut(at).ok_or_else(|| self.not_found(at))?;
        entry.attrs.extend(attrs.clone());
        Ok(())
    }

    fn remove(&self, at: &ElemPath) -> Result<()> {
        let mut state = self.state.lock();
        if at.is_root() || !state.is_published(at) {
            return Err(self.not_found(at));
        }
        state.draft().retain(|path, _| !path.starts_with(at));
        state.planned.remove(at);
        Ok(())
    }

    fn rename(&self, from: &ElemPath, to: &ElemPath) -> Result<()> {
        let mut state = self.state.lock();
        if from.is_root() || !state.is_published(from) {
            return Err(self.not_found(from));
        }
        let parent = to.parent().unwrap_or_default();
        let is_group = |e: &Entry| matches!(e.content, Content::Group);
        if !state.is_published(&parent) || !state.draft().get(&parent).is_some_and(is_group) {
            return Err(self.not_found(&parent));
        }
        if state.draft().contains_key(to) {
            return Err(Error::Exists { at: self.place(to) });
        }
        let unsupported = |what: &str| Err(Error::Unsupported { at: self.place(from), what: what.to_owned() });
        if to.starts_with(from) {
            return unsupported("it cannot be moved into itself");
        }
        let below: Vec<ElemPath> = state.draft().keys().filter(|at| at.starts_with(from)).cloned().collect();
        if below.iter().any(|at| !state.is_published(at)) {
            return unsupported("something new is staged below it");
        }
        for at in below {
            let rest = at.strip_prefix(from).unwrap_or_default();
            if let Some(entry) = state.draft().remove(&at) {
                state.draft().insert(to.append(&rest), entry);
            }
        }
        state.planned.rename(from, to);
        Ok(())
    }

    fn publish_with(&self, _safety: Safety) -> Result<()> {
        let mut state = self.state.lock();
        if let Some(staged) = state.staged.take() {
            state.published = staged;
        }
        state.planned = Planned::default();
        Ok(())
    }

    fn consolidate(&self) -> Result<()> {
        Err(Error::Unsupported {
            at: self.place(&ElemPath::root()),
            what: "a store in memory has no consolidated metadata".into(),
        })
    }

    fn abandon(&self) -> Result<()> {
        let mut state = self.state.lock();
        state.staged = None;
        state.planned = Planned::default();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::{Fresh, store_contract};

    #[test]
    fn keeps_the_store_contract() {
        store_contract(&|| {
            // Dropping abandons: what is reopened is the published part alone.
            let store = Arc::new(MemoryStore::new("memory"));
            let again = store.clone();
            let reopen = Box::new(move || {
                again.abandon().unwrap();
                again.clone() as Arc<dyn ReadStore>
            });
            Fresh { store, reopen, lacks: &[], repeats: true, keep: Box::new(()) }
        });
    }
}
