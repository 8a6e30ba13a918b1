//! Reading those entries of a sparse matrix whose index is wanted: indices are looked through block by block, and of
//! the data is read what they say. Memory holds a block and what was found.

use std::ops::Range;

use ndarray::{ArrayD, Axis};
use rayon::prelude::*;

use super::{Parts, indptr, read_indices};
use crate::codec::Ctx;
use crate::error::Result;
use crate::index::Rows;
use crate::value::{Array, Indices, Item, MinorFilter, Sparse, SparseFormat, with_array, with_indices};

/// Chunks of up to so many entries lie in one block, so that none is decoded twice. Longer ones would make a block of any
/// size; they are decoded once for every block.
const LONGEST_CHUNK: usize = 64 << 20;

/// Where more than one of so many entries is wanted, all data of the block are read as they lie, not run by run.
const FEW: usize = 8;

/// The entries of the rows `major`, which lie in `spans`, whose index passes `filter`, which is made for `minor`.
pub(super) fn read(
    ctx: &Ctx<'_>,
    parts: &Parts,
    (major, minor): (&Rows, &Rows),
    spans: &[Range<usize>],
    filter: &MinorFilter,
    block: usize,
) -> Result<Sparse> {
    let search = Search { ctx, parts, filter, minor: minor.len(), block };
    if major.iter().is_sorted_by(|a, b| a < b) {
        return search.run(spans);
    }
    // A row asked for twice is looked through once, and all in the order of the file.
    let mut asked: Vec<(usize, usize)> = major.iter().zip(0..).collect();
    asked.sort_unstable();
    let (mut once, mut order) = (Vec::new(), vec![0; asked.len()]);
    for same in asked.chunk_by(|a, b| a.0 == b.0) {
        same.iter().for_each(|&(_, at)| order[at] = once.len());
        once.push(spans[same[0].1].clone());
    }
    let (found, order) = (search.run(&once)?, Rows::picks(order));
    Ok(match parts.format {
        SparseFormat::Csr => found.take(Some(&order), None),
        SparseFormat::Csc => found.take(None, Some(&order)),
    })
}

struct Search<'a> {
    ctx: &'a Ctx<'a>,
    parts: &'a Parts,
    filter: &'a MinorFilter,
    /// Length of the uncompressed axis of the result.
    minor: usize,
    /// About so many entries are looked at in one step.
    block: usize,
}

impl Search<'_> {
    /// The wanted entries of rows that lie in ascending order.
    fn run(&self, spans: &[Range<usize>]) -> Result<Sparse> {
        let (store, parts, filter, minor) = (self.ctx.store, self.parts, self.filter, self.minor);
        let malformed = |what: String| self.ctx.malformed(what);
        let mut data = store.read(&parts.data, &[Rows::span(0, 0)])?;
        let (mut indices, mut counts) = (Indices::on_axis(self.minor), vec![0; spans.len()]);
        for pieces in (Blocks { spans, row: 0, at: 0, len: self.block, multiple: self.parts.multiple(self.block) }) {
            let entries = Rows::spans(pieces.iter().map(|piece| piece.entries.clone()));
            let stored = read_indices(self.ctx, &parts.indices, std::slice::from_ref(&entries))?;
            stored.check(parts.minor()).map_err(malformed)?;
            let share = pieces.len().div_ceil(4 * rayon::current_num_threads());
            let hits: Vec<Hits> = pieces.par_chunks(share).map(|share| look(share, &stored, filter, minor)).collect();
            drop(stored);
            let mut wanted = Vec::with_capacity(hits.iter().map(|hits| hits.offsets.len()).sum());
            for hits in hits {
                wanted.extend(hits.offsets);
                indices.extend(&hits.indices);
                hits.counts.into_iter().for_each(|(row, n)| counts[row] += n);
            }
            let more = if wanted.len() > entries.len() / FEW {
                with_array!(store.read(&parts.data, &[entries])?, all => chosen(&all, &wanted))
            } else {
                store.read(&parts.data, &[entries.compose(&Rows::picks(wanted))])?
            };
            with_array!(&more, more => append(&mut data, more));
        }
        let shape = match parts.format {
            SparseFormat::Csr => [spans.len(), self.minor],
            SparseFormat::Csc => [self.minor, spans.len()],
        };
        Sparse::new(parts.format, shape, data, indices, indptr(counts.into_iter())).map_err(malformed)
    }
}

impl Parts {
    /// Where blocks of about so many entries may end: at the ends of chunks, and so that all threads have as much to decode.
    pub(super) fn multiple(&self, block: usize) -> usize {
        let chunk = |chunks: &Option<Vec<usize>>| chunks.as_ref().and_then(|c| c.first().copied()).unwrap_or(1).max(1);
        let (indices, data) = (chunk(&self.indices_meta.chunks), chunk(&self.data_meta.chunks));
        let common = indices.checked_mul(data / gcd(indices, data)).filter(|&n| n <= block).unwrap_or(indices);
        let for_all = common.saturating_mul(rayon::current_num_threads());
        let multiple = if for_all <= block { for_all } else { common };
        if multiple <= LONGEST_CHUNK { multiple } else { 1 }
    }
}

