//! [`Direct`]: reading arrays of numbers. A chunk that is wanted as it lies is decoded straight to its place in the result; another
//! one is decoded once, and its runs are copied. Of chunks that are stored as they are, only the bytes wanted are read.
//!
//! The result is cut into bands, one for each row of chunks, so that threads do not wait for each other. Chunks of which a part is
//! wanted are remembered for the next request; those that are wanted whole are not, for whoever streams does not come back. At first
//! a chunk is decoded (and remembered) as far as it is wanted, if its codec can stop there; whoever asks for more gets it whole.

use std::sync::Arc;

use parking_lot::Mutex;

use super::array::{OpenArray, Reading, each_chunk, misfit, packed, position};
use super::cut::Cut;
use super::source::{Fault, Spot};
use super::watch::FileId;
use crate::index::{AxisPlan, ChunkPart, Run};
use crate::value::{Band, Scatter};

/// Rows of a chunk that is stored as it is with fewer bytes between them are read together: one longer read is cheaper than two.
pub(super) const GAP_BYTES: usize = 16 << 10;
/// Bytes of such a chunk that are read at a time, and pieces of it.
pub(super) const BATCH_BYTES: usize = 1 << 20;
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
        let bands = match plans.first_mut().and_then(stretches) {
            Some(lens) => out.bands(&lens),
            None => out.whole().map(|whole| vec![whole]),
        };
        let bands: Vec<Mutex<Band<'_>>> = bands.ok_or_else(misfit)?.into_iter().map(Mutex::new).collect();
        each_chunk(&plans, |scratch, wish| {
            let number = plans.first().map_or(0, |plan| plan.parts.partition_point(|p| p.chunk < wish[0].chunk));
            let band = bands.get(number).or(bands.first()).ok_or_else(misfit)?;
            self.read_chunk(band, scratch, wish)
        })
    }

    fn read_chunk(&self, band: &Mutex<Band<'_>>, scratch: &mut Vec<u8>, wish: &[&ChunkPart]) -> Result<(), Fault> {
        let (Reading { source, at, cache }, codec) = (self.from, &self.array.codec);
        let chunk = position(wish);
        let Some(mut spot) = self.array.spot(self.from, &chunk)? else { return self.fill(band, wish) };
        let mut wanted = self.wanted(wish);
        if let Some(known) = cache.and_then(|cache| cache.get(at, &chunk)) {
            spot.file = known.file;
            if wanted <= known.bytes.len() {
                source.check_chunk(at, &mut spot)?;
                return self.put(band, &known.bytes, wish);
            }
            // Whoever comes back for more will come again.
            wanted = codec.chunk_bytes();
        }
        if codec.is_raw() {
            if !self.read_raw(band, scratch, wish, &mut spot)? {
                return self.fill(band, wish);
            }
            source.meter.chunk();
            return Ok(());
        }
        let Some(bytes) = self.array.fetch(self.from, &mut spot)? else { return self.fill(band, wish) };
        if self.is_all_of(band, wish) {
            return codec.decode_into(bytes, band.lock().bytes());
        }
        if self.is_whole(wish) {
            codec.decode_to(bytes, wanted, scratch)?;
            return self.put(band, scratch, wish);
        }
        let mut decoded = Decoded { bytes: Vec::new(), file: spot.file };
        codec.decode_to(bytes, wanted, &mut decoded.bytes)?;
        let decoded = Arc::new(decoded);
        if let Some(cache) = cache {
            cache.insert(at, &chunk, decoded.clone());
        }
        self.put(band, &decoded.bytes, wish)
    }

    /// Whether the band is this one chunk, as it lies.
    fn is_all_of(&self, band: &Mutex<Band<'_>>, wish: &[&ChunkPart]) -> bool {
        let as_it_lies = |(part, &len): (&&ChunkPart, &usize)| part.runs == [Run { src: 0, dst: 0, len }];
        wish.iter().zip(&self.array.chunks).all(as_it_lies)
            && band.lock().bytes().len() == self.array.codec.chunk_bytes()
    }

    /// Whether all of a chunk is wanted that lies within the array.
    fn is_whole(&self, wish: &[&ChunkPart]) -> bool {
        let axes = self.array.shape.iter().zip(&self.array.chunks);
        wish.iter().zip(axes).all(|(part, (&len, &chunk))| {
            let inside = len.saturating_sub(part.chunk * chunk).min(chunk);
            part.runs.iter().map(|run| run.len).sum::<usize>() >= inside
        })
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
    fn put(&self, band: &Mutex<Band<'_>>, chunk: &[u8], wish: &[&ChunkPart]) -> Result<(), Fault> {
        let runs: Vec<&[Run]> = wish.iter().map(|part| &part.runs[..]).collect();
        let mut shape = self.array.chunks.clone();
        shape.iter_mut().take(1).for_each(|rows| *rows = chunk.len() / self.row_bytes());
        put(band, chunk, &shape, &vec![0; runs.len()], &runs)
    }

    /// Fills in for a missing chunk, with no more items than are wanted of it.
    fn fill(&self, band: &Mutex<Band<'_>>, wish: &[&ChunkPart]) -> Result<(), Fault> {
        let item = self.array.codec.fill_bytes();
        // What the result is made of anyway.
        if item.iter().all(|&byte| byte == 0) {
            return Ok(());
        }
        if self.is_all_of(band, wish) {
            band.lock().bytes().chunks_exact_mut(item.len()).for_each(|place| place.copy_from_slice(item));
            return Ok(());
        }
        let (packed, shape) = packed(wish);
        let runs: Vec<&[Run]> = packed.iter().map(Vec::as_slice).collect();
        put(band, &item.repeat(shape.iter().product()), &shape, &vec![0; runs.len()], &runs)
    }

    /// Reads what is wanted of a chunk that is stored as it is. False if there is no such chunk.
    fn read_raw(
        &self,
        band: &Mutex<Band<'_>>,
        scratch: &mut Vec<u8>,
        wish: &[&ChunkPart],
        spot: &mut Spot,
    ) -> Result<bool, Fault> {
        let size = self.array.codec.chunk_bytes();
        let mut read =
            |parts: &mut [(u64, &mut [u8])]| self.from.source.chunk_parts(self.from.at, spot, size as u64, parts);
        if wish.is_empty() || self.is_all_of(band, wish) {
            return read(&mut [(0, band.lock().bytes())]);
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
                let (place, others) = places.split_at_mut(cut.bytes(piece));
                parts.push((cut.start(piece), place));
                places = others;
            }
            if !read(&mut parts)? {
                return Ok(false);
            }
            for (piece, (_, bytes)) in batch.iter().zip(&parts) {
                let (shape, origin, runs) = cut.within(piece);
                put(band, bytes, &shape, &origin, &runs)?;
            }
        }
        Ok(true)
    }
}

