//! Frames of c-blosc, whatever codec is in them: HDF5's plug-in and Zarr store the same.

use blosc_src::{blosc_cbuffer_validate, blosc_decompress_ctx};

/// Bytes that a frame says it holds; `None` if it is none, or is cut off.
pub(in crate::store) fn blosc_size(frame: &[u8]) -> Option<usize> {
    let mut bytes = 0;
    // SAFETY: a buffer of that length; the other pointer is to a local that outlives the call.
    let valid = unsafe { blosc_cbuffer_validate(frame.as_ptr().cast(), frame.len(), &raw mut bytes) } == 0;
    valid.then_some(bytes)
}

/// Decodes a frame into `out`; `None` unless it is sound and holds exactly as many bytes.
pub(in crate::store) fn unblosc(frame: &[u8], out: &mut [u8]) -> Option<()> {
    if blosc_size(frame)? != out.len() {
        return None;
    }
    // SAFETY: the input is as long as it says, as just checked; the output has as many bytes as said.
    let done = unsafe { blosc_decompress_ctx(frame.as_ptr().cast(), out.as_mut_ptr().cast(), out.len(), 1) };
    (usize::try_from(done).ok()? == out.len()).then_some(())
}
