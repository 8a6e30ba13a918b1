//! `csr_matrix` and `csc_matrix`: a group of `data`, `indices` and `indptr`, read by the spans that a selection needs.

use std::collections::HashMap;

use serde_json::json;

use super::{Attrs, Ctx, Cut, Dialect, Info, Kind, tags};
use crate::error::{Error, Result};
use crate::index::Rows;
use crate::path::ElemPath;
use crate::store::{ArrayMeta, WriteStore, array_meta};
use crate::value::{Array, DType, Element, Indices, MinorFilter, Sparse, SparseFormat, check_memory, with_indices};

/// Stored entries whose indices are looked at in one step when columns of a CSR (or rows of a CSC) are filtered:
/// bounds the memory of a pass over a whole matrix.
const BLOCK: u64 = 4 << 20;

/// The parts of a matrix and what their metadata say.
struct Parts {
    format: SparseFormat,
    shape: [usize; 2],
    data: ElemPath,
    indices: ElemPath,
    indptr: ElemPath,
    data_meta: ArrayMeta,
    nnz: u64,
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
        let data_meta = array_meta(ctx.store, &data)?;
        let length = |at: &ElemPath| -> Result<usize> {
            match array_meta(ctx.store, at)?.shape[..] {
                [n] => Ok(n),
                ref other => Err(ctx.malformed(format!("`{}` has shape {other:?}", at.name()))),
            }
        };
        let (n_data, n_indices, n_indptr) = (length(&data)?, length(&indices)?, length(&indptr)?);
        if n_data != n_indices {
            return Err(ctx.malformed(format!("{n_data} values for {n_indices} indices")));
        }
        if Some(n_indptr) != shape[format.major()].checked_add(1) {
            return Err(
                ctx.malformed(format!("indptr has {n_indptr} entries for an axis of {}", shape[format.major()]))
            );
        }
        Ok(Self { format, shape, data, indices, indptr, data_meta, nnz: n_data as u64 })
    }

    /// Where the entries of each major row of `rows` lie, as `begin..end`.
    fn spans(&self, ctx: &Ctx<'_>, rows: &Rows) -> Result<Vec<std::ops::Range<u64>>> {
        let bounds = match rows {
            Rows::All(n) => read_unsigned(ctx, &self.indptr, &Rows::All(n + 1))?,
            Rows::Range { start, step: 1, len } if *len > 0 => {
                read_unsigned(ctx, &self.indptr, &Rows::span(*start, start + len + 1))?
            }
            scattered => {
                let pairs: Vec<usize> = scattered.iter().flat_map(|i| [i, i + 1]).collect();
                read_unsigned(ctx, &self.indptr, &Rows::picks(pairs))?
            }
        };
        let pairs: Vec<(u64, u64)> = match rows {
            Rows::All(_) | Rows::Range { step: 1, .. } if bounds.len() == rows.len() + 1 => {
                bounds.windows(2).map(|w| (w[0], w[1])).collect()
            }
            _ => bounds.chunks_exact(2).map(|w| (w[0], w[1])).collect(),
        };
        if pairs.is_empty() && self.shape[self.format.major()] == 0 && self.nnz > 0 {
            return Err(ctx.malformed(format!("{} values are stored, but there is no place for any", self.nnz)));
        }
        self.check_spans(ctx, rows, &pairs)?;
        // What lies apart is fetched by the position of each entry.
        let total = pairs.iter().fold(0_u64, |n, (a, b)| n.saturating_add(b - a));
        check_memory(DType::U64, &[usize::try_from(total).unwrap_or(usize::MAX)]).map_err(|e| ctx.malformed(e))?;
        Ok(pairs.into_iter().map(|(a, b)| a..b).collect())
    }

    /// Checks what these spans show of indptr: it ascends, from 0 to the number of stored values.
    fn check_spans(&self, ctx: &Ctx<'_>, rows: &Rows, pairs: &[(u64, u64)]) -> Result<()> {
        let last = self.shape[self.format.major()].saturating_sub(1);
        let mut seen: Vec<(usize, (u64, u64))> = rows.iter().zip(pairs.iter().copied()).collect();
        seen.sort_unstable();
        let mut reached = 0;
        let mut before = None;
        for (row, (a, b)) in seen {
            let again = before == Some(row);
            let begins = if row == 0 { a == 0 } else { a >= reached || again };
            let ends = if row == last { b == self.nnz } else { b <= self.nnz };
            if !begins || !ends || a > b {
                return Err(ctx.malformed(format!("indptr says {a}..{b}, but {} values are stored", self.nnz)));
            }
            (reached, before) = (b, Some(row));
        }
        Ok(())
    }
}

pub(super) fn describe(ctx: &Ctx<'_>) -> Result<Info> {
    let Parts { shape, data_meta, nnz, .. } = Parts::of(ctx)?;
    let dtype = data_meta.dtype.map_or(data_meta.stored, |d| d.to_string());
    let info = ctx.info(Kind::Sparse, shape.to_vec(), Some(dtype));
    Ok(Info { chunks: data_meta.chunks, stored: usize::try_from(nnz).ok(), ..info })
}

