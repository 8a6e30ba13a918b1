//! `nullable-integer`, `nullable-boolean`, `nullable-string-array`: a group of `values` and a `mask`, true where missing.

use serde_json::json;

use super::{Attrs, Ctx, Cut, Dialect, Info, Kind, array, tags};
use crate::error::Result;
use crate::path::ElemPath;
use crate::store::WriteStore;
use crate::value::{Array, DType, Element, NaValue, Nullable};

pub(super) fn describe(ctx: &Ctx<'_>) -> Result<Info> {
    let values = ctx.describe_child("values")?;
    Ok(Info { chunks: values.chunks, ..ctx.info(Kind::Nullable, values.shape, values.dtype) })
}

pub(super) fn decode(ctx: &Ctx<'_>, cut: Cut<'_>) -> Result<Element> {
    let (values, mask) = (ctx.decode_child("values", cut)?, ctx.decode_child("mask", cut)?);
    let missing = match &mask {
        Element::Array(Array::Bool(m)) => m.iter().copied().collect(),
        Element::Array(m) if m.dtype().is_integer() => m.to_i64().unwrap_or_default().iter().map(|&x| x != 0).collect(),
        other => return Err(ctx.malformed(format!("its mask is {}", other.describe()))),
    };
    // Unknown values of the attribute must not be an error; an absent one means NA (format, section 2.7).
    let na_value = if ctx.node.text("na-value") == Some("NaN") { NaValue::Nan } else { NaValue::Na };
    match values {
        Element::Array(values) => {
            Nullable::new(values, missing, na_value).map(Element::Nullable).map_err(|what| ctx.malformed(what))
        }
        other => Err(ctx.malformed(format!("its values are {}", other.describe()))),
    }
}

pub(super) fn encode(store: &dyn WriteStore, at: &ElemPath, value: &Nullable, dialect: &Dialect) -> Result<()> {
    let (name, attrs) = match value.values().dtype() {
        DType::Str => {
            ("nullable-string-array", Attrs::from_iter([("na-value".to_owned(), json!(value.na_value().name()))]))
        }
        DType::Bool => ("nullable-boolean", Attrs::new()),
        _ => ("nullable-integer", Attrs::new()),
    };
    store.create_group(at, &tags(attrs, name, "0.1.0"))?;
    let plain = Dialect { nullable_strings: false, ..dialect.clone() };
    array::encode(store, &at.child("values"), value.values(), &plain)?;
    array::encode(store, &at.child("mask"), &Array::from_vec(value.missing().to_vec()), &plain)
}
