//! Finding nodes: paths to open objects, without ever leaving the file.

use super::attrs;
use super::ffi::{self, Id, Kind, LinkKind, Outcome, Space, Type};
use super::types::{Decoder, StoredField, describe, stored_fields};
use crate::path::ElemPath;
use crate::store::{ArrayMeta, Field, Node, NodeKind};

/// The object at a path; `None` if there is none, if a link on the way dangles, or if one leads into another file.
pub(super) fn find(file: &Id, at: &ElemPath) -> Outcome<Option<Id>> {
    let mut here = ffi::open_object(file, "/")?;
    for name in at.components() {
        let there = match (here.kind(), leads_on(&here, name)?) {
            (Kind::Group, true) => ffi::open_object(&here, name)?,
            _ => return Ok(None),
        };
        here = there;
    }
    Ok(Some(here))
}

fn leads_on(group: &Id, name: &str) -> Outcome<bool> {
    if group.kind() != Kind::Group {
        return Ok(false);
    }
    Ok(match ffi::link_kind(group, name)? {
        Some(LinkKind::Hard) => true,
        Some(LinkKind::Soft) => ffi::resolves(group, name),
        Some(LinkKind::Foreign) | None => false,
    })
}

/// Whether a name is taken, by whatever kind of link.
pub(super) fn is_taken(file: &Id, at: &ElemPath) -> Outcome<bool> {
    let Some(parent) = at.parent() else { return Ok(true) };
    match find(file, &parent)? {
        Some(group) if group.kind() == Kind::Group => Ok(ffi::link_kind(&group, at.name())?.is_some()),
        _ => Ok(false),
    }
}

/// Sorted names of what is in a group.
pub(super) fn children(group: &Id) -> Outcome<Vec<String>> {
    let mut names: Vec<String> = ffi::links(group)?
        .into_iter()
        .filter(|(name, kind)| match kind {
            LinkKind::Hard => true,
            LinkKind::Soft => ffi::resolves(group, name),
            LinkKind::Foreign => false,
        })
        .map(|(name, _)| name)
        .collect();
    names.sort();
    Ok(names)
}

/// What an object is, and whether that is worth [knowing](super::opened::Opened::node) from then on.
pub(super) fn node(object: &Id) -> Outcome<(Node, bool)> {
    let kind = match object.kind() {
        Kind::Group => NodeKind::Group,
        Kind::Dataset => NodeKind::Array(array(object)?),
        Kind::Other => NodeKind::Array(ArrayMeta {
            shape: Vec::new(),
            dtype: None,
            stored: "a named data type".to_owned(),
            fields: Vec::new(),
            chunks: None,
            null: false,
        }),
    };
    let (attrs, worth) = attrs::read(object)?;
    Ok((Node { kind, attrs }, worth))
}

fn array(dataset: &Id) -> Outcome<ArrayMeta> {
    let (stored, layout) = (Type::of_dataset(dataset)?, ffi::layout(dataset)?);
    let shape = match layout.elsewhere {
        // Asked for its space, HDF5 would look into the files that the items lie in.
        Some(_) => ffi::stored_shape(dataset)?,
        None => Space::of_dataset(dataset)?.shape()?,
    };
    let fields = if layout.elsewhere.is_none() { fields(&stored) } else { Vec::new() };
    let words = describe(&stored);
    let dtype = Decoder::new(stored).map(|d| d.dtype());
    Ok(ArrayMeta {
        null: shape.is_none(),
        shape: shape.unwrap_or_default(),
        dtype: dtype.filter(|_| layout.elsewhere.is_none()),
        stored: layout.elsewhere.map_or(words, str::to_owned),
        fields,
        chunks: layout.chunks,
    })
}

fn fields(stored: &Type) -> Vec<Field> {
    let field = |StoredField { name, axes, item }| {
        let stored = describe(&item);
        Field { name, shape: axes, dtype: Decoder::new(item).map(|d| d.dtype()), stored }
    };
    stored_fields(stored).into_iter().map(field).collect()
}
