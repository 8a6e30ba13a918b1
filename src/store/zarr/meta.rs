//! Node documents of both Zarr versions, as JSON ([`Document`]) and as what they say of an array ([`Layout`]).
//!
//! They are read here and not by the Zarr library because it refuses whole groups for one array that it does not know.
//! A version 2 array is described in the words of version 3 from here on.

use serde_json::{Map, Value, json};

use super::source::{Fault, Source};
use crate::error::Result;
use crate::path::ElemPath;
use crate::store::{ArrayMeta, Attrs, Node, NodeKind};
use crate::value::DType;

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

/// How an item is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item {
    /// As the dtype says.
    Plain(DType),
    /// Text of a fixed number of UCS-4 characters, padded with NULs.
    Utf32 { chars: usize, big: bool },
}

impl Item {
    pub(super) fn dtype(self) -> DType {
        match self {
            Self::Plain(dtype) => dtype,
            Self::Utf32 { .. } => DType::Str,
        }
    }

    /// Bytes of a decoded item; 0 for text of any length.
    pub(super) fn size(self) -> usize {
        match self {
            Self::Plain(dtype) => dtype.size().unwrap_or(0),
            Self::Utf32 { chars, .. } => chars.saturating_mul(4),
        }
    }
}

/// Lengths of fixed-length text that are believed.
const CHARS: std::ops::RangeInclusive<usize> = 1..=(1 << 20);

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
    pub(super) item: Option<Item>,
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
            check_chunk(grid, &layout.shape, layout.item).map_err(Fault::Malformed)?;
        }
        Ok(layout)
    }

    pub(super) fn meta(&self) -> Result<ArrayMeta, Fault> {
        let inner = self.sharding()?.map(|s| s.inner);
        Ok(ArrayMeta {
            shape: self.shape.clone(),
            dtype: self.item.map(Item::dtype),
            stored: self.stored.clone(),
            fields: Vec::new(),
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
        let bad = |what: &str| Fault::Malformed(format!("codec `sharding_indexed`: {what}"));
        let list = |key| codec["configuration"][key].as_array().cloned();
        let inner = lengths(&codec["configuration"]["chunk_shape"]).ok_or_else(|| bad("no chunk shape"))?;
        check_chunk(&inner, &self.shape, self.item).map_err(|e| bad(&e))?;
        if grid.iter().zip(&inner).any(|(g, i)| g % i != 0) {
            return Err(bad("inner chunks do not divide the shard"));
        }
        let default_index =
            || vec![json!({"name": "bytes", "configuration": {"endian": "little"}}), json!({"name": "crc32c"})];
        let at_end = match &codec["configuration"]["index_location"] {
            Value::Null => true,
            Value::String(s) if s == "end" || s == "start" => s == "end",
            _ => return Err(bad("unknown index location")),
        };
        Ok(Some(Sharding {
            inner,
            codecs: list("codecs").ok_or_else(|| bad("no inner codecs"))?,
            index_codecs: list("index_codecs").unwrap_or_else(default_index),
            at_end,
        }))
    }
}

fn check_chunk(chunk: &[usize], shape: &[usize], item: Option<Item>) -> Result<(), String> {
    if chunk.len() != shape.len() {
        return Err(format!("{} chunk lengths for {} axes", chunk.len(), shape.len()));
    }
    if chunk.contains(&0) {
        return Err("a chunk length is 0".into());
    }
    let size = item.map_or(1, |i| i.size().max(1)) as u64;
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

/// The name of a version 3 extension: the value itself or its `name`.
pub(super) fn name_of(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("name")?.as_str())
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
    let item = v3_item(data_type, &codecs);
    let transformed = get("storage_transformers").as_array().is_some_and(|t| !t.is_empty());
    Ok(Layout {
        shape: shape_of(json)?,
        grid,
        stored: plain_text(data_type),
        item,
        fill: item.map_or(Value::Null, |i| fill(get("fill_value"), i)),
        codecs: if transformed { Err("storage transformers".into()) } else { Ok(codecs) },
        keys: v3_keys(get("chunk_key_encoding")),
    })
}

fn plain_text(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        Value::Null => "no data type".into(),
        other => other.to_string(),
    }
}

fn v3_item(data_type: &Value, codecs: &[Value]) -> Option<Item> {
    match name_of(data_type)? {
        "fixed_length_utf32" => {
            let bytes = usize::try_from(data_type["configuration"]["length_bytes"].as_u64()?).ok()?;
            let inner = codecs.iter().flat_map(|c| c["configuration"]["codecs"].as_array().into_iter().flatten());
            let big = codecs.iter().chain(inner).any(|c| c["configuration"]["endian"] == "big");
            (bytes % 4 == 0 && CHARS.contains(&(bytes / 4))).then_some(Item::Utf32 { chars: bytes / 4, big })
        }
        name => DType::parse(name).map(Item::Plain),
    }
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
    let (item, big) = v2_item(dtype, &filters).map_or((None, false), |(item, big)| (Some(item), big));
    let shape = shape_of(json)?;
    let separator = match get("dimension_separator") {
        Value::Null => Ok(".".to_owned()),
        Value::String(s) if s == "." || s == "/" => Ok(s.clone()),
        other => Err(format!("dimension separator {other}")),
    };
    let mut stored = plain_text(dtype);
    if item.is_none() && !filters.is_empty() {
        stored += &format!(" with filters {}", Value::from(filters.clone()));
    }
    Ok(Layout {
        grid: Ok(lengths(get("chunks")).ok_or("`chunks` is not a list of lengths")?),
        stored,
        item,
        fill: item.map_or(Value::Null, |i| fill(get("fill_value"), i)),
        codecs: v2_codecs(&filters, get("compressor"), get("order"), shape.len(), item.map(|i| (i, big))),
        keys: separator.map(|separator| Keys { prefixed: false, separator }),
        shape,
    })
}

