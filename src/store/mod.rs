//! Files without AnnData words: groups, arrays and attributes, read by selection ([`ReadStore`]) and changed in one
//! step ([`WriteStore`]). [`MemoryStore`], Zarr and HDF5 behave alike; `testing::store_contract` holds them to it.

mod chunk_cache;
mod fingerprint;
mod hdf5;
mod holder;
mod memory;
mod meter;
mod names;
mod open;
mod parts;
mod planned;
mod spans;
mod zarr;

use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::error::{Error, Place, Result};
use crate::index::Rows;
use crate::path::ElemPath;
use crate::value::{Array, DType, Records};

pub use hdf5::Hdf5Store;
pub use memory::MemoryStore;
pub use meter::IoStats;
pub use open::{
    Format, Opened, check_writable, compact, left_over, open_read, open_read_with, open_write, open_write_with, recover,
};
pub use parts::ArrayParts;
pub use zarr::{Flavour, ZarrStore};

pub(crate) use chunk_cache::ChunkCache;
pub(crate) use holder::holders;
pub(crate) use meter::Meter;
pub(crate) use open::{Found, find};
pub(crate) use planned::{Op, Planned};
pub(crate) use zarr::{Audit, Chunks, FlawKind};

/// Attributes of a node. HDF5 attributes are mapped to JSON: strings, numbers, booleans, and (nested) lists of these; an
/// object reference becomes the text of the path it points to; what has no JSON form is left out.
pub type Attrs = Map<String, Value>;

/// A group or an array, with its attributes.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Group or array.
    pub kind: NodeKind,
    /// Its attributes.
    pub attrs: Attrs,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeKind {
    /// A group.
    Group,
    /// An array.
    Array(ArrayMeta),
}

/// Shape and type of a stored array.
#[derive(Debug, Clone, PartialEq)]
pub struct ArrayMeta {
    /// Length of each axis; empty for a scalar.
    pub shape: Vec<usize>,
    /// The dtype; `None` where this crate cannot decode the array, and then `stored` says what it is.
    pub dtype: Option<DType>,
    /// The data type in the store's own words, for messages.
    pub stored: String,
    /// The fields of a structured array, in order; its `dtype` is `None`. Empty for all others.
    pub fields: Vec<Field>,
    /// Length of a chunk (sharded Zarr: of an inner chunk) along each axis; `None` for an unchunked HDF5 dataset.
    pub chunks: Option<Vec<usize>>,
    /// An HDF5 dataset with a null dataspace: it has no value at all, not even a scalar.
    pub null: bool,
}

/// A field of a structured array.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its name; may hold any characters.
    pub name: String,
    /// The dtype of its items; `None` where this crate cannot decode them, and then `stored` says what they are.
    pub dtype: Option<DType>,
    /// Axes that the field has of its own; empty for most.
    pub shape: Vec<usize>,
    /// The data type in the store's own words, for messages.
    pub stored: String,
}

impl Node {
    /// The array's shape and type; `None` for a group.
    #[must_use]
    pub fn array(&self) -> Option<&ArrayMeta> {
        match &self.kind {
            NodeKind::Array(meta) => Some(meta),
            NodeKind::Group => None,
        }
    }

    /// Whether this is a group.
    #[must_use]
    pub fn is_group(&self) -> bool {
        matches!(self.kind, NodeKind::Group)
    }

    /// A string attribute.
    #[must_use]
    pub fn text(&self, attr: &str) -> Option<&str> {
        self.attrs.get(attr)?.as_str()
    }
}

/// A store open for reading.
///
/// What is published is all that reading sees: [`WriteStore`] changes appear at `publish` and not before.
pub trait ReadStore: Send + Sync {
    /// The file or directory, as the user named it. For messages.
    fn location(&self) -> &str;

    /// The node at `at`; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::Malformed`] if its metadata cannot be understood at all, [`Error::Io`]. An array whose dtype or codecs are
    /// unknown is no error here.
    fn node(&self, at: &ElemPath) -> Result<Option<Node>>;

    /// Names of the nodes directly below the group `at`, sorted.
    ///
    /// # Errors
    /// [`Error::NotFound`] if `at` is not a group.
    fn children(&self, at: &ElemPath) -> Result<Vec<String>>;

    /// The items of the array `at` at the positions given, one selection per axis (exactly as many as the array has
    /// axes), in the order given, with repeats. Fetches the chunks that are touched, each once, and no others.
    ///
    /// # Errors
    /// [`Error::NotFound`] if `at` is not an array; [`Error::Selection`] if a selection has another number of axes or
    /// leaves the array; [`Error::Unsupported`] for an unknown dtype or codec; [`Error::Malformed`] for chunks that do not
    /// decode.
    fn read(&self, at: &ElemPath, rows: &[Rows]) -> Result<Array>;

