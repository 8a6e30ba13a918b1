//! A matrix compressed along its other axis.

use ndarray::ArrayD;

use super::{Indices, Sparse, SparseFormat};
use crate::value::{Array, Item, with_array, with_indices};

impl Sparse {
    /// The same matrix in this format: every stored entry, zeros and repeated ones too. Where the axis changes, the entries of a
    /// row (CSR) or column (CSC) come out in ascending order.
    #[must_use]
    pub fn to_format(&self, format: SparseFormat) -> Self {
        if self.format == format {
            return self.clone();
        }
        let lines = self.shape[format.major()];
        let mut next = vec![0_usize; lines + 1];
        with_indices!(&self.indices, list => list.iter().for_each(|&index| next[index as usize + 1] += 1));
        next.iter_mut().fold(0, |sum, n| {
            *n += sum;
            *n
        });
        let indptr = next.iter().map(|&start| start as u64).collect();
        // Where each entry goes, and which line it comes from.
        let mut places = Vec::with_capacity(self.nnz());
        with_indices!(&self.indices, list => places.extend(list.iter().map(|&index| {
            let place = &mut next[index as usize];
            *place += 1;
            *place - 1
        })));
        let mut indices = vec![0_usize; self.nnz()];
        for (line, ends) in self.indptr.windows(2).enumerate() {
            places[ends[0] as usize..ends[1] as usize].iter().for_each(|&place| indices[place] = line);
        }
        let data = with_array!(&self.data, a => moved(a, &places));
        Self { format, shape: self.shape, data, indices: Indices::from(indices), indptr }
    }
}

fn moved<T: Item>(data: &ArrayD<T>, places: &[usize]) -> Array {
    let mut out = vec![T::default(); places.len()];
    data.iter().zip(places).for_each(|(value, &place)| out[place] = value.clone());
    Array::from_vec(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turning_keeps_every_entry() {
        // A zero, one twice, and an empty row; out of order.
        let (indices, indptr) = (vec![2, 0, 1, 1], vec![0_u64, 2, 2, 4]);
        let csr =
            Sparse::new(SparseFormat::Csr, [3, 3], Array::from_vec(vec![5_i16, 0, 7, 8]), indices, indptr).unwrap();
        let csc = csr.to_format(SparseFormat::Csc);
        assert_eq!((csc.indptr(), csc.indices()), (&[0, 1, 3, 4][..], &Indices::from(vec![0, 2, 2, 0])));
        assert_eq!(*csc.data(), Array::from_vec(vec![0_i16, 7, 8, 5]));
        assert_eq!(csc.to_dense().unwrap(), csr.to_dense().unwrap());
        let back = csc.to_format(SparseFormat::Csr);
        assert_eq!((back.indptr(), back.indices()), (csr.indptr(), &Indices::from(vec![0, 2, 1, 1])));
        assert_eq!(csr.to_format(SparseFormat::Csr), csr);
        let none =
            Sparse::new(SparseFormat::Csc, [0, 2], Array::from_vec(Vec::<f32>::new()), Vec::<i32>::new(), vec![0; 3]);
        assert_eq!(none.unwrap().to_format(SparseFormat::Csr).indptr(), [0]);
    }
}
