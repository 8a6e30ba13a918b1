//! A stored matrix written anew by its other axis: CSR as CSC, CSC as CSR. A few of the new lines (columns of a CSC, rows of a
//! CSR) are put together at a time, with a pass over the whole matrix for each such few, so that memory is bounded whatever
//! the matrix holds.

use std::ops::Range;

use serde_json::json;

use super::{Ctx, Parts, indptr, read_indices};
use crate::codec::{Dialect, tags};
use crate::error::{Error, Result};
use crate::index::Rows;
use crate::path::ElemPath;
use crate::progress::Progress;
use crate::store::{Attrs, WriteStore};
use crate::value::{Array, DType, Indices, Item, SparseFormat, check_memory, with_dtype, with_indices};

/// Stored entries that are read in one step, more or less: steps end where chunks do.
const BLOCK: usize = 4 << 20;
/// Entries that are put together at a time, however small the budget: or the passes would have no end.
const LEAST: usize = 64 << 10;
/// Entries that are looked at in all passes: weeks. A matrix that would take more is damaged, or the budget far too small.
const MOST_LOOKED_AT: u64 = 1 << 50;

/// How a twin is written.
pub(crate) struct Twin<'a> {
    /// Attributes that it gets beside its tags.
    pub(crate) attrs: Attrs,
    pub(crate) dialect: &'a Dialect,
    /// Bytes of the new lines that are put together at a time.
    pub(crate) budget: usize,
    /// Told how many entries were looked at, of how many.
    pub(crate) progress: Progress<'a>,
}

/// Stages the twin of the matrix at `ctx` at `to`. Gives the bytes that it has in memory.
///
/// # Errors
/// [`Error::Unsupported`] for values that are no numbers, for more entries than the matrix has places, and where so small a
/// budget would make the passes too many; [`Error::Malformed`]; [`Error::Cancelled`]; those of the store.
pub(crate) fn encode(ctx: &Ctx<'_>, store: &dyn WriteStore, to: &ElemPath, twin: Twin<'_>) -> Result<usize> {
    let parts = Parts::of(ctx)?;
    let unsupported = |what| Error::Unsupported { at: ctx.place(), what };
    let dtype = parts.data_meta.dtype.filter(|dtype| dtype.is_numeric());
    let dtype = dtype.ok_or_else(|| unsupported(format!("{} values", parts.data_meta.stored)))?;
    let nnz = parts.nnz as u64;
    let [rows, columns] = parts.shape.map(|n| n as u64);
    // An array may claim any length: what is not there is its fill value.
    if nnz > rows.saturating_mul(columns) {
        return Err(unsupported(format!("{nnz} values are stored for {rows} × {columns} places")));
    }
    let spans = parts.spans(ctx, &Rows::All(parts.shape[parts.format.major()]))?;
    let multiple = parts.multiple(BLOCK);
    let block = BLOCK.next_multiple_of(multiple);
    let narrow = [parts.nnz, spans.len()].iter().all(|&n| i32::try_from(n).is_ok());
    let index = if narrow { DType::I32 } else { DType::I64 };
    let item = dtype.size().unwrap_or(0) + index.size().unwrap_or(0);
    let most = (twin.budget / item.max(1)).max(LEAST) as u64;
    let passes = 1 + nnz.div_ceil(most);
    let total = nnz.saturating_mul(passes);
    if total > MOST_LOOKED_AT {
        let why = format!("it would take {passes} passes over {nnz} values: allow more memory");
        return Err(unsupported(why));
    }
    let mut pass = Pass { ctx, parts: &parts, spans: &spans, block, done: 0, total, progress: twin.progress };
    let starts = pass.starts()?;
    let lots = lots(&starts, most);
    pass.total = nnz.saturating_mul(1 + lots.len() as u64);

    let other = if parts.format == SparseFormat::Csr { SparseFormat::Csc } else { SparseFormat::Csr };
    let mut attrs = twin.attrs;
    attrs.insert("shape".to_owned(), json!(parts.shape));
    store.create_group(to, &tags(attrs, other.name(), "0.1.0"))?;
    // As in `super::encode`.
    let (style, none) = (twin.dialect.style(true), Attrs::new());
    let begin =
        |name: &str, dtype: DType| store.create_array_in_parts(&to.child(name), dtype, &[parts.nnz], style, &none);
    let (mut data, mut indices) = (begin("data", dtype)?, begin("indices", index)?);
    for lot in lots {
        let (values, rows) = with_dtype!(dtype, T => match narrow {
            true => pass.lines::<T, i32>(&starts, lot)?,
            false => pass.lines::<T, i64>(&starts, lot)?,
        });
        data.put(&values)?;
        indices.put(&rows)?;
    }
    data.finish()?;
    indices.finish()?;
    let starts = if narrow {
        Array::from_vec(starts.iter().map(|&start| start as i32).collect())
    } else {
        Array::from_vec(starts.iter().map(|&start| start as i64).collect())
    };
    store.create_array(&to.child("indptr"), &starts, style, &none)?;
    Ok(parts.nnz * item + starts.nbytes())
}

