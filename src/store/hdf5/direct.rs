//! [`Direct`]: plain numbers read without the library: exact byte ranges where they are stored as they are, and chunks that are
//! decoded on all cores, straight into their places where these are in one piece.
//!
//! Chunks of which a part is wanted are remembered for the next request; those that are wanted whole are not, for whoever streams
//! does not come back.

use std::sync::Arc;

use rayon::prelude::*;

use super::ffi::{Failure, Outcome, Stored};
use super::pipeline::room;
use super::places::{Desk, Places, no_memory};
use super::read::each_combination;
use super::stretch::{Pieces, Stretch, hand_out, joined, misfit};
use crate::index::{AxisPlan, ChunkPart, Rows, Run};
use crate::path::ElemPath;
use crate::store::spans::{BATCH_BYTES, Bands, GAP_BYTES, Place, fill_with, is_whole, spans};
use crate::store::{ChunkCache, Meter, fingerprint};
use crate::value::Scatter;

/// Bytes of a run of rows that get a piece of the result for themselves.
const LONG: usize = 1 << 10;
/// Less is decoded, or read, before another thread has woken up.
const WORTH_SHARING: usize = 64 << 10;
const WORTH_READING_TOGETHER: usize = 1 << 20;

/// A dataset of plain numbers.
#[derive(Debug)]
pub(super) struct Direct {
    places: Places,
    shape: Vec<usize>,
    /// Whether items are stored in the other byte order than memory has.
    swapped: bool,
    /// Decoded chunks that were wanted in part.
    cache: Arc<ChunkCache>,
    /// Their name there.
    path: ElemPath,
}

/// A chunk that is stored.
#[derive(Clone, Copy)]
struct Chunk {
    number: usize,
    stored: Stored,
}

impl Direct {
    /// Of the dataset at `path`, whose name in the cache that is.
    pub(super) fn new(
        places: Places,
        shape: &[usize],
        swapped: bool,
        cache: &Arc<ChunkCache>,
        path: &ElemPath,
    ) -> Self {
        Self { places, shape: shape.to_vec(), swapped, cache: Arc::clone(cache), path: path.clone() }
    }

    /// How many places it keeps in memory.
    pub(super) fn places(&self) -> usize {
        self.places.len()
    }

    /// Of all that is stored ([`fingerprint`]).
    pub(super) fn fingerprint(&self, meter: &Meter) -> Outcome<u32> {
        let bytes = (self.shape.iter().product::<usize>() * self.places.item()) as u64;
        let stored = self.places.stored(bytes);
        let looked_into = fingerprint::spread(stored.len(), fingerprint::PLACES);
        let inside = looked_into.par_iter().map(|&piece| {
            let (number, Stored { at, bytes, .. }) = stored[piece];
            let (stretches, mut read) = (fingerprint::stretches(bytes, looked_into.len()), Vec::new());
            let mut places = fingerprint::places(&stretches, &mut read).into_iter();
            places.try_for_each(|(from, place)| self.places.fetch(at + from, place))?;
            meter.read(read.len() as u64);
            Ok(fingerprint::of_piece(number as u64, &read))
        });
        let inside = inside.collect::<Outcome<Vec<u32>>>()?;
        let lengths = stored.iter().map(|(number, stored)| {
            let mask = stored.mask.to_le_bytes();
            fingerprint::of_piece(stored.bytes, &[&number.to_le_bytes()[..], &mask].concat())
        });
        Ok(fingerprint::of_all(inside.into_iter().chain(lengths)))
    }

    /// Reads the selection, which has been checked against the shape. `unwritten` gives the bytes of the item at a position
    /// that was never written.
    pub(super) fn read(
        &self,
        rows: &[Rows],
        out: &mut Scatter,
        unwritten: &dyn Fn(&[usize]) -> Outcome<Vec<u8>>,
        meter: &Meter,
    ) -> Outcome<()> {
        let plans = AxisPlan::of_axes(rows, self.places.lens()).map_err(Failure::new)?;
        match plans.split_first() {
            Some((first, rest)) if self.are_rows(rest) && self.are_long(&first.parts) => {
                self.read_rows(&first.parts, out, unwritten, meter)
            }
            _ => self.read_scattered(plans, out, unwritten, meter),
        }
    }

