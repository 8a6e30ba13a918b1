//! One-dimensional values that are more than an array, [`Categorical`] and [`Nullable`], and [`Table`], a frame of columns.

use super::{Array, DType, Element};
use crate::index::Rows;

/// Codes into a list of categories; a negative code is a missing value.
#[derive(Debug, Clone, PartialEq)]
pub struct Categorical {
    codes: Array,
    categories: Array,
    ordered: bool,
}

impl Categorical {
    /// Checks and wraps `codes` (any integer dtype) and `categories` (1-d), whose order means something if `ordered`.
    ///
    /// # Errors
    /// What is inconsistent: dtypes, dimensions, a code beyond the categories.
    pub fn new(codes: Array, categories: Array, ordered: bool) -> Result<Self, String> {
        if codes.ndim() != 1 || categories.ndim() != 1 {
            return Err("codes and categories must have one axis".into());
        }
        let Some(values) = codes.to_i64() else {
            return Err(format!("codes are {}, not integers that fit", codes.dtype()));
        };
        if let Some(bad) = values.iter().find(|&&c| c >= categories.len() as i64) {
            return Err(format!("code {bad} is out of range for {} categories", categories.len()));
        }
        Ok(Self { codes, categories, ordered })
    }

    /// The codes, in their stored integer type.
    #[must_use]
    pub const fn codes(&self) -> &Array {
        &self.codes
    }

    /// The categories, in their order; unused ones included.
    #[must_use]
    pub const fn categories(&self) -> &Array {
        &self.categories
    }

    /// Whether the order of the categories means something.
    #[must_use]
    pub const fn ordered(&self) -> bool {
        self.ordered
    }

    /// It taken apart: codes, categories, and whether these are ordered.
    #[must_use]
    pub fn into_parts(self) -> (Array, Array, bool) {
        (self.codes, self.categories, self.ordered)
    }

    /// Number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.codes.len()
    }

    /// Whether there are no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Category number of each value, `None` where it is missing.
    #[must_use]
    pub fn positions(&self) -> Vec<Option<usize>> {
        self.codes_as()
    }

    /// Category number of each value; `None` where it is missing, or larger than the type holds.
    pub(crate) fn codes_as<T: TryFrom<i64>>(&self) -> Vec<Option<T>> {
        self.codes.map_i64(|code| T::try_from(code).ok()).unwrap_or_default()
    }

    /// The values at these positions; the categories stay.
    #[must_use]
    pub fn take(&self, rows: &Rows) -> Self {
        Self { codes: self.codes.take(std::slice::from_ref(rows)), ..self.clone() }
    }
}

/// How comparisons with a missing string behave in pandas (`na-value`); kept for the way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NaValue {
    /// `pd.NA`: the result is missing. The default.
    #[default]
    Na,
    /// `np.nan`: the result is false.
    Nan,
}

impl NaValue {
    /// The attribute's text.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Na => "NA",
            Self::Nan => "NaN",
        }
    }
}

/// Integers, booleans or strings of which some are missing.
#[derive(Debug, Clone, PartialEq)]
pub struct Nullable {
    values: Array,
    missing: Vec<bool>,
    na_value: NaValue,
}

impl Nullable {
    /// Checks and wraps `values` (1-d integers, booleans or strings) with a mask that is true where one is missing.
    ///
    /// # Errors
    /// What is inconsistent: dtype, dimensions, lengths.
    pub fn new(values: Array, missing: Vec<bool>, na_value: NaValue) -> Result<Self, String> {
        if values.ndim() != 1 || values.len() != missing.len() {
            return Err(format!("values of shape {:?} for a mask of {}", values.shape(), missing.len()));
        }
        match values.dtype() {
            DType::Bool | DType::Str => {}
            d if d.is_integer() => {}
            other => return Err(format!("there is no nullable array of {other}")),
        }
        Ok(Self { values, missing, na_value })
    }

    /// The values; what stands under the mask means nothing.
    #[must_use]
    pub const fn values(&self) -> &Array {
        &self.values
    }

