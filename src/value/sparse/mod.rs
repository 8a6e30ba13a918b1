//! [`Sparse`]: a CSR or CSC matrix, one struct with the axes swapped. Its indices keep the width that they are
//! stored in ([`Indices`]); [`MinorFilter`] finds those that a selection wants.

mod filter;
mod indices;
mod turned;

use std::fmt;
use std::ops::Range;

use ndarray::{Array2, ArrayD};

use super::{Array, Item, check_memory, with_array};
use crate::index::Rows;

pub use indices::Indices;

pub(crate) use filter::MinorFilter;
pub(crate) use indices::with_indices;

/// Which axis is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SparseFormat {
    /// Rows: the values of a row lie together.
    Csr,
    /// Columns: the values of a column lie together.
    Csc,
}

impl SparseFormat {
    /// The compressed axis: 0 for CSR, 1 for CSC.
    #[must_use]
    pub const fn major(self) -> usize {
        match self {
            Self::Csr => 0,
            Self::Csc => 1,
        }
    }

    /// Its encoding type on disk.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Csr => "csr_matrix",
            Self::Csc => "csc_matrix",
        }
    }
}

impl fmt::Display for SparseFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A sparse matrix. As on disk, indices need not be sorted, entries may repeat (they add up) and zeros may be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Sparse {
    format: SparseFormat,
    shape: [usize; 2],
    data: Array,
    indices: Indices,
    indptr: Vec<u64>,
}

impl Sparse {
    /// Checks and wraps the three arrays of a compressed matrix of `shape` (rows, columns).
    ///
    /// # Errors
    /// What is inconsistent: lengths, an `indptr` that does not ascend from 0, an index out of range.
    pub fn new(
        format: SparseFormat,
        shape: [usize; 2],
        data: Array,
        indices: impl Into<Indices>,
        indptr: Vec<u64>,
    ) -> Result<Self, String> {
        let indices = indices.into();
        check_indptr(&indptr, shape[format.major()], data.len() as u64)?;
        if data.ndim() != 1 || data.len() != indices.len() {
            return Err(format!("{} values for {} indices", data.len(), indices.len()));
        }
        if !data.dtype().is_numeric() {
            return Err("a sparse matrix cannot hold strings".into());
        }
        indices.check(shape[1 - format.major()])?;
        Ok(Self { format, shape, data, indices, indptr })
    }

    /// CSR or CSC.
    #[must_use]
    pub const fn format(&self) -> SparseFormat {
        self.format
    }

    /// Rows, columns.
    #[must_use]
    pub const fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// The stored values.
    #[must_use]
    pub const fn data(&self) -> &Array {
        &self.data
    }

    /// Position on the other axis of each stored value.
    #[must_use]
    pub const fn indices(&self) -> &Indices {
        &self.indices
    }

    /// Where the values of each row (CSR) or column (CSC) begin; one more entry than there are.
    #[must_use]
    pub fn indptr(&self) -> &[u64] {
        &self.indptr
    }

    /// The matrix taken apart: format, shape, values, indices, indptr.
    #[must_use]
    pub fn into_parts(self) -> (SparseFormat, [usize; 2], Array, Indices, Vec<u64>) {
        (self.format, self.shape, self.data, self.indices, self.indptr)
    }

    /// Number of stored values.
    #[must_use]
    pub fn nnz(&self) -> usize {
        self.indices.len()
    }

    /// Bytes in memory.
    #[must_use]
    pub fn nbytes(&self) -> usize {
        self.data.nbytes() + self.indices.nbytes() + 8 * self.indptr.len()
    }

    /// `indices` and `indptr` in the integer type that scipy gives both: `int32`, or `int64` if something does not fit.
    pub(crate) fn stored_indices(&self) -> [Array; 2] {
        let minor = self.shape[1 - self.format.major()];
        let narrow = self.nnz() <= i32::MAX as usize && minor <= i32::MAX as usize;
        let indices = match &self.indices {
            Indices::I32(list) if narrow => Array::from_vec(list.clone()),
            Indices::I64(list) if !narrow => Array::from_vec(list.clone()),
            wide if narrow => Array::from_vec(wide.iter().map(|i| i as i32).collect()),
            short => Array::from_vec(short.iter().map(|i| i as i64).collect()),
        };
        let indptr = if narrow {
            Array::from_vec(self.indptr.iter().map(|&p| p as i32).collect())
        } else {
            Array::from_vec(self.indptr.iter().map(|&p| p as i64).collect())
        };
        [indices, indptr]
    }

