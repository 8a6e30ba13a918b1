//! Filters: which there are, and those registered here so that HDF5 decodes what its plug-ins have written. Only decoders:
//! new arrays are written with the filters that every HDF5 has.

use std::ffi::{CStr, c_int, c_uint, c_void};
use std::panic::catch_unwind;
use std::sync::Once;

use hdf5_metno_sys::h5::{H5allocate_memory, H5free_memory};
use hdf5_metno_sys::h5e::H5E_CANTFILTER;
use hdf5_metno_sys::h5z::{
    H5Z_CLASS_T_VERS, H5Z_FILTER_CONFIG_ENCODE_ENABLED, H5Z_FLAG_REVERSE, H5Z_class2_t, H5Z_func_t, H5Zfilter_avail,
    H5Zget_filter_info, H5Zregister,
};

use super::{blame, blosc_size, check, locked, plain, unblosc};
use crate::store::hdf5::decode::{self, Decode};

/// One filter of a dataset's pipeline.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct Filter {
    pub id: i32,
    pub flags: u32,
    pub values: Vec<u32>,
    pub name: String,
}

impl Filter {
    /// Whether data that passed this filter can be decoded here.
    pub(in super::super) fn is_known(&self) -> bool {
        plain!(H5Zfilter_avail(self.id)).is_ok_and(|yes| yes > 0)
    }

    pub(in super::super) fn can_encode(&self) -> bool {
        let mut config: c_uint = 0;
        // SAFETY: the pointer is to a local that outlives the call.
        let asked = check(|| unsafe { H5Zget_filter_info(self.id, &raw mut config) });
        self.is_known() && asked.is_ok() && config & H5Z_FILTER_CONFIG_ENCODE_ENABLED != 0
    }
}

struct Decoder {
    id: c_int,
    name: &'static CStr,
    failure: &'static CStr,
    decode: Decode,
}

static DECODERS: [Decoder; 5] = [
    Decoder { id: 307, name: c"bzip2", failure: c"not a chunk of the bzip2 filter", decode: decode::bzip2 },
    Decoder { id: 32001, name: c"blosc", failure: c"not a chunk of the blosc filter", decode: blosc },
    Decoder { id: 32004, name: c"lz4", failure: c"not a chunk of the lz4 filter", decode: decode::lz4 },
    Decoder {
        id: 32008,
        name: c"bitshuffle",
        failure: c"not a chunk of the bitshuffle filter",
        decode: decode::bitshuffle,
    },
    Decoder { id: 32015, name: c"zstd", failure: c"not a chunk of the zstd filter", decode: decode::zstd },
];

/// Name and decoder of a filter that is no part of HDF5.
pub(in super::super) fn decoder(id: i32) -> Option<(&'static str, Decode)> {
    let decoder = DECODERS.iter().find(|decoder| decoder.id == id)?;
    Some((decoder.name.to_str().ok()?, decoder.decode))
}

/// Registers the decoders, once. Filters that others have registered stay.
pub(super) fn register() {
    static DONE: Once = Once::new();
    const CALLBACKS: [H5Z_func_t; 5] =
        [Some(filter::<0>), Some(filter::<1>), Some(filter::<2>), Some(filter::<3>), Some(filter::<4>)];
    locked(|| {
        DONE.call_once(|| {
            for (decoder, callback) in DECODERS.iter().zip(CALLBACKS) {
                if plain!(H5Zfilter_avail(decoder.id)).is_ok_and(|yes| yes > 0) {
                    continue;
                }
                let class = H5Z_class2_t {
                    version: H5Z_CLASS_T_VERS as c_int,
                    id: decoder.id,
                    encoder_present: 0,
                    decoder_present: 1,
                    name: decoder.name.as_ptr(),
                    can_apply: None,
                    set_local: None,
                    filter: callback,
                };
                // SAFETY: HDF5 copies the struct; name and callback are static. A filter that cannot be registered is one
                // that is unknown when it is met.
                let _ = check(|| unsafe { H5Zregister((&raw const class).cast()) });
            }
        });
    });
}

/// What HDF5 calls with a chunk: replaces the buffer by the decoded one and gives its length; 0 is a failure.
unsafe extern "C" fn filter<const N: usize>(
    flags: c_uint,
    count: usize,
    values: *const c_uint,
    length: usize,
    buffer_size: *mut usize,
    buffer: *mut *mut c_void,
) -> usize {
    let decoder = &DECODERS[N];
    let fail = || {
        blame(decoder.name, *H5E_CANTFILTER, decoder.failure);
        0
    };
    // SAFETY: HDF5 passes pointers to its own variables.
    let (Some(size), Some(buffer)) = (unsafe { buffer_size.as_mut() }, unsafe { buffer.as_mut() }) else {
        return fail();
    };
    if flags & H5Z_FLAG_REVERSE == 0 || buffer.is_null() || length > *size {
        return fail();
    }
    // SAFETY: a buffer of HDF5's with that many bytes, all read from the file or made by another filter.
    let chunk = unsafe { std::slice::from_raw_parts(buffer.cast::<u8>(), length) };
    let parameters = match count {
        0 => &[][..],
        // SAFETY: HDF5 passes as many values as it says.
        _ if !values.is_null() => unsafe { std::slice::from_raw_parts(values, count) },
        _ => return fail(),
    };
    // HDF5's buffer has room for the whole chunk already. A checksum or a header of filters before this one may come on top.
    let limit = size.saturating_add(*size / 8).saturating_add(1024);
    let decoded = catch_unwind(|| (decoder.decode)(chunk, parameters, limit)).ok().flatten();
    let Some(decoded) = decoded.filter(|decoded| !decoded.is_empty()) else { return fail() };
    // The filters still to come find the same room.
    let room = decoded.len().max(*size);
    // SAFETY: HDF5's own allocator, which it frees buffers with.
    let new = unsafe { H5allocate_memory(room, 0) };
    if new.is_null() {
        return fail();
    }
    // SAFETY: the new buffer has room for all of it and is another one; the old one is HDF5's to be replaced and is freed once.
    unsafe {
        std::ptr::copy_nonoverlapping(decoded.as_ptr(), new.cast::<u8>(), decoded.len());
        H5free_memory(*buffer);
    }
    (*buffer, *size) = (new, room);
    decoded.len()
}

/// A buffer of c-blosc, whatever codec is in it.
fn blosc(chunk: &[u8], _: &[u32], limit: usize) -> Option<Vec<u8>> {
    let bytes = blosc_size(chunk).filter(|&n| n <= limit)?;
    let mut out = Vec::new();
    out.try_reserve_exact(bytes).ok()?;
    out.resize(bytes, 0_u8);
    unblosc(chunk, &mut out)?;
    Some(out)
}
