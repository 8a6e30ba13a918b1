//! Reading selections: directly where the items are plain numbers, else through the library, chunk by chunk where there are
//! chunks, in few contiguous spans where there are none.

use std::sync::Arc;

use super::direct::Direct;
use super::ffi::{self, Failure, Filter, Id, Items, Layout, Outcome, Space, Type};
use super::places::Places;
use super::types::{Decoder, Fields, describe};
use crate::index::{AxisPlan, ChunkPart, Rows, Run};
use crate::path::ElemPath;
use crate::store::spans::{GAP_BYTES, spans};
use crate::store::{ChunkCache, Meter, fingerprint};
use crate::value::{Array, DType, Scatter, check_memory};

/// Unchunked datasets are read in blocks of about this many bytes, so that a large read does not hold its data twice.
const BLOCK_BYTES: usize = 8 << 20;

/// Items of so many bytes are read where a part would do.
const FEW_BYTES: usize = 64 << 10;

/// The filter that puts a checksum behind a chunk, and the bytes of it.
const FLETCHER32: i32 = 3;
const CHECKSUM_BYTES: u64 = 4;

/// Why a dataset cannot be read.
#[derive(Debug)]
pub(super) enum Refusal {
    /// This crate does not know how.
    Unsupported(String),
    /// The file is to blame, or the system.
    Failed(Failure),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// What is read of each item.
#[derive(Debug)]
enum Wanted {
    All(Decoder),
    Some(Fields),
}

impl Wanted {
    /// The dtype, and the axes behind those of the dataset, of each result.
    fn results(&self) -> Vec<(DType, &[usize])> {
        match self {
            Self::All(decoder) => vec![(decoder.dtype(), &[])],
            Self::Some(fields) => fields.wanted().iter().map(|f| (f.dtype(), &f.axes[..])).collect(),
        }
    }

    fn read(&self, items: Items<'_>, shape: &[usize]) -> Outcome<Vec<Array>> {
        match self {
            Self::All(decoder) => Ok(vec![decoder.read(items, shape)?]),
            Self::Some(fields) => fields.read(items, shape),
        }
    }
}

/// A dataset open for reading.
#[derive(Debug)]
pub(super) struct Source {
    dataset: Id,
    /// How to read it without the library, if that can be.
    direct: Option<Direct>,
    wanted: Wanted,
    shape: Vec<usize>,
    chunks: Option<Vec<usize>>,
    /// Whether chunks end with a checksum.
    summed: bool,
    /// Stored bytes of one item before filters.
    item_bytes: usize,
}

impl Source {
    /// For reading its items, all of one dtype, of the dataset at `at`.
    pub(super) fn new(dataset: Id, at: &ElemPath, cache: &Arc<ChunkCache>) -> Result<Self, Refusal> {
        let (mut new, layout) = Self::open(dataset, |stored| {
            let words = describe(&stored);
            Decoder::new(stored).map(Wanted::All).ok_or_else(|| format!("the data type is {words}"))
        })?;
        if let Wanted::All(decoder) = &new.wanted
            && let Some(swapped) = decoder.is_swapped(&Type::of_dataset(&new.dataset)?)
        {
            // Where they cannot be found, the library says what is wrong when it reads them.
            let places = Places::new(&new.dataset, &layout, &new.shape, new.item_bytes).unwrap_or_default();
            new.direct = places.map(|places| Direct::new(places, &new.shape, swapped, cache, at));
        }
        Ok(new)
    }

    /// For reading these fields of its items, by number.
    pub(super) fn of_fields(dataset: Id, numbers: &[u32]) -> Result<Self, Refusal> {
        Self::open(dataset, |stored| Fields::new(stored, numbers).map(Wanted::Some)).map(|(source, _)| source)
    }

    fn open(dataset: Id, wanted: impl FnOnce(Type) -> Result<Wanted, String>) -> Result<(Self, Layout), Refusal> {
        let layout = ffi::layout(&dataset)?;
        if let Some(elsewhere) = layout.elsewhere {
            return Err(Refusal::Unsupported(elsewhere.to_owned()));
        }
        if let Some(unknown) = layout.filters.iter().find(|f| !f.is_known()) {
            return Err(Refusal::Unsupported(unknown_filter(unknown)));
        }
        let stored = Type::of_dataset(&dataset)?;
        let item_bytes = stored.size();
        let wanted = wanted(stored).map_err(Refusal::Unsupported)?;
        let Some(shape) = Space::of_dataset(&dataset)?.shape()? else {
            return Err(Refusal::Unsupported("it has no value (null dataspace)".to_owned()));
        };
        let (chunks, summed) = (layout.chunks.clone(), layout.filters.iter().any(|filter| filter.id == FLETCHER32));
        Ok((Self { dataset, direct: None, wanted, shape, chunks, summed, item_bytes }, layout))
    }

