//! `dataframe`: a group of columns, one of which, named by the attribute `_index`, is the index; the attribute
//! `column-order` lists the others.

use std::cell::Cell;

use serde_json::{Value, json};

use super::{Attrs, Ctx, Cut, Dialect, Info, Kind, encode as encode_element, tags};
use crate::error::{Error, Place, Result};
use crate::index::Rows;
use crate::path::ElemPath;
use crate::store::{Node, ReadStore, WriteStore};
use crate::value::{Element, Table};

/// What is known of a frame without reading its data.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FrameMeta {
    /// The child that is the index. `_index` means that the index has no name.
    pub(crate) index: String,
    /// The columns, in order. A name with `/` is a path (anndata before 0.13 wrote such columns to HDF5).
    pub(crate) columns: Vec<String>,
    /// Number of rows.
    pub(crate) n_rows: usize,
}

/// Reads the frame's attributes and the shape of its index.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Unsupported`] if the node is not a frame of a known version, [`Error::Malformed`].
pub(crate) fn frame_meta(store: &dyn ReadStore, at: &ElemPath) -> Result<FrameMeta> {
    let place = || Place::new(store.location(), at);
    let node = store.node(at)?.ok_or_else(|| Error::NotFound { at: place(), nearest: Vec::new() })?;
    let what = if node.is_group() { "a group" } else { "an array" };
    let found = match (node.text("encoding-type"), node.text("encoding-version")) {
        (Some(name), version) => format!("{what} of encoding `{name}` {}", version.unwrap_or("without version")),
        (None, _) => format!("{what} without encoding"),
    };
    if (node.text("encoding-type"), node.text("encoding-version")) != (Some("dataframe"), Some("0.2.0")) {
        return Err(Error::Unsupported { at: place(), what: format!("a dataframe 0.2.0 is needed, found {found}") });
    }
    meta(&Ctx::new(store, at, &node, &Cell::new(8)))
}

fn meta(ctx: &Ctx<'_>) -> Result<FrameMeta> {
    let index = ctx.node.text("_index").ok_or_else(|| ctx.malformed("the attribute `_index` is missing"))?.to_owned();
    let columns = column_order(ctx.node)
        .ok_or_else(|| ctx.malformed("the attribute `column-order` is missing or no list of names"))?;
    if columns.iter().any(String::is_empty) {
        return Err(ctx.malformed("it has a column without a name"));
    }
    let described = ctx.describe_child(&index).map_err(|error| match error {
        Error::NotFound { .. } => ctx.malformed(format!("its index `{index}` is missing")),
        other => other,
    });
    match described?.shape[..] {
        [n_rows] => Ok(FrameMeta { index, columns, n_rows }),
        ref shape => Err(ctx.malformed(format!("its index `{index}` has {} axes, not one", shape.len()))),
    }
}

/// A list of names; one column may be a lone string, none an empty list of any type (format, 0.1).
fn column_order(node: &Node) -> Option<Vec<String>> {
    match node.attrs.get("column-order")? {
        Value::String(one) => Some(vec![one.clone()]),
        Value::Array(names) => names.iter().map(|n| n.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

/// The attribute that lists `columns`.
pub(crate) fn column_order_attr(columns: &[String]) -> Attrs {
    Attrs::from_iter([("column-order".to_owned(), json!(columns))])
}

pub(super) fn describe(ctx: &Ctx<'_>) -> Result<Info> {
    let FrameMeta { columns, n_rows, .. } = meta(ctx)?;
    let info = ctx.info(Kind::Table, vec![n_rows, columns.len()], None);
    Ok(Info { children: columns, ..info })
}

pub(super) fn decode(ctx: &Ctx<'_>, cut: Cut<'_>) -> Result<Element> {
    let FrameMeta { index, columns, n_rows } = meta(ctx)?;
    // Axis 1 of a frame is its columns; only rows are cut here.
    let rows: [Option<Rows>; 1] = [cut.first().cloned().flatten()];
    let column = |name: &str| -> Result<Element> {
        let shape = ctx.describe_child(name)?.shape;
        if shape != [n_rows] {
            return Err(ctx.malformed(format!("column `{name}` has shape {shape:?}, the index {n_rows} rows")));
        }
        ctx.decode_child(name, &rows)
    };
    let values = columns.iter().map(|name| Ok((name.clone(), column(name)?))).collect::<Result<Vec<_>>>()?;
    let index_values = column(&index)?;
    let index_name = (index != "_index").then_some(index);
    Table::new(index_name, index_values, values).map(Element::Table).map_err(|what| ctx.malformed(what))
}

pub(super) fn encode(store: &dyn WriteStore, at: &ElemPath, table: &Table, dialect: &Dialect) -> Result<()> {
    let index = table.index_name().unwrap_or("_index");
    let names: Vec<String> = table.columns().iter().map(|(name, _)| name.clone()).collect();
    let mut attrs = column_order_attr(&names);
    attrs.insert("_index".into(), json!(index));
    store.create_group(at, &tags(attrs, "dataframe", "0.2.0"))?;
    // A column of the index's name is one child with it (format, 2.4).
    if table.column(index).is_none() {
        encode_element(store, &at.join(index)?, table.index(), dialect)?;
    }
    table.columns().iter().try_for_each(|(name, column)| encode_element(store, &at.join(name)?, column, dialect))
}