pub(super) fn decode(ctx: &Ctx<'_>, cut: Cut<'_>) -> Result<Element> {
    let parts = Parts::of(ctx)?;
    let axes = Rows::of_cut(&parts.shape, cut);
    let axis = |i: usize| axes[i].clone();
    for (i, (rows, len)) in axes.iter().zip(parts.shape).enumerate() {
        if let Some(max) = rows.max().filter(|&m| m >= len) {
            return Err(Error::Selection {
                at: ctx.place(),
                axis: format!("number {i}"),
                why: format!("position {max} is out of bounds for an axis of {len}"),
            });
        }
    }
    let (major, minor) = (axis(parts.format.major()), axis(1 - parts.format.major()));
    let shape = [axis(0).len(), axis(1).len()];
    let spans = parts.spans(ctx, &major)?;
    let minor_len = parts.shape[1 - parts.format.major()];
    let (picks, indices, indptr) = match MinorFilter::new(&minor, minor_len) {
        MinorFilter::Keep => whole(ctx, &parts, &spans)?,
        filter => filtered(ctx, &parts, &minor, &spans, &filter)?,
    };
    let data = ctx.store.read(&parts.data, &[picks])?;
    Sparse::new(parts.format, shape, data, indices, indptr).map(Element::Sparse).map_err(|what| ctx.malformed(what))
}

type Entries = (Rows, Indices, Vec<u64>);

/// Everything stored in these spans: where the values lie, their indices, and the new indptr.
fn whole(ctx: &Ctx<'_>, parts: &Parts, spans: &[std::ops::Range<u64>]) -> Result<Entries> {
    let picks = entries(spans.iter().cloned());
    let indices = read_indices(ctx, &parts.indices, &picks)?;
    let mut indptr = vec![0_u64];
    let mut total = 0;
    for span in spans {
        total += span.end - span.start;
        indptr.push(total);
    }
    Ok((picks, indices, indptr))
}

/// Entry positions of spans in order.
fn entries(spans: impl Iterator<Item = std::ops::Range<u64>>) -> Rows {
    Rows::spans(spans.map(|span| span.start as usize..span.end as usize))
}

/// The entries in these spans whose index passes `filter`. Each span's indices are read once, in blocks; of the data only
/// what is wanted is read later.
fn filtered(
    ctx: &Ctx<'_>,
    parts: &Parts,
    minor: &Rows,
    spans: &[std::ops::Range<u64>],
    filter: &MinorFilter,
) -> Result<Entries> {
    let minor_len = parts.shape[1 - parts.format.major()];
    // A major row asked for twice is looked through once.
    let mut once: Vec<(u64, u64)> = spans.iter().map(|s| (s.start, s.end)).collect();
    once.sort_unstable();
    once.dedup();
    let mut hits: HashMap<u64, (Vec<usize>, Vec<usize>)> = HashMap::new();
    for block in blocks(&once) {
        let found = read_indices(ctx, &parts.indices, &entries(block.iter().map(|&(a, b)| a..b)))?;
        found.check(minor_len).map_err(|what| ctx.malformed(what))?;
        let mut offset = 0;
        for &(a, b) in block.iter().filter(|(a, b)| a < b) {
            let n = (b - a) as usize;
            let (mut picks, mut indices) = (Vec::new(), Vec::new());
            with_indices!(&found, list => filter.scan(&list[offset..offset + n], |i, to| {
                picks.push(a as usize + i);
                indices.push(to);
            }));
            hits.insert(a, (picks, indices));
            offset += n;
        }
    }
    let (mut picks, mut indices, mut indptr) = (Vec::new(), Indices::on_axis(minor.len()), vec![0_u64]);
    for span in spans {
        if let Some((p, i)) = hits.get(&span.start).filter(|_| !span.is_empty()) {
            picks.extend(p);
            i.iter().for_each(|&to| indices.push(to));
        }
        indptr.push(indices.len() as u64);
    }
    Ok((Rows::picks(picks), indices, indptr))
}

/// Groups ascending spans so that a group holds about [`BLOCK`] entries.
fn blocks(spans: &[(u64, u64)]) -> impl Iterator<Item = &[(u64, u64)]> {
    let mut rest = spans;
    std::iter::from_fn(move || {
        let mut total = 0;
        let n = rest
            .iter()
            .take_while(|(a, b)| {
                let room = total < BLOCK;
                total += b - a;
                room
            })
            .count();
        let (block, after) = rest.split_at(n);
        rest = after;
        (!block.is_empty()).then_some(block)
    })
}

/// Indices as they are stored.
fn read_indices(ctx: &Ctx<'_>, at: &ElemPath, rows: &Rows) -> Result<Indices> {
    let array = ctx.store.read(at, std::slice::from_ref(rows))?;
    Indices::try_from(array).map_err(|what| ctx.malformed(format!("`{}`: {what}", at.name())))
}

/// Integers of a part as `u64`; negative ones are damage.
fn read_unsigned(ctx: &Ctx<'_>, at: &ElemPath, rows: &Rows) -> Result<Vec<u64>> {
    let array = ctx.store.read(at, std::slice::from_ref(rows))?;
    let bad = || ctx.malformed(format!("`{}` holds {} values that are no positions", at.name(), array.dtype()));
    match &array {
        Array::U64(a) => Ok(a.iter().copied().collect()),
        ints => ints.to_i64().ok_or_else(bad)?.into_iter().map(|x| u64::try_from(x).map_err(|_| bad())).collect(),
    }
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
