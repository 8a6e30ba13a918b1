//! `csr_matrix` and `csc_matrix`: a group of `data`, `indices` and `indptr`. Of indptr are read the ends of the rows
//! asked for (in CSC: columns), of the others their spans; where columns are selected, too, [`filtered`] looks through
//! the indices.

mod filtered;
pub(super) mod twin;

use std::ops::Range;

use serde_json::json;

use super::{Attrs, Ctx, Cut, Dialect, Info, Kind, tags};
use crate::error::{Error, Result};
use crate::index::Rows;
use crate::path::ElemPath;
use crate::store::{ArrayMeta, WriteStore, array_meta};
use crate::value::{Array, DType, Element, Indices, MinorFilter, Sparse, SparseFormat, check_memory};

/// Stored entries that are looked at in one step where columns of a CSR (or rows of a CSC) are selected: bounds the
/// memory of a pass over a whole matrix.
const BLOCK: usize = 4 << 20;

/// The parts of a matrix and what their metadata say.
struct Parts {
    format: SparseFormat,
    shape: [usize; 2],
    data: ElemPath,
    indices: ElemPath,
    indptr: ElemPath,
    data_meta: ArrayMeta,
    indices_meta: ArrayMeta,
    nnz: usize,
}

impl Parts {
    fn of(ctx: &Ctx<'_>) -> Result<Self> {
        let format =
            if ctx.node.text("encoding-type") == Some("csc_matrix") { SparseFormat::Csc } else { SparseFormat::Csr };
        let shape: Option<[usize; 2]> = ctx.node.attrs.get("shape").and_then(|s| match &s.as_array()?[..] {
            // Lengths beyond what memory can index are damage, and would overflow in arithmetic on positions.
            [r, c] => Some([r.as_i64()?.try_into().ok()?, c.as_i64()?.try_into().ok()?]),
            _ => None,
        });
        let shape = shape.ok_or_else(|| ctx.malformed("the attribute `shape` is missing or not two lengths"))?;
        let [data, indices, indptr] = ["data", "indices", "indptr"].map(|name| ctx.at.child(name));
        let measured = |at: &ElemPath| -> Result<(ArrayMeta, usize)> {
            let meta = array_meta(ctx.store, at)?;
            match meta.shape[..] {
                [n] => Ok((meta, n)),
                ref other => Err(ctx.malformed(format!("`{}` has shape {other:?}", at.name()))),
            }
        };
        let (data_meta, n_data) = measured(&data)?;
        let (indices_meta, n_indices) = measured(&indices)?;
        let (_, n_indptr) = measured(&indptr)?;
        if n_data != n_indices {
            return Err(ctx.malformed(format!("{n_data} values for {n_indices} indices")));
        }
        if Some(n_indptr) != shape[format.major()].checked_add(1) {
            return Err(
                ctx.malformed(format!("indptr has {n_indptr} entries for an axis of {}", shape[format.major()]))
            );
        }
        Ok(Self { format, shape, data, indices, indptr, data_meta, indices_meta, nnz: n_data })
    }

    /// Length of the axis that is not compressed.
    fn minor(&self) -> usize {
        self.shape[1 - self.format.major()]
    }

    /// Where the entries of each major row of `rows` lie.
    fn spans(&self, ctx: &Ctx<'_>, rows: &Rows) -> Result<Vec<Range<usize>>> {
        // One entry more than there are rows of each run.
        let ends = Rows::spans(rows.runs().map(|run| run.start..run.end + 1));
        let ends = read_positions(ctx, &self.indptr, &ends)?;
        let (mut spans, mut rest) = (Vec::with_capacity(rows.len()), &ends[..]);
        for run in rows.runs() {
            let (of_run, after) = rest.split_at_checked(run.len() + 1).unwrap_or_default();
            spans.extend(of_run.windows(2).map(|pair| pair[0]..pair[1]));
            rest = after;
        }
        if spans.is_empty() && self.shape[self.format.major()] == 0 && self.nnz > 0 {
            return Err(ctx.malformed(format!("{} values are stored, but there is no place for any", self.nnz)));
        }
        self.check_spans(ctx, rows, &spans)?;
        Ok(spans)
    }

    /// Checks what these spans show of indptr: it ascends, from 0 to the number of stored values.
    fn check_spans(&self, ctx: &Ctx<'_>, rows: &Rows, spans: &[Range<usize>]) -> Result<()> {
        let last = self.shape[self.format.major()].saturating_sub(1);
        let mut seen: Vec<(usize, &Range<usize>)> = rows.iter().zip(spans).collect();
        // At once, where they are in order.
        seen.sort_by_key(|&(row, _)| row);
        let mut reached = 0;
        let mut before = None;
        for (row, span) in seen {
            let again = before == Some(row);
            let begins = if row == 0 { span.start == 0 } else { span.start >= reached || again };
            let ends = if row == last { span.end == self.nnz } else { span.end <= self.nnz };
            if !begins || !ends || span.start > span.end {
                return Err(ctx.malformed(format!("indptr says {span:?}, but {} values are stored", self.nnz)));
            }
            (reached, before) = (span.end, Some(row));
        }
        Ok(())
    }
}

