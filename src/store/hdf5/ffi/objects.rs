//! Files, links, groups and attributes.

use std::ffi::{CStr, CString, c_char, c_uint, c_void};
use std::path::Path;

use hdf5_metno_sys::h5::{H5_index_t, H5_iter_order_t, hsize_t};
use hdf5_metno_sys::h5a::*;
use hdf5_metno_sys::h5f::*;
use hdf5_metno_sys::h5g::H5Gcreate_anon;
use hdf5_metno_sys::h5i::{H5I_type_t, H5Iget_type, hid_t};
use hdf5_metno_sys::h5l::*;
use hdf5_metno_sys::h5o::*;
use hdf5_metno_sys::h5p::*;
use hdf5_metno_sys::h5r::{H5R_type_t, H5Rget_name};
use hdf5_metno_sys::h5t::H5T_cset_t;

use super::data::Space;
use super::driver::end_of;
use super::types::Type;
use super::{Failure, Id, Outcome, c_text, check, locked, plain};

/// What an open object is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) enum Kind {
    Group,
    Dataset,
    Other,
}

impl Id {
    pub(in super::super) fn kind(&self) -> Kind {
        // SAFETY: an id only; every type this library version knows is a variant of the enum.
        match locked(|| unsafe { H5Iget_type(self.raw()) }) {
            H5I_type_t::H5I_GROUP => Kind::Group,
            H5I_type_t::H5I_DATASET => Kind::Dataset,
            _ => Kind::Other,
        }
    }
}

pub(super) fn path_text(path: &Path) -> Outcome<CString> {
    CString::new(path.as_os_str().as_encoded_bytes()).map_err(|_| Failure::new("the path holds a NUL character"))
}

/// Whether the file is open for writing, through this handle or any other of this process.
pub(super) fn is_writable(file: &Id) -> Outcome<bool> {
    let mut intent: c_uint = 0;
    // SAFETY: the pointer is to a local that outlives the call.
    check(|| unsafe { H5Fget_intent(file.raw(), &raw mut intent) })?;
    Ok(intent & H5F_ACC_RDWR != 0)
}

/// Where addresses in a file count from: what precedes belongs to others. `None` if they are not of 8 bytes, as lengths are.
pub(super) fn base_of(file: &Id) -> Outcome<Option<u64>> {
    let creation = Id::from_raw(plain!(H5Fget_create_plist(file.raw()))?);
    let (mut base, mut address, mut length): (hsize_t, usize, usize) = (0, 0, 0);
    // SAFETY: the pointer is to a local that outlives the call.
    check(|| unsafe { H5Pget_userblock(creation.raw(), &raw mut base) })?;
    // SAFETY: as above.
    check(|| unsafe { H5Pget_sizes(creation.raw(), &raw mut address, &raw mut length) })?;
    Ok(([address, length] == [8, 8]).then_some(base))
}

/// Bytes inside the file that nothing uses, less where it ends: what goes makes this larger by its size, whether it leaves a
/// hole or was the last thing in the file.
pub(in super::super) fn free_space(file: &Id) -> Outcome<i64> {
    locked(|| Ok(plain!(H5Fget_freespace(file.raw()))? - i64::try_from(end_of(file)?).unwrap_or(i64::MAX)))
}

pub(in super::super) fn flush(file: &Id) -> Outcome<()> {
    plain!(H5Fflush(file.raw(), H5F_scope_t::H5F_SCOPE_GLOBAL)).map(drop)
}

/// What a name in a group leads to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) enum LinkKind {
    Hard,
    Soft,
    /// Another file, or a kind of link that only its maker understands.
    Foreign,
}

impl LinkKind {
    fn from_raw(raw: i32) -> Self {
        match raw {
            0 => Self::Hard,
            1 => Self::Soft,
            _ => Self::Foreign,
        }
    }
}

/// The link `name` in a group; `None` if there is none.
pub(in super::super) fn link_kind(group: &Id, name: &str) -> Outcome<Option<LinkKind>> {
    let name = c_text(name)?;
    locked(|| {
        // SAFETY: the name outlives the call.
        if check(|| unsafe { H5Lexists(group.raw(), name.as_ptr(), H5P_DEFAULT) })? == 0 {
            return Ok(None);
        }
        let mut info = std::mem::MaybeUninit::<H5L_info2_t>::zeroed();
        // SAFETY: name and struct outlive the call.
        check(|| unsafe { H5Lget_info2(group.raw(), name.as_ptr(), info.as_mut_ptr(), H5P_DEFAULT) })?;
        // SAFETY: the type is the struct's first field. Read as a number, for user-defined links have types of their own
        // that are no variant of the enum.
        Ok(Some(LinkKind::from_raw(unsafe { info.as_ptr().cast::<i32>().read() })))
    })
}

