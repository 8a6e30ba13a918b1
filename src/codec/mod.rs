//! What lies on disk as elements: the encodings of AnnData over any store. One encoding, one file, one row in
//! [`ENCODINGS`]. Knows nothing of slots, overlays or modes.

mod array;
mod awkward;
mod categorical;
mod dict;
mod frame;
mod mudata;
mod nullable;
mod records;
mod sparse;

use std::cell::Cell;

use serde_json::{Value, json};

use crate::error::{Error, Place, Result};
use crate::index::Rows;
use crate::path::ElemPath;
use crate::store::{ArrayMeta, Attrs, Node, NodeKind, ReadStore, Style, WriteStore};
use crate::value::Element;

pub(crate) use frame::{FrameMeta, column_order_attr, frame_meta};
pub(crate) use mudata::{mod_order, mod_order_attr, modalities};
pub(crate) use sparse::twin::Twin;

/// What kind of value an element is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A dense array.
    Array,
    /// A single number, boolean or string.
    Scalar,
    /// A CSR or CSC matrix.
    Sparse,
    /// Codes and categories.
    Categorical,
    /// Values and a mask.
    Nullable,
    /// A data frame.
    Table,
    /// A structured array.
    Records,
    /// Nested lists, records and options of any lengths.
    Awkward,
    /// Named elements.
    Mapping,
    /// A nested AnnData, or the `raw` of one.
    AnnData,
    /// The `null` element.
    Null,
    /// Something this crate cannot read; listed, and left alone by writes.
    Opaque,
}

impl Kind {
    /// Its name in lower case: `array`, `scalar`, … `anndata`, `null`, `opaque`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Array => "array",
            Self::Scalar => "scalar",
            Self::Sparse => "sparse",
            Self::Categorical => "categorical",
            Self::Nullable => "nullable",
            Self::Table => "table",
            Self::Records => "records",
            Self::Awkward => "awkward",
            Self::Mapping => "mapping",
            Self::AnnData => "anndata",
            Self::Null => "null",
            Self::Opaque => "opaque",
        }
    }
}

/// What is known of an element without reading its data.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Info {
    /// The kind of value.
    pub kind: Kind,
    /// Length along each axis; empty for scalars, mappings and null.
    pub shape: Vec<usize>,
    /// Numpy's name of the dtype (of a sparse matrix: of its values; of a categorical: of its categories), awkward's name of
    /// the type of a row; of opaque
    /// elements the store's own description, or why they cannot be read.
    pub dtype: Option<String>,
    /// Encoding type and version as on disk; `None` for untagged nodes.
    pub encoding: Option<(String, String)>,
    /// Number of values that a sparse matrix stores (in a view: unknown).
    pub stored: Option<usize>,
    /// Length of a chunk along each axis, of arrays that have any.
    pub chunks: Option<Vec<usize>>,
    /// Names below: of a mapping's entries, of a frame's columns, of a structured array's fields.
    pub children: Vec<String>,
}

impl Info {
    /// What is known of an element in memory.
    pub(crate) fn of(element: &Element) -> Self {
        let (kind, dtype) = match element {
            Element::Array(a) if a.ndim() == 0 => (Kind::Scalar, Some(a.dtype())),
            Element::Array(a) => (Kind::Array, Some(a.dtype())),
            Element::Sparse(s) => (Kind::Sparse, Some(s.data().dtype())),
            Element::Categorical(c) => (Kind::Categorical, Some(c.categories().dtype())),
            Element::Nullable(n) => (Kind::Nullable, Some(n.values().dtype())),
            Element::Table(_) => (Kind::Table, None),
            Element::Records(_) => (Kind::Records, None),
            Element::Awkward(_) => (Kind::Awkward, None),
            Element::Mapping(_) => (Kind::Mapping, None),
            Element::Null => (Kind::Null, None),
        };
        let children = match element {
            Element::Mapping(m) => m.keys().cloned().collect(),
            Element::Table(t) => t.columns().iter().map(|(name, _)| name.clone()).collect(),
            Element::Records(r) => r.fields().iter().map(|(name, _)| name.clone()).collect(),
            _ => Vec::new(),
        };
        let stored = if let Element::Sparse(s) = element { Some(s.nnz()) } else { None };
        let dtype = match element {
            Element::Awkward(a) => Some(a.type_text()),
            _ => dtype.map(|d| d.to_string()),
        };
        Self { stored, children, ..Self::plain(kind, element.shape(), dtype) }
    }

