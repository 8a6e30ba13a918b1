//! Node documents of both Zarr versions, as JSON ([`Document`]) and as what they say of an array ([`Layout`]).
//!
//! They are read here and not by the Zarr library because it refuses whole groups for one array that it does not know.
//! A version 2 array is described in the words of version 3 from here on.

use serde_json::{Map, Value, json};

use super::dtype::{self, is_big, name_of, plain_text};
use super::item::{Form, Items};
use super::source::{Fault, Source};
use crate::error::Result;
use crate::path::ElemPath;
use crate::store::{ArrayMeta, Attrs, Field, Node, NodeKind};

/// Version of the Zarr format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V2,
    V3,
}

/// The metadata of one node. In version 3 `json` is the document without its attributes.
#[derive(Debug, Clone)]
pub(super) struct Document {
    pub(super) version: Version,
    pub(super) is_array: bool,
    pub(super) json: Map<String, Value>,
    pub(super) attrs: Attrs,
}

impl Document {
    /// Reads the node's documents from the directory; `None` if there is no node.
    pub(super) fn read(source: &Source, at: &ElemPath) -> Result<Option<Self>> {
        let bad = |name: &str, why: String| source.malformed(at, format!("`{name}`: {why}"));
        if let Some(bytes) = source.document(at, "zarr.json")? {
            let json = object(&bytes).map_err(|e| bad("zarr.json", e))?;
            return Self::v3(json).map(Some).map_err(|e| bad("zarr.json", e));
        }
        for (name, is_array) in [(".zarray", true), (".zgroup", false)] {
            let Some(bytes) = source.document(at, name)? else { continue };
            let json = object(&bytes).map_err(|e| bad(name, e))?;
            let attrs = source.document(at, ".zattrs")?;
            let attrs = attrs.map_or(Ok(Attrs::new()), |b| object(&b)).map_err(|e| bad(".zattrs", e))?;
            return Ok(Some(Self { version: Version::V2, is_array, json, attrs }));
        }
        Ok(None)
    }

    pub(super) fn v3(mut json: Map<String, Value>) -> Result<Self, String> {
        let attrs = match json.shift_remove("attributes") {
            Some(Value::Object(attrs)) => attrs,
            None | Some(Value::Null) => Attrs::new(),
            Some(_) => return Err("`attributes` is not an object".into()),
        };
        let is_array = match json.get("node_type").and_then(Value::as_str) {
            Some("array") => true,
            Some("group") => false,
            other => return Err(format!("`node_type` is {other:?}")),
        };
        Ok(Self { version: Version::V3, is_array, json, attrs })
    }

    /// A group without attributes.
    pub(super) fn group(version: Version) -> Self {
        let json = match version {
            Version::V2 => json!({"zarr_format": 2}),
            Version::V3 => json!({"zarr_format": 3, "node_type": "group"}),
        };
        Self { version, is_array: false, json: json.as_object().cloned().unwrap_or_default(), attrs: Attrs::new() }
    }

    /// The files that hold this document: name and content.
    pub(super) fn files(&self) -> Vec<(&'static str, Value)> {
        match self.version {
            Version::V2 => {
                let name = if self.is_array { ".zarray" } else { ".zgroup" };
                vec![(name, self.json.clone().into()), (".zattrs", self.attrs.clone().into())]
            }
            Version::V3 => {
                let mut whole = Map::new();
                whole.insert("attributes".into(), self.attrs.clone().into());
                whole.extend(self.json.clone());
                vec![("zarr.json", whole.into())]
            }
        }
    }

    pub(super) fn node(&self) -> Result<Node, Fault> {
        let kind = if self.is_array { NodeKind::Array(Layout::new(self)?.meta()?) } else { NodeKind::Group };
        Ok(Node { kind, attrs: self.attrs.clone() })
    }
}

/// A JSON object, or why not.
pub(super) fn object(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    serde_json::from_slice(bytes).map_err(|e| format!("not a JSON object ({e})"))
}