/// Names and kinds of the links in a group. Names that are not UTF-8 are left out: no path leads to them.
pub(in super::super) fn links(group: &Id) -> Outcome<Vec<(String, LinkKind)>> {
    unsafe extern "C" fn note(_: hid_t, name: *const c_char, info: *const H5L_info2_t, out: *mut c_void) -> i32 {
        // SAFETY: HDF5 passes a NUL-ended name, an info whose first field is the type (a number for user-defined links),
        // and the vector handed over below.
        let (name, kind, out) = unsafe {
            (CStr::from_ptr(name).to_str(), info.cast::<i32>().read(), out.cast::<Vec<(String, LinkKind)>>().as_mut())
        };
        if let (Ok(name), Some(out)) = (name, out) {
            out.push((name.to_owned(), LinkKind::from_raw(kind)));
        }
        0
    }
    let mut out: Vec<(String, LinkKind)> = Vec::new();
    check(|| {
        // SAFETY: `note` matches the declared signature and does not unwind; `out` outlives the call.
        unsafe {
            H5Literate2(
                group.raw(),
                H5_index_t::H5_INDEX_NAME,
                H5_iter_order_t::H5_ITER_NATIVE,
                std::ptr::null_mut(),
                Some(note),
                (&raw mut out).cast(),
            )
        }
    })?;
    Ok(out)
}

/// Link access that refuses to enter another file.
fn inside_only() -> Outcome<Id> {
    extern "C" fn refuse(
        _: *const c_char,
        _: *const c_char,
        _: *const c_char,
        _: *const c_char,
        _: *mut c_uint,
        _: hid_t,
        _: *mut c_void,
    ) -> i32 {
        -1
    }
    let list = Id::from_raw(plain!(H5Pcreate(*H5P_CLS_LINK_ACCESS))?);
    // SAFETY: the callback matches the declared signature and touches none of its arguments.
    check(|| unsafe { H5Pset_elink_cb(list.raw(), Some(refuse), std::ptr::null_mut()) })?;
    Ok(list)
}

/// Whether a soft link leads to an object of this file.
pub(in super::super) fn resolves(group: &Id, name: &str) -> bool {
    let found = inside_only().and_then(|access| {
        let name = c_text(name)?;
        // SAFETY: the name outlives the call.
        check(|| unsafe { H5Oexists_by_name(group.raw(), name.as_ptr(), access.raw()) })
    });
    found.is_ok_and(|yes| yes > 0)
}

/// Opens the object `name` (`/` for the root) of a group or file. Does not leave the file.
pub(in super::super) fn open_object(group: &Id, name: &str) -> Outcome<Id> {
    let (name, access) = (c_text(name)?, inside_only()?);
    // SAFETY: the name outlives the call.
    check(|| unsafe { H5Oopen(group.raw(), name.as_ptr(), access.raw()) }).map(Id::from_raw)
}

/// Version of an object's header. Only from 2 on can attributes outgrow it.
pub(in super::super) fn header_version(object: &Id) -> Outcome<u32> {
    let mut info = std::mem::MaybeUninit::<H5O_native_info_t>::zeroed();
    // SAFETY: the struct outlives the call.
    check(|| unsafe { H5Oget_native_info(object.raw(), info.as_mut_ptr(), H5O_NATIVE_INFO_HDR) })?;
    // SAFETY: all zeroes are a valid value of it; the version is its first field, as the C header has it.
    Ok(unsafe { info.as_ptr().cast::<c_uint>().read() })
}

/// A new group that no name leads to. `many_attrs`: its attributes may outgrow the object header.
pub(in super::super) fn new_group(file: &Id, many_attrs: bool) -> Outcome<Id> {
    let list = Id::from_raw(plain!(H5Pcreate(*H5P_CLS_GROUP_CREATE))?);
    plain!(H5Pset_obj_track_times(list.raw(), 0))?;
    if many_attrs {
        // As anndata does for wide frames: links ordered too.
        plain!(H5Pset_link_creation_order(list.raw(), H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED))?;
        track_attrs(&list)?;
    }
    plain!(H5Gcreate_anon(file.raw(), list.raw(), H5P_DEFAULT)).map(Id::from_raw)
}

/// Ordered attributes need the second version of the object header, which stores those that outgrow it elsewhere.
pub(super) fn track_attrs(list: &Id) -> Outcome<()> {
    plain!(H5Pset_attr_creation_order(list.raw(), H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED)).map(drop)
}

/// Gives an object a name in a group.
pub(in super::super) fn link(object: &Id, group: &Id, name: &str) -> Outcome<()> {
    let name = c_text(name)?;
    let list = Id::from_raw(plain!(H5Pcreate(*H5P_CLS_LINK_CREATE))?);
    plain!(H5Pset_char_encoding(list.raw(), H5T_cset_t::H5T_CSET_UTF8))?;
    // SAFETY: the name outlives the call.
    check(|| unsafe { H5Olink(object.raw(), group.raw(), name.as_ptr(), list.raw(), H5P_DEFAULT) }).map(drop)
}

