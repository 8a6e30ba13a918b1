//! Datatypes: asking what a stored one is, and making those this crate writes.

use std::ffi::{CStr, CString, c_uint, c_void};

use hdf5_metno_sys::h5::{H5free_memory, hsize_t};
use hdf5_metno_sys::h5t::*;

use super::{Failure, Id, Outcome, c_text, check, lengths, locked, plain, sizes};

/// A datatype.
#[derive(Debug)]
pub(in super::super) struct Type(pub(super) Id);

/// The class of a datatype, as far as this crate tells them apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) enum Class {
    Integer,
    Float,
    Text,
    Enum,
    Compound,
    /// HDF5's own, since 2.0; most writers make compounds.
    Complex,
    /// Several items of one type, with axes of their own.
    Array,
    Reference,
    Other(&'static str),
}

fn owned(raw: i64) -> Type {
    Type(Id::from_raw(raw))
}

impl Type {
    pub(in super::super) fn class(&self) -> Class {
        let class = locked(|| {
            // SAFETY: an id only; every class this library version knows is a variant of the enum.
            unsafe { H5Tget_class(self.0.raw()) }
        });
        match class {
            H5T_INTEGER => Class::Integer,
            H5T_FLOAT => Class::Float,
            H5T_STRING => Class::Text,
            H5T_ENUM => Class::Enum,
            H5T_COMPOUND => Class::Compound,
            H5T_ARRAY => Class::Array,
            H5T_REFERENCE => Class::Reference,
            H5T_TIME => Class::Other("time"),
            H5T_BITFIELD => Class::Other("bitfield"),
            H5T_OPAQUE => Class::Other("opaque"),
            H5T_VLEN => Class::Other("variable-length sequence"),
            H5T_COMPLEX => Class::Complex,
            _ => Class::Other("unknown"),
        }
    }

    /// Bytes of one item in a file or buffer of this type; 0 if HDF5 cannot tell.
    pub(in super::super) fn size(&self) -> usize {
        plain!(H5Tget_size(self.0.raw())).unwrap_or(0)
    }

    pub(in super::super) fn is_signed(&self) -> bool {
        // SAFETY: an id only; the signs are variants of the enum.
        locked(|| unsafe { H5Tget_sign(self.0.raw()) }) == H5T_SGN_2
    }

    pub(in super::super) fn is_big_endian(&self) -> bool {
        // SAFETY: an id only; the orders are variants of the enum.
        locked(|| unsafe { H5Tget_order(self.0.raw()) }) == H5T_ORDER_BE
    }

    pub(in super::super) fn is_vlen_text(&self) -> bool {
        plain!(H5Tis_variable_str(self.0.raw())).is_ok_and(|yes| yes > 0)
    }

    pub(in super::super) fn is_utf8(&self) -> bool {
        // SAFETY: an id only; all 16 values of the field are variants of the enum.
        locked(|| unsafe { H5Tget_cset(self.0.raw()) }) == H5T_CSET_UTF8
    }

