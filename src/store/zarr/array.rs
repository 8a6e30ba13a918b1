//! [`OpenArray`]: reading selections of an array, chunk by chunk, each fetched and decoded once. Numbers go
//! [straight](super::direct) to their places; items of other types become arrays here first.

use ndarray::ArrayD;
use parking_lot::Mutex;
use rayon::prelude::*;

use super::codec::Codec;
use super::direct::{Decoded, Direct};
use super::item::Items;
use super::meta::{Keys, Layout};
use super::shard::{Shards, unravel};
use super::source::{Fault, Source, Spot};
use crate::index::{AxisPlan, ChunkPart, Rows, Run};
use crate::path::ElemPath;
use crate::store::ChunkCache;
use crate::store::spans::packed;
use crate::value::{Array, Item, Scatter, with_array};

/// An array ready to be read.
#[derive(Debug)]
pub(super) struct OpenArray {
    pub(super) shape: Vec<usize>,
    /// Lengths of the chunks that are decoded one by one: the inner ones of shards.
    pub(super) chunks: Vec<usize>,
    pub(super) keys: Keys,
    pub(super) codec: Codec,
    shards: Option<Shards>,
}

impl OpenArray {
    pub(super) fn new(layout: &Layout) -> Result<Self, Fault> {
        let unsupported = |what: &String| Fault::Unsupported(what.clone());
        let items = layout.items.as_ref();
        let items =
            items.ok_or_else(|| Fault::Unsupported(format!("data type {} is not understood", layout.stored)))?;
        let fill = items.fill(&layout.fill).map_err(Fault::Malformed)?;
        let grid = layout.grid.as_ref().map_err(unsupported)?;
        let codecs = layout.codecs.as_ref().map_err(unsupported)?;
        let keys = layout.keys.clone().map_err(Fault::Unsupported)?;
        let sharding = layout.sharding()?;
        let (chunks, codecs) = sharding.as_ref().map_or((grid, codecs), |s| (&s.inner, &s.codecs));
        let codec = Codec::new(codecs, items, &fill, chunks)?;
        let shards = sharding.as_ref().map(|s| Shards::new(s, grid)).transpose()?;
        Ok(Self { shape: layout.shape.clone(), chunks: chunks.clone(), keys, codec, shards })
    }

    /// What an item is made of.
    pub(super) fn items(&self) -> &Items {
        &self.codec.items
    }

    /// These fields of the items selected; `shape` is that of the result, but for axes that a field has of its own. (Items
    /// that are not structured have one field.)
    pub(super) fn read(
        &self,
        from: Reading<'_>,
        parts: &[usize],
        rows: &[Rows],
        shape: &[usize],
    ) -> Result<Vec<Array>, Fault> {
        let field = |&part: &usize| Field::new(self.items(), part, shape, self.codec.fill(part)?);
        let mut fields = parts.iter().map(field).collect::<Result<Vec<Field>, Fault>>()?;
        let plans = AxisPlan::of_axes(rows, &self.chunks).map_err(Fault::Unsupported)?;
        match &mut fields[..] {
            [field] if self.codec.is_direct() && field.out.takes_bytes() => {
                Direct::new(self, from).read(plans, &mut field.out)?;
            }
            _ => self.read_typed(from, parts, &plans, &mut fields)?,
        }
        Ok(fields.into_iter().map(|f| f.out.finish()).collect())
    }

    /// Reads items of any type: chunks become arrays, and these are put in their places.
    fn read_typed(
        &self,
        from: Reading<'_>,
        parts: &[usize],
        plans: &[AxisPlan],
        fields: &mut [Field],
    ) -> Result<(), Fault> {
        let fields = Mutex::new(fields);
        each_chunk(plans, |(), wish| {
            let chunk = match self.spot(from, &position(wish))? {
                Some(mut spot) => {
                    self.fetch(from, &mut spot)?.map(|bytes| self.codec.decode(bytes, parts)).transpose()?
                }
                None => None,
            };
            let mut fields = fields.lock();
            let fits = match chunk {
                Some(chunk) => fields.iter_mut().zip(chunk).all(|(field, chunk)| field.put(chunk, wish)),
                None => fields.iter_mut().all(|field| field.put_fill(wish)),
            };
            if fits { Ok(()) } else { Err(misfit()) }
        })
    }

    /// How many files it has along each axis, there or not: chunks, or shards of them.
    pub(super) fn files(&self) -> Vec<usize> {
        let inner = |axis: usize| self.shards.as_ref().map_or(1, |shards| shards.counts()[axis]);
        let axes = self.shape.iter().zip(&self.chunks).enumerate();
        axes.map(|(axis, (n, chunk))| n.div_ceil(chunk * inner(axis))).collect()
    }

