//! [`Pipeline`]: undoing the filters that chunks have passed, outside the library and its lock.

use super::decode::{self, Decode};
use super::ffi::{self, Filter};
use super::unshuffle::unshuffle;

/// Chunks of more bytes are left to the library: every thread holds one.
const MAX_CHUNK_BYTES: usize = 1 << 28;
/// Bytes of the checksum behind a chunk.
const CHECKSUM: usize = 4;

/// The filters of a dataset as they are usual, each with its number among them: shuffled, compressed, checksummed, or less.
#[derive(Debug)]
pub(super) struct Pipeline {
    /// With the bytes of an item.
    shuffle: Option<(usize, usize)>,
    coder: Option<(usize, Coder)>,
    checksum: Option<usize>,
}

#[derive(Debug)]
enum Coder {
    /// Decodes straight to where the chunk belongs.
    Straight(&'static str, fn(&[u8], &mut [u8]) -> Option<()>),
    PlugIn(&'static str, Decode, Vec<u32>),
}

impl Pipeline {
    /// For chunks of this many bytes; `None` where the library has to decode them: a filter that is not known here, or an
    /// order that is not usual.
    pub(super) fn new(filters: &[Filter], chunk: usize) -> Option<Self> {
        let mut new = Self { shuffle: None, coder: None, checksum: None };
        for (number, filter) in filters.iter().enumerate() {
            match (filter.id, &new) {
                (2, Self { shuffle: None, coder: None, checksum: None }) => {
                    let item = filter.values.first().filter(|&&item| item > 0)?;
                    // Items of one byte come out as they went in.
                    new.shuffle = Some((number, *item as usize)).filter(|&(_, item)| item > 1);
                }
                (3, Self { checksum: None, .. }) => new.checksum = Some(number),
                (_, Self { coder: None, checksum: None, .. }) => new.coder = Some((number, Coder::of(filter)?)),
                _ => return None,
            }
        }
        (1..=MAX_CHUNK_BYTES).contains(&chunk).then_some(new)
    }

    /// Whether a chunk with this filter mask is stored as it is.
    pub(super) fn is_raw(&self, mask: u32) -> bool {
        let numbers = [self.shuffle.map(|s| s.0), self.coder.as_ref().map(|c| c.0), self.checksum];
        !numbers.into_iter().flatten().any(|number| is_used(number, mask))
    }

    /// Fills `out`, as long as a chunk, from a stored one; `mask` has a bit for each filter that it did not pass. `between` is
    /// room for what lies between two of them.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn decode(&self, stored: &[u8], mask: u32, between: &mut Vec<u8>, out: &mut [u8]) -> Result<(), String> {
        let summed = self.checksum.is_some_and(|number| is_used(number, mask));
        let bytes = if summed { verified(stored).ok_or("a chunk whose checksum is another one")? } else { stored };
        let item = self.shuffle.filter(|&(number, _)| is_used(number, mask)).map(|(_, item)| item);
        let coder = self.coder.as_ref().filter(|(number, _)| is_used(*number, mask)).map(|(_, coder)| coder);
        match (item, coder) {
            (None, Some(coder)) => return coder.decode(bytes, out),
            (Some(item), Some(coder)) => {
                let shuffled = room(between, out.len()).ok_or("no memory for a chunk")?;
                coder.decode(bytes, shuffled)?;
                unshuffle(shuffled, item, out);
            }
            _ if bytes.len() != out.len() => {
                return Err(format!("a chunk of {} bytes whose items have {}", bytes.len(), out.len()));
            }
            (Some(item), None) => unshuffle(bytes, item, out),
            (None, None) => out.copy_from_slice(bytes),
        }
        Ok(())
    }
}

fn is_used(number: usize, mask: u32) -> bool {
    number >= 32 || mask >> number & 1 == 0
}

impl Coder {
    fn of(filter: &Filter) -> Option<Self> {
        Some(match filter.id {
            1 => Self::Straight("deflate", decode::deflate),
            32000 => Self::Straight("lzf", decode::lzf),
            32001 => Self::Straight("blosc", ffi::unblosc),
            32015 => Self::Straight("zstd", decode::zstd_block),
            id => {
                let (name, decode) = ffi::decoder(id)?;
                Self::PlugIn(name, decode, filter.values.clone())
            }
        })
    }

