//! The codecs of the Zarr library: chunks are encoded with them.

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

use super::dtype::name_of;
use super::item::Flat;
use super::source::Fault;

/// A chain of codecs for chunks of one shape. Items of a fixed size are raw bytes to it, whatever they are.
#[derive(Debug)]
pub(super) struct Chain {
    chain: CodecChain,
    data_type: DataType,
    fill: FillValue,
    lengths: Vec<NonZeroU64>,
}

impl Chain {
    /// `fill` is one item.
    pub(super) fn new(codecs: &[Value], fill: &Flat, shape: &[usize]) -> Result<Self, Fault> {
        guarded(|| {
            let lengths: Option<Vec<NonZeroU64>> = shape.iter().map(|&n| NonZeroU64::new(n as u64)).collect();
            let lengths = lengths.ok_or_else(|| Fault::Malformed("a chunk length is 0".into()))?;
            let (name, fill) = match fill {
                Flat::Fixed(item) => (format!("r{}", item.len() * 8), json!(item)),
                Flat::Loose(item) => {
                    ("string".to_owned(), json!(String::from_utf8_lossy(item.first().map_or(&[], |i| i))))
                }
            };
            let refused = |e: &dyn std::fmt::Display| Fault::Unsupported(format!("data type {name} ({e})"));
            let data_type = DataType::from_metadata(&MetadataV3::new(name.clone())).map_err(|e| refused(&e))?;
            let metadata: FillValueMetadata = serde_json::from_value(fill).map_err(|e| refused(&e))?;
            let fill = data_type.fill_value_v3(&metadata).map_err(|e| refused(&e))?;
            let codecs: Vec<MetadataV3> = codecs.iter().map(known).collect::<Result<_, Fault>>()?;
            let chain = CodecChain::from_metadata(&codecs).map_err(|e| Fault::Malformed(format!("codecs: {e}")))?;
            Ok(Self { chain, data_type, fill, lengths })
        })
    }

    /// The bytes of a whole chunk.
    pub(super) fn encode(&self, chunk: Flat) -> Result<Vec<u8>, Fault> {
        guarded(|| {
            let refused = |e: String| Fault::Unsupported(format!("a chunk does not encode: {e}"));
            let bytes = match chunk {
                Flat::Fixed(bytes) => ArrayBytes::new_flen(bytes),
                Flat::Loose(items) => {
                    let ends = items.iter().scan(0, |end, item| {
                        *end += item.len();
                        Some(*end)
                    });
                    let offsets: Vec<usize> = std::iter::once(0).chain(ends).collect();
                    let offsets = ArrayBytesOffsets::new(offsets).map_err(|e| refused(e.to_string()))?;
                    ArrayBytes::new_vlen(items.concat(), offsets).map_err(|e| refused(e.to_string()))?
                }
            };
            let options = CodecOptions::default();
            self.chain
                .encode(bytes, &self.lengths, &self.data_type, &self.fill, &options)
                .map(|b| b.into_owned())
                .map_err(|e| refused(e.to_string()))
        })
    }
}

/// The codec in the library's words, if it knows it.
fn known(codec: &Value) -> Result<MetadataV3, Fault> {
    let name = name_of(codec).unwrap_or("without a name");
    let refused = |e: &dyn std::fmt::Display| Fault::Unsupported(format!("codec `{name}` ({e})"));
    let parsed: MetadataV3 = serde_json::from_value(codec.clone()).map_err(|e| refused(&e))?;
    zarrs::array::Codec::from_metadata(&parsed).map_err(|e| refused(&e))?;
    Ok(parsed)
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
