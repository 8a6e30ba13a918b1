//! [`RowBlocks`]: an element block by block of rows, the next read while one is consumed.

use std::fmt;
use std::ops::Range;

use super::ahead::ReadAhead;
use super::convert;
use super::lines::{Axis, Cuts};
use crate::error::{Place, Result};
use crate::index::Rows;
use crate::shadow::Member;
use crate::value::{Element, FromElement, give_back_memory};

/// How large the blocks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockSize {
    /// About so many bytes decoded: in dense arrays whole chunks, where a row of chunks is no more than twice that; in CSR
    /// matrices by the entries that are stored, each counted as its value and 4 bytes (where indices are int64, a block is larger
    /// than was asked for by that: half as large again with float32).
    Bytes(usize),
    /// So many rows; the last block may have fewer.
    Rows(usize),
}

impl Default for BlockSize {
    /// 16 MiB.
    fn default() -> Self {
        Self::Bytes(16 << 20)
    }
}

/// Consecutive rows of an element.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RowBlock {
    /// Which rows, counted in the object that was asked: in a view, within the view.
    pub rows: Range<usize>,
    /// The element cut to these rows.
    pub element: Element,
    pub(super) at: Place,
}

impl RowBlock {
    /// The element as a type, as [`Member::read`] gives it.
    ///
    /// # Errors
    /// [`Error::WrongType`](crate::error::Error::WrongType) naming both, if it is of another.
    pub fn read<T: FromElement>(self) -> Result<T> {
        convert(self.element, &self.at)
    }
}

/// The blocks of an element, in order, without gaps: see [`Member::row_blocks`].
///
/// An error is an item, and the last one. Dropped early, reading stops with the block that is being read.
pub struct RowBlocks {
    blocks: ReadAhead<RowBlock>,
}

impl RowBlocks {
    pub(super) fn new(member: &Member, size: BlockSize) -> Result<Self> {
        Ok(Self { blocks: blocks(Axis::rows(member)?, size)? })
    }
}

impl Iterator for RowBlocks {
    type Item = Result<RowBlock>;

    fn next(&mut self) -> Option<Self::Item> {
        self.blocks.next()
    }
}

impl fmt::Debug for RowBlocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowBlocks").finish_non_exhaustive()
    }
}

/// After so many bytes of blocks, the holes that they have left in memory are given back: not after each block, since what the next
/// one needs would have to be asked for again.
const HOLES: usize = 128 << 20;

/// The blocks along an axis; their `rows` are lines of that.
pub(super) fn blocks(axis: Axis, size: BlockSize) -> Result<ReadAhead<RowBlock>> {
    let mut cuts = Cuts::new(size);
    let at = axis.place();
    let mut come_and_gone = 0;
    ReadAhead::new(
        at.clone(),
        std::iter::from_fn(move || {
            let rows = cuts.next(&axis).transpose()?;
            if come_and_gone >= HOLES {
                give_back_memory();
                come_and_gone = 0;
            }
            let read = |rows: Range<usize>| {
                let element = axis.read(Rows::span(rows.start, rows.end))?;
                come_and_gone += element.nbytes();
                Ok(RowBlock { rows, element, at: at.clone() })
            };
            Some(rows.and_then(read))
        }),
    )
}
