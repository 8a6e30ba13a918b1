//! Which stored types are which [`DType`], how they are read, and how each dtype is stored.

use super::ffi::memory_bytes;
use super::ffi::{
    Class, Column, Failure, Items, Members, Outcome, Type, read_fixed, read_numbers, read_texts, write_fixed,
    write_members, write_texts,
};
use crate::value::{Array, DType, Item, Records, with_array, with_dtype};

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
            Class::Enum if is_bool(&stored) => Some(Self::Fixed(DType::Bool, stored)),
            // Other enums are the integers that they are made of, as h5py has them.
            Class::Integer | Class::Enum => {
                let (size, signed) = (stored.size(), stored.is_signed());
                fixed(integer(size, signed)?, Type::integer(size, signed))
            }
            Class::Float => fixed(float(&stored)?, Type::float(stored.size())),
            Class::Text if stored.is_vlen_text() => Some(Self::Texts { utf8: stored.is_utf8() }),
            Class::Text => Some(Self::Padded(stored)),
            Class::Compound => complex(&stored).and_then(|dtype| fixed(dtype, number_type(dtype))),
            Class::Complex => {
                let part = stored.base().ok()?;
                fixed(pair(float(&part)?)?, Type::complex(part.size()))
            }
            _ => None,
        }
    }

    pub(super) fn dtype(&self) -> DType {
        match self {
            Self::Fixed(dtype, _) => *dtype,
            Self::Padded(_) | Self::Texts { .. } => DType::Str,
        }
    }

    /// Whether numbers are stored in the other byte order than memory has; `None` where items are no plain numbers.
    pub(super) fn is_swapped(&self, stored: &Type) -> Option<bool> {
        let Self::Fixed(_, memory) = self else { return None };
        // In memory of the other order, the library turns round what has to be.
        if cfg!(target_endian = "big") || !matches!(stored.class(), Class::Integer | Class::Float) {
            return None;
        }
        if stored.equals(memory) {
            return Some(false);
        }
        memory.big_endian().is_ok_and(|other| stored.equals(&other)).then_some(true)
    }

    /// What items are read as.
    fn memory(&self) -> Outcome<Type> {
        match self {
            Self::Fixed(_, memory) | Self::Padded(memory) => memory.copy(),
            Self::Texts { utf8 } => Type::vlen_text(*utf8),
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
        match self {
            Self::Fixed(dtype, memory) => {
                with_dtype!(*dtype, T => numbers::<T>(items, memory, shape))?.ok_or_else(misfit)
            }
            Self::Padded(stored) => self.decode(&read_fixed(items, stored)?, shape),
            Self::Texts { utf8 } => Array::from_shape_vec(shape, read_texts(items, *utf8)?).ok_or_else(misfit),
        }
    }

    /// Items of fixed size, read as [`memory`](Self::memory), from their bytes.
    fn decode(&self, bytes: &[u8], shape: &[usize]) -> Outcome<Array> {
        match self {
            Self::Fixed(dtype, _) => Array::from_le_bytes(*dtype, shape, bytes),
            Self::Padded(stored) => {
                let texts = bytes.chunks_exact(stored.size().max(1)).map(|field| padded(stored, field));
                Array::from_shape_vec(shape, texts.collect::<Outcome<_>>()?)
            }
            Self::Texts { .. } => None,
        }
        .ok_or_else(misfit)
    }
}

fn misfit() -> Failure {
    Failure::new("another number of items than the shape says")
}

/// The fields of a compound that are wanted, and how to read them.
#[derive(Debug)]
pub(super) struct Fields {
    stored: Type,
    wanted: Vec<FieldDecoder>,
}

/// A field of a compound.
#[derive(Debug)]
pub(super) struct FieldDecoder {
    number: u32,
    decoder: Decoder,
    /// Axes that the field has of its own.
    pub axes: Vec<usize>,
}

impl FieldDecoder {
    pub(super) fn dtype(&self) -> DType {
        self.decoder.dtype()
    }
}

/// A field as it is stored.
pub(super) struct StoredField {
    pub name: String,
    pub axes: Vec<usize>,
    pub item: Type,
}

/// The fields of a stored type that has fields; none for all others.
pub(super) fn stored_fields(stored: &Type) -> Vec<StoredField> {
    if stored.class() != Class::Compound || complex(stored).is_some() {
        return Vec::new();
    }
    let fields = stored.members().into_iter().zip(0..).filter_map(|(name, i)| {
        let (axes, item) = axes_and_item(stored.member(i)?)?;
        Some(StoredField { name, axes, item })
    });
    fields.collect()
}