    /// What it is, in the words of messages, as [`Element::describe`] says of one in memory.
    pub(crate) fn describe(&self) -> String {
        let dtype = self.dtype.as_deref().unwrap_or("unknown");
        match self.kind {
            Kind::Array => format!("a {}-d {dtype} array", self.shape.len()),
            Kind::Scalar => format!("a {dtype} scalar"),
            Kind::Sparse => {
                let format = self.encoding.as_ref().map_or("sparse matrix", |(name, _)| name);
                format!("a {format} of {dtype}")
            }
            Kind::Categorical => format!("a categorical of {dtype}"),
            Kind::Nullable => format!("a nullable {dtype} array"),
            Kind::Table => format!("a dataframe of {} columns", self.children.len()),
            Kind::Records => format!("a structured array of {} fields", self.children.len()),
            Kind::Awkward => format!("an awkward array of {dtype}"),
            Kind::Mapping => format!("a dict of {} entries", self.children.len()),
            Kind::AnnData => "an AnnData".to_owned(),
            Kind::Null => "null".to_owned(),
            Kind::Opaque => format!("something that is not read here ({dtype})"),
        }
    }

    fn plain(kind: Kind, shape: Vec<usize>, dtype: Option<String>) -> Self {
        Self { kind, shape, dtype, stored: None, encoding: None, chunks: None, children: Vec::new() }
    }

    /// An element of which no more is known than why.
    pub(crate) fn opaque(why: String) -> Self {
        Self::plain(Kind::Opaque, Vec::new(), Some(why))
    }

    /// The same with more names below it.
    pub(crate) fn with_children(mut self, more: Vec<String>) -> Self {
        self.children.extend(more);
        self.children.sort();
        self.children.dedup();
        self
    }
}

/// One selection per leading axis; `None`, and axes beyond the list, are whole.
pub(crate) type Cut<'a> = &'a [Option<Rows>];

/// Where decoding stands.
#[derive(Clone, Copy)]
pub(crate) struct Ctx<'a> {
    store: &'a dyn ReadStore,
    at: &'a ElemPath,
    node: &'a Node,
    depth: usize,
    /// Nodes that may still be visited.
    budget: &'a Cell<usize>,
}

