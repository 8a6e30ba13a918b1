//! [`Cut`]: what is wanted of a chunk that is stored as it is, in pieces that are read together.

use super::shard::unravel;
use crate::index::{ChunkPart, Run};
use crate::store::spans::{BATCH_BYTES, GAP_BYTES, Span, spans};

/// How a chunk that is stored as it is is cut into pieces that are read together: along one axis, for each position that is wanted
/// on those before it.
pub(super) struct Cut<'a> {
    wish: &'a [&'a ChunkPart],
    chunk: &'a [usize],
    /// Bytes of one position on each axis.
    strides: Vec<usize>,
    /// What is wanted on the axes before, position by position; and on the axis that is cut.
    before: Vec<Vec<Span>>,
    spans: Vec<Span>,
}

/// One position on each axis before the one that is cut, and a span of that.
pub(super) struct Piece<'a> {
    before: Vec<&'a Span>,
    span: &'a Span,
}

impl<'a> Cut<'a> {
    /// Of a chunk of these lengths, with at least one axis, that has so many bytes.
    pub(super) fn new(wish: &'a [&'a ChunkPart], chunk: &'a [usize], bytes: usize) -> Self {
        let strides = chunk.iter().scan(bytes, |bytes, len| {
            *bytes /= len;
            Some(*bytes)
        });
        let strides: Vec<usize> = strides.collect();
        // A position that is short, or of which most is wanted, is read to its end.
        let mostly = |(part, &len): (&&ChunkPart, &usize)| part.runs.iter().map(|run| run.len).sum::<usize>() * 2 > len;
        let is_read_whole =
            |axis: &usize| strides[*axis] <= GAP_BYTES || wish.iter().zip(chunk).skip(axis + 1).all(mostly);
        let axis = (0..chunk.len()).find(is_read_whole).unwrap_or_default();
        let before = wish[..axis].iter().map(|part| spans(&part.runs, 0, 1)).collect();
        let stride = strides[axis].max(1);
        let spans = spans(&wish[axis].runs, GAP_BYTES / stride, (BATCH_BYTES / stride).max(1));
        Self { wish, chunk, strides, before, spans }
    }

    /// The pieces, in the order of the axes.
    pub(super) fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        let counts: Vec<usize> = self.before.iter().map(Vec::len).collect();
        let count = counts.iter().product();
        let before = move |number| unravel(number, &counts).into_iter().zip(&self.before).map(|(i, spans)| &spans[i]);
        (0..count).flat_map(move |number| {
            let before: Vec<&Span> = before(number).collect();
            self.spans.iter().map(move |span| Piece { before: before.clone(), span })
        })
    }

    pub(super) fn bytes(&self, piece: &Piece<'_>) -> usize {
        piece.span.len * self.strides[piece.before.len()]
    }

    /// Where in the chunk a piece begins.
    pub(super) fn start(&self, piece: &Piece<'_>) -> u64 {
        let positions = piece.before.iter().map(|span| span.start).chain([piece.span.start]);
        positions.zip(&self.strides).map(|(position, stride)| (position * stride) as u64).sum()
    }

    /// The shape of a piece, where it begins, and what is wanted of it, along each axis.
    pub(super) fn within<'p>(&'p self, piece: &'p Piece<'_>) -> (Vec<usize>, Vec<usize>, Vec<&'p [Run]>) {
        let axis = piece.before.len();
        let shape = [&vec![1; axis], &[piece.span.len][..], &self.chunk[axis + 1..]].concat();
        let mut origin: Vec<usize> = piece.before.iter().map(|span| span.start).chain([piece.span.start]).collect();
        origin.resize(self.chunk.len(), 0);
        let before = piece.before.iter().map(|span| &span.runs[..]);
        let behind = self.wish[axis + 1..].iter().map(|part| &part.runs[..]);
        (shape, origin, before.chain([&piece.span.runs[..]]).chain(behind).collect())
    }
}
