//! The public face: [`AnnDataShadow`] and the handles of its parts.
//!
//! [`slots`](self) says where elements live and which axes they have; the core keeps the one lock, the link to the file
//! and the overlay; views are selections over it.

mod anndata;
mod core;
mod discard;
mod frame;
pub(crate) mod gene_index;
mod grow;
mod inherited;
mod insert;
mod link;
mod locate;
mod member;
mod modality;
mod mudata;
mod phase;
mod raw;
mod repr;
mod root;
mod side_by_side;
pub(crate) mod slots;
mod take_out;
mod view;

pub use anndata::{AnnDataShadow, ElementInfo};
pub use frame::Frame;
pub use gene_index::GeneIndexOptions;
pub use link::{Mode, OpenOptions, WriteOptions};
pub use member::{Member, Slot};
pub use mudata::{MuDataShadow, SharedAxis};
pub use raw::RawShadow;
