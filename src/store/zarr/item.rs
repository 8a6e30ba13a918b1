//! [`Items`]: how the items of an array lie in a decoded chunk, and their way from and to [`Array`]s. A plain array is a
//! structured one with a single field.

use std::borrow::Cow;
use std::collections::HashSet;

use super::exact::wrong_count;
use super::source::Fault;
use crate::value::{Array, ByteString, DType, check_memory};

/// How values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Numbers and points in time, as the dtype says.
    Plain { dtype: DType, big: bool },
    /// Text of a fixed number of UCS-4 characters, padded with NULs.
    Utf32 { chars: usize, big: bool },
    /// Byte strings of a fixed length, padded with NULs.
    Bytes { len: usize },
    /// Text of any length.
    Text,
    /// Byte strings of any length.
    Blob,
}

/// One field of an item.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    pub(super) name: String,
    /// `None` if it is not understood; it can still be stepped over.
    pub(super) form: Option<Form>,
    /// The data type in the document's words.
    pub(super) stored: String,
    /// Axes of its own.
    pub(super) shape: Vec<usize>,
    /// Bytes of one of its values.
    pub(super) size: usize,
    /// Where in the item it begins.
    pub(super) offset: usize,
}

/// The layout of an item.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Items {
    /// Bytes of an item in a decoded chunk; 0 for those of any length.
    pub(super) size: usize,
    pub(super) parts: Vec<Part>,
    pub(super) structured: bool,
}

/// The items of a chunk, decoded but not yet typed: in C order, end to end or one by one.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Flat {
    Fixed(Vec<u8>),
    Loose(Vec<Vec<u8>>),
}

/// Bytes of a structured item that are believed.
pub(super) const MAX_ITEM: usize = 1 << 26;

impl Form {
    pub(super) const fn dtype(self) -> DType {
        match self {
            Self::Plain { dtype, .. } => dtype,
            Self::Utf32 { .. } | Self::Text => DType::Str,
            Self::Bytes { .. } | Self::Blob => DType::Bytes,
        }
    }

    pub(super) fn size(self) -> usize {
        match self {
            Self::Plain { dtype, .. } => dtype.size().unwrap_or(0),
            Self::Utf32 { chars, .. } => chars * 4,
            Self::Bytes { len } => len,
            Self::Text | Self::Blob => 0,
        }
    }

    /// Bytes of the numbers that byte order turns around: of complex values, each of the two.
    const fn word(self) -> Option<usize> {
        match self {
            Self::Plain { dtype: DType::C64, big: true } => Some(4),
            Self::Plain { dtype: DType::C128, big: true } => Some(8),
            Self::Plain { dtype, big: true } => dtype.size(),
            Self::Utf32 { big: true, .. } => Some(4),
            _ => None,
        }
    }

    /// Stored bytes in little-endian order, or the other way round.
    pub(super) fn swapped(self, bytes: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
        let Some(word) = self.word().filter(|&w| w > 1) else { return bytes };
        let mut bytes = bytes.into_owned();
        bytes.chunks_exact_mut(word).for_each(<[u8]>::reverse);
        bytes.into()
    }

    fn unpack(self, bytes: Cow<'_, [u8]>, shape: &[usize]) -> Result<Array, Fault> {
        let bytes = self.swapped(bytes);
        let values = || bytes.chunks_exact(self.size().max(1));
        match self {
            Self::Plain { dtype, .. } => Array::from_le_bytes(dtype, shape, &bytes).ok_or_else(wrong_count),
            Self::Utf32 { .. } => {
                let texts: Result<Vec<String>, Fault> = values().map(utf32).collect();
                Array::from_shape_vec(shape, texts?).ok_or_else(wrong_count)
            }
            Self::Bytes { .. } => {
                Array::from_shape_vec(shape, values().map(ByteString::from_field).collect()).ok_or_else(wrong_count)
            }
            Self::Text | Self::Blob => Err(wrong_count()),
        }
    }

    fn pack(self, array: &Array) -> Result<Vec<u8>, Fault> {
        let size = self.size();
        let padded = |values: &mut dyn Iterator<Item = Vec<u8>>| {
            let mut out = Vec::with_capacity(array.len() * size);
            for mut value in values {
                if value.len() > size {
                    return Err(Fault::Unsupported(format!("a value of {} bytes in a field of {size}", value.len())));
                }
                value.resize(size, 0);
                out.extend(value);
            }
            Ok(out)
        };
        let bytes = match (array.view::<String>(), array.view::<ByteString>()) {
            (Some(texts), _) => padded(&mut texts.iter().map(|t| to_utf32(t)))?,
            (_, Some(strings)) => padded(&mut strings.iter().map(|s| s.0.clone()))?,
            _ => array.to_le_bytes(),
        };
        Ok(self.swapped(bytes.into()).into_owned())
    }
}

fn utf32(item: &[u8]) -> Result<String, Fault> {
    let code = |b: &[u8]| Some(u32::from_le_bytes(b.try_into().ok()?));
    let chars: Option<String> = item.chunks_exact(4).map(|b| char::from_u32(code(b)?)).collect();
    let chars = chars.ok_or_else(|| Fault::Malformed("text that is not UTF-32".into()))?;
    Ok(chars.trim_end_matches('\0').to_owned())
}

