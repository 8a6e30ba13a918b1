//! [`Array`]: an n-dimensional array whose dtype is known at run time.

use half::f16;
use half::slice::HalfFloatSliceExt;
use ndarray::{ArrayD, ArrayView, Dimension, IxDyn};
use num_complex::{Complex32, Complex64};

use super::memory::use_huge_pages;
use super::{ByteString, DType, DatetimeMs, DatetimeNs, DatetimeS, DatetimeUs, Item, with_dtype};

/// An n-dimensional array in C order, one variant per [`DType`]. With no dimensions it is a scalar.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[allow(missing_docs)] // The variants are the dtypes.
pub enum Array {
    Bool(ArrayD<bool>),
    I8(ArrayD<i8>),
    I16(ArrayD<i16>),
    I32(ArrayD<i32>),
    I64(ArrayD<i64>),
    U8(ArrayD<u8>),
    U16(ArrayD<u16>),
    U32(ArrayD<u32>),
    U64(ArrayD<u64>),
    F16(ArrayD<f16>),
    F32(ArrayD<f32>),
    F64(ArrayD<f64>),
    C64(ArrayD<Complex32>),
    C128(ArrayD<Complex64>),
    Str(ArrayD<String>),
    Bytes(ArrayD<ByteString>),
    DatetimeS(ArrayD<DatetimeS>),
    DatetimeMs(ArrayD<DatetimeMs>),
    DatetimeUs(ArrayD<DatetimeUs>),
    DatetimeNs(ArrayD<DatetimeNs>),
}

/// Runs an expression with the typed `ArrayD` inside an [`Array`] bound to a name.
macro_rules! with_array {
    ($array:expr, $a:ident => $body:expr) => {
        match $array {
            $crate::value::Array::Bool($a) => $body,
            $crate::value::Array::I8($a) => $body,
            $crate::value::Array::I16($a) => $body,
            $crate::value::Array::I32($a) => $body,
            $crate::value::Array::I64($a) => $body,
            $crate::value::Array::U8($a) => $body,
            $crate::value::Array::U16($a) => $body,
            $crate::value::Array::U32($a) => $body,
            $crate::value::Array::U64($a) => $body,
            $crate::value::Array::F16($a) => $body,
            $crate::value::Array::F32($a) => $body,
            $crate::value::Array::F64($a) => $body,
            $crate::value::Array::C64($a) => $body,
            $crate::value::Array::C128($a) => $body,
            $crate::value::Array::Str($a) => $body,
            $crate::value::Array::Bytes($a) => $body,
            $crate::value::Array::DatetimeS($a) => $body,
            $crate::value::Array::DatetimeMs($a) => $body,
            $crate::value::Array::DatetimeUs($a) => $body,
            $crate::value::Array::DatetimeNs($a) => $body,
        }
    };
}
pub(crate) use with_array;

impl Array {
    /// An array of this shape filled with the dtype's zero (`false`, `""`). The caller has bounded the shape.
    #[must_use]
    pub fn zeros(dtype: DType, shape: &[usize]) -> Self {
        with_dtype!(dtype, T => {
            let zeros = ArrayD::from_elem(IxDyn(shape), T::default());
            use_huge_pages(zeros.as_slice().unwrap_or_default());
            T::wrap(zeros)
        })
    }

    /// A one-dimensional array.
    #[must_use]
    pub fn from_vec<T: Item>(items: Vec<T>) -> Self {
        T::wrap(ndarray::Array1::from_vec(items).into_dyn())
    }

    /// An array of this shape from its items in C order; `None` if their number does not fit.
    #[must_use]
    pub fn from_shape_vec<T: Item>(shape: &[usize], items: Vec<T>) -> Option<Self> {
        ArrayD::from_shape_vec(IxDyn(shape), items).ok().map(T::wrap)
    }

