//! [`OpenArray`]: reading selections of an array, chunk by chunk. Shards are opened here, so that only the inner chunks
//! that are touched are fetched and every byte is counted.

use std::collections::HashMap;
use std::sync::Arc;

use ndarray::ArrayD;
use parking_lot::Mutex;
use rayon::prelude::*;

use super::codec::Codec;
use super::item::Items;
use super::meta::{Keys, Layout, Sharding};
use super::shard::ShardIndex;
use super::source::{Fault, Source};
use crate::index::{AxisPlan, ChunkPart, Rows, Run};
use crate::path::ElemPath;
use crate::value::{Array, Item, Scatter, with_array};

/// An array ready to be read.
#[derive(Debug)]
pub(super) struct OpenArray {
    pub(super) shape: Vec<usize>,
    /// Lengths of the chunks that are decoded one by one: the inner ones of shards.
    chunks: Vec<usize>,
    keys: Keys,
    codec: Codec,
    shards: Option<Shards>,
}

/// Offset and length of every inner chunk of a shard.
type Index = Arc<Vec<(u64, u64)>>;

#[derive(Debug)]
struct Shards {
    index: ShardIndex,
    /// Indexes already read; `None` for shards that do not exist.
    seen: Mutex<HashMap<Vec<usize>, Option<Index>>>,
}

/// Where the bytes of a chunk are.
struct Spot {
    key: String,
    range: Option<(u64, u64)>,
}

/// What is wanted of one chunk along each axis, and where the chunk is; `None` if it is missing from its shard.
type Wish<'a> = (Vec<&'a ChunkPart>, Option<Spot>);

/// Shard indexes remembered per array.
const MAX_INDEXES: usize = 4096;
/// Chunks decoded at a time, per thread: enough to keep all threads busy, few enough to bound memory.
const BATCH: usize = 4;

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
        source: &Source,
        at: &ElemPath,
        parts: &[usize],
        rows: &[Rows],
        shape: &[usize],
    ) -> Result<Vec<Array>, Fault> {
        let field = |&part: &usize| Field::new(self.items(), part, shape, self.codec.fill(part)?);
        let mut fields = parts.iter().map(field).collect::<Result<Vec<Field>, Fault>>()?;
        let plans = AxisPlan::of_axes(rows, &self.chunks).map_err(Fault::Unsupported)?;
        let mut walk = Walk::new(plans.iter().map(|p| p.parts.len()).collect());
        loop {
            let batch = self.batch(source, at, &plans, &mut walk)?;
            if batch.is_empty() {
                return Ok(fields.into_iter().map(|f| f.out.finish()).collect());
            }
            let decoded: Vec<(Vec<&ChunkPart>, Option<Vec<Array>>)> = batch
                .into_par_iter()
                .map(|(wish, spot)| Ok((wish, self.fetch(source, at, spot, parts)?)))
                .collect::<Result<_, Fault>>()?;
            for (wish, chunk) in decoded {
                let fits = match chunk {
                    Some(chunk) => fields.iter_mut().zip(chunk).all(|(field, chunk)| field.put(chunk, &wish)),
                    None => fields.iter_mut().all(|field| field.put_fill(&wish)),
                };
                if !fits {
                    return Err(Fault::Malformed("a chunk does not fit its place in the array".into()));
                }
            }
        }
    }

    /// The next chunks to decode, with what is wanted of each and where it is.
    fn batch<'a>(
        &self,
        source: &Source,
        at: &ElemPath,
        plans: &'a [AxisPlan],
        walk: &mut Walk,
    ) -> Result<Vec<Wish<'a>>, Fault> {
        let mut batch = Vec::new();
        for step in walk.take(BATCH * rayon::current_num_threads()) {
            let parts: Vec<&ChunkPart> = step.iter().zip(plans).map(|(&i, plan)| &plan.parts[i]).collect();
            let chunk: Vec<usize> = parts.iter().map(|p| p.chunk).collect();
            // Found one after the other, so that the index of a shard is read once.
            let spot = match &self.shards {
                None => Some(Spot { key: self.keys.key(&chunk), range: None }),
                Some(shards) => shards.find(source, at, &self.keys, &chunk)?,
            };
            batch.push((parts, spot));
        }
        Ok(batch)
    }

    fn fetch(
        &self,
        source: &Source,
        at: &ElemPath,
        spot: Option<Spot>,
        parts: &[usize],
    ) -> Result<Option<Vec<Array>>, Fault> {
        let Some(Spot { key, range }) = spot else { return Ok(None) };
        let Some(bytes) = source.chunk(at, &key, range, self.codec.limit())? else { return Ok(None) };
        source.meter.chunk();
        self.codec.decode(bytes, parts).map(Some)
    }
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
        let packed: Vec<Vec<Run>> = wish
            .iter()
            .map(|part| {
                let mut src = 0;
                let pack = |run: &Run| {
                    src += run.len;
                    Run { src: src - run.len, ..*run }
                };
                part.runs.iter().map(pack).collect()
            })
            .collect();
        let shape: Vec<usize> = packed.iter().map(|runs| runs.iter().map(|r| r.len).sum()).collect();
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

