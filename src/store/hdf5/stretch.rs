//! Stretches of a file: pieces of a result that lie near each other there are read together.

use super::ffi::{Failure, Outcome};
use crate::store::spans::GAP_BYTES;

/// Pieces of this many bytes are read straight into their places, each alone.
const ALONE_BYTES: usize = 128 << 10;
/// Pieces of the result, each with its distance from the start of the chunk or stretch that it is in.
pub(super) type Pieces<'a> = Vec<(usize, &'a mut [u8])>;

/// A stretch of the file, and the pieces of the result that are in it.
pub(super) struct Stretch<'a> {
    pub at: u64,
    pub len: usize,
    pub pieces: Pieces<'a>,
}

/// Pieces of the result with their places in the file, near ones in one stretch.
pub(super) fn joined(mut pieces: Vec<(u64, &mut [u8])>) -> Vec<Stretch<'_>> {
    pieces.sort_unstable_by_key(|&(at, _)| at);
    let mut out: Vec<Stretch<'_>> = Vec::new();
    let near = |last: &Stretch<'_>, at: u64, len: usize| {
        let are_short = last.len.max(len) < ALONE_BYTES;
        let is_same = (last.at, last.len) == (at, len);
        is_same || are_short && at <= last.at + (last.len + GAP_BYTES) as u64
    };
    for (at, piece) in pieces {
        match out.last_mut() {
            Some(last) if near(last, at, piece.len()) => {
                let from = (at - last.at) as usize;
                last.len = last.len.max(from + piece.len());
                last.pieces.push((from, piece));
            }
            _ => out.push(Stretch { at, len: piece.len(), pieces: vec![(0, piece)] }),
        }
    }
    out
}

/// Copies from the bytes of a stretch or chunk to the pieces that are in it.
pub(super) fn hand_out(bytes: &[u8], pieces: &mut [(usize, &mut [u8])]) -> Outcome<()> {
    pieces.iter_mut().try_for_each(|(from, piece)| {
        let there = bytes.get(*from..*from + piece.len()).ok_or_else(misfit)?;
        piece.copy_from_slice(there);
        Ok(())
    })
}

pub(super) fn misfit() -> Failure {
    Failure::new("a chunk that does not fit its dataset")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_pieces_are_read_together_and_long_ones_alone() {
        let mut room = vec![0; 2 * ALONE_BYTES];
        let (short, long) = room.split_at_mut(ALONE_BYTES);
        let mut short = short.chunks_mut(100);
        let far = 1000 + GAP_BYTES as u64;
        // In any order, and one that begins within another.
        let mut pieces: Vec<(u64, &mut [u8])> = [far + 101, 0, 100, 50, 900].into_iter().zip(&mut short).collect();
        pieces.push((200, long));
        let found: Vec<_> =
            joined(pieces).iter().map(|s| (s.at, s.len, s.pieces.iter().map(|p| p.0).collect::<Vec<_>>())).collect();
        let wanted =
            [(0, 200, vec![0, 50, 100]), (200, ALONE_BYTES, vec![0]), (900, 100, vec![0]), (far + 101, 100, vec![0])];
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_long_piece_that_is_wanted_twice_is_read_once() {
        let mut room = vec![0; 3 * ALONE_BYTES];
        let pieces = [7, 0, 7].into_iter().zip(room.chunks_mut(ALONE_BYTES)).collect();
        let found: Vec<_> = joined(pieces).iter().map(|s| (s.at, s.len, s.pieces.len())).collect();
        assert_eq!(found, [(0, ALONE_BYTES, 1), (7, ALONE_BYTES, 2)]);
    }

    #[test]
    fn pieces_beyond_their_bytes_are_an_error() {
        let mut room = [0; 4];
        let (a, b) = room.split_at_mut(2);
        assert!(hand_out(&[1, 2, 3], &mut [(0, &mut *a), (1, &mut *b)]).is_ok());
        assert!(hand_out(&[1, 2, 3], &mut [(2, a)]).is_err());
        assert_eq!(room, [1, 2, 2, 3]);
    }
}