    /// An array of this shape from little-endian bytes in C order; `None` if their number does not fit or the dtype is
    /// `string` or `bytes`.
    #[must_use]
    pub fn from_le_bytes(dtype: DType, shape: &[usize], bytes: &[u8]) -> Option<Self> {
        let size = dtype.size()?;
        if shape.iter().try_fold(size, |n, &k| n.checked_mul(k)) != Some(bytes.len()) {
            return None;
        }
        if cfg!(target_endian = "little") {
            let mut array = Self::zeros(dtype, shape);
            if let Some(places) = array.bytes_mut() {
                places.copy_from_slice(bytes);
                return Some(array);
            }
        }
        with_dtype!(dtype, T => {
            let items: Option<Vec<T>> = bytes.chunks_exact(size).map(T::read_le).collect();
            Self::from_shape_vec(shape, items?)
        })
    }

    /// The items in C order as little-endian bytes; strings as their UTF-8, byte strings as they are, end to end.
    #[must_use]
    pub fn to_le_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.nbytes());
        with_array!(self, a => a.iter().for_each(|x| x.write_le(&mut out)));
        out
    }

    /// Whether the items are integers or floats, whose bytes mean themselves.
    pub(crate) fn has_plain_bytes(&self) -> bool {
        self.dtype().is_integer() || matches!(self, Self::F16(_) | Self::F32(_) | Self::F64(_))
    }

    /// The bytes of the items in C order, in this machine's byte order; `None` if they are not
    /// [plain](Self::has_plain_bytes).
    pub(crate) fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        macro_rules! plain {
            ($($variant:ident)*) => {
                match self {
                    $(Self::$variant(a) => a.as_slice_mut().map(bytemuck::cast_slice_mut),)*
                    Self::F16(a) => a.as_slice_mut().map(|halves| bytemuck::cast_slice_mut(halves.reinterpret_cast_mut())),
                    _ => None,
                }
            };
        }
        plain!(I8 I16 I32 I64 U8 U16 U32 U64 F32 F64)
    }

    /// A scalar.
    #[must_use]
    pub fn scalar<T: Item>(value: T) -> Self {
        T::wrap(ndarray::arr0(value).into_dyn())
    }

    /// The dtype.
    #[must_use]
    pub fn dtype(&self) -> DType {
        fn of<T: Item>(_: &ArrayD<T>) -> DType {
            T::DTYPE
        }
        with_array!(self, a => of(a))
    }

    /// The shape.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        with_array!(self, a => a.shape())
    }

    /// Number of dimensions; 0 for a scalar.
    #[must_use]
    pub fn ndim(&self) -> usize {
        self.shape().len()
    }

    /// Number of items.
    #[must_use]
    pub fn len(&self) -> usize {
        with_array!(self, a => a.len())
    }

    /// Whether there are no items.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the items in memory (for strings, their text plus the pointers).
    #[must_use]
    pub fn nbytes(&self) -> usize {
        match self {
            Self::Str(a) => a.iter().map(|s| s.len() + std::mem::size_of::<String>()).sum(),
            Self::Bytes(a) => a.iter().map(|s| s.0.len() + std::mem::size_of::<ByteString>()).sum(),
            other => other.len() * other.dtype().size().unwrap_or(0),
        }
    }

    /// The same items in C order under another shape; `None` if their number does not fit.
    #[must_use]
    pub fn reshape(self, shape: &[usize]) -> Option<Self> {
        with_array!(self, a => {
            let items = a.as_standard_layout().into_owned().into_raw_vec_and_offset().0;
            Self::from_shape_vec(shape, items)
        })
    }

    /// The typed array, by reference; `None` if the dtype is another.
    #[must_use]
    pub fn view<T: Item>(&self) -> Option<&ArrayD<T>> {
        T::view(self)
    }

    /// The items as `i64` in C order, for integer dtypes; `None` for others, and for a value beyond `i64`.
    #[must_use]
    pub fn to_i64(&self) -> Option<Vec<i64>> {
        self.map_i64(|x| x)
    }

    /// What `each` makes of the items, which are integers and fit into an `i64`; `None` if they are not or do not.
    pub(crate) fn map_i64<T>(&self, each: impl Fn(i64) -> T) -> Option<Vec<T>> {
        macro_rules! ints {
            ($a:expr) => {
                Some($a.as_standard_layout().as_slice()?.iter().map(|&x| each(i64::from(x))).collect())
            };
        }
        match self {
            Self::I8(a) => ints!(a),
            Self::I16(a) => ints!(a),
            Self::I32(a) => ints!(a),
            Self::I64(a) => ints!(a),
            Self::U8(a) => ints!(a),
            Self::U16(a) => ints!(a),
            Self::U32(a) => ints!(a),
            Self::U64(a) => a.iter().map(|&x| i64::try_from(x).ok().map(&each)).collect(),
            _ => None,
        }
    }

    /// Integers of the same dtype and shape: positive ones numbered from 1 in C order, all others 0. (A number that its dtype
    /// cannot hold cannot come up: there are no more of them than there were.) Arrays that are not of integers are as before.
    pub(crate) fn renumbered(&self) -> Self {
        macro_rules! number {
            ($($variant:ident $t:ty),*) => {
                match self {
                    $(Self::$variant(a) => {
                        let mut next: $t = 0;
                        Self::$variant(a.mapv(|x| if x > 0 { next = next.saturating_add(1); next } else { 0 }))
                    })*
                    other => other.clone(),
                }
            };
        }
        number!(I8 i8, I16 i16, I32 i32, I64 i64, U8 u8, U16 u16, U32 u32, U64 u64)
    }

    /// The items as `f64` in C order, for bool, integer and float dtypes; `None` for others.
    #[must_use]
    pub fn to_f64(&self) -> Option<Vec<f64>> {
        Some(match self {
            Self::Bool(a) => a.iter().map(|&x| f64::from(u8::from(x))).collect(),
            Self::I64(a) => a.iter().map(|&x| x as f64).collect(),
            Self::U64(a) => a.iter().map(|&x| x as f64).collect(),
            Self::F16(a) => a.iter().map(|x| x.to_f64()).collect(),
            Self::F32(a) => a.iter().map(|&x| f64::from(x)).collect(),
            Self::F64(a) => a.iter().copied().collect(),
            ints => ints.to_i64()?.into_iter().map(|x| x as f64).collect(),
        })
    }

    /// The items as text in C order, as Python's `str` would give for integers and strings; floats in shortest form,
    /// dates as numpy shows them.
    #[must_use]
    pub fn to_strings(&self) -> Vec<String> {
        match self {
            Self::Str(a) => a.iter().cloned().collect(),
            Self::Bool(a) => a.iter().map(|&x| if x { "True" } else { "False" }.to_owned()).collect(),
            Self::F32(a) => a.iter().map(|x| format!("{x:?}")).collect(),
            Self::F64(a) => a.iter().map(|x| format!("{x:?}")).collect(),
            other => with_array!(other, a => a.iter().map(|x| x.to_string()).collect()),
        }
    }
}

