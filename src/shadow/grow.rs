//! Making global elements longer, when a new modality brings rows that the MuData did not have: what is not known of them is
//! missing, or NaN where the format has no missing values.

use ndarray::{ArrayD, Axis, IxDyn};
use num_complex::{Complex32, Complex64};

use crate::value::{
    Array, Categorical, DatetimeMs, DatetimeNs, DatetimeS, DatetimeUs, Element, Item, NaValue, Nullable, Sparse, Table,
};

/// `element` with `more` rows behind it, on its first `axes` axes (one, or two for pairwise elements). A frame gets `names`
/// as row names.
///
/// # Errors
/// What it is, if it has no form for values that are not known.
pub(super) fn grown(element: &Element, axes: usize, names: &[String]) -> Result<Element, String> {
    let more = names.len();
    match element {
        Element::Array(a) => {
            let first = unknown(a, 0, more)?;
            Ok(Element::Array(if axes == 2 { unknown(&first, 1, more)? } else { first }))
        }
        Element::Sparse(s) => sparse(s, axes, more).map(Element::Sparse),
        Element::Table(t) => table(t, names).map(Element::Table),
        other => Err(other.describe()),
    }
}

/// A mask with `more` rows that are not the modality's, or a map likewise: false, or 0.
pub(super) fn with_none(array: &Array, more: usize) -> Result<Array, String> {
    macro_rules! zeros {
        ($($variant:ident),*) => {
            match array {
                $(Array::$variant(a) => Ok(padded(a, 0, more, Default::default())),)*
                other => Err(Element::Array(other.clone()).describe()),
            }
        };
    }
    zeros!(Bool, I8, I16, I32, I64, U8, U16, U32, U64, F32, F64)
}

/// A frame with `names` as further rows, of which no column knows anything.
pub(super) fn table(table: &Table, names: &[String]) -> Result<Table, String> {
    let mut rows = table.index().texts().ok_or_else(|| table.index().describe())?;
    rows.extend(names.iter().cloned().map(Some));
    let missing: Vec<bool> = rows.iter().map(Option::is_none).collect();
    let texts = Array::from_vec(rows.into_iter().map(Option::unwrap_or_default).collect::<Vec<String>>());
    let index = match table.index() {
        Element::Nullable(n) => Element::Nullable(Nullable::new(texts, missing, n.na_value())?),
        _ => Element::Array(texts),
    };
    // A column of the index's name is one child with it (format, 2.4).
    let of_index = |name: &String| table.index_name() == Some(name.as_str());
    let grown = |name: &String, c: &Element| if of_index(name) { Ok(index.clone()) } else { column(c, names.len()) };
    let columns = table.columns().iter().map(|(name, c)| Ok((name.clone(), grown(name, c)?)));
    let columns = columns.collect::<Result<Vec<_>, String>>()?;
    Table::new(table.index_name().map(str::to_owned), index, columns)
}

/// A column with `more` missing values. Integers, booleans and texts become nullable.
fn column(column: &Element, more: usize) -> Result<Element, String> {
    let absent = |values: &Array, missing: Vec<bool>, na: NaValue| {
        let missing = missing.into_iter().chain(std::iter::repeat_n(true, more)).collect();
        Nullable::new(zeros_behind(values, more)?, missing, na).map(Element::Nullable)
    };
    match column {
        Element::Nullable(n) => absent(n.values(), n.missing().to_vec(), n.na_value()),
        Element::Categorical(c) => {
            let codes = match c.codes() {
                Array::I8(a) => padded(a, 0, more, -1),
                Array::I16(a) => padded(a, 0, more, -1),
                Array::I32(a) => padded(a, 0, more, -1),
                // Unsigned codes have no missing value.
                other => {
                    let codes = other.to_i64().ok_or("codes that do not fit")?;
                    Array::from_vec(codes.into_iter().chain(std::iter::repeat_n(-1, more)).collect::<Vec<i64>>())
                }
            };
            Categorical::new(codes, c.categories().clone(), c.ordered()).map(Element::Categorical)
        }
        Element::Array(a) => match unknown(a, 0, more) {
            Ok(array) => Ok(Element::Array(array)),
            Err(_) => absent(a, vec![false; a.len()], NaValue::Nan),
        },
        other => Err(other.describe()),
    }
}