/// How chunks are named.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    prefixed: bool,
    separator: String,
}

impl Keys {
    pub(super) fn key(&self, chunk: &[usize]) -> String {
        let numbers: Vec<String> = chunk.iter().map(usize::to_string).collect();
        match (self.prefixed, numbers.is_empty()) {
            (true, true) => "c".into(),
            (true, false) => format!("c{0}{1}", self.separator, numbers.join(&self.separator)),
            (false, true) => "0".into(),
            (false, false) => numbers.join(&self.separator),
        }
    }
}

/// What a document says of its array. What is not understood but leaves the rest meaningful is kept as an `Err`.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) shape: Vec<usize>,
    /// Chunks of the grid: for sharded arrays, the shards.
    pub(super) grid: Result<Vec<usize>, String>,
    pub(super) stored: String,
    /// `None` if the data type is not understood.
    pub(super) items: Option<Items>,
    pub(super) fill: Value,
    /// Codecs in the form of version 3.
    pub(super) codecs: Result<Vec<Value>, String>,
    pub(super) keys: Result<Keys, String>,
}

/// The inside of a shard.
#[derive(Debug)]
pub(super) struct Sharding {
    pub(super) inner: Vec<usize>,
    pub(super) codecs: Vec<Value>,
    pub(super) index_codecs: Vec<Value>,
    pub(super) at_end: bool,
}

/// No chunk is larger than this; beyond it the metadata are taken as damaged.
const MAX_CHUNK_BYTES: u64 = 1 << 40;

impl Layout {
    pub(super) fn new(doc: &Document) -> Result<Self, Fault> {
        let layout = match doc.version {
            Version::V2 => v2(&doc.json),
            Version::V3 => v3(&doc.json),
        };
        let layout = layout.map_err(Fault::Malformed)?;
        if let Ok(grid) = &layout.grid {
            check_chunk(grid, &layout.shape, layout.items.as_ref()).map_err(Fault::Malformed)?;
        }
        Ok(layout)
    }

    pub(super) fn meta(&self) -> Result<ArrayMeta, Fault> {
        let inner = self.sharding()?.map(|s| s.inner);
        let parts = self.items.as_ref().filter(|i| i.structured).map_or(&[][..], |i| &i.parts);
        let fields = parts
            .iter()
            .map(|p| Field {
                name: p.name.clone(),
                dtype: p.form.map(Form::dtype),
                shape: p.shape.clone(),
                stored: p.stored.clone(),
            })
            .collect();
        Ok(ArrayMeta {
            shape: self.shape.clone(),
            dtype: self.items.as_ref().and_then(Items::form).map(Form::dtype),
            stored: self.stored.clone(),
            fields,
            chunks: inner.or_else(|| self.grid.clone().ok()),
            null: false,
        })
    }

    /// The inside of the shards, if sharding is the array's only codec. (Wrapped in others, a shard cannot be read in parts
    /// and counts as one chunk.)
    pub(super) fn sharding(&self) -> Result<Option<Sharding>, Fault> {
        let (Ok(codecs), Ok(grid)) = (&self.codecs, &self.grid) else { return Ok(None) };
        let [codec] = &codecs[..] else { return Ok(None) };
        if name_of(codec) != Some("sharding_indexed") {
            return Ok(None);
        }
        let sharding = Sharding::new(codec, grid)?;
        let checked = check_chunk(&sharding.inner, &self.shape, self.items.as_ref());
        checked.map_err(|e| Fault::Malformed(format!("codec `sharding_indexed`: {e}")))?;
        Ok(Some(sharding))
    }
}

