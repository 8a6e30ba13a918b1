//! Fill values: what stands for items that are not stored, from its many spellings in JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use half::f16;
use serde_json::Value;

use super::item::{Flat, Form, Items, to_utf32};
use crate::value::DType;

impl Items {
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
            // Empty means zeros, and zarr-python 3.1 writes text for them in fields of text (format, 2.10).
            Value::String(text) if text.is_empty() => {}
            Value::String(text) => item = decode(text).filter(|b| b.len() == self.size).ok_or_else(bad)?,
            Value::Object(map) => {
                for part in &self.parts {
                    let (Some(form), Some(value)) = (part.form, map.get(&part.name)) else { continue };
                    if part.shape.is_empty() {
                        let bytes = fill_of(form, value).ok_or_else(bad)?;
                        item[part.offset..part.offset + part.len()].copy_from_slice(&form.swapped(bytes.into()));
                    }
                }
            }
            Value::Null => {}
            Value::Number(n) if n.as_f64() == Some(0.0) => {}
            _ => return Err(bad()),
        }
        Ok(Flat::Fixed(item))
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