impl<T: Item, D: Dimension> From<ndarray::Array<T, D>> for Array {
    fn from(array: ndarray::Array<T, D>) -> Self {
        let array = array.into_dyn();
        T::wrap(if array.is_standard_layout() { array } else { array.as_standard_layout().into_owned() })
    }
}

impl<T: Item, D: Dimension> From<ArrayView<'_, T, D>> for Array {
    fn from(array: ArrayView<'_, T, D>) -> Self {
        T::wrap(array.into_dyn().as_standard_layout().into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_round_trip_for_every_fixed_dtype() {
        for &dtype in DType::ALL.iter().filter(|d| d.size().is_some()) {
            let size = dtype.size().unwrap();
            let bytes: Vec<u8> =
                (0..6 * size).map(|i| if dtype == DType::Bool { (i % 2) as u8 } else { i as u8 }).collect();
            let a = Array::from_le_bytes(dtype, &[2, 3], &bytes).unwrap();
            assert_eq!((a.dtype(), a.shape(), a.to_le_bytes()), (dtype, &[2, 3][..], bytes.clone()));
            assert!(Array::from_le_bytes(dtype, &[2, 2], &bytes).is_none());
            assert!(Array::from_le_bytes(dtype, &[2, 3], &bytes[1..]).is_none());
            assert_eq!(DType::parse(dtype.name()), Some(dtype));
        }
    }

    #[test]
    fn foreign_layouts_become_c_order() {
        let t = ndarray::array![[1_i32, 2], [3, 4], [5, 6]].reversed_axes();
        assert_eq!(Array::from(t).to_i64().unwrap(), [1, 3, 5, 2, 4, 6]);
    }
}