/// Lines that are put together at a time: as many as have no more entries than that, but at least one.
fn lots(starts: &[u64], most: u64) -> Vec<Range<usize>> {
    let (mut lots, lines, mut first) = (Vec::new(), starts.len() - 1, 0);
    while first < lines {
        let fit = starts[first + 1..].partition_point(|&end| end - starts[first] <= most);
        let lot = first..first + fit.max(1);
        first = lot.end;
        lots.push(lot);
    }
    lots
}

/// Goes through the whole matrix, again and again.
struct Pass<'a> {
    ctx: &'a Ctx<'a>,
    parts: &'a Parts,
    /// The entries of each row (in CSC: column).
    spans: &'a [Range<usize>],
    /// Entries that are read in one step.
    block: usize,
    done: u64,
    total: u64,
    progress: Progress<'a>,
}

impl Pass<'_> {
    /// Where the new lines begin, and the last one ends.
    fn starts(&mut self) -> Result<Vec<u64>> {
        let minor = self.parts.minor();
        check_memory(DType::U64, &[minor]).map_err(|what| self.ctx.malformed(what))?;
        let mut counts = vec![0_usize; minor];
        self.blocks(|this, block| {
            let indices = this.indices(block)?;
            with_indices!(&indices, list => list.iter().for_each(|&index| counts[index as usize] += 1));
            Ok(())
        })?;
        Ok(indptr(counts.into_iter()))
    }

    /// The values and positions of these new lines, end to end.
    fn lines<T: Item, I: Item + TryFrom<usize>>(
        &mut self,
        starts: &[u64],
        lot: Range<usize>,
    ) -> Result<(Array, Array)> {
        let base = starts[lot.start];
        let count = (starts[lot.end] - base) as usize;
        // A single line may have more entries than the budget allows.
        let fits = check_memory(T::DTYPE, &[count]).and_then(|()| check_memory(I::DTYPE, &[count]));
        fits.map_err(|what| self.ctx.malformed(what))?;
        let mut next: Vec<usize> = starts[lot.clone()].iter().map(|start| (start - base) as usize).collect();
        let (mut values, mut rows) = (vec![T::default(); count], vec![I::default(); count]);
        let mut row = 0;
        self.blocks(|this, block| {
            let indices = this.indices(block.clone())?;
            let data = this.ctx.store.read(&this.parts.data, &[Rows::span(block.start, block.end)])?;
            let changed = || this.ctx.malformed("it has changed while it was read");
            let data = T::view(&data).and_then(|a| a.as_slice()).ok_or_else(changed)?;
            with_indices!(&indices, list => for (entry, (index, value)) in block.zip(list.iter().zip(data)) {
                while this.spans.get(row).is_some_and(|span| entry >= span.end) {
                    row += 1;
                }
                let Some(to) = (*index as usize).checked_sub(lot.start).and_then(|line| next.get_mut(line)) else { continue };
                let (Some(at), Some(row_at)) = (values.get_mut(*to), rows.get_mut(*to)) else { return Err(changed()) };
                *at = value.clone();
                *row_at = I::try_from(row).unwrap_or_default();
                *to += 1;
            });
            Ok(())
        })?;
        // Else there are places that nothing has come to.
        let ends = starts[lot.start + 1..=lot.end].iter().map(|end| (end - base) as usize);
        if !next.into_iter().eq(ends) {
            return Err(self.ctx.malformed("it has changed while it was read"));
        }
        Ok((Array::from_vec(values), Array::from_vec(rows)))
    }

    fn indices(&self, block: Range<usize>) -> Result<Indices> {
        let indices = read_indices(self.ctx, &self.parts.indices, &[Rows::span(block.start, block.end)])?;
        indices.check(self.parts.minor()).map_err(|what| self.ctx.malformed(what))?;
        Ok(indices)
    }

    /// Calls `each` with every block of entries, and tells how far it is.
    fn blocks(&mut self, mut each: impl FnMut(&Self, Range<usize>) -> Result<()>) -> Result<()> {
        let nnz = self.parts.nnz;
        for start in (0..nnz).step_by(self.block) {
            let block = start..nnz.min(start + self.block);
            self.done += block.len() as u64;
            each(self, block)?;
            if (self.progress)(self.done.min(self.total), self.total).is_break() {
                return Err(Error::Cancelled { at: self.ctx.place(), what: "adding a gene index".into() });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lots_are_within_bounds_and_leave_out_nothing() {
        assert_eq!(lots(&[0, 3, 3, 9, 10, 12], 4), [0..2, 2..3, 3..5]);
        assert_eq!(lots(&[0, 3, 3], 0), [0..1, 1..2]);
        assert!(lots(&[0], 4).is_empty());
    }
}
