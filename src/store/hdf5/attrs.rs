//! Attributes: stored forms to JSON, JSON to the forms that h5py writes.

use serde_json::{Number, Value};

use super::ffi::{self, Id, Items, Outcome, Space, Type};
use super::types::{Decoder, stored_type, write};
use crate::store::Attrs;
use crate::value::{Array, DType};

/// An attribute larger than this is not read: no header holds it, and none of the format needs it.
const MAX_BYTES: usize = 1 << 30;

/// Attributes whose items take no more than this together are known from then on.
const FEW_BYTES: usize = 64 << 10;

/// The attributes of an object, and whether they are worth knowing: few bytes, and all of them read. What has no JSON form, or
/// cannot be read, is left out.
pub(super) fn read(object: &Id) -> Outcome<(Attrs, bool)> {
    let (mut attrs, mut bytes, mut all) = (Attrs::new(), 0_usize, true);
    for name in ffi::attr_names(object)? {
        match ffi::open_attr(object, &name).and_then(|attr| value(object, &attr, &mut bytes)) {
            Ok(Some(value)) => drop(attrs.insert(name, value)),
            Ok(None) => {}
            Err(_) => all = false,
        }
    }
    Ok((attrs, all && bytes <= FEW_BYTES))
}

/// The value of an attribute; `None` if it has no JSON form. Adds to `sum` the bytes that it has in memory.
fn value(object: &Id, attr: &Id, sum: &mut usize) -> Outcome<Option<Value>> {
    let Some(shape) = Space::of_attr(attr)?.shape()? else { return Ok(Some(Value::Array(Vec::new()))) };
    let stored = Type::of_attr(attr)?;
    let bytes = shape.iter().try_fold(stored.size().max(1), |n, &k| n.checked_mul(k));
    if bytes.is_none_or(|bytes| bytes > MAX_BYTES) {
        return Ok(None);
    }
    if stored.is_object_reference() {
        return Ok(references(object, attr, &stored)?.and_then(|items| nested(&shape, &items)));
    }
    let Some(decoder) = Decoder::new(stored) else { return Ok(None) };
    let array = decoder.read(Items::Attr(attr), &shape)?;
    *sum = sum.saturating_add(array.nbytes());
    Ok(items(&array).and_then(|items| nested(&shape, &items)))
}

fn references(object: &Id, attr: &Id, stored: &Type) -> Outcome<Option<Vec<Value>>> {
    let bytes = ffi::read_fixed(Items::Attr(attr), stored)?;
    let path = |b: &[u8]| ffi::reference_path(object, b.try_into().ok()?).map(Value::String);
    Ok(bytes.chunks_exact(8).map(path).collect())
}

/// The items as JSON; `None` if one has no JSON form (NaN, complex numbers).
fn items(array: &Array) -> Option<Vec<Value>> {
    match array {
        Array::Str(a) => Some(a.iter().cloned().map(Value::String).collect()),
        Array::Bool(a) => Some(a.iter().map(|&x| Value::Bool(x)).collect()),
        Array::U64(a) => Some(a.iter().map(|&x| Value::from(x)).collect()),
        other if other.dtype().is_integer() => Some(other.to_i64()?.into_iter().map(Value::from).collect()),
        other => other.to_f64()?.into_iter().map(|x| Number::from_f64(x).map(Value::Number)).collect(),
    }
}

/// Items in C order as lists within lists; a scalar as itself.
fn nested(shape: &[usize], items: &[Value]) -> Option<Value> {
    let Some((&len, below)) = shape.split_first() else { return items.first().cloned() };
    let step = below.iter().product::<usize>();
    let part = |i: usize| nested(below, items.get(i * step..(i + 1) * step)?);
    // No list of empty lists longer than memory, whatever the shape says.
    if items.is_empty() {
        return Some(Value::Array(Vec::new()));
    }
    (0..len).map(part).collect::<Option<Vec<_>>>().map(Value::Array)
}

/// The array that an attribute is stored as; `Err` says why there is none.
pub(super) fn encode(value: &Value) -> Result<Array, String> {
    let array = match value {
        Value::Array(list) if list.is_empty() => Some(Array::zeros(DType::F64, &[0])),
        Value::Array(list) => list_of(list),
        single => list_of(std::slice::from_ref(single)).and_then(|one| one.reshape(&[])),
    };
    let array = array.ok_or_else(|| format!("no HDF5 attribute can hold {}", shorten(value)))?;
    match &array {
        Array::Str(texts) if texts.iter().any(|t| t.contains('\0')) => {
            Err("an HDF5 string cannot hold a NUL character".to_owned())
        }
        _ => Ok(array),
    }
}

fn shorten(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() > 60 { text.chars().take(60).chain("…".chars()).collect() } else { text }
}

/// A list of items of one type; all-integer lists as int64 (uint64 where they exceed it), other numbers as float64.
fn list_of(list: &[Value]) -> Option<Array> {
    let texts = || list.iter().map(|v| v.as_str().map(str::to_owned)).collect::<Option<_>>().map(Array::from_vec);
    let bools = || list.iter().map(Value::as_bool).collect::<Option<_>>().map(Array::from_vec);
    let signed = || list.iter().map(Value::as_i64).collect::<Option<_>>().map(Array::from_vec);
    let unsigned = || list.iter().map(Value::as_u64).collect::<Option<_>>().map(Array::from_vec);
    let floats = || list.iter().map(Value::as_f64).collect::<Option<_>>().map(Array::from_vec);
    texts().or_else(bools).or_else(signed).or_else(unsigned).or_else(floats)
}

/// Bytes that an attribute takes in an object header, roughly.
pub(super) fn stored_bytes(value: &Array) -> usize {
    value.len() * value.dtype().size().unwrap_or(16)
}

/// Writes one attribute that does not exist yet.
pub(super) fn create(object: &Id, name: &str, value: &Array) -> Outcome<()> {
    let (dtype, space) = (stored_type(value)?, Space::new(value.shape(), false)?);
    let attr = ffi::new_attr(object, name, &dtype, &space)?;
    write(Items::Attr(&attr), &dtype, value)
}