    /// Fills `out`; an error if other than as many bytes come out.
    fn decode(&self, bytes: &[u8], out: &mut [u8]) -> Result<(), String> {
        let (name, done) = match self {
            Self::Straight(name, decode) => (name, decode(bytes, out)),
            Self::PlugIn(name, decode, parameters) => {
                let decoded = decode(bytes, parameters, out.len()).filter(|decoded| decoded.len() == out.len());
                (name, decoded.map(|decoded| out.copy_from_slice(&decoded)))
            }
        };
        done.ok_or_else(|| format!("not a chunk of the {name} filter"))
    }
}

/// The first bytes of a buffer, which grows for them; what is in them is left over. `None` if there is no memory.
pub(super) fn room(buffer: &mut Vec<u8>, bytes: usize) -> Option<&mut [u8]> {
    if let Some(missing) = bytes.checked_sub(buffer.len()) {
        buffer.try_reserve_exact(missing).ok()?;
        buffer.resize(bytes, 0);
    }
    buffer.get_mut(..bytes)
}

/// The bytes before their checksum, if it is right.
fn verified(bytes: &[u8]) -> Option<&[u8]> {
    let (bytes, sum) = bytes.split_last_chunk::<CHECKSUM>()?;
    let sum = u32::from_le_bytes(*sum);
    let right = fletcher32(bytes);
    // Libraries before 1.6.3 have swapped the bytes of each half.
    let swapped = (right & 0x00FF_00FF) << 8 | right >> 8 & 0x00FF_00FF;
    (sum == right || sum == swapped).then_some(bytes)
}

/// The checksum as HDF5 reckons it: over big-endian pairs of bytes, the last one filled up with a zero.
fn fletcher32(bytes: &[u8]) -> u32 {
    // So many sums do not overflow.
    const AT_A_TIME: usize = 360;
    let fold = |sum: u32| (sum & 0xFFFF) + (sum >> 16);
    let (pairs, last) = bytes.as_chunks::<2>();
    let (mut first, mut second) = (0_u32, 0_u32);
    for pairs in pairs.chunks(AT_A_TIME) {
        for &pair in pairs {
            first += u32::from(u16::from_be_bytes(pair));
            second += first;
        }
        (first, second) = (fold(first), fold(second));
    }
    if let [last] = last {
        first += u32::from(*last) << 8;
        second += first;
        (first, second) = (fold(first), fold(second));
    }
    fold(second) << 16 | fold(first)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing check is a panic")]
    use super::*;

    fn filter(id: i32) -> Filter {
        Filter { id, flags: 0, values: vec![4, 0, 0, 0, 2], name: String::new() }
    }

    fn pipeline(ids: &[i32]) -> Option<Pipeline> {
        Pipeline::new(&ids.iter().copied().map(filter).collect::<Vec<_>>(), 4000)
    }

    #[test]
    fn only_usual_orders_are_decoded_here() {
        for usual in [&[][..], &[1], &[2, 1], &[2, 1, 3], &[2, 32000], &[32015, 3], &[2], &[3], &[32001], &[2, 307]] {
            assert!(pipeline(usual).is_some(), "{usual:?}");
        }
        for odd in [&[4][..], &[1, 2], &[3, 1], &[1, 32015], &[2, 2, 1], &[6], &[1, 3, 3], &[99]] {
            assert!(pipeline(odd).is_none(), "{odd:?}");
        }
        let shuffled = |item: u32| Pipeline::new(&[Filter { values: vec![item], ..filter(2) }, filter(1)], 4000);
        assert!(shuffled(0).is_none());
        assert!(shuffled(1).unwrap().is_raw(0b10) && !shuffled(2).unwrap().is_raw(0b10), "single bytes stay in order");
        assert!(Pipeline::new(&[], 0).is_none() && Pipeline::new(&[], MAX_CHUNK_BYTES + 1).is_none());
    }

    #[test]
    fn chunks_that_are_damaged_or_of_another_length_are_refused() {
        let chunk: Vec<u8> = (0..4000_u32).map(|i| (i / 7) as u8).collect();
        let mut packed = vec![0; 5000];
        let mut deflate = libdeflater::Compressor::new(libdeflater::CompressionLvl::default());
        let len = deflate.zlib_compress(&chunk, &mut packed).unwrap();
        packed.truncate(len);
        let summed = [&packed[..], &fletcher32(&packed).to_le_bytes()].concat();
        let (gzip, both) = (pipeline(&[1]).unwrap(), pipeline(&[1, 3]).unwrap());
        let (mut between, mut out) = (Vec::new(), vec![0; 4000]);
        assert!(gzip.decode(&packed, 0, &mut between, &mut out).is_ok() && out == chunk);
        assert!(both.decode(&summed, 0, &mut between, &mut out).is_ok() && out == chunk);
        assert!(both.decode(&packed, 0b10, &mut between, &mut out).is_ok() && out == chunk, "the checksum was skipped");
        assert!(both.decode(&chunk, 0b11, &mut between, &mut out).is_ok() && both.is_raw(0b11) && !both.is_raw(0b01));
        for at in 0..summed.len() {
            let mut damaged = summed.clone();
            damaged[at] ^= 0x10;
            assert!(both.decode(&damaged, 0, &mut between, &mut out).is_err(), "{at}");
        }
        assert!(both.decode(&[0; 3], 0, &mut between, &mut out).is_err());
        for other in [3999, 4001] {
            assert!(gzip.decode(&packed, 0, &mut between, &mut vec![0; other]).is_err());
            assert!(gzip.decode(&chunk, 1, &mut between, &mut vec![0; other]).is_err());
        }
    }
}
