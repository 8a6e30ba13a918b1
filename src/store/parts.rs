//! New arrays that come part by part, for those that need not fit into memory.

use crate::error::{Error, Place, Result};
use crate::value::{Array, DType};

/// A new array of numbers that is being put together. Nothing of it is staged before [`finish`](Self::finish); dropped without,
/// it never was.
pub trait ArrayParts {
    /// The next items along the first axis, as many as the caller likes.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::WrongType`] for items that do not belong
    /// to this array, or more than it has room for, which may be put right; those of the store, after which it can only be
    /// dropped.
    fn put(&mut self, part: &Array) -> Result<()>;

    /// Stages the array, now that all items are there.
    ///
    /// # Errors
    /// [`Error::Shape`] if some are missing; those of the store.
    fn finish(self: Box<Self>) -> Result<()>;
}

/// What has come of an array, and what is to come.
#[derive(Debug)]
pub(super) struct Coming {
    at: Place,
    pub(super) dtype: DType,
    pub(super) shape: Vec<usize>,
    /// How far it has come along the first axis.
    pub(super) rows: usize,
    /// Something of it could not be written: it has holes.
    pub(super) failed: bool,
}

impl Coming {
    /// # Errors
    /// [`Error::Unsupported`] for what does not come in parts: scalars, and items that are no numbers.
    pub(super) fn new(at: Place, dtype: DType, shape: &[usize]) -> Result<Self> {
        if shape.is_empty() || !dtype.is_numeric() {
            let what = format!("an array of {dtype} with {} axes is written whole, not in parts", shape.len());
            return Err(Error::Unsupported { at, what });
        }
        Ok(Self { at, dtype, shape: shape.to_vec(), rows: 0, failed: false })
    }

    /// Checks a part, and counts it.
    pub(super) fn take(&mut self, part: &Array) -> Result<()> {
        if part.dtype() != self.dtype {
            let (wanted, found) = (self.dtype.to_string(), part.dtype().to_string());
            return Err(Error::WrongType { at: self.at.clone(), wanted, found });
        }
        match part.shape().split_first() {
            Some((&rows, rest)) if *rest == self.shape[1..] && rows <= self.shape[0] - self.rows => {
                self.rows += rows;
                Ok(())
            }
            _ => Err(self.mismatch(format!("{:?}", part.shape()))),
        }
    }

    /// Checks that nothing is missing.
    pub(super) fn end(&self) -> Result<()> {
        if self.failed {
            return Err(self.mismatch("parts that could not be written".to_owned()));
        }
        if self.rows == self.shape[0] { Ok(()) } else { Err(self.mismatch(format!("{} rows in all", self.rows))) }
    }

    fn mismatch(&self, got: String) -> Error {
        let expected = format!("{:?} in parts, of which {} rows have come", self.shape, self.rows);
        Error::Shape { at: self.at.clone(), expected, got }
    }
}
