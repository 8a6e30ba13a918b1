//! Fingerprints of arrays: of their files, each a chunk or a shard of chunks. At the end of a shard is, in all that zarr-python
//! writes, the checksum of its index, and so of the lengths of all chunks in it.

use rayon::prelude::*;

use super::array::{OpenArray, Reading};
use super::shard::unravel;
use super::source::{Fault, Spot};
use crate::store::fingerprint;

impl OpenArray {
    /// Of its files. `None` in an archive that has compressed them once more: to look into one there is to decode it.
    pub(super) fn fingerprint(&self, from: Reading<'_>) -> Result<Option<u32>, Fault> {
        let grid = self.files();
        let Some(count) = grid.iter().try_fold(1_usize, |n, &files| n.checked_mul(files)) else { return Ok(None) };
        let files = fingerprint::spread(count, fingerprint::LENGTHS);
        let looked_into = fingerprint::spread(files.len(), fingerprint::PLACES);
        let of_file = |(i, &number): (usize, &usize)| -> Result<Option<u32>, Fault> {
            let mut spot = Spot::new(self.keys.key(&unravel(number, &grid)));
            if from.source.is_packed(from.at, &spot.key) {
                return Ok(None);
            }
            let Some(len) = from.source.chunk_size(from.at, &mut spot)? else { return Ok(Some(0)) };
            if looked_into.binary_search(&i).is_err() {
                return Ok(Some(fingerprint::of_piece(len, &[])));
            }
            let stretches = fingerprint::stretches(len, looked_into.len());
            let mut read = Vec::new();
            let mut parts = fingerprint::places(&stretches, &mut read);
            let there = from.source.chunk_parts(from.at, &mut spot, len, &mut parts)?;
            Ok(Some(if there { fingerprint::of_piece(len, &read) } else { 0 }))
        };
        let files = files.par_iter().enumerate().map(of_file).collect::<Result<Option<Vec<u32>>, Fault>>()?;
        Ok(files.map(fingerprint::of_all))
    }
}