/// One encoding.
struct Encoding {
    name: &'static str,
    version: &'static str,
    describe: fn(&Ctx<'_>) -> Result<Info>,
    decode: fn(&Ctx<'_>, Cut<'_>) -> Result<Element>,
}

/// Every encoding this crate reads (format: the pairs are compared for equality, never by order).
static ENCODINGS: &[Encoding] = &[
    Encoding { name: "array", version: "0.2.0", describe: array::describe, decode: array::decode },
    Encoding { name: "string-array", version: "0.2.0", describe: array::describe, decode: array::decode },
    Encoding { name: "numeric-scalar", version: "0.2.0", describe: array::describe, decode: array::decode },
    Encoding { name: "string", version: "0.2.0", describe: array::describe, decode: array::decode },
    Encoding { name: "null", version: "0.1.0", describe: array::describe_null, decode: |_, _| Ok(Element::Null) },
    Encoding { name: "csr_matrix", version: "0.1.0", describe: sparse::describe, decode: sparse::decode },
    Encoding { name: "csc_matrix", version: "0.1.0", describe: sparse::describe, decode: sparse::decode },
    Encoding { name: "categorical", version: "0.2.0", describe: categorical::describe, decode: categorical::decode },
    Encoding { name: "nullable-integer", version: "0.1.0", describe: nullable::describe, decode: nullable::decode },
    Encoding { name: "nullable-boolean", version: "0.1.0", describe: nullable::describe, decode: nullable::decode },
    Encoding {
        name: "nullable-string-array",
        version: "0.1.0",
        describe: nullable::describe,
        decode: nullable::decode,
    },
    // anndata-rs writes this name.
    Encoding { name: "nullable-string", version: "0.1.0", describe: nullable::describe, decode: nullable::decode },
    Encoding { name: "dataframe", version: "0.2.0", describe: frame::describe, decode: frame::decode },
    Encoding { name: "rec-array", version: "0.2.0", describe: records::describe, decode: records::decode },
    Encoding { name: "awkward-array", version: "0.1.0", describe: awkward::describe, decode: awkward::decode },
    // anndata reads it and has never written it.
    Encoding { name: "bytes", version: "0.2.0", describe: array::describe, decode: array::decode },
    Encoding { name: "dict", version: "0.1.0", describe: dict::describe, decode: dict::decode },
    Encoding { name: "anndata", version: "0.1.0", describe: dict::describe_anndata, decode: dict::decode },
    Encoding { name: "raw", version: "0.1.0", describe: dict::describe_anndata, decode: dict::decode },
];

/// The version of an encoding that readers know; `None` if nobody knows the encoding.
pub(crate) fn version_of(name: &str) -> Option<&'static str> {
    ENCODINGS.iter().find(|encoding| encoding.name == name).map(|encoding| encoding.version)
}

/// Nodes without tags, as old and hand-made files have them: groups are dicts, arrays arrays (format, section 3.5).
static UNTAGGED_GROUP: Encoding =
    Encoding { name: "dict", version: "", describe: dict::describe, decode: dict::decode };
static UNTAGGED_RECORDS: Encoding =
    Encoding { name: "rec-array", version: "", describe: records::describe, decode: records::decode };
static UNTAGGED_ARRAY: Encoding =
    Encoding { name: "array", version: "", describe: array::describe, decode: array::decode };

/// Links in HDF5 can make a group its own descendant; no honest file nests this deep, or has so many nodes in an element.
const MAX_DEPTH: usize = 64;
const MAX_NODES: usize = 1_000_000;

impl<'a> Ctx<'a> {
    fn new(store: &'a dyn ReadStore, at: &'a ElemPath, node: &'a Node, budget: &'a Cell<usize>) -> Self {
        Self { store, at, node, depth: 0, budget }
    }

    fn place(&self) -> Place {
        Place::new(self.store.location(), self.at)
    }

    fn malformed(&self, what: impl Into<String>) -> Error {
        Error::Malformed { at: self.place(), what: what.into() }
    }

    fn encoding(&self) -> Option<(String, String)> {
        let version = self.node.text("encoding-version").unwrap_or_default();
        Some((self.node.text("encoding-type")?.to_owned(), version.to_owned()))
    }