fn zeros_behind(values: &Array, more: usize) -> Result<Array, String> {
    match values {
        Array::Str(a) => Ok(padded(a, 0, more, String::new())),
        other => with_none(other, more),
    }
}

/// An array with `more` values behind it along `axis` that are not known: NaN, NaT.
fn unknown(array: &Array, axis: usize, more: usize) -> Result<Array, String> {
    Ok(match array {
        Array::F16(a) => padded(a, axis, more, half::f16::NAN),
        Array::F32(a) => padded(a, axis, more, f32::NAN),
        Array::F64(a) => padded(a, axis, more, f64::NAN),
        Array::C64(a) => padded(a, axis, more, Complex32::new(f32::NAN, f32::NAN)),
        Array::C128(a) => padded(a, axis, more, Complex64::new(f64::NAN, f64::NAN)),
        Array::DatetimeS(a) => padded(a, axis, more, DatetimeS(i64::MIN)),
        Array::DatetimeMs(a) => padded(a, axis, more, DatetimeMs(i64::MIN)),
        Array::DatetimeUs(a) => padded(a, axis, more, DatetimeUs(i64::MIN)),
        Array::DatetimeNs(a) => padded(a, axis, more, DatetimeNs(i64::MIN)),
        other => return Err(Element::Array(other.clone()).describe()),
    })
}

fn padded<T: Item>(array: &ArrayD<T>, axis: usize, more: usize, fill: T) -> Array {
    let mut shape = array.shape().to_vec();
    shape[axis] = more;
    let rest = ArrayD::from_elem(IxDyn(&shape), fill);
    // The shapes agree on every other axis.
    ndarray::concatenate(Axis(axis), &[array.view(), rest.view()]).unwrap_or_else(|_| array.clone()).into()
}

/// A sparse matrix with empty rows (and columns) behind it.
fn sparse(sparse: &Sparse, axes: usize, more: usize) -> Result<Sparse, String> {
    let mut shape = sparse.shape();
    shape.iter_mut().take(axes).for_each(|n| *n += more);
    let mut indptr = sparse.indptr().to_vec();
    let end = indptr.last().copied().unwrap_or(0);
    indptr.resize(shape[sparse.format().major()] + 1, end);
    Sparse::new(sparse.format(), shape, sparse.data().clone(), sparse.indices().clone(), indptr)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::SparseFormat;

    #[test]
    fn what_is_not_known_is_missing() {
        let names = ["x".to_owned(), "y".to_owned()];
        let floats = Element::Array(Array::from(ndarray::array![[1.0_f32, 2.0]]));
        let grown_floats = grown(&floats, 1, &names).unwrap();
        assert_eq!(grown_floats.shape(), [3, 2]);
        let ints = Element::Array(Array::from(ndarray::array![[1_i32]]));
        assert!(grown(&ints, 1, &names).is_err());
        let codes = Categorical::new(Array::from_vec(vec![0_u8]), Array::from_vec(vec!["a".to_owned()]), true).unwrap();
        let columns = vec![
            ("n".to_owned(), Element::Array(Array::from_vec(vec![7_i16]))),
            ("t".to_owned(), Element::Array(Array::from_vec(vec!["b".to_owned()]))),
            ("c".to_owned(), Element::Categorical(codes)),
        ];
        let index = Element::Array(Array::from_vec(vec!["w".to_owned()]));
        let table = table(&Table::new(None, index, columns).unwrap(), &names).unwrap();
        assert_eq!(table.index().texts().unwrap().len(), 3);
        for (wanted, (_, column)) in ["7", "b", "a"].iter().zip(table.columns()) {
            assert_eq!(column.texts().unwrap(), [Some((*wanted).to_owned()), None, None]);
        }
    }

    #[test]
    fn sparse_matrices_get_empty_rows() {
        let eye = |format| {
            Sparse::new(format, [2, 2], Array::from_vec(vec![1.0_f32, 2.0]), vec![0, 1], vec![0, 1, 2]).unwrap()
        };
        for format in [SparseFormat::Csr, SparseFormat::Csc] {
            assert_eq!(sparse(&eye(format), 1, 3).unwrap().shape(), [5, 2]);
            let pairs = sparse(&eye(format), 2, 1).unwrap();
            assert_eq!((pairs.shape(), pairs.nnz()), ([3, 3], 2));
        }
    }
}