    /// The sub-matrix at these rows and columns (`None`: all), in the same format.
    ///
    /// # Panics
    /// If a row or column lies outside the matrix.
    #[must_use]
    pub fn take(&self, rows: Option<&Rows>, cols: Option<&Rows>) -> Self {
        let all = |n: usize| Rows::All(n);
        let rows = rows.cloned().unwrap_or_else(|| all(self.shape[0]));
        let cols = cols.cloned().unwrap_or_else(|| all(self.shape[1]));
        let shape = [rows.len(), cols.len()];
        let [major, minor] = if self.format == SparseFormat::Csr { [rows, cols] } else { [cols, rows] };
        let filter = MinorFilter::new(&minor, self.shape[1 - self.format.major()]);
        let spans = major.iter().map(|m| self.indptr[m] as usize..self.indptr[m + 1] as usize);
        let mut indptr = vec![0_u64];
        let (entries, indices) = if matches!(filter, MinorFilter::Keep) {
            let mut end = 0;
            let entries = Rows::spans(spans.inspect(|span| {
                end += span.len() as u64;
                indptr.push(end);
            }));
            let indices = self.indices.of_spans(entries.runs());
            (entries, indices)
        } else {
            let (mut picks, mut indices) = (Vec::new(), Indices::on_axis(minor.len()));
            for span in spans {
                with_indices!(&self.indices, list => filter.scan(&list[span.clone()], |i, to| {
                    picks.push(span.start + i);
                    indices.push(to);
                }));
                indptr.push(picks.len() as u64);
            }
            (Rows::picks(picks), indices)
        };
        let data = self.data.take(&[entries]);
        Self { format: self.format, shape, data, indices, indptr }
    }

    /// The matrix with every entry in its place, repeated entries added up.
    ///
    /// # Errors
    /// If it does not fit into memory.
    pub fn to_dense(&self) -> Result<Array, String> {
        fn typed<T: Item>(s: &Sparse, data: &ArrayD<T>) -> Array {
            let mut out = vec![T::default(); s.shape[0] * s.shape[1]];
            let values = data.as_slice().unwrap_or_default();
            let (major_step, minor_step) =
                if s.format == SparseFormat::Csr { (s.shape[1], 1) } else { (1, s.shape[1]) };
            with_indices!(&s.indices, list => for (major, span) in s.spans().enumerate() {
                for (&index, value) in list[span.clone()].iter().zip(&values[span]) {
                    let cell = &mut out[major * major_step + index as usize * minor_step];
                    *cell = add(cell, value);
                }
            });
            Array::from_shape_vec(&s.shape, out).unwrap_or_else(|| Array::zeros(T::DTYPE, &s.shape))
        }
        check_memory(self.data.dtype(), &self.shape)?;
        Ok(with_array!(&self.data, a => typed(self, a)))
    }

    /// Where the entries of each row (CSR) or column (CSC) lie.
    fn spans(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.indptr.windows(2).map(|w| w[0] as usize..w[1] as usize)
    }

