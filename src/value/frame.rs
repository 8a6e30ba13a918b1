//! The way between this crate's columns and polars: [`Series`] and [`DataFrame`] for users, [`Element`] for the format.

use polars::prelude::{
    BooleanChunked, CategoricalPhysical, DataFrame, DataType, FrozenCategories, IntoColumn, NamedFrom, PlSmallStr,
    PolarsError, Series,
};

use super::{Array, ByteString, Categorical, Element, Item, NaValue, Nullable, Records, Table};
use crate::index::Select;

/// A one-dimensional element as a polars series.
///
/// Strings become `String`, categoricals `Enum` with all categories in their order, nullable types have nulls. Categories
/// that are numbers or booleans are text in an `Enum`, and it has no place for the flag `ordered`: who needs these reads a
/// [`Categorical`].
/// `float16` keeps its width, byte strings are `Binary`, awkward lists `List`.
///
/// # Errors
/// What polars cannot hold: complex numbers, points in time (as long as polars is built without them), elements that are
/// not one-dimensional, repeated categories.
pub(crate) fn column_to_series(name: &str, column: &Element) -> Result<Series, String> {
    let refuse = || format!("{} has no polars form", column.describe());
    match column {
        Element::Array(a) if a.ndim() == 1 => plain(name, a, None).ok_or_else(refuse),
        Element::Nullable(n) => plain(name, n.values(), Some(n.missing())).ok_or_else(refuse),
        Element::Categorical(c) => categorical(name, c).map_err(|e| e.to_string()),
        Element::Awkward(a) => a.to_series(name),
        _ => Err(refuse()),
    }
}

fn plain(name: &str, array: &Array, missing: Option<&[bool]>) -> Option<Series> {
    fn series<T: Item, U: Clone>(
        name: &str,
        items: &ndarray::ArrayD<T>,
        missing: Option<&[bool]>,
        to: impl Fn(&T) -> U,
    ) -> Series
    where
        Series: NamedFrom<Vec<U>, [U]> + NamedFrom<Vec<Option<U>>, [Option<U>]>,
    {
        let name: PlSmallStr = name.into();
        match missing {
            None => Series::new(name, items.iter().map(to).collect::<Vec<U>>()),
            Some(mask) => {
                Series::new(name, items.iter().zip(mask).map(|(x, &m)| (!m).then(|| to(x))).collect::<Vec<Option<U>>>())
            }
        }
    }
    macro_rules! by_dtype {
        ($($variant:ident),*) => {
            match array {
                $(Array::$variant(a) => Some(match (a.as_slice(), missing) {
                    (Some(items), None) => Series::new(name.into(), items),
                    _ => series(name, a, missing, Clone::clone),
                }),)*
                Array::F16(a) => {
                    let wide = series(name, a, missing, |x| x.to_f32());
                    wide.cast(&DataType::Float16).ok()
                }
                Array::Bytes(a) => {
                    let items: Vec<&[u8]> = a.iter().map(|b| &*b.0).collect();
                    Some(Series::new(name.into(), items))
                }
                _ => None,
            }
        };
    }
    by_dtype!(Bool, I8, I16, I32, I64, U8, U16, U32, U64, F32, F64, Str)
}

fn categorical(name: &str, c: &Categorical) -> Result<Series, PolarsError> {
    let names = c.categories().to_strings();
    let frozen = FrozenCategories::new(names.iter().map(String::as_str))?;
    let dtype = DataType::from_frozen_categories(frozen);
    let codes = match dtype.cat_physical()? {
        CategoricalPhysical::U8 => Series::new(name.into(), c.codes_as::<u8>()),
        CategoricalPhysical::U16 => Series::new(name.into(), c.codes_as::<u16>()),
        CategoricalPhysical::U32 => Series::new(name.into(), c.codes_as::<u32>()),
    };
    Series::from_cats_and_dtype(&codes, &dtype, true)
}

