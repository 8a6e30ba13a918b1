//! The group `mod` of a MuData: one AnnData per modality, their order in the attribute `mod-order`. The group has no encoding.

use serde_json::{Value, json};

use super::Attrs;
use crate::error::Result;
use crate::path::ElemPath;
use crate::store::ReadStore;

/// Names of the modalities in the group at `at`: those of [`mod_order`], then what it does not list, which mudata leaves
/// out.
pub(crate) fn modalities(store: &dyn ReadStore, at: &ElemPath) -> Result<Vec<String>> {
    let mut names = mod_order(store, at)?;
    for name in groups(store, at)? {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// The names in the attribute `mod-order`, if everything that it lists exists; else all there are, sorted (format,
/// section 5).
pub(crate) fn mod_order(store: &dyn ReadStore, at: &ElemPath) -> Result<Vec<String>> {
    let found = groups(store, at)?;
    let order: Vec<String> = match store.node(at)?.and_then(|n| n.attrs.get("mod-order").cloned()) {
        Some(Value::Array(names)) => names.iter().filter_map(|n| n.as_str().map(str::to_owned)).collect(),
        Some(Value::String(one)) => vec![one],
        _ => return Ok(found),
    };
    Ok(if order.iter().all(|name| found.contains(name)) { order } else { found })
}

fn groups(store: &dyn ReadStore, at: &ElemPath) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for name in store.children(at)? {
        if store.node(&at.join(&name)?)?.is_some_and(|n| n.is_group()) {
            found.push(name);
        }
    }
    Ok(found)
}

/// The attribute that lists `names`.
pub(crate) fn mod_order_attr(names: &[String]) -> Attrs {
    Attrs::from_iter([("mod-order".to_owned(), json!(names))])
}
