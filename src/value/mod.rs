//! Data in memory; no files, no paths. The dtype lives in the leaf: [`Array`] is one enum over the primitive dtypes,
//! and [`Sparse`], [`Categorical`], [`Nullable`], [`Table`], [`Records`] and [`Awkward`] hold arrays.

mod array;
mod awkward;
mod column;
mod convert;
mod dtype;
mod element;
mod frame;
mod gather;
mod items;
mod memory;
mod records;
mod sparse;

pub use array::Array;
pub use awkward::{Awkward, Nested};
pub use column::{Categorical, NaValue, Nullable, Table};
pub use convert::FromElement;
pub use dtype::{DType, Item};
pub use element::Element;
pub use items::{ByteString, DatetimeMs, DatetimeNs, DatetimeS, DatetimeUs};
pub use records::Records;
pub use sparse::{Indices, Sparse, SparseFormat};

pub(crate) use sparse::{MinorFilter, with_indices};

pub(crate) use awkward::Fault;

pub(crate) use array::with_array;
pub use convert::Mismatch;
pub(crate) use dtype::with_dtype;
pub(crate) use frame::{column_to_series, narrow_codes, records_to_frame, series_to_column, table_to_frame};
pub(crate) use gather::{Band, Scatter};
pub(crate) use memory::{check_memory, give_back_memory};
