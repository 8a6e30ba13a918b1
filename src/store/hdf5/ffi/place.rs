//! Where the items of a dataset are in the file, for reading them without the library.

use std::ffi::{c_int, c_uint, c_void};

use hdf5_metno_sys::h5::hsize_t;
use hdf5_metno_sys::h5d::{H5D_CHUNK_DONT_FILTER_PARTIAL_CHUNKS, H5Dchunk_iter, H5Dget_create_plist, H5Dget_offset};
use hdf5_metno_sys::h5i::H5Iget_file_id;
use hdf5_metno_sys::h5p::{H5P_DEFAULT, H5Pget_chunk_opts};

use super::copying::{identity, storage_bytes};
use super::objects::{base_of, is_writable};
use super::{Id, Outcome, check, locked, plain};

/// A stretch of the file, from its very beginning: what precedes the HDF5 data in it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Stored {
    pub at: u64,
    pub bytes: u64,
    /// A bit for each filter that a chunk has not passed.
    pub mask: u32,
}

/// The address of a dataset's header, and where addresses in the file count from. `None` in a file that is open for writing, as what the
/// library knows of it may not be in there yet, and if addresses are not of 8 bytes.
pub(in super::super) fn header_of(dataset: &Id) -> Outcome<Option<(u64, u64)>> {
    let file = Id::from_raw(plain!(H5Iget_file_id(dataset.raw()))?);
    let Some(base) = base_of(&file)?.filter(|_| !is_writable(&file).unwrap_or(true)) else { return Ok(None) };
    // The token of an object in a file is its address.
    let (token, _) = identity(dataset)?;
    Ok(token.first_chunk().map(|&address| (u64::from_le_bytes(address), base)))
}

/// The one block that the items of a dataset are in; `None` if there is none, because nothing was ever written or because
/// they are in the dataset's header.
pub(in super::super) fn block(dataset: &Id) -> Outcome<Option<Stored>> {
    // SAFETY: an id only. Where there is no block, the address is the largest number (or just below the start of the data).
    let at = locked(|| unsafe { H5Dget_offset(dataset.raw()) });
    let bytes = storage_bytes(dataset)?;
    Ok(at.checked_add(bytes).filter(|_| bytes > 0).map(|_| Stored { at, bytes, mask: 0 }))
}

/// The chunks of a dataset that are stored, each with its number in the grid of `counts` chunks along each axis, in C order;
/// in ascending order. `None` if they are not as the library writes them, or are partly unfiltered without saying so.
pub(in super::super) fn chunks(
    dataset: &Id,
    lens: &[usize],
    counts: &[usize],
) -> Outcome<Option<Vec<(usize, Stored)>>> {
    struct Found<'a> {
        lens: &'a [usize],
        counts: &'a [usize],
        most: usize,
        chunks: Vec<(usize, Stored)>,
    }
    unsafe extern "C" fn note(
        corner: *const hsize_t,
        mask: c_uint,
        at: u64,
        bytes: hsize_t,
        out: *mut c_void,
    ) -> c_int {
        const STOP: c_int = 1;
        // SAFETY: HDF5 passes what was handed over below, and a list with a number for each axis.
        let (out, corner) = unsafe {
            let Some(out) = out.cast::<Found<'_>>().as_mut() else { return STOP };
            let axes = out.lens.len();
            (out, std::slice::from_raw_parts(corner, axes))
        };
        let number = corner.iter().zip(out.lens).zip(out.counts).try_fold(0, |number, ((&from, &len), &count)| {
            let from = usize::try_from(from).ok()?;
            (from % len == 0 && from / len < count).then(|| number * count + from / len)
        });
        match number {
            Some(number) if out.chunks.len() < out.most && out.chunks.try_reserve(1).is_ok() => {
                out.chunks.push((number, Stored { at, bytes, mask }));
                0
            }
            _ => STOP,
        }
    }
    let list = Id::from_raw(plain!(H5Dget_create_plist(dataset.raw()))?);
    let mut options: c_uint = 0;
    // SAFETY: an id, and a place for a number.
    check(|| unsafe { H5Pget_chunk_opts(list.raw(), &raw mut options) })?;
    let most = counts.iter().try_fold(1_usize, |n, &count| n.checked_mul(count));
    let Some(most) = most.filter(|_| !lens.contains(&0) && lens.len() == counts.len()) else { return Ok(None) };
    if options & H5D_CHUNK_DONT_FILTER_PARTIAL_CHUNKS != 0 {
        return Ok(None);
    }
    let mut found = Found { lens, counts, most, chunks: Vec::new() };
    // SAFETY: `note` matches the declared signature and does not unwind; chunks have a number for each axis of the dataset,
    // whose number the caller has from the dataset's layout; `found` outlives the call.
    let stopped =
        check(|| unsafe { H5Dchunk_iter(dataset.raw(), H5P_DEFAULT, Some(note), (&raw mut found).cast()) })? != 0;
    found.chunks.sort_unstable_by_key(|&(number, _)| number);
    let twice = found.chunks.windows(2).any(|two| two[0].0 == two[1].0);
    Ok((!stopped && !twice).then_some(found.chunks))
}
