//! [`Filter`]: what was done to the bytes of a chunk, undone. Every filter bounds what it yields: a few bytes may claim to be
//! of any size.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use half::f16;
use serde_json::Value;

use super::dtype::number;
use super::item::to_utf32;
use super::source::Fault;
use crate::store::hdf5::{blosc_size, unblosc};
use crate::value::{Array, DType};

/// A compressor, checksum or numeric filter.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Filter {
    /// What loses information when writing and has nothing to undo.
    Nothing,
    Gzip,
    Zlib,
    Bz2,
    Zstd,
    Lzma,
    Lz4,
    Blosc,
    Base64,
    /// Bytes of equal rank stored together, in items of this size.
    Shuffle(usize),
    Checksum {
        sum: Sum,
        at_end: bool,
    },
    /// Differences.
    Delta {
        stored: Number,
        items: Number,
    },
    /// `(x - offset) * scale`, stored as another type.
    Scale {
        stored: Number,
        items: Number,
        scale: f64,
        offset: f64,
    },
    Cast {
        stored: Number,
        items: Number,
    },
    /// Eight booleans in a byte.
    PackBits,
    /// Numbers of labels, counted from 1; 0 is none of them.
    Labels {
        stored: Number,
        labels: Vec<Vec<u8>>,
        size: usize,
    },
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Sum {
    Crc32,
    Crc32c,
    Adler32,
    Fletcher32,
}

/// The type of numbers in a buffer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Number {
    dtype: DType,
    big: bool,
}

impl Filter {
    /// The filter of this name and configuration. `big`: its numbers are turned around later. `width`: bytes of an item.
    pub(super) fn new(name: &str, config: &Value, big: bool, width: usize) -> Result<Self, String> {
        let id = name.strip_prefix("numcodecs.").unwrap_or(name);
        let bad = || format!("codec `{name}` with configuration {config}");
        let dtype = |key: &str| Number::parse(&config[key], big).ok_or_else(bad);
        let real = |key: &str| config[key].as_f64().ok_or_else(bad);
        let stored = || if config["astype"].is_null() { dtype("dtype") } else { dtype("astype") };
        let checksum = |sum, at_end| match &config["location"] {
            Value::Null => Ok(Self::Checksum { sum, at_end }),
            Value::String(s) if s == "start" || s == "end" => Ok(Self::Checksum { sum, at_end: s == "end" }),
            _ => Err(bad()),
        };
        match id {
            "gzip" => Ok(Self::Gzip),
            "zlib" => Ok(Self::Zlib),
            "bz2" => Ok(Self::Bz2),
            "zstd" => Ok(Self::Zstd),
            // Raw streams say nothing of how they were made.
            "lzma" if config["format"].as_u64() == Some(3) => Err(format!("codec `{name}` with a raw stream")),
            "lzma" => Ok(Self::Lzma),
            "lz4" => Ok(Self::Lz4),
            "blosc" => Ok(Self::Blosc),
            "base64" => Ok(Self::Base64),
            "bitround" => Ok(Self::Nothing),
            "shuffle" => match config["elementsize"].as_u64().unwrap_or(4) {
                n @ 1..=65_536 => Ok(Self::Shuffle(n as usize)),
                _ => Err(bad()),
            },
            "crc32" => checksum(Sum::Crc32, false),
            "adler32" => checksum(Sum::Adler32, false),
            "crc32c" => checksum(Sum::Crc32c, true),
            "fletcher32" => checksum(Sum::Fletcher32, true),
            "delta" => Ok(Self::Delta { stored: stored()?, items: dtype("dtype")? }),
            "quantize" => Ok(Self::Cast { stored: stored()?, items: dtype("dtype")? }),
            "astype" => Ok(Self::Cast { stored: dtype("encode_dtype")?, items: dtype("decode_dtype")? }),
            "fixedscaleoffset" => Ok(Self::Scale {
                stored: stored()?,
                items: dtype("dtype")?,
                scale: real("scale")?,
                offset: real("offset")?,
            }),
            "packbits" => Ok(Self::PackBits),
            "categorize" => {
                let labels: Option<Vec<&str>> =
                    config["labels"].as_array().and_then(|l| l.iter().map(Value::as_str).collect());
                let big_text = config["dtype"].as_str().is_some_and(|d| d.starts_with('>'));
                let label = |text: &str| {
                    let mut bytes = to_utf32(text);
                    if big_text {
                        bytes.chunks_exact_mut(4).for_each(<[u8]>::reverse);
                    }
                    bytes
                };
                let labels = labels.ok_or_else(bad)?.into_iter().map(label).collect();
                Ok(Self::Labels { stored: stored()?, labels, size: width })
            }
            // Its bytes are a program: they are never run.
            "pickle" => Err("codec `pickle`, which would run what the file says".into()),
            _ => Err(format!("codec `{name}`")),
        }
    }

