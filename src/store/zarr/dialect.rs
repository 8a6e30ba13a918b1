//! The metadata of new arrays: chunk lengths as the Python writers choose them, everything else like a neighbour.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::dtype::{name_of, with_axes};
use super::meta::{Document, Version};
use crate::value::{Array, ByteString, DType, Records};

/// What decides the metadata of a new array.
pub(super) struct Wanted<'a> {
    pub(super) version: Version,
    /// The array whose dialect is taken.
    pub(super) like: Option<&'a Document>,
    /// Whether to shard if there is no neighbour to tell.
    pub(super) shard: bool,
    pub(super) stored: &'a Stored,
    pub(super) shape: &'a [usize],
    /// How long a chunk (not: a shard) may be along the first axis.
    pub(super) most_rows: usize,
}

/// How new items are written.
#[derive(Debug)]
pub(super) struct Stored {
    /// The data type in both versions, and the values that are not stored.
    v2: Value,
    v2_fill: Value,
    v3: Value,
    v3_fill: Value,
    /// Bytes of an item; 0 for text of any length.
    size: usize,
    /// Whether byte order is named: the items are numbers of several bytes.
    ordered: bool,
    structured: bool,
}

impl Stored {
    /// As it is: text of any length, byte strings as long as the longest.
    pub(super) fn array(array: &Array) -> Self {
        match array.view::<ByteString>() {
            Some(strings) => Self::bytes(longest(strings.iter().map(|s| s.0.len()))),
            None => Self::plain(array.dtype()),
        }
    }

    pub(super) fn plain(dtype: DType) -> Self {
        let (v2, unit) = names(dtype);
        let v3 = match unit {
            Some(unit) => json!({"name": "numpy.datetime64", "configuration": {"unit": unit, "scale_factor": 1}}),
            None => json!(dtype.name()),
        };
        let size = dtype.size().unwrap_or(0);
        let fill = zero(dtype);
        Self { v2: json!(v2), v2_fill: fill.clone(), v3, v3_fill: fill, size, ordered: size > 1, structured: false }
    }

    fn bytes(len: usize) -> Self {
        let v3 = json!({"name": "null_terminated_bytes", "configuration": {"length_bytes": len}});
        let (v2_fill, v3_fill) = (json!(""), json!(""));
        Self { v2: json!(format!("|S{len}")), v2_fill, v3, v3_fill, size: len, ordered: false, structured: false }
    }

    /// Text as wide as the longest.
    fn text(chars: usize) -> Self {
        let v3 = json!({"name": "fixed_length_utf32", "configuration": {"length_bytes": 4 * chars}});
        let (v2_fill, v3_fill) = (json!(""), json!(""));
        Self {
            v2: json!(format!("<U{chars}")),
            v2_fill,
            v3,
            v3_fill,
            size: 4 * chars,
            ordered: true,
            structured: false,
        }
    }

    /// In version 3 in the spelling that zarr-python 3.1 writes and later ones read, too.
    pub(super) fn records(records: &Records) -> Self {
        let (mut v2, mut v3, mut size) = (Vec::new(), Vec::new(), 0);
        for (name, array) in records.fields() {
            let stored = match array.view::<String>() {
                Some(texts) => Self::text(longest(texts.iter().map(|t| t.chars().count()))),
                None => Self::array(array),
            };
            let own = &array.shape()[records.shape().len()..];
            size += stored.size * own.iter().product::<usize>();
            v2.push(if own.is_empty() { json!([name, stored.v2]) } else { json!([name, stored.v2, own]) });
            v3.push(json!([name, with_axes(stored.v3, own)]));
        }
        let v3 = json!({"name": "structured", "configuration": {"fields": v3}});
        let fill = json!(STANDARD.encode(vec![0_u8; size]));
        Self { v2: v2.into(), v2_fill: fill.clone(), v3, v3_fill: fill, size, ordered: false, structured: true }
    }
}

fn longest(lengths: impl Iterator<Item = usize>) -> usize {
    lengths.max().unwrap_or(0).max(1)
}

const KIB: f64 = 1024.0;
/// Inner chunks of shards stay below this, other chunks below [`MAX_CHUNK`].
const MAX_INNER: f64 = KIB * KIB;
const MAX_CHUNK: f64 = 64.0 * KIB * KIB;
const MAX_SHARD: usize = 1_000_000_000;

