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

impl AxisPlan {
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
