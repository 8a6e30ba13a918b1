//! The file driver: HDF5 reads and writes a [`Volume`](super::super::volume::Volume) through it.
//!
//! Locks are none of its business: whoever opens a volume holds the file already, whatever the environment tells HDF5 about
//! locks.

use std::ffi::{c_char, c_int, c_uint, c_ulong, c_void};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use hdf5_metno_sys::h5::hsize_t;
use hdf5_metno_sys::h5e::{H5E_CANTCLOSEFILE, H5E_CANTOPENFILE, H5E_READERROR, H5E_WRITEERROR};
use hdf5_metno_sys::h5f::*;
use hdf5_metno_sys::h5i::{H5Iget_file_id, hid_t};
use hdf5_metno_sys::h5p::*;

use super::super::image::Image;
use super::super::volume::{Shared, Volume};
use super::objects::path_text;
use super::{Failure, Id, Outcome, blame_system, check, filters, locked, plain};

/// `haddr_t`.
type Address = u64;

/// `H5FD_t`, the public part of an open file (H5FDdevelop.h of HDF5 2.x).
#[repr(C)]
struct Head {
    driver: hid_t,
    class: *const Class,
    number: c_ulong,
    access_flags: c_uint,
    feature_flags: c_ulong,
    max_address: Address,
    base_address: Address,
    threshold: hsize_t,
    alignment: hsize_t,
    paged: bool,
}

/// `H5FD_class_t` of HDF5 2.x, with the functions that are not given as plain pointers.
#[repr(C)]
struct Class {
    version: c_uint,
    value: c_int,
    name: *const c_char,
    max_address: Address,
    close_degree: H5F_close_degree_t,
    terminate: *const c_void,
    superblock: [*const c_void; 3],
    access_size: usize,
    access: [*const c_void; 3],
    transfer_size: usize,
    transfer: [*const c_void; 2],
    open: unsafe extern "C" fn(*const c_char, c_uint, hid_t, Address) -> *mut Head,
    close: unsafe extern "C" fn(*mut Head) -> c_int,
    compare: extern "C" fn(*const Head, *const Head) -> c_int,
    query: unsafe extern "C" fn(*const Head, *mut c_ulong) -> c_int,
    type_map: *const c_void,
    allocate: [*const c_void; 2],
    end_of_allocated: unsafe extern "C" fn(*const Head, c_int) -> Address,
    set_end_of_allocated: unsafe extern "C" fn(*mut Head, c_int, Address) -> c_int,
    end_of_file: unsafe extern "C" fn(*const Head, c_int) -> Address,
    handle: unsafe extern "C" fn(*mut Head, hid_t, *mut *mut c_void) -> c_int,
    read: unsafe extern "C" fn(*mut Head, c_int, hid_t, Address, usize, *mut c_void) -> c_int,
    write: unsafe extern "C" fn(*mut Head, c_int, hid_t, Address, usize, *const c_void) -> c_int,
    vectors: [*const c_void; 4],
    flush: *const c_void,
    truncate: unsafe extern "C" fn(*mut Head, hid_t, bool) -> c_int,
    lock: extern "C" fn(*mut Head, bool) -> c_int,
    unlock: extern "C" fn(*mut Head) -> c_int,
    delete: *const c_void,
    control: *const c_void,
    free_lists: [c_int; 7],
}

/// As the C compiler lays it out.
#[cfg(all(unix, target_pointer_width = "64"))]
const _: () = assert!(size_of::<Class>() == 336 && size_of::<Head>() == 80);

// SAFETY: its pointers are null or to constants.
unsafe impl Sync for Class {}

static CLASS: Class = Class {
    version: 1,
    value: 0x5AD,
    name: c"adshadow".as_ptr(),
    max_address: i64::MAX as Address,
    close_degree: H5F_close_degree_t::H5F_CLOSE_STRONG,
    terminate: std::ptr::null(),
    superblock: [std::ptr::null(); 3],
    // The address of the volume.
    access_size: size_of::<usize>(),
    access: [std::ptr::null(); 3],
    transfer_size: 0,
    transfer: [std::ptr::null(); 2],
    open,
    close,
    compare,
    query,
    type_map: std::ptr::null(),
    allocate: [std::ptr::null(); 2],
    end_of_allocated,
    set_end_of_allocated,
    end_of_file,
    handle,
    read,
    write,
    vectors: [std::ptr::null(); 4],
    flush: std::ptr::null(),
    truncate,
    lock,
    unlock,
    delete: std::ptr::null(),
    control: std::ptr::null(),
    // Raw data and metadata apart, as HDF5's own driver has them (H5FD_FLMAP_DICHOTOMY).
    free_lists: [1, 1, 1, 3, 3, 1, 1],
};

/// A file that HDF5 has open.
#[repr(C)]
struct Open {
    /// First, so that a pointer to it is one to this.
    head: Head,
    volume: Shared,
    image: Image,
    allocated: Address,
}

const NOWHERE: Address = Address::MAX;

