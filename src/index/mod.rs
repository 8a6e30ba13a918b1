//! Integers only, no arrays and no files: what a user selects ([`Select`]), what it resolves to on an axis of known
//! length ([`Rows`]), how two selections become one ([`Rows::compose`]), and which chunks it touches
//! ([`AxisPlan`]).

mod plan;
mod rows;
mod select;

pub use plan::{AxisPlan, ChunkPart, Run};
pub use rows::{Rows, Spans};
pub use select::{Select, SelectError};
