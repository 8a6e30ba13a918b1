//! Consolidated metadata: the one document that repeats all others. Read leniently ([`ConsolidatedMap`]); rebuilt from the
//! real documents, sorted and complete ([`rebuild`]), because a stale map hides elements and invents others.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::meta::{Document, Version, object};
use super::source::Source;
use crate::error::{Error, Result};
use crate::path::ElemPath;

/// The nodes that the consolidated metadata of a store's root list.
#[derive(Debug)]
pub(super) struct ConsolidatedMap {
    nodes: BTreeMap<ElemPath, Result<Document, String>>,
    children: BTreeMap<ElemPath, BTreeSet<String>>,
}

impl ConsolidatedMap {
    /// Reads the map of the root; `None` if there is none. Nothing but the one document that holds it is read.
    pub(super) fn read(source: &Source) -> Result<Option<Self>> {
        let root = ElemPath::root();
        if let Some(bytes) = source.document(&root, "zarr.json")? {
            let json = object(&bytes).map_err(|e| source.malformed(&root, format!("`zarr.json`: {e}")))?;
            return Ok(Self::v3(json));
        }
        let Some(bytes) = source.document(&root, ".zmetadata")? else { return Ok(None) };
        // A map that cannot be parsed is only a shortcut lost: the real documents are still there.
        Ok(object(&bytes).ok().and_then(|json| Self::v2(&json)))
    }

    fn v3(mut json: Map<String, Value>) -> Option<Self> {
        let entries = match json.shift_remove("consolidated_metadata") {
            Some(Value::Object(mut map)) => match map.shift_remove("metadata") {
                Some(Value::Object(entries)) => entries,
                _ => return None,
            },
            _ => return None,
        };
        let mut nodes = BTreeMap::from([(ElemPath::root(), Document::v3(json))]);
        for (key, value) in entries {
            let Ok(at) = ElemPath::parse(&key) else { continue };
            if at.is_root() {
                continue;
            }
            let doc = match value {
                Value::Object(json) => Document::v3(json),
                _ => Err("not an object".into()),
            };
            nodes.insert(at, doc);
        }
        Some(Self::complete(nodes, Version::V3))
    }

    fn v2(json: &Map<String, Value>) -> Option<Self> {
        let mut attrs = BTreeMap::new();
        let mut nodes = BTreeMap::new();
        for (key, value) in json.get("metadata")?.as_object()? {
            let key = key.trim_matches('/');
            let (above, name) = key.rsplit_once('/').unwrap_or(("", key));
            let Ok(at) = ElemPath::parse(above) else { continue };
            let value = value.as_object().cloned().ok_or_else(|| format!("`{name}` is not an object"));
            match name {
                ".zattrs" => drop(attrs.insert(at, value)),
                ".zarray" | ".zgroup" => {
                    let is_array = name == ".zarray";
                    let doc = value.map(|json| Document { version: Version::V2, is_array, json, attrs: Map::new() });
                    nodes.insert(at, doc);
                }
                _ => {}
            }
        }
        for (at, doc) in &mut nodes {
            match (attrs.remove(at), doc.as_mut()) {
                (Some(Ok(attrs)), Ok(doc)) => doc.attrs = attrs,
                (Some(Err(why)), Ok(_)) => *doc = Err(why),
                _ => {}
            }
        }
        Some(Self::complete(nodes, Version::V2))
    }

    /// Adds the groups that foreign writers left out between the root and what they list.
    fn complete(mut nodes: BTreeMap<ElemPath, Result<Document, String>>, version: Version) -> Self {
        for at in nodes.keys().cloned().collect::<Vec<_>>() {
            for above in at.ancestors() {
                nodes.entry(above).or_insert_with(|| Ok(Document::group(version)));
            }
        }
        nodes.entry(ElemPath::root()).or_insert_with(|| Ok(Document::group(version)));
        let mut children: BTreeMap<ElemPath, BTreeSet<String>> = BTreeMap::new();
        for at in nodes.keys() {
            if let Some(parent) = at.parent() {
                children.entry(parent).or_default().insert(at.name().to_owned());
            }
        }
        Self { nodes, children }
    }

    pub(super) fn document(&self, source: &Source, at: &ElemPath) -> Result<Option<Document>> {
        match self.nodes.get(at) {
            None => Ok(None),
            Some(Ok(doc)) => Ok(Some(doc.clone())),
            Some(Err(why)) => Err(source.malformed(at, format!("consolidated metadata: {why}"))),
        }
    }

    pub(super) fn children(&self, at: &ElemPath) -> Vec<String> {
        self.children.get(at).map(|names| names.iter().cloned().collect()).unwrap_or_default()
    }
}

