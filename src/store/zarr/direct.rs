//! [`Direct`]: reading arrays of numbers. A chunk that is wanted as it lies is decoded straight to its place in the result; another
//! one is decoded once, and its runs are copied. Of chunks that are stored as they are, only the bytes wanted are read, but where
//! they lie deflated in an archive.
//!
//! The result is cut into bands, one for each row of chunks, so that threads do not wait for each other. Chunks of which a part is
//! wanted are remembered for the next request; those that are wanted whole are not, for whoever streams does not come back. At first
//! a chunk is decoded (and remembered) as far as it is wanted, if its codec can stop there; whoever asks for more gets it whole.

use std::sync::Arc;

use parking_lot::MutexGuard;

use super::array::{OpenArray, Reading, each_chunk, misfit, position};
use super::cut::Cut;
use super::source::{Fault, Spot};
use super::watch::FileId;
use crate::index::{AxisPlan, ChunkPart};
use crate::store::spans::{BATCH_BYTES, Bands, Place, is_whole};
use crate::value::{Band, Scatter};

/// Pieces of a chunk that is stored as it is that are read at a time.
const BATCH_PIECES: usize = 1 << 12;

/// A chunk that is remembered, or its beginning, and the file that it was in.
#[derive(Debug)]
pub(super) struct Decoded {
    bytes: Vec<u8>,
    file: Option<FileId>,
}

impl AsRef<Vec<u8>> for Decoded {
    fn as_ref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

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
        let Some(mut spot) = self.array.spot(self.from, &chunk)? else { return self.fill(place) };
        let mut wanted = self.wanted(wish);
        if let Some(known) = cache.and_then(|cache| cache.get(at, &chunk)) {
            spot.file = known.file;
            if wanted <= known.bytes.len() {
                source.check_chunk(at, &mut spot)?;
                return self.put(place, &known.bytes);
            }
            // Whoever comes back for more will come again.
            wanted = codec.chunk_bytes();
        }
        // Where an archive has compressed it, it is inflated once, not for every piece.
        if codec.is_raw() && !source.is_packed(at, &spot.key) {
            if !self.read_raw(place, scratch, wish, &mut spot)? {
                return self.fill(place);
            }
            source.meter.chunk();
            return Ok(());
        }
        let Some(bytes) = self.array.fetch(self.from, &mut spot)? else { return self.fill(place) };
        if let Some(mut band) = self.as_it_lies(place) {
            return codec.decode_into(bytes, band.bytes());
        }
        if is_whole(wish, &self.array.shape, &self.array.chunks) {
            codec.decode_to(bytes, wanted, scratch)?;
            return self.put(place, scratch);
        }
        let mut decoded = Decoded { bytes: Vec::new(), file: spot.file };
        codec.decode_to(bytes, wanted, &mut decoded.bytes)?;
        let decoded = Arc::new(decoded);
        if let Some(cache) = cache {
            cache.insert(at, &chunk, decoded.clone());
        }
        self.put(place, &decoded.bytes)
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
    fn read_raw(
        &self,
        place: Place<'_, '_>,
        scratch: &mut Vec<u8>,
        wish: &[&ChunkPart],
        spot: &mut Spot,
    ) -> Result<bool, Fault> {
        let size = self.array.codec.chunk_bytes();
        let mut read =
            |parts: &mut [(u64, &mut [u8])]| self.from.source.chunk_parts(self.from.at, spot, size as u64, parts);
        if let Some(mut band) = self.as_it_lies(place) {
            return read(&mut [(0, band.bytes())]);
        }
        if wish.is_empty() {
            return Err(misfit());
        }
        // What a shape claims is not believed before there is a file as large.
        if !read(&mut [])? {
            return Ok(false);
        }
        let cut = Cut::new(wish, &self.array.chunks, size);
        let mut pieces = cut.pieces().peekable();
        while pieces.peek().is_some() {
            let (mut bytes, mut batch) = (0, Vec::new());
            while let Some(piece) = pieces.next_if(|piece| {
                batch.is_empty() || (bytes + cut.bytes(piece) <= BATCH_BYTES && batch.len() < BATCH_PIECES)
            }) {
                bytes += cut.bytes(&piece);
                batch.push(piece);
            }
            let more = bytes.saturating_sub(scratch.len());
            scratch.try_reserve(more).map_err(|_| Fault::Malformed(format!("{bytes} bytes do not fit into memory")))?;
            scratch.resize(bytes.max(scratch.len()), 0);
            let mut places = &mut scratch[..];
            let mut parts = Vec::with_capacity(batch.len());
            for piece in &batch {
                let (room, others) = places.split_at_mut(cut.bytes(piece));
                parts.push((cut.start(piece), room));
                places = others;
            }
            if !read(&mut parts)? {
                return Ok(false);
            }
            for (piece, (_, bytes)) in batch.iter().zip(&parts) {
                let (shape, origin, runs) = cut.within(piece);
                place.put(bytes, &shape, &origin, &runs).then_some(()).ok_or_else(misfit)?;
            }
        }
        Ok(true)
    }
}