/// An array type within an array type is one with the axes of both.
fn axes_and_item(stored: Type) -> Option<(Vec<usize>, Type)> {
    if stored.class() != Class::Array {
        return Some((Vec::new(), stored));
    }
    let (mut axes, item) = stored.array_of().ok()?;
    let (inner, item) = axes_and_item(item)?;
    axes.extend(inner);
    Some((axes, item))
}

impl Fields {
    /// The fields of these numbers; `Err` says which of them cannot be read, and what it is.
    pub(super) fn new(stored: Type, numbers: &[u32]) -> Result<Self, String> {
        let fields = stored_fields(&stored);
        let wanted = numbers.iter().map(|&number| {
            let field = fields.get(number as usize).ok_or_else(|| format!("it has no field number {number}"))?;
            let decoder = field.item.copy().ok().and_then(Decoder::new);
            let decoder = decoder
                .ok_or_else(|| format!("the data type of its field `{}` is {}", field.name, describe(&field.item)))?;
            Ok(FieldDecoder { number, decoder, axes: field.axes.clone() })
        });
        Ok(Self { wanted: wanted.collect::<Result<_, String>>()?, stored })
    }

    pub(super) fn wanted(&self) -> &[FieldDecoder] {
        &self.wanted
    }

    /// Reads items; each field has their shape and, behind it, its own axes.
    pub(super) fn read(&self, items: Items<'_>, shape: &[usize]) -> Outcome<Vec<Array>> {
        let member = |field: &FieldDecoder| Ok((field.number, field.decoder.memory()?.with_axes(&field.axes)?));
        let memory = self.stored.part(self.wanted.iter().map(member).collect::<Outcome<_>>()?)?;
        let members = Members::read(items, memory)?;
        let fields = self.wanted.iter().enumerate().map(|(i, field)| {
            let shape = [shape, &field.axes].concat();
            match field.decoder {
                Decoder::Texts { .. } => Array::from_shape_vec(&shape, members.texts(i)?).ok_or_else(misfit),
                _ => field.decoder.decode(&members.bytes(i)?, &shape),
            }
        });
        fields.collect()
    }
}

/// A text from its field. HDF5 has one type for texts and byte strings of fixed length, and other programs use it for text;
/// bytes that are none are an error rather than a guess.
fn padded(stored: &Type, field: &[u8]) -> Outcome<String> {
    let bytes = stored.trim(field);
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Failure::not_utf8(bytes))
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
    if stored.member_count() != 2 {
        return false;
    }
    let mut members: Vec<(String, Option<u8>)> =
        stored.members().into_iter().zip((0..).map(|i| stored.byte_value(i))).collect();
    members.iter_mut().for_each(|(name, _)| name.make_ascii_lowercase());
    members.sort();
    members == [("false".to_owned(), Some(0)), ("true".to_owned(), Some(1))]
}

fn complex(stored: &Type) -> Option<DType> {
    if stored.member_count() != 2 {
        return None;
    }
    let mut names = stored.members();
    names.sort();
    if names != ["i", "r"] {
        return None;
    }
    let part = |i| stored.member(i).filter(|m| m.class() == Class::Float).and_then(|m| float(&m));
    let (first, second) = (part(0)?, part(1)?);
    pair(first).filter(|_| first == second)
}

fn pair(part: DType) -> Option<DType> {
    match part {
        DType::F32 => Some(DType::C64),
        DType::F64 => Some(DType::C128),
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
        Class::Float if float(stored).is_some() => format!("{order}float{}", stored.size() * 8),
        Class::Float => {
            let (_, exponent, mantissa) = stored.float_bits().unwrap_or_default();
            format!("{order}float of {} bits ({exponent} of exponent, {mantissa} of mantissa)", stored.size() * 8)
        }
        Class::Text if stored.is_vlen_text() => "variable-length string".to_owned(),
        Class::Text if stored.is_utf8() => format!("UTF-8 string of {} bytes", stored.size()),
        Class::Text => format!("string of {} bytes", stored.size()),
        Class::Enum if is_bool(stored) => "bool".to_owned(),
        Class::Enum => format!("enum {{{}}}", some(&stored.members())),
        Class::Complex => format!("{order}complex{}", stored.size() * 8),
        Class::Compound if complex(stored).is_some() => format!("{order}complex{}", stored.size() * 8),
        Class::Compound => format!("compound {{{}}}", some(&stored.members())),
        Class::Array => match stored.array_of() {
            Ok((axes, item)) => format!("array {axes:?} of {}", describe(&item)),
            Err(_) => "array".to_owned(),
        },
        Class::Reference if stored.is_object_reference() => "object reference".to_owned(),
        Class::Reference => "reference".to_owned(),
        Class::Other(name) => name.to_owned(),
    }
}

/// The first names of a list that may be very long.
fn some(names: &[String]) -> String {
    const SHOWN: usize = 12;
    let more = if names.len() > SHOWN { format!(", … ({} in all)", names.len()) } else { String::new() };
    names[..names.len().min(SHOWN)].join(", ") + &more
}

