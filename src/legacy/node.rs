//! Nodes that show by themselves that they are of an old layout, wherever they stand: frames of anndata 0.7 and SeuratDisk,
//! matrices of h5sparse, texts of fixed length.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::view::{Group, Part, Role, View, tags};
use super::{Lens, sound};
use crate::error::{Error, Result};
use crate::index::Rows;
use crate::path::ElemPath;
use crate::store::{ArrayMeta, Attrs, Node, NodeKind};
use crate::value::{Array, DType};

/// Where frames of anndata 0.7 keep the categories of their columns.
pub(super) const CATEGORIES: &str = "__categories";

impl Lens {
    /// The node at `at`, which is neither a slot nor a column.
    pub(super) fn plain(&self, at: ElemPath) -> Result<Option<View>> {
        match self.store.node(&at)? {
            Some(node) => self.node_view(at, node).map(Some),
            None => Ok(None),
        }
    }

    fn node_view(&self, at: ElemPath, node: Node) -> Result<View> {
        let tag = (node.text("encoding-type"), node.text("encoding-version"));
        let meta = match node.kind {
            NodeKind::Group => {
                return Ok(match tag {
                    (Some("dataframe"), Some("0.1.0")) => View::Group(self.frame(at, node.attrs)?),
                    (None, _) if node.text("_index").is_some() => View::Group(self.frame(at, node.attrs)?),
                    (None, _) if node.text("h5sparse_format").is_some() => View::Group(sparse(at, node.attrs)),
                    _ => View::Group(Group { at: Some(at), attrs: node.attrs, ..Group::default() }),
                });
            }
            NodeKind::Array(ref meta) => meta,
        };
        if tag.0.is_some() {
            return Ok(View::Array(at));
        }
        if let Some(categories) = self.referred(&at, &node)? {
            return self.categorical(at, meta, categories);
        }
        Ok(match meta.dtype {
            // Up to 0.6 a text was an array of one, of fixed length and without a character set; numbers were arrays of one,
            // too, but stay so in anndata.
            Some(DType::Str) if meta.shape == [1] && meta.stored.starts_with("string of ") => {
                View::Part(Part::array(at, meta, node.attrs).shaped(&[]))
            }
            Some(DType::Bytes) => View::Part(Part::array(at, meta, node.attrs)),
            None if meta.fields.iter().any(|f| f.dtype == Some(DType::Bytes)) => {
                View::Part(Part::array(at, meta, node.attrs))
            }
            _ => View::Array(at),
        })
    }

    /// A frame of anndata 0.7, or one without tags that says where its index is.
    fn frame(&self, at: ElemPath, attrs: Attrs) -> Result<Group> {
        let hide = BTreeSet::from([CATEGORIES.to_owned()]);
        let mut attrs = tags(attrs, "dataframe", "0.2.0");
        if !attrs.contains_key("column-order") {
            let index = attrs.get("_index").cloned();
            let mut names = self.store.children(&at)?;
            names.retain(|name| !hide.contains(name) && index.as_ref().and_then(Value::as_str) != Some(name));
            attrs.insert("column-order".into(), json!(names));
        }
        Ok(Group { at: Some(at), attrs, hide, role: Role::Frame, ..Group::default() })
    }

    /// A column of such a frame.
    pub(super) fn column(&self, at: ElemPath) -> Result<Option<View>> {
        let Some(node) = self.store.node(&at)? else { return Ok(None) };
        if let Some(meta) = codes(&node)
            && self.referred(&at, &node)?.is_none()
            && let Some(parent) = at.parent()
        {
            if node.attrs.contains_key("categories") {
                // Codes alone would be taken for numbers.
                return Err(Error::Malformed {
                    at: self.place(&at),
                    what: "it refers to categories that are not there".into(),
                });
            }
            // SeuratDisk stores codes and categories, but no reference from one to the other.
            let categories = parent.child(CATEGORIES).join(at.name())?;
            if let Some(len) = self.list_len(&categories)?
                && sound(self.store.read(&at, &[Rows::All(meta.shape[0])]))?.is_none_or(|codes| fit(&codes, len))
            {
                return self.categorical(at, meta, categories).map(Some);
            }
        }
        self.node_view(at, node).map(Some)
    }