    /// Bytes of an item behind this filter, if it has `size` before.
    pub(super) fn size_behind(&self, size: usize) -> usize {
        match self {
            Self::Delta { stored, .. } | Self::Scale { stored, .. } | Self::Cast { stored, .. } => stored.size(),
            Self::PackBits => 1,
            _ => size,
        }
    }

    /// Undoes the filter, if that gives no more than `limit` bytes.
    pub(super) fn undo(&self, bytes: Vec<u8>, limit: usize) -> Result<Vec<u8>, Fault> {
        match self {
            Self::Nothing => Ok(bytes),
            Self::Gzip => drain(flate2::read::MultiGzDecoder::new(&bytes[..]), limit),
            Self::Zlib => drain(flate2::read::ZlibDecoder::new(&bytes[..]), limit),
            Self::Bz2 => drain(bzip2::read::MultiBzDecoder::new(&bytes[..]), limit),
            Self::Zstd => drain(zstd::stream::read::Decoder::new(&bytes[..]).map_err(broken)?, limit),
            Self::Lzma => {
                let memory = limit.saturating_add(1 << 27) as u64;
                let stream = liblzma::stream::Stream::new_auto_decoder(memory, 0).map_err(broken)?;
                drain(liblzma::read::XzDecoder::new_stream(&bytes[..], stream), limit)
            }
            Self::Lz4 => {
                let (head, block) = bytes.split_first_chunk::<4>().ok_or_else(|| broken("it is too short"))?;
                let size = bounded(u32::from_le_bytes(*head) as usize, limit)?;
                lz4_flex::block::decompress(block, size).map_err(broken)
            }
            Self::Blosc => {
                // The size is in the header, and taken before anything is decoded.
                let size =
                    blosc_size(&bytes).ok_or_else(|| broken("it is no frame of blosc, or one that is cut off"))?;
                let mut out = vec![0; bounded(size, limit)?];
                unblosc(&bytes, &mut out).ok_or_else(|| broken("blosc"))?;
                Ok(out)
            }
            Self::Base64 => STANDARD.decode(bytes).map_err(broken),
            Self::Shuffle(size) => Ok(unshuffle(&bytes, *size)),
            Self::Checksum { sum, at_end } => sum.check(bytes, *at_end),
            Self::Delta { stored, items } => items.write(stored.read(&bytes)?.summed(items.dtype), limit),
            Self::Cast { stored, items } => items.write(stored.read(&bytes)?, limit),
            Self::Scale { stored, items, scale, offset } => {
                items.write(stored.read(&bytes)?.scaled(stored.dtype, *scale, *offset), limit)
            }
            Self::PackBits => {
                let (pad, bits) = bytes.split_first().ok_or_else(|| broken("it is too short"))?;
                let count = (bits.len() * 8).checked_sub(usize::from(*pad)).ok_or_else(|| broken("it is too short"))?;
                bounded(count, limit)?;
                Ok((0..count).map(|i| bits[i / 8] >> (7 - i % 8) & 1).collect())
            }
            Self::Labels { stored, labels, size } => {
                let Numbers::Whole(codes) = stored.read(&bytes)? else {
                    return Err(broken("codes that are no integers"));
                };
                bounded(codes.len().saturating_mul(*size), limit)?;
                let mut out = Vec::with_capacity(codes.len() * size);
                for code in codes {
                    let label = match code {
                        0 => &[][..],
                        n => {
                            let known = usize::try_from(n - 1).ok().and_then(|i| labels.get(i));
                            known.filter(|l| l.len() <= *size).ok_or_else(|| broken("a code without a label"))?
                        }
                    };
                    out.extend(label);
                    out.resize(out.len() + size - label.len(), 0);
                }
                Ok(out)
            }
        }
    }
}