/// What was found in some pieces of a block.
struct Hits {
    /// Number of each entry within the block.
    offsets: Vec<usize>,
    /// Where it stands in the result.
    indices: Indices,
    /// Entries found of each row.
    counts: Vec<(usize, usize)>,
}

/// The wanted ones among the entries of some pieces of a block, for an axis of `minor` in the result.
fn look(pieces: &[Piece], stored: &Indices, filter: &MinorFilter, minor: usize) -> Hits {
    let mut hits = Hits { offsets: Vec::new(), indices: Indices::on_axis(minor), counts: Vec::new() };
    for piece in pieces {
        let before = hits.offsets.len();
        with_indices!(stored, list => filter.scan(&list[piece.offset..][..piece.entries.len()], |i, to| {
            hits.offsets.push(piece.offset + i);
            hits.indices.push(to);
        }));
        hits.counts.push((piece.row, hits.offsets.len() - before));
    }
    hits
}

/// A row, or the part of one that lies in a block.
#[derive(Debug)]
struct Piece {
    /// Number of its span.
    row: usize,
    entries: Range<usize>,
    /// How many entries are before it in the block.
    offset: usize,
}

/// Cuts ascending spans into blocks of `len` entries, and some more up to the next multiple.
struct Blocks<'a> {
    spans: &'a [Range<usize>],
    row: usize,
    /// Where the last block has ended.
    at: usize,
    len: usize,
    multiple: usize,
}

impl Iterator for Blocks<'_> {
    type Item = Vec<Piece>;

    fn next(&mut self) -> Option<Vec<Piece>> {
        let (mut pieces, mut offset, mut end) = (Vec::new(), 0, usize::MAX);
        while let Some(span) = self.spans.get(self.row) {
            let start = span.start.max(self.at);
            let room = self.len.saturating_sub(offset);
            if end == usize::MAX && room <= span.end.saturating_sub(start) {
                end = (start + room).checked_next_multiple_of(self.multiple).unwrap_or(usize::MAX);
            }
            let entries = start..span.end.min(end);
            let is_whole = entries.end == span.end;
            if !entries.is_empty() {
                offset += entries.len();
                self.at = entries.end;
                pieces.push(Piece { row: self.row, offset: offset - entries.len(), entries });
            }
            if !is_whole {
                break;
            }
            self.row += 1;
        }
        (!pieces.is_empty()).then_some(pieces)
    }
}

/// Those of `all` that have these numbers.
fn chosen<T: Item>(all: &ArrayD<T>, numbers: &[usize]) -> Array {
    let all = all.as_slice().unwrap_or_default();
    Array::from_vec(numbers.iter().filter_map(|&i| all.get(i).cloned()).collect())
}

/// Puts `more` behind `data`. (Of another dtype nothing; then there are too few values for the indices.)
fn append<T: Item>(data: &mut Array, more: &ArrayD<T>) {
    let _ = T::view_mut(data).map(|data| data.append(Axis(0), more.view()));
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn blocks_hold_every_entry_once_and_end_where_chunks_end(
            rows in proptest::collection::vec((0_usize..3, 0_usize..9), 0..12),
            len in 1_usize..10,
            multiple in 1_usize..7,
        ) {
            let spans: Vec<Range<usize>> = rows.iter().scan(0, |at, (gap, n)| {
                let start = *at + gap;
                *at = start + n;
                Some(start..*at)
            }).collect();
            let blocks: Vec<Vec<Piece>> = Blocks { spans: &spans, row: 0, at: 0, len, multiple }.collect();
            let of_row = |row: usize| blocks.iter().flatten().filter(move |piece| piece.row == row);
            for (row, span) in spans.iter().enumerate() {
                prop_assert!(of_row(row).flat_map(|piece| piece.entries.clone()).eq(span.clone()));
            }
            let sizes = blocks.iter().map(|block| block.iter().map(|piece| piece.entries.len()).sum::<usize>());
            for (i, (block, size)) in blocks.iter().zip(sizes).enumerate() {
                let before = |i: usize| block[..i].iter().map(|piece| piece.entries.len()).sum::<usize>();
                prop_assert!(block.iter().map(|piece| piece.offset).eq((0..block.len()).map(before)));
                prop_assert!(size < len + multiple);
                if let Some(next) = blocks.get(i + 1) {
                    prop_assert!(size >= len);
                    let last = block[block.len() - 1].entries.end - 1;
                    prop_assert!(last / multiple < next[0].entries.start / multiple);
                }
            }
        }
    }
}
