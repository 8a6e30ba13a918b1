//! [`AxisPlan`]: which chunks of one axis a selection touches, and what it wants of each.

use std::collections::BTreeMap;

use super::Rows;

/// A run of consecutive positions: `len` of them from `src` in the chunk go to `dst` on in the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// First position, counted from the start of the chunk.
    pub src: usize,
    /// Where it goes, counted from the start of the result.
    pub dst: usize,
    /// How many.
    pub len: usize,
}

/// What a selection wants of one chunk along one axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkPart {
    /// Chunk number along the axis.
    pub chunk: usize,
    /// The runs wanted of it, in result order.
    pub runs: Vec<Run>,
}

/// The chunks of one axis that a selection touches, each listed once, in ascending order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AxisPlan {
    /// The chunks touched.
    pub parts: Vec<ChunkPart>,
}

/// Most chunks that one read may touch. Beyond, a shape is more likely damaged than honest (a few bytes can declare any number
/// of chunks, none of which need exist), and whoever means it can read in parts.
pub const MAX_CHUNKS: usize = 1 << 22;

impl AxisPlan {
    /// Plans a selection on every axis, over chunks of these lengths.
    ///
    /// # Errors
    /// Why not, if it touches more than [`MAX_CHUNKS`]; asked before memory is taken for the plans.
    pub fn of_axes(rows: &[Rows], chunks: &[usize]) -> Result<Vec<Self>, String> {
        let touched = |rows: &Rows, chunk: usize| {
            let below = rows.max().map_or(0, |last| last / chunk.max(1) + 1);
            match rows {
                Rows::All(_) | Rows::Range { step: 1, .. } => below.min(rows.len() / chunk.max(1) + 2),
                _ => below.min(rows.len()),
            }
        };
        let axes = || rows.iter().zip(chunks);
        match axes().try_fold(1_usize, |n, (rows, &chunk)| n.checked_mul(touched(rows, chunk))) {
            Some(0..=MAX_CHUNKS) => Ok(axes().map(|(rows, &chunk)| Self::new(rows, chunk)).collect()),
            _ => Err(format!("it is in more than {MAX_CHUNKS} chunks; read it in parts")),
        }
    }

    /// Plans `rows` over chunks of length `chunk` (at least 1).
    #[must_use]
    pub fn new(rows: &Rows, chunk: usize) -> Self {
        let chunk = chunk.max(1);
        let parts = match rows {
            Rows::All(len) => contiguous(0, *len, chunk),
            Rows::Range { start, step: 1, len } => contiguous(*start, *len, chunk),
            _ => scattered(rows, chunk),
        };
        Self { parts }
    }
}

fn contiguous(start: usize, len: usize, chunk: usize) -> Vec<ChunkPart> {
    let mut parts = Vec::new();
    let mut done = 0;
    while done < len {
        let at = start + done;
        let src = at % chunk;
        let run = Run { src, dst: done, len: (chunk - src).min(len - done) };
        done += run.len;
        parts.push(ChunkPart { chunk: at / chunk, runs: vec![run] });
    }
    parts
}

fn scattered(rows: &Rows, chunk: usize) -> Vec<ChunkPart> {
    let mut parts: BTreeMap<usize, Vec<Run>> = BTreeMap::new();
    for (dst, at) in rows.iter().enumerate() {
        let src = at % chunk;
        let runs = parts.entry(at / chunk).or_default();
        match runs.last_mut() {
            Some(last) if last.src + last.len == src && last.dst + last.len == dst => last.len += 1,
            _ => runs.push(Run { src, dst, len: 1 }),
        }
    }
    parts.into_iter().map(|(chunk, runs)| ChunkPart { chunk, runs }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn more_chunks_than_any_honest_read_touches_are_refused_before_memory_is_taken() {
        let huge = Rows::All(1 << 60);
        assert!(AxisPlan::of_axes(std::slice::from_ref(&huge), &[1]).is_err());
        assert!(AxisPlan::of_axes(&[huge.clone(), huge.clone()], &[1 << 40, 1 << 40]).is_err());
        // A part of it, a selection of none, and chunks as long as it.
        let parts = [Rows::span(1 << 50, (1 << 50) + 5), Rows::picks([7, 1 << 59]), Rows::picks([]), Rows::span(0, 0)];
        parts.iter().for_each(|part| assert!(AxisPlan::of_axes(std::slice::from_ref(part), &[1]).is_ok()));
        assert!(AxisPlan::of_axes(&[huge], &[1 << 60]).is_ok());
    }

    proptest! {
        #[test]
        fn a_plan_fetches_each_chunk_once_and_places_every_row(
            picks in proptest::collection::vec(0_usize..40, 0..30), chunk in 1_usize..12, contiguous in any::<bool>(),
        ) {
            let rows = if contiguous { Rows::span(3, 3 + picks.len()) } else { Rows::picks(picks) };
            let plan = AxisPlan::new(&rows, chunk);
            let mut out = vec![None; rows.len()];
            for pair in plan.parts.windows(2) {
                prop_assert!(pair[0].chunk < pair[1].chunk);
            }
            for part in &plan.parts {
                for run in &part.runs {
                    prop_assert!(run.src + run.len <= chunk);
                    for k in 0..run.len {
                        prop_assert!(out[run.dst + k].replace(part.chunk * chunk + run.src + k).is_none());
                    }
                }
            }
            prop_assert_eq!(out, rows.iter().map(Some).collect::<Vec<_>>());
        }
    }
}
