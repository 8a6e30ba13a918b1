//! New arrays that come part by part: chunks are written as soon as they are whole, into a directory that belongs to no staged
//! node yet.

use std::path::PathBuf;

use super::ZarrStore;
use super::dialect::{Stored, Wanted};
use super::files;
use super::meta::{Document, Layout};
use super::write::WritePlan;
use crate::error::Result;
use crate::index::Rows;
use crate::path::ElemPath;
use crate::store::parts::Coming;
use crate::store::{ArrayParts, Attrs, Style};
use crate::value::{Array, DType, Scatter};

/// A new array, as far as it has come: in a directory that belongs to no staged node yet.
pub(super) struct InParts<'s> {
    store: &'s ZarrStore,
    at: ElemPath,
    dir: PathBuf,
    plan: WritePlan,
    doc: Document,
    coming: Coming,
    /// What has come and is not written yet, how many rows that is, and the number of the chunk where it begins.
    waiting: Vec<Array>,
    rows: usize,
    first: usize,
    /// How many rows are written together.
    together: usize,
}

/// Rows of chunks that are encoded together, on all cores, if they are not too large.
const TOGETHER: usize = 8;
/// Bytes that wait for that, and are there twice while it is done. One row of chunks waits in any case: chunks of wide arrays are
/// made so short that it is no larger, or has one row of items.
const WAITING: usize = 32 << 20;

impl<'s> InParts<'s> {
    /// As [`create_array_in_parts`](crate::store::WriteStore::create_array_in_parts).
    pub(super) fn begin(
        store: &'s ZarrStore,
        at: &ElemPath,
        dtype: DType,
        shape: &[usize],
        style: Style<'_>,
        attrs: &Attrs,
    ) -> Result<Self> {
        let coming = Coming::new(store.source.place(at), dtype, shape)?;
        let mut stage = store.stage()?.lock();
        let version = store.check_new(&stage, at)?;
        let like = store.neighbour(&stage, style.like)?.filter(|like| !is_sharded(like));
        let stored = Stored::plain(dtype);
        let row = shape.iter().skip(1).fold(dtype.size().unwrap_or(1), |n, &k| n.saturating_mul(k)).max(1);
        let most_rows = (WAITING / row).max(1);
        let wanted = Wanted { version, like: like.as_ref(), shard: false, stored: &stored, shape, most_rows };
        let (plan, doc) = store.planned(at, &wanted, attrs)?;
        let dir = stage.scratch_dir(&store.source).map_err(store.source.io(at))?;
        let together = together(plan.chunks[0], row);
        let (at, waiting) = (at.clone(), Vec::new());
        Ok(Self { store, at, dir, plan, doc, coming, waiting, rows: 0, first: 0, together })
    }

    /// Writes what waits, which begins at the start of a chunk.
    fn write(&mut self) -> Result<()> {
        let shape = [&[self.rows], &self.coming.shape[1..]].concat();
        let mut whole = Scatter::new(self.coming.dtype, &shape);
        let mut row = 0;
        for part in self.waiting.drain(..) {
            let rows = part.shape()[0];
            whole.put_rows(part, row);
            row += rows;
        }
        let written = self.store.write_chunks(&self.dir, &self.plan, self.first, &shape, &[&whole.finish()]);
        self.first += self.rows.div_ceil(self.plan.chunks[0]);
        self.rows = 0;
        written.map_err(|fault| fault.at(self.store.source.place(&self.at))).inspect_err(|_| self.coming.failed = true)
    }
}

impl Drop for InParts<'_> {
    fn drop(&mut self) {
        // What could not be swept is invisible. Nothing is there once it is staged.
        let _ = files::remove_dir(&self.dir);
    }
}

impl ArrayParts for InParts<'_> {
    fn put(&mut self, part: &Array) -> Result<()> {
        self.coming.take(part)?;
        let (mut from, rows) = (0, part.shape()[0]);
        while from < rows {
            let upto = rows.min(from + (self.together - self.rows));
            self.waiting.push(part.take(&[Rows::span(from, upto)]));
            self.rows += upto - from;
            from = upto;
            if self.rows == self.together {
                self.write()?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.coming.end()?;
        self.write()?;
        let mut stage = self.store.stage()?.lock();
        self.store.check_new(&stage, &self.at)?;
        let source = &self.store.source;
        let home = stage.fresh_dir(source, &self.at);
        home.and_then(|home| files::rename(&self.dir, &home)).map_err(source.io(&self.at))?;
        stage.put(source, &self.at, self.doc.clone())
    }
}

/// How many rows of items, of so many bytes, wait to be written together where a chunk has `rows`.
fn together(rows: usize, row: usize) -> usize {
    let chunks = (WAITING / row.saturating_mul(rows).max(1)).clamp(1, TOGETHER);
    rows.saturating_mul(chunks)
}

fn is_sharded(doc: &Document) -> bool {
    Layout::new(doc).and_then(|layout| layout.sharding()).is_ok_and(|sharding| sharding.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_waits_than_may_wait() {
        assert_eq!(together(100_000, 4), 800_000);
        assert_eq!(together(1000, 10_000), 3000);
        assert_eq!(together(1000, 200_000), 1000);
        assert_eq!(together(usize::MAX, 8), usize::MAX);
    }
}
