//! [`Codec`]: one chunk between its bytes in a file and an [`Array`], through the codecs of the Zarr library.

use std::cell::Cell;
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use serde_json::{Value, json};
use zarrs::array::{
    ArrayBytes, ArrayBytesOffsets, ArrayToBytesCodecTraits, CodecChain, CodecOptions, DataType, FillValue,
    FillValueMetadata,
};
use zarrs::metadata::v3::MetadataV3;

use super::meta::{Item, name_of};
use super::source::Fault;
use crate::value::{Array, DType, check_memory};

/// A chain of codecs for chunks of one shape.
#[derive(Debug)]
pub(super) struct Codec {
    chain: CodecChain,
    data_type: DataType,
    fill: FillValue,
    item: Item,
    shape: Vec<usize>,
    lengths: Vec<NonZeroU64>,
}

impl Codec {
    pub(super) fn new(codecs: &[Value], item: Item, fill: &Value, shape: &[usize]) -> Result<Self, Fault> {
        guarded(|| Self::build(codecs, item, fill, shape))
    }

    fn build(codecs: &[Value], item: Item, fill: &Value, shape: &[usize]) -> Result<Self, Fault> {
        let lengths: Option<Vec<NonZeroU64>> = shape.iter().map(|&n| NonZeroU64::new(n as u64)).collect();
        let lengths = lengths.ok_or_else(|| Fault::Malformed("a chunk length is 0".into()))?;
        // Text of fixed length passes through the codecs as raw bytes; the library does not know it in version 2.
        let (name, fill) = match item {
            Item::Plain(dtype) => (dtype.name().to_owned(), fill.clone()),
            Item::Utf32 { .. } => (format!("r{}", item.size().max(1) * 8), json!(vec![0_u8; item.size().max(1)])),
        };
        let data_type = DataType::from_metadata(&MetadataV3::new(name.clone()))
            .map_err(|e| Fault::Unsupported(format!("data type {name} ({e})")))?;
        let bad_fill = || Fault::Malformed(format!("fill value {fill} of data type {name}"));
        let metadata: FillValueMetadata = serde_json::from_value(fill.clone()).map_err(|_| bad_fill())?;
        let fill_value = data_type.fill_value_v3(&metadata).map_err(|_| bad_fill())?;
        Ok(Self { chain: chain(codecs)?, data_type, fill: fill_value, item, shape: shape.to_vec(), lengths })
    }

    /// The fill value as a scalar. (Of fixed-length text it is taken to be empty.)
    pub(super) fn fill(&self) -> Result<Array, Fault> {
        match self.item {
            Item::Utf32 { .. } => Ok(Array::scalar(String::new())),
            Item::Plain(DType::Str) => Ok(Array::scalar(text(self.fill.as_ne_bytes())?)),
            Item::Plain(dtype) => Array::from_le_bytes(dtype, &[], self.fill.as_ne_bytes())
                .ok_or_else(|| Fault::Malformed("the fill value has another size than the data type".into())),
        }
    }

    pub(super) fn decode(&self, bytes: Vec<u8>) -> Result<Array, Fault> {
        // A few bytes may claim to be a chunk of any size.
        check_memory(self.item.dtype(), &self.shape).map_err(Fault::Malformed)?;
        guarded(|| {
            let options = CodecOptions::default();
            let decoded = self
                .chain
                .decode(bytes.into(), &self.lengths, &self.data_type, &self.fill, &options)
                .map_err(|e| Fault::Malformed(format!("a chunk does not decode: {e}")))?;
            self.array(decoded)
        })
    }

