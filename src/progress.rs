//! [`Progress`]: how long work says how far it is, and is told to stop.

use std::ops::ControlFlow;

/// Whom long work tells how far it is: what is done, and what is to be done in all, in the same units (bytes, rows: the work
/// says which). What it answers is heeded: on a break the work ends.
pub type Progress<'a> = &'a dyn Fn(u64, u64) -> ControlFlow<()>;