    /// True where a value is missing.
    #[must_use]
    pub fn missing(&self) -> &[bool] {
        &self.missing
    }

    /// Behaviour of missing strings in comparisons.
    #[must_use]
    pub const fn na_value(&self) -> NaValue {
        self.na_value
    }

    /// It taken apart: values, mask, and how missing strings behave.
    #[must_use]
    pub fn into_parts(self) -> (Array, Vec<bool>, NaValue) {
        (self.values, self.missing, self.na_value)
    }

    /// Number of values, missing ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.missing.len()
    }

    /// Whether there are no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty()
    }

    /// The values at these positions.
    #[must_use]
    pub fn take(&self, rows: &Rows) -> Self {
        Self {
            values: self.values.take(std::slice::from_ref(rows)),
            missing: rows.iter().map(|i| self.missing[i]).collect(),
            na_value: self.na_value,
        }
    }
}

/// A data frame: named columns of equal length and an index. Columns and index are one-dimensional elements, so every
/// dtype and missing value of the file is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    index_name: Option<String>,
    index: Box<Element>,
    columns: Vec<(String, Element)>,
}

impl Table {
    /// Checks and wraps an index and columns.
    ///
    /// # Errors
    /// What is inconsistent: a column that is not one-dimensional or of another length, names that are empty, reserved
    /// (`_index`) or repeated.
    pub fn new(index_name: Option<String>, index: Element, columns: Vec<(String, Element)>) -> Result<Self, String> {
        let shape = index.shape();
        let [n] = shape[..] else { return Err(format!("the index has {} axes, not one", shape.len())) };
        let mut seen = std::collections::HashSet::new();
        for (name, column) in &columns {
            if matches!(column, Element::Table(_) | Element::Sparse(_)) || column.shape() != [n] {
                return Err(format!("column `{name}` has shape {:?}, the index {n} rows", column.shape()));
            }
            if name.is_empty() || name == "_index" {
                return Err(format!("`{name}` cannot name a column"));
            }
            if !seen.insert(name) {
                return Err(format!("there are two columns `{name}`"));
            }
        }
        Ok(Self { index_name, index: Box::new(index), columns })
    }

    /// Name of the index; `None` if it has none.
    #[must_use]
    pub fn index_name(&self) -> Option<&str> {
        self.index_name.as_deref()
    }

    /// The index.
    #[must_use]
    pub fn index(&self) -> &Element {
        &self.index
    }

    /// The columns, in order.
    #[must_use]
    pub fn columns(&self) -> &[(String, Element)] {
        &self.columns
    }

    /// The frame taken apart: name of the index, index, columns.
    #[must_use]
    pub fn into_parts(self) -> (Option<String>, Element, Vec<(String, Element)>) {
        (self.index_name, *self.index, self.columns)
    }

    /// The column of this name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Element> {
        self.columns.iter().find(|(n, _)| n == name).map(|(_, c)| c)
    }

    /// Sets a column, in its place or behind the others. The caller has checked that it fits.
    pub(crate) fn put_column(&mut self, name: &str, column: Element) {
        if self.index_name() == Some(name) && self.column(name).is_some() {
            // A column of the index's name is one child with it (format, 2.4).
            *self.index = column.clone();
        }
        match self.columns.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => *old = column,
            None => self.columns.push((name.to_owned(), column)),
        }
    }

    /// Takes a column out. Whether there was one.
    pub(crate) fn remove_column(&mut self, name: &str) -> bool {
        let before = self.columns.len();
        self.columns.retain(|(n, _)| n != name);
        self.columns.len() < before
    }

    /// Number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.index.shape().first().copied().unwrap_or(0)
    }

    /// The rows at these positions.
    #[must_use]
    pub fn take(&self, rows: &Rows) -> Self {
        let cut = |e: &Element| e.take(std::slice::from_ref(rows));
        Self {
            index_name: self.index_name.clone(),
            index: Box::new(cut(&self.index)),
            columns: self.columns.iter().map(|(n, c)| (n.clone(), cut(c))).collect(),
        }
    }
}
