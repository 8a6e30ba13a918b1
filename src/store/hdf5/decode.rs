//! Decoders of the filters that are no part of HDF5 and that single-cell files are seen with. Each takes a stored chunk, the
//! filter's parameters and the most bytes that may come out, and trusts none of them.

use std::cell::RefCell;
use std::io::Read;

use ::zstd::bulk::Decompressor as Zstd;
use libdeflater::Decompressor as Deflate;

thread_local! {
    /// Kept from chunk to chunk: to make one takes longer than many a chunk.
    static ZSTD: RefCell<Option<Zstd<'static>>> = const { RefCell::new(None) };
    static DEFLATE: RefCell<Option<Deflate>> = const { RefCell::new(None) };
}

/// A decoder; `None` where the bytes are not what its filter writes.
pub(super) type Decode = fn(chunk: &[u8], parameters: &[u32], limit: usize) -> Option<Vec<u8>>;

/// A zstd frame.
pub(super) fn zstd(chunk: &[u8], _: &[u32], limit: usize) -> Option<Vec<u8>> {
    let mut out = room(limit)?;
    with_zstd(|zstd| zstd.decompress_to_buffer(chunk, &mut out).ok())?;
    Some(out)
}

/// A zstd frame that fills its place.
pub(super) fn zstd_block(packed: &[u8], place: &mut [u8]) -> Option<()> {
    let length = with_zstd(|zstd| zstd.decompress_to_buffer(packed, place).ok())?;
    (length == place.len()).then_some(())
}

