//! [`DType`], the primitive element types, and [`Item`], the Rust types that stand for them.

use std::fmt;

use half::f16;
use ndarray::ArrayD;
use num_complex::{Complex32, Complex64};

use super::Array;

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that an [`Array`] can hold. Sealed: the dtypes are those of the format.
pub trait Item: sealed::Sealed + Clone + Default + PartialEq + fmt::Debug + Send + Sync + 'static {
    /// The dtype of this type.
    const DTYPE: DType;
    /// Wraps an array of this type.
    fn wrap(array: ArrayD<Self>) -> Array;
    /// The array, if it is of this type.
    ///
    /// # Errors
    /// The array itself, if it is of another type.
    fn unwrap(array: Array) -> Result<ArrayD<Self>, Array>;
    /// The array by reference, if it is of this type.
    fn view(array: &Array) -> Option<&ArrayD<Self>>;
    /// The array by mutable reference, if it is of this type.
    fn view_mut(array: &mut Array) -> Option<&mut ArrayD<Self>>;
    /// One item from its little-endian bytes (`size_of::<Self>()` of them); `None` for strings and byte strings,
    /// and for a byte count that does not fit.
    fn read_le(bytes: &[u8]) -> Option<Self>;
    /// Appends the little-endian bytes of this item; strings append their UTF-8, byte strings their bytes.
    fn write_le(&self, out: &mut Vec<u8>);
}

macro_rules! dtypes {
    ($($variant:ident $rust:ty, $name:literal, $size:expr, $from:expr, $put:expr;)*) => {
        /// Element type of an array, named as numpy does.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum DType {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl DType {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Numpy's name: `float32`, `bool`, `string`, …
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Bytes of one item; `None` for strings and byte strings.
            #[must_use]
            pub const fn size(self) -> Option<usize> {
                match self { $(Self::$variant => $size,)* }
            }
        }

        $(
            impl sealed::Sealed for $rust {}
            impl Item for $rust {
                const DTYPE: DType = DType::$variant;
                fn wrap(array: ArrayD<Self>) -> Array {
                    Array::$variant(array)
                }
                fn unwrap(array: Array) -> Result<ArrayD<Self>, Array> {
                    match array { Array::$variant(a) => Ok(a), other => Err(other) }
                }
                fn view(array: &Array) -> Option<&ArrayD<Self>> {
                    match array { Array::$variant(a) => Some(a), _ => None }
                }
                fn view_mut(array: &mut Array) -> Option<&mut ArrayD<Self>> {
                    match array { Array::$variant(a) => Some(a), _ => None }
                }
                fn read_le(bytes: &[u8]) -> Option<Self> {
                    let read: fn(&[u8]) -> Option<Self> = $from;
                    read(bytes)
                }
                fn write_le(&self, out: &mut Vec<u8>) {
                    let write: fn(&Self, &mut Vec<u8>) = $put;
                    write(self, out);
                }
            }
        )*

        /// Runs an expression with a type alias bound to the Rust type of a [`DType`] known at run time.
        macro_rules! with_dtype {
            ($dtype:expr, $T:ident => $body:expr) => {
                match $dtype {
                    $($crate::value::DType::$variant => { #[allow(dead_code)] type $T = $rust; $body })*
                }
            };
        }
        pub(crate) use with_dtype;
    };
}

macro_rules! number {
    ($t:ty) => {
        |b| b.try_into().ok().map(<$t>::from_le_bytes)
    };
}

macro_rules! datetime {
    ($t:ident) => {
        |b| i64::read_le(b).map(crate::value::$t)
    };
}

dtypes! {
    Bool bool, "bool", Some(1), |b| match b { [x] => Some(*x != 0), _ => None }, |x, out| out.push(u8::from(*x));
    I8 i8, "int8", Some(1), number!(i8), |x, out| out.extend(x.to_le_bytes());
    I16 i16, "int16", Some(2), number!(i16), |x, out| out.extend(x.to_le_bytes());
    I32 i32, "int32", Some(4), number!(i32), |x, out| out.extend(x.to_le_bytes());
    I64 i64, "int64", Some(8), number!(i64), |x, out| out.extend(x.to_le_bytes());
    U8 u8, "uint8", Some(1), number!(u8), |x, out| out.extend(x.to_le_bytes());
    U16 u16, "uint16", Some(2), number!(u16), |x, out| out.extend(x.to_le_bytes());
    U32 u32, "uint32", Some(4), number!(u32), |x, out| out.extend(x.to_le_bytes());
    U64 u64, "uint64", Some(8), number!(u64), |x, out| out.extend(x.to_le_bytes());
    F16 half::f16, "float16", Some(2), |b| b.try_into().ok().map(f16::from_le_bytes), |x, out| out.extend(x.to_le_bytes());
    F32 f32, "float32", Some(4), number!(f32), |x, out| out.extend(x.to_le_bytes());
    F64 f64, "float64", Some(8), number!(f64), |x, out| out.extend(x.to_le_bytes());
    C64 num_complex::Complex32, "complex64", Some(8),
        |b| (b.len() == 8).then(|| b.split_at(4)).and_then(|(re, im)| Some(Complex32::new(f32::read_le(re)?, f32::read_le(im)?))),
        |x, out| { x.re.write_le(out); x.im.write_le(out); };
    C128 num_complex::Complex64, "complex128", Some(16),
        |b| (b.len() == 16).then(|| b.split_at(8)).and_then(|(re, im)| Some(Complex64::new(f64::read_le(re)?, f64::read_le(im)?))),
        |x, out| { x.re.write_le(out); x.im.write_le(out); };
    Str String, "string", None, |_| None, |x, out| out.extend(x.as_bytes());
    Bytes crate::value::ByteString, "bytes", None, |_| None, |x, out| out.extend(&x.0);
    DatetimeS crate::value::DatetimeS, "datetime64[s]", Some(8), datetime!(DatetimeS), |x, out| out.extend(x.0.to_le_bytes());
    DatetimeMs crate::value::DatetimeMs, "datetime64[ms]", Some(8), datetime!(DatetimeMs), |x, out| out.extend(x.0.to_le_bytes());
    DatetimeUs crate::value::DatetimeUs, "datetime64[us]", Some(8), datetime!(DatetimeUs), |x, out| out.extend(x.0.to_le_bytes());
    DatetimeNs crate::value::DatetimeNs, "datetime64[ns]", Some(8), datetime!(DatetimeNs), |x, out| out.extend(x.0.to_le_bytes());
}

impl DType {
    /// The dtype with this numpy name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|d| d.name() == name)
    }

    /// Whether values are numbers or booleans: what can stand in a matrix.
    #[must_use]
    pub const fn is_numeric(self) -> bool {
        !matches!(
            self,
            Self::Str | Self::Bytes | Self::DatetimeS | Self::DatetimeMs | Self::DatetimeUs | Self::DatetimeNs
        )
    }

    /// Whether values are integers (bool excluded).
    #[must_use]
    pub const fn is_integer(self) -> bool {
        matches!(self, Self::I8 | Self::I16 | Self::I32 | Self::I64 | Self::U8 | Self::U16 | Self::U32 | Self::U64)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
