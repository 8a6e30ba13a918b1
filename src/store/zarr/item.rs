//! [`Items`]: how the items of an array lie in a decoded chunk, and their way from and to [`Array`]s. A plain array is a
//! structured one with a single field.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use half::f16;
use serde_json::{Map, Value};

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
    size: usize,
    /// Where in the item it begins.
    offset: usize,
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

/// Lengths of fixed-length values that are believed.
const LENGTHS: std::ops::RangeInclusive<usize> = 1..=(1 << 20);
/// Bytes of a structured item that are believed.
const MAX_ITEM: usize = 1 << 26;

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
    fn swapped(self, bytes: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
        let Some(word) = self.word().filter(|&w| w > 1) else { return bytes };
        let mut bytes = bytes.into_owned();
        bytes.chunks_exact_mut(word).for_each(<[u8]>::reverse);
        bytes.into()
    }

    fn unpack(self, bytes: Cow<'_, [u8]>, shape: &[usize]) -> Result<Array, Fault> {
        let wrong = || Fault::Malformed("a chunk decodes to another number of items than its shape".into());
        let bytes = self.swapped(bytes);
        let values = || bytes.chunks_exact(self.size().max(1));
        match self {
            Self::Plain { dtype, .. } => Array::from_le_bytes(dtype, shape, &bytes).ok_or_else(wrong),
            Self::Utf32 { .. } => {
                let texts: Result<Vec<String>, Fault> = values().map(utf32).collect();
                Array::from_shape_vec(shape, texts?).ok_or_else(wrong)
            }
            Self::Bytes { .. } => {
                Array::from_shape_vec(shape, values().map(ByteString::from_field).collect()).ok_or_else(wrong)
            }
            Self::Text | Self::Blob => Err(wrong()),
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
    fn len(&self) -> usize {
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
    fn fields(fields: Vec<Part>) -> Option<Self> {
        let mut size = 0_usize;
        let mut parts: Vec<Part> = Vec::new();
        for mut part in fields {
            let len = part.shape.iter().try_fold(part.size, |n, &k| n.checked_mul(k))?;
            part.offset = size;
            size = size.checked_add(len).filter(|&n| n <= MAX_ITEM)?;
            if part.size == 0 || parts.iter().any(|p| p.name == part.name) {
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
        let wrong = || Fault::Malformed("a chunk decodes to another number of items than its shape".into());
        let (_, whole) = self.typed(part, shape)?;
        let part = &self.parts[part];
        match (flat, part.form) {
            (Flat::Loose(items), Some(Form::Text)) => {
                let texts: Result<Vec<String>, Fault> = std::mem::take(items).into_iter().map(utf8).collect();
                Array::from_shape_vec(&whole, texts?).ok_or_else(wrong)
            }
            (Flat::Loose(items), Some(Form::Blob)) => {
                let blobs = std::mem::take(items).into_iter().map(ByteString).collect();
                Array::from_shape_vec(&whole, blobs).ok_or_else(wrong)
            }
            (Flat::Fixed(bytes), Some(form)) if self.size > 0 => {
                let count: usize = shape.iter().product();
                if bytes.len() != count * self.size {
                    return Err(wrong());
                }
                let field = part.offset..part.offset + part.len();
                let bytes: Cow<'_, [u8]> = if part.len() == self.size {
                    Cow::Borrowed(bytes)
                } else {
                    bytes.chunks_exact(self.size).flat_map(|item| &item[field.clone()]).copied().collect()
                };
                form.unpack(bytes, &whole)
            }
            _ => Err(wrong()),
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

    /// The item that stands for those that are not stored, with what writers leave open made plain: null, and numbers where
    /// text or booleans belong.
    pub(super) fn fill(&self, value: &Value) -> Result<Flat, String> {
        let bad = || format!("fill value {value}");
        if let Some(form) = self.form() {
            let fixed = |v: Vec<u8>| Flat::Fixed(form.swapped(v.into()).into_owned());
            return match form {
                Form::Text => Ok(Flat::Loose(vec![value.as_str().unwrap_or_default().into()])),
                Form::Blob => Ok(Flat::Loose(vec![value.as_str().and_then(decode).unwrap_or_default()])),
                _ => fill_of(form, value).map(fixed).ok_or_else(bad),
            };
        }
        let mut item = vec![0; self.size];
        match value {
            // Some writers put other things than zeros there, even of another length.
            Value::String(text) => {
                if let Some(bytes) = decode(text).filter(|b| b.len() == self.size) {
                    item = bytes;
                }
            }
            Value::Object(map) => {
                for part in &self.parts {
                    let (Some(form), Some(value)) = (part.form, map.get(&part.name)) else { continue };
                    if part.shape.is_empty() {
                        let bytes = fill_of(form, value).ok_or_else(bad)?;
                        item[part.offset..part.offset + part.len()].copy_from_slice(&form.swapped(bytes.into()));
                    }
                }
            }
            _ => {}
        }
        Ok(Flat::Fixed(item))
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

fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// A fill value as little-endian bytes.
fn fill_of(form: Form, value: &Value) -> Option<Vec<u8>> {
    let size = form.size();
    let (dtype, text) = match form {
        Form::Plain { dtype, .. } => (dtype, None),
        Form::Utf32 { .. } => (DType::Str, value.as_str().map(to_utf32)),
        _ => (DType::Bytes, value.as_str().map(|s| decode(s).unwrap_or_default())),
    };
    let whole = |x: i128| x.to_le_bytes()[..size].to_vec();
    let float = |value: &Value| {
        let bytes = |x: f64| match dtype {
            DType::F16 => f16::from_f64(x).to_le_bytes().to_vec(),
            DType::F32 | DType::C64 => (x as f32).to_le_bytes().to_vec(),
            _ => x.to_le_bytes().to_vec(),
        };
        match value {
            Value::Null => Some(bytes(0.0)),
            Value::Bool(b) => Some(bytes(f64::from(u8::from(*b)))),
            Value::Number(n) => n.as_f64().map(bytes),
            Value::String(s) => match s.as_str() {
                "NaN" => Some(bytes(f64::NAN)),
                "Infinity" => Some(bytes(f64::INFINITY)),
                "-Infinity" => Some(bytes(f64::NEG_INFINITY)),
                hex => {
                    let len = bytes(0.0).len();
                    let bits = u64::from_str_radix(hex.strip_prefix("0x").filter(|h| h.len() == 2 * len)?, 16).ok()?;
                    Some(bits.to_le_bytes()[..len].to_vec())
                }
            },
            _ => None,
        }
    };
    match dtype {
        DType::Str | DType::Bytes => {
            let mut bytes = text.unwrap_or_default();
            bytes.resize(size, 0);
            Some(bytes)
        }
        DType::Bool => match value {
            Value::Null => Some(vec![0]),
            Value::Bool(b) => Some(vec![u8::from(*b)]),
            Value::Number(n) => Some(vec![u8::from(n.as_f64() != Some(0.0))]),
            _ => None,
        },
        DType::F16 | DType::F32 | DType::F64 => float(value),
        DType::C64 | DType::C128 => match value {
            Value::Array(pair) if pair.len() == 2 => Some([float(&pair[0])?, float(&pair[1])?].concat()),
            Value::Array(_) => None,
            real => Some([float(real)?, float(&Value::Null)?].concat()),
        },
        _ => {
            let absent = if dtype.is_integer() { 0 } else { i128::from(i64::MIN) };
            match value {
                Value::Null => Some(whole(absent)),
                Value::String(s) if s == "NaT" && !dtype.is_integer() => Some(whole(absent)),
                Value::Bool(b) => Some(whole(i128::from(*b))),
                Value::Number(n) => {
                    let int = n.as_i64().map(i128::from).or_else(|| n.as_u64().map(i128::from));
                    // Exact: only integral values below 2^53 are taken from floats.
                    let float = || n.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 9e15).map(|f| f as i128);
                    let x = int.or_else(float)?;
                    // Nothing is cut off.
                    let bits = 8 * size as u32;
                    let (low, high) = match dtype {
                        DType::U8 | DType::U16 | DType::U32 | DType::U64 => (0, (1_i128 << bits) - 1),
                        _ => (-(1_i128 << (bits - 1)), (1_i128 << (bits - 1)) - 1),
                    };
                    (low..=high).contains(&x).then(|| whole(x))
                }
                _ => None,
            }
        }
    }
}

pub(super) fn plain_text(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        Value::Null => "no data type".into(),
        other => other.to_string(),
    }
}

/// A value of a known size that may not be understood, and the axes it has of its own.
struct Kind {
    form: Option<Form>,
    size: usize,
    shape: Vec<usize>,
}

impl Kind {
    fn part(self, name: &str, stored: &Value) -> Part {
        let Self { form, size, shape } = self;
        Part { name: name.to_owned(), form, stored: plain_text(stored), shape, size, offset: 0 }
    }
}

fn fixed(form: Form) -> Kind {
    Kind { form: Some(form), size: form.size(), shape: Vec::new() }
}

/// A value that is not understood but can be stepped over.
fn opaque(size: usize) -> Option<Kind> {
    (1..=MAX_ITEM).contains(&size).then(|| Kind { form: None, size, shape: Vec::new() })
}

/// The items of a version 2 dtype. What objects are is told by the filters.
pub(super) fn v2(dtype: &Value, filters: &[Value]) -> Option<Items> {
    if dtype.is_array() {
        return v2_fields(dtype);
    }
    if dtype.as_str() == Some("|O") {
        let id = |f: &Value| match f["id"].as_str()? {
            "vlen-utf8" | "json2" | "categorize" => Some(Form::Text),
            "vlen-bytes" => Some(Form::Blob),
            _ => None,
        };
        return filters.iter().find_map(id).map(Items::of);
    }
    v2_kind(dtype)?.form.map(Items::of)
}

fn v2_fields(dtype: &Value) -> Option<Items> {
    let field = |field: &Value| {
        let field = field.as_array().filter(|f| f.len() == 2 || f.len() == 3)?;
        let mut kind = v2_kind(&field[1])?;
        if let Some(shape) = field.get(2) {
            let lengths = || shape.as_array()?.iter().map(|n| n.as_u64()?.try_into().ok()).collect();
            kind.shape = shape.as_u64().and_then(|n| Some(vec![n.try_into().ok()?])).or_else(lengths)?;
        }
        // A list is a title and a name: the title is a second name for the same thing.
        Some(kind.part(field[0].as_str()?, &field[1]))
    };
    Items::fields(dtype.as_array()?.iter().map(field).collect::<Option<_>>()?)
}

fn v2_kind(dtype: &Value) -> Option<Kind> {
    if dtype.is_array() {
        return opaque(v2_fields(dtype)?.size);
    }
    let text = dtype.as_str()?;
    let (order, kind) = (text.get(..1)?, text.get(1..)?);
    let big = order == ">";
    if !["<", ">", "|"].contains(&order) {
        return None;
    }
    if let Some(dtype) = number(kind) {
        return Some(fixed(Form::Plain { dtype, big }));
    }
    let letter = kind.get(..1)?;
    let digits = kind.get(1..)?.split('[').next()?;
    let len: usize = digits.parse().ok()?;
    match letter {
        "U" => LENGTHS.contains(&len).then(|| fixed(Form::Utf32 { chars: len, big })),
        "S" => LENGTHS.contains(&len).then(|| fixed(Form::Bytes { len })),
        "O" => None,
        _ => opaque(len),
    }
}

/// The dtype that numpy calls so, without its byte order.
pub(super) fn number(kind: &str) -> Option<DType> {
    Some(match kind {
        "b1" => DType::Bool,
        "i1" => DType::I8,
        "i2" => DType::I16,
        "i4" => DType::I32,
        "i8" => DType::I64,
        "u1" => DType::U8,
        "u2" => DType::U16,
        "u4" => DType::U32,
        "u8" => DType::U64,
        "f2" => DType::F16,
        "f4" => DType::F32,
        "f8" => DType::F64,
        "c8" => DType::C64,
        "c16" => DType::C128,
        "M8[s]" => DType::DatetimeS,
        "M8[ms]" => DType::DatetimeMs,
        "M8[us]" => DType::DatetimeUs,
        "M8[ns]" => DType::DatetimeNs,
        _ => return None,
    })
}

/// The items of a version 3 data type; `big` if the codecs store them big-endian.
pub(super) fn v3(data_type: &Value, big: bool) -> Option<Items> {
    match name_of(data_type)? {
        "string" => Some(Items::of(Form::Text)),
        "bytes" | "variable_length_bytes" => Some(Items::of(Form::Blob)),
        "structured" | "struct" => v3_fields(data_type, big),
        _ => v3_kind(data_type, big)?.form.map(Items::of),
    }
}

fn v3_fields(data_type: &Value, big: bool) -> Option<Items> {
    let field = |field: &Value| {
        let (name, data_type) = match field {
            Value::Array(pair) if pair.len() == 2 => (&pair[0], &pair[1]),
            Value::Object(map) => (map.get("name")?, map.get("data_type")?),
            _ => return None,
        };
        Some(v3_kind(data_type, big)?.part(name.as_str()?, data_type))
    };
    Items::fields(data_type["configuration"]["fields"].as_array()?.iter().map(field).collect::<Option<_>>()?)
}

fn v3_kind(data_type: &Value, big: bool) -> Option<Kind> {
    let config = &data_type["configuration"];
    let bytes = || usize::try_from(config["length_bytes"].as_u64()?).ok();
    match name_of(data_type)? {
        "fixed_length_utf32" => {
            let chars = bytes().filter(|b| b % 4 == 0)? / 4;
            LENGTHS.contains(&chars).then(|| fixed(Form::Utf32 { chars, big }))
        }
        "null_terminated_bytes" => bytes().filter(|n| LENGTHS.contains(n)).map(|len| fixed(Form::Bytes { len })),
        "numpy.datetime64" => {
            let dtype = match (config["unit"].as_str()?, config["scale_factor"].as_u64().unwrap_or(1)) {
                ("s", 1) => DType::DatetimeS,
                ("ms", 1) => DType::DatetimeMs,
                ("us", 1) => DType::DatetimeUs,
                ("ns", 1) => DType::DatetimeNs,
                _ => return opaque(8),
            };
            Some(fixed(Form::Plain { dtype, big }))
        }
        "numpy.timedelta64" => opaque(8),
        "raw_bytes" => opaque(bytes()?),
        "structured" | "struct" => Some(axes(&v3_fields(data_type, big)?).unwrap_or(opaque(v3_fields(data_type, big)?.size)?)),
        name => match DType::parse(name).filter(|d| d.is_numeric()) {
            Some(dtype) => Some(fixed(Form::Plain { dtype, big })),
            None => opaque(name.strip_prefix('r')?.parse().ok().filter(|bits: &usize| bits % 8 == 0)? / 8),
        },
    }
}

/// Version 3 has no fields with axes of their own. Here such a field is one of fields: `0`, `1`, … of one type.
fn axes(items: &Items) -> Option<Kind> {
    let first = items.parts.first()?;
    let alike = |(i, p): (usize, &Part)| p.name == i.to_string() && (p.form, &p.shape) == (first.form, &first.shape);
    items.parts.iter().enumerate().all(alike).then(|| Kind {
        form: first.form,
        size: first.size,
        shape: [&[items.parts.len()][..], &first.shape].concat(),
    })
}

/// The same the other way round.
pub(super) fn with_axes(data_type: Value, shape: &[usize]) -> Value {
    shape.iter().rev().fold(data_type, |inner, &n| {
        let fields: Vec<Value> = (0..n).map(|i| serde_json::json!([i.to_string(), inner])).collect();
        serde_json::json!({"name": "structured", "configuration": {"fields": fields}})
    })
}

/// The name of a version 3 extension: the value itself or its `name`.
pub(super) fn name_of(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("name")?.as_str())
}

/// Whether bytes come out big-endian of these codecs, shards included.
pub(super) fn is_big(codecs: &[Value]) -> bool {
    let config = |c: &Value| c.get("configuration").and_then(Value::as_object).cloned().unwrap_or_else(Map::new);
    codecs.iter().map(config).any(|c| {
        c.get("endian").is_some_and(|e| e == "big")
            || c.get("codecs").and_then(Value::as_array).is_some_and(|inner| is_big(inner))
    })
}