pub(super) fn to_utf32(text: &str) -> Vec<u8> {
    text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect()
}

fn utf8(bytes: Vec<u8>) -> Result<String, Fault> {
    String::from_utf8(bytes).map_err(|_| Fault::Malformed("text that is not UTF-8".into()))
}

impl Part {
    /// Bytes in an item.
    pub(super) fn len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.size
    }
}

impl Items {
    /// Items of one value each.
    pub(super) fn of(form: Form) -> Self {
        let part = Part {
            name: String::new(),
            form: Some(form),
            stored: String::new(),
            shape: Vec::new(),
            size: form.size(),
            offset: 0,
        };
        Self { size: form.size(), parts: vec![part], structured: false }
    }

    /// Items of these fields, packed one behind the other.
    pub(super) fn fields(fields: Vec<Part>) -> Option<Self> {
        let mut size = 0_usize;
        let mut parts = Vec::with_capacity(fields.len());
        let mut names = HashSet::new();
        for mut part in fields {
            let len = part.shape.iter().try_fold(part.size, |n, &k| n.checked_mul(k))?;
            part.offset = size;
            size = size.checked_add(len).filter(|&n| n <= MAX_ITEM)?;
            if part.size == 0 || !names.insert(part.name.clone()) {
                return None;
            }
            parts.push(part);
        }
        (size > 0).then_some(Self { size, parts, structured: true })
    }

    /// The one form of items that are not structured.
    pub(super) fn form(&self) -> Option<Form> {
        if self.structured { None } else { self.parts.first()?.form }
    }

    /// The dtype and the shape that field number `part` has in a chunk of this shape; memory for it can be had.
    pub(super) fn typed(&self, part: usize, shape: &[usize]) -> Result<(DType, Vec<usize>), Fault> {
        let part = &self.parts[part];
        let form = part.form.ok_or_else(|| {
            Fault::Unsupported(format!("data type {} of field `{}` is not understood", part.stored, part.name))
        })?;
        let shape = [shape, &part.shape].concat();
        check_memory(form.dtype(), &shape).map_err(Fault::Malformed)?;
        Ok((form.dtype(), shape))
    }

    /// Field number `part` of the items of a chunk of this shape. Items of any length, of which there is one field only, are
    /// taken out of `flat`.
    pub(super) fn unpack(&self, part: usize, flat: &mut Flat, shape: &[usize]) -> Result<Array, Fault> {
        let (_, whole) = self.typed(part, shape)?;
        let part = &self.parts[part];
        match (flat, part.form) {
            (Flat::Loose(items), Some(Form::Text)) => {
                let texts: Result<Vec<String>, Fault> = std::mem::take(items).into_iter().map(utf8).collect();
                Array::from_shape_vec(&whole, texts?).ok_or_else(wrong_count)
            }
            (Flat::Loose(items), Some(Form::Blob)) => {
                let blobs = std::mem::take(items).into_iter().map(ByteString).collect();
                Array::from_shape_vec(&whole, blobs).ok_or_else(wrong_count)
            }
            (Flat::Fixed(bytes), Some(form)) if self.size > 0 => {
                let count: usize = shape.iter().product();
                if bytes.len() != count * self.size {
                    return Err(wrong_count());
                }
                let field = part.offset..part.offset + part.len();
                let bytes: Cow<'_, [u8]> = if part.len() == self.size {
                    Cow::Borrowed(bytes)
                } else {
                    bytes.chunks_exact(self.size).flat_map(|item| &item[field.clone()]).copied().collect()
                };
                form.unpack(bytes, &whole)
            }
            _ => Err(wrong_count()),
        }
    }

    /// The items of a chunk from its fields, all of them.
    pub(super) fn pack(&self, fields: &[Array]) -> Result<Flat, Fault> {
        if let (Some(Form::Text | Form::Blob), [array]) = (self.form(), fields) {
            let texts = array.view::<String>().map(|a| a.iter().map(|s| s.clone().into_bytes()).collect());
            let blobs = || array.view::<ByteString>().map(|a| a.iter().map(|s| s.0.clone()).collect());
            return texts.or_else(blobs).map(Flat::Loose).ok_or_else(|| Fault::Malformed("not text".into()));
        }
        let mut out = Vec::new();
        for (part, array) in self.parts.iter().zip(fields) {
            let form = part.form.ok_or_else(|| Fault::Unsupported(format!("data type {}", part.stored)))?;
            let bytes = form.pack(array)?;
            if part.len() == self.size {
                return Ok(Flat::Fixed(bytes));
            }
            if out.is_empty() {
                out = vec![0; bytes.len() / part.len().max(1) * self.size];
            }
            for (item, value) in out.chunks_exact_mut(self.size).zip(bytes.chunks_exact(part.len().max(1))) {
                item[part.offset..part.offset + value.len()].copy_from_slice(value);
            }
        }
        Ok(Flat::Fixed(out))
    }
}

impl Flat {
    /// Whether these are all this one item.
    pub(super) fn is_all(&self, item: &Self) -> bool {
        match (self, item) {
            (Self::Fixed(items), Self::Fixed(item)) => items.chunks(item.len().max(1)).all(|i| i == item),
            (Self::Loose(items), Self::Loose(item)) => items.iter().all(|i| Some(i) == item.first()),
            _ => false,
        }
    }
}
