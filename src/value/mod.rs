//! Data in memory; no files, no paths.

mod array;
mod dtype;
mod gather;

pub use array::Array;
pub use dtype::{DType, Item};

pub(crate) use array::with_array;
pub(crate) use dtype::with_dtype;
pub(crate) use gather::{Scatter, take_array};