/// Runs what HDF5 has called for; neither a panic nor an error gets past it but as `failed`.
fn guarded<T>(failed: T, kind: hid_t, body: impl FnOnce() -> io::Result<T>) -> T {
    let result = catch_unwind(AssertUnwindSafe(body));
    result.unwrap_or_else(|_| Err(io::Error::other("a defect in the file driver"))).unwrap_or_else(|error| {
        blame_system(c"the file driver", kind, &error);
        failed
    })
}

/// The open file behind HDF5's pointer.
///
/// # Safety
/// The pointer is one that [`open`] gave, not closed yet, and for the time of a call nobody else uses it.
unsafe fn behind<'a>(head: *mut Head) -> &'a mut Open {
    // SAFETY: as required of the caller; the head is the first field.
    unsafe { &mut *head.cast::<Open>() }
}

unsafe extern "C" fn open(_: *const c_char, _: c_uint, access: hid_t, _: Address) -> *mut Head {
    guarded(std::ptr::null_mut(), *H5E_CANTOPENFILE, || {
        // SAFETY: an id only; the answer is a null pointer or the driver's information.
        let info = unsafe { H5Pget_driver_info(access) }.cast::<usize>();
        if info.is_null() {
            return Err(io::ErrorKind::NotFound.into());
        }
        // SAFETY: `open_volume` has put there the address of the volume that it holds for the time of the call which has led
        // here; HDF5 has copied it, aligned as its allocations are.
        let volume = unsafe {
            let raw = (*info) as *const parking_lot::Mutex<Volume>;
            Arc::increment_strong_count(raw);
            Arc::from_raw(raw)
        };
        // SAFETY: numbers and null pointers, of which all zeros are valid; HDF5 fills them in.
        let head = unsafe { std::mem::zeroed() };
        let image = volume.lock().image();
        Ok(Box::into_raw(Box::new(Open { head, volume, image, allocated: 0 })).cast())
    })
}

unsafe extern "C" fn close(head: *mut Head) -> c_int {
    guarded(-1, *H5E_CANTCLOSEFILE, || {
        // SAFETY: made by `open` as a box of this type; HDF5 closes it once and forgets it.
        drop(unsafe { Box::from_raw(head.cast::<Open>()) });
        Ok(0)
    })
}

/// No two are the same file: each has a volume of its own.
extern "C" fn compare(a: *const Head, b: *const Head) -> c_int {
    a.cmp(&b) as c_int
}

unsafe extern "C" fn query(_: *const Head, flags: *mut c_ulong) -> c_int {
    // What HDF5's own driver says of itself, but that its handle is a descriptor: metadata are aggregated and accumulated
    // (7), data sieved (8), small data aggregated (0x10), the end of file can be asked for and moved (0x1000, named after
    // what needs that, and is not used here), and that driver can open what this one writes (0x8000).
    // SAFETY: null or a number of HDF5's.
    if let Some(flags) = unsafe { flags.as_mut() } {
        *flags = 0x901F;
    }
    0
}

unsafe extern "C" fn end_of_allocated(head: *const Head, _: c_int) -> Address {
    // SAFETY: HDF5 passes a file that it has open.
    unsafe { behind(head.cast_mut()) }.allocated
}

unsafe extern "C" fn set_end_of_allocated(head: *mut Head, _: c_int, end: Address) -> c_int {
    // SAFETY: as above.
    unsafe { behind(head) }.allocated = end;
    0
}

unsafe extern "C" fn end_of_file(head: *const Head, _: c_int) -> Address {
    // SAFETY: as above.
    let open = unsafe { behind(head.cast_mut()) };
    guarded(NOWHERE, *H5E_READERROR, || Ok(open.image.end()))
}

/// Not a descriptor: what is pending is not in the file. For [`image_of`].
unsafe extern "C" fn handle(head: *mut Head, _: hid_t, out: *mut *mut c_void) -> c_int {
    // SAFETY: as above, and a place for a pointer.
    unsafe { *out = (&raw mut behind(head).image).cast() };
    0
}

unsafe extern "C" fn read(head: *mut Head, _: c_int, _: hid_t, at: Address, len: usize, out: *mut c_void) -> c_int {
    if len == 0 {
        return 0;
    }
    guarded(-1, *H5E_READERROR, || {
        // SAFETY: as above, and a buffer of as many bytes.
        let (open, out) = unsafe { (behind(head), std::slice::from_raw_parts_mut(out.cast::<u8>(), len)) };
        open.image.read(within(at, len)?, out).map(|()| 0)
    })
}

unsafe extern "C" fn write(head: *mut Head, _: c_int, _: hid_t, at: Address, len: usize, from: *const c_void) -> c_int {
    if len == 0 {
        return 0;
    }
    guarded(-1, *H5E_WRITEERROR, || {
        // SAFETY: as above.
        let (open, from) = unsafe { (behind(head), std::slice::from_raw_parts(from.cast::<u8>(), len)) };
        open.volume.lock().write(within(at, len)?, from).map(|()| 0)
    })
}

