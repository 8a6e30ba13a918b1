//! Memory for what is read: whether there is enough of it, and how it is had quickly.

use std::ops::Range;

use super::DType;

/// Most bytes that one array may declare: beyond, a shape is damage rather than data.
const MAX_BYTES: usize = 1 << 47;

/// Whether an array of this shape can be had at all. Asked before memory is taken, for running out of it would end the
/// process.
///
/// # Errors
/// Why not.
pub(crate) fn check_memory(dtype: DType, shape: &[usize]) -> Result<(), String> {
    let item = dtype.size().unwrap_or(size_of::<String>());
    // Axes of length 0 left out: array libraries multiply the others all the same.
    let bytes = shape.iter().filter(|&&n| n > 0).try_fold(item, |n, &k| n.checked_mul(k)).filter(|&n| n <= MAX_BYTES);
    let fits = bytes.is_some_and(|n| shape.contains(&0) || Vec::<u8>::new().try_reserve_exact(n).is_ok());
    if fits { Ok(()) } else { Err(format!("{shape:?} items of {dtype} do not fit into memory")) }
}

/// Buffers from this size on are asked for in huge pages.
const LARGE: usize = 2 << 20;

/// Tells the system that a large buffer, which nobody has touched yet, is going to be filled: then it comes in huge pages. In small
/// ones, having the memory takes several times as long as copying the data there. (Zeros of the language's own numbers come
/// untouched from the system; those of other types were written by now, and gain nothing.)
pub(super) fn use_huge_pages<T>(buffer: &[T]) {
    let Range { start, end } = buffer.as_ptr_range();
    if size_of_val(buffer) >= LARGE {
        advise(start.addr(), end.addr());
    }
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "advice on memory, which is the system's own call")]
fn advise(start: usize, end: usize) {
    // A multiple of every size that small pages have.
    const PAGE: usize = 64 << 10;
    let (start, end) = (start.next_multiple_of(PAGE), end / PAGE * PAGE);
    if start < end {
        // SAFETY: this advice changes neither what the memory holds nor who may use it, whatever it is. A system that knows no
        // huge pages refuses it, and all is as it was.
        unsafe { libc::madvise(std::ptr::without_provenance_mut(start), end - start, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(not(target_os = "linux"))]
fn advise(_: usize, _: usize) {}

/// Gives memory that is free, but still the program's, back to the system. Of buffers that come and go by the dozen megabytes, on
/// several threads and no two of one size, the allocator of glibc keeps holes of as much again.
pub(crate) fn give_back_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[allow(unsafe_code, reason = "asks the allocator, which has no other way to be asked")]
    // SAFETY: it may be called at any time, from any thread, and touches nothing but what nobody holds.
    unsafe {
        libc::malloc_trim(0);
    }
}
