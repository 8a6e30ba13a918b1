//! Layouts of old as today's: [`Lens`] stands before a store and shows what anndata 0.5 to 0.7, SeuratDisk and h5sparse wrote
//! in the encodings of anndata 0.8 and later, so that nothing above it knows of any other. [`WriteLens`] makes real what it
//! shows where something is added to it.
//!
//! What is shown follows anndata's own readers, with three exceptions, where these lose what the file says: categories of
//! `raw.var` (`/raw.cat`), categories of SeuratDisk (`__categories` that no column refers to), and row names of frames without
//! tags (`_index`).

mod anndata;
mod node;
#[cfg(test)]
mod tests;
mod view;
mod write;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use self::view::{Role, View};
use crate::error::{Error, Place, Result};
use crate::index::Rows;
use crate::path::ElemPath;
use crate::store::{IoStats, Node, NodeKind, ReadStore, WriteStore, check_rows};
use crate::value::Array;

use self::write::WriteLens;

/// The store as readers of today see it: itself, or behind a lens if the AnnData at `inner`, or the modality of that name,
/// needs one.
///
/// # Errors
/// Those of the store.
pub(crate) fn read(store: Arc<dyn ReadStore>, inner: &ElemPath) -> Result<Arc<dyn ReadStore>> {
    if is_old(&*store, inner)? { Ok(Arc::new(Lens::new(store))) } else { Ok(store) }
}

/// As [`read`], of a store open for writing.
///
/// # Errors
/// Those of the store.
pub(crate) fn write(store: Arc<dyn WriteStore>, inner: &ElemPath) -> Result<Arc<dyn WriteStore>> {
    if is_old(&*store, inner)? { Ok(Arc::new(WriteLens::new(store))) } else { Ok(store) }
}

