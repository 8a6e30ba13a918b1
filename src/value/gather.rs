//! Moving selected items between arrays: the one routine that scatters a decoded chunk into a result, and the one that
//! cuts an array in memory.

use std::sync::Arc;

use ndarray::{ArrayD, IxDyn};

use crate::index::{AxisPlan, Rows, Run};

use super::{Array, DType, Item, with_array};

/// A result being put together from decoded chunks.
pub(crate) struct Scatter {
    out: Array,
}

impl Scatter {
    /// An all-zero result of this shape.
    pub(crate) fn new(dtype: DType, shape: &[usize]) -> Self {
        Self { out: Array::zeros(dtype, shape) }
    }

    /// Copies the runs wanted (one list per axis) out of `chunk`, whose items start at `origin` within the decoded
    /// chunk that the runs count from. False if dtype or shape do not fit; nothing is copied then.
    pub(crate) fn put(&mut self, chunk: Array, origin: &[usize], runs: &[&[Run]]) -> bool {
        // All of the result, as it is: texts above all are not copied for nothing.
        let as_it_is = |(&len, runs): (&usize, &&[Run])| **runs == [Run { src: 0, dst: 0, len }];
        if chunk.dtype() == self.out.dtype()
            && chunk.shape() == self.out.shape()
            && [origin.len(), runs.len()] == [chunk.ndim(); 2]
            && origin.iter().all(|&at| at == 0)
            && chunk.shape().iter().zip(runs).all(as_it_is)
        {
            self.out = chunk;
            return true;
        }
        fn typed<T: Item>(out: &mut Array, chunk: &ArrayD<T>, origin: &[usize], runs: &[&[Run]]) -> bool {
            let Some(out) = T::view_mut(out) else { return false };
            if !fits(out.shape(), chunk.shape(), origin, runs) {
                return false;
            }
            let (src_shape, dst_shape) = (chunk.shape().to_vec(), out.shape().to_vec());
            match (chunk.as_slice(), out.as_slice_mut()) {
                (Some(src), Some(dst)) => {
                    copy(src, &src_shape, origin, dst, &dst_shape, runs);
                    true
                }
                _ => false,
            }
        }
        with_array!(&chunk, a => typed(&mut self.out, a, origin, runs))
    }

    /// Puts all of `part` from this row on. False if it does not fit; nothing is copied then.
    pub(crate) fn put_rows(&mut self, part: Array, row: usize) -> bool {
        let run = |(axis, &len): (usize, &usize)| [Run { src: 0, dst: if axis == 0 { row } else { 0 }, len }];
        let runs: Vec<[Run; 1]> = part.shape().iter().enumerate().map(run).collect();
        let runs: Vec<&[Run]> = runs.iter().map(|run| &run[..]).collect();
        self.put(part, &vec![0; runs.len()], &runs)
    }

    /// Whether the items of the result are plain numbers, so that their bytes can be given.
    pub(crate) fn takes_bytes(&self) -> bool {
        self.out.has_plain_bytes()
    }

    /// All of the result as one band; `None` if the items are not plain numbers.
    pub(crate) fn whole(&mut self) -> Option<Band<'_>> {
        let (shape, size) = (self.out.shape(), self.out.dtype().size()?);
        let (len, rest) = match shape.split_first() {
            Some((&len, rest)) => (Some(len), rest.into()),
            None => (None, [].into()),
        };
        Some(Band { bytes: self.out.bytes_mut()?, len, rest, size })
    }

    /// The result cut into consecutive bands of so many positions on the first axis each, which different threads can fill.
    /// `None` if the items are not plain numbers, or the bands are not all of the axis.
    pub(crate) fn bands(&mut self, lens: &[usize]) -> Option<Vec<Band<'_>>> {
        let (size, (_, rest)) = (self.out.dtype().size()?, self.out.shape().split_first()?);
        let rest: Arc<[usize]> = rest.into();
        let row: usize = rest.iter().product();
        let items: Option<Vec<usize>> = lens.iter().map(|len| len.checked_mul(row)).collect();
        let cut = self.pieces(&items?)?.into_iter().zip(lens);
        Some(cut.map(|(bytes, &len)| Band { bytes, len: Some(len), rest: rest.clone(), size }).collect())
    }

    /// The bytes of the result, cut into consecutive pieces of so many items each, for whoever decodes straight into them.
    /// `None` if the items are not plain numbers, or are more or fewer than the pieces have.
    pub(crate) fn pieces(&mut self, lens: &[usize]) -> Option<Vec<&mut [u8]>> {
        let size = self.out.dtype().size()?;
        let mut rest = self.out.bytes_mut()?;
        let mut pieces = Vec::with_capacity(lens.len());
        for len in lens {
            let (piece, after) = rest.split_at_mut_checked(len.checked_mul(size)?)?;
            pieces.push(piece);
            rest = after;
        }
        rest.is_empty().then_some(pieces)
    }

    /// The result.
    pub(crate) fn finish(self) -> Array {
        self.out
    }
}