pub(super) fn describe(ctx: &Ctx<'_>) -> Result<Info> {
    let Parts { shape, data_meta, nnz, .. } = Parts::of(ctx)?;
    let dtype = data_meta.dtype.map_or(data_meta.stored, |d| d.to_string());
    let info = ctx.info(Kind::Sparse, shape.to_vec(), Some(dtype));
    Ok(Info { chunks: data_meta.chunks, stored: Some(nnz), ..info })
}

pub(super) fn decode(ctx: &Ctx<'_>, cut: Cut<'_>) -> Result<Element> {
    decode_in_blocks(ctx, cut, BLOCK).map(Element::Sparse)
}

pub(super) fn decode_in_blocks(ctx: &Ctx<'_>, cut: Cut<'_>, block: usize) -> Result<Sparse> {
    let parts = Parts::of(ctx)?;
    let axes = Rows::of_cut(&parts.shape, cut);
    for (i, (rows, len)) in axes.iter().zip(parts.shape).enumerate() {
        if let Some(max) = rows.max().filter(|&m| m >= len) {
            return Err(Error::Selection {
                at: ctx.place(),
                axis: format!("number {i}"),
                why: format!("position {max} is out of bounds for an axis of {len}"),
            });
        }
    }
    let (major, minor) = (&axes[parts.format.major()], &axes[1 - parts.format.major()]);
    let spans = parts.spans(ctx, major)?;
    let shape = [axes[0].len(), axes[1].len()];
    match MinorFilter::new(minor, parts.minor()) {
        MinorFilter::Keep => whole(ctx, &parts, shape, &spans),
        filter => filtered::read(ctx, &parts, (major, minor), &spans, &filter, block),
    }
}

/// Everything stored in these spans.
fn whole(ctx: &Ctx<'_>, parts: &Parts, shape: [usize; 2], spans: &[Range<usize>]) -> Result<Sparse> {
    let total = spans.iter().fold(0_usize, |n, span| n.saturating_add(span.len()));
    check_memory(DType::U64, &[total]).map_err(|what| ctx.malformed(what))?;
    let entries = [Rows::spans(spans.iter().cloned())];
    let indices = read_indices(ctx, &parts.indices, &entries)?;
    let data = ctx.store.read(&parts.data, &entries)?;
    let indptr = indptr(spans.iter().map(ExactSizeIterator::len));
    Sparse::new(parts.format, shape, data, indices, indptr).map_err(|what| ctx.malformed(what))
}

/// Where rows begin that have so many entries each.
fn indptr(counts: impl Iterator<Item = usize>) -> Vec<u64> {
    let ends = counts.scan(0, |end, n| {
        *end += n as u64;
        Some(*end)
    });
    std::iter::once(0).chain(ends).collect()
}

/// Indices as they are stored.
fn read_indices(ctx: &Ctx<'_>, at: &ElemPath, rows: &[Rows]) -> Result<Indices> {
    let array = ctx.store.read(at, rows)?;
    Indices::try_from(array).map_err(|what| ctx.malformed(format!("`{}`: {what}", at.name())))
}

/// Integers of a part as positions; negative ones are damage.
fn read_positions(ctx: &Ctx<'_>, at: &ElemPath, rows: &Rows) -> Result<Vec<usize>> {
    let array = ctx.store.read(at, std::slice::from_ref(rows))?;
    let bad = || ctx.malformed(format!("`{}` holds {} values that are no positions", at.name(), array.dtype()));
    let ints = array.to_i64().ok_or_else(bad)?;
    ints.into_iter().map(|x| usize::try_from(x).map_err(|_| bad())).collect()
}

pub(super) fn encode(store: &dyn WriteStore, at: &ElemPath, matrix: &Sparse, dialect: &Dialect) -> Result<()> {
    let attrs = Attrs::from_iter([("shape".to_owned(), json!(matrix.shape()))]);
    store.create_group(at, &tags(attrs, matrix.format().name(), "0.1.0"))?;
    let [indices, indptr] = matrix.stored_indices();
    // The parts carry no tags, and in HDF5 they can grow (format, 2.3).
    let part = |name: &str, data: &Array| store.create_array(&at.child(name), data, dialect.style(true), &Attrs::new());
    part("data", matrix.data())?;
    part("indices", &indices)?;
    part("indptr", &indptr)
}
