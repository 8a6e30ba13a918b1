//! Dataspaces, dataset layouts, and moving items in and out of datasets and attributes.

use std::ffi::{CStr, c_char, c_uint, c_void};
use std::os::raw::c_int;

use hdf5_metno_sys::h5::{herr_t, hsize_t};
use hdf5_metno_sys::h5a::{H5Aget_space, H5Aget_type, H5Aread, H5Awrite};
use hdf5_metno_sys::h5d::*;
use hdf5_metno_sys::h5i::hid_t;
use hdf5_metno_sys::h5p::*;
use hdf5_metno_sys::h5s::*;
use hdf5_metno_sys::h5t::H5Treclaim;
use hdf5_metno_sys::h5z::{H5Z_FILTER_CONFIG_ENCODE_ENABLED, H5Zfilter_avail, H5Zget_filter_info};

use super::heap::check_heaps;
use super::objects::{new_attr, track_attrs};
use super::types::{Class, Type};
use super::{Failure, Id, Outcome, buffer, check, locked, plain};
use crate::value::{DType, Item};

unsafe extern "C" {
    /// Missing from the bindings. Looks one chunk up, where `H5Dget_chunk_info_by_coord` walks through all of them.
    fn H5Dget_chunk_storage_size(dataset: hid_t, offset: *const hsize_t, bytes: *mut hsize_t) -> herr_t;
}

/// HDF5 allows 32 axes.
const MAX_AXES: usize = 32;

/// A dataspace.
#[derive(Debug)]
pub(in super::super) struct Space(Id);

impl Space {
    pub(super) fn id(&self) -> &Id {
        &self.0
    }

    /// The space of an array; without axes that of a scalar.
    pub(in super::super) fn new(shape: &[usize], grows: bool) -> Outcome<Self> {
        if shape.is_empty() {
            return plain!(H5Screate(H5S_class_t::H5S_SCALAR)).map(|raw| Self(Id::from_raw(raw)));
        }
        let dims = sizes(shape);
        let mut max = dims.clone();
        if grows {
            max[0] = H5S_UNLIMITED;
        }
        let axes = c_int::try_from(dims.len()).map_err(|_| Failure::new("too many axes"))?;
        // SAFETY: both lists have as many items as there are axes and outlive the call.
        let raw = check(|| unsafe { H5Screate_simple(axes, dims.as_ptr(), max.as_ptr()) })?;
        Ok(Self(Id::from_raw(raw)))
    }

    /// The space without any item.
    pub(in super::super) fn null() -> Outcome<Self> {
        plain!(H5Screate(H5S_class_t::H5S_NULL)).map(|raw| Self(Id::from_raw(raw)))
    }

    pub(in super::super) fn of_dataset(dataset: &Id) -> Outcome<Self> {
        plain!(H5Dget_space(dataset.raw())).map(|raw| Self(Id::from_raw(raw)))
    }

    pub(in super::super) fn of_attr(attr: &Id) -> Outcome<Self> {
        plain!(H5Aget_space(attr.raw())).map(|raw| Self(Id::from_raw(raw)))
    }

    /// Length of each axis; `None` for the null space.
    pub(in super::super) fn shape(&self) -> Outcome<Option<Vec<usize>>> {
        // SAFETY: an id only; the classes are variants of the enum.
        if locked(|| unsafe { H5Sget_simple_extent_type(self.0.raw()) }) == H5S_class_t::H5S_NULL {
            return Ok(None);
        }
        let axes = plain!(H5Sget_simple_extent_ndims(self.0.raw()))?;
        let axes = usize::try_from(axes).ok().filter(|&n| n <= MAX_AXES);
        let mut dims: Vec<hsize_t> = vec![0; axes.ok_or_else(|| Failure::new("a dataspace of too many axes"))?];
        // SAFETY: the list has as many items as there are axes and outlives the call.
        check(|| unsafe { H5Sget_simple_extent_dims(self.0.raw(), dims.as_mut_ptr(), std::ptr::null_mut()) })?;
        lengths(&dims).map(Some)
    }