    /// As sprs's matrix: indices sorted, repeated entries added up, explicit zeros kept. `None` if the values are of
    /// another type.
    #[must_use]
    pub fn to_sprs<T: Item>(&self) -> Option<sprs::CsMat<T>> {
        let data = self.data.view::<T>()?.as_slice()?;
        let (mut indptr, mut indices, mut values) =
            (vec![0], Vec::with_capacity(self.nnz()), Vec::<T>::with_capacity(self.nnz()));
        for span in self.spans() {
            let (begin, of_row) = (indices.len(), &data[span.clone()]);
            with_indices!(&self.indices, list => indices.extend(list[span].iter().map(|&index| index as usize)));
            if indices[begin..].is_sorted_by(|a, b| a < b) {
                values.extend_from_slice(of_row);
            } else {
                let mut row: Vec<(usize, &T)> = indices.drain(begin..).zip(of_row).collect();
                row.sort_by_key(|&(k, _)| k);
                for same in row.chunk_by(|a, b| a.0 == b.0) {
                    indices.push(same[0].0);
                    values.push(same[1..].iter().fold(same[0].1.clone(), |sum, (_, value)| add(&sum, value)));
                }
            }
            indptr.push(indices.len());
        }
        let (r, c) = (self.shape[0], self.shape[1]);
        match self.format {
            SparseFormat::Csr => sprs::CsMatI::try_new((r, c), indptr, indices, values).ok(),
            SparseFormat::Csc => sprs::CsMatI::try_new_csc((r, c), indptr, indices, values).ok(),
        }
    }

    /// The entries of a dense matrix that are not zero (`-0.0` is zero, NaN is not), as CSR.
    #[must_use]
    pub fn from_dense<T: Item>(dense: &Array2<T>) -> Option<Self> {
        let (mut data, mut indices, mut indptr) = (Vec::new(), Indices::on_axis(dense.ncols()), vec![0_u64]);
        for row in dense.rows() {
            for (k, value) in row.iter().enumerate().filter(|(_, v)| **v != T::default()) {
                data.push(value.clone());
                indices.push(k);
            }
            indptr.push(indices.len() as u64);
        }
        let shape = [dense.nrows(), dense.ncols()];
        Self::new(SparseFormat::Csr, shape, Array::from_vec(data), indices, indptr).ok()
    }
}

impl<T: Item, I: sprs::SpIndex> From<sprs::CsMatI<T, I>> for Sparse {
    fn from(m: sprs::CsMatI<T, I>) -> Self {
        let format = if m.is_csr() { SparseFormat::Csr } else { SparseFormat::Csc };
        let shape = [m.rows(), m.cols()];
        let m = if m.indptr().is_proper() { m } else { m.to_owned() };
        let indptr: Vec<u64> = m.proper_indptr().iter().map(|i| i.index() as u64).collect();
        let indices: Vec<usize> = m.indices().iter().map(|i| i.index()).collect();
        let indices = indices.into();
        let data = Array::from_vec(m.into_raw_storage().2);
        Self { format, shape, data, indices, indptr }
    }
}

/// Checks that `indptr` has one entry more than the `major` axis and ascends from 0 to at most `nnz`.
pub(crate) fn check_indptr(indptr: &[u64], major: usize, nnz: u64) -> Result<(), String> {
    if indptr.len() != major.saturating_add(1) {
        return Err(format!("indptr has {} entries for an axis of {major}", indptr.len()));
    }
    if indptr.first() != Some(&0) {
        return Err("indptr does not begin with 0".into());
    }
    if indptr.windows(2).any(|w| w[0] > w[1]) {
        return Err("indptr descends".into());
    }
    match indptr.last() {
        Some(&last) if last != nnz => Err(format!("indptr ends at {last}, but {nnz} values are stored")),
        _ => Ok(()),
    }
}

