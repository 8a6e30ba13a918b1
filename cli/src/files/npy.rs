//! `.npy`: one dense array.

use std::io::{Read, Write};

use anndata_shadow::half::f16;
use anndata_shadow::num_complex::{Complex32, Complex64};
use anndata_shadow::{Array, Item};
use npyz::{DType, Deserialize, NpyFile, Order, TypeChar, WriteOptions, WriterBuilder};

/// Runs an expression with the typed items of an array that npy can hold, or another one for those it cannot.
macro_rules! with_numbers {
    ($array:expr, $a:ident => $body:expr, $other:expr) => {
        match $array {
            Array::Bool($a) => $body,
            Array::I8($a) => $body,
            Array::I16($a) => $body,
            Array::I32($a) => $body,
            Array::I64($a) => $body,
            Array::U8($a) => $body,
            Array::U16($a) => $body,
            Array::U32($a) => $body,
            Array::U64($a) => $body,
            Array::F16($a) => $body,
            Array::F32($a) => $body,
            Array::F64($a) => $body,
            Array::C64($a) => $body,
            Array::C128($a) => $body,
            _ => $other,
        }
    };
}

/// Writes an array as one npy stream.
///
/// # Errors
/// Text, which numpy would have to pickle or pad, and errors of the stream.
pub(crate) fn write<W: Write>(out: W, array: &Array) -> Result<(), String> {
    fn typed<T: npyz::AutoSerialize + Clone, W: Write>(
        out: W,
        shape: &[u64],
        items: impl Iterator<Item = T>,
    ) -> std::io::Result<()> {
        let mut writer = WriteOptions::<T>::new().default_dtype().shape(shape).writer(out).begin_nd()?;
        writer.extend(items)?;
        writer.finish()
    }
    let shape: Vec<u64> = array.shape().iter().map(|&n| n as u64).collect();
    with_numbers!(
        array,
        a => typed(out, &shape, a.iter().cloned()).map_err(|e| e.to_string()),
        Err(format!("numpy files hold numbers, not {}; write a .csv or .parquet file", array.dtype()))
    )
}

/// Reads one npy stream, with its dtype, into C order.
///
/// # Errors
/// Types that AnnData has no form for, and damage.
pub(crate) fn read<R: Read>(stream: R) -> Result<Array, String> {
    // The reader multiplies whatever lengths the header claims, and gives up when they overflow.
    let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| NpyFile::new(stream)));
    let file = opened.map_err(|_| "its shape is too large")?.map_err(|e| format!("not a .npy array: {e}"))?;
    let dtype = file.dtype();
    let refuse = || Err(format!("arrays of numpy type {} cannot be read; numbers and booleans can", dtype.descr()));
    let DType::Plain(plain) = &dtype else { return refuse() };
    match (plain.type_char(), plain.size_field()) {
        (TypeChar::Bool, 1) => items::<bool, R>(file),
        (TypeChar::Int, 1) => items::<i8, R>(file),
        (TypeChar::Int, 2) => items::<i16, R>(file),
        (TypeChar::Int, 4) => items::<i32, R>(file),
        (TypeChar::Int, 8) => items::<i64, R>(file),
        (TypeChar::Uint, 1) => items::<u8, R>(file),
        (TypeChar::Uint, 2) => items::<u16, R>(file),
        (TypeChar::Uint, 4) => items::<u32, R>(file),
        (TypeChar::Uint, 8) => items::<u64, R>(file),
        (TypeChar::Float, 2) => items::<f16, R>(file),
        (TypeChar::Float, 4) => items::<f32, R>(file),
        (TypeChar::Float, 8) => items::<f64, R>(file),
        (TypeChar::Complex, 8) => items::<Complex32, R>(file),
        (TypeChar::Complex, 16) => items::<Complex64, R>(file),
        _ => refuse(),
    }
}

fn items<T: Deserialize + Item, R: Read>(file: NpyFile<R>) -> Result<Array, String> {
    let shape: Option<Vec<usize>> = file.shape().iter().map(|&n| usize::try_from(n).ok()).collect();
    let shape = shape.filter(|s| s.iter().try_fold(1_usize, |n, &d| n.checked_mul(d)).is_some());
    let mut shape = shape.ok_or("its shape is too large")?;
    let fortran = file.order() == Order::Fortran;
    // Pushed one by one: a header may promise more items than there are.
    let mut all = Vec::new();
    for item in file.data::<T>().map_err(|e| e.to_string())? {
        all.push(item.map_err(|e| format!("damaged: {e}"))?);
    }
    if fortran {
        shape.reverse();
    }
    let array = Array::from_shape_vec(&shape, all).ok_or("it has not as many items as its shape says")?;
    if !fortran {
        return Ok(array);
    }
    let transposed = array.view::<T>().map(|a| Array::from(a.t()));
    transposed.ok_or_else(|| "its items are of another type than its header says".to_owned())
}