    /// As [`read`](Self::read), of a structured array: these of its fields, in this order. Each has the axes of the selection
    /// and, behind them, its own. A chunk is fetched and decoded once for all fields.
    ///
    /// # Errors
    /// As [`read`](Self::read); [`Error::NotFound`] if there is no such field.
    fn read_fields(&self, at: &ElemPath, fields: &[&str], rows: &[Rows]) -> Result<Vec<Array>>;

    /// A checksum of how the array `at` is stored, by which its being written over is noticed later: of the lengths of its chunks
    /// as they are stored, and of bytes here and there in them. It reads 64 KiB at most, whatever the size of the array, and is the
    /// same in every copy of the store, and of every array stored alike. Other content has another one, but for chance, and but
    /// for changes so small that they lie between the bytes looked at, where chunks are not compressed. `None` where it cannot be
    /// told where the bytes are.
    ///
    /// # Errors
    /// [`Error::NotFound`] if `at` is not an array; [`Error::Unsupported`] for one that cannot be read.
    fn fingerprint(&self, at: &ElemPath) -> Result<Option<u32>>;

    /// What has been read and written through this handle so far.
    fn stats(&self) -> IoStats;
}

/// What other programs may meet while a write is published, or after it was killed and before anybody has opened the file
/// with this crate. What this crate finds is the same with either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Safety {
    /// Changed pages of an HDF5 file are written to a journal beside it first, then into it: for the moment of these few
    /// writes an unmodified reader may meet some old and some new. Zarr nodes are exchanged one by one.
    #[default]
    Journal,
    /// An HDF5 file is copied (sharing its blocks where the file system can), changed, and put in place of the old one in
    /// one step. A Zarr store is written as with `Journal`.
    Copy,
}

/// Whether files are locked against others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Locking {
    /// One writer or many readers. Where the file system has no locks, reading goes on without and writing is refused.
    #[default]
    On,
    /// No locks are taken or asked for: whoever asks for it sees to it that nobody else writes.
    Off,
}

/// What an interrupted write has left at a file or in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOver {
    /// Where it is.
    pub path: PathBuf,
    /// What it is.
    pub what: String,
    /// What becomes of it.
    pub fate: Fate,
}

/// What [`recover`] does with what an interrupted write has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// A write that counts: it is carried out to its end.
    CarryOut,
    /// A write that never counted, or only its remains: they are removed.
    Forget,
    /// Nothing: what is right can only be decided by somebody who knows more; [`LeftOver::what`] says between what.
    LeaveAlone,
}

/// How to store a new array.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Style<'a> {
    /// An existing array whose dialect (compressor, filters, sharding, separator) the new one takes; `None` for the store's
    /// defaults. Chunk lengths follow the writer's rules for the new shape, not the neighbour's.
    pub like: Option<&'a ElemPath>,
    /// Whether the first axis may grow later (the parts of sparse matrices in HDF5).
    pub resizable: bool,
}

/// A store open for writing.
///
/// All changes are staged: nothing is visible to this handle or to any other until [`publish`](Self::publish), and
/// [`abandon`](Self::abandon) undoes them all. Dropping the store abandons.
pub trait WriteStore: ReadStore {
    /// Stages a group. Its parent must exist, staged or published.
    ///
    /// # Errors
    /// [`Error::Exists`] if there is a node at `at` (on disk, whatever consolidated metadata say), [`Error::NotFound`] if
    /// the parent is missing.
    fn create_group(&self, at: &ElemPath, attrs: &Attrs) -> Result<()>;

    /// Stages an array with all its data.
    ///
    /// # Errors
    /// As [`create_group`](Self::create_group); [`Error::Unsupported`] for data that the store cannot hold (a NUL inside an
    /// HDF5 string).
    fn create_array(&self, at: &ElemPath, data: &Array, style: Style<'_>, attrs: &Attrs) -> Result<()>;

    /// An array of numbers of this shape, to be staged once all its items have come. What is held in memory meanwhile is a few
    /// chunks and no more than 64 MiB of them (or the chunks of one row): where the neighbour has shards, which are written whole, the
    /// new array has none, and where its rows are wide, its chunks are short.
    ///
    /// Nothing else may be published until it is finished or dropped.
    ///
    /// # Errors
    /// As [`create_group`](Self::create_group); [`Error::Unsupported`] for scalars and items that are no numbers.
    fn create_array_in_parts<'s>(
        &'s self,
        at: &ElemPath,
        dtype: DType,
        shape: &[usize],
        style: Style<'_>,
        attrs: &Attrs,
    ) -> Result<Box<dyn ArrayParts + 's>>;

