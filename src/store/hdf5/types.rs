//! Which stored types are which [`DType`], how they are read, and how each dtype is stored.

use super::ffi::memory_bytes;
use super::ffi::{
    Class, Failure, Items, Outcome, Type, read_fixed, read_numbers, read_texts, write_fixed, write_texts,
};
use crate::value::{Array, DType, Item, with_array, with_dtype};

/// How to read a stored type.
#[derive(Debug)]
pub(super) enum Decoder {
    /// As this type in memory, whose items are the little-endian bytes of the dtype.
    Fixed(DType, Type),
    /// Texts of the same number of bytes, padded.
    Padded(Type),
    /// Variable-length texts.
    Texts { utf8: bool },
}

impl Decoder {
    /// The decoder for a stored type; `None` if there is none.
    pub(super) fn new(stored: Type) -> Option<Self> {
        let fixed = |dtype, memory: Outcome<Type>| memory.ok().map(|memory| Self::Fixed(dtype, memory));
        match stored.class() {
            Class::Integer => {
                let (size, signed) = (stored.size(), stored.is_signed());
                fixed(integer(size, signed)?, Type::integer(size, signed))
            }
            Class::Float => {
                let dtype = float(&stored)?;
                fixed(dtype, Type::float(stored.size()))
            }
            Class::Text if stored.is_vlen_text() => Some(Self::Texts { utf8: stored.is_utf8() }),
            Class::Text => Some(Self::Padded(stored)),
            Class::Enum if is_bool(&stored) => Some(Self::Fixed(DType::Bool, stored)),
            Class::Compound => complex(&stored).and_then(|dtype| fixed(dtype, stored_type(dtype))),
            _ => None,
        }
    }

    pub(super) fn dtype(&self) -> DType {
        match self {
            Self::Fixed(dtype, _) => *dtype,
            Self::Padded(_) | Self::Texts { .. } => DType::Str,
        }
    }

    /// Reads items and gives them this shape.
    pub(super) fn read(&self, items: Items<'_>, shape: &[usize]) -> Outcome<Array> {
        fn numbers<T: Item>(items: Items<'_>, memory: &Type, shape: &[usize]) -> Outcome<Option<Array>> {
            match read_numbers::<T>(items, memory)? {
                Some(numbers) => Ok(Array::from_shape_vec(shape, numbers)),
                None => Ok(Array::from_le_bytes(T::DTYPE, shape, &read_fixed(items, memory)?)),
            }
        }
        let array = match self {
            Self::Fixed(dtype, memory) => with_dtype!(*dtype, T => numbers::<T>(items, memory, shape))?,
            Self::Padded(stored) => {
                let bytes = read_fixed(items, stored)?;
                let texts = bytes.chunks_exact(stored.size().max(1)).map(|field| padded(stored, field));
                Array::from_shape_vec(shape, texts.collect::<Outcome<Vec<_>>>()?)
            }
            Self::Texts { utf8 } => Array::from_shape_vec(shape, read_texts(items, *utf8)?),
        };
        array.ok_or_else(|| Failure::new("another number of items than the shape says"))
    }
}

fn padded(stored: &Type, field: &[u8]) -> Outcome<String> {
    let text = std::str::from_utf8(stored.trim(field));
    text.map(str::to_owned).map_err(|_| Failure::new("a text of fixed length is not UTF-8"))
}

fn integer(size: usize, signed: bool) -> Option<DType> {
    Some(match (size, signed) {
        (1, true) => DType::I8,
        (2, true) => DType::I16,
        (4, true) => DType::I32,
        (8, true) => DType::I64,
        (1, false) => DType::U8,
        (2, false) => DType::U16,
        (4, false) => DType::U32,
        (8, false) => DType::U64,
        _ => return None,
    })
}

/// IEEE formats only: `bfloat16` too has two bytes.
fn float(stored: &Type) -> Option<DType> {
    match (stored.size(), stored.float_bits()?) {
        (2, (10, 5, 10)) => Some(DType::F16),
        (4, (23, 8, 23)) => Some(DType::F32),
        (8, (52, 11, 52)) => Some(DType::F64),
        _ => None,
    }
}

/// h5py's bool, and what others make of it: one byte, members false = 0 and true = 1 in whatever case.
fn is_bool(stored: &Type) -> bool {
    let mut members: Vec<(String, Option<u8>)> =
        stored.members().into_iter().zip((0..).map(|i| stored.byte_value(i))).collect();
    members.iter_mut().for_each(|(name, _)| name.make_ascii_lowercase());
    members.sort();
    members == [("false".to_owned(), Some(0)), ("true".to_owned(), Some(1))]
}

fn complex(stored: &Type) -> Option<DType> {
    let mut names = stored.members();
    names.sort();
    if names != ["i", "r"] {
        return None;
    }
    let part = |i| stored.member(i).filter(|m| m.class() == Class::Float).and_then(|m| float(&m));
    match (part(0)?, part(1)?) {
        (DType::F32, DType::F32) => Some(DType::C64),
        (DType::F64, DType::F64) => Some(DType::C128),
        _ => None,
    }
}

/// A stored type in words, for messages.
pub(super) fn describe(stored: &Type) -> String {
    let order = if stored.is_big_endian() { "big-endian " } else { "" };
    match stored.class() {
        Class::Integer => {
            let sign = if stored.is_signed() { "int" } else { "uint" };
            format!("{order}{sign}{}", stored.size() * 8)
        }
        Class::Float => format!("{order}float{}", stored.size() * 8),
        Class::Text if stored.is_vlen_text() => "variable-length string".to_owned(),
        Class::Text => format!("string of {} bytes", stored.size()),
        Class::Enum if is_bool(stored) => "bool".to_owned(),
        Class::Enum => format!("enum {{{}}}", stored.members().join(", ")),
        Class::Compound => format!("compound {{{}}}", stored.members().join(", ")),
        Class::Reference if stored.is_object_reference() => "object reference".to_owned(),
        Class::Reference => "reference".to_owned(),
        Class::Other(name) => name.to_owned(),
    }
}

/// The type that new arrays of a dtype are stored with.
pub(super) fn stored_type(dtype: DType) -> Outcome<Type> {
    let pair = |size| Type::compound(&[("r", Type::float(size)?), ("i", Type::float(size)?)]);
    match dtype {
        DType::Bool => Type::boolean(),
        DType::I8 | DType::I16 | DType::I32 | DType::I64 => Type::integer(dtype.size().unwrap_or(0), true),
        DType::U8 | DType::U16 | DType::U32 | DType::U64 => Type::integer(dtype.size().unwrap_or(0), false),
        DType::F16 | DType::F32 | DType::F64 => Type::float(dtype.size().unwrap_or(0)),
        DType::C64 => pair(4),
        DType::C128 => pair(8),
        DType::Str => Type::vlen_text(true),
        other => Err(Failure::new(format!("HDF5 has no form for {other}"))),
    }
}

/// Writes all items of a new dataset or attribute.
pub(super) fn write(items: Items<'_>, dtype: &Type, data: &Array) -> Outcome<()> {
    fn fixed<T: Item>(items: Items<'_>, dtype: &Type, data: &Array, typed: &ndarray::ArrayD<T>) -> Outcome<()> {
        match typed.as_slice().and_then(memory_bytes) {
            Some(bytes) => write_fixed(items, dtype, bytes),
            None => write_fixed(items, dtype, &data.to_le_bytes()),
        }
    }
    match data {
        Array::Str(texts) => write_texts(items, texts.iter()),
        other => with_array!(other, typed => fixed(items, dtype, other, typed)),
    }
}
