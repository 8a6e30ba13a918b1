//! Numbers that say what was read: every reader must find the same ones (`check` in `benches/peers.py`).

use std::collections::BTreeMap;

use anndata_shadow::ndarray::Array2;
use anndata_shadow::polars::prelude::{DataFrame, DataType, PolarsResult, Series};
use anndata_shadow::{Element, Sparse, Stats};

/// Name of a number: number.
pub type Checks = BTreeMap<String, f64>;

pub fn counts(counts: &[(&str, usize)]) -> Checks {
    counts.iter().map(|&(name, n)| (name.to_owned(), n as f64)).collect()
}

pub fn column(column: &Series) -> PolarsResult<Checks> {
    let text = column.cast(&DataType::String)?;
    let bytes = text.str()?.iter().flatten().map(str::len).sum();
    Ok(counts(&[("rows", column.len()), ("bytes", bytes)]))
}

/// The sum is over all columns of numbers.
pub fn frame(frame: &DataFrame) -> PolarsResult<Checks> {
    let mut sum = 0.0;
    // The first column holds the names of the rows.
    for column in &frame.columns()[1..] {
        if column.dtype().is_primitive_numeric() {
            sum += column.as_materialized_series().cast(&DataType::Float64)?.f64()?.iter().flatten().sum::<f64>();
        }
    }
    let mut checks = counts(&[("rows", frame.height()), ("cols", frame.width() - 1)]);
    checks.insert("sum".into(), sum);
    Ok(checks)
}

pub fn sparse(x: &Sparse) -> Checks {
    let [rows, cols] = x.shape();
    let mut checks = Matrix::default();
    entries(x, |row, col, value| checks.add(row, col, value));
    checks.of(rows, cols)
}

pub fn dense(x: &Array2<f32>) -> Checks {
    let mut checks = Matrix::default();
    x.indexed_iter().for_each(|((row, col), &value)| checks.add(row, col, value));
    checks.of(x.nrows(), x.ncols())
}

/// The sum of all values of a matrix.
pub fn sum(x: &Element) -> f64 {
    match x {
        Element::Sparse(x) => sparse(x)["sum"],
        Element::Array(x) => x.to_f64().unwrap().iter().sum(),
        other => panic!("a matrix was expected: {other:?}"),
    }
}

/// What a matrix holds; `at` tells values apart that lie in other rows or columns.
#[derive(Default)]
struct Matrix {
    nnz: usize,
    sum: f64,
    at: f64,
}

impl Matrix {
    fn add(&mut self, row: usize, col: usize, value: f32) {
        let value = f64::from(value);
        self.nnz += usize::from(value != 0.0);
        self.sum += value;
        self.at += value * ((1 + row % 7) * (1 + col % 11)) as f64;
    }

    fn of(self, rows: usize, cols: usize) -> Checks {
        let mut checks = counts(&[("rows", rows), ("cols", cols), ("nnz", self.nnz)]);
        checks.extend([("sum".to_owned(), self.sum), ("at".to_owned(), self.at)]);
        checks
    }
}

/// All entries of a CSR matrix of float32.
fn entries(x: &Sparse, mut each: impl FnMut(usize, usize, f32)) {
    let values = x.data().view::<f32>().unwrap();
    let mut entries = values.iter().zip(x.indices().iter());
    for (row, ends) in x.indptr().windows(2).enumerate() {
        for (&value, col) in entries.by_ref().take((ends[1] - ends[0]) as usize) {
            each(row, col, value);
        }
    }
}

/// Of all genes.
pub fn totals(genes: &Stats) -> Checks {
    let at = genes.sum.iter().enumerate().map(|(gene, sum)| sum * (1 + gene % 11) as f64).sum();
    let nnz = genes.nonzero.iter().sum::<u64>() as f64;
    [("sum", genes.sum.iter().sum()), ("at", at), ("var", genes.variance.iter().sum()), ("nnz", nnz)]
        .map(|(name, value): (&str, f64)| (name.to_owned(), value))
        .into()
}
