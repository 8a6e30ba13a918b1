//! [`View`]: what stands at a path, as readers of today see it, and where it really is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::json;

use crate::error::{Error, Place, Result};
use crate::index::Rows;
use crate::path::ElemPath;
use crate::store::{ArrayMeta, Attrs, Field, Node, NodeKind, ReadStore};
use crate::value::{Array, DType};

/// What stands at a path.
#[derive(Debug)]
pub(super) enum View {
    /// An array as it is stored here.
    Array(ElemPath),
    /// A stored array, or one field of it, in another form.
    Part(Part),
    /// A group.
    Group(Group),
}

/// A group, stored or put together.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// The stored group whose children it has; none if it is put together from other things.
    pub(super) at: Option<ElemPath>,
    /// All its attributes.
    pub(super) attrs: Attrs,
    /// Children of the stored group that are not shown.
    pub(super) hide: BTreeSet<String>,
    /// Children besides those, and instead of some.
    pub(super) more: BTreeMap<String, Arc<View>>,
    pub(super) role: Role,
    /// What makes it a stored group of today, with all that is below it.
    pub(super) upgrade: Option<Arc<Upgrade>>,
}

/// What a stored group is, for its children.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) enum Role {
    /// Outside any AnnData: one may be below it.
    Outside,
    /// A data frame: its children are columns.
    Frame,
    #[default]
    Plain,
}

/// One step from a layout of old to today's.
#[derive(Debug)]
pub(super) struct Upgrade {
    /// Stored nodes that go.
    pub(super) remove: Vec<ElemPath>,
    /// Paths that are then stored as they are shown.
    pub(super) make: Vec<ElemPath>,
}

/// A stored array, or one field of it, shown in another form.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) at: ElemPath,
    /// Of a structured array, the field.
    field: Option<String>,
    attrs: Attrs,
    /// As shown.
    meta: ArrayMeta,
    /// Axes of the stored array.
    axes: usize,
}

impl Part {
    /// The array at `at` as it is, with these attributes; byte strings are text.
    pub(super) fn array(at: ElemPath, meta: &ArrayMeta, attrs: Attrs) -> Self {
        let mut meta = meta.clone();
        let dtypes = meta.fields.iter_mut().map(|f| &mut f.dtype).chain([&mut meta.dtype]);
        dtypes.filter(|d| **d == Some(DType::Bytes)).for_each(|d| *d = Some(DType::Str));
        Self { axes: meta.shape.len(), at, field: None, attrs, meta }
    }

    /// One field of the structured array at `at`, as an array of today.
    pub(super) fn field(at: ElemPath, array: &ArrayMeta, field: &Field) -> Self {
        let meta = ArrayMeta {
            shape: [&array.shape[..], &field.shape[..]].concat(),
            dtype: field.dtype,
            stored: field.stored.clone(),
            fields: Vec::new(),
            chunks: None,
            null: false,
        };
        let part = Self::array(at, &meta, Attrs::new());
        Self { axes: array.shape.len(), field: Some(field.name.clone()), ..part }.tagged()
    }

    /// The same with the tags of an array of today.
    pub(super) fn tagged(mut self) -> Self {
        let name = if self.meta.dtype == Some(DType::Str) { "string-array" } else { "array" };
        self.attrs = tags(self.attrs, name, "0.2.0");
        self
    }

    /// The same items, as many as before, in this shape: a length-1 list as a scalar, a column as a matrix.
    pub(super) fn shaped(mut self, shape: &[usize]) -> Self {
        self.meta.chunks = self.meta.chunks.filter(|c| c.len() == shape.len());
        self.meta.shape = shape.to_vec();
        self
    }

    pub(super) fn shape(&self) -> &[usize] {
        &self.meta.shape
    }

    pub(super) fn node(&self) -> Node {
        Node { kind: NodeKind::Array(self.meta.clone()), attrs: self.attrs.clone() }
    }