impl Sharding {
    /// What the codec says of shards of this shape.
    pub(super) fn new(codec: &Value, shard: &[usize]) -> Result<Self, Fault> {
        let bad = |what: &str| Fault::Malformed(format!("codec `sharding_indexed`: {what}"));
        let list = |key| codec["configuration"][key].as_array().cloned();
        let inner = lengths(&codec["configuration"]["chunk_shape"]).ok_or_else(|| bad("no chunk shape"))?;
        let divides = |(s, i): (&usize, &usize)| *i > 0 && s % i == 0;
        if shard.len() != inner.len() || !shard.iter().zip(&inner).all(divides) {
            return Err(bad("inner chunks do not divide the shard"));
        }
        let default_index =
            || vec![json!({"name": "bytes", "configuration": {"endian": "little"}}), json!({"name": "crc32c"})];
        let at_end = match &codec["configuration"]["index_location"] {
            Value::Null => true,
            Value::String(s) if s == "end" || s == "start" => s == "end",
            _ => return Err(bad("unknown index location")),
        };
        Ok(Self {
            inner,
            codecs: list("codecs").ok_or_else(|| bad("no inner codecs"))?,
            index_codecs: list("index_codecs").unwrap_or_else(default_index),
            at_end,
        })
    }
}

fn check_chunk(chunk: &[usize], shape: &[usize], items: Option<&Items>) -> Result<(), String> {
    if chunk.len() != shape.len() {
        return Err(format!("{} chunk lengths for {} axes", chunk.len(), shape.len()));
    }
    if chunk.contains(&0) {
        return Err("a chunk length is 0".into());
    }
    let size = items.map_or(1, |i| i.size.max(1)) as u64;
    let bytes = chunk.iter().try_fold(size, |n, &c| n.checked_mul(c as u64));
    match bytes.filter(|&b| b <= MAX_CHUNK_BYTES) {
        Some(_) => Ok(()),
        None => Err(format!("chunks of {chunk:?} items are too large")),
    }
}

/// A list of lengths. One beyond `i64` is damage, and would overflow in arithmetic on positions.
fn lengths(value: &Value) -> Option<Vec<usize>> {
    value.as_array()?.iter().map(|n| n.as_i64()?.try_into().ok()).collect()
}

fn shape_of(json: &Map<String, Value>) -> Result<Vec<usize>, String> {
    json.get("shape").and_then(lengths).ok_or_else(|| "`shape` is not a list of lengths".into())
}

fn v3(json: &Map<String, Value>) -> Result<Layout, String> {
    let null = Value::Null;
    let get = |key: &str| json.get(key).unwrap_or(&null);
    let codecs = get("codecs").as_array().cloned().ok_or("no list of codecs")?;
    let grid = get("chunk_grid");
    let grid = match name_of(grid) {
        Some("regular") => {
            Ok(lengths(&grid["configuration"]["chunk_shape"]).ok_or("`chunk_shape` is not a list of lengths")?)
        }
        other => Err(format!("chunk grid {}", other.unwrap_or("without a name"))),
    };
    let data_type = get("data_type");
    let transformed = get("storage_transformers").as_array().is_some_and(|t| !t.is_empty());
    Ok(Layout {
        shape: shape_of(json)?,
        grid,
        stored: plain_text(data_type),
        items: dtype::v3(data_type, is_big(&codecs)),
        fill: get("fill_value").clone(),
        codecs: if transformed { Err("storage transformers".into()) } else { Ok(codecs) },
        keys: v3_keys(get("chunk_key_encoding")),
    })
}

fn v3_keys(encoding: &Value) -> Result<Keys, String> {
    let name = name_of(encoding);
    let (prefixed, default) = match name {
        Some("default") => (true, "/"),
        Some("v2") => (false, "."),
        other => return Err(format!("chunk key encoding {}", other.unwrap_or("without a name"))),
    };
    match encoding.get("configuration").and_then(|c| c.get("separator")) {
        None => Ok(Keys { prefixed, separator: default.into() }),
        Some(Value::String(s)) if s == "." || s == "/" => Ok(Keys { prefixed, separator: s.clone() }),
        Some(other) => Err(format!("chunk key separator {other}")),
    }
}