    /// Narrows the space to a block of `count` items from `start` on.
    fn select(&self, start: &[usize], count: &[usize]) -> Outcome<()> {
        let axes = plain!(H5Sget_simple_extent_ndims(self.0.raw()))?;
        if usize::try_from(axes).ok() != Some(start.len()) || start.len() != count.len() {
            return Err(Failure::new("a selection of another number of axes"));
        }
        let (start, count) = (sizes(start), sizes(count));
        check(|| {
            // SAFETY: both lists have as many items as the space has axes, as just checked, and outlive the call.
            unsafe {
                H5Sselect_hyperslab(
                    self.0.raw(),
                    H5S_seloper_t::H5S_SELECT_SET,
                    start.as_ptr(),
                    std::ptr::null(),
                    count.as_ptr(),
                    std::ptr::null(),
                )
            }
        })
        .map(drop)
    }
}

fn sizes(shape: &[usize]) -> Vec<hsize_t> {
    shape.iter().map(|&n| n as hsize_t).collect()
}

fn lengths(dims: &[hsize_t]) -> Outcome<Vec<usize>> {
    let wide = |_| Failure::new("an axis longer than memory can address");
    // As signed numbers: positions are reckoned with those.
    dims.iter().map(|&n| isize::try_from(n).map(isize::unsigned_abs).map_err(wide)).collect()
}

impl Type {
    pub(in super::super) fn of_dataset(dataset: &Id) -> Outcome<Self> {
        plain!(H5Dget_type(dataset.raw())).map(|raw| Self(Id::from_raw(raw)))
    }

    pub(in super::super) fn of_attr(attr: &Id) -> Outcome<Self> {
        plain!(H5Aget_type(attr.raw())).map(|raw| Self(Id::from_raw(raw)))
    }

    /// Whether items are just bytes: any are valid, none is a pointer.
    fn is_plain(&self) -> bool {
        match self.class() {
            Class::Integer | Class::Float | Class::Enum => true,
            Class::Compound => {
                (0..self.members().len() as u32).all(|i| self.member(i).is_some_and(|m| m.class() == Class::Float))
            }
            _ => false,
        }
    }
}

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

/// How the items of a dataset are laid out in the file.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in super::super) struct Layout {
    /// Lengths of a chunk; `None` for one block.
    pub chunks: Option<Vec<usize>>,
    /// The filters chunks pass, in writing order.
    pub filters: Vec<Filter>,
    /// Why the items are not in this file at all.
    pub elsewhere: Option<&'static str>,
}

/// The layout of a stored dataset.
pub(in super::super) fn layout(dataset: &Id) -> Outcome<Layout> {
    let list = Id::from_raw(plain!(H5Dget_create_plist(dataset.raw()))?);
    // SAFETY: an id only; the layouts are variants of the enum.
    let kind = locked(|| unsafe { H5Pget_layout(list.raw()) });
    if kind == H5D_layout_t::H5D_VIRTUAL {
        return Ok(Layout {
            elsewhere: Some("a virtual dataset (its items lie in other datasets)"),
            ..Layout::default()
        });
    }
    if plain!(H5Pget_external_count(list.raw()))? > 0 {
        return Ok(Layout { elsewhere: Some("a dataset whose items lie in other files"), ..Layout::default() });
    }
    if kind != H5D_layout_t::H5D_CHUNKED {
        return Ok(Layout::default());
    }
    let mut dims = [0 as hsize_t; MAX_AXES + 1];
    // SAFETY: the list has as many items as said and outlives the call.
    let axes = check(|| unsafe { H5Pget_chunk(list.raw(), dims.len() as c_int, dims.as_mut_ptr()) })?;
    let chunks = lengths(dims.get(..axes.unsigned_abs() as usize).unwrap_or(&[]))?;
    if chunks.contains(&0) {
        return Err(Failure::new("a chunk of length 0"));
    }
    let count = plain!(H5Pget_nfilters(list.raw()))?;
    let filters = (0..count.unsigned_abs()).map(|i| filter(&list, i)).collect::<Outcome<_>>()?;
    Ok(Layout { chunks: Some(chunks), filters, elsewhere: None })
}

fn filter(list: &Id, i: u32) -> Outcome<Filter> {
    let (mut flags, mut config) = (0 as c_uint, 0 as c_uint);
    let mut values: Vec<c_uint> = vec![0; 64];
    let mut count = values.len();
    let mut name: [c_char; 64] = [0; 64];
    let id = check(|| {
        // SAFETY: values and name are as long as said; all pointers are to locals that outlive the call.
        unsafe {
            H5Pget_filter2(
                list.raw(),
                i,
                &raw mut flags,
                &raw mut count,
                values.as_mut_ptr(),
                name.len() - 1,
                name.as_mut_ptr(),
                &raw mut config,
            )
        }
    })?;
    values.truncate(count);
    // SAFETY: the last byte was never handed out and is NUL.
    let name = unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned();
    Ok(Filter { id, flags, values, name })
}