impl Shards {
    fn new(sharding: &Sharding, shard: &[usize]) -> Result<Self, Fault> {
        Ok(Self { index: ShardIndex::new(sharding, shard)?, seen: Mutex::default() })
    }

    fn find(&self, source: &Source, at: &ElemPath, keys: &Keys, chunk: &[usize]) -> Result<Option<Spot>, Fault> {
        let shard: Vec<usize> = chunk.iter().zip(&self.index.counts).map(|(c, n)| c / n).collect();
        let key = keys.key(&shard);
        let Some(index) = self.index_of(source, at, &key, shard)? else { return Ok(None) };
        let inner = chunk.iter().zip(&self.index.counts).fold(0, |i, (c, n)| i * n + c % n);
        Ok(match index.get(inner) {
            None | Some((u64::MAX, _) | (_, u64::MAX)) => None,
            Some(&range) => Some(Spot { key, range: Some(range) }),
        })
    }

    fn index_of(&self, source: &Source, at: &ElemPath, key: &str, shard: Vec<usize>) -> Result<Option<Index>, Fault> {
        if let Some(known) = self.seen.lock().get(&shard) {
            return Ok(known.clone());
        }
        let index = match source.chunk_size(at, key)? {
            None => None,
            Some(size) => {
                let start = if self.index.at_end { size.saturating_sub(self.index.bytes) } else { 0 };
                let bytes = source.chunk(at, key, Some((start, self.index.bytes)), usize::MAX)?;
                bytes.map(|b| self.index.parse(b).map(Arc::new)).transpose()?
            }
        };
        let mut seen = self.seen.lock();
        if seen.len() >= MAX_INDEXES {
            seen.clear();
        }
        seen.insert(shard, index.clone());
        Ok(index)
    }
}

/// Steps through all combinations of positions below the given lengths, the last one fastest.
struct Walk {
    lens: Vec<usize>,
    next: Option<Vec<usize>>,
}

impl Walk {
    fn new(lens: Vec<usize>) -> Self {
        let next = (!lens.contains(&0)).then(|| vec![0; lens.len()]);
        Self { lens, next }
    }

    fn take(&mut self, count: usize) -> Vec<Vec<usize>> {
        self.by_ref_iter().take(count).collect()
    }

    fn by_ref_iter(&mut self) -> impl Iterator<Item = Vec<usize>> + '_ {
        std::iter::from_fn(move || {
            let now = self.next.take()?;
            let mut after = now.clone();
            for axis in (0..after.len()).rev() {
                after[axis] += 1;
                if after[axis] < self.lens[axis] {
                    self.next = Some(after);
                    break;
                }
                after[axis] = 0;
            }
            Some(now)
        })
    }
}
