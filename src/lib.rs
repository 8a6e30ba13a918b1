//! AnnData objects that never leave their file.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod codec;
mod commit;
mod error;
mod index;
mod overlay;
mod path;
mod shadow;
pub mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod value;

pub use codec::{Info, Kind};
pub use commit::{Change, Receipt};
pub use error::{Error, Place, Result};
pub use index::{Rows, Select, SelectError};
pub use overlay::Mark;
pub use path::ElemPath;
pub use shadow::{AnnDataShadow, ElementInfo, Frame, Member, Mode, OpenOptions, RawShadow, Slot, WriteOptions};
pub use store::{Format, IoStats};
pub use value::{
    Array, Categorical, DType, Element, FromElement, Item, Mismatch, NaValue, Nullable, Sparse, SparseFormat, Table,
};

pub use {half, ndarray, num_complex, polars, sprs};
