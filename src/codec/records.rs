//! `rec-array`: a structured array, read and written by field.

use super::{Attrs, Ctx, Cut, Dialect, Info, Kind, tags};
use crate::error::Result;
use crate::index::Rows;
use crate::path::ElemPath;
use crate::store::{ArrayMeta, WriteStore};
use crate::value::{Element, Records};

fn meta<'a>(ctx: &'a Ctx<'_>) -> Result<&'a ArrayMeta> {
    let meta = ctx.node.array().filter(|a| !a.fields.is_empty());
    meta.ok_or_else(|| ctx.malformed("its tag promises a structured array, but there are no fields"))
}

pub(super) fn describe(ctx: &Ctx<'_>) -> Result<Info> {
    let meta = meta(ctx)?;
    let children = meta.fields.iter().map(|f| f.name.clone()).collect();
    Ok(Info { children, chunks: meta.chunks.clone(), ..ctx.info(Kind::Records, meta.shape.clone(), None) })
}

pub(super) fn decode(ctx: &Ctx<'_>, cut: Cut<'_>) -> Result<Element> {
    let meta = meta(ctx)?;
    let rows = Rows::of_cut(&meta.shape, cut);
    let names: Vec<&str> = meta.fields.iter().map(|f| f.name.as_str()).collect();
    let values = ctx.store.read_fields(ctx.at, &names, &rows)?;
    let fields = names.into_iter().map(str::to_owned).zip(values).collect();
    let shape = rows.iter().map(Rows::len).collect();
    Records::new(shape, fields).map(Element::Records).map_err(|what| ctx.malformed(what))
}

pub(super) fn encode(store: &dyn WriteStore, at: &ElemPath, records: &Records, dialect: &Dialect) -> Result<()> {
    store.create_records(at, records, dialect.style(false), &tags(Attrs::new(), "rec-array", "0.2.0"))
}
