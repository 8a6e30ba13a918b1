//! `array`, `string-array`, `numeric-scalar`, `string` and `null`: one stored array each.

use super::{Attrs, Ctx, Cut, Dialect, Info, Kind, tags};
use crate::error::Result;
use crate::index::Rows;
use crate::path::ElemPath;
use crate::store::{ArrayMeta, WriteStore};
use crate::value::{Array, DType, Element, NaValue, Nullable};

fn meta<'a>(ctx: &'a Ctx<'_>) -> Result<&'a ArrayMeta> {
    ctx.node.array().ok_or_else(|| ctx.malformed("a group stands where its tag promises an array"))
}

pub(super) fn describe(ctx: &Ctx<'_>) -> Result<Info> {
    let meta = meta(ctx)?;
    let kind = match meta {
        ArrayMeta { null: true, .. } => Kind::Null,
        ArrayMeta { shape, .. } if shape.is_empty() => Kind::Scalar,
        _ => Kind::Array,
    };
    let dtype = meta.dtype.map_or_else(|| meta.stored.clone(), |d| d.to_string());
    Ok(Info { chunks: meta.chunks.clone(), ..ctx.info(kind, meta.shape.clone(), Some(dtype)) })
}

pub(super) fn describe_null(ctx: &Ctx<'_>) -> Result<Info> {
    Ok(ctx.info(Kind::Null, Vec::new(), None))
}

pub(super) fn decode(ctx: &Ctx<'_>, cut: Cut<'_>) -> Result<Element> {
    let meta = meta(ctx)?;
    if meta.null {
        return Ok(Element::Null);
    }
    let rows = Rows::of_cut(&meta.shape, cut);
    ctx.store.read(ctx.at, &rows).map(Element::Array)
}

pub(super) fn encode(store: &dyn WriteStore, at: &ElemPath, array: &Array, dialect: &Dialect) -> Result<()> {
    let name = match (array.ndim(), array.dtype()) {
        (0, DType::Str) => "string",
        (0, _) => "numeric-scalar",
        (1, DType::Str) if dialect.nullable_strings => {
            return match Nullable::new(array.clone(), vec![false; array.len()], NaValue::Nan) {
                Ok(n) => super::nullable::encode(store, at, &n, dialect),
                Err(_) => {
                    store.create_array(at, array, dialect.style(false), &tags(Attrs::new(), "string-array", "0.2.0"))
                }
            };
        }
        (_, DType::Str) => "string-array",
        _ => "array",
    };
    store.create_array(at, array, dialect.style(false), &tags(Attrs::new(), name, "0.2.0"))
}
