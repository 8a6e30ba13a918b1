//! anndata-shadow

mod codec;
pub mod error;
pub mod index;
pub mod path;
pub mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod value;
