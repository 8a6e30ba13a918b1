//! What all who read chunks without a library share: which positions of a chunk are read together ([`spans`]), and how what is
//! read gets to its places ([`Bands`]).

use parking_lot::{Mutex, MutexGuard};

use crate::index::{AxisPlan, ChunkPart, Run};
use crate::value::{Band, Scatter};

/// Wanted bytes with fewer between them are read together: one longer read is cheaper than two.
pub(super) const GAP_BYTES: usize = 16 << 10;
/// Bytes of a chunk that is stored as it is that are read at a time, where they do not go straight to their places.
pub(super) const BATCH_BYTES: usize = 1 << 20;

/// Positions of a chunk that are read together.
#[derive(Debug, PartialEq)]
pub(super) struct Span {
    pub start: usize,
    pub len: usize,
    pub runs: Vec<Run>,
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

/// A result that several threads fill: cut into bands, one for each row of chunks, so that they do not wait for each other.
/// Where rows of chunks do not go to stretches of their own, one behind the other, it is one band.
pub(super) struct Bands<'a> {
    bands: Vec<Mutex<Band<'a>>>,
    /// The chunks along the first axis that bands are for; none where there is one band for all.
    chunks: Vec<usize>,
}

impl<'a> Bands<'a> {
    /// For what is planned. From now on it counts from the beginning of its band where a run along the first axis goes. `None`
    /// if the result is not of plain numbers, or of another shape.
    pub(super) fn new(out: &'a mut Scatter, plans: &mut [AxisPlan]) -> Option<Self> {
        let cut = plans.first_mut().and_then(|plan| Some((stretches(plan)?, plan)));
        let (bands, chunks) = match cut {
            Some((lens, plan)) => (out.bands(&lens)?, plan.parts.iter().map(|part| part.chunk).collect()),
            None => (vec![out.whole()?], Vec::new()),
        };
        Some(Self { bands: bands.into_iter().map(Mutex::new).collect(), chunks })
    }

    /// Where what is wanted of a chunk goes.
    pub(super) fn place<'b>(&'b self, wish: &'b [&'b ChunkPart]) -> Option<Place<'a, 'b>> {
        let row = wish.first().map_or(0, |part| self.chunks.partition_point(|&chunk| chunk < part.chunk));
        self.bands.get(row).map(|band| Place { band, wish })
    }
}