    /// The categories that a column refers to: by a path from the root of the file (HDF5 references) or from the frame (Zarr).
    fn referred(&self, at: &ElemPath, node: &Node) -> Result<Option<ElemPath>> {
        let (Some(text), Some(_)) = (node.text("categories"), codes(node)) else { return Ok(None) };
        let Ok(path) = ElemPath::parse(text) else { return Ok(None) };
        for above in at.ancestors().map(|above| above.append(&path)).chain([path.clone()]) {
            if self.list_len(&above)?.is_some() {
                return Ok(Some(above));
            }
        }
        Ok(None)
    }

    /// Length of the list at `at`, of which a scalar is the shortest; `None` if there is no such thing.
    pub(super) fn list_len(&self, at: &ElemPath) -> Result<Option<usize>> {
        let node = self.stored(at)?;
        Ok(node.as_ref().and_then(Node::array).filter(|m| m.dtype.is_some() && !m.null).and_then(
            |m| match m.shape[..] {
                [] => Some(1),
                [len] => Some(len),
                _ => None,
            },
        ))
    }

    /// The codes at `at` with these categories.
    fn categorical(&self, at: ElemPath, meta: &ArrayMeta, categories: ElemPath) -> Result<View> {
        let codes = Part::array(at, meta, Attrs::new()).tagged();
        self.with_categories(codes, &categories, None).map(View::Group)
    }

    /// A categorical of these codes and the stored list of categories.
    pub(super) fn with_categories(&self, codes: Part, list: &ElemPath, ordered: Option<bool>) -> Result<Group> {
        let node = self.store.node(list)?.ok_or_else(|| self.not_found(list))?;
        let meta = node.array().ok_or_else(|| self.not_found(list))?;
        let len = meta.shape.first().copied().unwrap_or(1);
        let categories = Part::array(list.clone(), meta, Attrs::new()).shaped(&[len]).tagged();
        let stored = match node.attrs.get("ordered") {
            Some(Value::Bool(yes)) => *yes,
            Some(number) => number.as_i64() == Some(1),
            None => false,
        };
        let attrs = Attrs::from_iter([("ordered".to_owned(), json!(ordered.unwrap_or(stored)))]);
        let parts = [("codes", codes), ("categories", categories)];
        let more = BTreeMap::from(parts.map(|(name, part)| (name.to_owned(), Arc::new(View::Part(part)))));
        Ok(Group::made(tags(attrs, "categorical", "0.2.0"), more, None))
    }
}

/// The shape and type of a node that may hold codes: whole numbers along one axis.
fn codes(node: &Node) -> Option<&ArrayMeta> {
    let untagged = node.text("encoding-type").is_none();
    node.array().filter(|m| untagged && m.shape.len() == 1 && !m.null && m.dtype.is_some_and(DType::is_integer))
}

/// Whether these can be codes of `len` categories: -1 is a missing one.
pub(super) fn fit(codes: &Array, len: usize) -> bool {
    let fits = |&code: &i64| code == -1 || usize::try_from(code).is_ok_and(|code| code < len);
    codes.to_i64().is_some_and(|codes| codes.iter().all(fits))
}

/// A matrix of h5sparse.
fn sparse(at: ElemPath, mut attrs: Attrs) -> Group {
    let format = attrs.remove("h5sparse_format");
    let name = match format.as_ref().and_then(Value::as_str) {
        Some("csr") => "csr_matrix",
        Some("csc") => "csc_matrix",
        // Named as it is, so that who reads it is told.
        other => other.unwrap_or("h5sparse"),
    };
    let shape = attrs.remove("h5sparse_shape");
    if let (None, Some(shape)) = (attrs.get("shape"), shape) {
        attrs.insert("shape".into(), shape);
    }
    let name = name.to_owned();
    Group { at: Some(at), attrs: tags(attrs, &name, "0.1.0"), ..Group::default() }
}