/// A part of a result, as long as all of it on every axis but the first.
pub(crate) struct Band<'a> {
    bytes: &'a mut [u8],
    /// Its length on the first axis, which a scalar does not have, and on the others.
    len: Option<usize>,
    rest: Arc<[usize]>,
    /// Bytes of an item.
    size: usize,
}

impl Band<'_> {
    /// Its bytes in C order, in this machine's byte order.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        self.bytes
    }

    /// As [`Scatter::put`], of a chunk of this shape that is given as the bytes of its items, in this machine's byte order. Where
    /// runs go counts from the beginning of the band.
    pub(crate) fn put_bytes(&mut self, chunk: &[u8], chunk_shape: &[usize], origin: &[usize], runs: &[&[Run]]) -> bool {
        let shape: Vec<usize> = self.len.iter().chain(&*self.rest).copied().collect();
        let claims = chunk_shape.iter().try_fold(self.size, |n, &k| n.checked_mul(k));
        if claims != Some(chunk.len()) || !fits(&shape, chunk_shape, origin, runs) {
            return false;
        }
        // Bytes of items of one size move alike, whatever they mean.
        macro_rules! moved {
            ($($size:literal)*) => {
                match self.size {
                    $($size => {
                        let src: &[[u8; $size]] = bytemuck::cast_slice(chunk);
                        copy(src, chunk_shape, origin, bytemuck::cast_slice_mut(self.bytes), &shape, runs);
                        true
                    })*
                    _ => false,
                }
            };
        }
        moved!(1 2 4 8)
    }
}

/// Whether the runs (one list per axis) lie within a result and a chunk of these shapes.
fn fits(out: &[usize], chunk: &[usize], origin: &[usize], runs: &[&[Run]]) -> bool {
    [out.len(), chunk.len(), origin.len()] == [runs.len(); 3]
        && runs.iter().enumerate().all(|(axis, runs)| {
            runs.iter().all(|r| {
                r.src >= origin[axis] && r.src - origin[axis] + r.len <= chunk[axis] && r.dst + r.len <= out[axis]
            })
        })
}

/// Copies runs axis by axis; `src` and `dst` are the C-order items below the axes already walked.
fn copy<T: Clone>(
    src: &[T],
    src_shape: &[usize],
    origin: &[usize],
    dst: &mut [T],
    dst_shape: &[usize],
    runs: &[&[Run]],
) {
    let Some((first, rest)) = runs.split_first() else {
        dst.clone_from_slice(src);
        return;
    };
    let (src_step, dst_step) = (src_shape[1..].iter().product::<usize>(), dst_shape[1..].iter().product::<usize>());
    // Below this axis everything is wanted as it lies: whole runs are one block.
    let solid = rest.iter().enumerate().all(|(i, runs)| {
        let full = Run { src: origin[i + 1], dst: 0, len: src_shape[i + 1] };
        dst_shape[i + 1] == full.len && **runs == [full]
    });
    for run in *first {
        let from = run.src - origin[0];
        if solid {
            dst[run.dst * dst_step..(run.dst + run.len) * dst_step]
                .clone_from_slice(&src[from * src_step..(from + run.len) * src_step]);
        } else {
            for k in 0..run.len {
                copy(
                    &src[(from + k) * src_step..(from + k + 1) * src_step],
                    &src_shape[1..],
                    &origin[1..],
                    &mut dst[(run.dst + k) * dst_step..(run.dst + k + 1) * dst_step],
                    &dst_shape[1..],
                    rest,
                );
            }
        }
    }
}