impl Wanted<'_> {
    /// The metadata document of the new array, without attributes.
    pub(super) fn document(&self) -> Map<String, Value> {
        let value = match self.version {
            Version::V2 => self.v2(),
            Version::V3 => self.v3(),
        };
        value.as_object().cloned().unwrap_or_default()
    }

    /// The same without a neighbour.
    pub(super) fn default_document(&self) -> Map<String, Value> {
        Wanted { like: None, ..*self }.document()
    }

    fn chunk(&self) -> Vec<usize> {
        let mut chunk = guess(self.shape, self.stored.size, MAX_CHUNK);
        chunk.iter_mut().take(1).for_each(|rows| *rows = (*rows).min(self.most_rows));
        chunk
    }

    fn neighbour(&self) -> Option<&Map<String, Value>> {
        self.like.filter(|doc| doc.version == self.version && doc.is_array).map(|doc| &doc.json)
    }

    fn v2(&self) -> Value {
        let blosc = json!({"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0});
        let near = self.neighbour();
        let mut compressor = near.and_then(|n| n.get("compressor")).cloned().unwrap_or(blosc);
        if let Some(config) = compressor.as_object_mut() {
            config.shift_remove("typesize");
        }
        let separator = near.and_then(|n| n.get("dimension_separator")).filter(|s| s.is_string());
        let text = self.stored.size == 0;
        let filters = if text { json!([{"id": "vlen-utf8"}]) } else { Value::Null };
        let scalar_number = self.shape.is_empty() && !self.stored.v2_fill.is_string();
        json!({
            "shape": self.shape,
            "chunks": self.chunk(),
            "dtype": self.stored.v2,
            "fill_value": if scalar_number { Value::Null } else { self.stored.v2_fill.clone() },
            "order": "C",
            "filters": filters,
            "dimension_separator": separator.cloned().unwrap_or(json!(".")),
            "compressor": compressor,
            "zarr_format": 2,
        })
    }

    fn v3(&self) -> Value {
        let near = self.neighbour();
        let near_codecs = near.and_then(|n| n.get("codecs")).and_then(Value::as_array);
        let near_shards = near_codecs.and_then(|c| c.iter().find(|c| name_of(c) == Some("sharding_indexed")));
        let inside = near_shards.and_then(|s| s["configuration"]["codecs"].as_array()).or(near_codecs);
        let mut codecs = vec![to_bytes(self.stored)];
        match inside {
            Some(list) => codecs.extend(list.iter().filter_map(|c| self.byte_codec(c))),
            None => codecs.push(json!({"name": "zstd", "configuration": {"level": 0, "checksum": false}})),
        }
        let shard =
            !self.shape.is_empty() && !self.stored.structured && near.map_or(self.shard, |_| near_shards.is_some());
        let (grid, codecs) = if shard { self.sharded(codecs, near_shards) } else { (self.chunk(), codecs) };
        let encoding = near.and_then(|n| n.get("chunk_key_encoding")).cloned();
        json!({
            "shape": self.shape,
            "data_type": self.stored.v3,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": grid}},
            "chunk_key_encoding":
                encoding.unwrap_or_else(|| json!({"name": "default", "configuration": {"separator": "/"}})),
            "fill_value": self.stored.v3_fill,
            "codecs": codecs,
            "zarr_format": 3,
            "node_type": "array",
            "storage_transformers": [],
        })
    }

    /// A neighbour's codec, if it works on bytes whatever the items are.
    fn byte_codec(&self, codec: &Value) -> Option<Value> {
        let mut codec = codec.clone();
        match name_of(&codec)? {
            "gzip" | "zstd" | "crc32c" | "numcodecs.zlib" | "numcodecs.bz2" => {}
            "blosc" => {
                if let Some(config) = codec.get_mut("configuration").and_then(Value::as_object_mut) {
                    config.insert("typesize".into(), json!(self.stored.size.clamp(1, 255)));
                }
            }
            _ => return None,
        }
        Some(codec)
    }

    /// Shard lengths, and the codecs wrapped into sharding.
    fn sharded(&self, codecs: Vec<Value>, near: Option<&Value>) -> (Vec<usize>, Vec<Value>) {
        let inner = guess(self.shape, self.stored.size, MAX_INNER);
        let bytes = inner.iter().product::<usize>() * self.stored.size;
        // As many chunks along every axis as fit into the array and the largest shard.
        let fits = |n: usize| {
            let in_array = inner.iter().zip(self.shape).all(|(c, a)| c * n <= *a);
            in_array && n.checked_pow(inner.len() as u32).is_some_and(|k| k.saturating_mul(bytes) <= MAX_SHARD)
        };
        let count = (2..).take_while(|&n| fits(n)).last().unwrap_or(1);
        let near = |key: &str| near.map(|s| &s["configuration"][key]).filter(|v| !v.is_null()).cloned();
        let index = json!([{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]);
        let config = json!({
            "chunk_shape": inner,
            "codecs": codecs,
            "index_codecs": near("index_codecs").unwrap_or(index),
            "index_location": near("index_location").unwrap_or(json!("end")),
        });
        let shard = inner.iter().map(|c| c * count).collect();
        (shard, vec![json!({"name": "sharding_indexed", "configuration": config})])
    }
}

fn to_bytes(stored: &Stored) -> Value {
    match stored.size {
        0 => json!({"name": "vlen-utf8", "configuration": {}}),
        _ if stored.ordered => json!({"name": "bytes", "configuration": {"endian": "little"}}),
        _ => json!({"name": "bytes"}),
    }
}

fn zero(dtype: DType) -> Value {
    match dtype {
        DType::Bool => json!(false),
        DType::Str | DType::Bytes => json!(""),
        DType::F16 | DType::F32 | DType::F64 => json!(0.0),
        DType::C64 | DType::C128 => json!([0.0, 0.0]),
        DType::DatetimeS | DType::DatetimeMs | DType::DatetimeUs | DType::DatetimeNs => json!(i64::MIN),
        _ => json!(0),
    }
}

/// The version 2 name, and the unit of points in time. (Byte strings are named by their length.)
fn names(dtype: DType) -> (&'static str, Option<&'static str>) {
    let v2 = match dtype {
        DType::Bool => "|b1",
        DType::I8 => "|i1",
        DType::I16 => "<i2",
        DType::I32 => "<i4",
        DType::I64 => "<i8",
        DType::U8 => "|u1",
        DType::U16 => "<u2",
        DType::U32 => "<u4",
        DType::U64 => "<u8",
        DType::F16 => "<f2",
        DType::F32 => "<f4",
        DType::F64 => "<f8",
        DType::C64 => "<c8",
        DType::C128 => "<c16",
        DType::Str => "|O",
        DType::Bytes => "|S1",
        DType::DatetimeS => return ("<M8[s]", Some("s")),
        DType::DatetimeMs => return ("<M8[ms]", Some("ms")),
        DType::DatetimeUs => return ("<M8[us]", Some("us")),
        DType::DatetimeNs => return ("<M8[ns]", Some("ns")),
    };
    (v2, None)
}

/// Chunk lengths: the axes are halved in turn until a chunk comes near a size that grows slowly with the array. Text has no
/// size of its own and is one chunk.
fn guess(shape: &[usize], item: usize, max: f64) -> Vec<usize> {
    let mut chunks: Vec<usize> = shape.iter().map(|&n| n.max(1)).collect();
    if item == 0 {
        return chunks;
    }
    let bytes = |chunks: &[usize]| chunks.iter().map(|&c| c as f64).product::<f64>() * item as f64;
    let growth = 2_f64.powf((bytes(&chunks) / (KIB * KIB)).log10());
    let target = (256.0 * KIB * growth).max(128.0 * KIB).min(max);
    let near = |size: f64| (size < target || (size - target).abs() / target < 0.5) && size < max;
    let mut axis = 0;
    while !near(bytes(&chunks)) && chunks.iter().any(|&c| c > 1) {
        let axes = chunks.len();
        chunks[axis % axes] = chunks[axis % axes].div_ceil(2);
        axis += 1;
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_those_of_the_python_writers() {
        assert_eq!(guess(&[1_000_000], 4, MAX_CHUNK), [125_000]);
        assert_eq!(guess(&[20_000, 2_000], 4, MAX_CHUNK), [1250, 250]);
        assert_eq!(guess(&[20_000, 2_000], 4, MAX_INNER), [1250, 125]);
        assert_eq!(guess(&[3_000, 50], 4, MAX_CHUNK), [1500, 50]);
        assert_eq!(guess(&[100_000], 0, MAX_CHUNK), [100_000]);
        assert_eq!(guess(&[0, 3], 4, MAX_CHUNK), [1, 3]);
        assert_eq!(guess(&[], 4, MAX_CHUNK), [0_usize; 0]);
    }

    #[test]
    fn a_shard_covers_the_array_where_its_chunks_divide_it() {
        let stored = Stored::plain(DType::F32);
        let shape = &[20_000, 2_000];
        let most_rows = usize::MAX;
        let wanted = Wanted { version: Version::V3, like: None, shard: true, stored: &stored, shape, most_rows };
        let doc = wanted.document();
        assert_eq!(doc["chunk_grid"]["configuration"]["chunk_shape"], json!([20_000, 2_000]));
        assert_eq!(doc["codecs"][0]["configuration"]["chunk_shape"], json!([1250, 125]));
    }

    #[test]
    fn chunks_are_no_longer_than_they_may_be() {
        let stored = Stored::plain(DType::F32);
        let chunk = |version, most_rows| {
            let wanted =
                Wanted { version, like: None, shard: false, stored: &stored, shape: &[20_000, 2_000], most_rows };
            let doc = wanted.document();
            doc.get("chunks").unwrap_or_else(|| &doc["chunk_grid"]["configuration"]["chunk_shape"]).clone()
        };
        for version in [Version::V2, Version::V3] {
            assert_eq!(chunk(version, 7), json!([7, 250]));
            assert_eq!(chunk(version, 1250), json!([1250, 250]));
        }
    }
}
