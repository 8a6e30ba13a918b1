//! Dataspaces, dataset layouts, and moving items in and out of datasets and attributes.

use std::borrow::Cow;
use std::ffi::{CStr, CString, c_char, c_uint, c_void};
use std::os::raw::c_int;

use hdf5_metno_sys::h5::{herr_t, hsize_t};
use hdf5_metno_sys::h5a::{H5Aget_space, H5Aget_type, H5Aread, H5Awrite};
use hdf5_metno_sys::h5d::*;
use hdf5_metno_sys::h5i::hid_t;
use hdf5_metno_sys::h5p::*;
use hdf5_metno_sys::h5s::*;
use hdf5_metno_sys::h5t::H5Treclaim;

use super::filters::Filter;
use super::objects::track_attrs;
use super::types::{Class, Type};
use super::{Failure, Id, Outcome, buffer, c_text, check, heap, lengths, locked, plain, sizes};
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
            Class::Integer | Class::Float | Class::Enum | Class::Complex => true,
            Class::Text => !self.is_vlen_text(),
            Class::Compound => (0..self.member_count()).all(|i| self.member(i).is_some_and(|m| m.is_plain())),
            Class::Array => self.array_of().is_ok_and(|(_, item)| item.is_plain()),
            _ => false,
        }
    }

    /// Whether an item is one pointer to a text, or several end to end.
    fn is_text_pointers(&self) -> bool {
        match self.class() {
            Class::Text => self.is_vlen_text(),
            Class::Array => self.array_of().is_ok_and(|(_, item)| item.is_text_pointers()),
            _ => false,
        }
    }

    /// The members of a compound as they lie in memory.
    fn slots(&self) -> Vec<Slot> {
        let members = (0..self.member_count()).filter_map(|i| Some((i, self.member(i)?)));
        let slot = |(i, member): (u32, Self)| Slot {
            offset: self.member_offset(i),
            size: member.size(),
            kind: match () {
                () if member.is_text_pointers() => SlotKind::Texts,
                () if member.is_plain() => SlotKind::Plain,
                () => SlotKind::Other,
            },
        };
        members.map(slot).collect()
    }
}

