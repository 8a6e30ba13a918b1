//! Consolidated metadata: the one document that repeats all others. Read leniently ([`ConsolidatedMap`]); rebuilt from the
//! real documents, sorted and complete ([`rebuild`]), because a stale map hides elements and invents others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::future::Future;
use super::meta::{Document, Version, object};
use super::source::Source;
use crate::error::{Error, Result};
use crate::path::ElemPath;

/// The nodes that the consolidated metadata of a store's root list.
#[derive(Debug)]
pub(super) struct ConsolidatedMap {
    nodes: BTreeMap<ElemPath, Result<Arc<Document>, String>>,
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
        Ok(object(&bytes).ok().and_then(Self::v2))
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

    fn v2(mut json: Map<String, Value>) -> Option<Self> {
        let Some(Value::Object(entries)) = json.shift_remove("metadata") else { return None };
        let mut attrs = BTreeMap::new();
        let mut nodes = BTreeMap::new();
        for (key, value) in entries {
            let key = key.trim_matches('/');
            let (above, name) = key.rsplit_once('/').unwrap_or(("", key));
            let Ok(at) = ElemPath::parse(above) else { continue };
            let value = match value {
                Value::Object(json) => Ok(json),
                _ => Err(format!("`{name}` is not an object")),
            };
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
        let nodes = nodes.into_iter().map(|(at, doc)| (at, doc.map(Arc::new))).collect();
        Self { nodes, children }
    }

    pub(super) fn document(&self, source: &Source, at: &ElemPath) -> Result<Option<Arc<Document>>> {
        match self.nodes.get(at) {
            None => Ok(None),
            Some(Ok(doc)) => Ok(Some(doc.clone())),
            Some(Err(why)) => Err(source.malformed(at, format!("consolidated metadata: {why}"))),
        }
    }

    /// Whether there is such a node, or something that should be one.
    pub(super) fn lists(&self, at: &ElemPath) -> bool {
        self.nodes.contains_key(at)
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

/// Whether the document of a group holds a map. (That of version 2 is a file of its own.)
pub(super) fn is_inline(name: &str) -> bool {
    name == "zarr.json"
}

/// The document of a group without the map in it.
pub(super) fn without(mut json: Map<String, Value>) -> Value {
    json.shift_remove("consolidated_metadata");
    json.into()
}

/// The content that the file `name` with the consolidated metadata of the group `at` will have. Of version 3, `json` is the
/// group's own document; `old` is the map as it is now, if there is one.
pub(super) fn rebuild(
    future: &Future<'_>,
    at: &ElemPath,
    name: &str,
    old: Option<&Map<String, Value>>,
    mut json: Map<String, Value>,
) -> Result<Value> {
    let version = if is_inline(name) { Version::V3 } else { Version::V2 };
    let known = old.and_then(|old| match version {
        Version::V2 => old.get("metadata"),
        Version::V3 => old.get("consolidated_metadata").and_then(|c| c.get("metadata")),
    });
    let known = known.and_then(Value::as_object);
    let mut map = Rebuilt { future, base: at, origin: future.origin(at), version, known, entries: BTreeMap::new() };
    map.collect(at)?;
    let metadata: Map<String, Value> = map.entries.into_iter().collect();
    Ok(match version {
        Version::V2 => json!({"metadata": metadata, "zarr_consolidated_format": 1}),
        Version::V3 => {
            json.insert("consolidated_metadata".into(), inline(metadata));
            json.into()
        }
    })
}

fn inline(metadata: Map<String, Value>) -> Value {
    json!({"kind": "inline", "must_understand": false, "metadata": metadata})
}

/// A map on its way.
struct Rebuilt<'a> {
    future: &'a Future<'a>,
    /// The group whose map it is, and where that lies now.
    base: &'a ElemPath,
    origin: Option<ElemPath>,
    version: Version,
    /// What the old map says.
    known: Option<&'a Map<String, Value>>,
    entries: BTreeMap<String, Value>,
}

impl Rebuilt<'_> {
    /// Adds the entries of `here` and everything below it. A document that cannot be parsed keeps its old entry, if it has one.
    fn collect(&mut self, here: &ElemPath) -> Result<()> {
        let path = here.strip_prefix(self.base).unwrap_or_default();
        // Where the old map has it.
        let old = self.future.origin(here).zip(self.origin.as_ref()).and_then(|(at, base)| at.strip_prefix(base));
        let doc = match self.future.document(here) {
            Ok(Some(doc)) if doc.version == self.version => doc,
            Err(Error::Malformed { .. }) => {
                if let Some(old) = &old {
                    self.keep(old, &path);
                }
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
                if self.version == Version::V3 {
                    json.insert("consolidated_metadata".into(), inline(Map::new()));
                }
            }
            match self.version {
                Version::V2 => drop(self.entries.insert(key(&path, name), value)),
                Version::V3 if path.is_root() => {}
                Version::V3 => drop(self.entries.insert(path.to_string(), value)),
            }
        }
        if is_array {
            return Ok(());
        }
        for name in self.future.children(here)? {
            self.collect(&here.child(&name))?;
        }
        // What lies behind links, which are not followed, and what has lost its document: the old map may be the only one to
        // know of it.
        let Some(old) = old else { return Ok(()) };
        let mut dark: BTreeSet<String> = self.future.links(here)?.into_iter().collect();
        for name in self.known_below(&old) {
            let child = here.child(&name);
            if !self.entries_have(&path.child(&name)) && self.future.is_left(&child) {
                dark.insert(name);
            }
        }
        for name in dark {
            self.keep(&old.child(&name), &path.child(&name));
        }
        Ok(())
    }

    /// Keeps what the old map knows at and below `old`, under `path`.
    fn keep(&mut self, old: &ElemPath, path: &ElemPath) {
        for (known, value) in self.known.into_iter().flatten() {
            if let Some(rest) = known.strip_prefix(old.as_str()).filter(|rest| rest.is_empty() || rest.starts_with('/'))
            {
                self.entries.insert(format!("{path}{rest}"), value.clone());
            }
        }
    }

    /// Names of the nodes that the old map knows directly below the group `old`.
    fn known_below(&self, old: &ElemPath) -> BTreeSet<String> {
        let keys = self.known.into_iter().flatten().map(|(key, _)| key);
        let nodes = keys.filter_map(|key| match self.version {
            Version::V3 => Some(key.as_str()),
            Version::V2 => Some(key.rsplit_once('/')?.0),
        });
        let below = nodes
            .filter_map(|node| ElemPath::parse(node).ok()?.strip_prefix(old)?.components().next().map(str::to_owned));
        below.filter(|name| old.join(name).is_ok()).collect()
    }

    fn entries_have(&self, path: &ElemPath) -> bool {
        let name = if self.version == Version::V3 { "" } else { ".zgroup" };
        self.entries.contains_key(&key(path, name)) || self.entries.contains_key(&key(path, ".zarray"))
    }
}

/// The key of a node, or of a file of it, in a map.
fn key(path: &ElemPath, name: &str) -> String {
    match (path.is_root(), name) {
        (true, _) => name.to_owned(),
        (_, "") => path.to_string(),
        _ => format!("{path}/{name}"),
    }
}
