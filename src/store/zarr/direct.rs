//! [`Direct`]: reading arrays of numbers. A chunk that is wanted as it lies is decoded straight to its place in the result; another
//! one is decoded once, and its runs are copied. Of chunks that are stored as they are, only the rows wanted are read.
//!
//! The result is cut into bands, one for each row of chunks, so that threads do not wait for each other. Chunks of which a part is
//! wanted are remembered for the next request; those that are wanted whole are not, for whoever streams does not come back. At first
//! a chunk is decoded (and remembered) as far as it is wanted, if its codec can stop there; whoever asks for more gets it whole.

use std::sync::Arc;

use parking_lot::MutexGuard;

use super::array::{OpenArray, Reading, each_chunk, misfit, position};
use super::shard::Spot;
use super::source::Fault;
use crate::index::{AxisPlan, ChunkPart, Run};
use crate::store::spans::{BATCH_BYTES, Bands, GAP_BYTES, Place, Span, is_whole, spans};
use crate::value::{Band, Scatter};

/// A reading of an array whose codec is [direct](super::codec::Codec::is_direct).
pub(super) struct Direct<'a> {
    array: &'a OpenArray,
    from: Reading<'a>,
}

impl<'a> Direct<'a> {
    pub(super) fn new(array: &'a OpenArray, from: Reading<'a>) -> Self {
        Self { array, from }
    }

    /// Reads what is planned.
    pub(super) fn read(&self, mut plans: Vec<AxisPlan>, out: &mut Scatter) -> Result<(), Fault> {
        let bands = Bands::new(out, &mut plans).ok_or_else(misfit)?;
        each_chunk(&plans, |scratch, wish| self.read_chunk(bands.place(wish).ok_or_else(misfit)?, scratch, wish))
    }

    fn read_chunk(&self, place: Place<'_, '_>, scratch: &mut Vec<u8>, wish: &[&ChunkPart]) -> Result<(), Fault> {
        let (Reading { source, at, cache }, codec) = (self.from, &self.array.codec);
        let chunk = position(wish);
        let Some(spot) = self.array.spot(self.from, &chunk)? else { return self.fill(place) };
        let mut wanted = self.wanted(wish);
        if let Some(known) = cache.and_then(|cache| cache.get(at, &chunk)) {
            if wanted <= known.len() {
                source.check_chunk(at, &spot.key)?;
                return self.put(place, &known);
            }
            // Whoever comes back for more will come again.
            wanted = codec.chunk_bytes();
        }
        if codec.is_raw() {
            if !self.read_raw(place, scratch, &spot)? {
                return self.fill(place);
            }
            source.meter.chunk();
            return Ok(());
        }
        let Some(bytes) = self.array.fetch(self.from, &spot)? else { return self.fill(place) };
        if let Some(mut band) = self.as_it_lies(place) {
            return codec.decode_into(bytes, band.bytes());
        }
        if is_whole(wish, &self.array.shape, &self.array.chunks) {
            codec.decode_to(bytes, wanted, scratch)?;
            return self.put(place, scratch);
        }
        let mut decoded = Vec::new();
        codec.decode_to(bytes, wanted, &mut decoded)?;
        let decoded = Arc::new(decoded);
        if let Some(cache) = cache {
            cache.insert(at, &chunk, decoded.clone());
        }
        self.put(place, &decoded)
    }

    /// The band, if it is this one chunk, as it lies.
    fn as_it_lies<'b, 'c>(&self, place: Place<'b, 'c>) -> Option<MutexGuard<'c, Band<'b>>> {
        place.as_it_lies(&self.array.chunks, self.array.codec.chunk_bytes())
    }

    /// Bytes of one position on the first axis of a chunk; of a scalar, all.
    fn row_bytes(&self) -> usize {
        self.array.codec.chunk_bytes() / self.array.chunks.first().unwrap_or(&1)
    }

    /// How much of a chunk, from its beginning, holds all that is wanted of it.
    fn wanted(&self, wish: &[&ChunkPart]) -> usize {
        let rows = wish.first().map(|part| part.runs.iter().map(|run| run.src + run.len).max().unwrap_or(0));
        rows.unwrap_or(1) * self.row_bytes()
    }

    /// Copies what is wanted of a decoded chunk, or of its beginning.
    fn put(&self, place: Place<'_, '_>, chunk: &[u8]) -> Result<(), Fault> {
        let (runs, mut shape) = (place.runs(), self.array.chunks.clone());
        shape.iter_mut().take(1).for_each(|rows| *rows = chunk.len() / self.row_bytes());
        place.put(chunk, &shape, &vec![0; runs.len()], &runs).then_some(()).ok_or_else(misfit)
    }

    /// Fills in for a missing chunk.
    fn fill(&self, place: Place<'_, '_>) -> Result<(), Fault> {
        place.fill(self.array.codec.fill_bytes(), &self.array.chunks).then_some(()).ok_or_else(misfit)
    }

    /// Reads what is wanted of a chunk that is stored as it is. False if there is no such chunk.
    fn read_raw(&self, place: Place<'_, '_>, scratch: &mut Vec<u8>, spot: &Spot) -> Result<bool, Fault> {
        let size = self.array.codec.chunk_bytes();
        let read = |parts: &mut [(u64, &mut [u8])]| {
            self.from.source.chunk_parts(self.from.at, &spot.key, spot.range, size as u64, parts)
        };
        if let Some(mut band) = self.as_it_lies(place) {
            return read(&mut [(0, band.bytes())]);
        }
        let (row, runs) = (self.row_bytes(), place.runs());
        let (first, rest) = runs.split_first().ok_or_else(misfit)?;
        let spans = spans(first, GAP_BYTES / row, (BATCH_BYTES / row).max(1));
        let mut to_read = &spans[..];
        while !to_read.is_empty() {
            let mut bytes = 0;
            let fits = |span: &&Span| {
                let room = bytes == 0 || bytes + span.len * row <= BATCH_BYTES;
                bytes += if room { span.len * row } else { 0 };
                room
            };
            let count = to_read.iter().take_while(fits).count();
            let (batch, later) = to_read.split_at(count);
            to_read = later;
            // What a shape claims is not believed before there is a file as large.
            if bytes > scratch.capacity() {
                if !read(&mut [])? {
                    return Ok(false);
                }
                let more = bytes - scratch.len();
                scratch
                    .try_reserve(more)
                    .map_err(|_| Fault::Malformed(format!("{bytes} bytes do not fit into memory")))?;
            }
            scratch.resize(bytes, 0);
            let mut places = &mut scratch[..];
            let mut parts = Vec::with_capacity(count);
            for span in batch {
                let (place, others) = places.split_at_mut(span.len * row);
                parts.push(((span.start * row) as u64, place));
                places = others;
            }
            if !read(&mut parts)? {
                return Ok(false);
            }
            for (span, (_, bytes)) in batch.iter().zip(&parts) {
                let runs: Vec<&[Run]> = std::iter::once(&span.runs[..]).chain(rest.iter().copied()).collect();
                let shape = [&[span.len], &self.array.chunks[1..]].concat();
                let mut origin = vec![0; runs.len()];
                origin[0] = span.start;
                place.put(bytes, &shape, &origin, &runs).then_some(()).ok_or_else(misfit)?;
            }
        }
        Ok(true)
    }
}
