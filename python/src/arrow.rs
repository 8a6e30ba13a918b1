//! Columns of a frame over the C interface of Arrow, for polars, pyarrow and whoever else reads it.
//!
//! They are made from what is stored and not by way of polars' series, which have no dates here, no ordered categoricals, and no
//! categories but texts.

use anndata_shadow::polars::prelude::{CompatLevel, PolarsResult, pf16};
use anndata_shadow::{Array, Awkward, Categorical, Element, Frame};
use polars_arrow::array::{
    Array as Column, BinaryArray, BooleanArray, DictionaryArray, DictionaryKey, PrimitiveArray, StructArray, Utf8Array,
};
use polars_arrow::bitmap::Bitmap;
use polars_arrow::datatypes::{ArrowDataType, Field, TimeUnit};
use polars_arrow::ffi::{ArrowArrayStream, export_iterator};

/// What was read of a frame: its row names, unless one of the columns holds them, and these columns.
pub(crate) struct Columns {
    n_rows: usize,
    columns: Vec<(String, Element)>,
}

impl Columns {
    /// Reads columns, or all.
    pub(crate) fn read(frame: &Frame, columns: Option<Vec<String>>) -> anndata_shadow::Result<Self> {
        let (index, all) = (frame.index_name()?, frame.columns()?);
        let names = columns.unwrap_or_else(|| all.clone());
        let elements = frame.elements(&names)?;
        let mut columns = Vec::with_capacity(names.len() + 1);
        if !all.contains(&index) {
            columns.push((index, Element::Array(Array::from_vec(frame.names()?))));
        }
        columns.extend(names.into_iter().zip(elements));
        Ok(Self { n_rows: frame.n_rows()?, columns })
    }

    /// As a stream of one batch.
    ///
    /// # Errors
    /// Which column has no form in Arrow.
    pub(crate) fn stream(self) -> Result<ArrowArrayStream, String> {
        let (mut fields, mut columns) = (Vec::new(), Vec::new());
        for (name, element) in self.columns {
            let what = element.describe();
            let column = column(element).map_err(|why| format!("column `{name}`: {what} has no form in Arrow{why}"))?;
            fields.push(Field::new(name.as_str().into(), column.dtype().clone(), true));
            columns.push(column);
        }
        let dtype = ArrowDataType::Struct(fields);
        let batch = StructArray::try_new(dtype.clone(), self.n_rows, columns, None).map_err(|e| e.to_string())?;
        let batch: PolarsResult<Box<dyn Column>> = Ok(Box::new(batch));
        Ok(export_iterator(Box::new(std::iter::once(batch)), Field::new("".into(), dtype, false)))
    }
}

fn column(element: Element) -> Result<Box<dyn Column>, String> {
    match element {
        Element::Array(values) => array(values, None),
        Element::Nullable(nullable) => {
            let (values, missing, _) = nullable.into_parts();
            array(values, Some(missing.iter().map(|missing| !missing).collect()))
        }
        Element::Categorical(categorical) => dictionary(categorical),
        Element::Awkward(lists) => awkward(&lists),
        _ => Err(String::new()),
    }
}

/// The items of an array of one axis, valid where the bitmap says so.
fn array(array: Array, valid: Option<Bitmap>) -> Result<Box<dyn Column>, String> {
    macro_rules! by_dtype {
        ($array:expr, $($variant:ident)*, $($times:ident $unit:ident)*) => {
            match $array {
                $(Array::$variant(a) => Ok(PrimitiveArray::from_vec(a.into_raw_vec_and_offset().0).with_validity(valid).boxed()),)*
                $(Array::$times(a) => {
                    let times: Vec<i64> = a.into_iter().map(|time| time.0).collect();
                    // The least number is numpy's NaT.
                    let known = times.iter().map(|&time| time != i64::MIN).collect();
                    let dtype = ArrowDataType::Timestamp(TimeUnit::$unit, None);
                    Ok(PrimitiveArray::new(dtype, times.into(), Some(known)).boxed())
                })*
                Array::F16(a) => {
                    let halves = a.into_iter().map(pf16).collect();
                    Ok(PrimitiveArray::from_vec(halves).with_validity(valid).boxed())
                }
                Array::Bool(a) => Ok(BooleanArray::new(ArrowDataType::Boolean, a.into_iter().collect(), valid).boxed()),
                Array::Str(a) => Ok(Utf8Array::<i64>::from_iter_values(a.iter()).with_validity(valid).boxed()),
                Array::Bytes(a) => Ok(BinaryArray::<i64>::from_iter_values(a.iter().map(|item| &item.0)).with_validity(valid).boxed()),
                _ => Err(String::new()),
            }
        };
    }
    if array.ndim() != 1 {
        return Err(String::new());
    }
    // Without an offset, so that the items of a part are those of its memory.
    let n = array.len();
    let array = array.reshape(&[n]).ok_or_else(String::new)?;
    by_dtype!(array, I8 I16 I32 I64 U8 U16 U32 U64 F32 F64,
        DatetimeS Second DatetimeMs Millisecond DatetimeUs Microsecond DatetimeNs Nanosecond)
}

fn dictionary(categorical: Categorical) -> Result<Box<dyn Column>, String> {
    let (codes, categories, ordered) = categorical.into_parts();
    let categories = array(categories, None)?;
    macro_rules! by_width {
        ($($variant:ident)*) => {
            match codes {
                $(Array::$variant(codes) => keyed(codes.into_iter().collect(), categories, ordered),)*
                _ => Err(String::new()),
            }
        };
    }
    by_width!(I8 I16 I32 I64 U8 U16 U32 U64)
}

/// Negative codes are missing values; what stands under these must be a code all the same.
fn keyed<K: DictionaryKey + Default + PartialOrd>(
    mut codes: Vec<K>,
    categories: Box<dyn Column>,
    ordered: bool,
) -> Result<Box<dyn Column>, String> {
    let zero = K::default();
    let valid: Bitmap = codes.iter().map(|code| *code >= zero).collect();
    codes.iter_mut().filter(|code| **code < zero).for_each(|code| *code = zero);
    let keys = PrimitiveArray::from_vec(codes).with_validity(Some(valid));
    let column = DictionaryArray::try_from_keys(keys, categories, ordered).map_err(|e| format!(": {e}"))?;
    Ok(column.boxed())
}

fn awkward(lists: &Awkward) -> Result<Box<dyn Column>, String> {
    let series = lists.to_series("").map_err(|why| format!(": {why}"))?;
    Ok(series.rechunk().to_arrow(0, CompatLevel::oldest()))
}
