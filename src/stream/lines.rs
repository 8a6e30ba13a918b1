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
/// What a line of a sparse matrix takes besides its entries, and the position of an entry (int32; how wide those stored are is not
/// asked).
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

    /// How many lines from this one on lie in one chunk; those beyond `most` are not counted.
    fn together(&self, from: usize, most: usize) -> usize {
        let most = most.min(self.len() - from);
        let chunk = self.position(from) / self.chunk;
        match &self.taken {
            // In a sparse matrix, lines share chunks with their neighbours in whatever way.
            _ if self.chunk == 1 => 1,
            None => most.min((chunk + 1) * self.chunk - from),
            Some(_) => (from..from + most).take_while(|&line| self.position(line) / self.chunk == chunk).count(),
        }
    }

    /// What each of these lines weighs, of which each stored entry weighs so much.
    fn weigh(&self, lines: Range<usize>, each: u64) -> Result<Vec<u64>> {
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
    /// Of a sparse matrix, what the next few lines weigh whose entries have been counted.
    counted: VecDeque<u64>,
}

impl Cuts {
    pub(super) fn new(size: BlockSize) -> Self {
        Self { size, next: 0, counted: VecDeque::new() }
    }

    /// The next block of lines; `None` if there are no more.
    pub(super) fn next(&mut self, axis: &Axis) -> Result<Option<Range<usize>>> {
        let (from, len) = (self.next, axis.len());
        if from >= len {
            return Ok(None);
        }
        let to = match self.size {
            BlockSize::Rows(n) => from.saturating_add(n.max(1)).min(len),
            BlockSize::Bytes(n) => match axis.weight {
                Weight::Same(each) => fill(axis, from, each.max(1), n.max(1) as u64),
                Weight::Entries { each, .. } => self.fill_counted(axis, each, n.max(1) as u64)?,
            },
        };
        self.next = to;
        Ok(Some(from..to))
    }

    /// Where a block of about so many bytes ends if each entry weighs so much: of at least one line.
    fn fill_counted(&mut self, axis: &Axis, each: u64, wanted: u64) -> Result<usize> {
        let (mut to, mut bytes) = (self.next, 0_u64);
        while to < axis.len() {
            if self.counted.is_empty() {
                self.counted.extend(axis.weigh(to..to.saturating_add(WINDOW).min(axis.len()), each)?);
            }
            let Some(&line) = self.counted.front() else { break };
            bytes = bytes.saturating_add(line);
            if bytes > wanted && to > self.next {
                break;
            }
            self.counted.pop_front();
            to += 1;
        }
        Ok(to)
    }
}

/// Where a block of about so many bytes ends if all lines weigh the same: at the edge of a chunk, unless a single row of chunks
/// has more than twice that.
fn fill(axis: &Axis, from: usize, each: u64, wanted: u64) -> usize {
    // A run of lines is counted only until it is plain that it is too long.
    let lines = |bytes: u64| usize::try_from(bytes / each).unwrap_or(usize::MAX);
    let twice = lines(wanted.saturating_mul(2));
    let first = axis.together(from, twice.saturating_add(1));
    if first > twice.max(1) {
        return from + lines(wanted).clamp(1, first);
    }
    let (mut to, end) = (from + first, from.saturating_add(lines(wanted)).min(axis.len()));
    while to < end {
        let run = axis.together(to, (end - to).saturating_add(1));
        if run > end - to {
            break;
        }
        to += run;
    }
    to
}
