//! Consolidated metadata against what they would be if they were renewed, and against what zarr-python asks of them.

use std::collections::{BTreeSet, HashSet};

use serde_json::{Map, Value};

use super::super::consolidated::{self, is_inline};
use super::super::future::Future;
use super::super::meta::object;
use super::super::source::Source;
use super::super::stage::Stage;
use super::{Audit, FlawKind, listed, words};
use crate::error::Result;
use crate::path::ElemPath;

impl Audit {
    /// The consolidated metadata that the group `at` has, against what they would be if they were renewed.
    pub(super) fn maps(&mut self, source: &Source, at: &ElemPath) {
        let files = consolidated::present(source, at).unwrap_or_default();
        // Nobody reads the map without a dot.
        for name in files.into_iter().filter(|&name| name != "zmetadata") {
            let before = self.flaws.len();
            match (known(source, at, name), renewed(source, at, name)) {
                (Err(why), _) => self.flaw(at, FlawKind::BrokenMap, format!("consolidated metadata: {why}")),
                (Ok(old), Ok(new)) => self.compare(at, &old, &new),
                (Ok(_), Err(error)) => self.flaw(at, FlawKind::BrokenDocument, words(error)),
            }
            if self.flaws.len() > before {
                self.maps.insert(at.clone());
            }
        }
    }

    fn compare(&mut self, at: &ElemPath, old: &Map<String, Value>, new: &Map<String, Value>) {
        let is_extra = |key: &&String| !new.contains_key(*key) && !is_empty_attrs(key, old.get(*key));
        let is_missing = |key: &&String| !old.contains_key(*key) && !is_empty_attrs(key, new.get(*key));
        let is_other = |key: &&String| old.get(*key).zip(new.get(*key)).is_some_and(|(a, b)| !same(a, b));
        let cases: [(Vec<&String>, &str); 3] = [
            (old.keys().filter(is_extra).collect(), "list what is not there; readers see it, arrays as fill values"),
            (new.keys().filter(is_missing).collect(), "do not list what is there; readers do not see it"),
            (old.keys().filter(is_other).collect(), "are older than what is there"),
        ];
        for (keys, what) in cases {
            let nodes = nodes_of(keys);
            if !nodes.is_empty() {
                self.flaw(at, FlawKind::StaleMap, format!("consolidated metadata {what}: {}", listed(&nodes)));
            }
        }
        for why in unreadable(old) {
            self.flaw(at, FlawKind::BrokenMap, format!("consolidated metadata: {why}"));
        }
        if are_siblings_apart(old) {
            let why = "siblings do not stand together, with which zarr-python 3.1 cannot open it";
            self.flaw(at, FlawKind::BrokenMap, format!("consolidated metadata: {why}"));
        }
    }
}

/// The entries of the map in the file `name`, or why zarr-python would not take it.
fn known(source: &Source, at: &ElemPath, name: &str) -> Result<Map<String, Value>, String> {
    let bytes = source.document(at, name).map_err(words)?.ok_or("its file has just gone")?;
    let json = object(&bytes)?;
    if is_inline(name) && json.get("consolidated_metadata").is_none_or(|map| map["kind"] != "inline") {
        return Err("it is not of the kind `inline`".into());
    }
    entries_of(json.into(), name).ok_or_else(|| "it has no object `metadata`".into())
}

/// What they would be if it were renewed now.
fn renewed(source: &Source, at: &ElemPath, name: &str) -> Result<Map<String, Value>> {
    let old = source.document(at, name)?.and_then(|bytes| object(&bytes).ok());
    let nothing = Stage::default();
    let now = Future::new(source, &nothing, &BTreeSet::new());
    let json = old.clone().filter(|_| is_inline(name)).unwrap_or_default();
    Ok(entries_of(consolidated::rebuild(&now, at, name, old.as_ref(), json)?, name).unwrap_or_default())
}

fn entries_of(map: Value, name: &str) -> Option<Map<String, Value>> {
    let map = if is_inline(name) { map.get("consolidated_metadata")?.clone() } else { map };
    map.get("metadata")?.as_object().cloned()
}

/// A version 2 node may have no file for its attributes, or one without any.
fn is_empty_attrs(key: &str, value: Option<&Value>) -> bool {
    key.rsplit('/').next() == Some(".zattrs") && value.and_then(Value::as_object).is_some_and(Map::is_empty)
}

/// Whether two entries say the same: what is nested in groups, absent attributes and how numbers are spelled do not matter.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let matters = |key: &&String| !matches!(key.as_str(), "consolidated_metadata");
            let empty = Value::Object(Map::new());
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).filter(matters).collect();
            keys.into_iter().all(|key| {
                let of = |map: &Map<String, Value>| {
                    map.get(key).cloned().unwrap_or_else(|| match key.as_str() {
                        "attributes" => empty.clone(),
                        _ => Value::Null,
                    })
                };
                same(&of(a), &of(b))
            })
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

/// What keeps zarr-python from building a tree of these entries.
fn unreadable(entries: &Map<String, Value>) -> Vec<String> {
    let mut found = Vec::new();
    if entries.keys().any(|key| key.starts_with('/')) {
        found.push("its keys begin with a slash, with which zarr-python cannot open it".to_owned());
    }
    let nodes: BTreeSet<&str> = entries.keys().map(|key| node_of(key)).collect();
    let lacks =
        |node: &&&str| node.rsplit_once('/').is_some_and(|(above, _)| !above.is_empty() && !nodes.contains(above));
    let orphans: Vec<String> = nodes.iter().filter(lacks).map(|node| (*node).to_owned()).collect();
    if !orphans.is_empty() {
        found.push(format!(
            "the groups above {} are missing from it, so that zarr-python cannot open it",
            listed(&orphans)
        ));
    }
    found
}

/// Whether siblings do not follow one another, once the entries are ordered by depth: what zarr-python 3.1 asks for.
fn are_siblings_apart(entries: &Map<String, Value>) -> bool {
    let mut nodes: Vec<&str> = entries.keys().map(|key| node_of(key)).filter(|node| node.contains('/')).collect();
    nodes.sort_by_key(|node| node.matches('/').count());
    let (mut seen, mut last) = (HashSet::new(), None);
    nodes.into_iter().filter_map(|node| node.rsplit_once('/')).any(|(above, _)| {
        let begins = last != Some(above);
        last = Some(above);
        begins && !seen.insert(above)
    })
}

/// The node that an entry is of: in version 2, entries are files.
fn node_of(key: &str) -> &str {
    match key.rsplit_once('/') {
        Some((node, ".zattrs" | ".zgroup" | ".zarray")) => node,
        None if matches!(key, ".zattrs" | ".zgroup" | ".zarray") => "",
        _ => key,
    }
}

fn nodes_of(keys: Vec<&String>) -> Vec<String> {
    let nodes: BTreeSet<&str> = keys.into_iter().map(|key| node_of(key)).collect();
    nodes.into_iter().map(|node| if node.is_empty() { "/".to_owned() } else { node.to_owned() }).collect()
}
