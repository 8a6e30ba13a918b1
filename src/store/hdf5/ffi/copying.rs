//! Whole files from one volume to another.

use std::ffi::c_uint;
use std::path::Path;

use hdf5_metno_sys::h5::hsize_t;
use hdf5_metno_sys::h5d::H5Dget_storage_size;
use hdf5_metno_sys::h5f::H5Fget_create_plist;
use hdf5_metno_sys::h5g::{H5G_info_t, H5Gget_create_plist, H5Gget_info};
use hdf5_metno_sys::h5o::{
    H5O_COPY_EXPAND_REFERENCE_FLAG, H5O_INFO_BASIC, H5O_INFO_NUM_ATTRS, H5O_info2_t, H5Ocopy, H5Oget_info3,
};
use hdf5_metno_sys::h5p::*;
use hdf5_metno_sys::h5t::{H5T_class_t, H5Tdetect_class};

use super::super::volume::Shared;
use super::data::{Held, Items};
use super::driver::create_in;
use super::objects::{attr_names, new_attr, open_attr, open_object};
use super::types::{Class, Type};
use super::{Id, Outcome, c_text, check, plain};

/// Makes an HDF5 file in an empty volume, with the user block, the sizes and the strategies of another.
pub(in super::super) fn create_as(model: &Id, name: &Path, volume: &Shared) -> Outcome<Id> {
    let creation = Id::from_raw(plain!(H5Fget_create_plist(model.raw()))?);
    // The root group is made with the file.
    let root = open_object(model, "/")?;
    let group = Id::from_raw(plain!(H5Gget_create_plist(root.raw()))?);
    let (mut links, mut attrs): (c_uint, c_uint) = (0, 0);
    // SAFETY: ids, and places for numbers.
    check(|| unsafe { H5Pget_link_creation_order(group.raw(), &raw mut links) })?;
    // SAFETY: as above.
    check(|| unsafe { H5Pget_attr_creation_order(group.raw(), &raw mut attrs) })?;
    plain!(H5Pset_link_creation_order(creation.raw(), links))?;
    plain!(H5Pset_attr_creation_order(creation.raw(), attrs))?;
    create_in(name, volume, Some(&creation))
}

/// Length of what precedes the HDF5 data in a file.
pub(in super::super) fn user_block(file: &Id) -> Outcome<u64> {
    let creation = Id::from_raw(plain!(H5Fget_create_plist(file.raw()))?);
    let mut length: hsize_t = 0;
    // SAFETY: an id, and a place for a number.
    check(|| unsafe { H5Pget_userblock(creation.raw(), &raw mut length) })?;
    Ok(length)
}

/// Copies the root group of a file, with all in it, to a group of another file. Stored bytes are copied as they are; object
/// references lead to the copies; soft and external links stay what they are.
pub(in super::super) fn copy_root(from: &Id, to: &Id, name: &str) -> Outcome<()> {
    let (root, name) = (c_text("/")?, c_text(name)?);
    let list = Id::from_raw(plain!(H5Pcreate(*H5P_CLS_OBJECT_COPY))?);
    plain!(H5Pset_copy_object(list.raw(), H5O_COPY_EXPAND_REFERENCE_FLAG))?;
    check(|| {
        // SAFETY: the names outlive the call.
        unsafe { H5Ocopy(from.raw(), root.as_ptr(), to.raw(), name.as_ptr(), list.raw(), H5P_DEFAULT) }
    })
    .map(drop)
}

/// Gives an object the attributes of another one in the same file.
pub(in super::super) fn copy_attrs(from: &Id, to: &Id) -> Outcome<()> {
    attr_names(from)?.iter().try_for_each(|name| {
        let attr = open_attr(from, name)?;
        let held = Held::read(Items::Attr(&attr), Type::of_attr(&attr)?)?;
        let copy = new_attr(to, name, held.dtype(), held.space())?;
        held.write(Items::Attr(&copy))
    })
}

/// Number of links in a group, whatever their names.
pub(in super::super) fn link_count(group: &Id) -> Outcome<u64> {
    let mut info = std::mem::MaybeUninit::<H5G_info_t>::zeroed();
    // SAFETY: the struct outlives the call.
    check(|| unsafe { H5Gget_info(group.raw(), info.as_mut_ptr()) })?;
    // SAFETY: HDF5 has filled it in.
    Ok(unsafe { info.assume_init() }.nlinks)
}

/// What tells an object from the others in its file, and the number of its attributes, whatever their names.
pub(in super::super) fn identity(object: &Id) -> Outcome<([u8; 16], u64)> {
    let mut info = std::mem::MaybeUninit::<H5O_info2_t>::zeroed();
    // SAFETY: the struct outlives the call.
    check(|| unsafe { H5Oget_info3(object.raw(), info.as_mut_ptr(), H5O_INFO_BASIC | H5O_INFO_NUM_ATTRS) })?;
    // SAFETY: HDF5 has filled it in; an object that is open is of a type that is a variant of the enum.
    let info = unsafe { info.assume_init() };
    // SAFETY: the token is sixteen bytes.
    Ok((unsafe { (&raw const info.token).cast::<[u8; 16]>().read() }, info.num_attrs))
}

/// Bytes that the items of a dataset take in the file.
pub(in super::super) fn storage_bytes(dataset: &Id) -> Outcome<u64> {
    plain!(H5Dget_storage_size(dataset.raw()))
}

/// Whether items of this type hold references among others, which HDF5 copies as they are, leading nowhere.
pub(in super::super) fn holds_references(dtype: &Type) -> Outcome<bool> {
    let holds = plain!(H5Tdetect_class(dtype.0.raw(), H5T_class_t::H5T_REFERENCE))? > 0;
    Ok(holds && dtype.class() != Class::Reference)
}