/// The little-endian type of numbers.
fn number_type(dtype: DType) -> Outcome<Type> {
    let pair = |size| Type::compound([("r", Type::float(size)?), ("i", Type::float(size)?)]);
    match dtype {
        DType::Bool => Type::boolean(),
        DType::I8 | DType::I16 | DType::I32 | DType::I64 => Type::integer(dtype.size().unwrap_or(0), true),
        DType::U8 | DType::U16 | DType::U32 | DType::U64 => Type::integer(dtype.size().unwrap_or(0), false),
        DType::F16 | DType::F32 | DType::F64 => Type::float(dtype.size().unwrap_or(0)),
        DType::C64 => pair(4),
        DType::C128 => pair(8),
        other => Err(Failure::new(format!("HDF5 has no form for {other}"))),
    }
}

/// The type that a new array is stored with.
pub(super) fn stored_type(data: &Array) -> Outcome<Type> {
    match data {
        Array::Str(_) => Type::vlen_text(true),
        // An item has one byte at least.
        Array::Bytes(items) => Type::bytes(items.iter().map(|item| item.0.len()).max().unwrap_or(0).max(1)),
        numbers => number_type(numbers.dtype()),
    }
}

/// The compound that a new structured array is stored with.
pub(super) fn stored_records(data: &Records) -> Outcome<Type> {
    let fields = data.fields().iter().map(|(name, field)| {
        let axes = &field.shape()[data.shape().len()..];
        Ok((&name[..], stored_type(field)?.with_axes(axes)?))
    });
    Type::compound(fields.collect::<Outcome<Vec<_>>>()?)
}

/// Why HDF5 has no form for this array, if so.
pub(super) fn refusal(data: &Array) -> Option<String> {
    match data {
        Array::Str(texts) => {
            texts.iter().any(|t| t.contains('\0')).then(|| "an HDF5 string cannot hold a NUL character".to_owned())
        }
        Array::DatetimeS(_) | Array::DatetimeMs(_) | Array::DatetimeUs(_) | Array::DatetimeNs(_) => Some(format!(
            "HDF5 has no form for {} that others read; store it as text or as integers, or in a Zarr store",
            data.dtype()
        )),
        _ => None,
    }
}

/// Why HDF5 has no form for this field of a structured array, if so.
pub(super) fn field_refusal(name: &str, field: &Array, outer: usize) -> Option<String> {
    if name.is_empty() || name.contains('\0') {
        return Some(format!("a field of an HDF5 compound cannot be named {name:?}"));
    }
    if field.shape()[outer..].contains(&0) {
        return Some(format!("its field `{name}` has no items, which an HDF5 compound cannot say"));
    }
    refusal(field).map(|why| format!("its field `{name}`: {why}"))
}

/// Writes all items of a new dataset or attribute.
pub(super) fn write(items: Items<'_>, dtype: &Type, data: &Array) -> Outcome<()> {
    fn fixed<T: Item>(items: Items<'_>, dtype: &Type, data: &Array, typed: &ndarray::ArrayD<T>) -> Outcome<()> {
        match typed.as_slice().and_then(memory_bytes) {
            Some(bytes) => write_fixed(items, dtype, bytes),
            None => write_fixed(items, dtype, &fixed_bytes(dtype, data)?),
        }
    }
    match data {
        Array::Str(texts) => write_texts(items, texts.iter()),
        other => with_array!(other, typed => fixed(items, dtype, other, typed)),
    }
}

/// Writes all items of a new structured array.
pub(super) fn write_records(items: Items<'_>, dtype: &Type, data: &Records) -> Outcome<()> {
    let columns = data.fields().iter().map(|(_, field)| match field {
        Array::Str(texts) => Ok(Column::Texts(texts.iter().map(String::as_str).collect())),
        other => fixed_bytes(&stored_type(other)?, other).map(Column::Fixed),
    });
    write_members(items, dtype, &columns.collect::<Outcome<Vec<_>>>()?)
}

/// Items of fixed size as they are stored, end to end: byte strings with NULs behind them.
fn fixed_bytes(dtype: &Type, data: &Array) -> Outcome<Vec<u8>> {
    let Array::Bytes(items) = data else { return Ok(data.to_le_bytes()) };
    let width = dtype.size();
    let mut out = Vec::new();
    let bytes = items.len().checked_mul(width).filter(|&n| out.try_reserve_exact(n).is_ok());
    bytes.ok_or_else(|| Failure::new(format!("no memory for {} byte strings of {width} bytes", items.len())))?;
    for item in items {
        out.extend_from_slice(&item.0);
        out.resize(out.len() + width.saturating_sub(item.0.len()), 0);
    }
    Ok(out)
}
