//! [`Axis`]: an element as a sequence of lines along one of its axes, which are read block by block, and [`Cuts`], where one
//! block ends and the next begins.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::BlockSize;
use crate::codec::{Info, Kind};
use crate::error::{Error, Place, Result};
use crate::index::Rows;
use crate::shadow::Member;
use crate::value::{DType, Element, SparseFormat};

/// What an item is taken to have whose size is not known.
const UNKNOWN: u64 = 32;
/// What a line of a sparse matrix takes besides its entries, and the position of an entry.
const LINE: u64 = 8;
const INDEX: u64 = 4;
/// Lines of which the entries are counted in one step.
const WINDOW: usize = 1 << 16;

/// An element, and the axis along which it is read.
pub(super) struct Axis {
    member: Member,
    /// 0 for rows, 1 for columns.
    pub(super) axis: usize,
    /// What is known of the element, cut to the view.
    pub(super) info: Info,
    /// Where the lines of a view are in the whole element, if it does not take all.
    taken: Option<Rows>,
    /// Lines that lie in one chunk.
    chunk: usize,
    weight: Weight,
}

/// What the lines weigh, in decoded bytes.
#[derive(Clone, Copy)]
enum Weight {
    Same(u64),
    /// So many for each stored entry; `about` for a line on average.
    Entries {
        each: u64,
        about: u64,
    },
}

impl Axis {
    /// The rows of an element of whatever kind.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::WrongType`] if it has no rows.
    pub(super) fn rows(member: &Member) -> Result<Self> {
        let info = known(member)?;
        Self::new(member, info, 0)
    }

    /// The lines of a matrix of numbers whose values lie together: the columns of a CSC matrix, the rows of any other.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::WrongType`] if it is no matrix of numbers (complex ones have no order).
    pub(super) fn major(member: &Member) -> Result<Self> {
        let info = known(member)?;
        let dtype = info.dtype.as_deref().and_then(DType::parse);
        let real = dtype.is_some_and(|d| d.is_numeric() && !matches!(d, DType::C64 | DType::C128));
        if !real || info.shape.len() != 2 || !matches!(info.kind, Kind::Array | Kind::Sparse) {
            return Err(wrong_type(member, "a matrix of real numbers", info.describe()));
        }
        let axis = if info.kind == Kind::Sparse { format(member, &info).major() } else { 0 };
        Self::new(member, info, axis)
    }

    fn new(member: &Member, info: Info, axis: usize) -> Result<Self> {
        if info.shape.is_empty() {
            return Err(wrong_type(member, "an element with rows", info.describe()));
        }
        // Not cut to the view: of that, the entries are not known.
        let whole = member.shadow.root.info(&member.at)?.unwrap_or_else(|| info.clone());
        let taken = member.shadow.cut_for(member.spec.axes).into_iter().nth(axis).flatten();
        let item = info.dtype.as_deref().and_then(DType::parse).and_then(DType::size).map_or(UNKNOWN, |n| n as u64);
        let weight = if info.kind == Kind::Sparse {
            let each = item + INDEX;
            let lines = whole.shape[axis].max(1) as u64;
            let about = (whole.stored.unwrap_or_default() as u64).saturating_mul(each) / lines;
            let about = about.saturating_add(LINE);
            // Only the lines of the compressed axis can be counted without reading all indices.
            if format(member, &whole).major() == axis { Weight::Entries { each, about } } else { Weight::Same(about) }
        } else {
            let columns = if info.kind == Kind::Table { info.children.len() } else { 1 };
            let others = info.shape.iter().enumerate().filter(|(i, _)| *i != axis).map(|(_, &n)| n as u64);
            Weight::Same(others.fold(item * columns.max(1) as u64, u64::saturating_mul).max(1))
        };
        let chunk = if info.kind == Kind::Array { whole.chunks.as_ref().and_then(|c| c.get(axis)) } else { None };
        let chunk = chunk.copied().unwrap_or(1).max(1);
        Ok(Self { member: member.clone(), axis, info, taken, chunk, weight })
    }

    /// How many lines there are.
    pub(super) fn len(&self) -> usize {
        self.info.shape[self.axis]
    }

    /// About the bytes of a line.
    pub(super) fn bytes_per_line(&self) -> u64 {
        match self.weight {
            Weight::Same(bytes) | Weight::Entries { about: bytes, .. } => bytes,
        }
    }

    /// Reads these lines.
    ///
    /// # Errors
    /// As [`Member::read`].
    pub(super) fn read(&self, lines: Rows) -> Result<Element> {
        let mut cut = vec![None; self.axis];
        cut.push(Some(lines));
        self.member.part(&cut).map(Arc::unwrap_or_clone)
    }