/// A new dataset that no name leads to. `many_attrs`: its attributes may outgrow the object header.
pub(in super::super) fn new_dataset(
    file: &Id,
    dtype: &Type,
    space: &Space,
    layout: &Layout,
    many_attrs: bool,
) -> Outcome<Id> {
    let list = Id::from_raw(plain!(H5Pcreate(*H5P_CLS_DATASET_CREATE))?);
    plain!(H5Pset_obj_track_times(list.raw(), 0))?;
    if many_attrs {
        track_attrs(&list)?;
    }
    if let Some(chunks) = &layout.chunks {
        let dims = sizes(chunks);
        // SAFETY: the list has as many items as said and outlives the call.
        check(|| unsafe { H5Pset_chunk(list.raw(), dims.len() as c_int, dims.as_ptr()) })?;
    }
    for filter in &layout.filters {
        let (count, values) = (filter.values.len(), filter.values.as_ptr());
        // SAFETY: the list has as many items as said and outlives the call.
        check(|| unsafe { H5Pset_filter(list.raw(), filter.id, filter.flags, count, values) })?;
    }
    plain!(H5Dcreate_anon(file.raw(), dtype.0.raw(), space.0.raw(), list.raw(), H5P_DEFAULT)).map(Id::from_raw)
}

/// Stored bytes of the chunk that begins at `start`; 0 if it was never written.
pub(in super::super) fn chunk_bytes(dataset: &Id, start: &[usize]) -> Outcome<u64> {
    let axes = Space::of_dataset(dataset)?.shape()?.unwrap_or_default().len();
    if start.len() != axes {
        return Err(Failure::new("a chunk of another number of axes"));
    }
    let (start, mut bytes) = (sizes(start), 0 as hsize_t);
    // SAFETY: the list has as many items as the dataset has axes, as just checked; both outlive the call.
    check(|| unsafe { H5Dget_chunk_storage_size(dataset.raw(), start.as_ptr(), &raw mut bytes) })?;
    Ok(bytes)
}

