//! [`Minibatches`]: the rows of an element in random order, batch by batch.

use std::fmt;

use super::ahead::ReadAhead;
use super::convert;
use super::dice::Dice;
use super::lines::Axis;
use crate::error::{Error, Place, Result};
use crate::index::Rows;
use crate::shadow::Member;
use crate::value::{DType, Element, FromElement, check_memory};

/// About the bytes that are read at once. Batches that follow one another are read together, so that a chunk that several of
/// them touch is decoded once. Two such loads are in memory, and the batch that was cut last.
const LOAD: u64 = 32 << 20;

/// Blocks that are in memory at once, among whose rows those of a batch are drawn.
const BLOCKS: usize = 16;

/// In which order the rows come. Each comes exactly once, whatever the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shuffle {
    /// As they are stored.
    None,
    /// Every order of all rows is equally likely. A batch touches chunks all over the file.
    Rows,
    /// Blocks of so many consecutive rows come in random order; 16 at a time are taken together and their rows shuffled. Reads
    /// about as fast as in order, and mixes only rows whose blocks came together: rows that are stored side by side are in the
    /// same batch far more often than by chance. Should the rows not be a multiple of the block, the short block is among the
    /// last 16. Least is read where 16 blocks are a multiple of the batch: else what was shuffled together is read in two parts,
    /// and some chunks twice.
    Blocks(usize),
}

/// Some rows of an element.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Batch {
    /// Which rows, in their order in `element`, counted in the object that was asked: in a view, within the view.
    pub rows: Vec<usize>,
    /// The element at these rows.
    pub element: Element,
    at: Place,
}

impl Batch {
    /// The element as a type, as [`Member::read`] gives it.
    ///
    /// # Errors
    /// [`Error::WrongType`](crate::error::Error::WrongType) naming both, if it is of another.
    pub fn read<T: FromElement>(self) -> Result<T> {
        convert(self.element, &self.at)
    }
}

/// The batches of an element: see [`Member::minibatches`].
///
/// An error is an item, and the last one. Dropped early, reading stops with what is being read.
pub struct Minibatches {
    order: Vec<usize>,
    /// Rows of a batch as they were asked for.
    asked: usize,
    /// Rows of a batch: no more than there are.
    size: usize,
    /// Rows read at once, a multiple of `size`.
    load: usize,
    /// Where reading begins, until it has.
    axis: Option<Axis>,
    loads: Option<ReadAhead<Load>>,
    /// What was read and not given out yet.
    ready: Option<Load>,
}

/// Rows that were read together.
struct Load {
    rows: Vec<usize>,
    element: Element,
    at: Place,
    /// How many of them have been given out.
    given: usize,
}

impl Minibatches {
    pub(super) fn new(member: &Member, size: usize, seed: u64, shuffle: Shuffle) -> Result<Self> {
        let axis = Axis::rows(member)?;
        if size == 0 || shuffle == Shuffle::Blocks(0) {
            return Err(Error::Unsupported { at: axis.place(), what: "batches or blocks of no rows".into() });
        }
        let (asked, size) = (size, size.min(axis.len().max(1)));
        let malformed = |what| Error::Malformed { at: axis.place(), what };
        check_memory(DType::U64, &[axis.len()]).map_err(malformed)?;
        let order = order(axis.len(), seed, shuffle);
        let fit = (LOAD / axis.bytes_per_line().saturating_mul(size as u64).max(1)).max(1) as usize;
        let load = match shuffle {
            // What was shuffled together is read together, as far as batches fit.
            Shuffle::Blocks(n) => n.saturating_mul(BLOCKS).div_ceil(size).saturating_mul(size),
            Shuffle::None | Shuffle::Rows => size.saturating_mul(fit),
        };
        Ok(Self { order, asked, size, load, axis: Some(axis), loads: None, ready: None })
    }

    /// Leaves out the last batch if it has fewer rows than the others. To be said before the first batch is taken.
    #[must_use]
    pub fn drop_last(mut self, yes: bool) -> Self {
        if yes && self.axis.is_some() {
            self.order.truncate(self.order.len() / self.asked * self.asked);
        }
        self
    }

    /// Only part `i` of `n` that are all of it together, for as many readers side by side: of what is read at once, the rows that
    /// several batches are cut from, every `n`th. To be said before the first batch is taken.
    #[must_use]
    pub fn part(mut self, i: usize, n: usize) -> Self {
        if self.axis.is_some() {
            let loads = self.order.chunks(self.load.max(1)).skip(i).step_by(n.max(1));
            self.order = loads.flatten().copied().collect();
        }
        self
    }
}

