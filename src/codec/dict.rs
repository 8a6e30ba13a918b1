//! `dict`: a group of named elements. Untagged groups are read the same way, and so are nested AnnData and `raw`.

use std::collections::BTreeMap;

use super::{Ctx, Cut, Dialect, Info, Kind, encode as encode_element, encode_dict};
use crate::error::Result;
use crate::path::ElemPath;
use crate::store::WriteStore;
use crate::value::Element;

pub(super) fn describe(ctx: &Ctx<'_>) -> Result<Info> {
    let children = ctx.store.children(ctx.at)?;
    Ok(Info { children, ..ctx.info(Kind::Mapping, Vec::new(), None) })
}

pub(super) fn describe_anndata(ctx: &Ctx<'_>) -> Result<Info> {
    Ok(Info { kind: Kind::AnnData, ..describe(ctx)? })
}

pub(super) fn decode(ctx: &Ctx<'_>, _cut: Cut<'_>) -> Result<Element> {
    let names = ctx.store.children(ctx.at)?;
    let entries = names.into_iter().map(|name| Ok((name.clone(), ctx.decode_child(&name, &[])?)));
    entries.collect::<Result<BTreeMap<_, _>>>().map(Element::Mapping)
}

pub(super) fn encode(
    store: &dyn WriteStore,
    at: &ElemPath,
    entries: &BTreeMap<String, Element>,
    dialect: &Dialect,
) -> Result<()> {
    encode_dict(store, at)?;
    encode_entries(store, at, entries, dialect)
}

/// Stages the entries of a group that is staged already.
pub(super) fn encode_entries(
    store: &dyn WriteStore,
    at: &ElemPath,
    entries: &BTreeMap<String, Element>,
    dialect: &Dialect,
) -> Result<()> {
    entries.iter().try_for_each(|(name, element)| encode_element(store, &at.join(name)?, element, dialect))
}
