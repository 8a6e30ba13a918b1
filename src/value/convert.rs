//! The way between [`Element`] and the types users work with: [`FromElement`] on reading, `From … for Element` on
//! writing.

use ndarray::{ArrayD, Dimension};
use polars::prelude::{DataFrame, Series};

use super::{
    Array, Awkward, Categorical, Element, Item, Nullable, Records, Sparse, Table, column_to_series, records_to_frame,
    table_to_frame,
};

/// Why a value is not of the type asked for: what was wanted, and what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    pub(crate) wanted: String,
    pub(crate) found: String,
}

impl Mismatch {
    fn new(wanted: impl Into<String>, found: &Element) -> Self {
        Self { wanted: wanted.into(), found: found.describe() }
    }
}

/// A type that an element can be read as.
///
/// Dtypes are exact: asking for `Array2<f32>` where `float64` is stored is an error that says so; ask for [`Array`] or
/// [`Element`] to take what there is. Asking for a dense array where a sparse matrix is stored fills it up, and the other
/// way round drops the zeros.
pub trait FromElement: Sized {
    /// The element as this type.
    ///
    /// # Errors
    /// What was wanted and what was found.
    fn from_element(element: Element) -> Result<Self, Mismatch>;
}

impl FromElement for Element {
    fn from_element(element: Element) -> Result<Self, Mismatch> {
        Ok(element)
    }
}

impl FromElement for Array {
    fn from_element(element: Element) -> Result<Self, Mismatch> {
        match element {
            Element::Array(a) => Ok(a),
            Element::Sparse(s) => filled(&s, "an array"),
            other => Err(Mismatch::new("an array", &other)),
        }
    }
}

impl<T: Item, D: Dimension> FromElement for ndarray::Array<T, D> {
    fn from_element(element: Element) -> Result<Self, Mismatch> {
        let axes = D::NDIM.map_or_else(String::new, |n| format!("{n}-d "));
        let wanted = format!("a {axes}{} array", T::DTYPE);
        let array = match element {
            Element::Sparse(s) if s.data().dtype() == T::DTYPE => filled(&s, &wanted)?,
            Element::Array(a) => a,
            other => return Err(Mismatch::new(wanted, &other)),
        };
        let typed: ArrayD<T> = T::unwrap(array).map_err(|a| Mismatch::new(wanted.clone(), &Element::Array(a)))?;
        let shape = typed.shape().to_vec();
        typed
            .into_dimensionality()
            .map_err(|_| Mismatch { wanted, found: format!("a {}-d array of shape {shape:?}", shape.len()) })
    }
}

fn filled(sparse: &Sparse, wanted: &str) -> Result<Array, Mismatch> {
    sparse
        .to_dense()
        .map_err(|why| Mismatch { wanted: wanted.to_owned(), found: format!("a {}: {why}", sparse.format()) })
}

impl FromElement for Sparse {
    fn from_element(element: Element) -> Result<Self, Mismatch> {
        match element {
            Element::Sparse(s) => Ok(s),
            other => Err(Mismatch::new("a sparse matrix", &other)),
        }
    }
}

impl<T: Item> FromElement for sprs::CsMat<T> {
    fn from_element(element: Element) -> Result<Self, Mismatch> {
        let wanted = || format!("a sparse matrix of {}", T::DTYPE);
        let sparse = match &element {
            Element::Sparse(s) => s.to_sprs(),
            Element::Array(a) if T::DTYPE.is_numeric() => a
                .view::<T>()
                .and_then(|a| a.view().into_dimensionality::<ndarray::Ix2>().ok())
                .and_then(|a| Sparse::from_dense(&a.to_owned())?.to_sprs()),
            _ => None,
        };
        sparse.ok_or_else(|| Mismatch::new(wanted(), &element))
    }
}

impl FromElement for Categorical {
    fn from_element(element: Element) -> Result<Self, Mismatch> {
        match element {
            Element::Categorical(c) => Ok(c),
            other => Err(Mismatch::new("a categorical", &other)),
        }
    }
}

impl FromElement for Nullable {
    fn from_element(element: Element) -> Result<Self, Mismatch> {
        match element {
            Element::Nullable(n) => Ok(n),
            other => Err(Mismatch::new("a nullable array", &other)),
        }
    }
}

impl FromElement for Table {
    fn from_element(element: Element) -> Result<Self, Mismatch> {
        match element {
            Element::Table(t) => Ok(t),
            other => Err(Mismatch::new("a dataframe", &other)),
        }
    }
}

impl FromElement for Records {
    fn from_element(element: Element) -> Result<Self, Mismatch> {
        match element {
            Element::Records(r) => Ok(r),
            other => Err(Mismatch::new("a structured array", &other)),
        }
    }
}

impl FromElement for Awkward {
    fn from_element(element: Element) -> Result<Self, Mismatch> {
        match element {
            Element::Awkward(a) => Ok(a),
            other => Err(Mismatch::new("an awkward array", &other)),
        }
    }
}

impl FromElement for DataFrame {
    fn from_element(element: Element) -> Result<Self, Mismatch> {
        match &element {
            Element::Records(r) => records_to_frame(r),
            Element::Table(t) => table_to_frame(t),
            _ => return Err(Mismatch::new("a dataframe", &element)),
        }
        .map_err(|found| Mismatch { wanted: "a frame that polars can hold".into(), found })
    }
}

impl FromElement for Series {
    fn from_element(element: Element) -> Result<Self, Mismatch> {
        column_to_series("", &element)
            .map_err(|found| Mismatch { wanted: "a column that polars can hold".into(), found })
    }
}

macro_rules! scalars {
    ($($t:ty),*) => {$(
        impl FromElement for $t {
            fn from_element(element: Element) -> Result<Self, Mismatch> {
                match &element {
                    Element::Array(a) if a.ndim() == 0 => a.view::<$t>().and_then(|a| a.first().cloned()),
                    _ => None,
                }
                .ok_or_else(|| Mismatch::new(format!("a {} scalar", <$t as Item>::DTYPE), &element))
            }
        }

        impl From<$t> for Element {
            fn from(value: $t) -> Self {
                Self::Array(Array::scalar(value))
            }
        }
    )*};
}
scalars!(bool, i8, i16, i32, i64, u8, u16, u32, u64, half::f16, f32, f64, String);

impl From<&str> for Element {
    fn from(value: &str) -> Self {
        Self::Array(Array::scalar(value.to_owned()))
    }
}

impl From<Array> for Element {
    fn from(array: Array) -> Self {
        Self::Array(array)
    }
}

impl<T: Item, D: Dimension> From<ndarray::Array<T, D>> for Element {
    fn from(array: ndarray::Array<T, D>) -> Self {
        Self::Array(array.into())
    }
}

impl<T: Item, I: sprs::SpIndex> From<sprs::CsMatI<T, I>> for Element {
    fn from(matrix: sprs::CsMatI<T, I>) -> Self {
        Self::Sparse(matrix.into())
    }
}

macro_rules! wrapped {
    ($($t:ident),*) => {$(
        impl From<$t> for Element {
            fn from(value: $t) -> Self {
                Self::$t(value)
            }
        }
    )*};
}
wrapped!(Sparse, Categorical, Nullable, Table, Records, Awkward);

impl<K: Into<String>, V: Into<Self>, const N: usize> From<[(K, V); N]> for Element {
    fn from(entries: [(K, V); N]) -> Self {
        Self::Mapping(entries.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }
}
