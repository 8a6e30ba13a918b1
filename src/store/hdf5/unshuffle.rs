//! Undoing the shuffle filter: from all first bytes of the items, then all second bytes, and so on, to the items.

/// Items that are put together at a time: what lies between two steps stays in the first cache.
const BLOCK_ITEMS: usize = 1024;

/// Puts the items of this many bytes together. `out` is as long as `planes`; what does not fill an item stays at the end.
pub(super) fn unshuffle(planes: &[u8], item: usize, out: &mut [u8]) {
    let len = out.len().min(planes.len());
    let whole = len - len.checked_rem(item).unwrap_or(len);
    out[whole..len].copy_from_slice(&planes[whole..len]);
    let (planes, out) = (&planes[..whole], &mut out[..whole]);
    match item {
        2 => in_blocks::<2>(planes, out, |planes, out| zip1(planes[0], planes[1], out)),
        4 => {
            let mut half = [[0; 2 * BLOCK_ITEMS]; 2];
            in_blocks::<4>(planes, out, |planes, out| {
                let halves = pairs(planes, &mut half);
                zip2(halves[0], halves[1], out);
            });
        }
        8 => {
            let (mut quarter, mut half) = ([[0; 2 * BLOCK_ITEMS]; 4], [[0; 4 * BLOCK_ITEMS]; 2]);
            in_blocks::<8>(planes, out, |planes, out| {
                let [a, b, c, d] = pairs(planes, &mut quarter);
                let len = 2 * a.len();
                zip2(a, b, &mut half[0][..len]);
                zip2(c, d, &mut half[1][..len]);
                zip4(&half[0][..len], &half[1][..len], out);
            });
        }
        _ => {
            for (i, place) in out.chunks_exact_mut(item.max(1)).enumerate() {
                place.iter_mut().zip(planes.iter().skip(i).step_by(whole / item)).for_each(|(to, &from)| *to = from);
            }
        }
    }
}

/// Calls `each` with the planes of some items at a time, and the place of these.
fn in_blocks<const N: usize>(planes: &[u8], out: &mut [u8], mut each: impl FnMut([&[u8]; N], &mut [u8])) {
    let items = planes.len() / N;
    for (block, out) in out.chunks_mut(N * BLOCK_ITEMS).enumerate() {
        let first = block * BLOCK_ITEMS;
        each(std::array::from_fn(|byte| &planes[byte * items + first..][..out.len() / N]), out);
    }
}

/// Zips neighbouring planes.
fn pairs<'a, const N: usize, const HALF: usize>(
    planes: [&[u8]; N],
    room: &'a mut [[u8; 2 * BLOCK_ITEMS]; HALF],
) -> [&'a [u8]; HALF] {
    let len = 2 * planes[0].len();
    for (two, place) in planes.chunks_exact(2).zip(room.iter_mut()) {
        zip1(two[0], two[1], &mut place[..len]);
    }
    room.each_ref().map(|place| &place[..len])
}

// Written as the compiler makes vector code of them.

fn zip1(a: &[u8], b: &[u8], out: &mut [u8]) {
    for ((to, &a), &b) in out.as_chunks_mut().0.iter_mut().zip(a).zip(b) {
        *to = [a, b];
    }
}

fn zip2(a: &[u8], b: &[u8], out: &mut [u8]) {
    for ((to, &a), &b) in out.as_chunks_mut().0.iter_mut().zip(a.as_chunks().0).zip(b.as_chunks().0) {
        *to = (u32::from(u16::from_le_bytes(a)) | u32::from(u16::from_le_bytes(b)) << 16).to_le_bytes();
    }
}

fn zip4(a: &[u8], b: &[u8], out: &mut [u8]) {
    for ((to, &a), &b) in out.as_chunks_mut().0.iter_mut().zip(a.as_chunks().0).zip(b.as_chunks().0) {
        *to = (u64::from(u32::from_le_bytes(a)) | u64::from(u32::from_le_bytes(b)) << 32).to_le_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_put_together_whatever_their_size_and_number() {
        for item in [0, 1, 2, 3, 4, 8, 12, 16] {
            for len in [0, 1, item, 5 * item + 3, BLOCK_ITEMS * item, (2 * BLOCK_ITEMS + 7) * item + 1] {
                let bytes: Vec<u8> = (0..len).map(|i| (i * 7 + i / 251) as u8).collect();
                let items = len.checked_div(item).unwrap_or(0);
                let mut planes: Vec<u8> =
                    (0..item).flat_map(|b| (0..items).map(move |i| i * item + b)).map(|at| bytes[at]).collect();
                planes.extend_from_slice(&bytes[planes.len()..]);
                let mut out = vec![0; len];
                unshuffle(&planes, item, &mut out);
                assert_eq!(out, bytes, "{item} {len}");
            }
        }
    }
}