    /// Whether all of each axis but the first is wanted, as it lies in a chunk.
    fn are_rows(&self, rest: &[AxisPlan]) -> bool {
        let lens = self.shape.iter().zip(self.places.lens()).skip(1);
        rest.iter().zip(lens).all(|(plan, (&len, &chunk))| {
            let whole = Run { src: 0, dst: 0, len };
            chunk == len && matches!(&plan.parts[..], [part] if part.runs == [whole])
        })
    }

    /// Whether the runs are so long that what is kept of each is little beside it.
    fn are_long(&self, parts: &[ChunkPart]) -> bool {
        let runs = || parts.iter().flat_map(|part| &part.runs);
        let bytes = runs().map(|run| run.len).sum::<usize>().saturating_mul(self.places.row_bytes(0));
        bytes >= runs().count().saturating_mul(LONG)
    }

    /// Reads a selection along the first axis alone: each run of rows has a piece of the result for itself.
    fn read_rows(
        &self,
        parts: &[ChunkPart],
        out: &mut Scatter,
        unwritten: &dyn Fn(&[usize]) -> Outcome<Vec<u8>>,
        meter: &Meter,
    ) -> Outcome<()> {
        let row = self.places.row_bytes(0);
        let numbered = parts.iter().enumerate();
        let mut runs: Vec<(usize, Run)> =
            numbered.flat_map(|(number, part)| part.runs.iter().map(move |&run| (number, run))).collect();
        runs.sort_unstable_by_key(|(_, run)| run.dst);
        let lens: Vec<usize> = runs.iter().map(|(_, run)| run.len * (row / self.places.item())).collect();
        let mut pieces: Vec<Pieces<'_>> = parts.iter().map(|part| Vec::with_capacity(part.runs.len())).collect();
        for (&(number, run), piece) in runs.iter().zip(out.pieces(&lens).ok_or_else(misfit)?) {
            pieces[number].push((run.src * row, piece));
        }
        drop((runs, lens));
        let (mut raw, mut packed, mut nothing) = (Vec::new(), Vec::new(), None);
        for (part, pieces) in parts.iter().zip(pieces) {
            let number = self.places.number([part.chunk]);
            match self.places.find(number) {
                None => {
                    let item = match &nothing {
                        Some(item) => item,
                        None => nothing.insert(unwritten(&self.corner(&[part]))?),
                    };
                    pieces.into_iter().for_each(|(_, piece)| fill_with(item, piece));
                }
                Some(stored) if self.places.is_raw(&stored) => {
                    self.count_chunk(meter);
                    raw.extend(pieces.into_iter().map(|(from, piece)| (stored.at + from as u64, piece)));
                }
                Some(stored) => packed.push((Chunk { number, stored }, part, pieces)),
            }
        }
        let worth = raw.iter().map(|(_, piece)| piece.len()).sum::<usize>() > WORTH_READING_TOGETHER;
        share(joined(raw), worth, |desk, stretch| self.read_stretch(stretch, desk, meter))?;
        let worth = packed.len() * self.places.chunk_bytes() > WORTH_SHARING;
        share(packed, worth, |desk, (chunk, part, pieces)| self.unpack(chunk, part, pieces, desk, meter))
    }

    fn read_stretch(&self, stretch: Stretch<'_>, desk: &mut Desk, meter: &Meter) -> Outcome<()> {
        let Stretch { at, len, mut pieces } = stretch;
        self.count_stretch(len, meter);
        if let [(0, piece)] = &mut pieces[..] {
            self.places.fetch(at, piece)?;
        } else {
            let bytes = room(&mut desk.stored, len).ok_or_else(no_memory)?;
            self.places.fetch(at, bytes)?;
            hand_out(bytes, &mut pieces)?;
        }
        pieces.into_iter().for_each(|(_, piece)| self.to_memory(piece));
        Ok(())
    }

    fn unpack(
        &self,
        chunk: Chunk,
        part: &ChunkPart,
        mut pieces: Pieces<'_>,
        desk: &mut Desk,
        meter: &Meter,
    ) -> Outcome<()> {
        match &mut pieces[..] {
            [(0, piece)] if piece.len() == self.places.chunk_bytes() => self.decode_to(chunk, desk, piece, meter),
            pieces => self.with_chunk(chunk, &[part], desk, meter, |bytes| hand_out(bytes, pieces)),
        }
    }