/// The file of a group that holds its consolidated metadata.
pub(super) fn file_name(version: Version) -> &'static str {
    match version {
        Version::V2 => ".zmetadata",
        Version::V3 => "zarr.json",
    }
}

/// The files with consolidated metadata that the group `at` has on disk: none, one, or (a store written in both versions)
/// two. Old SpatialData wrote `zmetadata` without a dot: it is not read here, for later tools let it grow stale, but kept in
/// step for those that do.
pub(super) fn present(source: &Source, at: &ElemPath) -> Result<Vec<&'static str>> {
    let mut found = Vec::new();
    if let Some(bytes) = source.document(at, "zarr.json")?
        && object(&bytes).is_ok_and(|json| json.get("consolidated_metadata").is_some_and(|c| !c.is_null()))
    {
        found.push("zarr.json");
    }
    for name in [".zmetadata", "zmetadata"] {
        if source.document(at, name)?.is_some() {
            found.push(name);
        }
    }
    Ok(found)
}

/// The new content of the file `name` with the consolidated metadata of the group `at`.
pub(super) fn rebuild(source: &Source, at: &ElemPath, name: &str) -> Result<Vec<u8>> {
    let version = if name == "zarr.json" { Version::V3 } else { Version::V2 };
    let old = source.document(at, name)?.and_then(|bytes| object(&bytes).ok());
    let known = old.as_ref().and_then(|old| match version {
        Version::V2 => old.get("metadata"),
        Version::V3 => old.get("consolidated_metadata").and_then(|c| c.get("metadata")),
    });
    let mut entries = BTreeMap::new();
    collect(source, at, at, version, known.and_then(Value::as_object), &mut entries)?;
    let metadata: Map<String, Value> = entries.into_iter().collect();
    let whole = match version {
        Version::V2 => json!({"metadata": metadata, "zarr_consolidated_format": 1}),
        Version::V3 => {
            let mut json = old.ok_or_else(|| source.malformed(at, "`zarr.json` is not a JSON object"))?;
            json.insert("consolidated_metadata".into(), inline(metadata));
            json.into()
        }
    };
    serde_json::to_vec(&whole).map_err(|e| Error::Backend { at: source.place(at), what: e.to_string() })
}

fn inline(metadata: Map<String, Value>) -> Value {
    json!({"kind": "inline", "must_understand": false, "metadata": metadata})
}

/// Adds the entries of `here` and everything below it. A document that cannot be parsed keeps its old entry, if it has one.
fn collect(
    source: &Source,
    base: &ElemPath,
    here: &ElemPath,
    version: Version,
    known: Option<&Map<String, Value>>,
    entries: &mut BTreeMap<String, Value>,
) -> Result<()> {
    let path = here.strip_prefix(base).unwrap_or_default();
    let key = |name: &str| if path.is_root() { name.to_owned() } else { format!("{path}/{name}") };
    let doc = match Document::read(source, here) {
        Ok(Some(doc)) if doc.version == version => doc,
        Err(Error::Malformed { .. }) => {
            let names = match version {
                Version::V2 => [".zgroup", ".zarray", ".zattrs"].map(key).to_vec(),
                Version::V3 => vec![path.to_string()],
            };
            let kept = names.into_iter().filter_map(|k| known?.get(&k).map(|v| (k, v.clone())));
            entries.extend(kept);
            return Ok(());
        }
        Ok(_) => return Ok(()),
        Err(other) => return Err(other),
    };
    let is_array = doc.is_array;
    for (name, mut value) in doc.files() {
        if !is_array && let Some(json) = value.as_object_mut() {
            // The maps of groups further down are their own; here stands that nothing is nested.
            json.shift_remove("consolidated_metadata");
            if version == Version::V3 {
                json.insert("consolidated_metadata".into(), inline(Map::new()));
            }
        }
        match version {
            Version::V2 => drop(entries.insert(key(name), value)),
            Version::V3 if path.is_root() => {}
            Version::V3 => drop(entries.insert(path.to_string(), value)),
        }
    }
    if !is_array {
        for name in source.children(here)? {
            collect(source, base, &here.child(&name), version, known, entries)?;
        }
        // Links are not followed; what the old map knows behind them stays known.
        for name in source.links(here)? {
            let at = key(&name);
            let behind = known
                .into_iter()
                .flatten()
                .filter(|(k, _)| k.strip_prefix(&at).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')));
            entries.extend(behind.map(|(k, v)| (k.clone(), v.clone())));
        }
    }
    Ok(())
}