    /// How many places of chunks it keeps, if it is read without the library.
    pub(super) fn places(&self) -> Option<usize> {
        self.direct.as_ref().map(Direct::places)
    }

    /// Of all that is stored; where that is cannot be told, of the items, if these are few.
    pub(super) fn fingerprint(&self, meter: &Meter) -> Outcome<Option<u32>> {
        if let Some(direct) = &self.direct {
            return direct.fingerprint(meter).map(Some);
        }
        let bytes = self.shape.iter().try_fold(self.item_bytes, |n, &k| n.checked_mul(k));
        if bytes.is_none_or(|bytes| bytes > FEW_BYTES) {
            return Ok(None);
        }
        let all: Vec<Rows> = self.shape.iter().map(|&n| Rows::All(n)).collect();
        let items = self.read(&all, &self.shape, meter)?;
        Ok(Some(fingerprint::of_all(items.iter().map(|items| fingerprint::of_piece(0, &items.to_le_bytes())))))
    }

    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Reads the selection, which has been checked against the shape; `cut` is its shape. One result for the whole item, or
    /// one for each field.
    pub(super) fn read(&self, rows: &[Rows], cut: &[usize], meter: &Meter) -> Outcome<Vec<Array>> {
        let out = self.wanted.results().into_iter().map(|(dtype, axes)| {
            let shape = [cut, axes].concat();
            check_memory(dtype, &shape).map_err(Failure::new)?;
            Ok(Scatter::new(dtype, &shape))
        });
        let mut out = out.collect::<Outcome<Vec<_>>>()?;
        match (&self.direct, &self.chunks, &mut out[..]) {
            _ if cut.contains(&0) => {}
            (_, _, []) => {}
            (Some(direct), _, [out]) => direct.read(rows, out, &|at| self.unwritten(at), meter)?,
            (_, Some(chunks), out) => self.read_chunks(rows, chunks, out, meter)?,
            (_, None, out) => self.read_spans(rows, out, meter)?,
        }
        Ok(out.into_iter().map(Scatter::finish).collect())
    }

    /// The bytes of the item at a position that was never written.
    fn unwritten(&self, at: &[usize]) -> Outcome<Vec<u8>> {
        let one = vec![1; at.len()];
        let items = Items::Block { dataset: &self.dataset, start: at, count: &one };
        Ok(self.wanted.read(items, &one)?.iter().flat_map(Array::to_le_bytes).collect())
    }

    /// Fetches every touched chunk once.
    fn read_chunks(&self, rows: &[Rows], chunks: &[usize], out: &mut [Scatter], meter: &Meter) -> Outcome<()> {
        if chunks.len() != rows.len() {
            return Err(Failure::new("chunks of another number of axes than the dataset"));
        }
        let plans = AxisPlan::of_axes(rows, chunks).map_err(Failure::new)?;
        each_combination(&plans, |parts| {
            let corner: Vec<usize> = parts.iter().zip(chunks).map(|(part, &n)| part.chunk * n).collect();
            let stored = ffi::chunk_bytes(&self.dataset, &corner)?;
            if self.summed && (1..CHECKSUM_BYTES).contains(&stored) {
                // The library would take the sum of all that is behind it in memory.
                return Err(Failure::new(format!("a chunk of {stored} bytes cannot end with a checksum")));
            }
            if stored > 0 {
                meter.chunk();
                meter.read(stored);
            }
            let runs: Vec<&[Run]> = parts.iter().map(|part| &part.runs[..]).collect();
            self.fetch(&corner, &runs, out).map(drop)
        })
    }