fn with_zstd<T>(decode: impl FnOnce(&mut Zstd<'static>) -> Option<T>) -> Option<T> {
    ZSTD.with_borrow_mut(|kept| {
        let zstd = match kept {
            Some(zstd) => zstd,
            None => kept.insert(Zstd::new().ok()?),
        };
        decode(zstd)
    })
}

/// A zlib stream that fills its place.
pub(super) fn deflate(packed: &[u8], place: &mut [u8]) -> Option<()> {
    let length = DEFLATE.with_borrow_mut(|kept| {
        let deflate = kept.get_or_insert_with(Deflate::new);
        deflate.zlib_decompress(packed, place).ok()
    })?;
    (length == place.len()).then_some(())
}

/// A bzip2 stream.
pub(super) fn bzip2(chunk: &[u8], _: &[u32], limit: usize) -> Option<Vec<u8>> {
    let mut out = room(limit)?;
    let mut stream = ::bzip2::read::BzDecoder::new(chunk).take(limit as u64 + 1);
    stream.read_to_end(&mut out).ok().filter(|&n| n <= limit)?;
    Some(out)
}

/// Length of all and of a block, then blocks of LZ4, each behind its length; one that did not get shorter is stored as it is.
pub(super) fn lz4(chunk: &[u8], _: &[u32], limit: usize) -> Option<Vec<u8>> {
    let (mut total, rest) = big_endian::<8>(chunk)?;
    let (block, mut rest) = big_endian::<4>(rest)?;
    let mut out = zeros(total, limit)?;
    let mut places = &mut out[..];
    while total > 0 {
        let (length, behind) = big_endian::<4>(rest)?;
        let (packed, behind) = behind.split_at_checked(length)?;
        let (place, others) = places.split_at_mut_checked(block.min(total)).filter(|(place, _)| !place.is_empty())?;
        if packed.len() == place.len() {
            place.copy_from_slice(packed)
        } else {
            lz4_block(packed, place)?
        }
        total -= place.len();
        (places, rest) = (others, behind);
    }
    Some(out)
}

fn raw_block(stored: &[u8], place: &mut [u8]) -> Option<()> {
    place.copy_from_slice(Some(stored).filter(|stored| stored.len() == place.len())?);
    Some(())
}

fn lz4_block(packed: &[u8], place: &mut [u8]) -> Option<()> {
    let length = lz4_flex::block::decompress_into(packed, place).ok()?;
    (length == place.len()).then_some(())
}

/// Runs of bytes as they are, and copies of what came before, in the format of liblzf; fills its place.
pub(super) fn lzf(mut packed: &[u8], place: &mut [u8]) -> Option<()> {
    let mut done = 0;
    while let Some((&control, rest)) = packed.split_first() {
        let control = usize::from(control);
        if control < 32 {
            let (run, rest) = rest.split_at_checked(control + 1)?;
            place.get_mut(done..done + run.len())?.copy_from_slice(run);
            (done, packed) = (done + run.len(), rest);
            continue;
        }
        let (more, rest) = if control >> 5 == 7 { rest.split_first()? } else { (&0, rest) };
        let (&low, rest) = rest.split_first()?;
        let (from, len) =
            (done.checked_sub(((control & 31) << 8) + usize::from(low) + 1)?, (control >> 5) + usize::from(*more) + 2);
        let end = done.checked_add(len).filter(|&end| end <= place.len())?;
        if from + len <= done {
            place.copy_within(from..from + len, done);
        } else {
            // It repeats what it is making.
            (done..end).for_each(|at| place[at] = place[at - (done - from)]);
        }
        (done, packed) = (end, rest);
    }
    (done == place.len()).then_some(())
}

/// Blocks of items whose bits are transposed, then compressed by LZ4, zstd or not at all. What does not fill eight items is
/// stored as it is.
pub(super) fn bitshuffle(chunk: &[u8], parameters: &[u32], limit: usize) -> Option<Vec<u8>> {
    const TARGET_BYTES: usize = 8192;
    const LEAST_ITEMS: usize = 128;
    let parameter = |i: usize| parameters.get(i).map_or(0, |&value| value as usize);
    let item = Some(parameter(2)).filter(|&n| n > 0)?;
    let unpack: fn(&[u8], &mut [u8]) -> Option<()> = match parameter(4) {
        0 => raw_block,
        2 => lz4_block,
        3 => zstd_block,
        _ => return None,
    };
    let packed = parameter(4) != 0;
    let (total, block, mut rest) = if packed {
        let (total, rest) = big_endian::<8>(chunk)?;
        let (block_bytes, rest) = big_endian::<4>(rest)?;
        (total, block_bytes / item, rest)
    } else {
        let usual = (TARGET_BYTES / item / 8 * 8).max(LEAST_ITEMS);
        (chunk.len(), if parameter(3) > 0 { parameter(3) } else { usual }, chunk)
    };
    let block_bytes = block.checked_mul(item).filter(|_| block > 0 && block.is_multiple_of(8))?;
    let mut out = zeros(total, limit).filter(|_| total.is_multiple_of(item))?;
    let eights = total / item / 8 * 8 * item;
    let (shuffled, raw) = out.split_at_mut(eights);
    let mut bits = zeros(block_bytes.min(eights), limit)?;
    for place in shuffled.chunks_mut(block_bytes) {
        let bits = &mut bits[..place.len()];
        let (length, behind) = if packed { big_endian::<4>(rest)? } else { (place.len(), rest) };
        let (block, behind) = behind.split_at_checked(length)?;
        unpack(block, bits)?;
        rest = behind;
        transpose_bits(bits, place, item);
    }
    raw.copy_from_slice(rest.get(..raw.len())?);
    Some(out)
}

/// From rows, one for each bit of an item, that hold this bit of all items, to items.
fn transpose_bits(rows: &[u8], items: &mut [u8], item: usize) {
    let row = rows.len() / (8 * item);
    for (eight, items) in items.chunks_exact_mut(8 * item).enumerate() {
        for byte in 0..item {
            let bits = std::array::from_fn(|bit| rows[(byte * 8 + bit) * row + eight]);
            for (k, value) in transpose_eight(u64::from_le_bytes(bits)).to_le_bytes().into_iter().enumerate() {
                items[k * item + byte] = value;
            }
        }
    }
}

/// Swaps rows and columns of eight times eight bits.
fn transpose_eight(mut x: u64) -> u64 {
    for (shift, mask) in [(7, 0x00AA_00AA_00AA_00AA), (14, 0x0000_CCCC_0000_CCCC), (28, 0x0000_0000_F0F0_F0F0)] {
        let swapped = (x ^ (x >> shift)) & mask;
        x ^= swapped ^ (swapped << shift);
    }
    x
}

fn big_endian<const N: usize>(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<N>()?;
    let number = number.iter().fold(0_u64, |n, &byte| n << 8 | u64::from(byte));
    Some((usize::try_from(number).ok()?, rest))
}

fn room(bytes: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    out.try_reserve_exact(bytes).ok()?;
    Some(out)
}

fn zeros(bytes: usize, limit: usize) -> Option<Vec<u8>> {
    let mut out = room(Some(bytes).filter(|&n| n <= limit)?)?;
    out.resize(bytes, 0);
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bits_change_places() {
        let x = 0x8040_2010_0804_02FF_u64;
        let at = |x: u64, row: u32, column: u32| x >> (8 * row + column) & 1;
        let y = transpose_eight(x);
        assert!((0..8).all(|r| (0..8).all(|c| at(x, r, c) == at(y, c, r))));
    }

    #[test]
    fn what_is_larger_than_its_chunk_is_refused() {
        let bomb = ::zstd::bulk::compress(&vec![0; 1 << 20], 3).unwrap();
        assert_eq!(zstd(&bomb, &[], 1 << 20).unwrap().len(), 1 << 20);
        assert!(zstd(&bomb, &[], (1 << 20) - 1).is_none());
        let lengths = [u64::MAX.to_be_bytes().to_vec(), u32::MAX.to_be_bytes().to_vec()].concat();
        assert!(lz4(&lengths, &[], 1 << 20).is_none());
        assert!(bitshuffle(&lengths, &[0, 0, 1, 0, 2], 1 << 20).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_decoded_within_the_limit(
            mut chunk in proptest::collection::vec(any::<u8>(), 0..80),
            parameters in proptest::collection::vec(0_u32..5, 0..7),
            small in any::<bool>(),
        ) {
            // Lengths that are not refused at once.
            if small && chunk.len() > 12 {
                chunk[..7].fill(0);
                chunk[8..11].fill(0);
            }
            let _ = lzf(&chunk, &mut [0; 300]);
            for decode in [zstd as Decode, bzip2, lz4, bitshuffle] {
                if let Some(out) = decode(&chunk, &parameters, 300) {
                    prop_assert!(out.len() <= 300);
                }
            }
        }
    }
}
