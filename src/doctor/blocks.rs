//! [`Blocks`]: an array cut into parts of whole chunks, each small enough to hold.

use crate::index::Rows;
use crate::store::ArrayMeta;

/// About the most bytes of a block, unless a single chunk has more.
const BYTES: usize = 32 << 20;
/// The most chunks of a block.
const CHUNKS: usize = 1 << 16;
/// What a text is taken to have.
const TEXT: usize = 32;

/// The blocks of an array, as one selection per axis each, the last axis fastest.
pub(super) struct Blocks {
    shape: Vec<usize>,
    step: Vec<usize>,
    next: Option<Vec<usize>>,
}

impl Blocks {
    pub(super) fn new(meta: &ArrayMeta) -> Self {
        let shape = meta.shape.clone();
        let mut step: Vec<usize> = match &meta.chunks {
            Some(chunks) if chunks.len() == shape.len() => chunks.iter().map(|&c| c.max(1)).collect(),
            _ => vec![1; shape.len()],
        };
        // From the last axis on: what lies together is read together.
        let mut bytes = step.iter().fold(item_bytes(meta), |n, &c| n.saturating_mul(c));
        let mut chunks = 1_usize;
        for (step, &len) in step.iter_mut().zip(&shape).rev() {
            let times = (BYTES / bytes.max(1)).min(CHUNKS / chunks).clamp(1, len.div_ceil(*step).max(1));
            (bytes, chunks) = (bytes.saturating_mul(times), chunks.saturating_mul(times));
            *step = step.saturating_mul(times);
            if *step < len {
                break;
            }
        }
        let next = (!shape.contains(&0)).then(|| vec![0; shape.len()]);
        Self { shape, step, next }
    }
}

/// Bytes of one item in memory.
fn item_bytes(meta: &ArrayMeta) -> usize {
    let own = |dtype: Option<crate::value::DType>| dtype.and_then(crate::value::DType::size).unwrap_or(TEXT);
    match &meta.fields[..] {
        [] => own(meta.dtype),
        fields => fields.iter().map(|f| own(f.dtype).saturating_mul(f.shape.iter().product())).sum(),
    }
}

/// Bytes of an array in memory, roughly.
pub(super) fn array_bytes(meta: &ArrayMeta) -> u64 {
    meta.shape.iter().fold(item_bytes(meta) as u64, |n, &len| n.saturating_mul(len as u64))
}

impl Iterator for Blocks {
    type Item = Vec<Rows>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.next.take()?;
        let rows = at.iter().zip(&self.step).zip(&self.shape);
        let rows = rows.map(|((&a, &step), &n)| Rows::span(a, a.saturating_add(step).min(n))).collect();
        let mut after = at;
        for axis in (0..after.len()).rev() {
            after[axis] = after[axis].saturating_add(self.step[axis]);
            if after[axis] < self.shape[axis] {
                self.next = Some(after);
                break;
            }
            after[axis] = 0;
        }
        Some(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::DType;

    fn meta(shape: &[usize], chunks: Option<&[usize]>) -> ArrayMeta {
        let (shape, chunks) = (shape.to_vec(), chunks.map(<[usize]>::to_vec));
        ArrayMeta { shape, dtype: Some(DType::F64), stored: String::new(), fields: Vec::new(), chunks, null: false }
    }

    #[test]
    fn every_item_is_in_one_block() {
        for (shape, chunks) in [
            (&[][..], None),
            (&[0, 3][..], None),
            (&[10_000_001][..], Some(&[1000][..])),
            (&[30_000, 700][..], Some(&[125, 100][..])),
            (&[30_000, 700][..], None),
            (&[3, 9_000_000][..], Some(&[2, 9_000_000][..])),
        ] {
            let blocks: Vec<Vec<Rows>> = Blocks::new(&meta(shape, chunks)).collect();
            let items: usize = blocks.iter().map(|b| b.iter().map(Rows::len).product::<usize>()).sum();
            assert_eq!(items, shape.iter().product::<usize>(), "{shape:?}");
            for block in &blocks {
                let inside = block.iter().zip(shape).all(|(rows, &n)| rows.max().is_none_or(|m| m < n));
                assert!(inside && block.iter().all(|rows| !rows.is_empty()));
            }
        }
        let step = Blocks::new(&meta(&[30_000, 700], Some(&[125, 100]))).step;
        assert!(step[0].is_multiple_of(125) && step[0] > 125 && step[1] == 700, "{step:?}");
    }
}