    /// Where a chunk is; `None` if it is missing from its shard.
    pub(super) fn spot(&self, from: Reading<'_>, chunk: &[usize]) -> Result<Option<Spot>, Fault> {
        match &self.shards {
            None => Ok(Some(Spot::new(self.keys.key(chunk)))),
            Some(shards) => shards.find(from.source, from.at, &self.keys, chunk),
        }
    }

    /// The stored bytes of a chunk; `None` if there is none.
    pub(super) fn fetch(&self, from: Reading<'_>, spot: &mut Spot) -> Result<Option<Vec<u8>>, Fault> {
        let bytes = from.source.chunk(from.at, spot, self.codec.limit())?;
        bytes.iter().for_each(|_| from.source.meter.chunk());
        Ok(bytes)
    }
}

/// The array that is read, and what has been read of it before.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) source: &'a Source,
    pub(super) at: &'a ElemPath,
    /// `None` for a writer, whose chunks change.
    pub(super) cache: Option<&'a ChunkCache<Decoded>>,
}

/// Calls `read` with what is wanted of each chunk along each axis, on all cores where there are several chunks. At any time there
/// are no more chunks in memory than threads, whatever is selected. Each thread has an `S` for its own use.
pub(super) fn each_chunk<S: Default>(
    plans: &[AxisPlan],
    read: impl Fn(&mut S, &[&ChunkPart]) -> Result<(), Fault> + Sync,
) -> Result<(), Fault> {
    let grid: Vec<usize> = plans.iter().map(|plan| plan.parts.len()).collect();
    let wish = |number: usize| -> Vec<&ChunkPart> {
        unravel(number, &grid).into_iter().zip(plans).map(|(i, plan)| &plan.parts[i]).collect()
    };
    match grid.iter().product() {
        0 => Ok(()),
        // Other threads have nothing to do here.
        1 => read(&mut S::default(), &wish(0)),
        count => (0..count).into_par_iter().try_for_each_init(S::default, |own, number| read(own, &wish(number))),
    }
}

/// The position of a chunk in the grid.
pub(super) fn position(wish: &[&ChunkPart]) -> Vec<usize> {
    wish.iter().map(|part| part.chunk).collect()
}

pub(super) fn misfit() -> Fault {
    Fault::Malformed("a chunk does not fit its place in the array".into())
}

/// A field on its way to the caller.
struct Field {
    out: Scatter,
    /// One item, and whether it is what `out` is made of anyway.
    fill: Array,
    is_zero: bool,
    /// All of the axes that it has of its own.
    own: Vec<Vec<Run>>,
}

impl Field {
    fn new(items: &Items, part: usize, shape: &[usize], fill: Array) -> Result<Self, Fault> {
        let (dtype, whole) = items.typed(part, shape)?;
        let all = |&n: &usize| if n == 0 { Vec::new() } else { vec![Run { src: 0, dst: 0, len: n }] };
        let own = whole[shape.len()..].iter().map(all).collect();
        Ok(Self { out: Scatter::new(dtype, &whole), is_zero: is_zero(&fill), fill, own })
    }

    fn put(&mut self, chunk: Array, wish: &[&ChunkPart]) -> bool {
        let runs: Vec<&[Run]> = wish.iter().map(|p| &p.runs[..]).chain(self.own.iter().map(Vec::as_slice)).collect();
        self.out.put(chunk, &vec![0; runs.len()], &runs)
    }

    /// Fills in for a missing chunk, with no more items than are wanted of it.
    fn put_fill(&mut self, wish: &[&ChunkPart]) -> bool {
        if self.is_zero {
            return true;
        }
        let (packed, shape) = packed(wish);
        let runs: Vec<&[Run]> = packed.iter().chain(&self.own).map(Vec::as_slice).collect();
        let chunk = with_array!(&self.fill, a => repeated(a, &shape));
        chunk.is_some_and(|chunk| self.out.put(chunk, &vec![0; runs.len()], &runs))
    }
}

/// An array of this shape, and behind it that of `item`, whose items are all `item`.
fn repeated<T: Item>(item: &ArrayD<T>, shape: &[usize]) -> Option<Array> {
    let one: Vec<T> = item.iter().cloned().collect();
    let items = std::iter::repeat_n(one, shape.iter().product()).flatten().collect();
    Array::from_shape_vec(&[shape, item.shape()].concat(), items)
}

/// Whether all bytes are zero (`-0.0` is not) and all text is empty.
fn is_zero(array: &Array) -> bool {
    match array {
        Array::Str(a) => a.iter().all(String::is_empty),
        Array::Bytes(a) => a.iter().all(|s| s.0.is_empty()),
        numbers => numbers.to_le_bytes().iter().all(|&b| b == 0),
    }
}
