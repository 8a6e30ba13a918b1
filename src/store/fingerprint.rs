//! What a fingerprint of a stored array is taken of: how long its pieces are (chunks, files, or the one block that it is), and
//! bytes from places spread over them, as they are stored. Nothing is decoded, and no more than 64 KiB is read of an array of
//! any size; times and places of files do not count, so that a copy of a store has the fingerprints of the store.
//!
//! What is compressed changes as a whole where it is changed: its length, or its last bytes, which in gzip and zlib are a checksum
//! of the content. Where nothing is compressed, a change that lies between two places is not seen: of fewer than three in
//! a thousand of all values, if they follow one another.

/// Pieces whose length counts, if that is to be asked for.
pub(super) const LENGTHS: usize = 16_384;
/// Places that are looked at in an array: on a disk that has not read them yet, each may cost what a chunk does.
pub(super) const PLACES: usize = 1024;
/// Bytes at each.
const BYTES: u64 = 64;

/// Numbers below `count`, ascending: all, or so many that are spread evenly, the first and the last among them.
pub(super) fn spread(count: usize, most: usize) -> Vec<usize> {
    if count <= most {
        return (0..count).collect();
    }
    (0..most).map(|i| (i as u128 * (count as u128 - 1) / (most as u128 - 1).max(1)) as usize).collect()
}

/// Offset and length of what is read of a piece of `len` bytes, if `looked_into` pieces are looked into: its end at least, or its
/// beginning, its end and what is spread between them; or all of it.
pub(super) fn stretches(len: u64, looked_into: usize) -> Vec<(u64, usize)> {
    let places = (PLACES / looked_into.max(1)).max(1) as u64;
    if len <= places * BYTES {
        return vec![(0, len as usize)];
    }
    let last = len - BYTES;
    let place =
        |i: u64| if places == 1 { last } else { (u128::from(last) * u128::from(i) / u128::from(places - 1)) as u64 };
    (0..places).map(|i| (place(i), BYTES as usize)).collect()
}

/// Where these stretches are to be read to: end to end into a list as long as they are in all.
pub(super) fn places<'a>(stretches: &[(u64, usize)], bytes: &'a mut Vec<u8>) -> Vec<(u64, &'a mut [u8])> {
    *bytes = vec![0; stretches.iter().map(|&(_, len)| len).sum()];
    let mut rest = &mut bytes[..];
    let next = |&(start, len): &(u64, usize)| {
        let (place, after) = std::mem::take(&mut rest).split_at_mut(len);
        rest = after;
        (start, place)
    };
    stretches.iter().map(next).collect()
}

/// The fingerprint of a piece of `len` bytes with these `bytes` in it.
pub(super) fn of_piece(len: u64, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&len.to_le_bytes()), bytes)
}

/// The fingerprint of an array whose pieces have these.
pub(super) fn of_all(pieces: impl IntoIterator<Item = u32>) -> u32 {
    pieces.into_iter().fold(0, |sum, piece| crc32c::crc32c_append(sum, &piece.to_le_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_spread_from_the_first_to_the_last() {
        assert!(spread(0, 5).is_empty());
        assert_eq!(spread(3, 5), [0, 1, 2]);
        assert_eq!(spread(9, 5), [0, 2, 4, 6, 8]);
        let many = spread(4_000_000, PLACES);
        assert_eq!((many.len(), many[0], many[PLACES - 1]), (PLACES, 0, 3_999_999));
        assert!(many.windows(2).all(|two| (3909..=3911).contains(&(two[1] - two[0]))));
    }

    #[test]
    fn stretches_lie_in_their_piece_and_leave_no_wide_gap() {
        assert_eq!(stretches(0, 1), [(0, 0)]);
        assert_eq!(stretches(1024 * 64, 1), [(0, 1024 * 64)]);
        assert_eq!(stretches(1000, PLACES), [(936, 64)]);
        assert_eq!(stretches(1000, PLACES / 2), [(0, 64), (936, 64)]);
        let of_one = stretches(400_000_000, 1);
        assert_eq!((of_one.len(), of_one[0], of_one[PLACES - 1]), (PLACES, (0, 64), (399_999_936, 64)));
        assert!(of_one.windows(2).all(|two| two[1].0 - two[0].0 < 4 * 100_000));
        assert_eq!(stretches(u64::MAX, 1).last(), Some(&(u64::MAX - 64, 64)));
    }

    #[test]
    fn every_piece_counts_and_its_place() {
        let [a, b] = [of_piece(1, &[7]), of_piece(2, &[7])];
        assert_ne!(a, b);
        assert_ne!(of_all([a, b]), of_all([b, a]));
        assert_ne!(of_all([0]), of_all([0, 0]));
    }
}
