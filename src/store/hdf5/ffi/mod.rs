//! The HDF5 C library behind safe functions: the only place with unsafe code. Every call runs under the library's one
//! lock, every id is owned by an [`Id`], every failure carries HDF5's own messages.
#![allow(unsafe_code, reason = "a C library; each block says why its call is sound")]

mod blosc;
mod copying;
mod data;
mod driver;
mod filters;
mod heap;
mod objects;
mod place;
mod types;

use std::ffi::{CStr, CString, c_char, c_uint, c_void};

use hdf5_metno_sys::h5::hsize_t;
use hdf5_metno_sys::h5e::{H5E_DEFAULT, H5E_ERR_CLS, H5E_PLINE, H5E_direction_t, H5E_error2_t, H5Epush2, H5Ewalk2};
use hdf5_metno_sys::h5i::{H5Idec_ref, hid_t};

pub(in crate::store) use blosc::{blosc_size, unblosc};
pub(super) use copying::{
    copy_attrs, copy_root, create_as, holds_references, identity, link_count, storage_bytes, user_block,
};
pub(super) use data::{
    Column, Items, Layout, Members, Space, chunk_bytes, layout, memory_bytes, new_dataset, read_fixed, read_numbers,
    read_texts, stored_shape, write_fixed, write_members, write_texts,
};
pub(super) use driver::{create_in, image_of, open_volume};
pub(super) use filters::{Filter, decoder};
pub(super) use hdf5_metno::sync::sync as locked;
pub(super) use objects::{
    Kind, LinkKind, attr_exists, attr_names, delete_attr, delete_link, flush, free_space, header_version, link,
    link_kind, links, move_link, new_attr, new_group, open_attr, open_object, reference_path, resolves,
};
pub(super) use place::{Stored, block as stored_block, chunks as stored_chunks, header_of};
pub(super) use types::{Class, Type};

/// An id that is given back when dropped.
#[derive(Debug)]
pub(super) struct Id(hid_t);

impl Id {
    fn from_raw(raw: hid_t) -> Self {
        Self(raw)
    }

    fn raw(&self) -> hid_t {
        self.0
    }
}

impl Drop for Id {
    fn drop(&mut self) {
        // SAFETY: the id is ours and given back only here; HDF5 refuses one that closing its file has already freed.
        locked(|| unsafe { H5Idec_ref(self.0) });
    }
}

/// What HDF5 said when a call failed: from the call made down to the innermost cause.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Failure(pub Vec<String>);

/// Result of a call.
pub(super) type Outcome<T> = Result<T, Failure>;

impl Failure {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(vec![text.into()])
    }

    /// An error of the system, with its number in HDF5's own words.
    pub(super) fn of_system(error: &std::io::Error) -> Self {
        Self::new(match error.raw_os_error() {
            Some(code) => format!("errno = {code}, error message = '{error}'"),
            None => error.to_string(),
        })
    }

    pub(super) fn not_utf8(bytes: &[u8]) -> Self {
        let shown: String = bytes.escape_ascii().take(60).map(char::from).collect();
        Self::new(format!("a text is not UTF-8: {shown}"))
    }

    /// The messages left by the call that has just failed. The lock must have been held since.
    fn current() -> Self {
        extern "C" fn note(_: c_uint, entry: *const H5E_error2_t, texts: *mut c_void) -> i32 {
            // SAFETY: HDF5 passes a valid entry and the vector handed over below, and both outlive this call.
            let (entry, texts) = unsafe { (entry.as_ref(), texts.cast::<Vec<String>>().as_mut()) };
            if let (Some(entry), Some(texts)) = (entry, texts) {
                texts.push(text(entry.desc).unwrap_or_default());
            }
            0
        }
        let mut texts: Vec<String> = Vec::new();
        // SAFETY: `note` matches the declared signature (and does not unwind); `texts` lives through the call.
        unsafe {
            H5Ewalk2(H5E_DEFAULT, H5E_direction_t::H5E_WALK_DOWNWARD, Some(note), (&raw mut texts).cast());
        }
        Self(texts)
    }
}

/// Says why a function that HDF5 calls has failed; for [`Failure::current`] to find. The message has no directives.
fn blame(place: &'static CStr, kind: hid_t, why: &'static CStr) {
    // SAFETY: texts ending with NUL, and ids of HDF5's own.
    unsafe {
        let (place, why) = (place.as_ptr(), why.as_ptr());
        H5Epush2(H5E_DEFAULT, place, place, 0, *H5E_ERR_CLS, *H5E_PLINE, kind, why);
    }
}

/// As [`blame`], for an error of the system.
fn blame_system(place: &'static CStr, kind: hid_t, error: &std::io::Error) {
    let why = Failure::of_system(error).0.concat();
    let why = CString::new(why.replace('\0', " ")).unwrap_or_default();
    // SAFETY: texts ending with NUL, one for the one directive, and ids of HDF5's own.
    unsafe {
        let (place, text) = (place.as_ptr(), c"%s".as_ptr());
        H5Epush2(H5E_DEFAULT, place, place, 0, *H5E_ERR_CLS, *H5E_PLINE, kind, text, why.as_ptr());
    }
}

/// Runs a call under the lock; a negative result is a failure.
fn check<T: PartialOrd + Default>(call: impl FnOnce() -> T) -> Outcome<T> {
    locked(|| {
        let code = call();
        if code < T::default() { Err(Failure::current()) } else { Ok(code) }
    })
}

/// A call that takes ids, numbers and null pointers only.
macro_rules! plain {
    ($call:ident($($arg:expr),* $(,)?)) => {
        $crate::store::hdf5::ffi::check(|| {
            // SAFETY: nothing is passed that HDF5 could write to or read from, it checks ids itself, the lock is held.
            unsafe { $call($($arg),*) }
        })
    };
}
use plain;

/// A text that C handed over; lossy, `None` for a null pointer.
fn text(raw: *const c_char) -> Option<String> {
    if raw.is_null() {
        return None;
    }
    // SAFETY: not null, and HDF5 ends its texts with NUL and keeps them valid for the call at hand.
    Some(unsafe { CStr::from_ptr(raw) }.to_string_lossy().into_owned())
}

fn c_text(name: &str) -> Outcome<CString> {
    CString::new(name).map_err(|_| Failure::new(format!("{name:?} holds a NUL character")))
}

fn sizes(shape: &[usize]) -> Vec<hsize_t> {
    shape.iter().map(|&n| n as hsize_t).collect()
}

fn lengths(dims: &[hsize_t]) -> Outcome<Vec<usize>> {
    let wide = |_| Failure::new("an axis longer than memory can address");
    // As signed numbers: positions are reckoned with those.
    dims.iter().map(|&n| isize::try_from(n).map(isize::unsigned_abs).map_err(wide)).collect()
}

/// A zeroed buffer; a failure where the memory cannot be had.
fn buffer<T: Clone>(len: usize, zero: T) -> Outcome<Vec<T>> {
    let mut out = Vec::new();
    out.try_reserve_exact(len).map_err(|_| Failure::new(format!("no memory for {len} items")))?;
    out.resize(len, zero);
    Ok(out)
}
