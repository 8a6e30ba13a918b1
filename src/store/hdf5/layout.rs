//! How new datasets are laid out: h5py's rules, and the filters of a neighbour.

use super::ffi::{Filter, Layout};

const DEFLATE: i32 = 1;
const SHUFFLE: i32 = 2;
const FLETCHER32: i32 = 3;
const LZF: i32 = 32000;
/// HDF5 stores a chunk unfiltered where an optional filter fails.
const OPTIONAL: u32 = 1;

/// The layout of a new array with items of this many bytes: one block, unless it may grow or a neighbour is filtered.
pub(super) fn choose(shape: &[usize], item: usize, neighbour: Option<Layout>, resizable: bool) -> Layout {
    let filters = neighbour.map(|n| n.filters).unwrap_or_default();
    let (scalar, empty) = (shape.is_empty(), shape.contains(&0));
    if scalar || (!resizable && (filters.is_empty() || empty)) {
        return Layout::default();
    }
    let filters = if filters.is_empty() { filters } else { pipeline(&filters) };
    Layout { chunks: Some(guess_chunk(shape, item)), filters, elsewhere: None }
}

/// The same filters, each with its defaults but the compression level; one that cannot be written is replaced by
/// deflate at anndata's level.
fn pipeline(filters: &[Filter]) -> Vec<Filter> {
    let new = |id, flags, values: &[u32]| Filter { id, flags, values: values.to_vec(), name: String::new() };
    let deflate = |level| new(DEFLATE, OPTIONAL, &[level]);
    let mut out: Vec<Filter> = Vec::new();
    for filter in filters {
        let same = match filter.id {
            DEFLATE => deflate(filter.values.first().copied().unwrap_or(4).min(9)),
            SHUFFLE => new(SHUFFLE, OPTIONAL, &[]),
            FLETCHER32 => new(FLETCHER32, 0, &[]),
            LZF if filter.can_encode() => new(LZF, OPTIONAL, &[]),
            _ => deflate(4),
        };
        if !out.iter().any(|f| f.id == same.id) {
            out.push(same);
        }
    }
    out
}

/// h5py's `guess_chunk`: halves the axes in turn until a chunk is near a target that grows with the dataset.
fn guess_chunk(shape: &[usize], item: usize) -> Vec<usize> {
    const BASE: f64 = 16.0 * 1024.0;
    const MIN: f64 = 8.0 * 1024.0;
    const MAX: f64 = 1024.0 * 1024.0;
    let mut chunks: Vec<f64> = shape.iter().map(|&n| if n == 0 { 1024.0 } else { n as f64 }).collect();
    let bytes = |chunks: &[f64]| chunks.iter().product::<f64>() * item as f64;
    let target = (BASE * 2_f64.powf((bytes(&chunks) / (1024.0 * 1024.0)).log10())).clamp(MIN, MAX);
    let axes = chunks.len();
    for axis in (0..axes).cycle() {
        let now = bytes(&chunks);
        let near = now < target || (now - target).abs() / target < 0.5;
        if (near && now < MAX) || chunks.iter().all(|&n| n <= 1.0) {
            break;
        }
        chunks[axis] = (chunks[axis] / 2.0).ceil();
    }
    chunks.into_iter().map(|n| n as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_those_of_h5py() {
        assert_eq!(guess_chunk(&[1_000_000], 4), [7813]);
        assert_eq!(guess_chunk(&[20_000, 2_000], 4), [313, 63]);
        assert_eq!(guess_chunk(&[3_000, 50], 4), [375, 13]);
        assert_eq!(guess_chunk(&[100_000], 8), [1563]);
        assert_eq!(guess_chunk(&[3_000], 8), [1500]);
        assert_eq!(guess_chunk(&[0], 4), [1024]);
    }

    #[test]
    fn only_growing_or_filtered_arrays_have_chunks() {
        let filter = |id, values: &[u32]| Filter { id, flags: 0, values: values.to_vec(), name: String::new() };
        let gzip = Layout { chunks: Some(vec![1]), filters: vec![filter(2, &[4]), filter(1, &[7])], elsewhere: None };
        let plain = Layout { filters: Vec::new(), ..gzip.clone() };
        assert_eq!(choose(&[5], 4, Some(plain), false), Layout::default());
        assert_eq!(choose(&[], 4, Some(gzip.clone()), true), Layout::default());
        assert_eq!(choose(&[0, 3], 4, Some(gzip.clone()), false), Layout::default());
        assert_eq!(choose(&[5], 4, None, true).chunks, Some(vec![5]));
        let like = choose(&[5], 4, Some(gzip), false);
        assert_eq!(like.filters.iter().map(|f| (f.id, &f.values[..])).collect::<Vec<_>>(), [(2, &[][..]), (1, &[7])]);
    }

    #[test]
    fn filters_that_cannot_be_written_become_deflate() {
        let zstd = Filter { id: 32015, flags: 1, values: vec![3], name: "zstd".into() };
        assert_eq!(pipeline(&[zstd])[0].values, [4]);
    }
}