/// `array[np.ix_(rows…)]`: one selection per axis, axes beyond the list whole. The selections must lie within the array.
fn take(array: &Array, rows: &[Rows]) -> Array {
    fn typed<T: Item>(array: &ArrayD<T>, rows: &[Rows]) -> Array {
        let shape = array.shape();
        if rows.iter().zip(shape).all(|(r, &n)| r.is_all_of(n)) {
            return T::wrap(array.clone());
        }
        let plans: Vec<Vec<Run>> = shape
            .iter()
            .enumerate()
            .map(|(axis, &n)| {
                let rows = rows.get(axis).cloned().unwrap_or(Rows::All(n));
                // One chunk as long as the axis: the plan is the runs.
                AxisPlan::new(&rows, n).parts.into_iter().flat_map(|p| p.runs).collect()
            })
            .collect();
        let out_shape: Vec<usize> =
            shape.iter().enumerate().map(|(axis, &n)| rows.get(axis).map_or(n, Rows::len)).collect();
        let mut out = ArrayD::from_elem(IxDyn(&out_shape), T::default());
        let source = array.as_standard_layout();
        if let (Some(src), Some(dst)) = (source.as_slice(), out.as_slice_mut())
            && !dst.is_empty()
        {
            let runs: Vec<&[Run]> = plans.iter().map(Vec::as_slice).collect();
            copy(src, shape, &vec![0; shape.len()], dst, &out_shape, &runs);
        }
        T::wrap(out)
    }
    with_array!(array, a => typed(a, rows))
}