/// A member of a compound in memory.
#[derive(Debug, Clone, Copy)]
struct Slot {
    offset: usize,
    size: usize,
    kind: SlotKind,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum SlotKind {
    Plain,
    Texts,
    Other,
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

/// The shape of a dataset as it is recorded, without a look into the files that a virtual one is made of; one that is made
/// of none has no axes.
pub(in super::super) fn stored_shape(dataset: &Id) -> Outcome<Option<Vec<usize>>> {
    let list = Id::from_raw(plain!(H5Dget_create_plist(dataset.raw()))?);
    // SAFETY: an id only; the layouts are variants of the enum.
    if locked(|| unsafe { H5Pget_layout(list.raw()) }) != H5D_layout_t::H5D_VIRTUAL {
        return Space::of_dataset(dataset)?.shape();
    }
    match plain!(H5Pget_virtual_vspace(list.raw(), 0)) {
        Ok(raw) => Space(Id::from_raw(raw)).shape(),
        Err(_) => Ok(Some(Vec::new())),
    }
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
    let found = check(|| unsafe { H5Dget_chunk_storage_size(dataset.raw(), start.as_ptr(), &raw mut bytes) });
    // Among other chunks, one that was never written is a failure to HDF5. An index that is damaged fails when it is read.
    Ok(found.map_or(0, |_| bytes))
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

    /// The space of these items in memory.
    fn space(&self) -> Outcome<Space> {
        match self {
            Self::Attr(attr) => Space::of_attr(attr),
            Self::Whole(dataset) => Space::of_dataset(dataset),
            Self::Block { count, .. } => Space::new(count, false),
        }
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
            Self::Block { dataset, start, count } => {
                let (here, there) = (Space::new(count, false)?, Space::of_dataset(dataset)?);
                there.select(start, count)?;
                let (here, there) = (here.0.raw(), there.0.raw());
                // SAFETY: as above, for as many items as the selection has.
                check(|| unsafe { H5Dwrite(dataset.raw(), dtype.0.raw(), here, there, H5P_DEFAULT, from) })
            }
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
    let dtype = Type::vlen_text(utf8)?;
    if let Some(texts) = heap::texts(&items, &dtype)? {
        return Ok(texts);
    }
    let space = Space::new(&shape, false)?;
    heap::check_heaps(&items, &dtype)?;
    let mut raw: Vec<*mut c_char> = buffer(count, std::ptr::null_mut())?;
    // SAFETY: a variable-length text is one pointer, and the buffer has one for each item.
    unsafe { items.read(&dtype, raw.as_mut_ptr().cast()) }?;
    let texts = raw.iter().map(|&p| own_text(p)).collect();
    // SAFETY: the pointers were allocated by the read above with the same type and number, and are given back once.
    check(|| unsafe { H5Treclaim(dtype.0.raw(), space.0.raw(), H5P_DEFAULT, raw.as_mut_ptr().cast()) })?;
    texts
}

fn own_text(raw: *const c_char) -> Outcome<String> {
    if raw.is_null() {
        return Ok(String::new());
    }
    // SAFETY: not null; HDF5 ends the texts it reads with NUL, and they live until they are reclaimed.
    let text = unsafe { CStr::from_ptr(raw) };
    text.to_str().map(str::to_owned).map_err(|_| Failure::not_utf8(text.to_bytes()))
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

/// Items of a compound in memory.
#[derive(Debug)]
pub(in super::super) struct Members {
    held: Held,
    slots: Vec<Slot>,
}

impl Members {
    /// Reads items as `dtype`, a compound.
    pub(in super::super) fn read(items: Items<'_>, dtype: Type) -> Outcome<Self> {
        let slots = dtype.slots();
        Ok(Self { held: Held::read(items, dtype)?, slots })
    }

    /// Member number `i` of all items, its bytes end to end.
    pub(in super::super) fn bytes(&self, i: usize) -> Outcome<Vec<u8>> {
        let slot = self.slot(i, SlotKind::Plain)?;
        let mut out = Vec::new();
        out.try_reserve_exact(self.held.count * slot.size).map_err(|_| Failure::new("no memory for the items"))?;
        self.places(slot).for_each(|place| out.extend_from_slice(place));
        Ok(out)
    }

    /// Member number `i` of all items, which are texts of variable length; those never written are empty.
    pub(in super::super) fn texts(&self, i: usize) -> Outcome<Vec<String>> {
        let slot = self.slot(i, SlotKind::Texts)?;
        let pointers = self.places(slot).flat_map(|place| place.chunks_exact(size_of::<*const c_char>()));
        let pointer = |bytes: &[u8]| {
            // SAFETY: as many bytes as a pointer has, which HDF5 wrote as one; provenance is that of its allocation.
            unsafe { bytes.as_ptr().cast::<*const c_char>().read_unaligned() }
        };
        pointers.map(|bytes| own_text(pointer(bytes))).collect()
    }

    fn slot(&self, i: usize, kind: SlotKind) -> Outcome<Slot> {
        let slot = self.slots.get(i).copied().filter(|slot| slot.kind == kind);
        slot.ok_or_else(|| Failure::new("a member of another kind than was read"))
    }

    fn places(&self, slot: Slot) -> impl Iterator<Item = &[u8]> {
        let items = self.held.bytes().chunks_exact(self.held.dtype.size().max(1));
        items.filter_map(move |item| item.get(slot.offset..slot.offset + slot.size))
    }
}

/// Items of one member of a compound, to be written.
#[derive(Debug)]
pub(in super::super) enum Column<'a> {
    /// Items of fixed size, end to end.
    Fixed(Vec<u8>),
    /// Texts of variable length.
    Texts(Vec<&'a str>),
}

/// Writes all items of a compound, given by member.
pub(in super::super) fn write_members(items: Items<'_>, dtype: &Type, columns: &[Column<'_>]) -> Outcome<()> {
    let (slots, count, size) = (dtype.slots(), items.len()?, dtype.size());
    let misfit = || Failure::new("the columns do not fit the type and number of the items");
    let bytes = count.checked_mul(size).ok_or_else(misfit)?;
    let mut rows = buffer(bytes.div_ceil(size_of::<u64>()), 0_u64)?;
    // What the pointers in the rows lead to.
    let mut texts: Vec<CString> = Vec::new();
    if slots.len() != columns.len() {
        return Err(misfit());
    }
    for (slot, column) in slots.iter().zip(columns) {
        let kind = if matches!(column, Column::Fixed(_)) { SlotKind::Plain } else { SlotKind::Texts };
        let column: Cow<'_, [u8]> = match column {
            Column::Fixed(bytes) => Cow::Borrowed(bytes),
            Column::Texts(column) => {
                let column = column.iter().map(|text| c_text(text)).collect::<Outcome<Vec<_>>>()?;
                // The text stays where it is when its owner moves.
                let pointers = column.iter().flat_map(|text| (text.as_ptr() as usize).to_ne_bytes()).collect();
                texts.extend(column);
                Cow::Owned(pointers)
            }
        };
        if slot.kind != kind || slot.size == 0 || count.checked_mul(slot.size) != Some(column.len()) {
            return Err(misfit());
        }
        // SAFETY: a buffer of whole numbers is one of bytes, all initialised, of at most its length.
        let rows = unsafe { std::slice::from_raw_parts_mut(rows.as_mut_ptr().cast::<u8>(), bytes) };
        for (row, item) in rows.chunks_exact_mut(size).zip(column.chunks_exact(slot.size)) {
            row.get_mut(slot.offset..slot.offset + slot.size).ok_or_else(misfit)?.copy_from_slice(item);
        }
    }
    if count == 0 {
        return Ok(());
    }
    // SAFETY: every member of every item was filled, pointers with those to texts ending with NUL, which live in `texts`.
    let done = unsafe { items.write(dtype, rows.as_ptr().cast()) };
    drop(texts);
    done
}

/// Items in memory, of whatever type; what HDF5 allocated for them is given back when they are dropped.
#[derive(Debug)]
pub(super) struct Held {
    dtype: Type,
    space: Space,
    count: usize,
    /// The items end to end; may hold pointers that HDF5 allocated, and is aligned for them.
    items: Vec<u64>,
}

impl Held {
    pub(super) fn read(from: Items<'_>, dtype: Type) -> Outcome<Self> {
        heap::check_heaps(&from, &dtype)?;
        let (count, space) = (from.len()?, from.space()?);
        let bytes = count.checked_mul(dtype.size()).ok_or_else(|| Failure::new("too many items"))?;
        let mut items = buffer(bytes.div_ceil(size_of::<u64>()), 0_u64)?;
        if bytes > 0 {
            // Where this fails, what the buffer holds may be pointers or not: nothing of it is given back.
            // SAFETY: the buffer was made at least as long as all items together.
            unsafe { from.read(&dtype, items.as_mut_ptr().cast()) }?;
        }
        Ok(Self { dtype, space, count, items })
    }

    pub(super) fn dtype(&self) -> &Type {
        &self.dtype
    }

    pub(super) fn space(&self) -> &Space {
        &self.space
    }

    /// Writes the items to a place of this type and space.
    pub(super) fn write(&self, to: Items<'_>) -> Outcome<()> {
        if self.items.is_empty() {
            return Ok(());
        }
        // SAFETY: the items were read with this type, as many as the space has.
        unsafe { to.write(&self.dtype, self.items.as_ptr().cast()) }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: a buffer of whole numbers is one of bytes, all initialised, and as long as `read` made it.
        unsafe { std::slice::from_raw_parts(self.items.as_ptr().cast(), self.count * self.dtype.size()) }
    }
}

impl Drop for Held {
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