fn v2(json: &Map<String, Value>) -> Result<Layout, String> {
    let null = Value::Null;
    let get = |key: &str| json.get(key).unwrap_or(&null);
    let filters = get("filters").as_array().cloned().unwrap_or_default();
    let dtype = get("dtype");
    let items = dtype::v2(dtype, &filters);
    let shape = shape_of(json)?;
    let separator = match get("dimension_separator") {
        Value::Null => Ok(".".to_owned()),
        Value::String(s) if s == "." || s == "/" => Ok(s.clone()),
        other => Err(format!("dimension separator {other}")),
    };
    let mut stored = plain_text(dtype);
    if items.is_none() && !filters.is_empty() {
        stored += &format!(" with filters {}", Value::from(filters.clone()));
    }
    Ok(Layout {
        grid: Ok(lengths(get("chunks")).ok_or("`chunks` is not a list of lengths")?),
        stored,
        fill: get("fill_value").clone(),
        codecs: v2_codecs(&filters, get("compressor"), get("order"), shape.len(), items.as_ref()),
        items,
        keys: separator.map(|separator| Keys { prefixed: false, separator }),
        shape,
    })
}

/// The codecs of version 2 in the words of version 3. Its filters work on bytes, whatever the items are.
fn v2_codecs(
    filters: &[Value],
    compressor: &Value,
    order: &Value,
    ndim: usize,
    items: Option<&Items>,
) -> Result<Vec<Value>, String> {
    let Some(items) = items else { return Ok(Vec::new()) };
    let mut codecs = Vec::new();
    match order.as_str() {
        Some("F") if ndim > 1 => {
            let reversed: Vec<usize> = (0..ndim).rev().collect();
            codecs.push(json!({"name": "transpose", "configuration": {"order": reversed}}));
        }
        Some("C" | "F") | None => {}
        Some(other) => return Err(format!("order {other}")),
    }
    match items.size {
        0 => {}
        1 => codecs.push(json!({"name": "bytes"})),
        _ => codecs.push(json!({"name": "bytes", "configuration": {"endian": "little"}})),
    }
    for codec in filters.iter().chain((!compressor.is_null()).then_some(compressor)) {
        codecs.push(v2_codec(codec, items.size.max(1))?);
    }
    Ok(codecs)
}

/// A codec of version 2 under its name and configuration in version 3.
fn v2_codec(codec: &Value, size: usize) -> Result<Value, String> {
    let id = codec["id"].as_str().ok_or_else(|| format!("codec {codec}"))?;
    let mut config = codec.as_object().cloned().unwrap_or_default();
    config.shift_remove("id");
    let name = match id {
        "blosc" => {
            let shuffle = match config.get("shuffle").and_then(Value::as_i64).unwrap_or(1) {
                0 => "noshuffle",
                1 => "shuffle",
                2 => "bitshuffle",
                // Automatic: by bits for single bytes, by bytes for the rest.
                -1 if size == 1 => "bitshuffle",
                -1 => "shuffle",
                other => return Err(format!("codec `blosc` with shuffle {other}")),
            };
            let get = |key: &str, default: Value| config.get(key).cloned().unwrap_or(default);
            let config = json!({
                "cname": get("cname", "lz4".into()), "clevel": get("clevel", 5.into()), "shuffle": shuffle,
                "typesize": size.min(255), "blocksize": get("blocksize", 0.into()),
            });
            return Ok(json!({"name": "blosc", "configuration": config}));
        }
        "zstd" => {
            config.entry("checksum").or_insert(false.into());
            "zstd".to_owned()
        }
        "gzip" | "crc32c" | "vlen-utf8" | "vlen-bytes" | "vlen-array" => id.to_owned(),
        other => format!("numcodecs.{other}"),
    };
    Ok(json!({"name": name, "configuration": config}))
}