    /// Reads any selection, chunk by chunk.
    fn read_scattered(
        &self,
        mut plans: Vec<AxisPlan>,
        out: &mut Scatter,
        unwritten: &dyn Fn(&[usize]) -> Outcome<Vec<u8>>,
        meter: &Meter,
    ) -> Outcome<()> {
        let bands = Bands::new(out, &mut plans).ok_or_else(misfit)?;
        let (mut chunks, mut missing) = (Vec::new(), Vec::new());
        each_combination(&plans, |parts| {
            let number = self.places.number(parts.iter().map(|part| part.chunk));
            match self.places.find(number) {
                Some(stored) => chunks.push((Chunk { number, stored }, parts.to_vec())),
                None => missing.push(parts.to_vec()),
            }
            Ok(())
        })?;
        if let Some(first) = missing.first() {
            let item = unwritten(&self.corner(first))?;
            let fill =
                |wish: &Vec<&ChunkPart>| bands.place(wish).is_some_and(|place| place.fill(&item, self.places.lens()));
            let fits = missing.iter().all(fill);
            fits.then_some(()).ok_or_else(misfit)?;
        }
        let worth = chunks.len() * self.places.chunk_bytes() > WORTH_SHARING;
        share(chunks, worth, |desk, (chunk, wish)| {
            let place = bands.place(&wish).ok_or_else(misfit)?;
            self.read_chunk(chunk, &wish, place, desk, meter)
        })
    }

    fn read_chunk(
        &self,
        chunk: Chunk,
        wish: &[&ChunkPart],
        place: Place<'_, '_>,
        desk: &mut Desk,
        meter: &Meter,
    ) -> Outcome<()> {
        let (lens, runs) = (self.places.lens(), place.runs());
        if self.places.is_raw(&chunk.stored) {
            self.count_chunk(meter);
            return self.read_parts(chunk.stored.at, &mut Vec::new(), &runs, place, desk, meter);
        }
        if let Some(mut band) = place.as_it_lies(lens, self.places.chunk_bytes()) {
            return self.decode_to(chunk, desk, band.bytes(), meter);
        }
        let put = |bytes: &[u8]| place.put(bytes, lens, &vec![0; lens.len()], &runs).then_some(()).ok_or_else(misfit);
        self.with_chunk(chunk, wish, desk, meter, put)
    }

    /// Reads the ranges wanted of a chunk that is stored as it is. `before` has one position on each axis already walked,
    /// `at` is where the items below it begin.
    fn read_parts(
        &self,
        at: u64,
        before: &mut Vec<Run>,
        runs: &[&[Run]],
        place: Place<'_, '_>,
        desk: &mut Desk,
        meter: &Meter,
    ) -> Outcome<()> {
        let (axis, lens) = (before.len(), self.places.lens());
        let (row, (here, below)) = (self.places.row_bytes(axis), runs[axis..].split_first().ok_or_else(misfit)?);
        let mostly = |(runs, &len): (&&[Run], &usize)| runs.iter().map(|run| run.len).sum::<usize>() * 2 > len;
        if row > GAP_BYTES && !below.iter().zip(&lens[axis + 1..]).all(mostly) {
            for run in *here {
                for k in 0..run.len {
                    before.push(Run { src: run.src + k, dst: run.dst + k, len: 1 });
                    self.read_parts(at + ((run.src + k) * row) as u64, before, runs, place, desk, meter)?;
                    before.pop();
                }
            }
            return Ok(());
        }
        // Rows that are short, or mostly wanted, are read to their ends.
        let ahead: Vec<[Run; 1]> = before.iter().map(|&run| [run]).collect();
        for span in spans(here, GAP_BYTES / row, (BATCH_BYTES / row).max(1)) {
            let bytes = room(&mut desk.stored, span.len * row).ok_or_else(no_memory)?;
            self.count_stretch(bytes.len(), meter);
            self.places.fetch(at + (span.start * row) as u64, bytes)?;
            self.to_memory(bytes);
            let shape = [&vec![1; axis], &[span.len][..], &lens[axis + 1..]].concat();
            let walked = before.iter().map(|run| run.src);
            let origin: Vec<usize> = walked.chain([span.start]).chain(below.iter().map(|_| 0)).collect();
            let walked = ahead.iter().map(|run| &run[..]);
            let runs: Vec<&[Run]> = walked.chain([&span.runs[..]]).chain(below.iter().copied()).collect();
            place.put(bytes, &shape, &origin, &runs).then_some(()).ok_or_else(misfit)?;
        }
        Ok(())
    }