    /// Reads a dataset that is one block in the file, or a scalar.
    fn read_spans(&self, rows: &[Rows], out: &mut [Scatter], meter: &Meter) -> Outcome<()> {
        let row_bytes = self.shape.iter().skip(1).fold(self.item_bytes, |n, &k| n.saturating_mul(k)).max(1);
        // Axes after the first are one chunk each, the first is cut into blocks.
        let block = (BLOCK_BYTES / row_bytes).max(1);
        let length = |axis: usize| if axis == 0 { block } else { self.shape[axis] };
        let plans: Vec<AxisPlan> = rows.iter().enumerate().map(|(axis, r)| AxisPlan::new(r, length(axis))).collect();
        each_combination(&plans, |parts| {
            let corner: Vec<usize> = parts.iter().enumerate().map(|(axis, p)| p.chunk * length(axis)).collect();
            let Some((first, rest)) = parts.split_first() else {
                return self.fetch_span(&corner, &[], out, meter);
            };
            for span in spans(&first.runs, GAP_BYTES / row_bytes, block) {
                let runs: Vec<&[Run]> =
                    std::iter::once(&span.runs[..]).chain(rest.iter().map(|p| &p.runs[..])).collect();
                self.fetch_span(&corner, &runs, out, meter)?;
            }
            Ok(())
        })
    }

    fn fetch_span(&self, corner: &[usize], runs: &[&[Run]], out: &mut [Scatter], meter: &Meter) -> Outcome<()> {
        let items = self.fetch(corner, runs, out)?;
        meter.chunk();
        meter.read((items * self.item_bytes) as u64);
        Ok(())
    }

    /// Reads the smallest block that holds all runs (counted from `corner`) and puts them in their places. Gives the
    /// number of items read.
    fn fetch(&self, corner: &[usize], runs: &[&[Run]], out: &mut [Scatter]) -> Outcome<usize> {
        let bounds: Vec<(usize, usize)> = runs.iter().map(|runs| bounds(runs)).collect();
        let origin: Vec<usize> = bounds.iter().map(|&(first, _)| first).collect();
        let start: Vec<usize> = corner.iter().zip(&origin).map(|(a, b)| a + b).collect();
        let count: Vec<usize> = bounds.iter().map(|&(first, end)| end - first).collect();
        let items = match runs {
            [] => Items::Whole(&self.dataset),
            _ => Items::Block { dataset: &self.dataset, start: &start, count: &count },
        };
        for (dtype, axes) in self.wanted.results() {
            check_memory(dtype, &[&count, axes].concat()).map_err(Failure::new)?;
        }
        let parts = self.wanted.read(items, &count)?;
        for ((part, out), (_, axes)) in parts.into_iter().zip(out).zip(self.wanted.results()) {
            // A field's own axes are always wanted whole.
            let whole: Vec<[Run; 1]> = axes.iter().map(|&len| [Run { src: 0, dst: 0, len }]).collect();
            let runs: Vec<&[Run]> = runs.iter().copied().chain(whole.iter().map(|run| &run[..])).collect();
            if !out.put(part, &[&origin[..], &vec![0; axes.len()]].concat(), &runs) {
                return Err(Failure::new("a chunk does not have the shape it should"));
            }
        }
        Ok(count.iter().product())
    }
}

fn bounds(runs: &[Run]) -> (usize, usize) {
    let first = runs.iter().map(|r| r.src).min().unwrap_or(0);
    (first, runs.iter().map(|r| r.src + r.len).max().unwrap_or(first))
}

/// Calls `each` with every combination of one part per axis, the last axis fastest; once if there are no axes.
pub(super) fn each_combination<'a>(
    plans: &'a [AxisPlan],
    mut each: impl FnMut(&[&'a ChunkPart]) -> Outcome<()>,
) -> Outcome<()> {
    fn walk<'a>(
        plans: &'a [AxisPlan],
        chosen: &mut Vec<&'a ChunkPart>,
        each: &mut impl FnMut(&[&'a ChunkPart]) -> Outcome<()>,
    ) -> Outcome<()> {
        let Some((plan, rest)) = plans.split_first() else { return each(chosen) };
        for part in &plan.parts {
            chosen.push(part);
            walk(rest, chosen, each)?;
            chosen.pop();
        }
        Ok(())
    }
    walk(plans, &mut Vec::new(), &mut each)
}

fn unknown_filter(filter: &Filter) -> String {
    let known = match filter.id {
        4 => "szip",
        5 => "n-bit",
        6 => "scale-offset",
        307 => "bzip2",
        32001 => "blosc",
        32004 => "lz4",
        32008 => "bitshuffle",
        32013 => "zfp",
        32015 => "zstd",
        32026 => "blosc2",
        _ if filter.name.is_empty() => "unknown",
        _ => &filter.name,
    };
    format!("it is compressed with HDF5 filter {} ({known}), which is not built in", filter.id)
}
