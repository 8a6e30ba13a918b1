//! [`Nested`]: one row of an awkward array, taken out.

use std::fmt;

use num_complex::Complex64;
use serde_json::Value;

use crate::value::ByteString;

/// A value of any depth. Its `Display` is JSON (tuples as lists, byte strings as text), but for NaN and infinity.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Nested {
    /// A missing value.
    Null,
    /// A truth value.
    Bool(bool),
    /// A signed integer of any width.
    Int(i64),
    /// An unsigned integer of any width.
    Uint(u64),
    /// A float of any width.
    Float(f64),
    /// A complex number of any width.
    Complex(Complex64),
    /// A point in time, as numpy shows it.
    Time(String),
    /// Text.
    Str(String),
    /// A byte string.
    Bytes(Vec<u8>),
    /// A list, of fixed or free length.
    List(Vec<Self>),
    /// Named fields, in order.
    Record(Vec<(String, Self)>),
    /// Fields without names.
    Tuple(Vec<Self>),
}

impl fmt::Display for Nested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &str| Value::from(text).to_string();
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(x) => write!(f, "{x}"),
            Self::Int(x) => write!(f, "{x}"),
            Self::Uint(x) => write!(f, "{x}"),
            Self::Float(x) => write!(f, "{x:?}"),
            Self::Complex(x) => f.write_str(&quoted(&x.to_string())),
            Self::Time(x) | Self::Str(x) => f.write_str(&quoted(x)),
            Self::Bytes(x) => f.write_str(&quoted(&ByteString(x.clone()).to_string())),
            Self::List(items) | Self::Tuple(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i > 0 { ", " } else { "" })?;
                }
                f.write_str("]")
            }
            Self::Record(fields) => {
                f.write_str("{")?;
                for (i, (name, item)) in fields.iter().enumerate() {
                    write!(f, "{}{}: {item}", if i > 0 { ", " } else { "" }, quoted(name))?;
                }
                f.write_str("}")
            }
        }
    }
}