    pub(super) fn place(&self) -> Place {
        self.member.shadow.root.place(&self.member.at)
    }

    /// Where a line is in the whole element.
    fn position(&self, line: usize) -> usize {
        self.taken.as_ref().map_or(Some(line), |rows| rows.get(line)).unwrap_or(line)
    }

    /// What each of these lines weighs.
    fn weigh(&self, lines: Range<usize>) -> Result<Vec<u64>> {
        let Weight::Entries { each, .. } = self.weight else { return Ok(vec![self.bytes_per_line(); lines.len()]) };
        let span = Rows::span(lines.start, lines.end);
        let positions = self.taken.as_ref().map_or_else(|| span.clone(), |rows| rows.compose(&span));
        let counts = self.member.shadow.root.entry_counts(&self.member.at, &positions)?;
        Ok(counts.into_iter().map(|n| n.saturating_mul(each).saturating_add(LINE)).collect())
    }
}

fn known(member: &Member) -> Result<Info> {
    member.info()?.ok_or_else(|| member.shadow.root.not_found(&member.at))
}

fn wrong_type(member: &Member, wanted: &str, found: String) -> Error {
    Error::WrongType { at: member.shadow.root.place(&member.at), wanted: wanted.to_owned(), found }
}

/// Of one in memory, how it is there; else as it is tagged.
fn format(member: &Member, info: &Info) -> SparseFormat {
    match member.shadow.root.held(&member.at).as_deref() {
        Some(Element::Sparse(matrix)) => matrix.format(),
        _ if info.encoding.as_ref().is_some_and(|(name, _)| name == SparseFormat::Csc.name()) => SparseFormat::Csc,
        _ => SparseFormat::Csr,
    }
}

/// Where blocks begin and end.
pub(super) struct Cuts {
    size: BlockSize,
    next: usize,
    /// The weights of the lines from `next` on, as far as they were looked up.
    weights: VecDeque<u64>,
}

impl Cuts {
    pub(super) fn new(size: BlockSize) -> Self {
        Self { size, next: 0, weights: VecDeque::new() }
    }

    /// The next block of lines; `None` if there are no more.
    pub(super) fn next(&mut self, axis: &Axis) -> Result<Option<Range<usize>>> {
        let (from, len) = (self.next, axis.len());
        if from >= len {
            return Ok(None);
        }
        let to = match self.size {
            BlockSize::Rows(n) => from.saturating_add(n.max(1)).min(len),
            BlockSize::Bytes(n) => self.fill(axis, n.max(1) as u64)?,
        };
        self.next = to;
        Ok(Some(from..to))
    }

    /// Where a block of about so many bytes ends: at the edge of a chunk, unless a single row of chunks has more than twice
    /// that.
    fn fill(&mut self, axis: &Axis, wanted: u64) -> Result<usize> {
        let mut to = self.next;
        let mut bytes = 0_u64;
        while to < axis.len() {
            let (lines, weight, first) = self.run(axis, to)?;
            if bytes == 0 && weight > wanted.saturating_mul(2) && lines > 1 {
                let some = (wanted / first.max(1)).clamp(1, lines as u64) as usize;
                self.weights.drain(..some);
                return Ok(to + some);
            }
            if bytes > 0 && bytes.saturating_add(weight) > wanted {
                break;
            }
            self.weights.drain(..lines);
            bytes = bytes.saturating_add(weight);
            to += lines;
        }
        Ok(to)
    }

    /// From line `from` on: how many follow one another in one chunk, what they weigh together, and what the first weighs.
    fn run(&mut self, axis: &Axis, from: usize) -> Result<(usize, u64, u64)> {
        let chunk = axis.position(from) / axis.chunk;
        let (mut lines, mut total, mut first) = (0, 0_u64, 0);
        while from + lines < axis.len() && axis.position(from + lines) / axis.chunk == chunk {
            if self.weights.len() == lines {
                let known = from + lines;
                self.weights.extend(axis.weigh(known..known.saturating_add(WINDOW).min(axis.len()))?);
            }
            let weight = self.weights.get(lines).copied().unwrap_or_default();
            first = if lines == 0 { weight } else { first };
            total = total.saturating_add(weight);
            lines += 1;
            // In a sparse matrix, lines share chunks with their neighbours in whatever way.
            if axis.chunk == 1 {
                break;
            }
        }
        Ok((lines, total, first))
    }
}
