//! `.csv` and `.parquet`: elements as tables of columns, row names first.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anndata_shadow::{Array, Element, Item, Rows};
use polars::io::csv::read::{CsvReadOptions, NullValues};
use polars::prelude::{
    BooleanChunked, CsvWriter, DataFrame, DataType, IntoColumn, IntoSeries, NamedFrom, NewChunkedArray, ParquetReader,
    ParquetWriter, PlSmallStr, Schema, SerReader, SerWriter, Series,
};

/// What pandas takes for missing and people write.
const MISSING: [&str; 8] = ["", "NA", "N/A", "NaN", "nan", "<NA>", "NULL", "null"];

/// An element as a frame: the row names under `index`, then its columns.
///
/// `name` is that of the column of a one-dimensional element, `columns` those of a matrix.
///
/// # Errors
/// What has no form as a table: more than two axes, complex numbers, names that stand there twice.
pub(crate) fn frame(
    element: &Element,
    name: &str,
    index: &str,
    rows: Vec<String>,
    columns: &[String],
    to: super::Kind,
) -> Result<DataFrame, String> {
    let mut all: Vec<Series> = Vec::new();
    match element {
        Element::Table(t) => {
            for (name, column) in t.columns() {
                all.push(series(name, column, to)?);
            }
        }
        Element::Records(r) if r.shape().len() == 1 => {
            for (name, field) in r.fields() {
                all.push(series(name, &Element::Array(field.clone()), to)?);
            }
        }
        Element::Sparse(s) => matrix(&s.to_dense()?, columns, &mut all, to)?,
        Element::Array(a) if a.ndim() == 2 => matrix(a, columns, &mut all, to)?,
        other if other.shape().len() == 1 => all.push(series(name, other, to)?),
        other => return Err(format!("{} is no table; write a .npy file", other.describe())),
    }
    // A column may have the name of the index, holding it already.
    let taken = |n: &str| all.iter().any(|s| s.name() == n);
    let held = matches!(element, Element::Table(_)) && taken(index);
    let height = rows.len();
    if !held {
        let free = if taken(index) { "_index" } else { index };
        all.insert(0, Series::new(free.into(), rows));
    }
    let columns = all.into_iter().map(IntoColumn::into_column).collect();
    DataFrame::new(height, columns)
        .map_err(|e| format!("{e}; choose other columns with --cols, or a .npy or .npz file"))
}

fn matrix(dense: &Array, names: &[String], all: &mut Vec<Series>, to: super::Kind) -> Result<(), String> {
    let [n_rows, n_cols] = dense.shape()[..] else { return Err("a matrix has two axes".into()) };
    for i in 0..n_cols {
        let column = dense.take(&[Rows::All(n_rows), Rows::span(i, i + 1)]);
        let column = column.reshape(&[n_rows]).ok_or("a column is not one")?;
        let name = names.get(i).cloned().unwrap_or_else(|| i.to_string());
        all.push(series(&name, &Element::Array(column), to)?);
    }
    Ok(())
}

/// A column, in a form that the format holds. Points in time are text, in csv byte strings and nested values, too.
fn series(name: &str, column: &Element, to: super::Kind) -> Result<Series, String> {
    let is_text = match column {
        Element::Array(Array::DatetimeS(_) | Array::DatetimeMs(_) | Array::DatetimeUs(_) | Array::DatetimeNs(_)) => {
            true
        }
        Element::Array(Array::Bytes(_)) | Element::Awkward(_) => to == super::Kind::Csv,
        _ => false,
    };
    if let (true, Some(texts)) = (is_text, column.texts()) {
        return Ok(Series::new(name.into(), texts));
    }
    let series: Series = anndata_shadow::FromElement::from_element(column.clone())
        .map_err(|_| format!("column `{name}`: {} has no form in a table; write a .npy file", column.describe()))?;
    let series = series.with_name(name.into());
    if *series.dtype() == DataType::Float16 { cast(&series, &DataType::Float32) } else { Ok(series) }
}

fn cast(series: &Series, to: &DataType) -> Result<Series, String> {
    series.cast(to).map_err(|e| e.to_string())
}

/// Writes a frame as csv; categories as text, missing values as empty fields.
///
/// # Errors
/// Those of the stream.
pub(crate) fn write_csv<W: Write>(out: W, frame: &DataFrame) -> Result<(), String> {
    let columns = frame
        .columns()
        .iter()
        .map(|c| {
            let series = c.as_materialized_series();
            let coded = matches!(series.dtype(), DataType::Enum(..) | DataType::Categorical(..));
            let plain = if coded { cast(series, &DataType::String)? } else { series.clone() };
            Ok(plain.into_column())
        })
        .collect::<Result<Vec<_>, String>>()?;
    let mut plain = DataFrame::new(frame.height(), columns).map_err(|e| e.to_string())?;
    CsvWriter::new(out).include_header(true).finish(&mut plain).map_err(|e| e.to_string())
}

/// Writes a frame as parquet.
///
/// # Errors
/// Those of the stream.
pub(crate) fn write_parquet<W: Write>(out: W, frame: &mut DataFrame) -> Result<(), String> {
    ParquetWriter::new(out).finish(frame).map(|_| ()).map_err(|e| e.to_string())
}