    /// What follows a text in its field: a NUL at the first of which it ends, NULs, or blanks.
    pub(in super::super) fn trim<'a>(&self, field: &'a [u8]) -> &'a [u8] {
        // SAFETY: an id only; all 16 values of the field are variants of the enum.
        let pad = locked(|| unsafe { H5Tget_strpad(self.0.raw()) });
        let trailing = |pad: u8| field.iter().rposition(|&b| b != pad).map_or(0, |last| last + 1);
        let end = match pad {
            H5T_STR_NULLPAD => trailing(0),
            H5T_STR_SPACEPAD => trailing(b' '),
            _ => field.iter().position(|&b| b == 0).unwrap_or(field.len()),
        };
        &field[..end]
    }

    /// Bits of a float: where the exponent begins, its width, the width of the mantissa.
    pub(in super::super) fn float_bits(&self) -> Option<(usize, usize, usize)> {
        let [mut sign, mut exp_at, mut exp, mut man_at, mut man] = [0_usize; 5];
        check(|| {
            // SAFETY: the five pointers are to locals that outlive the call.
            unsafe {
                H5Tget_fields(self.0.raw(), &raw mut sign, &raw mut exp_at, &raw mut exp, &raw mut man_at, &raw mut man)
            }
        })
        .ok()?;
        Some((exp_at, exp, man))
    }

    /// Number of the members of an enum or compound.
    pub(in super::super) fn member_count(&self) -> u32 {
        plain!(H5Tget_nmembers(self.0.raw())).unwrap_or(0).unsigned_abs()
    }

    /// Names of the members of an enum or compound.
    pub(in super::super) fn members(&self) -> Vec<String> {
        (0..self.member_count())
            .map(|i| self.member_name(i).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default())
            .collect()
    }

    fn member_name(&self, i: u32) -> Outcome<CString> {
        locked(|| {
            // SAFETY: an id and a number.
            let raw = unsafe { H5Tget_member_name(self.0.raw(), i) };
            if raw.is_null() {
                return Err(Failure::current());
            }
            // SAFETY: not null, so that it is a text ending with NUL, which is ours to free, once, after it has been copied.
            unsafe {
                let name = CStr::from_ptr(raw).to_owned();
                H5free_memory(raw.cast());
                Ok(name)
            }
        })
    }

    pub(in super::super) fn member(&self, i: u32) -> Option<Self> {
        plain!(H5Tget_member_type(self.0.raw(), i)).ok().map(owned)
    }

    /// Where a member of a compound begins.
    pub(super) fn member_offset(&self, i: u32) -> usize {
        // SAFETY: an id and a number; HDF5 answers 0 where there is no such member.
        locked(|| unsafe { H5Tget_member_offset(self.0.raw(), i) })
    }

    /// Lengths of the axes of an array type, and what its items are.
    pub(in super::super) fn array_of(&self) -> Outcome<(Vec<usize>, Self)> {
        let axes = plain!(H5Tget_array_ndims(self.0.raw()))?;
        let mut dims: Vec<hsize_t> = vec![0; axes.unsigned_abs() as usize];
        // SAFETY: the list has as many items as the type has axes and outlives the call.
        check(|| unsafe { H5Tget_array_dims2(self.0.raw(), dims.as_mut_ptr()) })?;
        Ok((lengths(&dims)?, self.base()?))
    }

    /// What an array, enum or complex type is made of.
    pub(in super::super) fn base(&self) -> Outcome<Self> {
        plain!(H5Tget_super(self.0.raw())).map(owned)
    }

    /// The value of a member of an enum that is one byte wide.
    pub(in super::super) fn byte_value(&self, i: u32) -> Option<u8> {
        if self.size() != 1 {
            return None;
        }
        let mut value = 0_u8;
        // SAFETY: the member is written in the enum's own type, one byte wide as was just checked.
        check(|| unsafe { H5Tget_member_value(self.0.raw(), i, (&raw mut value).cast::<c_void>()) }).ok()?;
        Some(value)
    }

    pub(in super::super) fn is_object_reference(&self) -> bool {
        plain!(H5Tequal(self.0.raw(), *H5T_STD_REF_OBJ)).is_ok_and(|yes| yes > 0)
    }

    /// A little-endian integer of 1, 2, 4 or 8 bytes.
    pub(in super::super) fn integer(size: usize, signed: bool) -> Outcome<Self> {
        plain!(H5Tcopy(match (size, signed) {
            (1, true) => *H5T_STD_I8LE,
            (2, true) => *H5T_STD_I16LE,
            (4, true) => *H5T_STD_I32LE,
            (8, true) => *H5T_STD_I64LE,
            (1, false) => *H5T_STD_U8LE,
            (2, false) => *H5T_STD_U16LE,
            (4, false) => *H5T_STD_U32LE,
            (8, false) => *H5T_STD_U64LE,
            _ => -1,
        }))
        .map(owned)
    }

    /// A little-endian IEEE float of 2, 4 or 8 bytes.
    pub(in super::super) fn float(size: usize) -> Outcome<Self> {
        match size {
            2 => Self::half(),
            4 => plain!(H5Tcopy(*H5T_IEEE_F32LE)).map(owned),
            8 => plain!(H5Tcopy(*H5T_IEEE_F64LE)).map(owned),
            _ => Err(Failure::new(format!("no float of {size} bytes"))),
        }
    }

    /// A pair of such floats, as HDF5 has them itself.
    pub(in super::super) fn complex(size: usize) -> Outcome<Self> {
        let part = Self::float(size)?;
        plain!(H5Tcomplex_create(part.0.raw())).map(owned)
    }

    /// Made by hand as h5py does: libraries before 2.0 have no constant for it.
    fn half() -> Outcome<Self> {
        let half = Self::float(4)?;
        plain!(H5Tset_fields(half.0.raw(), 15, 10, 5, 0, 10))?;
        plain!(H5Tset_size(half.0.raw(), 2))?;
        plain!(H5Tset_ebias(half.0.raw(), 15))?;
        Ok(half)
    }

    /// numpy's bool: an enum of int8 with members FALSE and TRUE.
    pub(in super::super) fn boolean() -> Outcome<Self> {
        let out = owned(plain!(H5Tenum_create(*H5T_STD_I8LE))?);
        for (name, value) in [(c"FALSE", 0_i8), (c"TRUE", 1)] {
            // SAFETY: the name is a literal, the value an int8 as the enum's base is, both outlive the call.
            check(|| unsafe { H5Tenum_insert(out.0.raw(), name.as_ptr(), (&raw const value).cast()) })?;
        }
        Ok(out)
    }

    /// A compound of these members, packed in this order.
    pub(in super::super) fn compound<'a>(members: impl IntoIterator<Item = (&'a str, Self)>) -> Outcome<Self> {
        let named = members.into_iter().map(|(name, member)| Ok((c_text(name)?, member)));
        Self::packed(&named.collect::<Outcome<Vec<_>>>()?)
    }

    /// Some members of this compound, by number, in other types. HDF5 finds members by name, to the byte.
    pub(in super::super) fn part(&self, members: Vec<(u32, Self)>) -> Outcome<Self> {
        let named = members.into_iter().map(|(i, member)| Ok((self.member_name(i)?, member)));
        Self::packed(&named.collect::<Outcome<Vec<_>>>()?)
    }

    fn packed(members: &[(CString, Self)]) -> Outcome<Self> {
        let size = members.iter().try_fold(0_usize, |n, (_, member)| n.checked_add(member.size()));
        let out = owned(plain!(H5Tcreate(H5T_COMPOUND, size.unwrap_or(0)))?);
        let mut offset = 0;
        for (name, member) in members {
            // SAFETY: the name outlives the call; HDF5 checks offset and size.
            check(|| unsafe { H5Tinsert(out.0.raw(), name.as_ptr(), offset, member.0.raw()) })?;
            offset += member.size();
        }
        Ok(out)
    }

    /// Items of this type with axes of their own; without axes the type itself.
    pub(in super::super) fn with_axes(self, axes: &[usize]) -> Outcome<Self> {
        if axes.is_empty() {
            return Ok(self);
        }
        let dims = sizes(axes);
        let count = c_uint::try_from(dims.len()).map_err(|_| Failure::new("too many axes"))?;
        // SAFETY: the list has as many items as said and outlives the call.
        check(|| unsafe { H5Tarray_create2(self.0.raw(), count, dims.as_ptr()) }).map(owned)
    }

    /// The same type once more, changeable whatever this one is.
    pub(in super::super) fn copy(&self) -> Outcome<Self> {
        plain!(H5Tcopy(self.0.raw())).map(owned)
    }

    /// A byte string of fixed length, as numpy's `S`.
    pub(in super::super) fn bytes(length: usize) -> Outcome<Self> {
        let out = owned(plain!(H5Tcopy(*H5T_C_S1))?);
        plain!(H5Tset_size(out.0.raw(), length))?;
        plain!(H5Tset_strpad(out.0.raw(), H5T_STR_NULLPAD))?;
        Ok(out)
    }

    /// Whether items of both are the same bytes.
    pub(in super::super) fn equals(&self, other: &Self) -> bool {
        plain!(H5Tequal(self.0.raw(), other.0.raw())).is_ok_and(|yes| yes > 0)
    }

    /// The same numbers with their bytes in the other order.
    pub(in super::super) fn big_endian(&self) -> Outcome<Self> {
        let out = self.copy()?;
        plain!(H5Tset_order(out.0.raw(), H5T_ORDER_BE))?;
        Ok(out)
    }

    /// A variable-length text ending with NUL.
    pub(in super::super) fn vlen_text(utf8: bool) -> Outcome<Self> {
        let out = owned(plain!(H5Tcopy(*H5T_C_S1))?);
        plain!(H5Tset_size(out.0.raw(), H5T_VARIABLE))?;
        plain!(H5Tset_strpad(out.0.raw(), H5T_STR_NULLTERM))?;
        plain!(H5Tset_cset(out.0.raw(), if utf8 { H5T_CSET_UTF8 } else { H5T_CSET_ASCII }))?;
        Ok(out)
    }
}
