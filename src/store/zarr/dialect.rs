//! The metadata of new arrays: chunk lengths as the Python writers choose them, everything else like a neighbour.

use serde_json::{Map, Value, json};

use super::meta::{Document, Version, name_of};
use crate::value::DType;

/// What decides the metadata of a new array.
pub(super) struct Wanted<'a> {
    pub(super) version: Version,
    /// The array whose dialect is taken.
    pub(super) like: Option<&'a Document>,
    /// Whether to shard if there is no neighbour to tell.
    pub(super) shard: bool,
    pub(super) dtype: DType,
    pub(super) shape: &'a [usize],
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
        let filters = if self.dtype == DType::Str { json!([{"id": "vlen-utf8"}]) } else { Value::Null };
        let scalar_number = self.shape.is_empty() && self.dtype != DType::Str;
        json!({
            "shape": self.shape,
            "chunks": guess(self.shape, self.dtype, MAX_CHUNK),
            "dtype": v2_name(self.dtype),
            "fill_value": if scalar_number { Value::Null } else { zero(self.dtype) },
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
        let mut codecs = vec![to_bytes(self.dtype)];
        match inside {
            Some(list) => codecs.extend(list.iter().filter_map(|c| self.byte_codec(c))),
            None => codecs.push(json!({"name": "zstd", "configuration": {"level": 0, "checksum": false}})),
        }
        let shard = !self.shape.is_empty() && near.map_or(self.shard, |_| near_shards.is_some());
        let (grid, codecs) =
            if shard { self.sharded(codecs, near_shards) } else { (guess(self.shape, self.dtype, MAX_CHUNK), codecs) };
        let encoding = near.and_then(|n| n.get("chunk_key_encoding")).cloned();
        json!({
            "shape": self.shape,
            "data_type": self.dtype.name(),
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": grid}},
            "chunk_key_encoding":
                encoding.unwrap_or_else(|| json!({"name": "default", "configuration": {"separator": "/"}})),
            "fill_value": zero(self.dtype),
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
                    config.insert("typesize".into(), json!(self.dtype.size().unwrap_or(1)));
                }
            }
            _ => return None,
        }
        Some(codec)
    }

    /// Shard lengths, and the codecs wrapped into sharding.
    fn sharded(&self, codecs: Vec<Value>, near: Option<&Value>) -> (Vec<usize>, Vec<Value>) {
        let inner = guess(self.shape, self.dtype, MAX_INNER);
        let item = self.dtype.size().unwrap_or(0);
        let bytes = inner.iter().product::<usize>() * item;
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

fn to_bytes(dtype: DType) -> Value {
    match dtype.size() {
        None => json!({"name": "vlen-utf8", "configuration": {}}),
        Some(1) => json!({"name": "bytes"}),
        Some(_) => json!({"name": "bytes", "configuration": {"endian": "little"}}),
    }
}

fn zero(dtype: DType) -> Value {
    match dtype {
        DType::Bool => json!(false),
        DType::Str => json!(""),
        DType::F16 | DType::F32 | DType::F64 => json!(0.0),
        DType::C64 | DType::C128 => json!([0.0, 0.0]),
        _ => json!(0),
    }
}

fn v2_name(dtype: DType) -> &'static str {
    match dtype {
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
        DType::DatetimeS => "<M8[s]",
        DType::DatetimeMs => "<M8[ms]",
        DType::DatetimeUs => "<M8[us]",
        DType::DatetimeNs => "<M8[ns]",
    }
}

/// Chunk lengths: the axes are halved in turn until a chunk comes near a size that grows slowly with the array. Text has no
/// size of its own and is one chunk.
fn guess(shape: &[usize], dtype: DType, max: f64) -> Vec<usize> {
    let mut chunks: Vec<usize> = shape.iter().map(|&n| n.max(1)).collect();
    let Some(item) = dtype.size() else { return chunks };
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
        assert_eq!(guess(&[1_000_000], DType::F32, MAX_CHUNK), [125_000]);
        assert_eq!(guess(&[20_000, 2_000], DType::F32, MAX_CHUNK), [1250, 250]);
        assert_eq!(guess(&[20_000, 2_000], DType::F32, MAX_INNER), [1250, 125]);
        assert_eq!(guess(&[3_000, 50], DType::F32, MAX_CHUNK), [1500, 50]);
        assert_eq!(guess(&[100_000], DType::Str, MAX_CHUNK), [100_000]);
        assert_eq!(guess(&[0, 3], DType::F32, MAX_CHUNK), [1, 3]);
        assert_eq!(guess(&[], DType::F32, MAX_CHUNK), [0_usize; 0]);
    }

    #[test]
    fn a_shard_covers_the_array_where_its_chunks_divide_it() {
        let wanted =
            Wanted { version: Version::V3, like: None, shard: true, dtype: DType::F32, shape: &[20_000, 2_000] };
        let doc = wanted.document();
        assert_eq!(doc["chunk_grid"]["configuration"]["chunk_shape"], json!([20_000, 2_000]));
        assert_eq!(doc["codecs"][0]["configuration"]["chunk_shape"], json!([1250, 125]));
    }
}
