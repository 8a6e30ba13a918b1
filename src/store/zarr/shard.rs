//! Shards: the index that says where the inner chunks of one are ([`ShardIndex`]), and shards that lie inside other codecs and
//! are decoded as a whole ([`Shard`]).

use super::codec::{Codec, index_codec};
use super::dtype::name_of;
use super::item::{Flat, Items};
use super::meta::Sharding;
use super::source::Fault;
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