pub(in super::super) fn delete_link(group: &Id, name: &str) -> Outcome<()> {
    let name = c_text(name)?;
    // SAFETY: the name outlives the call.
    check(|| unsafe { H5Ldelete(group.raw(), name.as_ptr(), H5P_DEFAULT) }).map(drop)
}

/// Gives what has a name in a group another name in another group.
pub(in super::super) fn move_link((from, name): (&Id, &str), (to, new_name): (&Id, &str)) -> Outcome<()> {
    let (name, new_name) = (c_text(name)?, c_text(new_name)?);
    let list = Id::from_raw(plain!(H5Pcreate(*H5P_CLS_LINK_CREATE))?);
    plain!(H5Pset_char_encoding(list.raw(), H5T_cset_t::H5T_CSET_UTF8))?;
    check(|| {
        // SAFETY: the names outlive the call.
        unsafe { H5Lmove(from.raw(), name.as_ptr(), to.raw(), new_name.as_ptr(), list.raw(), H5P_DEFAULT) }
    })
    .map(drop)
}

/// Names of an object's attributes; those that are not UTF-8 are left out.
pub(in super::super) fn attr_names(object: &Id) -> Outcome<Vec<String>> {
    unsafe extern "C" fn note(_: hid_t, name: *const c_char, _: *const H5A_info_t, out: *mut c_void) -> i32 {
        // SAFETY: HDF5 passes a NUL-ended name and the vector handed over below.
        let (name, out) = unsafe { (CStr::from_ptr(name).to_str(), out.cast::<Vec<String>>().as_mut()) };
        if let (Ok(name), Some(out)) = (name, out) {
            out.push(name.to_owned());
        }
        0
    }
    let mut out: Vec<String> = Vec::new();
    check(|| {
        // SAFETY: `note` matches the declared signature and does not unwind; `out` outlives the call.
        unsafe {
            H5Aiterate2(
                object.raw(),
                H5_index_t::H5_INDEX_NAME,
                H5_iter_order_t::H5_ITER_NATIVE,
                std::ptr::null_mut(),
                Some(note),
                (&raw mut out).cast(),
            )
        }
    })?;
    Ok(out)
}

pub(in super::super) fn attr_exists(object: &Id, name: &str) -> Outcome<bool> {
    let name = c_text(name)?;
    // SAFETY: the name outlives the call.
    check(|| unsafe { H5Aexists(object.raw(), name.as_ptr()) }).map(|yes| yes > 0)
}

pub(in super::super) fn open_attr(object: &Id, name: &str) -> Outcome<Id> {
    let name = c_text(name)?;
    // SAFETY: the name outlives the call.
    check(|| unsafe { H5Aopen(object.raw(), name.as_ptr(), H5P_DEFAULT) }).map(Id::from_raw)
}

pub(in super::super) fn delete_attr(object: &Id, name: &str) -> Outcome<()> {
    let name = c_text(name)?;
    // SAFETY: the name outlives the call.
    check(|| unsafe { H5Adelete(object.raw(), name.as_ptr()) }).map(drop)
}

pub(in super::super) fn new_attr(object: &Id, name: &str, dtype: &Type, space: &Space) -> Outcome<Id> {
    let name = c_text(name)?;
    let list = Id::from_raw(plain!(H5Pcreate(*H5P_CLS_ATTRIBUTE_CREATE))?);
    plain!(H5Pset_char_encoding(list.raw(), H5T_cset_t::H5T_CSET_UTF8))?;
    check(|| {
        // SAFETY: the name outlives the call.
        unsafe { H5Acreate2(object.raw(), name.as_ptr(), dtype.0.raw(), space.id().raw(), list.raw(), H5P_DEFAULT) }
    })
    .map(Id::from_raw)
}

/// The path that an object reference (its eight bytes as stored) leads to; `None` if it leads nowhere.
pub(in super::super) fn reference_path(object: &Id, reference: [u8; 8]) -> Option<String> {
    let address = u64::from_ne_bytes(reference);
    let mut name: Vec<u8> = vec![0; 4096];
    let length = check(|| {
        // SAFETY: the reference is eight bytes as `hobj_ref_t` is, the buffer as long as said; both outlive the call.
        unsafe {
            H5Rget_name(
                object.raw(),
                H5R_type_t::H5R_OBJECT1,
                (&raw const address).cast(),
                name.as_mut_ptr().cast(),
                name.len(),
            )
        }
    })
    .ok()?;
    name.truncate(usize::try_from(length).ok().filter(|&n| n > 0 && n < 4096)?);
    String::from_utf8(name).ok().map(|path| path.trim_start_matches('/').to_owned())
}
