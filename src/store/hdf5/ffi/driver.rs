//! HDF5's own file driver with a look at what it reads: in a damaged heap of texts, HDF5 takes an object of no size for its
//! own successor, for ever. Such a heap is refused before HDF5 walks through it.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;

use hdf5_metno_sys::h5::{haddr_t, herr_t};
use hdf5_metno_sys::h5e::H5E_READERROR;
use hdf5_metno_sys::h5f::H5F_ACC_RDONLY;
use hdf5_metno_sys::h5fd::{H5FD_t, H5FDclose, H5FDopen, H5FDregister};
use hdf5_metno_sys::h5i::hid_t;
use hdf5_metno_sys::h5p::{H5P_DEFAULT, H5Pset_driver};

use super::{Id, Outcome, blame, check, locked, plain};

type Read = unsafe extern "C" fn(*mut H5FD_t, c_int, hid_t, haddr_t, usize, *mut c_void) -> herr_t;

/// A driver, as HDF5 declares it in the version of the declaration that is [`VERSION`]; the bindings have an older one.
#[repr(C)]
#[derive(Clone, Copy)]
struct Driver {
    version: c_uint,
    value: c_int,
    name: *const c_char,
    longest: haddr_t,
    close_degree: c_int,
    terminate: usize,
    before_read: [usize; 21],
    read: Option<Read>,
    behind_read: [usize; 11],
    free_lists: [c_int; 7],
}

const VERSION: c_uint = 1;
/// From the numbers that HDF5 leaves to others.
const VALUE: c_int = 7216;

static UNGUARDED: OnceLock<Read> = OnceLock::new();

/// Has files opened with this access list read with care, if this version of HDF5 lets us.
pub(super) fn guard(access: &Id, file: &CStr) -> Outcome<()> {
    static DRIVER: OnceLock<Option<Id>> = OnceLock::new();
    locked(|| match DRIVER.get_or_init(|| register(file)) {
        Some(driver) => plain!(H5Pset_driver(access.raw(), driver.raw(), std::ptr::null())).map(drop),
        None => Ok(()),
    })
}

/// HDF5's driver is found with a file that it opens.
fn register(file: &CStr) -> Option<Id> {
    // SAFETY: the name outlives the call.
    let open = unsafe { H5FDopen(file.as_ptr(), H5F_ACC_RDONLY, H5P_DEFAULT, haddr_t::MAX) };
    // SAFETY: null, or a file whose second field is its driver, whose first field in turn is the declaration's version.
    let driver = unsafe {
        let driver = open.as_ref()?.cls.cast::<Driver>();
        (driver.cast::<c_uint>().read() == VERSION).then(|| driver.read())
    };
    // SAFETY: opened above, closed once; the copy of its driver holds functions and numbers only.
    unsafe { H5FDclose(open) };
    let driver = driver?;
    UNGUARDED.set(driver.read?).ok()?;
    let guarded = Driver { value: VALUE, name: c"guarded".as_ptr(), terminate: 0, read: Some(read), ..driver };
    // SAFETY: HDF5 copies the struct, which is laid out as its version says; the name is static.
    check(|| unsafe { H5FDregister((&raw const guarded).cast()) }).ok().map(Id::from_raw)
}

unsafe extern "C" fn read(
    file: *mut H5FD_t,
    kind: c_int,
    transfer: hid_t,
    at: haddr_t,
    length: usize,
    buffer: *mut c_void,
) -> herr_t {
    let Some(unguarded) = UNGUARDED.get() else { return -1 };
    // SAFETY: HDF5's own arguments, handed on to its own function.
    let done = unsafe { unguarded(file, kind, transfer, at, length, buffer) };
    if done < 0 || buffer.is_null() {
        return done;
    }
    // SAFETY: HDF5's buffer of that length, which the call has just filled.
    let bytes = unsafe { std::slice::from_raw_parts(buffer.cast::<u8>(), length) };
    let object = |from: u64| {
        let mut object = [0; OBJECT];
        match usize::try_from(from).ok().and_then(|from| bytes.get(from..from.checked_add(OBJECT)?)) {
            Some(read) => object.copy_from_slice(read),
            None => {
                let at = at.checked_add(from)?;
                // SAFETY: as above, into a local as long as said.
                let done = unsafe { unguarded(file, kind, transfer, at, OBJECT, object.as_mut_ptr().cast()) };
                (done >= 0).then_some(())?;
            }
        }
        Some(object)
    };
    if is_endless(bytes, object) {
        blame(c"guarded", *H5E_READERROR, c"a heap of texts that has no end");
        return -1;
    }
    done
}

/// Bytes of the header of an object, and of the heap.
const OBJECT: usize = 16;

/// Whether these bytes begin a heap with an object that ends where it begins. `object` gives the header of the one at an offset.
fn is_endless(bytes: &[u8], object: impl Fn(u64) -> Option<[u8; OBJECT]>) -> bool {
    let number = |header: &[u8], at: usize| header.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
    let Some(size) = number(bytes, 8).filter(|_| bytes.starts_with(b"GCOL\x01")) else { return false };
    let mut at = OBJECT as u64;
    while size.checked_sub(at).is_some_and(|left| left >= OBJECT as u64) {
        let Some(header) = object(at) else { return false };
        let length = number(&header, 8).unwrap_or(0);
        // Object 0 is what is free, its header counted; all others are padded to eight bytes.
        let is_free = header[..2] == [0, 0];
        // Files may have lengths of four bytes.
        if is_free && length as u32 == 0 {
            return true;
        }
        let step = if is_free { Some(length) } else { length.checked_next_multiple_of(8) };
        let Some(next) = step.and_then(|n| at.checked_add(n)?.checked_add(if is_free { 0 } else { OBJECT as u64 }))
        else {
            return false;
        };
        at = next;
    }
    false
}