/// Where items are.
#[derive(Debug, Clone, Copy)]
pub(in super::super) enum Items<'a> {
    /// All items of an attribute.
    Attr(&'a Id),
    /// All items of a dataset.
    Whole(&'a Id),
    /// A block of a dataset: `count` items from `start` on, one number per axis.
    Block { dataset: &'a Id, start: &'a [usize], count: &'a [usize] },
}

impl Items<'_> {
    /// The shape of these items.
    fn shape(&self) -> Outcome<Vec<usize>> {
        Ok(match self {
            Self::Attr(attr) => Space::of_attr(attr)?.shape()?,
            Self::Whole(dataset) => Space::of_dataset(dataset)?.shape()?,
            Self::Block { count, .. } => Some(count.to_vec()),
        }
        .unwrap_or_else(|| vec![0]))
    }

    /// The attribute or dataset.
    pub(super) fn object(&self) -> &Id {
        match self {
            Self::Attr(object) | Self::Whole(object) | Self::Block { dataset: object, .. } => object,
        }
    }

    pub(super) fn len(&self) -> Outcome<usize> {
        let shape = self.shape()?;
        shape.iter().try_fold(1_usize, |n, &k| n.checked_mul(k)).ok_or_else(|| Failure::new("too many items"))
    }

    /// Reads as `dtype` into a buffer.
    ///
    /// # Safety
    /// `out` must be valid for [`len`](Self::len) items of `dtype`.
    pub(super) unsafe fn read(&self, dtype: &Type, out: *mut c_void) -> Outcome<()> {
        let done = match self {
            // SAFETY: the caller vouches for the buffer, which holds every item of the attribute.
            Self::Attr(attr) => check(|| unsafe { H5Aread(attr.raw(), dtype.0.raw(), out) }),
            // SAFETY: as above, for the dataset.
            Self::Whole(dataset) => {
                check(|| unsafe { H5Dread(dataset.raw(), dtype.0.raw(), H5S_ALL, H5S_ALL, H5P_DEFAULT, out) })
            }
            Self::Block { dataset, start, count } => {
                let (here, there) = (Space::new(count, false)?, Space::of_dataset(dataset)?);
                there.select(start, count)?;
                let (here, there) = (here.0.raw(), there.0.raw());
                // SAFETY: as above, for as many items as the selection has.
                check(|| unsafe { H5Dread(dataset.raw(), dtype.0.raw(), here, there, H5P_DEFAULT, out) })
            }
        };
        done.map(drop)
    }

    /// Writes all items from a buffer of `dtype`.
    ///
    /// # Safety
    /// `from` must hold [`len`](Self::len) valid items of `dtype`.
    unsafe fn write(&self, dtype: &Type, from: *const c_void) -> Outcome<()> {
        let done = match self {
            // SAFETY: the caller vouches for the buffer, which holds every item of the attribute.
            Self::Attr(attr) => check(|| unsafe { H5Awrite(attr.raw(), dtype.0.raw(), from) }),
            // SAFETY: as above, for the dataset.
            Self::Whole(dataset) => {
                check(|| unsafe { H5Dwrite(dataset.raw(), dtype.0.raw(), H5S_ALL, H5S_ALL, H5P_DEFAULT, from) })
            }
            Self::Block { .. } => Err(Failure::new("blocks are read, not written")),
        };
        done.map(drop)
    }
}

/// Items of fixed size, converted to `dtype`, end to end.
pub(in super::super) fn read_fixed(items: Items<'_>, dtype: &Type) -> Outcome<Vec<u8>> {
    let bytes = items.len()?.checked_mul(dtype.size()).ok_or_else(|| Failure::new("too many items"))?;
    let mut out = buffer(bytes, 0_u8)?;
    if bytes > 0 {
        // SAFETY: the buffer was made as long as all items together.
        unsafe { items.read(dtype, out.as_mut_ptr().cast()) }?;
    }
    Ok(out)
}

/// Numbers, converted to `dtype`, straight into memory of their Rust type; `None` where that is no option (bools and
/// texts, for which not all bytes are valid, and memory of another byte order).
pub(in super::super) fn read_numbers<T: Item>(items: Items<'_>, dtype: &Type) -> Outcome<Option<Vec<T>>> {
    let valid = T::DTYPE != DType::Bool && T::DTYPE.size() == Some(size_of::<T>()) && dtype.size() == size_of::<T>();
    if !valid || cfg!(target_endian = "big") {
        return Ok(None);
    }
    let mut out = buffer(items.len()?, T::default())?;
    if !out.is_empty() {
        // SAFETY: the buffer has one place for each item, of the same size, and any bytes are valid numbers.
        unsafe { items.read(dtype, out.as_mut_ptr().cast()) }?;
    }
    Ok(Some(out))
}

/// Variable-length texts; those never written are empty.
pub(in super::super) fn read_texts(items: Items<'_>, utf8: bool) -> Outcome<Vec<String>> {
    let (shape, count) = (items.shape()?, items.len()?);
    if count == 0 {
        return Ok(Vec::new());
    }
    check_heaps(&items)?;
    let (dtype, space) = (Type::vlen_text(utf8)?, Space::new(&shape, false)?);
    let mut raw: Vec<*mut c_char> = buffer(count, std::ptr::null_mut())?;
    // SAFETY: a variable-length text is one pointer, and the buffer has one for each item.
    unsafe { items.read(&dtype, raw.as_mut_ptr().cast()) }?;
    let texts = raw.iter().enumerate().map(|(i, &p)| own_text(p, i)).collect();
    // SAFETY: the pointers were allocated by the read above with the same type and number, and are given back once.
    check(|| unsafe { H5Treclaim(dtype.0.raw(), space.0.raw(), H5P_DEFAULT, raw.as_mut_ptr().cast()) })?;
    texts
}

fn own_text(raw: *const c_char, number: usize) -> Outcome<String> {
    if raw.is_null() {
        return Ok(String::new());
    }
    // SAFETY: not null; HDF5 ends the texts it reads with NUL, and they live until they are reclaimed.
    let text = unsafe { CStr::from_ptr(raw) };
    text.to_str().map(str::to_owned).map_err(|_| Failure::new(format!("text number {number} is not UTF-8")))
}

/// Writes all items, given as bytes end to end.
pub(in super::super) fn write_fixed(items: Items<'_>, dtype: &Type, bytes: &[u8]) -> Outcome<()> {
    if !dtype.is_plain() || items.len()?.checked_mul(dtype.size()) != Some(bytes.len()) {
        return Err(Failure::new("the bytes do not fit the type and number of the items"));
    }
    if bytes.is_empty() {
        return Ok(());
    }
    // SAFETY: as many bytes as the items have, and any bytes are valid items of the type, as just checked.
    unsafe { items.write(dtype, bytes.as_ptr().cast()) }
}

/// Writes all items of a dataset or attribute of variable-length texts.
pub(in super::super) fn write_texts<'a>(items: Items<'_>, texts: impl Iterator<Item = &'a String>) -> Outcome<()> {
    // One block of NUL-ended texts, and where each begins.
    let (mut block, mut starts) = (Vec::new(), Vec::new());
    for text in texts {
        if text.contains('\0') {
            return Err(Failure::new("a text holds a NUL character"));
        }
        starts.push(block.len());
        block.extend_from_slice(text.as_bytes());
        block.push(0_u8);
    }
    if items.len()? != starts.len() {
        return Err(Failure::new("the texts do not fit the number of the items"));
    }
    if starts.is_empty() {
        return Ok(());
    }
    let dtype = Type::vlen_text(true)?;
    let pointers: Vec<*const u8> = starts.iter().map(|&at| block[at..].as_ptr()).collect();
    // SAFETY: one pointer per item, each to a NUL-ended text in `block`, which outlives the call.
    unsafe { items.write(&dtype, pointers.as_ptr().cast()) }
}