/// Whether something there is not of today's layout: told by the tags of the object and of its frames, which every writer
/// since anndata 0.8 sets, and by graphs in the place where they were up to 0.6.
fn is_old(store: &dyn ReadStore, inner: &ElemPath) -> Result<bool> {
    let (base, root) = match store.node(inner)? {
        Some(node) => (inner.clone(), node),
        None => {
            let modality = ElemPath::root().child("mod").append(inner);
            let Some(node) = store.node(&modality)? else { return Ok(false) };
            (modality, node)
        }
    };
    let frame = |name: &str| -> Result<bool> {
        let Some(node) = store.node(&base.child(name))? else { return Ok(true) };
        Ok((node.text("encoding-type"), node.text("encoding-version")) == (Some("dataframe"), Some("0.2.0")))
    };
    if root.text("encoding-type").is_none() || !frame("obs")? || !frame("var")? {
        return Ok(true);
    }
    let neighbors = base.child("uns").child("neighbors");
    for name in anndata::GRAPHS {
        if sound(store.node(&neighbors.child(name)))?.flatten().is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What was asked for, or nothing where it is damaged: whoever asks for that itself is told.
fn sound<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(Error::Malformed { .. } | Error::Unsupported { .. } | Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A store in old layouts, shown in today's.
pub(crate) struct Lens {
    store: Arc<dyn ReadStore>,
    /// What was found at each path so far.
    seen: Mutex<HashMap<ElemPath, Option<Arc<View>>>>,
}

impl Lens {
    pub(crate) fn new(store: Arc<dyn ReadStore>) -> Self {
        Self { store, seen: Mutex::default() }
    }

    /// Looks at everything anew.
    fn forget(&self) {
        self.seen.lock().clear();
    }

    fn place(&self, at: &ElemPath) -> Place {
        Place::new(self.store.location(), at)
    }

    /// The node at `at`, where there is a sound one.
    fn stored(&self, at: &ElemPath) -> Result<Option<Node>> {
        Ok(sound(self.store.node(at))?.flatten())
    }

    fn not_found(&self, at: &ElemPath) -> Error {
        Error::NotFound { at: self.place(at), nearest: Vec::new() }
    }

    /// What stands at `at`: found from the root down, each step from the one before.
    fn view(&self, at: &ElemPath) -> Result<Option<Arc<View>>> {
        if let Some(known) = self.seen.lock().get(at) {
            return Ok(known.clone());
        }
        let mut here = ElemPath::root();
        let mut view = self.seen_or(&here, || Ok(self.outside(here.clone())?.map(Arc::new)))?;
        for name in at.components() {
            let Some(above) = view else { return Ok(None) };
            here = here.join(name)?;
            view = self.seen_or(&here, || self.child(&above, name))?;
        }
        Ok(view)
    }

    fn seen_or(&self, at: &ElemPath, look: impl FnOnce() -> Result<Option<Arc<View>>>) -> Result<Option<Arc<View>>> {
        if let Some(known) = self.seen.lock().get(at) {
            return Ok(known.clone());
        }
        let view = look()?;
        self.seen.lock().insert(at.clone(), view.clone());
        Ok(view)
    }

    fn child(&self, above: &View, name: &str) -> Result<Option<Arc<View>>> {
        let Some(group) = above.group() else { return Ok(None) };
        if let Some(view) = group.more.get(name) {
            return Ok(Some(view.clone()));
        }
        let Some(at) = group.at.as_ref().filter(|_| !group.hide.contains(name)) else { return Ok(None) };
        let at = at.join(name)?;
        let view = match group.role {
            Role::Outside => self.outside(at)?,
            Role::Frame => self.column(at)?,
            Role::Plain => self.plain(at)?,
        };
        Ok(view.map(Arc::new))
    }
}

impl ReadStore for Lens {
    fn location(&self) -> &str {
        self.store.location()
    }

    fn node(&self, at: &ElemPath) -> Result<Option<Node>> {
        match self.view(at)?.as_deref() {
            None => Ok(None),
            Some(View::Array(stored)) => self.store.node(stored),
            Some(View::Part(part)) => Ok(Some(part.node())),
            Some(View::Group(group)) => Ok(Some(Node { kind: NodeKind::Group, attrs: group.attrs.clone() })),
        }
    }

    fn children(&self, at: &ElemPath) -> Result<Vec<String>> {
        let view = self.view(at)?;
        let group = view.as_deref().and_then(View::group).ok_or_else(|| self.not_found(at))?;
        let stored = group.at.as_ref().map_or(Ok(Vec::new()), |stored| self.store.children(stored))?;
        let stored = stored.into_iter().filter(|name| !group.hide.contains(name));
        Ok(stored.chain(group.more.keys().cloned()).collect::<BTreeSet<_>>().into_iter().collect())
    }

    fn read(&self, at: &ElemPath, rows: &[Rows]) -> Result<Array> {
        match self.view(at)?.as_deref() {
            Some(View::Array(stored)) => self.store.read(stored, rows),
            Some(View::Part(part)) => {
                check_rows(self, at, part.shape(), rows)?;
                part.read(&*self.store, rows)
            }
            _ => Err(self.not_found(at)),
        }
    }

    fn read_fields(&self, at: &ElemPath, fields: &[&str], rows: &[Rows]) -> Result<Vec<Array>> {
        match self.view(at)?.as_deref() {
            Some(View::Array(stored)) => self.store.read_fields(stored, fields, rows),
            Some(View::Part(part)) => part.read_fields(&*self.store, fields, rows),
            _ => Err(self.not_found(at)),
        }
    }

    fn fingerprint(&self, at: &ElemPath) -> Result<Option<u32>> {
        match self.view(at)?.as_deref() {
            Some(View::Array(stored)) => self.store.fingerprint(stored),
            Some(View::Part(_)) => Ok(None),
            _ => Err(self.not_found(at)),
        }
    }

    fn stats(&self) -> IoStats {
        self.store.stats()
    }
}