    /// The items at these positions, which lie within its shape.
    pub(super) fn read(&self, store: &dyn ReadStore, rows: &[Rows]) -> Result<Array> {
        let damaged = |what: &str| self.damaged(store, what);
        // A scalar is item 0 of a list, or of nothing at all; otherwise the leading axes are the stored ones.
        let outer: Vec<Rows> = (0..self.axes).map(|axis| rows.get(axis).cloned().unwrap_or(Rows::All(1))).collect();
        let inner = rows.get(self.axes..).unwrap_or_default();
        let array = match &self.field {
            Some(name) => store.read_fields(&self.at, &[name], &outer)?.pop(),
            None => Some(store.read(&self.at, &outer)?),
        };
        let array = array.ok_or_else(|| damaged("the field is missing"))?;
        let own = self.meta.shape.get(self.axes..).unwrap_or_default();
        let mut shape: Vec<usize> = outer.iter().map(Rows::len).chain(own.iter().copied()).collect();
        shape.truncate(self.meta.shape.len());
        let array = array.reshape(&shape).ok_or_else(|| damaged("its shape is not what it was"))?;
        let whole = shape.iter().zip(&outer).map(|(&n, _)| Rows::All(n));
        let array = array.take(&whole.chain(inner.iter().cloned()).collect::<Vec<_>>());
        as_text(array).ok_or_else(|| damaged(NO_TEXT))
    }

    /// As [`read`](Self::read), of fields of a structured array that is shown as one.
    pub(super) fn read_fields(&self, store: &dyn ReadStore, fields: &[&str], rows: &[Rows]) -> Result<Vec<Array>> {
        let arrays = store.read_fields(&self.at, fields, rows)?;
        arrays.into_iter().map(|array| as_text(array).ok_or_else(|| self.damaged(store, NO_TEXT))).collect()
    }

    fn damaged(&self, store: &dyn ReadStore, what: &str) -> Error {
        Error::Malformed { at: Place::new(store.location(), &self.at), what: what.to_owned() }
    }
}

const NO_TEXT: &str = "a text is not UTF-8";

/// Byte strings as text; `None` if they are none.
fn as_text(array: Array) -> Option<Array> {
    let Array::Bytes(items) = &array else { return Some(array) };
    let texts = items.iter().map(|b| String::from_utf8(b.0.clone()).ok()).collect::<Option<Vec<_>>>()?;
    Array::from_shape_vec(array.shape(), texts)
}

impl View {
    pub(super) const fn group(&self) -> Option<&Group> {
        if let Self::Group(group) = self { Some(group) } else { None }
    }

    /// The stored array that this is, or is made of.
    pub(super) const fn stored(&self) -> Option<&ElemPath> {
        match self {
            Self::Array(at) | Self::Part(Part { at, .. }) => Some(at),
            Self::Group(_) => None,
        }
    }
}

impl Group {
    /// A group put together.
    pub(super) fn made(attrs: Attrs, more: BTreeMap<String, Arc<View>>, upgrade: Option<Arc<Upgrade>>) -> Self {
        Self { attrs, more, upgrade, ..Self::default() }
    }

    /// Adds `view` at `path` below, with groups on the way where the path has several names.
    pub(super) fn put(&mut self, path: &ElemPath, view: View) {
        let mut names = path.components();
        let Some(first) = names.next() else { return };
        let rest = names.collect::<Vec<_>>().join("/");
        let view = match ElemPath::parse(&rest) {
            Ok(rest) if !rest.is_root() => {
                let mut below = match self.more.remove(first).and_then(Arc::into_inner) {
                    Some(View::Group(group)) => group,
                    _ => Self::default(),
                };
                below.put(&rest, view);
                View::Group(below)
            }
            _ => view,
        };
        self.more.insert(first.to_owned(), Arc::new(view));
    }
}

/// `attrs` with an encoding pair.
pub(super) fn tags(mut attrs: Attrs, name: &str, version: &str) -> Attrs {
    attrs.insert("encoding-type".into(), json!(name));
    attrs.insert("encoding-version".into(), json!(version));
    attrs
}