impl Array {
    /// `array[np.ix_(rows…)]`: one selection per axis, axes beyond the list whole.
    ///
    /// # Panics
    /// If a selection leaves its axis.
    #[must_use]
    pub fn take(&self, rows: &[Rows]) -> Self {
        take(self, rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_on_every_axis() {
        let a = Array::from(ndarray::Array3::from_shape_fn((3, 4, 2), |(i, j, k)| (i * 100 + j * 10 + k) as i32));
        let cut = a.take(&[Rows::picks([2, 0, 2]), Rows::Range { start: 3, step: -2, len: 2 }]);
        assert_eq!(cut.shape(), [3, 2, 2]);
        assert_eq!(cut.to_i64().unwrap(), [230, 231, 210, 211, 30, 31, 10, 11, 230, 231, 210, 211]);
        assert_eq!(a.take(&[]), a);
        assert_eq!(a.take(&[Rows::span(0, 0)]).shape(), [0, 4, 2]);
        assert_eq!(Array::scalar(5_u8).take(&[]), Array::scalar(5_u8));
    }

    /// A chunk of each dtype with plain bytes, put as an array and as bytes.
    #[test]
    fn bytes_land_where_items_do() {
        let runs: [&[Run]; 2] = [
            &[Run { src: 3, dst: 1, len: 1 }, Run { src: 2, dst: 0, len: 1 }],
            &[Run { src: 0, dst: 2, len: 1 }, Run { src: 1, dst: 0, len: 2 }],
        ];
        let plain = |d: DType| d.is_integer() || matches!(d, DType::F16 | DType::F32 | DType::F64);
        for &dtype in DType::ALL {
            let (mut typed, mut raw) = (Scatter::new(dtype, &[2, 3]), Scatter::new(dtype, &[2, 3]));
            assert_eq!(raw.takes_bytes(), plain(dtype), "{dtype}");
            let size = dtype.size().unwrap_or(1);
            let bytes: Vec<u8> = (1..=6 * size as u8).collect();
            if !raw.takes_bytes() {
                assert!(raw.whole().is_none() && raw.pieces(&[6]).is_none(), "{dtype}");
                continue;
            }
            let mut chunk = Array::zeros(dtype, &[2, 3]);
            chunk.bytes_mut().unwrap().copy_from_slice(&bytes);
            assert!(typed.put(chunk, &[2, 0], &runs), "{dtype}");
            assert!(raw.whole().unwrap().put_bytes(&bytes, &[2, 3], &[2, 0], &runs), "{dtype}");
            let (mut typed, mut raw) = (typed.finish(), raw.finish());
            assert_eq!(typed.bytes_mut(), raw.bytes_mut(), "{dtype}");
            assert_eq!(raw.bytes_mut().unwrap()[..size], bytes[size..2 * size], "{dtype}: the second item comes first");
        }
    }

    #[test]
    fn bytes_that_do_not_fit_are_refused() {
        let mut s = Scatter::new(DType::I32, &[2]);
        let run = [Run { src: 1, dst: 0, len: 2 }];
        let mut all = s.whole().unwrap();
        assert!(!all.put_bytes(&[0; 11], &[3], &[0], &[&run]), "of another length than the shape");
        assert!(!all.put_bytes(&[0; 8], &[2], &[0], &[&run]), "a run that leaves the chunk");
        assert!(
            !all.put_bytes(&[0; 12], &[3], &[0], &[&run, &run]) && !all.put_bytes(&[], &[usize::MAX], &[0], &[&run])
        );
        assert!(all.put_bytes(&[9, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0], &[3], &[0], &[&run]));
        assert_eq!(s.finish(), Array::from_vec(vec![1_i32.to_le(), 2_i32.to_le()]));
        let mut scalar = Scatter::new(DType::U8, &[]);
        assert!(scalar.whole().unwrap().put_bytes(&[7], &[], &[], &[]));
        assert_eq!(scalar.finish(), Array::scalar(7_u8));
    }

    #[test]
    fn pieces_are_the_result_from_its_beginning_to_its_end() {
        let mut s = Scatter::new(DType::U16, &[2, 3]);
        assert!(s.pieces(&[1, 4]).is_none() && s.pieces(&[6, 1]).is_none() && s.pieces(&[usize::MAX]).is_none());
        for (number, piece) in s.pieces(&[1, 0, 3, 2]).unwrap().into_iter().enumerate() {
            piece.fill(number as u8);
        }
        assert_eq!(s.finish().to_i64().unwrap(), [0, 514, 514, 514, 771, 771]);
    }

    #[test]
    fn bands_are_filled_each_for_itself() {
        let mut s = Scatter::new(DType::F32, &[3, 2]);
        assert!(s.bands(&[2]).is_none() && s.bands(&[2, 2]).is_none());
        let row = [Run { src: 0, dst: 0, len: 2 }];
        for (number, band) in s.bands(&[2, 1]).unwrap().iter_mut().enumerate() {
            let runs: [&[Run]; 2] = [&[Run { src: 5, dst: 0, len: 1 }], &row];
            let chunk: [f32; 2] = [number as f32, 7.0];
            assert!(band.put_bytes(bytemuck::cast_slice(&chunk), &[1, 2], &[5, 0], &runs));
            let beyond: [&[Run]; 2] = [&[Run { src: 5, dst: 2 - number, len: 1 }], &row];
            assert!(!band.put_bytes(bytemuck::cast_slice(&chunk), &[1, 2], &[5, 0], &beyond));
        }
        assert_eq!(s.finish().to_f64().unwrap(), [0.0, 7.0, 0.0, 0.0, 1.0, 7.0]);
        assert!(Scatter::new(DType::F32, &[]).bands(&[1]).is_none() && Scatter::new(DType::F32, &[]).whole().is_some());
    }

    #[test]
    fn scatter_checks_shapes() {
        let mut s = Scatter::new(DType::I32, &[2]);
        let run = [Run { src: 1, dst: 0, len: 2 }];
        assert!(!s.put(Array::from_vec(vec![1_i32, 2]), &[0], &[&run]));
        assert!(!s.put(Array::from_vec(vec![1_i64, 2, 3]), &[0], &[&run]));
        assert!(s.put(Array::from_vec(vec![1_i32, 2, 3]), &[0], &[&run]));
        assert_eq!(s.finish(), Array::from_vec(vec![2_i32, 3]));
    }
}