fn put(band: &Mutex<Band<'_>>, chunk: &[u8], shape: &[usize], origin: &[usize], runs: &[&[Run]]) -> Result<(), Fault> {
    if band.lock().put_bytes(chunk, shape, origin, runs) { Ok(()) } else { Err(misfit()) }
}

/// If what is wanted of each chunk along an axis goes to a stretch of its own, one behind the other: how long these are. Where the
/// runs go counts from the beginning of their stretch then.
fn stretches(plan: &mut AxisPlan) -> Option<Vec<usize>> {
    let mut start = 0;
    let mut lens = Vec::with_capacity(plan.parts.len());
    for part in &plan.parts {
        let len: usize = part.runs.iter().map(|run| run.len).sum();
        if part.runs.iter().any(|run| run.dst < start || run.dst + run.len > start + len) {
            return None;
        }
        lens.push(len);
        start += len;
    }
    start = 0;
    for (part, len) in plan.parts.iter_mut().zip(&lens) {
        part.runs.iter_mut().for_each(|run| run.dst -= start);
        start += len;
    }
    Some(lens)
}

/// Positions of a chunk that are read together.
#[derive(Debug, PartialEq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) len: usize,
    pub(super) runs: Vec<Run>,
}

/// The runs, in spans that bridge gaps of at most `gap` positions and are at most `most` long.
pub(super) fn spans(runs: &[Run], gap: usize, most: usize) -> Vec<Span> {
    let cut = |run: &Run| {
        let run = *run;
        (0..run.len).step_by(most).map(move |k| Run { src: run.src + k, dst: run.dst + k, len: most.min(run.len - k) })
    };
    let mut runs: Vec<Run> = runs.iter().flat_map(cut).collect();
    runs.sort_unstable_by_key(|run| run.src);
    let mut spans: Vec<Span> = Vec::new();
    for run in runs {
        let end = run.src + run.len;
        match spans.last_mut() {
            Some(span) if run.src <= span.start + span.len + gap && end - span.start <= most => {
                span.len = span.len.max(end - span.start);
                span.runs.push(run);
            }
            _ => spans.push(Span { start: run.src, len: run.len, runs: vec![run] }),
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Rows;

    fn run(src: usize, dst: usize, len: usize) -> Run {
        Run { src, dst, len }
    }

    #[test]
    fn sorted_rows_go_to_stretches_and_others_do_not() {
        let lens = |rows: Rows| stretches(&mut AxisPlan::new(&rows, 10));
        assert_eq!(lens(Rows::span(7, 25)), Some(vec![3, 10, 5]));
        assert_eq!(lens(Rows::picks([9, 1, 1, 12, 30])), Some(vec![3, 1, 1]));
        assert_eq!(lens(Rows::picks([12, 1])), None);
        assert_eq!(lens(Rows::picks([1, 12, 2])), None);
        assert_eq!(lens(Rows::picks([])), Some(vec![]));
        let mut plan = AxisPlan::new(&Rows::span(7, 25), 10);
        stretches(&mut plan);
        assert_eq!(plan.parts[2].runs, [run(0, 0, 5)]);
    }

    #[test]
    fn spans_bridge_gaps_and_stay_short() {
        let joined = spans(&[run(20, 0, 2), run(3, 2, 1), run(5, 3, 2)], 1, 100);
        assert_eq!(joined.iter().map(|s| (s.start, s.len)).collect::<Vec<_>>(), [(3, 4), (20, 2)]);
        assert_eq!(joined[0].runs, [run(3, 2, 1), run(5, 3, 2)]);
        let long = spans(&[run(0, 5, 10)], 3, 4);
        assert_eq!(long.iter().map(|s| s.runs[0]).collect::<Vec<_>>(), [run(0, 5, 4), run(4, 9, 4), run(8, 13, 2)]);
    }
}
