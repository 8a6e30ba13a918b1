//! `.npy`: one dense array.

use std::io::{Read, Write};

use anndata_shadow::half::f16;
use anndata_shadow::num_complex::{Complex32, Complex64};
use anndata_shadow::{Array, ByteString, Item};
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
/// Byte strings get the width of the longest.
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
    match array {
        Array::Bytes(a) => return bytes(out, &shape, a.iter()),
        Array::DatetimeS(a) => return times(out, &shape, "s", a.iter().map(|t| t.0)),
        Array::DatetimeMs(a) => return times(out, &shape, "ms", a.iter().map(|t| t.0)),
        Array::DatetimeUs(a) => return times(out, &shape, "us", a.iter().map(|t| t.0)),
        Array::DatetimeNs(a) => return times(out, &shape, "ns", a.iter().map(|t| t.0)),
        _ => {}
    }
    with_numbers!(
        array,
        a => typed(out, &shape, a.iter().cloned()).map_err(|e| e.to_string()),
        Err(format!("numpy files hold numbers, not {}; write a .csv or .parquet file", array.dtype()))
    )
}

fn bytes<'a, W: Write>(
    out: W,
    shape: &[u64],
    items: impl Iterator<Item = &'a ByteString> + Clone,
) -> Result<(), String> {
    // A type of no width cannot be written.
    let width = items.clone().map(|b| b.0.len()).max().unwrap_or(0).max(1);
    let mut writer = begin::<[u8], W>(out, shape, &format!("|S{width}"))?;
    for item in items {
        writer.push(item.0.as_slice()).map_err(|e| e.to_string())?;
    }
    writer.finish().map_err(|e| e.to_string())
}

fn times<W: Write>(out: W, shape: &[u64], unit: &str, items: impl Iterator<Item = i64>) -> Result<(), String> {
    let mut writer = begin::<i64, W>(out, shape, &format!("<M8[{unit}]"))?;
    writer.extend(items).map_err(|e| e.to_string())?;
    writer.finish().map_err(|e| e.to_string())
}

/// A stream of a type that numpy names so.
fn begin<T: npyz::Serialize + ?Sized, W: Write>(
    out: W,
    shape: &[u64],
    descr: &str,
) -> Result<npyz::NpyWriter<T, W>, String> {
    let dtype = DType::Plain(descr.parse().map_err(|_| format!("the type {descr} is not known"))?);
    WriteOptions::<T>::new().dtype(dtype).shape(shape).writer(out).begin_nd().map_err(|e| e.to_string())
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

#[cfg(test)]
mod tests {
    use anndata_shadow::{DatetimeNs, DatetimeS};

    use super::*;

    /// The header as text, and the bytes of the items.
    fn written(array: &Array) -> (String, Vec<u8>) {
        let mut out = Vec::new();
        write(&mut out, array).unwrap();
        let length = 10 + usize::from(u16::from_le_bytes([out[8], out[9]]));
        (String::from_utf8_lossy(&out[10..length]).into_owned(), out[length..].to_vec())
    }

    #[test]
    fn byte_strings_and_times_have_numpys_types() {
        let bytes = ["ab", "", "c"].map(|b| ByteString(b.as_bytes().to_vec()));
        let (header, items) = written(&Array::from_vec(bytes.to_vec()));
        assert!(header.contains("'|S2'") && header.contains("(3,"), "{header}");
        assert_eq!(items, b"ab\0\0c\0");
        let (header, items) = written(&Array::from_vec(vec![ByteString::default()]));
        assert!(header.contains("'|S1'") && items == [0], "{header}");
        let (header, items) = written(&Array::from_vec(vec![DatetimeNs(-2)]));
        assert!(header.contains("'<M8[ns]'"), "{header}");
        assert_eq!(items, (-2_i64).to_le_bytes());
        assert!(written(&Array::scalar(DatetimeS(1))).0.contains("'<M8[s]'"));
        assert!(write(Vec::new(), &Array::scalar(String::new())).is_err());
    }
}