    /// The encoding, or why the element is opaque.
    fn lookup(&self) -> Result<&'static Encoding, String> {
        match self.encoding() {
            None if self.node.is_group() => Ok(&UNTAGGED_GROUP),
            None if self.node.array().is_some_and(|a| !a.fields.is_empty()) => Ok(&UNTAGGED_RECORDS),
            None => Ok(&UNTAGGED_ARRAY),
            Some((name, version)) => ENCODINGS
                .iter()
                .find(|e| e.name == name && e.version == version)
                .ok_or_else(|| format!("encoding `{name}` version `{version}` is not one this version reads")),
        }
        .and_then(|e| match self.node.array() {
            Some(meta) => match unread(meta) {
                Some(stored) => Err(format!("arrays of {stored} are not read yet")),
                None => Ok(e),
            },
            None => Ok(e),
        })
    }

    fn info(&self, kind: Kind, shape: Vec<usize>, dtype: Option<String>) -> Info {
        Info { encoding: self.encoding(), ..Info::plain(kind, shape, dtype) }
    }

    fn child<T>(&self, name: &str, then: impl FnOnce(&Ctx<'_>) -> Result<T>) -> Result<T> {
        // The name comes from the file.
        let at = self.at.join(name).map_err(|bad| self.malformed(bad.to_string()))?;
        let Some(node) = self.store.node(&at)? else {
            return Err(Error::NotFound { at: Place::new(self.store.location(), &at), nearest: Vec::new() });
        };
        let below = Ctx { at: &at, node: &node, depth: self.depth + 1, ..*self };
        self.budget.set(self.budget.get().saturating_sub(1));
        if below.depth > MAX_DEPTH || self.budget.get() == 0 {
            return Err(below.malformed("groups nest too deep, or in circles"));
        }
        then(&below)
    }

    fn describe_child(&self, name: &str) -> Result<Info> {
        self.child(name, describe_node)
    }

    fn decode_child(&self, name: &str, cut: Cut<'_>) -> Result<Element> {
        self.child(name, |c| decode_node(c, cut))
    }
}

/// The data type, or that of the first field, that is not understood.
fn unread(meta: &ArrayMeta) -> Option<&str> {
    match &meta.fields[..] {
        [] => meta.dtype.is_none().then_some(&meta.stored),
        fields => fields.iter().find(|f| f.dtype.is_none()).map(|f| &*f.stored),
    }
}

fn describe_node(ctx: &Ctx<'_>) -> Result<Info> {
    match ctx.lookup() {
        Ok(encoding) => (encoding.describe)(ctx),
        Err(_) => {
            let (shape, dtype) = match &ctx.node.kind {
                NodeKind::Array(meta) => (meta.shape.clone(), Some(meta.stored.clone())),
                NodeKind::Group => (Vec::new(), None),
            };
            Ok(ctx.info(Kind::Opaque, shape, dtype))
        }
    }
}

fn decode_node(ctx: &Ctx<'_>, cut: Cut<'_>) -> Result<Element> {
    let encoding = ctx.lookup().map_err(|what| Error::Unsupported { at: ctx.place(), what })?;
    (encoding.decode)(ctx, cut)
}

/// What is known of the element at `at` without reading its data; `None` if there is no such node.
///
/// # Errors
/// [`Error::Malformed`] if the parts of a composite element do not fit; an unknown encoding is [`Kind::Opaque`], no error.
pub(crate) fn describe(store: &dyn ReadStore, at: &ElemPath) -> Result<Option<Info>> {
    match store.node(at)? {
        Some(node) => describe_node(&Ctx::new(store, at, &node, &Cell::new(MAX_NODES))).map(Some),
        None => Ok(None),
    }
}

/// Reads the part `cut` of the element at `at`.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Unsupported`] for opaque elements, [`Error::Malformed`] for damaged ones.
pub(crate) fn decode(store: &dyn ReadStore, at: &ElemPath, cut: Cut<'_>) -> Result<Element> {
    match store.node(at)? {
        Some(node) => decode_node(&Ctx::new(store, at, &node, &Cell::new(MAX_NODES)), cut),
        None => Err(Error::NotFound { at: Place::new(store.location(), at), nearest: Vec::new() }),
    }
}

/// How new elements look in a store, taken from what is there.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Dialect {
    /// An existing array whose compressor, filters and sharding are taken over.
    pub(crate) like: Option<ElemPath>,
    /// Whether text is stored as `nullable-string-array`, as anndata 0.13 does, or as plain `string-array`.
    pub(crate) nullable_strings: bool,
}

impl Dialect {
    fn style(&self, resizable: bool) -> Style<'_> {
        Style { like: self.like.as_ref(), resizable }
    }
}