fn broken(why: impl std::fmt::Display) -> Fault {
    Fault::Malformed(format!("a chunk does not decode: {why}"))
}

fn bounded(size: usize, limit: usize) -> Result<usize, Fault> {
    let fits = size <= limit && Vec::<u8>::new().try_reserve_exact(size).is_ok();
    if fits { Ok(size) } else { Err(broken(format!("it says that it holds {size} bytes, more than it can"))) }
}

/// Reads a decoder to its end.
pub(super) fn drain(reader: impl Read, limit: usize) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    reader.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(broken)?;
    if bytes.len() > limit { Err(broken("it holds more than it can")) } else { Ok(bytes) }
}

fn unshuffle(bytes: &[u8], size: usize) -> Vec<u8> {
    let count = bytes.len() / size;
    let mut out = bytes.to_vec();
    for (item, place) in out.chunks_exact_mut(size).enumerate() {
        for (rank, byte) in place.iter_mut().enumerate() {
            *byte = bytes[rank * count + item];
        }
    }
    out
}

impl Sum {
    fn check(self, mut bytes: Vec<u8>, at_end: bool) -> Result<Vec<u8>, Fault> {
        let short = || broken("it is too short");
        let sum = if at_end {
            bytes.split_off(bytes.len().checked_sub(4).ok_or_else(short)?)
        } else {
            let rest = if bytes.len() < 4 { return Err(short()) } else { bytes.split_off(4) };
            std::mem::replace(&mut bytes, rest)
        };
        if sum == self.of(&bytes).to_le_bytes() { Ok(bytes) } else { Err(broken("its checksum is another")) }
    }

    fn of(self, bytes: &[u8]) -> u32 {
        match self {
            Self::Crc32c => crc32c::crc32c(bytes),
            Self::Crc32 => {
                let mut crc = flate2::Crc::new();
                crc.update(bytes);
                crc.sum()
            }
            Self::Adler32 => {
                let (a, b) = bytes.iter().fold((1_u32, 0_u32), |(a, b), &x| {
                    let a = (a + u32::from(x)) % 65_521;
                    (a, (b + a) % 65_521)
                });
                b << 16 | a
            }
            // As HDF5 has it: big-endian words, reduced modulo 65535 in such a way that 65535 may stay.
            Self::Fletcher32 => {
                let fold = |x: u32| (x & 0xffff) + (x >> 16);
                let (mut low, mut high) = (0_u32, 0_u32);
                for block in bytes.chunks(720) {
                    for word in block.chunks(2) {
                        low += u32::from(word[0]) << 8 | word.get(1).map_or(0, |&b| u32::from(b));
                        high += low;
                    }
                    (low, high) = (fold(low), fold(high));
                }
                (low, high) = (fold(low), fold(high));
                high << 16 | low
            }
        }
    }
}

/// Values of any numeric type.
enum Numbers {
    Whole(Vec<i128>),
    Real(Vec<f64>),
}

impl Numbers {
    /// In the precision of this type.
    fn reals(self, dtype: DType) -> Vec<f64> {
        let reals = match self {
            Self::Whole(x) => x.into_iter().map(|x| x as f64).collect(),
            Self::Real(x) => x,
        };
        reals.into_iter().map(|x| rounded(x, dtype)).collect()
    }

    /// Running sums.
    fn summed(self, dtype: DType) -> Self {
        match self {
            Self::Whole(x) if dtype.is_integer() || dtype == DType::Bool => {
                let sums = x.into_iter().scan(0_i128, |sum, x| {
                    *sum = sum.wrapping_add(x);
                    Some(*sum)
                });
                Self::Whole(sums.collect())
            }
            // The first value is taken as it is: 0 + -0 would be 0.
            other => {
                let sums = other.reals(dtype).into_iter().scan(None, |sum: &mut Option<f64>, x| {
                    *sum = Some(sum.map_or(x, |s| rounded(s + x, dtype)));
                    *sum
                });
                Self::Real(sums.collect())
            }
        }
    }