impl Iterator for Minibatches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(axis) = self.axis.take() {
            let place = axis.place();
            let (order, load) = (std::mem::take(&mut self.order), self.load);
            let mut from = 0_usize;
            let loads = std::iter::from_fn(move || {
                let rows =
                    order.get(from..from.saturating_add(load).min(order.len())).filter(|rows| !rows.is_empty())?;
                from += rows.len();
                Some(Load::read(&axis, rows))
            });
            match ReadAhead::new(place, loads) {
                Ok(loads) => self.loads = Some(loads),
                Err(error) => return Some(Err(error)),
            }
        }
        if self.ready.as_ref().is_none_or(Load::is_empty) {
            // Gone before another one comes: with the one that is being read by then, there are never more than two.
            self.ready = None;
            match self.loads.as_mut()?.next()? {
                Ok(load) => self.ready = Some(load),
                Err(error) => return Some(Err(error)),
            }
        }
        self.ready.as_mut().map(|load| Ok(load.cut(self.size)))
    }
}

impl fmt::Debug for Minibatches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Minibatches").field("size", &self.size).finish_non_exhaustive()
    }
}

impl Load {
    fn read(axis: &Axis, rows: &[usize]) -> Result<Self> {
        let in_order = rows.windows(2).all(|w| w[0] + 1 == w[1]);
        let at = if in_order { Rows::span(rows[0], rows[0] + rows.len()) } else { Rows::picks(rows) };
        Ok(Self { rows: rows.to_vec(), element: axis.read(at)?, at: axis.place(), given: 0 })
    }

    fn is_empty(&self) -> bool {
        self.given == self.rows.len()
    }

    /// The next batch of so many rows, or of those that are left.
    fn cut(&mut self, size: usize) -> Batch {
        let span = self.given..self.given.saturating_add(size).min(self.rows.len());
        self.given = span.end;
        let element = if span.len() == self.rows.len() {
            std::mem::replace(&mut self.element, Element::Null)
        } else {
            self.element.take(&[Rows::span(span.start, span.end)])
        };
        Batch { rows: self.rows[span].to_vec(), element, at: self.at.clone() }
    }
}

/// The order in which `len` rows come.
fn order(len: usize, seed: u64, shuffle: Shuffle) -> Vec<usize> {
    let mut dice = Dice::new(seed);
    let mut order: Vec<usize> = (0..len).collect();
    match shuffle {
        Shuffle::None => {}
        Shuffle::Rows => dice.shuffle(&mut order),
        Shuffle::Blocks(n) => {
            let n = n.max(1);
            let mut blocks: Vec<usize> = (0..len / n).collect();
            dice.shuffle(&mut blocks);
            // The short one.
            blocks.extend((!len.is_multiple_of(n)).then_some(len / n));
            order.clear();
            order.extend(blocks.into_iter().flat_map(|block| block * n..((block + 1) * n).min(len)));
            order.chunks_mut(n.saturating_mul(BLOCKS)).for_each(|together| dice.shuffle(together));
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_comes_once_whatever_the_order() {
        for shuffle in [Shuffle::None, Shuffle::Rows, Shuffle::Blocks(7), Shuffle::Blocks(1000)] {
            for len in [0, 1, 6, 7, 500] {
                let mut rows = order(len, 3, shuffle);
                assert_eq!(rows, order(len, 3, shuffle), "the same seed");
                assert!(len < 6 || shuffle == Shuffle::None || rows != order(len, 4, shuffle), "{shuffle:?}");
                rows.sort_unstable();
                assert!(rows.into_iter().eq(0..len), "{shuffle:?}");
            }
        }
    }

    // Worked out by a few lines of Python from what `dice` says it does.
    #[test]
    fn the_order_of_a_seed_is_the_same_for_ever() {
        assert_eq!(order(10, 42, Shuffle::Rows), [8, 3, 6, 5, 4, 0, 9, 2, 1, 7]);
        assert_eq!(order(10, 42, Shuffle::Blocks(3)), [9, 7, 8, 2, 1, 4, 6, 3, 0, 5]);
    }

    #[test]
    fn rows_of_a_block_stay_within_sixteen_blocks() {
        let rows = order(1000, 1, Shuffle::Blocks(10));
        for together in rows.chunks(160) {
            let mut blocks: Vec<usize> = together.iter().map(|row| row / 10).collect();
            blocks.sort_unstable();
            blocks.dedup();
            assert_eq!(blocks.len() * 10, together.len());
        }
        // Not the first sixteen, and not block after block.
        assert!(rows[..160].iter().any(|&row| row >= 500));
        assert!(rows[..10].iter().any(|row| row / 10 != rows[0] / 10));
    }
}