/// Stages `element` at `at`, in the store's dialect.
///
/// # Errors
/// Those of the store.
pub(crate) fn encode(store: &dyn WriteStore, at: &ElemPath, element: &Element, dialect: &Dialect) -> Result<()> {
    match element {
        Element::Array(a) => array::encode(store, at, a, dialect),
        Element::Sparse(s) => sparse::encode(store, at, s, dialect),
        Element::Categorical(c) => categorical::encode(store, at, c, dialect),
        Element::Nullable(n) => nullable::encode(store, at, n, dialect),
        Element::Table(t) => frame::encode(store, at, t, dialect),
        Element::Records(r) => records::encode(store, at, r, dialect),
        Element::Awkward(a) => awkward::encode(store, at, a, dialect),
        Element::Mapping(m) => dict::encode(store, at, m, dialect),
        Element::Null => store.create_null(at, &tags(Attrs::new(), "null", "0.1.0")),
    }
}

/// Stages an empty dict.
pub(crate) fn encode_dict(store: &dyn WriteStore, at: &ElemPath) -> Result<()> {
    store.create_group(at, &tags(Attrs::new(), "dict", "0.1.0"))
}

/// Stages the sparse matrix at `from` at `to`, by its other axis. Gives the bytes that it has in memory.
///
/// # Errors
/// Those of the store; [`Error::Cancelled`].
pub(crate) fn encode_twin(store: &dyn WriteStore, from: &ElemPath, to: &ElemPath, twin: Twin<'_>) -> Result<usize> {
    let node = store.node(from)?;
    let node = node.ok_or_else(|| Error::NotFound { at: Place::new(store.location(), from), nearest: Vec::new() })?;
    sparse::twin::encode(&Ctx::new(store, from, &node, &Cell::new(MAX_NODES)), store, to, twin)
}

/// Stages a `raw`, given as a mapping of its parts.
pub(crate) fn encode_raw(store: &dyn WriteStore, at: &ElemPath, parts: &Element, dialect: &Dialect) -> Result<()> {
    store.create_group(at, &tags(Attrs::new(), "raw", "0.1.0"))?;
    match parts {
        Element::Mapping(parts) => dict::encode_entries(store, at, parts, dialect),
        _ => Ok(()),
    }
}

/// Stages a whole AnnData, given as a mapping of its slots: what is not given is empty, X null.
pub(crate) fn encode_anndata(store: &dyn WriteStore, at: &ElemPath, slots: &Element, dialect: &Dialect) -> Result<()> {
    store.create_group(at, &tags(Attrs::new(), "anndata", "0.1.0"))?;
    let Element::Mapping(slots) = slots else { return Ok(()) };
    let empty = Element::Mapping(Default::default());
    let plain = Dialect { nullable_strings: false, ..dialect.clone() };
    for name in ["X", "layers", "obs", "var", "obsm", "varm", "obsp", "varp", "uns", "raw"] {
        let below = at.child(name);
        match (name, slots.get(name)) {
            ("obs" | "var", Some(frame)) => encode(store, &below, frame, dialect)?,
            ("raw", Some(raw)) => encode_raw(store, &below, raw, dialect)?,
            ("raw" | "obs" | "var", None) => {}
            ("X", None) => encode(store, &below, &Element::Null, &plain)?,
            (_, slot) => encode(store, &below, slot.unwrap_or(&empty), &plain)?,
        }
    }
    Ok(())
}

/// `attrs` with the encoding pair, which always comes last.
fn tags(mut attrs: Attrs, name: &str, version: &str) -> Attrs {
    attrs.insert("encoding-type".into(), json!(name));
    attrs.insert("encoding-version".into(), json!(version));
    attrs
}

/// A boolean attribute; other writers store 0 or 1.
fn flag(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Bool(b)) => *b,
        Some(Value::Number(n)) => n.as_i64() == Some(1),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
