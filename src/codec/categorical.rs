//! `categorical`: a group of integer `codes` (-1 where missing) and `categories`, with the flag `ordered`.

use serde_json::json;

use super::{Attrs, Ctx, Cut, Dialect, Info, Kind, array, flag, tags};
use crate::error::Result;
use crate::path::ElemPath;
use crate::store::WriteStore;
use crate::value::{Array, Categorical, Element};

pub(super) fn describe(ctx: &Ctx<'_>) -> Result<Info> {
    let codes = ctx.describe_child("codes")?;
    let categories = ctx.describe_child("categories")?;
    Ok(Info { chunks: codes.chunks, ..ctx.info(Kind::Categorical, codes.shape, categories.dtype) })
}

pub(super) fn decode(ctx: &Ctx<'_>, cut: Cut<'_>) -> Result<Element> {
    let codes = match ctx.decode_child("codes", cut)? {
        Element::Array(a) => a,
        other => return Err(ctx.malformed(format!("its codes are {}", other.describe()))),
    };
    let categories = categories(ctx)?;
    Categorical::new(codes, categories, flag(ctx.node.attrs.get("ordered")))
        .map(Element::Categorical)
        .map_err(|what| ctx.malformed(what))
}

/// Categories are any one-dimensional element; a nullable one, as pandas 3 writes for text, has nothing missing.
fn categories(ctx: &Ctx<'_>) -> Result<Array> {
    match ctx.decode_child("categories", &[])? {
        Element::Array(a) if a.ndim() == 1 => Ok(a),
        Element::Nullable(n) if !n.missing().contains(&true) => Ok(n.values().clone()),
        other => Err(ctx.malformed(format!("its categories are {}", other.describe()))),
    }
}

pub(super) fn encode(store: &dyn WriteStore, at: &ElemPath, value: &Categorical, dialect: &Dialect) -> Result<()> {
    let attrs = Attrs::from_iter([("ordered".to_owned(), json!(value.ordered()))]);
    store.create_group(at, &tags(attrs, "categorical", "0.2.0"))?;
    // Plain strings whatever the dialect: every reader takes them, and no category is missing.
    let plain = Dialect { nullable_strings: false, ..dialect.clone() };
    array::encode(store, &at.child("codes"), value.codes(), &plain)?;
    array::encode(store, &at.child("categories"), value.categories(), &plain)
}