/// A polars series as a column of the format.
///
/// Nulls make nullable integers, booleans and strings; in float columns, where the format has no nulls, they become
/// NaN, as in pandas. `Enum` keeps its categories and their order (unordered, in codes as wide as pandas makes them);
/// `Categorical` gets those in use, sorted, as pandas does.
///
/// # Errors
/// The name of a polars dtype that the format has no form for.
pub(crate) fn series_to_column(series: &Series) -> Result<Element, String> {
    let missing: Vec<bool> = series.is_null().iter().map(|m| m.unwrap_or(true)).collect();
    let nullable = |values: Array| match series.null_count() {
        0 => Ok(Element::Array(values)),
        _ => Nullable::new(values, missing.clone(), NaValue::default()).map(Element::Nullable),
    };
    let polars = |e: PolarsError| e.to_string();
    macro_rules! numbers {
        ($as:ident) => {
            nullable(Array::from_vec(series.$as().map_err(polars)?.iter().map(Option::unwrap_or_default).collect()))
        };
    }
    match series.dtype() {
        DataType::Boolean => numbers!(bool),
        DataType::Int8 => numbers!(i8),
        DataType::Int16 => numbers!(i16),
        DataType::Int32 => numbers!(i32),
        DataType::Int64 => numbers!(i64),
        DataType::UInt8 => numbers!(u8),
        DataType::UInt16 => numbers!(u16),
        DataType::UInt32 => numbers!(u32),
        DataType::UInt64 => numbers!(u64),
        DataType::Float16 => {
            let wide = series.cast(&DataType::Float32).map_err(polars)?;
            let halves = wide.f32().map_err(polars)?.iter().map(|x| half::f16::from_f32(x.unwrap_or(f32::NAN)));
            Ok(Element::Array(Array::from_vec(halves.collect())))
        }
        DataType::Float32 => Ok(Element::Array(Array::from_vec(
            series.f32().map_err(polars)?.iter().map(|x| x.unwrap_or(f32::NAN)).collect(),
        ))),
        DataType::Float64 => Ok(Element::Array(Array::from_vec(
            series.f64().map_err(polars)?.iter().map(|x| x.unwrap_or(f64::NAN)).collect(),
        ))),
        DataType::String => nullable(Array::from_vec(
            series.str().map_err(polars)?.iter().map(|x| x.unwrap_or_default().to_owned()).collect(),
        )),
        DataType::Binary if series.null_count() == 0 => {
            let items = series.binary().map_err(polars)?;
            let items: Vec<ByteString> = items.iter().map(|x| ByteString::from(x.unwrap_or_default())).collect();
            if items.iter().any(|item| item.0.ends_with(&[0])) {
                return Err("byte strings that end with NUL, which they lose in a file".into());
            }
            Ok(Element::Array(Array::from_vec(items)))
        }
        DataType::Enum(categories, _) => {
            let names: Vec<String> = categories.categories().values_iter().map(str::to_owned).collect();
            coded(series, names)
        }
        DataType::Categorical(..) => {
            let used: std::collections::BTreeSet<String> = text_values(series)?.into_iter().flatten().collect();
            coded(series, used.into_iter().collect())
        }
        other => Err(format!("a polars column of type {other} (cast it first)")),
    }
}

fn text_values(series: &Series) -> Result<Vec<Option<String>>, String> {
    let text = series.cast(&DataType::String).map_err(|e| e.to_string())?;
    let text = text.str().map_err(|e| e.to_string())?;
    Ok(text.iter().map(|x| x.map(str::to_owned)).collect())
}

/// Codes of so many categories in the narrowest type, as pandas chooses it.
pub(crate) fn narrow_codes(codes: Vec<i64>, categories: usize) -> Array {
    match categories {
        0..=126 => Array::from_vec(codes.into_iter().map(|c| c as i8).collect()),
        127..=32_766 => Array::from_vec(codes.into_iter().map(|c| c as i16).collect()),
        _ => Array::from_vec(codes.into_iter().map(|c| c as i32).collect()),
    }
}

fn coded(series: &Series, names: Vec<String>) -> Result<Element, String> {
    let place: std::collections::HashMap<&str, i64> = names.iter().zip(0..).map(|(n, i)| (n.as_str(), i)).collect();
    let codes = text_values(series)?.into_iter().map(|x| x.and_then(|x| place.get(x.as_str()).copied()).unwrap_or(-1));
    let codes = narrow_codes(codes.collect(), names.len());
    Categorical::new(codes, Array::from_vec(names), false).map(Element::Categorical)
}

/// A table as a polars frame: the index first, as a `String` column under its name (`_index` if it has none), unless a
/// column of that name holds it already.
///
/// # Errors
/// As [`column_to_series`], naming the column.
pub(crate) fn table_to_frame(table: &Table) -> Result<DataFrame, String> {
    let index_name = table.index_name().unwrap_or("_index");
    let mut columns = Vec::with_capacity(table.columns().len() + 1);
    if table.column(index_name).is_none() {
        let names = table.index().texts().ok_or("the index is not one-dimensional")?;
        columns.push(Series::new(index_name.into(), names).into_column());
    }
    for (name, column) in table.columns() {
        columns.push(column_to_series(name, column).map_err(|why| format!("column `{name}`: {why}"))?.into_column());
    }
    DataFrame::new(table.n_rows(), columns).map_err(|e| e.to_string())
}

