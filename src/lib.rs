//! AnnData objects that never leave their file.
//!
//! An [`AnnDataShadow`] is an open h5ad file or Zarr store plus an overlay in memory: what was read, and what was set and
//! is not on disk yet. Reading fetches what is asked for and no more; a view is one selection per axis over the same open
//! file; [`write`](AnnDataShadow::write) makes exactly the changes, all or none. A [`MuDataShadow`] is several of them over one file.
//!
//! ```text
//!  AnnDataShadow ─┐                       ┌─ link: closed │ r │ r+ ──▶ h5ad, Zarr v2, Zarr v3
//!  view of it ────┼──▶ core (one lock) ───┤
//!  view of view ──┘                       └─ overlay: path ──▶ element, cached ᐁ, new ▲, replaced ▼ or removed ×
//! ```
//!
//! Look into a file, and read parts of it:
//!
//! ```no_run
//! use anndata_shadow::{AnnDataShadow, ndarray::Array2, sprs::CsMat};
//!
//! # fn main() -> anndata_shadow::Result<()> {
//! let shadow = AnnDataShadow::open("pbmc.zarr")?;
//! println!("{shadow}");
//! let pca: Array2<f32> = shadow.obsm().read("X_pca")?;
//! let x: CsMat<f32> = shadow.select(0..100, ..)?.x().read()?; // these rows only
//! # Ok(()) }
//! ```
//!
//! Cut it by labels and names, and cut the cut:
//!
//! ```no_run
//! use anndata_shadow::{AnnDataShadow, polars::prelude::ChunkCompareEq};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let shadow = AnnDataShadow::open("pbmc.h5ad")?;
//! let mono = shadow.select(shadow.obs().column("louvain")?.equal("1")?, ["CST3", "LYZ"])?;
//! let inner = mono.select([3, 1, -1], ..)?;
//! assert_eq!(inner.shape(), (3, 2));
//! # Ok(()) }
//! ```
//!
//! Add an embedding to the file:
//!
//! ```no_run
//! use anndata_shadow::{AnnDataShadow, Mode, WriteOptions, ndarray::Array2};
//!
//! # fn main() -> anndata_shadow::Result<()> {
//! let shadow = AnnDataShadow::open("pbmc.h5ad")?;
//! shadow.obsm().insert("X_new", Array2::<f32>::zeros((shadow.n_obs(), 2)))?; // in memory
//! let receipt = shadow.reopen(Mode::ReadWrite)?.write(WriteOptions::default())?;
//! println!("{receipt}");
//! # Ok(()) }
//! ```

mod codec;
mod commit;
mod doctor;
mod error;
pub mod fork;
mod index;
mod legacy;
mod overlay;
mod path;
mod progress;
mod shadow;
pub mod store;
mod stream;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod value;

pub use codec::{Info, Kind};
pub use commit::{Change, ChangeKind, Receipt};
pub use doctor::{Finding, Report, Severity, VerifyOptions, verify};
pub use error::{Error, Place, Result};
pub use index::{Rows, Select, SelectError, Spans};
pub use overlay::{Mark, Was};
pub use path::ElemPath;
pub use progress::Progress;
pub use shadow::{
    AnnDataShadow, ElementInfo, Frame, GeneIndexOptions, Member, Mode, MuDataShadow, OpenOptions, RawShadow,
    SharedAxis, Slot, WriteOptions,
};
pub use store::{Format, IoStats, Locking, Safety};
pub use stream::{
    Batch, BlockSize, GroupedStats, MatrixStats, Minibatches, RowBlock, RowBlocks, Shuffle, Stats, StatsOptions,
};
pub use value::{
    Array, Awkward, ByteString, Categorical, DType, DatetimeMs, DatetimeNs, DatetimeS, DatetimeUs, Element,
    FromElement, Indices, Item, Mismatch, NaValue, Nested, Nullable, Records, Sparse, SparseFormat, Table,
};

pub use {half, ndarray, num_complex, polars, sprs};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeIsCompiled;
