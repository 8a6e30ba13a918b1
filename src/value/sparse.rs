//! [`Sparse`]: a CSR or CSC matrix, one struct with the axes swapped.

use std::collections::HashMap;
use std::fmt;

use ndarray::{Array2, ArrayD};

use super::{Array, Item, check_memory, with_array};
use crate::index::Rows;

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
    indices: Vec<u64>,
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
        indices: Vec<u64>,
        indptr: Vec<u64>,
    ) -> Result<Self, String> {
        check_indptr(&indptr, shape[format.major()], data.len() as u64)?;
        if data.ndim() != 1 || data.len() != indices.len() {
            return Err(format!("{} values for {} indices", data.len(), indices.len()));
        }
        if !data.dtype().is_numeric() {
            return Err("a sparse matrix cannot hold strings".into());
        }
        let minor = shape[1 - format.major()] as u64;
        if let Some(bad) = indices.iter().find(|&&i| i >= minor) {
            return Err(format!("index {bad} is out of range for an axis of {minor}"));
        }
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
    pub fn indices(&self) -> &[u64] {
        &self.indices
    }

    /// Where the values of each row (CSR) or column (CSC) begin; one more entry than there are.
    #[must_use]
    pub fn indptr(&self) -> &[u64] {
        &self.indptr
    }

    /// Number of stored values.
    #[must_use]
    pub fn nnz(&self) -> usize {
        self.indices.len()
    }

    /// Bytes in memory.
    #[must_use]
    pub fn nbytes(&self) -> usize {
        self.data.nbytes() + 8 * (self.indices.len() + self.indptr.len())
    }

    /// `indices` and `indptr` in the integer type that scipy gives both: `int32`, or `int64` if something does not fit.
    pub(crate) fn stored_indices(&self) -> [Array; 2] {
        let minor = self.shape[1 - self.format.major()];
        let narrow = self.nnz() <= i32::MAX as usize && minor <= i32::MAX as usize;
        [&self.indices, &self.indptr].map(|values| {
            if narrow {
                Array::from_vec(values.iter().map(|&v| v as i32).collect())
            } else {
                Array::from_vec(values.iter().map(|&v| v as i64).collect())
            }
        })
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
        let keep = MinorFilter::new(&minor, self.shape[1 - self.format.major()]);
        let mut picks = Vec::new();
        let mut indices = Vec::new();
        let mut indptr = vec![0_u64];
        for m in major.iter() {
            keep.append(&self.indices, self.indptr[m] as usize..self.indptr[m + 1] as usize, &mut picks, &mut indices);
            indptr.push(indices.len() as u64);
        }
        let data = self.data.take(&[Rows::picks(picks)]);
        Self { format: self.format, shape, data, indices, indptr }
    }

    /// The matrix with every entry in its place, repeated entries added up.
    ///
    /// # Errors
    /// If it does not fit into memory.
    pub fn to_dense(&self) -> Result<Array, String> {
        fn typed<T: Item>(s: &Sparse, data: &ArrayD<T>) -> Array {
            let mut out = vec![T::default(); s.shape[0] * s.shape[1]];
            for (m, k, value) in s.entries(data) {
                let (row, col) = if s.format == SparseFormat::Csr { (m, k) } else { (k, m) };
                let cell = &mut out[row * s.shape[1] + col];
                *cell = add(cell, value);
            }
            Array::from_shape_vec(&s.shape, out).unwrap_or_else(|| Array::zeros(T::DTYPE, &s.shape))
        }
        check_memory(self.data.dtype(), &self.shape)?;
        Ok(with_array!(&self.data, a => typed(self, a)))
    }

    /// Stored entries as (major, minor, value).
    fn entries<'a, T: Item>(&'a self, data: &'a ArrayD<T>) -> impl Iterator<Item = (usize, usize, &'a T)> {
        let values = data.as_slice().unwrap_or_default();
        self.indptr.windows(2).enumerate().flat_map(move |(m, w)| {
            let span = w[0] as usize..w[1] as usize;
            let minor = self.indices.get(span.clone()).unwrap_or_default();
            let of_row = values.get(span).unwrap_or_default();
            minor.iter().zip(of_row).map(move |(&k, value)| (m, k as usize, value))
        })
    }

    /// As sprs's matrix: indices sorted, repeated entries added up, explicit zeros kept. `None` if the values are of
    /// another type.
    #[must_use]
    pub fn to_sprs<T: Item>(&self) -> Option<sprs::CsMat<T>> {
        let data = self.data.view::<T>()?;
        let (mut indptr, mut indices, mut values) =
            (vec![0], Vec::with_capacity(self.nnz()), Vec::<T>::with_capacity(self.nnz()));
        let mut entries = self.entries(data).peekable();
        for m in 0..self.indptr.len() - 1 {
            let mut row = Vec::new();
            while let Some((_, k, value)) = entries.next_if(|(of, ..)| *of == m) {
                row.push((k, value.clone()));
            }
            row.sort_by_key(|(k, _)| *k);
            let begin = indices.len();
            for (k, value) in row {
                match values.last_mut().filter(|_| indices.len() > begin && indices.last() == Some(&k)) {
                    Some(last) => *last = add(last, &value),
                    None => {
                        indices.push(k);
                        values.push(value);
                    }
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
        let (mut data, mut indices, mut indptr) = (Vec::new(), Vec::new(), vec![0_u64]);
        for row in dense.rows() {
            for (k, value) in row.iter().enumerate().filter(|(_, v)| **v != T::default()) {
                data.push(value.clone());
                indices.push(k as u64);
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
        let indices: Vec<u64> = m.indices().iter().map(|i| i.index() as u64).collect();
        let data = Array::from_vec(m.data().to_vec());
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

/// Which positions of the uncompressed axis are wanted, and where they go.
pub(crate) enum MinorFilter {
    /// All stay where they are.
    Keep,
    /// Those of a range, which may be much longer than there are values.
    Range { start: i128, step: i128, len: i128 },
    /// Position → where it goes, however often.
    Map(HashMap<u64, Vec<u64>>),
}

impl MinorFilter {
    /// A filter for `rows` on an axis of `len`.
    pub(crate) fn new(rows: &Rows, len: usize) -> Self {
        if rows.is_all_of(len) {
            return Self::Keep;
        }
        match *rows {
            Rows::All(len) => return Self::Range { start: 0, step: 1, len: len as i128 },
            Rows::Range { start, step, len } => {
                return Self::Range { start: start as i128, step: step as i128, len: len as i128 };
            }
            Rows::Picks(_) => {}
        }
        let mut map: HashMap<u64, Vec<u64>> = HashMap::new();
        for (to, from) in rows.iter().enumerate() {
            map.entry(from as u64).or_default().push(to as u64);
        }
        Self::Map(map)
    }

    /// Appends, for the stored entries `span` of one row, where their values lie (`picks`) and their new indices.
    pub(crate) fn append(
        &self,
        indices: &[u64],
        span: std::ops::Range<usize>,
        picks: &mut Vec<usize>,
        out: &mut Vec<u64>,
    ) {
        match self {
            Self::Keep => {
                picks.extend(span.clone());
                out.extend(&indices[span]);
            }
            Self::Range { start, step, len } => {
                for at in span {
                    let ahead = i128::from(indices[at]) - start;
                    let to = ahead / step;
                    if ahead % step == 0 && (0..*len).contains(&to) {
                        picks.push(at);
                        out.push(to as u64);
                    }
                }
            }
            Self::Map(map) => {
                for at in span {
                    for &to in map.get(&indices[at]).into_iter().flatten() {
                        picks.push(at);
                        out.push(to);
                    }
                }
            }
        }
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
        let wide = Sparse::new(SparseFormat::Csr, [700, 1 << 60], Array::from_vec(vec![1_f32]), vec![1 << 59], {
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