    /// Stages a structured array with all its data.
    ///
    /// # Errors
    /// As [`create_array`](Self::create_array).
    fn create_records(&self, at: &ElemPath, data: &Records, style: Style<'_>, attrs: &Attrs) -> Result<()>;

    /// Stages a scalar-like array without any value: the `null` element (HDF5: null dataspace; Zarr: `bool` scalar without
    /// a chunk).
    ///
    /// # Errors
    /// As [`create_group`](Self::create_group).
    fn create_null(&self, at: &ElemPath, attrs: &Attrs) -> Result<()>;

    /// Stages new values for some attributes of a node, published or staged; its other attributes stay.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such node.
    fn set_attrs(&self, at: &ElemPath, attrs: &Attrs) -> Result<()>;

    /// Stages the removal of a published node with all below it. Something new may be staged in its place. Until
    /// [`publish`](Self::publish) it stays as it is.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such node, or only a staged one, or if it is the root.
    fn remove(&self, at: &ElemPath) -> Result<()>;

    /// Stages another place for a published node with all below it; what is at `to` by then must have been removed before.
    /// What is staged afterwards finds it at `to`, and something new may be staged at `from`.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such node, or only a staged one, if it is the root, or if there is no published
    /// group for `to` to lie in; [`Error::Exists`] if there is a node at `to`; [`Error::Unsupported`] if `to` lies below
    /// `from`, or something new is staged below `from`.
    fn rename(&self, from: &ElemPath, to: &ElemPath) -> Result<()>;

    /// Makes everything staged visible and durable, all or nothing, and renews consolidated metadata wherever there were some,
    /// from this store's root up to the topmost enclosing one.
    ///
    /// After Ok nothing is staged, and all is on disk. After Err the store is as before, and nothing is staged. After a kill
    /// or a loss of power at any instant, the next opening finds the store as before or with all changes.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Backend`]; [`Error::StoreChanged`] if the file is not the one that was opened any more.
    fn publish_with(&self, safety: Safety) -> Result<()>;

    /// [`publish_with`](Self::publish_with) the default [`Safety`].
    ///
    /// # Errors
    /// As [`publish_with`](Self::publish_with).
    fn publish(&self) -> Result<()> {
        self.publish_with(Safety::default())
    }

    /// Renews consolidated metadata from what is on disk, creating it at the store's root if there is none. HDF5 and memory
    /// have nothing to consolidate.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the container has no such thing; [`Error::Io`].
    fn consolidate(&self) -> Result<()>;

    /// Drops everything staged.
    ///
    /// # Errors
    /// [`Error::Io`] if left-overs could not be removed; they are invisible all the same.
    fn abandon(&self) -> Result<()>;
}

/// The whole of an array, whatever its shape.
///
/// # Errors
/// As [`ReadStore::read`].
pub fn read_all(store: &dyn ReadStore, at: &ElemPath) -> Result<Array> {
    let meta = array_meta(store, at)?;
    store.read(at, &meta.shape.iter().map(|&n| Rows::All(n)).collect::<Vec<_>>())
}

/// Shape and type of the array at `at`.
///
/// # Errors
/// [`Error::NotFound`] if there is no array.
pub fn array_meta(store: &dyn ReadStore, at: &ElemPath) -> Result<ArrayMeta> {
    match store.node(at)?.map(|n| n.kind) {
        Some(NodeKind::Array(meta)) => Ok(meta),
        _ => Err(Error::NotFound { at: Place::new(store.location(), at), nearest: Vec::new() }),
    }
}

/// Checks the selections of a `read` against the array: one per axis, all positions on it. Gives the result's shape.
pub(crate) fn check_rows(store: &dyn ReadStore, at: &ElemPath, shape: &[usize], rows: &[Rows]) -> Result<Vec<usize>> {
    let bad = |axis: usize, why: String| Error::Selection {
        at: Place::new(store.location(), at),
        axis: format!("number {axis}"),
        why,
    };
    if rows.len() != shape.len() {
        return Err(bad(rows.len(), format!("{} selections for {} axes", rows.len(), shape.len())));
    }
    for (axis, (rows, &n)) in rows.iter().zip(shape).enumerate() {
        if let Some(max) = rows.max().filter(|&m| m >= n) {
            return Err(bad(axis, format!("position {max} is out of bounds for an axis of {n}")));
        }
    }
    Ok(rows.iter().map(Rows::len).collect())
}
