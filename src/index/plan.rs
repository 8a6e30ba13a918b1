//! [`AxisPlan`]: which chunks of one axis a selection touches, and what it wants of each.

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
                Rows::Range { step, .. } if *step != 1 => below.min(rows.len()),
                Rows::Picks(picks) => below.min(picks.len()),
                _ => rows.runs().fold(0, |n, run| below.min(n + run.len().min(run.len() / chunk.max(1) + 2))),
            }
        };
        let axes = || rows.iter().zip(chunks);
        match axes().try_fold(1_usize, |n, (rows, &chunk)| n.checked_mul(touched(rows, chunk))) {
            Some(0..=MAX_CHUNKS) => Ok(axes().map(|(rows, &chunk)| Self::new(rows, chunk)).collect()),
            _ => Err(format!("it is in more than {MAX_CHUNKS} chunks; read it in parts")),
        }
    }

    /// Plans `rows` over chunks of length `chunk` (at least 1). Costs what there are runs of positions, and chunks.
    #[must_use]
    pub fn new(rows: &Rows, chunk: usize) -> Self {
        let chunk = chunk.max(1);
        let mut parts: Vec<ChunkPart> = Vec::new();
        let mut dst = 0;
        for span in rows.runs() {
            let mut at = span.start;
            while at < span.end {
                let src = at % chunk;
                let run = Run { src, dst, len: (chunk - src).min(span.end - at) };
                match parts.last_mut() {
                    Some(last) if last.chunk == at / chunk => last.runs.push(run),
                    _ => parts.push(ChunkPart { chunk: at / chunk, runs: vec![run] }),
                }
                at += run.len;
                dst += run.len;
            }
        }
        if !parts.is_sorted_by_key(|part| part.chunk) {
            parts.sort_by_key(|part| part.chunk);
            parts.dedup_by(|later, first| {
                let same = later.chunk == first.chunk;
                if same {
                    first.runs.append(&mut later.runs);
                }
                same
            });
        }
        Self { parts }
    }
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
        assert!(AxisPlan::of_axes(&[Rows::spans([7..9, 1 << 58..1 << 59])], &[1]).is_err());
        let parts = [
            Rows::span(1 << 50, (1 << 50) + 5),
            Rows::picks([7, 1 << 59]),
            Rows::spans([1 << 59..(1 << 59) + 5, 7..9]),
            Rows::picks([]),
            Rows::span(0, 0),
        ];
        parts.iter().for_each(|part| assert!(AxisPlan::of_axes(std::slice::from_ref(part), &[1]).is_ok()));
        assert!(AxisPlan::of_axes(&[huge], &[1 << 60]).is_ok());
    }

    proptest! {
        #[test]
        fn a_plan_fetches_each_chunk_once_and_places_every_row(
            picks in proptest::collection::vec(0_usize..40, 0..30), chunk in 1_usize..12, kind in 0..5,
        ) {
            let lengths = picks.iter().map(|pick| pick % 7);
            let rows = match kind {
                0 => Rows::span(3, 3 + picks.len()),
                1 => Rows::spans(picks.iter().zip(lengths).map(|(&pick, len)| pick..pick + len)),
                // In order, with gaps and without.
                2 => Rows::spans(lengths.clone().scan(0, |at, len| { *at += len + len % 2; Some(*at - len..*at) })),
                3 => Rows::picks({ let mut sorted = picks; sorted.sort_unstable(); sorted }),
                _ => Rows::picks(picks),
            };
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
