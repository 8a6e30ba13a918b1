//! Shards: the index that says where the inner chunks of one are ([`ShardIndex`]), the shards of an array, so that only inner
//! chunks that are touched are fetched ([`Shards`]), and shards that lie inside other codecs and are decoded as a whole
//! ([`Shard`]).

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::codec::{Codec, index_codec};
use super::dtype::name_of;
use super::item::{Flat, Items};
use super::meta::{Keys, Sharding};
use super::source::{Fault, Source, Spot};
use super::watch::FileId;
use crate::path::ElemPath;
use crate::value::Array;

/// How the index of a shard is stored.
#[derive(Debug)]
pub(super) struct ShardIndex {
    /// Inner chunks per shard along each axis.
    pub(super) counts: Vec<usize>,
    codec: Codec,
    /// Its length, and whether it is at the end of the shard.
    pub(super) bytes: u64,
    pub(super) at_end: bool,
}

impl ShardIndex {
    pub(super) fn new(sharding: &Sharding, shard: &[usize]) -> Result<Self, Fault> {
        let counts: Vec<usize> = shard.iter().zip(&sharding.inner).map(|(s, i)| s / i).collect();
        let checked = sharding.index_codecs.iter().any(|c| name_of(c) == Some("crc32c"));
        let entries = counts.iter().product::<usize>() as u64;
        let bytes = 16 * entries + if checked { 4 } else { 0 };
        let codec = index_codec(&sharding.index_codecs, &counts)?;
        Ok(Self { counts, codec, bytes, at_end: sharding.at_end })
    }

    /// Offset and length of every inner chunk, in C order.
    pub(super) fn parse(&self, bytes: Vec<u8>) -> Result<Vec<(u64, u64)>, Fault> {
        let decoded = self.codec.decode(bytes, &[0])?;
        let numbers = decoded.first().and_then(Array::view::<u64>).and_then(|a| a.as_slice()).unwrap_or_default();
        Ok(numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
    }
}

/// Shard indexes remembered per array.
const MAX_INDEXES: usize = 4096;

/// Offset and length of every inner chunk of a shard, and the file that says so.
#[derive(Debug)]
struct Known {
    ranges: Vec<(u64, u64)>,
    file: Option<FileId>,
}

/// The shards of an array.
#[derive(Debug)]
pub(super) struct Shards {
    index: ShardIndex,
    seen: Mutex<HashMap<Vec<usize>, Arc<Known>>>,
}

impl Shards {
    pub(super) fn new(sharding: &Sharding, shard: &[usize]) -> Result<Self, Fault> {
        Ok(Self { index: ShardIndex::new(sharding, shard)?, seen: Mutex::default() })
    }

    /// Inner chunks per shard along each axis.
    pub(super) fn counts(&self) -> &[usize] {
        &self.index.counts
    }

    /// Where inner chunk `chunk` of the array `at` is; `None` if it does not exist.
    pub(super) fn find(
        &self,
        source: &Source,
        at: &ElemPath,
        keys: &Keys,
        chunk: &[usize],
    ) -> Result<Option<Spot>, Fault> {
        let shard: Vec<usize> = chunk.iter().zip(&self.index.counts).map(|(c, n)| c / n).collect();
        let mut spot = Spot::new(keys.key(&shard));
        let Some(known) = self.index_of(source, at, &mut spot, shard)? else { return Ok(None) };
        spot.file = known.file;
        let inner = chunk.iter().zip(&self.index.counts).fold(0, |i, (c, n)| i * n + c % n);
        match known.ranges.get(inner) {
            None | Some((u64::MAX, _) | (_, u64::MAX)) => {
                source.check_chunk(at, &mut spot)?;
                Ok(None)
            }
            Some(&range) => Ok(Some(Spot { range: Some(range), ..spot })),
        }
    }