/// `a + b`, wrapping for integers (as numpy), `or` for booleans; strings never get here.
fn add<T: Item>(a: &T, b: &T) -> T {
    if *a == T::default() {
        return b.clone();
    }
    let two = Array::from_vec(vec![a.clone(), b.clone()]);
    macro_rules! sum {
        ($x:expr, $f:expr) => {
            Array::from_vec(vec![$f($x[[0]].clone(), $x[[1]].clone())])
        };
    }
    let one = match &two {
        Array::Bool(x) => sum!(x, |a: bool, b: bool| a || b),
        Array::I8(x) => sum!(x, i8::wrapping_add),
        Array::I16(x) => sum!(x, i16::wrapping_add),
        Array::I32(x) => sum!(x, i32::wrapping_add),
        Array::I64(x) => sum!(x, i64::wrapping_add),
        Array::U8(x) => sum!(x, u8::wrapping_add),
        Array::U16(x) => sum!(x, u16::wrapping_add),
        Array::U32(x) => sum!(x, u32::wrapping_add),
        Array::U64(x) => sum!(x, u64::wrapping_add),
        Array::F16(x) => sum!(x, |a, b| a + b),
        Array::F32(x) => sum!(x, |a, b| a + b),
        Array::F64(x) => sum!(x, |a, b| a + b),
        Array::C64(x) => sum!(x, |a, b| a + b),
        Array::C128(x) => sum!(x, |a, b| a + b),
        // What is no number never gets into a sparse matrix.
        _ => two,
    };
    one.view::<T>().and_then(|x| x.first().cloned()).unwrap_or_else(|| b.clone())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn messy() -> impl Strategy<Value = Sparse> {
        (1_usize..6, 1_usize..6, any::<bool>()).prop_flat_map(|(major, minor, csr)| {
            proptest::collection::vec(proptest::collection::vec((0..minor as u64, -3_i32..4), 0..8), major).prop_map(
                move |rows| {
                    let mut indptr = vec![0];
                    for row in &rows {
                        indptr.push(indptr.last().unwrap() + row.len() as u64);
                    }
                    let (indices, data): (Vec<u64>, Vec<i32>) = rows.into_iter().flatten().unzip();
                    let (format, shape) =
                        if csr { (SparseFormat::Csr, [major, minor]) } else { (SparseFormat::Csc, [minor, major]) };
                    Sparse::new(format, shape, Array::from_vec(data), indices, indptr).unwrap()
                },
            )
        })
    }

    proptest! {
        #[test]
        fn cutting_sparse_equals_cutting_dense(m in messy(), r in proptest::collection::vec(any::<proptest::sample::Index>(), 0..6),
            c in proptest::collection::vec(any::<proptest::sample::Index>(), 0..6)) {
            let rows = Rows::picks(r.iter().map(|i| i.index(m.shape()[0])).collect::<Vec<_>>());
            let cols = Rows::picks(c.iter().map(|i| i.index(m.shape()[1])).collect::<Vec<_>>());
            prop_assert_eq!(m.take(Some(&rows), Some(&cols)).to_dense(), m.to_dense().map(|d| d.take(&[rows.clone(), cols])));
            prop_assert_eq!(m.take(Some(&rows), None).to_dense(), m.to_dense().map(|d| d.take(&[rows])));
        }

        #[test]
        fn sprs_sees_the_same_matrix(m in messy()) {
            let s = m.to_sprs::<i32>().unwrap();
            let whole = m.to_dense().unwrap();
            prop_assert_eq!(Array::from(s.to_dense()), whole.clone());
            prop_assert_eq!(Sparse::from(s).to_dense().unwrap(), whole.clone());
            let dense = whole.view::<i32>().unwrap().clone().into_dimensionality().unwrap();
            prop_assert_eq!(Sparse::from_dense::<i32>(&dense).unwrap().to_dense().unwrap(), whole);
        }
    }

    #[test]
    fn what_does_not_fit_into_memory_is_not_filled_up() {
        let wide = Sparse::new(SparseFormat::Csr, [700, 1 << 60], Array::from_vec(vec![1_f32]), vec![1_i64 << 59], {
            let mut indptr = vec![1; 701];
            indptr[0] = 0;
            indptr
        });
        assert!(wide.unwrap().to_dense().is_err());
    }

    #[test]
    fn inconsistent_parts_are_refused() {
        let make = |indices: Vec<u64>, indptr: Vec<u64>| {
            Sparse::new(SparseFormat::Csr, [2, 3], Array::from_vec(vec![1_f32; indices.len()]), indices, indptr)
        };
        assert!(make(vec![0, 2], vec![0, 1, 2]).is_ok());
        assert!(make(vec![0, 3], vec![0, 1, 2]).is_err());
        assert!(make(vec![0, 2], vec![0, 2]).is_err());
        assert!(make(vec![0, 2], vec![0, 2, 1]).is_err());
        assert!(make(vec![0, 2], vec![1, 1, 2]).is_err());
        assert!(make(vec![0, 2], vec![0, 1, 1]).is_err());
    }
}