    /// Fills `out` with a whole chunk.
    fn decode_to(&self, chunk: Chunk, desk: &mut Desk, out: &mut [u8], meter: &Meter) -> Outcome<()> {
        match self.known(chunk) {
            Some(known) => hand_out(&known, &mut [(0, out)]),
            None => self.decode(chunk, desk, out, meter),
        }
    }

    /// Calls `take` with a whole chunk, which is remembered if the next reading may want another part of it.
    fn with_chunk(
        &self,
        chunk: Chunk,
        wish: &[&ChunkPart],
        desk: &mut Desk,
        meter: &Meter,
        take: impl FnOnce(&[u8]) -> Outcome<()>,
    ) -> Outcome<()> {
        if let Some(known) = self.known(chunk) {
            return take(&known);
        }
        let keep = !is_whole(wish, &self.shape, self.places.lens());
        let mut bytes = if keep { Vec::new() } else { std::mem::take(&mut desk.chunk) };
        let out = room(&mut bytes, self.places.chunk_bytes()).ok_or_else(no_memory)?;
        self.decode(chunk, desk, out, meter)?;
        take(out)?;
        if keep {
            self.cache.insert(&self.path, &[chunk.number], Arc::new(bytes));
        } else {
            desk.chunk = bytes;
        }
        Ok(())
    }

    fn known(&self, chunk: Chunk) -> Option<Arc<Vec<u8>>> {
        self.cache.get(&self.path, &[chunk.number])
    }

    fn decode(&self, chunk: Chunk, desk: &mut Desk, out: &mut [u8], meter: &Meter) -> Outcome<()> {
        self.count_chunk(meter);
        meter.read(chunk.stored.bytes);
        self.places.decode(&chunk.stored, desk, out)?;
        self.to_memory(out);
        Ok(())
    }

    /// A chunk counts once, however much is read of it.
    fn count_chunk(&self, meter: &Meter) {
        if self.places.are_chunks() {
            meter.chunk();
        }
    }

    /// A stretch of a dataset without chunks counts as one.
    fn count_stretch(&self, bytes: usize, meter: &Meter) {
        if !self.places.are_chunks() {
            meter.chunk();
        }
        meter.read(bytes as u64);
    }

    /// The first position of a chunk; axes without a part from their start.
    fn corner(&self, parts: &[&ChunkPart]) -> Vec<usize> {
        let chunk = |axis: usize| parts.get(axis).map_or(0, |part| part.chunk);
        self.places.lens().iter().enumerate().map(|(axis, len)| chunk(axis) * len).collect()
    }

    /// From stored bytes to those of memory.
    fn to_memory(&self, bytes: &mut [u8]) {
        if self.swapped {
            swap(bytes, self.places.item());
        }
    }
}

/// Does all the work, on all cores if it is worth it.
fn share<T: Send>(work: Vec<T>, worth: bool, each: impl Fn(&mut Desk, T) -> Outcome<()> + Send + Sync) -> Outcome<()> {
    if worth && work.len() > 1 {
        return work.into_par_iter().try_for_each_init(Desk::default, each);
    }
    let mut desk = Desk::default();
    work.into_iter().try_for_each(|part| each(&mut desk, part))
}

/// Turns the bytes of each item round.
fn swap(bytes: &mut [u8], item: usize) {
    fn each<const N: usize>(bytes: &mut [u8]) {
        bytes.as_chunks_mut::<N>().0.iter_mut().for_each(|item| item.reverse());
    }
    match item {
        2 => each::<2>(bytes),
        4 => each::<4>(bytes),
        8 => each::<8>(bytes),
        _ => {}
    }
}