/// If what is wanted of each chunk along an axis goes to a stretch of its own, one behind the other: how long these are. Where the
/// runs go counts from the beginning of their stretch then.
fn stretches(plan: &mut AxisPlan) -> Option<Vec<usize>> {
    let mut start = 0;
    let mut lens = Vec::with_capacity(plan.parts.len());
    for part in &plan.parts {
        let len = wanted(part);
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

/// How many positions are wanted.
fn wanted(part: &ChunkPart) -> usize {
    part.runs.iter().map(|run| run.len).sum()
}

/// Whether all of a chunk is wanted that lies within an array of this shape.
pub(super) fn is_whole(wish: &[&ChunkPart], shape: &[usize], chunk: &[usize]) -> bool {
    wish.iter().zip(shape.iter().zip(chunk)).all(|(part, (&len, &chunk))| {
        let inside = len.saturating_sub(part.chunk * chunk).min(chunk);
        wanted(part) >= inside
    })
}

/// The runs wanted of a chunk, packed: as they lie in one that holds nothing else. And the shape of that one.
pub(super) fn packed(wish: &[&ChunkPart]) -> (Vec<Vec<Run>>, Vec<usize>) {
    let packed = wish.iter().map(|part| {
        let mut src = 0;
        let pack = |run: &Run| {
            src += run.len;
            Run { src: src - run.len, ..*run }
        };
        part.runs.iter().map(pack).collect()
    });
    (packed.collect(), wish.iter().map(|part| wanted(part)).collect())
}

/// Fills a part of a result with one item.
pub(super) fn fill_with(item: &[u8], place: &mut [u8]) {
    if !is_zero(item) {
        place.chunks_exact_mut(item.len()).for_each(|one| one.copy_from_slice(item));
    }
}

/// Whether it is what results are made of anyway.
fn is_zero(item: &[u8]) -> bool {
    item.iter().all(|&byte| byte == 0)
}

/// What is wanted of one chunk, and the band that it goes to.
#[derive(Clone, Copy)]
pub(super) struct Place<'a, 'b> {
    band: &'b Mutex<Band<'a>>,
    wish: &'b [&'b ChunkPart],
}

impl<'a, 'b> Place<'a, 'b> {
    /// What is wanted of the chunk, along each axis.
    pub(super) fn runs(&self) -> Vec<&'b [Run]> {
        self.wish.iter().map(|part| &part.runs[..]).collect()
    }

    /// The whole band, if it is this one chunk, of these lengths and so many bytes, as it lies: it can be decoded to there.
    pub(super) fn as_it_lies(&self, chunk: &[usize], bytes: usize) -> Option<MutexGuard<'b, Band<'a>>> {
        let as_it_lies = |(part, &len): (&&ChunkPart, &usize)| part.runs == [Run { src: 0, dst: 0, len }];
        let mut band = self.wish.iter().zip(chunk).all(as_it_lies).then(|| self.band.lock())?;
        (band.bytes().len() == bytes).then_some(band)
    }

    /// Copies what is wanted of a chunk, of which these bytes are the part of this shape that begins at `origin`. False if it
    /// does not fit; nothing is copied then.
    pub(super) fn put(&self, bytes: &[u8], shape: &[usize], origin: &[usize], runs: &[&[Run]]) -> bool {
        self.band.lock().put_bytes(bytes, shape, origin, runs)
    }

    /// Fills in for a chunk of these lengths that is not stored, with no more items than are wanted of it. False if they do not
    /// fit.
    pub(super) fn fill(&self, item: &[u8], chunk: &[usize]) -> bool {
        if is_zero(item) {
            return true;
        }
        if let Some(mut band) = self.as_it_lies(chunk, chunk.iter().product::<usize>() * item.len()) {
            fill_with(item, band.bytes());
            return true;
        }
        let (packed, shape) = packed(self.wish);
        let runs: Vec<&[Run]> = packed.iter().map(Vec::as_slice).collect();
        self.put(&item.repeat(shape.iter().product()), &shape, &vec![0; runs.len()], &runs)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing check is a panic")]
    use super::*;
    use crate::index::Rows;
    use crate::value::{Array, DType};

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
        // What is wanted twice is read once.
        assert_eq!(spans(&[run(4, 0, 2), run(4, 2, 2)], 0, 9).len(), 1);
    }

    /// Chunks of two by two, of which some are stored, into the places of any selection.
    #[test]
    fn chunks_get_to_their_places_and_what_is_not_stored_is_filled_in() {
        let (shape, chunk) = ([5, 3], [2, 2]);
        let whole = Array::from(ndarray::Array2::from_shape_fn(shape, |(r, c)| (10 * r + c) as i16));
        let picks = [Rows::picks([4, 4, 0, 3]), Rows::picks([1, 2, 3, 0]), Rows::All(5), Rows::span(2, 4)];
        for rows in picks {
            let selection = [rows, Rows::picks([2, 0])];
            let mut out = Scatter::new(DType::I16, &[selection[0].len(), 2]);
            let mut plans = AxisPlan::of_axes(&selection, &chunk).unwrap();
            let bands = Bands::new(&mut out, &mut plans).unwrap();
            for down in &plans[0].parts {
                for across in &plans[1].parts {
                    let wish = [down, across];
                    let place = bands.place(&wish).unwrap();
                    let at = |r: usize, c: usize| (10 * (2 * down.chunk + r) + 2 * across.chunk + c) as i16;
                    // The last row of chunks is not stored: all its items are 41.
                    let fits = if down.chunk == 2 {
                        place.fill(&41_i16.to_ne_bytes(), &chunk)
                    } else {
                        let bytes = [at(0, 0), at(0, 1), at(1, 0), at(1, 1)].map(i16::to_ne_bytes).concat();
                        place.put(&bytes, &chunk, &[0, 0], &place.runs())
                    };
                    assert!(fits);
                }
            }
            let mut wanted = whole.take(&selection).to_i64().unwrap();
            wanted.iter_mut().filter(|n| **n >= 40).for_each(|n| *n = 41);
            assert_eq!(out.finish().to_i64().unwrap(), wanted, "{:?}", selection[0]);
        }
    }

    #[test]
    fn a_chunk_that_is_wanted_as_it_lies_has_its_band_for_itself() {
        let places = |rows: Rows, chunk: usize| {
            let mut out = Scatter::new(DType::U8, &[rows.len()]);
            let mut plans = AxisPlan::of_axes(&[rows], &[chunk]).unwrap();
            let bands = Bands::new(&mut out, &mut plans).unwrap();
            let parts = plans[0].parts.iter();
            let as_it_lies = |part| bands.place(&[part]).unwrap().as_it_lies(&[chunk], chunk).is_some();
            parts.map(|part| (as_it_lies(part), is_whole(&[part], &[25], &[chunk]))).collect::<Vec<_>>()
        };
        assert_eq!(places(Rows::All(25), 10), [(true, true), (true, true), (false, true)], "the last one is cut off");
        assert_eq!(places(Rows::span(5, 20), 10), [(false, false), (true, true)]);
        let backwards = Rows::Range { start: 19, step: -1, len: 20 };
        assert_eq!(places(backwards, 10), [(false, true), (false, true)]);
        assert_eq!(places(Rows::picks([10, 0]), 1), [(false, true), (false, true)], "one band for both");
    }
}