/// Reads a csv file. Columns of row names (named as in `index_names`, or a first one without a name) stay text.
///
/// # Errors
/// Damage.
pub(crate) fn read_csv(path: &Path, index_names: &[String]) -> Result<DataFrame, String> {
    let missing = MISSING.iter().map(|&m| PlSmallStr::from(m)).collect();
    let options = CsvReadOptions::default()
        .with_infer_schema_length(None)
        .map_parse_options(|o| o.with_null_values(Some(NullValues::AllColumns(Vec::clone(&missing)))));
    let read = |options: CsvReadOptions| {
        options
            .try_into_reader_with_file_path(Some(path.to_owned()))
            .and_then(polars::prelude::CsvReader::<File>::finish)
            .map_err(|e| format!("not readable as csv: {e}"))
    };
    let header = read(options.clone().with_n_rows(Some(1)))?;
    if let [only] = header.columns()
        && let Some(other) = [';', '\t'].into_iter().find(|&c| only.name().contains(c))
    {
        return Err(format!(
            "its one column is named {:?}: separate columns by commas, not by {other:?}",
            only.name().as_str()
        ));
    }
    let names: Schema = header
        .columns()
        .iter()
        .filter(|c| c.name().is_empty() || index_names.iter().any(|n| n == c.name().as_str()))
        .map(|c| (c.name().clone(), DataType::String))
        .collect();
    let frame = read(options.with_schema_overwrite(Some(Arc::new(names))))?;
    let columns = frame.columns().iter().map(|c| truths(c.as_materialized_series()).into_column()).collect();
    DataFrame::new(frame.height(), columns).map_err(|e| e.to_string())
}

/// Python writes booleans as `True` and `False`.
fn truths(series: &Series) -> Series {
    let Ok(texts) = series.str() else { return series.clone() };
    let is_truth = |t: &str| matches!(t, "True" | "False" | "TRUE" | "FALSE");
    if series.null_count() == series.len() || !texts.iter().flatten().all(is_truth) {
        return series.clone();
    }
    let values = texts.iter().map(|t| t.map(|t| t.eq_ignore_ascii_case("true")));
    BooleanChunked::from_iter_options(series.name().clone(), values).into_series()
}

/// Reads a parquet file.
///
/// # Errors
/// Damage.
pub(crate) fn read_parquet(file: File) -> Result<DataFrame, String> {
    ParquetReader::new(file).finish().map_err(|e| format!("not readable as parquet: {e}"))
}

/// A column of a file as an element. Text from csv with fewer distinct values than rows becomes categorical.
///
/// # Errors
/// Types that AnnData has no form for.
pub(crate) fn column(series: &Series, from: super::Kind) -> Result<Element, String> {
    let table = anndata_shadow::Table::from_frame(
        (0..series.len()).map(|i| i.to_string()).collect(),
        &DataFrame::new(series.len(), vec![series.clone().with_name("x".into()).into_column()])
            .map_err(|e| e.to_string())?,
    )
    .map_err(|why| why.replacen("`x`", &format!("`{}`", series.name()), 1))?;
    let element = table.column("x").cloned().unwrap_or(Element::Null);
    if from == super::Kind::Csv && *series.dtype() == DataType::String { Ok(coded(element)) } else { Ok(element) }
}

/// Text as anndata would store it: categories if some repeat.
fn coded(element: Element) -> Element {
    let Some(values) = element.texts() else { return element };
    let mut names: Vec<String> = values.iter().flatten().cloned().collect();
    names.sort();
    names.dedup();
    if names.is_empty() || names.len() >= values.len() {
        return element;
    }
    let codes = values.iter().map(|v| v.as_ref().and_then(|v| names.binary_search(v).ok()).map_or(-1, |c| c as i64));
    let codes = match names.len() {
        0..=126 => narrowed(codes, |c| c as i8),
        127..=32_766 => narrowed(codes, |c| c as i16),
        _ => narrowed(codes, |c| c as i32),
    };
    anndata_shadow::Categorical::new(codes, Array::from_vec(names), false).map_or(element, Element::Categorical)
}

fn narrowed<T: Item>(codes: impl Iterator<Item = i64>, to: impl Fn(i64) -> T) -> Array {
    Array::from_vec(codes.map(to).collect())
}

#[cfg(test)]
mod tests {
    use anndata_shadow::{ByteString, DatetimeS, Records};

    use super::*;
    use crate::files::Kind;

    fn records() -> Element {
        let bytes = Array::from_vec([&b"a"[..], b"\xff"].map(ByteString::from).to_vec());
        let fields = [
            ("n", Array::from_vec(vec![1_i32, 2])),
            ("text", Array::from_vec(vec!["x".to_owned(), "y".to_owned()])),
            ("bytes", bytes),
            ("time", Array::from_vec(vec![DatetimeS(0), DatetimeS(1)])),
        ];
        let fields = fields.map(|(name, field)| (name.to_owned(), field)).to_vec();
        Records::new(vec![2], fields).unwrap().into()
    }

    #[test]
    fn structured_arrays_are_tables_of_their_fields() {
        let rows = || vec!["0".to_owned(), "1".to_owned()];
        let made = frame(&records(), "r", "_index", rows(), &[], Kind::Csv).unwrap();
        let mut csv = Vec::new();
        write_csv(&mut csv, &made).unwrap();
        let lines = "_index,n,text,bytes,time\n0,1,x,a,1970-01-01T00:00:00\n1,2,y,\\xff,1970-01-01T00:00:01\n";
        assert_eq!(String::from_utf8(csv).unwrap(), lines);
        let mut made = frame(&records(), "r", "_index", rows(), &[], Kind::Parquet).unwrap();
        assert_eq!(made.column("bytes").unwrap().dtype(), &DataType::Binary);
        write_parquet(Vec::new(), &mut made).unwrap();
    }

    #[test]
    fn fields_with_axes_are_refused_by_name() {
        let wide = Array::from_shape_vec(&[2, 3], vec![0_u8; 6]).unwrap();
        let records = Records::new(vec![2], vec![("wide".to_owned(), wide)]).unwrap().into();
        let error = frame(&records, "r", "_index", vec![String::new(); 2], &[], Kind::Csv).unwrap_err();
        assert!(error.contains("wide"), "{error}");
    }
}
