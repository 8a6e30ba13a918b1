//! [`OpenArray`]: reading selections of an array, chunk by chunk. Shards are opened here, so that only the inner chunks
//! that are touched are fetched and every byte is counted.

use std::collections::HashMap;
use std::sync::Arc;

use ndarray::ArrayD;
use parking_lot::Mutex;
use rayon::prelude::*;

use super::codec::{Codec, index_codec};
use super::meta::{Keys, Layout, Sharding, name_of};
use super::source::{Fault, Source};
use crate::index::{AxisPlan, ChunkPart, Rows, Run};
use crate::path::ElemPath;
use crate::value::{Array, DType, Item, Scatter, check_memory, with_array};

/// An array ready to be read.
#[derive(Debug)]
pub(super) struct OpenArray {
    pub(super) shape: Vec<usize>,
    dtype: DType,
    /// Lengths of the chunks that are decoded one by one: the inner ones of shards.
    chunks: Vec<usize>,
    keys: Keys,
    codec: Codec,
    shards: Option<Shards>,
    fill: Array,
}

/// Offset and length of every inner chunk of a shard.
type Index = Arc<Vec<(u64, u64)>>;

#[derive(Debug)]
struct Shards {
    /// Inner chunks per shard along each axis.
    counts: Vec<usize>,
    codec: Codec,
    index_bytes: u64,
    at_end: bool,
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
        let item =
            layout.item.ok_or_else(|| Fault::Unsupported(format!("data type {} is not understood", layout.stored)))?;
        let grid = layout.grid.as_ref().map_err(unsupported)?;
        let codecs = layout.codecs.as_ref().map_err(unsupported)?;
        let keys = layout.keys.clone().map_err(Fault::Unsupported)?;
        let sharding = layout.sharding()?;
        let (chunks, codecs) = sharding.as_ref().map_or((grid, codecs), |s| (&s.inner, &s.codecs));
        let codec = Codec::new(codecs, item, &layout.fill, chunks)?;
        let shards = sharding.as_ref().map(|s| Shards::new(s, grid)).transpose()?;
        let (shape, dtype, fill) = (layout.shape.clone(), item.dtype(), codec.fill()?);
        Ok(Self { shape, dtype, chunks: chunks.clone(), keys, codec, shards, fill })
    }

    /// The items selected; `shape` is that of the result.
    pub(super) fn read(&self, source: &Source, at: &ElemPath, rows: &[Rows], shape: &[usize]) -> Result<Array, Fault> {
        check_memory(self.dtype, shape).map_err(Fault::Malformed)?;
        let mut out = Scatter::new(self.dtype, shape);
        let plans = AxisPlan::of_axes(rows, &self.chunks).map_err(Fault::Unsupported)?;
        let skip_fill = is_zero(&self.fill);
        let mut walk = Walk::new(plans.iter().map(|p| p.parts.len()).collect());
        loop {
            let batch = self.batch(source, at, &plans, &mut walk)?;
            if batch.is_empty() {
                return Ok(out.finish());
            }
            let decoded: Vec<(Vec<&ChunkPart>, Option<Array>)> = batch
                .into_par_iter()
                .map(|(parts, spot)| Ok((parts, self.fetch(source, at, spot)?)))
                .collect::<Result<_, Fault>>()?;
            for (parts, chunk) in decoded {
                let fits = match chunk {
                    Some(chunk) => {
                        let runs: Vec<&[Run]> = parts.iter().map(|p| &p.runs[..]).collect();
                        out.put(chunk, &vec![0; runs.len()], &runs)
                    }
                    None => skip_fill || self.put_fill(&mut out, &parts),
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

    fn fetch(&self, source: &Source, at: &ElemPath, spot: Option<Spot>) -> Result<Option<Array>, Fault> {
        let Some(Spot { key, range }) = spot else { return Ok(None) };
        let Some(bytes) = source.chunk(at, &key, range)? else { return Ok(None) };
        source.meter.chunk();
        self.codec.decode(bytes).map(Some)
    }

    /// Fills in for a missing chunk, with no more items than are wanted of it.
    fn put_fill(&self, out: &mut Scatter, parts: &[&ChunkPart]) -> bool {
        let packed: Vec<Vec<Run>> = parts
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
        let runs: Vec<&[Run]> = packed.iter().map(Vec::as_slice).collect();
        let chunk = with_array!(&self.fill, a => repeated(a, &shape));
        chunk.is_some_and(|chunk| out.put(chunk, &vec![0; shape.len()], &runs))
    }
}

/// An array of this shape, all of the one item of `scalar`.
fn repeated<T: Item>(scalar: &ArrayD<T>, shape: &[usize]) -> Option<Array> {
    Array::from_shape_vec(shape, vec![scalar.first()?.clone(); shape.iter().product()])
}

/// Whether all bytes are zero (`-0.0` is not) and all text is empty.
pub(super) fn is_zero(array: &Array) -> bool {
    match array.view::<String>() {
        Some(strings) => strings.iter().all(String::is_empty),
        None => array.to_le_bytes().iter().all(|&b| b == 0),
    }
}

impl Shards {
    fn new(sharding: &Sharding, shard: &[usize]) -> Result<Self, Fault> {
        let counts: Vec<usize> = shard.iter().zip(&sharding.inner).map(|(s, i)| s / i).collect();
        let checked = sharding.index_codecs.iter().any(|c| name_of(c) == Some("crc32c"));
        let entries = counts.iter().product::<usize>() as u64;
        let index_bytes = 16 * entries + if checked { 4 } else { 0 };
        let codec = index_codec(&sharding.index_codecs, &counts)?;
        Ok(Self { counts, codec, index_bytes, at_end: sharding.at_end, seen: Mutex::default() })
    }

    fn find(&self, source: &Source, at: &ElemPath, keys: &Keys, chunk: &[usize]) -> Result<Option<Spot>, Fault> {
        let shard: Vec<usize> = chunk.iter().zip(&self.counts).map(|(c, n)| c / n).collect();
        let key = keys.key(&shard);
        let Some(index) = self.index(source, at, &key, shard)? else { return Ok(None) };
        let inner = chunk.iter().zip(&self.counts).fold(0, |i, (c, n)| i * n + c % n);
        Ok(match index.get(inner) {
            None | Some((u64::MAX, _) | (_, u64::MAX)) => None,
            Some(&range) => Some(Spot { key, range: Some(range) }),
        })
    }

    fn index(&self, source: &Source, at: &ElemPath, key: &str, shard: Vec<usize>) -> Result<Option<Index>, Fault> {
        if let Some(known) = self.seen.lock().get(&shard) {
            return Ok(known.clone());
        }
        let index = match source.chunk_size(at, key)? {
            None => None,
            Some(size) => {
                let start = if self.at_end { size.saturating_sub(self.index_bytes) } else { 0 };
                let bytes = source.chunk(at, key, Some((start, self.index_bytes)))?;
                bytes.map(|b| self.parse(b)).transpose()?
            }
        };
        let mut seen = self.seen.lock();
        if seen.len() >= MAX_INDEXES {
            seen.clear();
        }
        seen.insert(shard, index.clone());
        Ok(index)
    }

    fn parse(&self, bytes: Vec<u8>) -> Result<Index, Fault> {
        let decoded = self.codec.decode(bytes)?;
        let numbers = decoded.view::<u64>().and_then(|a| a.as_slice().map(<[u64]>::to_vec)).unwrap_or_default();
        Ok(Arc::new(numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()))
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