/// The little-endian bytes of a slice of numbers as they lie in memory; `None` where memory has another order.
pub(in super::super) fn memory_bytes<T: Item>(items: &[T]) -> Option<&[u8]> {
    if T::DTYPE.size() != Some(size_of::<T>()) || cfg!(target_endian = "big") {
        return None;
    }
    // SAFETY: the items are numbers or bools (texts have no size) or pairs of numbers, none with padding, so that all
    // bytes are initialised; a byte has no alignment; the lifetime is that of the slice.
    Some(unsafe { std::slice::from_raw_parts(items.as_ptr().cast(), size_of_val(items)) })
}

/// An attribute kept in memory, of whatever type, to be put back as it was.
#[derive(Debug)]
pub(in super::super) struct SavedAttr {
    dtype: Type,
    space: Space,
    /// Items in the attribute's own type, end to end; may hold pointers that HDF5 allocated, and is aligned for them.
    items: Vec<u64>,
}

impl SavedAttr {
    pub(in super::super) fn save(attr: &Id) -> Outcome<Self> {
        let (dtype, space) = (Type::of_attr(attr)?, Space::of_attr(attr)?);
        let bytes = Items::Attr(attr).len()?.checked_mul(dtype.size()).ok_or_else(|| Failure::new("too many items"))?;
        if dtype.is_vlen_text() {
            check_heaps(&Items::Attr(attr))?;
        }
        let mut items = buffer(bytes.div_ceil(size_of::<u64>()), 0_u64)?;
        if bytes > 0 {
            // SAFETY: the buffer was made at least as long as all items together.
            unsafe { Items::Attr(attr).read(&dtype, items.as_mut_ptr().cast()) }?;
        }
        Ok(Self { dtype, space, items })
    }

    pub(in super::super) fn restore(&self, object: &Id, name: &str) -> Outcome<()> {
        let attr = new_attr(object, name, &self.dtype, &self.space)?;
        if self.items.is_empty() {
            return Ok(());
        }
        // SAFETY: the items were read with this type from an attribute of this space.
        unsafe { Items::Attr(&attr).write(&self.dtype, self.items.as_ptr().cast()) }
    }
}

impl Drop for SavedAttr {
    fn drop(&mut self) {
        if self.items.is_empty() {
            return;
        }
        // SAFETY: the items were read with this type and space, and are given back once. Types without pointers: no-op.
        locked(|| unsafe {
            H5Treclaim(self.dtype.0.raw(), self.space.0.raw(), H5P_DEFAULT, self.items.as_mut_ptr().cast())
        });
    }
}