/// A structured array of one axis, or of shape (n, 1), as a polars frame, one column a field.
///
/// # Errors
/// As [`column_to_series`], naming the field; arrays of more axes, and fields that have axes of their own.
pub(crate) fn records_to_frame(records: &Records) -> Result<DataFrame, String> {
    let Some(records) = records.to_rows() else {
        return Err(format!("a structured array of shape {:?} has no polars form", records.shape()));
    };
    let column = |(name, field): &(String, Array)| {
        let series = column_to_series(name, &Element::Array(field.clone()));
        series.map(IntoColumn::into_column).map_err(|why| format!("field `{name}`: {why}"))
    };
    let columns = records.fields().iter().map(column).collect::<Result<Vec<_>, _>>()?;
    DataFrame::new(records.shape()[0], columns).map_err(|e| e.to_string())
}

impl From<&BooleanChunked> for Select {
    /// A mask; null selects nothing.
    fn from(mask: &BooleanChunked) -> Self {
        Self::Mask(mask.iter().map(|m| m.unwrap_or(false)).collect())
    }
}

impl From<BooleanChunked> for Select {
    fn from(mask: BooleanChunked) -> Self {
        Self::from(&mask)
    }
}

impl Table {
    /// A table from a polars frame and row names.
    ///
    /// # Errors
    /// Columns that the format has no form for, and lengths that differ.
    pub fn from_frame(index: Vec<String>, frame: &DataFrame) -> Result<Self, String> {
        let columns = frame
            .columns()
            .iter()
            .map(|c| {
                let series = c.as_materialized_series();
                series_to_column(series)
                    .map(|e| (c.name().to_string(), e))
                    .map_err(|why| format!("column `{}`: {why}", c.name()))
            })
            .collect::<Result<Vec<_>, _>>()?;
        Self::new(None, Element::Array(Array::from_vec(index)), columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::DType;

    fn back_and_forth(column: Element) {
        let series = column_to_series("x", &column).unwrap();
        assert_eq!(series_to_column(&series).unwrap(), column, "{series:?}");
    }

    #[test]
    fn columns_survive_polars() {
        back_and_forth(Element::Array(Array::from_vec(vec![1_i8, -2])));
        back_and_forth(Element::Array(Array::from_vec(vec![u64::MAX, 2])));
        back_and_forth(Element::Array(Array::from_vec(vec![true, false])));
        back_and_forth(Element::Array(Array::from_vec(vec![1.5_f32, -0.0, f32::INFINITY])));
        back_and_forth(Element::Array(Array::from_vec(vec![half::f16::from_f32(1.5), half::f16::NEG_INFINITY])));
        back_and_forth(Element::Array(Array::from_vec(vec!["a".to_owned(), String::new()])));
        for values in [Array::from_vec(vec![1_u8, 0, 3]), Array::from_vec(vec![true, false, true])] {
            back_and_forth(Element::Nullable(Nullable::new(values, vec![false, true, false], NaValue::Na).unwrap()));
        }
        let text = Array::from_vec(["b", "", "a"].map(str::to_owned).to_vec());
        back_and_forth(Element::Nullable(Nullable::new(text.clone(), vec![false, true, false], NaValue::Na).unwrap()));
        back_and_forth(Element::Categorical(
            Categorical::new(Array::from_vec(vec![2_i8, -1, 0, 2]), text, false).unwrap(),
        ));
    }

    fn names(n: usize) -> Array {
        Array::from_vec((0..n).rev().map(|i| format!("k{i:05}")).collect())
    }

    fn codes<T: Item>(n: usize, len: usize, to: impl Fn(i64) -> T) -> Array {
        Array::from_vec((0..len).map(|i| to(i as i64 % (n as i64 + 1) - 1)).collect())
    }

    /// Categories keep their order, used or not, and codes their width as pandas chooses it.
    #[test]
    fn categories_survive_polars() {
        let back = |codes: Array, n: usize| {
            back_and_forth(Element::Categorical(Categorical::new(codes, names(n), false).unwrap()));
        };
        for n in [0, 1, 126] {
            back(codes(n, 300, |c| c as i8), n);
            back(codes(n, 0, |c| c as i8), n);
            back(Array::from_vec(vec![-1_i8; 3]), n);
        }
        for n in [127, 128, 255, 256, 257, 32_766] {
            back(codes(n, n + 5, |c| c as i16), n);
        }
        for n in [32_767, 32_768, 65_535, 65_536, 70_000] {
            back(codes(n, n + 5, |c| c as i32), n);
        }
    }

    #[test]
    fn categories_of_any_type_and_codes_of_any_width_are_enums() {
        let texts = |codes: Array, categories: Array, ordered: bool| {
            let series = column_to_series("x", &Categorical::new(codes, categories, ordered).unwrap().into()).unwrap();
            let Element::Categorical(back) = series_to_column(&series).unwrap() else { panic!("{series:?}") };
            // Polars has no such flag.
            assert!(!back.ordered());
            let texts = text_values(&series).unwrap().into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>();
            (texts.join(" "), back.categories().to_strings().join(" "))
        };
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let ints = || Array::from_vec(vec![30_i64, -1]);
        assert_eq!(texts(Array::from_vec(vec![1_u8, 0]), ints(), true), pair("-1 30", "30 -1"));
        assert_eq!(texts(Array::from_vec(vec![1_u64, 0]), ints(), false), pair("-1 30", "30 -1"));
        // Any negative code is missing.
        assert_eq!(texts(Array::from_vec(vec![-2_i64, 0]), ints(), false), pair(" 30", "30 -1"));
        let floats = Array::from_vec(vec![2.5_f64, -0.0]);
        assert_eq!(texts(Array::from_vec(vec![1_i32, 0]), floats, true), pair("-0.0 2.5", "2.5 -0.0"));
        let bools = Array::from_vec(vec![true, false]);
        assert_eq!(texts(Array::from_vec(vec![1_i16, 0]), bools, false), pair("False True", "True False"));
        let twice = Array::from_vec(vec!["a".to_owned(), "a".to_owned()]);
        let twice = Categorical::new(Array::from_vec(vec![0_i8]), twice, false).unwrap();
        assert!(column_to_series("x", &twice.into()).is_err());
    }

    #[test]
    fn columns_of_missing_values_survive_polars() {
        for values in [Array::zeros(DType::I64, &[3]), Array::zeros(DType::Bool, &[3]), Array::zeros(DType::Str, &[3])]
        {
            back_and_forth(Element::Nullable(Nullable::new(values, vec![true; 3], NaValue::Na).unwrap()));
        }
        for dtype in [DType::I8, DType::F64, DType::Bool, DType::Str, DType::Bytes] {
            back_and_forth(Element::Array(Array::zeros(dtype, &[0])));
        }
        // Without missing values a nullable column is a plain one in polars.
        let whole = Nullable::new(Array::from_vec(vec![1_u8]), vec![false], NaValue::Na).unwrap();
        let series = column_to_series("x", &whole.into()).unwrap();
        assert_eq!(series_to_column(&series).unwrap(), Element::Array(Array::from_vec(vec![1_u8])));
    }

    #[test]
    fn byte_strings_are_binary_and_times_are_refused() {
        let bytes = Array::from_vec([&b"a\xff"[..], b""].map(ByteString::from).to_vec());
        assert_eq!(column_to_series("x", &bytes.clone().into()).unwrap().dtype(), &DataType::Binary);
        back_and_forth(Element::Array(bytes));
        let nul: Series = Series::new("x".into(), [&b"a\0"[..]]);
        assert!(series_to_column(&nul).unwrap_err().contains("NUL"));
        let times = Array::zeros(DType::DatetimeNs, &[1]);
        assert!(column_to_series("x", &times.into()).unwrap_err().contains("datetime64[ns]"));
    }

    #[test]
    fn structured_arrays_are_frames() {
        let fields = vec![
            ("n".to_owned(), Array::from_vec(vec![1_i32, 2])),
            ("text".to_owned(), Array::from_vec(vec!["x".to_owned(), "y".to_owned()])),
        ];
        let frame = records_to_frame(&Records::new(vec![2], fields.clone()).unwrap()).unwrap();
        assert_eq!((frame.shape(), frame.column("n").unwrap().dtype()), ((2, 2), &DataType::Int32));
        let nested = fields.iter().map(|(n, f)| (n.clone(), f.clone().reshape(&[2, 1]).unwrap())).collect();
        assert_eq!(records_to_frame(&Records::new(vec![2, 1], nested).unwrap()).unwrap(), frame);
        let own_axis = vec![("wide".to_owned(), Array::zeros(DType::F32, &[2, 3]))];
        assert!(records_to_frame(&Records::new(vec![2], own_axis).unwrap()).unwrap_err().contains("`wide`"));
        let lone = vec![("n".to_owned(), Array::scalar(1_i32))];
        assert!(records_to_frame(&Records::new(Vec::new(), lone).unwrap()).is_err());
    }

    #[test]
    fn complex_columns_are_refused() {
        let c = Element::Array(Array::from_vec(vec![num_complex::Complex32::new(1.0, 2.0)]));
        assert!(column_to_series("x", &c).unwrap_err().contains("complex64"));
    }
}