    fn scaled(self, stored: DType, scale: f64, offset: f64) -> Self {
        let dtype = if matches!(stored, DType::F16 | DType::F32) { stored } else { DType::F64 };
        let (scale, offset) = (rounded(scale, dtype), rounded(offset, dtype));
        let back = |x: f64| rounded(rounded(x / scale, dtype) + offset, dtype);
        Self::Real(self.reals(dtype).into_iter().map(back).collect())
    }
}

fn rounded(x: f64, dtype: DType) -> f64 {
    match dtype {
        DType::F16 => f16::from_f64(x).to_f64(),
        DType::F32 => f64::from(x as f32),
        _ => x,
    }
}

impl Number {
    /// From numpy's text, `<f4` or `float32`.
    fn parse(value: &Value, big: bool) -> Option<Self> {
        let text = value.as_str()?;
        let (big, kind) = match text.strip_prefix(['<', '|', '=']) {
            Some(kind) => (big, kind),
            None => text.strip_prefix('>').map_or((big, text), |kind| (true, kind)),
        };
        let dtype = number(kind).or_else(|| DType::parse(kind))?;
        // Differences of points in time are those of their counts.
        let dtype = if dtype.is_numeric() || dtype.size() != Some(8) { dtype } else { DType::I64 };
        let real = dtype.size().is_some() && !matches!(dtype, DType::C64 | DType::C128);
        real.then_some(Self { dtype, big })
    }

    fn size(self) -> usize {
        self.dtype.size().unwrap_or(1)
    }

    fn swapped(self, mut bytes: Vec<u8>) -> Vec<u8> {
        if self.big {
            bytes.chunks_exact_mut(self.size()).for_each(<[u8]>::reverse);
        }
        bytes
    }

    fn read(self, bytes: &[u8]) -> Result<Numbers, Fault> {
        let bytes = self.swapped(bytes.to_vec());
        let array = Array::from_le_bytes(self.dtype, &[bytes.len() / self.size()], &bytes);
        let array = array.ok_or_else(|| broken("its length is no multiple of its items'"))?;
        Ok(match &array {
            Array::U64(a) => Numbers::Whole(a.iter().map(|&x| i128::from(x)).collect()),
            Array::Bool(a) => Numbers::Whole(a.iter().map(|&x| i128::from(x)).collect()),
            other => match other.to_i64() {
                Some(ints) => Numbers::Whole(ints.into_iter().map(i128::from).collect()),
                None => Numbers::Real(other.to_f64().unwrap_or_default()),
            },
        })
    }

    /// As `astype` does: integers wrap around, fractions are cut off.
    fn write(self, numbers: Numbers, limit: usize) -> Result<Vec<u8>, Fault> {
        let size = self.size();
        let count = match &numbers {
            Numbers::Whole(x) => x.len(),
            Numbers::Real(x) => x.len(),
        };
        let mut out = Vec::with_capacity(bounded(count.saturating_mul(size), limit)?);
        let whole = |x: i128, out: &mut Vec<u8>| match self.dtype {
            DType::Bool => out.push(u8::from(x != 0)),
            _ => out.extend(&x.to_le_bytes()[..size]),
        };
        match (numbers, self.dtype) {
            (Numbers::Whole(x), DType::F32) => x.into_iter().for_each(|x| out.extend((x as f32).to_le_bytes())),
            (numbers, DType::F16 | DType::F32 | DType::F64) => {
                for x in numbers.reals(DType::F64) {
                    match self.dtype {
                        DType::F16 => out.extend(f16::from_f64(x).to_le_bytes()),
                        DType::F32 => out.extend((x as f32).to_le_bytes()),
                        _ => out.extend(x.to_le_bytes()),
                    }
                }
            }
            (Numbers::Whole(x), _) => x.into_iter().for_each(|x| whole(x, &mut out)),
            (Numbers::Real(x), DType::Bool) => x.into_iter().for_each(|x| out.push(u8::from(x != 0.0))),
            (Numbers::Real(x), _) => x.into_iter().for_each(|x| whole(x as i128, &mut out)),
        }
        Ok(self.swapped(out))
    }
}