/// The item of a version 2 dtype, and whether it is stored big-endian.
fn v2_item(dtype: &Value, filters: &[Value]) -> Option<(Item, bool)> {
    let text = dtype.as_str()?;
    let (order, kind) = (text.get(..1)?, text.get(1..)?);
    let big = order == ">";
    if !["<", ">", "|"].contains(&order) {
        return None;
    }
    let plain = |d| Some((Item::Plain(d), big));
    match kind {
        "b1" => plain(DType::Bool),
        "i1" => plain(DType::I8),
        "i2" => plain(DType::I16),
        "i4" => plain(DType::I32),
        "i8" => plain(DType::I64),
        "u1" => plain(DType::U8),
        "u2" => plain(DType::U16),
        "u4" => plain(DType::U32),
        "u8" => plain(DType::U64),
        "f2" => plain(DType::F16),
        "f4" => plain(DType::F32),
        "f8" => plain(DType::F64),
        "c8" => plain(DType::C64),
        "c16" => plain(DType::C128),
        "O" => filters.iter().any(|f| f["id"] == "vlen-utf8").then_some((Item::Plain(DType::Str), false)),
        _ => {
            let chars = kind.strip_prefix('U')?.parse().ok().filter(|n| CHARS.contains(n))?;
            Some((Item::Utf32 { chars, big }, big))
        }
    }
}

/// Filters that work on bytes: they come behind the items' own bytes.
const BYTE_FILTERS: [&str; 8] = ["shuffle", "fletcher32", "adler32", "crc32c", "zlib", "gzip", "bz2", "zstd"];

fn v2_codecs(
    filters: &[Value],
    compressor: &Value,
    order: &Value,
    ndim: usize,
    item: Option<(Item, bool)>,
) -> Result<Vec<Value>, String> {
    let Some((item, big)) = item else { return Ok(Vec::new()) };
    let (mut before, mut after) = (Vec::new(), Vec::new());
    match order.as_str() {
        Some("F") if ndim > 1 => {
            let reversed: Vec<usize> = (0..ndim).rev().collect();
            before.push(json!({"name": "transpose", "configuration": {"order": reversed}}));
        }
        Some("C" | "F") | None => {}
        Some(other) => return Err(format!("order {other}")),
    }
    let mut vlen = false;
    for filter in filters {
        let id = filter["id"].as_str().unwrap_or_default();
        let codec = v2_codec(filter, item);
        match id {
            "vlen-utf8" => vlen = true,
            _ if BYTE_FILTERS.contains(&id) => after.push(codec?),
            _ => before.push(codec?),
        }
    }
    if !compressor.is_null() {
        after.push(v2_codec(compressor, item)?);
    }
    let endian = if big { "big" } else { "little" };
    before.push(match (vlen, item.size()) {
        (true, _) => json!({"name": "vlen-utf8", "configuration": {}}),
        (false, 1) => json!({"name": "bytes"}),
        (false, _) => json!({"name": "bytes", "configuration": {"endian": endian}}),
    });
    before.extend(after);
    Ok(before)
}

/// A codec of version 2 under its name and configuration in version 3.
fn v2_codec(codec: &Value, item: Item) -> Result<Value, String> {
    let id = codec["id"].as_str().ok_or_else(|| format!("codec {codec}"))?;
    let mut config = codec.as_object().cloned().unwrap_or_default();
    config.shift_remove("id");
    let name = match id {
        "blosc" => {
            let size = item.size().max(1);
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
        "gzip" | "crc32c" | "vlen-utf8" => id.to_owned(),
        "zlib" | "bz2" | "fletcher32" | "shuffle" | "adler32" | "fixedscaleoffset" | "bitround" => {
            format!("numcodecs.{id}")
        }
        other => return Err(format!("codec `{other}`")),
    };
    Ok(json!({"name": name, "configuration": config}))
}

/// The fill value, with what writers leave open made plain: null, and numbers where text or booleans belong.
fn fill(value: &Value, item: Item) -> Value {
    let Item::Plain(dtype) = item else { return value.as_str().map_or("".into(), Value::from) };
    let zero = match dtype {
        DType::Bool => Value::from(false),
        DType::Str => Value::from(""),
        DType::C64 | DType::C128 => json!([0.0, 0.0]),
        DType::F16 | DType::F32 | DType::F64 => json!(0.0),
        _ => Value::from(0),
    };
    match (value, dtype) {
        (Value::Null, _) => zero,
        (Value::Number(n), DType::Bool) => Value::from(n.as_f64() != Some(0.0)),
        (Value::Bool(b), DType::Bool) => Value::from(*b),
        (Value::Bool(b), _) if dtype.is_integer() => Value::from(u8::from(*b)),
        (Value::Number(n), DType::C64 | DType::C128) => json!([n, 0.0]),
        (Value::String(_), DType::Str) => value.clone(),
        (_, DType::Str) => zero,
        // Exact: only integral values below 2^53 are rewritten.
        (Value::Number(n), _) if dtype.is_integer() && n.is_f64() => {
            n.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 9e15).map_or(value.clone(), |f| Value::from(f as i64))
        }
        _ => value.clone(),
    }
}