/// The address, if that many bytes from there on are in what can be a file.
fn within(at: Address, len: usize) -> io::Result<Address> {
    let end = at.checked_add(len as u64).filter(|&end| end <= CLASS.max_address);
    end.map(|_| at).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

unsafe extern "C" fn truncate(head: *mut Head, _: hid_t, _: bool) -> c_int {
    guarded(-1, *H5E_WRITEERROR, || {
        // SAFETY: as above.
        let open = unsafe { behind(head) };
        open.image.set_end(open.allocated);
        Ok(0)
    })
}

extern "C" fn lock(_: *mut Head, _: bool) -> c_int {
    0
}

extern "C" fn unlock(_: *mut Head) -> c_int {
    0
}

unsafe extern "C" {
    fn H5FDregister(class: *const Class) -> hid_t;
    fn H5Fincrement_filesize(file: hid_t, by: hsize_t) -> c_int;
    fn H5Fget_eoa(file: hid_t, end: *mut Address) -> c_int;
}

/// The driver's number, once it is registered; for the life of the process.
fn driver() -> Outcome<hid_t> {
    static DRIVER: OnceLock<Outcome<hid_t>> = OnceLock::new();
    // SAFETY: the class is as the library declares it (the version is checked by it), and lives for ever.
    locked(|| DRIVER.get_or_init(|| check(|| unsafe { H5FDregister(&raw const CLASS) })).clone())
}

/// How a volume is opened: closing the file closes all that is left open in it; new objects in the oldest format that holds
/// them, as h5py writes, whatever this library's default.
fn access(volume: &Shared) -> Outcome<Id> {
    filters::register();
    let (list, address) = (Id::from_raw(plain!(H5Pcreate(*H5P_CLS_FILE_ACCESS))?), Arc::as_ptr(volume) as usize);
    let driver = driver()?;
    // SAFETY: the information is a number that outlives the call; HDF5 copies it.
    check(|| unsafe { H5Pset_driver(list.raw(), driver, (&raw const address).cast()) })?;
    plain!(H5Pset_fclose_degree(list.raw(), H5F_close_degree_t::H5F_CLOSE_STRONG))?;
    plain!(H5Pset_libver_bounds(list.raw(), H5F_libver_t::H5F_LIBVER_EARLIEST, H5F_LIBVER_LATEST))?;
    Ok(list)
}

/// Opens the HDF5 file in a volume. The name is for what HDF5 says of it.
pub(in super::super) fn open_volume(name: &Path, volume: &Shared) -> Outcome<Id> {
    let (name, access, write) = (path_text(name)?, access(volume)?, volume.lock().is_writable());
    let mode = if write { H5F_ACC_RDWR } else { H5F_ACC_RDONLY };
    locked(|| {
        // SAFETY: the name outlives the call, and so does the volume, whose address is in the list.
        let file = check(|| unsafe { H5Fopen(name.as_ptr(), mode, access.raw()) }).map(Id::from_raw)?;
        if write && volume.lock().end() > end_of(&file)? {
            // Something lies behind the end of what HDF5 knows: it stays, and what is new comes behind it.
            plain!(H5Fincrement_filesize(file.raw(), 0))?;
        }
        Ok(file)
    })
}

/// Where the file ends by HDF5's account.
pub(super) fn end_of(file: &Id) -> Outcome<u64> {
    let mut end = 0;
    // SAFETY: an id, and a place for a number.
    check(|| unsafe { H5Fget_eoa(file.raw(), &raw mut end) })?;
    Ok(end)
}

/// Makes an HDF5 file in an empty volume, with creation properties if there are any.
pub(in super::super) fn create_in(name: &Path, volume: &Shared, creation: Option<&Id>) -> Outcome<Id> {
    let (name, access, creation) = (path_text(name)?, access(volume)?, creation.map_or(H5P_DEFAULT, Id::raw));
    // SAFETY: as above.
    check(|| unsafe { H5Fcreate(name.as_ptr(), H5F_ACC_TRUNC, creation, access.raw()) }).map(Id::from_raw)
}

/// The image of the file that an object is in, which [`open_volume`] or [`create_in`] has opened: there is no other way to one
/// here.
pub(in super::super) fn image_of(object: &Id) -> Outcome<Image> {
    let file = Id::from_raw(plain!(H5Iget_file_id(object.raw()))?);
    // Under one lock, for the driver's calls have what is open for themselves.
    locked(|| {
        let mut handle: *mut c_void = std::ptr::null_mut();
        // SAFETY: the pointer is to a local that outlives the call.
        check(|| unsafe { H5Fget_vfd_handle(file.raw(), H5P_DEFAULT, &raw mut handle) })?;
        // SAFETY: the handle that this driver gives is a pointer to its image, which is there as long as the file is open, and
        // is only used under the lock.
        let image = unsafe { handle.cast::<Image>().as_ref() };
        image.cloned().ok_or_else(|| Failure::new("the file has no image"))
    })
}