    /// The index of a shard; `None` for one that does not exist, which is not remembered, since nothing would tell that it has
    /// come. Nobody waits for another's disk: those who want a new index at the same moment all read it.
    fn index_of(
        &self,
        source: &Source,
        at: &ElemPath,
        spot: &mut Spot,
        shard: Vec<usize>,
    ) -> Result<Option<Arc<Known>>, Fault> {
        if let Some(known) = self.seen.lock().get(&shard) {
            return Ok(Some(known.clone()));
        }
        let Some(size) = source.chunk_size(at, spot)? else { return Ok(None) };
        let start = if self.index.at_end { size.saturating_sub(self.index.bytes) } else { 0 };
        spot.range = Some((start, self.index.bytes));
        let Some(bytes) = source.chunk(at, spot, usize::MAX)? else { return Ok(None) };
        let known = Arc::new(Known { ranges: self.index.parse(bytes)?, file: spot.file });
        let mut seen = self.seen.lock();
        if seen.len() >= MAX_INDEXES {
            seen.clear();
        }
        Ok(Some(seen.entry(shard).or_insert(known).clone()))
    }
}

/// A shard that is not a file of its own, but what another codec gives: decoded whole.
#[derive(Debug)]
pub(super) struct Shard {
    index: ShardIndex,
    codec: Codec,
    /// Lengths of the shard and of an inner chunk.
    shape: Vec<usize>,
    inner: Vec<usize>,
    fill: Flat,
    item: usize,
}

impl Shard {
    pub(super) fn new(sharding: &Sharding, items: &Items, fill: &Flat, shape: &[usize]) -> Result<Self, Fault> {
        let index = ShardIndex::new(sharding, shape)?;
        let codec = Codec::new(&sharding.codecs, items, fill, &sharding.inner)?;
        let (shape, inner) = (shape.to_vec(), sharding.inner.clone());
        Ok(Self { index, codec, shape, inner, fill: fill.clone(), item: items.size })
    }

    pub(super) fn decode(&self, bytes: &[u8]) -> Result<Flat, Fault> {
        let part = |start: u64, len: u64| {
            let (start, len) = (usize::try_from(start).ok()?, usize::try_from(len).ok()?);
            bytes.get(start..start.checked_add(len)?).map(<[u8]>::to_vec)
        };
        let cut = || Fault::Malformed("a shard is cut off, or its index leads out of it".into());
        let end = bytes.len() as u64;
        let start = if self.index.at_end { end.saturating_sub(self.index.bytes) } else { 0 };
        let index = self.index.parse(part(start, self.index.bytes).ok_or_else(cut)?)?;
        let count: usize = self.shape.iter().product();
        let mut out = match &self.fill {
            Flat::Fixed(item) => Flat::Fixed(item.repeat(count)),
            Flat::Loose(item) => Flat::Loose(vec![item.first().cloned().unwrap_or_default(); count]),
        };
        for (number, (start, len)) in index.into_iter().enumerate() {
            if (start, len) == (u64::MAX, u64::MAX) {
                continue;
            }
            let chunk = self.codec.flat(part(start, len).ok_or_else(cut)?)?;
            self.put(&mut out, &chunk, number).ok_or_else(|| {
                Fault::Malformed("a chunk in a shard decodes to another number of items than its shape".into())
            })?;
        }
        Ok(out)
    }

    /// Copies the items of inner chunk `number` to their places; `None` if there are too few.
    fn put(&self, out: &mut Flat, chunk: &Flat, number: usize) -> Option<()> {
        let corner = unravel(number, &self.index.counts);
        for i in 0..self.inner.iter().product() {
            let within = unravel(i, &self.inner);
            let place = self
                .shape
                .iter()
                .enumerate()
                .fold(0, |at, (axis, n)| at * n + corner[axis] * self.inner[axis] + within[axis]);
            match (&mut *out, chunk) {
                (Flat::Fixed(out), Flat::Fixed(chunk)) => {
                    let item = chunk.get(i * self.item..(i + 1) * self.item)?;
                    out.get_mut(place * self.item..(place + 1) * self.item)?.copy_from_slice(item);
                }
                (Flat::Loose(out), Flat::Loose(chunk)) => out.get_mut(place)?.clone_from(chunk.get(i)?),
                _ => return None,
            }
        }
        Some(())
    }
}

/// The position number `number` in C order in a grid of these lengths.
pub(super) fn unravel(mut number: usize, grid: &[usize]) -> Vec<usize> {
    let mut position = vec![0; grid.len()];
    for (p, n) in position.iter_mut().zip(grid).rev() {
        *p = number % n;
        number /= n;
    }
    position
}
