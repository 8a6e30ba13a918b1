//! Data types of both versions, read into [`Items`].

use serde_json::{Map, Value, json};

use super::item::{Form, Items, MAX_ITEM, Part};
use crate::value::DType;

/// Lengths of fixed-length values that are believed.
const LENGTHS: std::ops::RangeInclusive<usize> = 1..=(1 << 20);

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
        "structured" | "struct" => {
            let items = v3_fields(data_type, big)?;
            axes(&items).or_else(|| opaque(items.size))
        }
        name => match DType::parse(name).filter(|d| d.is_numeric()) {
            Some(dtype) => Some(fixed(Form::Plain { dtype, big })),
            None => opaque(name.strip_prefix('r')?.parse().ok().filter(|bits: &usize| bits.is_multiple_of(8))? / 8),
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
        let fields: Vec<Value> = (0..n).map(|i| json!([i.to_string(), inner])).collect();
        json!({"name": "structured", "configuration": {"fields": fields}})
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
