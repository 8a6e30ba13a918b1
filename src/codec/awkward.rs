//! `awkward-array`: a group of flat buffers, and as attributes the form that makes nested values of them, and the length.
//!
//! Rows are cut in memory: where a row's values lie is known only from the offsets of every level.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Attrs, Ctx, Cut, Dialect, Info, Kind, array, tags};
use crate::error::{Error, Result};
use crate::path::ElemPath;
use crate::store::WriteStore;
use crate::value::{Awkward, Element, Fault};

fn form_and_length<'a>(ctx: &'a Ctx<'_>) -> Result<(&'a str, usize)> {
    let form = ctx.node.text("form").ok_or_else(|| ctx.malformed("the attribute `form` is missing or no text"))?;
    let length = ctx.node.attrs.get("length").and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    Ok((form, length.ok_or_else(|| ctx.malformed("the attribute `length` is missing or no length"))?))
}

fn fault(ctx: &Ctx<'_>, fault: Fault) -> Error {
    match fault {
        Fault::Malformed(what) => ctx.malformed(what),
        Fault::Unsupported(what) => Error::Unsupported { at: ctx.place(), what },
    }
}

pub(super) fn describe(ctx: &Ctx<'_>) -> Result<Info> {
    let (form, length) = form_and_length(ctx)?;
    match Awkward::type_of(form) {
        Ok(type_text) => Ok(ctx.info(Kind::Awkward, vec![length], Some(type_text))),
        Err(Fault::Unsupported(what)) => Ok(ctx.info(Kind::Opaque, vec![length], Some(what))),
        Err(Fault::Malformed(what)) => Err(ctx.malformed(what)),
    }
}

pub(super) fn decode(ctx: &Ctx<'_>, cut: Cut<'_>) -> Result<Element> {
    let (form, length) = form_and_length(ctx)?;
    // A form that will be refused is refused before its buffers are read.
    Awkward::type_of(form).map_err(|f| fault(ctx, f))?;
    let mut buffers = BTreeMap::new();
    for name in ctx.store.children(ctx.at)? {
        match ctx.decode_child(&name, &[])? {
            Element::Array(array) => buffers.insert(name, array),
            other => return Err(ctx.malformed(format!("its buffer `{name}` is {}", other.describe()))),
        };
    }
    let whole = Awkward::read(form, length, buffers).map_err(|f| fault(ctx, f))?;
    let Some(Some(rows)) = cut.first() else { return Ok(Element::Awkward(whole)) };
    match rows.max().filter(|&max| max >= length) {
        None => Ok(Element::Awkward(whole.take(rows))),
        Some(max) => Err(Error::Selection {
            at: ctx.place(),
            axis: "number 0".into(),
            why: format!("position {max} is out of bounds for an axis of {length}"),
        }),
    }
}

pub(super) fn encode(store: &dyn WriteStore, at: &ElemPath, value: &Awkward, dialect: &Dialect) -> Result<()> {
    let (form, buffers) = value.to_buffers();
    let attrs = Attrs::from_iter([("length".to_owned(), json!(value.len())), ("form".to_owned(), json!(form))]);
    store.create_group(at, &tags(attrs, "awkward-array", "0.1.0"))?;
    buffers.iter().try_for_each(|(name, buffer)| array::encode(store, &at.child(name), buffer, dialect))
}
