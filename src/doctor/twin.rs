//! A gene index against its matrix: whether both hold the same entries. While it is read from, only samples are compared.

use std::ops::ControlFlow;

use super::look::Tell;
use super::{Examiner, Severity};
use crate::codec;
use crate::error::Result;
use crate::index::Rows;
use crate::path::ElemPath;
use crate::store::{ReadStore, array_meta};
use crate::value::{Element, Sparse, SparseFormat};

/// Entries that are read in one step, more or less, and lines whose lengths are.
const ENTRIES: u64 = 4 << 20;
const LINES: usize = 1 << 16;

impl Examiner {
    /// Compares sums over all entries that do not depend on their order: rows here, columns there.
    pub(super) fn twin(
        &mut self,
        store: &dyn ReadStore,
        at: &ElemPath,
        of: &ElemPath,
        tell: Tell<'_>,
    ) -> Result<ControlFlow<()>> {
        let (ControlFlow::Continue(here), ControlFlow::Continue(there)) =
            (sum(store, at, tell)?, sum(store, of, tell)?)
        else {
            return Ok(ControlFlow::Break(()));
        };
        if here != there {
            let what = format!(
                "this gene index does not hold the values of `{of}`: genes that are read from it may be wrong (`adshadow index` makes it \
                 anew)"
            );
            self.find(Severity::Stale, at, what);
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// The sum over all entries of a matrix, read in blocks of lines.
fn sum(store: &dyn ReadStore, at: &ElemPath, tell: Tell<'_>) -> Result<ControlFlow<(), u64>> {
    let indptr = at.child("indptr");
    let lines = array_meta(store, &indptr)?.shape.first().map_or(0, |n| n.saturating_sub(1));
    let is_csc = codec::describe(store, at)?
        .and_then(|info| info.encoding)
        .is_some_and(|(name, _)| name == SparseFormat::Csc.name());
    let mut total = 0_u64;
    for start in (0..lines).step_by(LINES) {
        let stop = lines.min(start + LINES);
        let pointers = store.read(&indptr, &[Rows::span(start, stop + 1)])?.to_i64().unwrap_or_default();
        let mut from = 0;
        while from + 1 < pointers.len() {
            let fits = |&&pointer: &&i64| pointer.abs_diff(pointers[from]) <= ENTRIES;
            let to = (from + pointers[from + 1..].iter().take_while(fits).count()).max(from + 1);
            let span = Some(Rows::span(start + from, start + to));
            let cut = if is_csc { [None, span] } else { [span, None] };
            if let Element::Sparse(part) = codec::decode(store, at, &cut)? {
                total = total.wrapping_add(sum_of(&part, start + from));
                if tell(part.nbytes() as u64).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            from = to;
        }
    }
    Ok(ControlFlow::Continue(total))
}

/// Of the lines of a block, the first of which is number `first`.
fn sum_of(part: &Sparse, first: usize) -> u64 {
    let (bytes, width) = (part.data().to_le_bytes(), part.data().dtype().size().unwrap_or(1));
    let mut entries = part.indices().iter().zip(bytes.chunks_exact(width.max(1)));
    let mut total = 0_u64;
    for (line, ends) in part.indptr().windows(2).enumerate() {
        for (index, value) in entries.by_ref().take((ends[1] - ends[0]) as usize) {
            let (line, index) = ((first + line) as u64, index as u64);
            let place = if part.format() == SparseFormat::Csc { [index, line] } else { [line, index] };
            let value = value.chunks(8).map(|bytes| bytes.iter().rev().fold(0, |n, &byte| n << 8 | u64::from(byte)));
            total = total.wrapping_add(place.into_iter().chain(value).fold(0, mixed));
        }
    }
    total
}

/// A number that depends on every bit of both (the finish of SplitMix64).
fn mixed(seed: u64, number: u64) -> u64 {
    let mut z = (seed ^ number).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