    fn array(&self, decoded: ArrayBytes<'_>) -> Result<Array, Fault> {
        let wrong = || Fault::Malformed("a chunk decodes to another number of items than its shape".into());
        match (decoded, self.item) {
            (ArrayBytes::Fixed(bytes), Item::Plain(dtype)) => {
                Array::from_le_bytes(dtype, &self.shape, &bytes).ok_or_else(wrong)
            }
            (ArrayBytes::Fixed(bytes), Item::Utf32 { big, .. }) => {
                let items: Result<Vec<String>, Fault> =
                    bytes.chunks_exact(self.item.size().max(1)).map(|item| utf32(item, big)).collect();
                Array::from_shape_vec(&self.shape, items?).ok_or_else(wrong)
            }
            (ArrayBytes::Variable(strings), _) => {
                let (bytes, offsets) = strings.into_parts();
                let items: Result<Vec<String>, Fault> =
                    offsets.windows(2).map(|w| bytes.get(w[0]..w[1]).ok_or_else(wrong).and_then(text)).collect();
                Array::from_shape_vec(&self.shape, items?).ok_or_else(wrong)
            }
            _ => Err(wrong()),
        }
    }

    /// The bytes of a whole chunk.
    pub(super) fn encode(&self, chunk: &Array) -> Result<Vec<u8>, Fault> {
        guarded(|| {
            let refused = |e: String| Fault::Unsupported(format!("a chunk does not encode: {e}"));
            let bytes = match chunk.view::<String>() {
                None => ArrayBytes::new_flen(chunk.to_le_bytes()),
                Some(strings) => {
                    let mut offsets = vec![0];
                    let mut end = 0;
                    offsets.extend(strings.iter().map(|s| {
                        end += s.len();
                        end
                    }));
                    let offsets = ArrayBytesOffsets::new(offsets).map_err(|e| refused(e.to_string()))?;
                    ArrayBytes::new_vlen(chunk.to_le_bytes(), offsets).map_err(|e| refused(e.to_string()))?
                }
            };
            let options = CodecOptions::default().with_store_empty_chunks(false);
            self.chain
                .encode(bytes, &self.lengths, &self.data_type, &self.fill, &options)
                .map(|b| b.into_owned())
                .map_err(|e| refused(e.to_string()))
        })
    }
}

/// The codecs of a shard's index: a chain over pairs of offset and length.
pub(super) fn index_codec(codecs: &[Value], counts: &[usize]) -> Result<Codec, Fault> {
    let mut shape = counts.to_vec();
    shape.push(2);
    Codec::new(codecs, Item::Plain(DType::U64), &json!(u64::MAX), &shape)
}

fn chain(codecs: &[Value]) -> Result<CodecChain, Fault> {
    let mut metadata = Vec::new();
    for codec in codecs {
        let name = name_of(codec).unwrap_or("without a name");
        let parsed: MetadataV3 =
            serde_json::from_value(codec.clone()).map_err(|e| Fault::Unsupported(format!("codec `{name}` ({e})")))?;
        zarrs::array::Codec::from_metadata(&parsed).map_err(|e| Fault::Unsupported(format!("codec `{name}` ({e})")))?;
        metadata.push(parsed);
    }
    CodecChain::from_metadata(&metadata).map_err(|e| Fault::Malformed(format!("codecs: {e}")))
}

fn text(bytes: &[u8]) -> Result<String, Fault> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Fault::Malformed("text that is not UTF-8".into()))
}

fn utf32(item: &[u8], big: bool) -> Result<String, Fault> {
    let code = |b: &[u8]| {
        let b: [u8; 4] = b.try_into().ok()?;
        Some(if big { u32::from_be_bytes(b) } else { u32::from_le_bytes(b) })
    };
    let chars: Option<String> = item.chunks_exact(4).map(|b| char::from_u32(code(b)?)).collect();
    let chars = chars.ok_or_else(|| Fault::Malformed("text that is not UTF-32".into()))?;
    Ok(chars.trim_end_matches('\0').to_owned())
}

thread_local! {
    /// Whether a panic on this thread will be caught, and is told as an error.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs the Zarr library where it may panic: some of its codecs slice and unwrap as the bytes in the file tell them to, and
/// a damaged file must be an error, not the end of the program.
fn guarded<T>(run: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    // The program's own hook still tells of every other panic.
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let tell = take_hook();
        set_hook(Box::new(move |panic| {
            if !GUARDED.get() {
                tell(panic);
            }
        }));
    });
    let outer = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    GUARDED.set(outer);
    result.unwrap_or_else(|_| Err(Fault::Malformed("a chunk or its metadata made the Zarr library give up".into())))
}
